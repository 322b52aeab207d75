//! Sockets: accepting, limits per connection, and a clean end.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::activity::{Activity, Patience, Watched, Wire};
use super::front::Front;
use super::ops_port;
use super::peer::Proxies;
use super::room::{Room, Seat};
use super::routes::{dev_routes, operator_routes, router, tenant_routes};
use crate::app::App;
use crate::config;
use crate::error::{Error, Result};

/// All headers of a request together, in bytes.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// How often a peer of HTTP/2 must show that it is there, and how long it may take.
const PING: Duration = Duration::from_secs(20);
/// Connections to the ops port open at once: it has few visitors.
const MOST_WATCHERS: usize = 64;
/// Pause after the system could not accept, for example when it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The two ports, bound.
pub struct Listeners {
    /// The service.
    pub service: TcpListener,
    /// Health and metrics.
    pub ops: TcpListener,
}

impl Listeners {
    /// Binds both ports.
    pub async fn bind(settings: &config::Http) -> Result<Self> {
        let service = bind(&settings.listen, "http.listen").await?;
        Ok(Self { service, ops: bind(&settings.ops_listen, "http.ops_listen").await? })
    }
}

async fn bind(address: &str, key: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::unavailable(format!("Cannot listen on {address} ({key}): {error}."))
            .hint("Stop what uses the port, or choose another; port 0 picks a free one.")
    })
}

/// Serves both ports until `stop`, then lets requests in flight finish within the grace period.
pub async fn serve(app: Arc<App>, listeners: Listeners, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let settings = &app.config.http;
    let mut routes = tenant_routes();
    if app.config.development {
        routes.extend(dev_routes());
    }
    let tenant = router(routes, app.clone());
    let operator = router(operator_routes(), app.clone());
    let front = Arc::new(Front::new(app.clone(), tenant, operator));
    let ops = tokio::spawn(serve_ops(app.clone(), listeners.ops));
    let door = Door::new(
        settings,
        Room::new(settings.max_connections, settings.max_connections_per_address, Proxies::new(settings)),
    );
    let answer = move |request, address| {
        let front = front.clone();
        async move { front.answer(request, address).await }
    };
    door.accept_until(stop, &listeners.service, answer).await;
    app.draining.cancel();
    drop(listeners.service);
    let grace = Duration::from_secs(settings.shutdown_grace_seconds);
    let ended = async { tokio::join!(door.connections.shutdown(), app.background.ended()) };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("work was still under way after the grace period");
    }
    app.shut_down().await;
    ops.await.map_err(Error::internal)
}

/// The ops port, until all other work has ended.
async fn serve_ops(app: Arc<App>, listener: TcpListener) {
    let door = Door::new(&app.config.http, Room::new(MOST_WATCHERS, 0, Proxies::new(&app.config.http)));
    let (router, stop) = (ops_port::router(app.clone()), app.stop.clone().cancelled_owned());
    let answer = move |request, _| {
        let router = router.clone();
        async move { router.oneshot(request).await.unwrap_or_else(|never| match never {}) }
    };
    door.accept_until(stop, &listener, answer).await;
}

/// A port's way in.
struct Door {
    builder: auto::Builder<TokioExecutor>,
    patience: Patience,
    room: Room,
    connections: GracefulShutdown,
}

impl Door {
    fn new(settings: &config::Http, room: Room) -> Self {
        let patience = Patience {
            first: Duration::from_millis(settings.header_timeout_ms),
            idle: Duration::from_millis(settings.idle_timeout_ms),
            write: Duration::from_millis(settings.write_timeout_ms),
        };
        Self { builder: builder(settings), patience, room, connections: GracefulShutdown::new() }
    }

    async fn accept_until<F>(
        &self,
        stop: impl Future<Output = ()>,
        listener: &TcpListener,
        answer: impl Fn(Request<Body>, IpAddr) -> F + Clone + Send + Sync + 'static,
    ) where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let place = self.room.place().await;
                (place, listener.accept().await)
            };
            tokio::select! {
                () = &mut stop => return,
                (place, accepted) = accepted => match (place, accepted) {
                    (Some(place), Ok((stream, peer))) => match self.room.seat(place, peer.ip()) {
                        Some(seat) => self.attend(stream, seat, answer.clone()),
                        None => tracing::debug!(address = %peer.ip(), "an address has too many connections"),
                    },
                    (_, Err(error)) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                    (None, _) => return,
                },
            }
        }
    }

    fn attend<F>(
        &self,
        stream: TcpStream,
        seat: Seat,
        answer: impl Fn(Request<Body>, IpAddr) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        // Answers are small and complete: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let activity = Activity::new(self.patience);
        let wire = TokioIo::new(Wire { socket: stream, activity: activity.clone() });
        let (builder, watcher, address) = (self.builder.clone(), self.connections.watcher(), seat.address());
        tokio::spawn(async move {
            let turns = activity.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (turn, answer) = (turns.begin(), answer(request.map(Body::new), address));
                async move { Ok::<_, Infallible>(answer.await.map(|body| Watched::new(body, turn))) }
            });
            let watched = watcher.watch(builder.serve_connection(wire, service).into_owned());
            tokio::select! {
                ended = watched => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = activity.stalled() => tracing::debug!(%address, "a connection did nothing for too long"),
            }
            drop(seat);
        });
    }
}

fn builder(settings: &config::Http) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(settings.header_timeout_ms))
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_concurrent_streams(100);
    builder
}
