//! `insula health`: asks the operations port of a service on this machine whether it is alive.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::Exit;
use super::context::Context;
use crate::error::{Error, Result};

const LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn run(context: &Context) -> Result<Exit> {
    let address = context.layers()?.read()?.http.ops_listen;
    let alive = is_alive(&address).await;
    if context.out.json() {
        context.out.document(&json!({ "alive": alive, "address": address }))?;
    } else {
        context.out.note(&if alive { format!("{address} is alive.") } else { format!("{address} is not alive.") });
    }
    Ok(if alive { Exit::Done } else { Exit::Failed })
}

/// Whether `GET /live` answers 200 in time.
pub(super) async fn is_alive(address: &str) -> bool {
    matches!(timeout(LIMIT, ask(address)).await, Ok(Ok(200)))
}

async fn ask(address: &str) -> Result<u16> {
    let address = lookup_host(address).await.map_err(Error::internal)?.next().ok_or_else(Error::not_found)?;
    let mut stream = TcpStream::connect(reachable(address)).await.map_err(Error::internal)?;
    let request = format!("GET /live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(Error::internal)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.map_err(Error::internal)?;
    let status = std::str::from_utf8(&head).ok().and_then(|head| head.strip_prefix("HTTP/1.1 ")?.parse().ok());
    status.ok_or_else(|| Error::internal("no HTTP answer"))
}

/// A service that listens on all addresses is reached on the loopback one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_on_loopback() {
        let reach = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(reach("[::]:9090"), "[::1]:9090");
        assert_eq!(reach("10.0.0.7:9090"), "10.0.0.7:9090");
    }
}
