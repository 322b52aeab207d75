//! A private PostgreSQL server, for `insula dev` and for the test suite.
//!
//! It listens on a free loopback port only, its superuser has a random password, and its data is kept between
//! starts. It never outlives us for long: [`Server::stop`] and `Drop` stop it, and when we are killed, a
//! watchman does (`launch::watch`).

mod account;
mod binaries;
mod folder;
mod launch;
mod leftover;

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

pub use self::binaries::{Binaries, find_binaries};
use self::folder::Folder;
use self::launch::{free_port, settings, watch};
use self::leftover::reclaim;
use crate::error::{Error, Result};
use crate::ident::Ident;

/// The name of the server's superuser, which only this module uses.
const SUPERUSER: &str = "insula_root";

/// How long a start may take; recovery after a crash can need most of it.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often we try again when the port or the shared memory was still in use.
const ATTEMPTS: u32 = 6;

/// What a private server shall be like.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The data folder. Files that belong to it stand beside it: `<data_dir>.log`, `.password`, `.lock`.
    pub data_dir: PathBuf,
    /// Whether data survives a crash of the machine; tests do without and are faster.
    pub durable: bool,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u32,
}

/// A running private server. Dropping it stops it at once; [`Server::stop`] is the friendly way.
#[derive(Debug)]
pub struct Server {
    binaries: Binaries,
    folder: Folder,
    port: u16,
    password: String,
    process: Option<Process>,
    notes: Vec<String>,
}

/// The server's process and the one that watches over us on its behalf.
#[derive(Debug)]
struct Process {
    postgres: Child,
    watchman: Child,
    _alive: Option<ChildStdin>,
}

/// How an attempt to start ended.
enum Outcome {
    Ready,
    /// The process has ended; the log says why.
    Exited,
}

/// Starts a private server and waits until it accepts connections.
///
/// The first start in a folder runs `initdb`. Whatever an earlier run left (a server whose parent was killed,
/// a stale pid file, half a first start) is cleared away. Fails when another run uses the folder, or
/// PostgreSQL does not start; then the message holds the end of its log.
pub async fn start(binaries: &Binaries, options: ServerOptions) -> Result<Server> {
    let mut notes = Vec::new();
    let folder = Folder::open(&options.data_dir, &mut notes)?;
    reclaim(&folder, binaries, &mut notes).await?;
    let password = folder.prepare(binaries, options.durable, &mut notes).await?;
    let mut server = Server { binaries: binaries.clone(), folder, port: 0, password, process: None, notes };
    for attempt in 1.. {
        let log_start = server.launch(&options)?;
        if let Outcome::Ready = server.wait_until_ready(log_start).await? {
            break;
        }
        let in_use = server.folder.log_tail(log_start).contains("in use");
        if !in_use || attempt == ATTEMPTS {
            return Err(server.folder.failed_with_log("did not start", log_start));
        }
        sleep(Duration::from_millis(300) * attempt).await;
    }
    Ok(server)
}

/// Removes a data folder and all that belongs to it, wherever [`start`] put it; fails while a run uses it.
pub async fn erase(binaries: &Binaries, data_dir: &Path) -> Result<()> {
    let folder = Folder::open(data_dir, &mut Vec::new())?;
    reclaim(&folder, binaries, &mut Vec::new()).await?;
    folder.erase()
}

impl Server {
    /// Where the superuser connects to a database.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The version, for example `15.18`.
    pub fn version(&self) -> String {
        self.binaries.version_text()
    }

    /// Where the data really is; as root it can be another folder than the one that was asked for.
    pub fn data_dir(&self) -> &Path {
        &self.folder.data
    }

    /// What happened at the start that the user would not expect, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Makes the control role of an instance and its database when they are missing, and gives the URL for
    /// them.
    pub async fn ensure_database(&self, instance: &str, database: &str) -> Result<String> {
        let role = Ident::new(format!("{instance}_control"))?;
        let database = Ident::new(database)?;
        // Derived, not random: whoever asks for the same instance later or meanwhile gets the same URL.
        let password = hex(&Sha256::digest(format!("{}:{}", self.password, role.as_str())));
        let client = connect(&self.superuser_url("postgres")).await.map_err(Error::internal)?;
        create(&client, &role, &password, &database).await.map_err(Error::internal)?;
        Ok(self.url(role.as_str(), &password, database.as_str()))
    }

