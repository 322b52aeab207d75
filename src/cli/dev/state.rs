//! What `insula dev` keeps beside its data: a lock while it runs, what other commands need to join it, its key.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::db::seal::SealingKey;
use crate::error::{Error, Result};

/// Who looks whether the lock is held, holds it for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(40);

/// How to join a running `insula dev`; the file is for its user only.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct State {
    pub(super) pid: u32,
    pub(super) url: String,
    instance: String,
    domain: String,
    issuer: String,
    database_url: String,
    encryption_key: String,
}

impl State {
    /// What other commands need of the settings in force.
    pub(super) fn of(config: &Config, url: &str) -> Self {
        Self {
            pid: std::process::id(),
            url: url.to_owned(),
            instance: config.instance.clone(),
            domain: config.domain.clone(),
            issuer: config.auth.issuer.clone(),
            database_url: config.database.url.expose().to_owned(),
            encryption_key: config.encryption.key.expose().to_owned(),
        }
    }

    /// Makes the settings those of the running process.
    pub(in crate::cli) fn apply(self, config: &mut Config) {
        config.instance = self.instance;
        config.domain = self.domain;
        config.auth.issuer = self.issuer;
        config.database.url = self.database_url.into();
        config.encryption.key = self.encryption_key.into();
    }
}

/// The folder, ours alone until this value is dropped.
pub(super) struct Claim {
    folder: PathBuf,
    _lock: File,
}

impl Claim {
    /// Makes the folder when it is missing; refuses one in which another process runs.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        make(folder).map_err(|error| unusable(folder, &error))?;
        let lock = File::create(lock_file(folder)).map_err(|error| unusable(folder, &error))?;
        for _ in 0..TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { folder: folder.to_owned(), _lock: lock }),
                Err(TryLockError::WouldBlock) => sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(unusable(folder, &error)),
            }
        }
        let who = read(folder)?.map_or_else(String::new, |state| format!(" (pid {}, {})", state.pid, state.url));
        Err(Error::conflict(format!("`insula dev` is running in {} already{who}.", folder.display()))
            .hint("Stop it with Ctrl-C, or name another folder with --data-dir."))
    }

    /// Tells other commands how to join us.
    pub(super) fn announce(&self, state: &State) -> Result<()> {
        let text = serde_json::to_string_pretty(state).map_err(Error::internal)?;
        write_private(&state_file(&self.folder), &text)
    }

    /// The key of this folder's data, made when it is missing.
    pub(super) fn key(&self) -> Result<String> {
        let file = self.key_file();
        match fs::read_to_string(&file) {
            Ok(key) => Ok(key.trim().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = SealingKey::generate()?;
                write_private(&file, &key)?;
                Ok(key)
            }
            Err(error) => Err(unusable(&file, &error)),
        }
    }

    /// Deletes the key: the data that it protected has gone.
    pub(super) fn forget_key(&self) -> Result<()> {
        match fs::remove_file(self.key_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(unusable(&self.key_file(), &error)),
            _ => Ok(()),
        }
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("encryption.key")
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fs::remove_file(state_file(&self.folder));
    }
}

/// A folder that we make ourselves says that nothing in it belongs into anybody's repository.
fn make(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join(".gitignore"), "*\n")
}

/// How to join the `insula dev` of a folder, when it runs and serves.
pub(in crate::cli) fn running(folder: &Path) -> Result<Option<State>> {
    let Ok(lock) = File::open(lock_file(folder)) else { return Ok(None) };
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read(folder),
        _ => Ok(None),
    }
}

fn read(folder: &Path) -> Result<Option<State>> {
    let file = state_file(folder);
    match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(Error::internal),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(&file, &error)),
    }
}

/// Writes a file that only its owner may read, all of it or nothing.
pub(super) fn write_private(file: &Path, text: &str) -> Result<()> {
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut out| out.write_all(format!("{}\n", text.trim_end()).as_bytes()).and_then(|()| out.sync_all()))
        .and_then(|()| fs::rename(&draft, file));
    written.map_err(|error| unusable(file, &error))
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("dev.json")
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("dev.lock")
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be used: {error}.", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_has_one_user_and_its_secrets_one_reader() {
        let folder = std::env::temp_dir().join(format!("insula-claim-{}", std::process::id()));
        let claim = Claim::take(&folder).unwrap();
        assert!(Claim::take(&folder).err().unwrap().to_string().contains("already"));
        let key = claim.key().unwrap();
        assert_eq!(claim.key().unwrap(), key);
        assert_eq!(fs::metadata(claim.key_file()).unwrap().permissions().mode() & 0o777, 0o600);
        drop(claim);
        assert!(running(&folder).unwrap().is_none());
        assert_eq!(Claim::take(&folder).unwrap().key().unwrap(), key);
        fs::remove_dir_all(folder).unwrap();
    }
}
