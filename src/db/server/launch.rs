//! What a server is started with: a port, settings and a watchman.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};

use super::ServerOptions;
use super::account;
use super::binaries::Binaries;
use super::folder::Folder;

/// A port that is free now; should somebody take it before the server does, the start is tried again.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Settings on the command line: they hold for this run, whatever a file in the data folder says.
pub(super) fn settings(port: u16, options: &ServerOptions) -> Vec<String> {
    let mut settings = vec![
        format!("port={port}"),
        format!("max_connections={}", options.max_connections),
        "listen_addresses=127.0.0.1".into(),
        "unix_socket_directories=".into(),
        "shared_buffers=64MB".into(),
        "max_wal_size=256MB".into(),
        // A tenant has hundreds of tables, indexes and sequences, created in one transaction.
        "max_locks_per_transaction=256".into(),
        "logging_collector=off".into(),
    ];
    // Elsewhere PostgreSQL cannot see that a client has gone, and refuses the setting.
    if cfg!(any(target_os = "linux", target_os = "macos", target_os = "freebsd")) {
        settings.push("client_connection_check_interval=1s".into());
    }
    if !options.durable {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(Into::into));
    }
    settings
}

/// Starts a watchman: a shell that waits for the end of its input, which comes when we end, even by SIGKILL,
/// and then asks this very server to stop. (`PR_SET_PDEATHSIG` needs unsafe code, and Linux.)
pub(super) fn watch(folder: &Folder, binaries: &Binaries, pid: u32) -> std::io::Result<Child> {
    const SCRIPT: &str =
        r#"read -r _; read -r pid <"$1/postmaster.pid" && [ "$pid" = "$2" ] && exec "$0" kill INT "$2""#;
    let mut shell = account::command("/bin/sh".as_ref(), folder.account.as_ref());
    shell.arg("-c").arg(SCRIPT).arg(binaries.program("pg_ctl")).arg(&folder.data).arg(pid.to_string());
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_trade_durability_for_speed_and_nobody_else_does() {
        let options = |durable| ServerOptions { data_dir: "pg".into(), durable, max_connections: 50 };
        let fast = settings(5432, &options(false));
        let safe = settings(5432, &options(true));
        assert!(fast.contains(&"fsync=off".to_owned()));
        assert!(!safe.iter().any(|setting| setting.contains("fsync") || setting.contains("commit")));
        assert!(safe.contains(&"listen_addresses=127.0.0.1".to_owned()));
    }
}