    /// Stops the server: sessions are ended, everything is written. Bounded: a server that hangs is stopped
    /// the hard way and recovers at its next start.
    pub async fn stop(mut self) -> Result<()> {
        for (mode, seconds) in [("fast", 20), ("immediate", 5)] {
            if self.has_exited() || account::run(self.folder.stop_command(&self.binaries, mode, seconds)).await.is_ok()
            {
                break;
            }
        }
        self.reap();
        Ok(())
    }

    fn url(&self, user: &str, password: &str, database: &str) -> String {
        let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Spawns `postgres` on a free port and its watchman; gives the place in the log where this run begins.
    fn launch(&mut self, options: &ServerOptions) -> Result<u64> {
        self.port = free_port().map_err(Error::internal)?;
        let log = self.folder.log()?;
        let log_start = log.metadata().map_err(Error::internal)?.len();
        let mut command = self.folder.command(&self.binaries, "postgres");
        command.arg("-D").arg(&self.folder.data);
        for setting in settings(self.port, options) {
            command.args(["-c", &setting]);
        }
        command.stdout(log.try_clone().map_err(Error::internal)?).stderr(log);
        let mut postgres = command.spawn().map_err(|error| {
            Error::unavailable(format!("{} could not be started: {error}", self.binaries.dir.display()))
        })?;
        match watch(&self.folder, &self.binaries, postgres.id()) {
            Ok(mut watchman) => {
                let alive = watchman.stdin.take();
                self.process = Some(Process { postgres, watchman, _alive: alive });
                Ok(log_start)
            }
            Err(error) => {
                let _ = postgres.kill();
                let _ = postgres.wait();
                Err(Error::internal(error))
            }
        }
    }

    async fn wait_until_ready(&mut self, log_start: u64) -> Result<Outcome> {
        match timeout(START_LIMIT, self.ready_or_exited()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.folder.failed_with_log("did not accept connections within a minute", log_start)),
        }
    }

    async fn ready_or_exited(&mut self) -> Result<Outcome> {
        let url = self.superuser_url("postgres");
        loop {
            let attempt = connect(&url).await;
            if let Err(error) = &attempt
                && error.code() == Some(&SqlState::INVALID_PASSWORD)
            {
                // Perhaps a stranger took the port before us; then ours is about to end.
                sleep(Duration::from_millis(300)).await;
                if !self.has_exited() {
                    return Err(self.refused_password());
                }
            }
            if self.has_exited() {
                self.reap();
                return Ok(Outcome::Exited);
            }
            if attempt.is_ok() {
                return Ok(Outcome::Ready);
            }
            sleep(Duration::from_millis(15)).await;
        }
    }

    fn refused_password(&self) -> Error {
        let file = self.folder.beside("password");
        Error::unavailable(format!("PostgreSQL refuses the password in {}.", file.display()))
            .hint("Remove the file: the next start makes a new password.")
    }

    fn has_exited(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| matches!(process.postgres.try_wait(), Ok(Some(_))))
    }

    /// Ends what is left of the processes. The watchman goes last, but before the lock on the folder.
    fn reap(&mut self) {
        if let Some(mut process) = self.process.take() {
            for child in [&mut process.postgres, &mut process.watchman] {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.has_exited() {
            let _ = self.folder.stop_command(&self.binaries, "immediate", 5).output();
        }
        self.reap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the superuser's way in, which no pool holds")]
async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its errors reach the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

/// Creates what is missing; the lock keeps two callers from creating the same thing at once.
#[expect(clippy::disallowed_methods, reason = "`create role` and `create database` take no binds")]
async fn create(client: &Client, role: &Ident, password: &str, database: &Ident) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("select pg_advisory_lock(hashtextextended('insula', 0))").await?;
    let known = client.query_opt("select from pg_roles where rolname = $1", &[&role.as_str()]).await?.is_some();
    let verb = if known { "alter" } else { "create" };
    client.batch_execute(&format!("{verb} role {role} login createrole password '{password}'")).await?;
    let known = client.query_opt("select from pg_database where datname = $1", &[&database.as_str()]).await?.is_some();
    if !known {
        let text = format!("create database {database} owner {role} template template0 encoding 'UTF8'");
        client.batch_execute(&text).await?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_two_digits_each() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
