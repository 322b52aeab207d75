//! A TCP proxy in front of PostgreSQL: it counts round trips, goes away, freezes, and cuts in the middle.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use insula::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::world::World;

/// What the network between the service and PostgreSQL does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Everything passes.
    Open,
    /// Connections are closed, new ones too.
    Away,
    /// Nothing passes and nothing is closed. What was caught in it never moves again.
    Frozen,
    /// What was connected before is dead, which nobody has noticed yet: it breaks when it is used. New connections live.
    Stale,
    /// Connections break after `commit` has reached the server, before its answer comes back.
    CutAfterCommit,
    /// The answer to `commit` never comes, and nothing breaks.
    HoldAfterCommit,
    /// Connections break when `commit` is about to be passed on.
    CutBeforeCommit,
}

/// A proxy; it ends with the test's runtime.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    network: watch::Sender<Network>,
    gather: Duration,
    connections: AtomicUsize,
    round_trips: AtomicUsize,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub connections: usize,
    pub round_trips: usize,
}

impl Proxy {
    /// A world whose service reaches PostgreSQL through a proxy. What a client sends within `gather` counts as one
    /// message, so that a pause of the machine is not taken for a round trip.
    pub async fn before_world(gather: Duration, adjust: impl FnOnce(&mut Config)) -> (World, Self) {
        let mut proxy = None;
        let world = World::with(|mut config| {
            let made = Self::start(port_of(config.database.url.expose()), gather);
            config.database.url = made.lead(config.database.url.expose()).into();
            adjust(&mut config);
            proxy = Some(made);
            config
        });
        (world.await, proxy.unwrap())
    }

    /// A proxy before the PostgreSQL of a world, and the URL that leads through it.
    pub fn beside(world: &World) -> (Self, String) {
        let proxy = Self::start(port_of(&world.database_url), Duration::ZERO);
        let url = proxy.lead(&world.database_url);
        (proxy, url)
    }

    fn start(target: u16, gather: Duration) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target: (Ipv4Addr::LOCALHOST, target).into(),
            network: watch::Sender::new(Network::Open),
            gather,
            connections: AtomicUsize::new(0),
            round_trips: AtomicUsize::new(0),
        });
        tokio::spawn(accept(TcpListener::from_std(listener).unwrap(), shared.clone()));
        Self { port, shared }
    }

    /// The URL of the server, by way of here.
    fn lead(&self, url: &str) -> String {
        url.replacen(&format!(":{}/", port_of(url)), &format!(":{}/", self.port), 1)
    }

    /// Changes what the network does, for all connections.
    pub fn set(&self, network: Network) {
        self.shared.network.send_replace(network);
    }

    /// What was counted since the start.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.shared.connections.load(Ordering::SeqCst),
            round_trips: self.shared.round_trips.load(Ordering::SeqCst),
        }
    }
}

fn port_of(url: &str) -> u16 {
    let authority = url.rsplit_once('@').unwrap().1;
    let port = authority.split_once(':').unwrap().1;
    port.split('/').next().unwrap().parse().unwrap()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(carry(client, shared.clone()));
    }
}

async fn carry(mut client: TcpStream, shared: Arc<Shared>) {
    let mut network = shared.network.subscribe();
    let stands_still = |network: &Network| matches!(network, Network::Away | Network::Frozen);
    let mut server = None;
    if !stands_still(&network.borrow()) {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let stream = server.insert(TcpStream::connect(shared.target).await.unwrap());
        stream.set_nodelay(true).unwrap();
        client.set_nodelay(true).unwrap();
        tokio::select! {
            biased;
            _ = network.wait_for(stands_still) => {}
            _ = pass(&mut client, stream, &shared) => return,
        }
    }
    if *network.borrow() == Network::Frozen {
        // Both ends stay open and silent, even when others pass again.
        let _held = (client, server);
        std::future::pending::<()>().await;
    }
}

/// Carries both directions until an end closes or the connection is cut.
async fn pass(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (mut up, mut down) = (Vec::with_capacity(1 << 16), vec![0; 1 << 16]);
    let mut asking = false;
    let born_stale = *shared.network.borrow() == Network::Stale;
    loop {
        up.clear();
        tokio::select! {
            read = client.read_buf(&mut up) => {
                let mut read = read?;
                while read > 0 && !shared.gather.is_zero() {
                    read = match timeout(shared.gather, client.read_buf(&mut up)).await {
                        Ok(more) => more?,
                        Err(_) => break,
                    };
                }
                if up.is_empty() {
                    return Ok(());
                }
                if !std::mem::replace(&mut asking, true) {
                    shared.round_trips.fetch_add(1, Ordering::SeqCst);
                }
                let network = *shared.network.borrow();
                let commits = contains(&up, b"commit");
                if (network == Network::CutBeforeCommit && commits) || (network == Network::Stale && !born_stale) {
                    return Ok(());
                }
                server.write_all(&up).await?;
                if matches!(network, Network::CutAfterCommit | Network::HoldAfterCommit) && commits {
                    hear_end(server).await?;
                    while network == Network::HoldAfterCommit && client.read(&mut down).await? > 0 {}
                    return Ok(());
                }
            }
            read = server.read(&mut down) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                asking = false;
                client.write_all(&down[..read]).await?;
            }
        }
    }
}

/// Reads the answers that nobody gets to see, to the end of the transaction.
async fn hear_end(server: &mut TcpStream) -> std::io::Result<()> {
    let mut answers = Vec::new();
    while !contains(&answers, b"COMMIT\0") && !contains(&answers, b"ROLLBACK\0") {
        if server.read_buf(&mut answers).await? == 0 {
            break;
        }
    }
    Ok(())
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
