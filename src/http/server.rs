//! Sockets: accepting, limits per connection, and a clean end.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::front::Front;
use super::ops_port;
use super::routes::{operator_routes, router, tenant_routes};
use crate::app::App;
use crate::config;
use crate::error::{Error, Result};

/// All headers of a request together, in bytes.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
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
    let settings = app.config.http.clone();
    let tenant = router(tenant_routes(), app.clone());
    let operator = router(operator_routes(), app.clone());
    let front = Arc::new(Front::new(app.clone(), tenant, operator));
    let ops = axum::serve(listeners.ops, ops_port::router(app.clone()))
        .with_graceful_shutdown(app.stop.clone().cancelled_owned());
    let ops = tokio::spawn(ops.into_future());
    let connections = GracefulShutdown::new();
    accept_until(stop, &listeners.service, &front, &connections, &settings).await;
    app.draining.cancel();
    drop(listeners.service);
    let grace = Duration::from_secs(settings.shutdown_grace_seconds);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight after the grace period");
    }
    app.shut_down().await;
    ops.await.map_err(Error::internal)?.map_err(Error::internal)
}

async fn accept_until(
    stop: impl Future<Output = ()>,
    listener: &TcpListener,
    front: &Arc<Front>,
    connections: &GracefulShutdown,
    settings: &config::Http,
) {
    let room = Arc::new(Semaphore::new(settings.max_connections));
    let builder = builder(settings);
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let permit = room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => return,
            (permit, accepted) = accepted => match (permit, accepted) {
                (Ok(permit), Ok((stream, peer))) => attend(stream, peer.ip(), permit, &builder, front.clone(), connections),
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                (Err(_), _) => return,
            },
        }
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
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEADER_BYTES as u32).max_concurrent_streams(100);
    builder
}

fn attend(
    stream: TcpStream,
    address: IpAddr,
    permit: OwnedSemaphorePermit,
    builder: &auto::Builder<TokioExecutor>,
    front: Arc<Front>,
    connections: &GracefulShutdown,
) {
    // Answers are small and complete: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let patience = Duration::from_millis(front.header_timeout_ms());
    let (builder, watcher) = (builder.clone(), connections.watcher());
    tokio::spawn(async move {
        // The protocol's own limits begin with its first byte; who never sends one is shown out here.
        let spoke = tokio::select! {
            spoke = tokio::time::timeout(patience, stream.readable()) => matches!(spoke, Ok(Ok(()))),
            () = front.draining() => false,
        };
        if !spoke {
            return;
        }
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let front = front.clone();
            async move { Ok::<_, Infallible>(front.answer(request.map(Body::new), address).await) }
        });
        let watched = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(permit);
    });
}
