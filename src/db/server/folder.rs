//! The data folder of the private server and the files beside it.
//!
//! Of a data folder `pg`, beside it: `pg.lock` (held while a server of ours uses the folder), `pg.password`
//! (of the superuser), `pg.log`, and `pg.new.*` while the first start is under way. `pg` itself appears by a
//! rename when it is complete, so a first start that was killed leaves nothing that looks like data.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SUPERUSER;
use super::account::{self, Account, run};
use super::binaries::Binaries;
use crate::error::{Error, Result};

/// Above this size the log starts anew at the next start.
const LOG_LIMIT: u64 = 4 << 20;

const OTHER_USER: &str = "It may belong to another user, who started it first.";

/// A data folder that only we use, until this value is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) data: PathBuf,
    pub(super) account: Option<Account>,
    _lock: File,
}

impl Folder {
    /// Settles where the data lives and locks it; says in `notes` what the user would not expect.
    pub(super) fn open(wanted: &Path, notes: &mut Vec<String>) -> Result<Self> {
        let (data, account) = account::settle(wanted)?;
        let lock = lock(&data)?;
        if let Some(account) = &account {
            notes.push(format!("Running as root, so PostgreSQL runs as the user {}.", account.name));
            if fs::canonicalize(wanted.parent().unwrap_or(wanted)).ok().as_deref() != data.parent() {
                let (wanted, data) = (wanted.display(), data.display());
                notes.push(format!("The user {} cannot enter {wanted}; the data is in {data}.", account.name));
            }
        }
        Ok(Self { data, account, _lock: lock })
    }

    /// A program that runs for this folder.
    pub(super) fn command(&self, binaries: &Binaries, program: &str) -> Command {
        account::command(&binaries.program(program), self.account.as_ref())
    }

    /// `pg_ctl stop` in one of its modes, with a bound on the wait in seconds.
    pub(super) fn stop_command(&self, binaries: &Binaries, mode: &str, seconds: u32) -> Command {
        let mut command = self.command(binaries, "pg_ctl");
        command.arg("stop").arg("-D").arg(&self.data).args(["-m", mode, "-w", "-t", &seconds.to_string()]);
        command
    }

    /// Makes the folder ready for a server of this version, and gives the superuser's password.
    pub(super) async fn prepare(&self, binaries: &Binaries, durable: bool, notes: &mut Vec<String>) -> Result<String> {
        let file = self.beside("password");
        let kept = fs::read_to_string(&file).ok().filter(|password| !password.is_empty());
        match (self.holds_data_for(binaries)?, kept) {
            (true, Some(password)) => Ok(password),
            (true, None) => {
                notes.push(format!("{} was missing: the superuser has a new password.", file.display()));
                let password = random_hex::<24>()?;
                self.reset_password(binaries, &password)?;
                self.write_password(&password)?;
                Ok(password)
            }
            (false, kept) => {
                let password = kept.map_or_else(random_hex::<24>, Ok)?;
                self.write_password(&password)?;
                self.initialise(binaries, durable, notes).await?;
                Ok(password)
            }
        }
    }

    fn holds_data_for(&self, binaries: &Binaries) -> Result<bool> {
        match fs::read_to_string(self.data.join("PG_VERSION")) {
            Ok(major) if major.trim() == binaries.version.0.to_string() => Ok(true),
            Ok(major) => Err(self.other_version(&major, binaries)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// `initdb` into a new folder with a name of its own (one that was orphaned may still be writing), then a
    /// rename.
    async fn initialise(&self, binaries: &Binaries, durable: bool, notes: &mut Vec<String>) -> Result<()> {
        self.refuse_strange_files()?;
        if self.remove_unfinished()? {
            notes.push("An earlier first start was interrupted; it was started afresh.".into());
        }
        let new = self.beside(&format!("new.{}", random_hex::<4>()?));
        fs::DirBuilder::new().mode(0o700).create(&new).map_err(Error::internal)?;
        self.give(&new)?;
        let mut initdb = self.command(binaries, "initdb");
        initdb.arg("-D").arg(&new).arg("--pwfile").arg(self.beside("password"));
        initdb.args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]);
        initdb.args(["--no-instructions", "--no-sync"]);
        run(initdb).await?;
        fs::rename(&new, &self.data).map_err(Error::internal)?;
        if durable {
            self.write_out(binaries);
        }
        Ok(())
    }

    /// Writes the new folder to the disk while the server starts, since that takes as long as making it. A machine that
    /// loses its power in those seconds loses a server in which nothing was.
    fn write_out(&self, binaries: &Binaries) {
        let mut sync = self.command(binaries, "initdb");
        sync.args(["--sync-only", "-D"]).arg(&self.data);
        tokio::spawn(async move {
            if let Err(error) = run(sync).await {
                tracing::warn!("the new data folder may not be on the disk yet: {error}");
            }
        });
    }

    /// Removes the data and what stands beside it, except for the lock that we hold.
    pub(super) fn erase(&self) -> Result<()> {
        self.refuse_strange_files()?;
        self.remove_unfinished()?;
        let gone = |done: std::io::Result<()>| match done {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.unreadable(&error)),
            _ => Ok(()),
        };
        gone(fs::remove_file(self.beside("password")))?;
        gone(fs::remove_file(self.beside("log")))?;
        gone(fs::remove_dir_all(&self.data))
    }

    /// Data folders are filled and erased, so one that holds something else is not touched.
    fn refuse_strange_files(&self) -> Result<()> {
        let is_data = self.data.join("PG_VERSION").exists();
        if !is_data && fs::read_dir(&self.data).is_ok_and(|mut entries| entries.next().is_some()) {
            let data = self.data.display();
            return Err(Error::conflict(format!("{data} holds files that are not PostgreSQL's.")));
        }
        Ok(())
    }

    /// Removes what interrupted first starts left; says whether there was anything.
    fn remove_unfinished(&self) -> Result<bool> {
        let prefix = self.beside("new.").into_os_string().into_encoded_bytes();
        let mut any = false;
        let parent = self.data.parent().unwrap_or(Path::new("/"));
        for entry in fs::read_dir(parent).map_err(Error::internal)?.flatten() {
            if entry.path().as_os_str().as_encoded_bytes().starts_with(&prefix) {
                any = true;
                fs::remove_dir_all(entry.path()).map_err(Error::internal)?;
            }
        }
        Ok(any)
    }

    /// Writes the password into a file that only the user who runs PostgreSQL (and root) can read.
    fn write_password(&self, password: &str) -> Result<()> {
        let draft = self.beside("password.new");
        let _ = fs::remove_file(&draft);
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(password.as_bytes()))
            .map_err(Error::internal)?;
        self.give(&draft)?;
        fs::rename(&draft, self.beside("password")).map_err(Error::internal)
    }

    /// Sets the superuser's password without knowing the old one, in single-user mode.
    fn reset_password(&self, binaries: &Binaries, password: &str) -> Result<()> {
        let mut postgres = self.command(binaries, "postgres");
        postgres.arg("--single").arg("-D").arg(&self.data).arg("postgres");
        postgres.stdin(std::process::Stdio::piped()).stdout(self.log()?).stderr(self.log()?);
        let mut child = postgres.spawn().map_err(Error::internal)?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "alter role {SUPERUSER} password '{password}'").map_err(Error::internal)?;
        }
        let status = child.wait().map_err(Error::internal)?;
        if status.success() { Ok(()) } else { Err(self.failed_with_log("did not take a new password", 0)) }
    }

    /// The log, open for appending; it starts anew when it has grown large.
    pub(super) fn log(&self) -> Result<File> {
        let file =
            File::options().append(true).create(true).mode(0o600).open(self.beside("log")).map_err(Error::internal)?;
        if file.metadata().map_err(Error::internal)?.len() > LOG_LIMIT {
            file.set_len(0).map_err(Error::internal)?;
        }
        Ok(file)
    }

    /// The last lines that were logged after `start` bytes.
    pub(super) fn log_tail(&self, start: u64) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(self.beside("log")) {
            let _ = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes));
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n  ")
    }

    /// An error of the server, with what it said since `start` in its log.
    pub(super) fn failed_with_log(&self, what: &str, start: u64) -> Error {
        let log = self.beside("log");
        Error::unavailable(format!("PostgreSQL {what}. The end of {}:\n  {}", log.display(), self.log_tail(start)))
    }

    /// A file that belongs to the folder and stands beside it.
    pub(super) fn beside(&self, what: &str) -> PathBuf {
        beside(&self.data, what)
    }

    /// Hands a file or folder to the user who runs PostgreSQL.
    fn give(&self, path: &Path) -> Result<()> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        chown(path, Some(account.uid), Some(account.gid)).map_err(Error::internal)
    }

    pub(super) fn unreadable(&self, error: &std::io::Error) -> Error {
        Error::unavailable(format!("{} cannot be used: {error}.", self.data.display())).hint(OTHER_USER)
    }

    fn other_version(&self, major: &str, binaries: &Binaries) -> Error {
        let (data, major, found) = (self.data.display(), major.trim(), binaries.version_text());
        Error::conflict(format!("{data} holds data of PostgreSQL {major}, and {} is {found}.", binaries.dir.display()))
            .hint(format!(
                "Name the programs of PostgreSQL {major} with --pg-bin, or start over with `insula dev reset`."
            ))
    }
}

fn beside(data: &Path, what: &str) -> PathBuf {
    let mut name: OsString = data.into();
    name.push(".");
    name.push(what);
    name.into()
}

/// Takes the folder for us. The system gives the lock back when we end, however we end, so it is never stale.
fn lock(data: &Path) -> Result<File> {
    let path = beside(data, "lock");
    let failed = |error: std::io::Error| {
        Error::unavailable(format!("{} cannot be locked: {error}.", path.display())).hint(OTHER_USER)
    };
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(Error::conflict(format!(
                "{} is in use by another run (pid {}).",
                data.display(),
                holder.trim()
            ))
            .hint("Stop that one first, or give this one a data folder of its own."));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// `N` random bytes in hexadecimal.
fn random_hex<const N: usize>() -> Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(super::hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once() {
        let data = std::env::temp_dir().join(format!("insula-lock-{}", std::process::id()));
        let held = lock(&data).unwrap();
        let refused = lock(&data).unwrap_err();
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
        drop(held);
        lock(&data).unwrap();
        fs::remove_file(beside(&data, "lock")).unwrap();
    }
}
