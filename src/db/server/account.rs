//! Who runs PostgreSQL's programs, where that user can keep data, and how the programs are started.
//!
//! PostgreSQL refuses to run as root, so root hands it to `postgres` or `nobody`; everybody else runs it as
//! oneself.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// A user of the machine that may run PostgreSQL for root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// The user's name, or its number when it has none.
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// `postgres`, or else `nobody`.
    pub(super) fn unprivileged() -> Result<Self> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        find(&passwd, |account| account.name == "postgres")
            .or_else(|| find(&passwd, |account| account.name == "nobody"))
            .ok_or_else(|| {
                Error::unavailable("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`.")
                    .hint("Create one: useradd --system postgres")
            })
    }

    /// The owner of a folder that exists already; none when there is no folder, or root owns it.
    pub(super) fn owner_of(folder: &Path) -> Option<Self> {
        let folder = fs::metadata(folder).ok().filter(|folder| folder.uid() != 0)?;
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut account = find(&passwd, |account| account.uid == folder.uid()).unwrap_or_else(|| Self {
            name: format!("#{}", folder.uid()),
            uid: folder.uid(),
            gid: folder.gid(),
        });
        account.gid = folder.gid();
        Some(account)
    }

    /// Whether this user may pass through a folder and all folders above it.
    pub(super) fn can_enter(&self, folder: &Path) -> bool {
        folder.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|folder| {
                let needed = match (folder.uid() == self.uid, folder.gid() == self.gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                folder.mode() & needed != 0
            })
        })
    }
}

/// The first line of `/etc/passwd` that fits: `name:password:uid:gid:…`.
fn find(passwd: &str, fits: impl Fn(&Account) -> bool) -> Option<Account> {
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Account { name, uid, gid })
        })
        .find(fits)
}

/// Whether we are root; the standard library does not say, `/proc` and `id` do.
pub(super) fn is_root() -> bool {
    match fs::metadata("/proc/self") {
        Ok(ourselves) => ourselves.uid() == 0,
        Err(_) => Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0"),
    }
}

/// Where the data goes, its parent folder made, and who runs PostgreSQL there; nobody else when we are not
/// root.
///
/// For root it is the wanted folder when that user can enter it, else a folder under `/var/lib` or the
/// temporary folder, whose name tells the wanted one.
pub(super) fn settle(wanted: &Path) -> Result<(PathBuf, Option<Account>)> {
    let wanted = with_parent(wanted)?;
    if !is_root() {
        return Ok((wanted, None));
    }
    let fallbacks = [PathBuf::from("/var/lib"), std::env::temp_dir()]
        .map(|base| base.join("insula").join(escaped(&wanted)))
        .into_iter()
        .filter(|folder| open_for_all(folder).is_ok())
        .map(|folder| folder.join("pg"));
    for data in std::iter::once(wanted.clone()).chain(fallbacks) {
        let account = Account::owner_of(&data).map_or_else(Account::unprivileged, Ok)?;
        if data.parent().is_some_and(|parent| account.can_enter(parent)) {
            return Ok((data, Some(account)));
        }
    }
    Err(Error::unavailable(format!(
        "PostgreSQL does not run as root, and no other user can enter {}.",
        wanted.display()
    )))
}

/// The path without links in its parent, which is made when it is missing; the folder itself need not exist.
fn with_parent(data: &Path) -> Result<PathBuf> {
    let data = std::path::absolute(data).map_err(Error::internal)?;
    let (Some(parent), Some(name)) = (data.parent(), data.file_name()) else {
        return Err(Error::malformed(format!("{} is no folder for data.", data.display())));
    };
    fs::create_dir_all(parent)
        .and_then(|()| fs::canonicalize(parent))
        .map(|parent| parent.join(name))
        .map_err(|error| Error::unavailable(format!("{} cannot be created: {error}.", parent.display())))
}

/// Makes `<base>/insula/<name>` with rights for everybody to pass, unless somebody else made it before us.
fn open_for_all(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for folder in folder.ancestors().take(2) {
        if fs::symlink_metadata(folder)?.uid() != 0 {
            return Err(ErrorKind::PermissionDenied.into());
        }
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// A path as one name that no other path has: `/root/a-b` is `root-a%2Db`.
fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%25").replace('-', "%2D");
    text.trim_start_matches('/').replace('/', "-")
}

/// One of PostgreSQL's programs, ready for its arguments.
///
/// It gets its own process group, so that Ctrl-C reaches only us, and an almost empty environment: `PGDATA`
/// and `PGOPTIONS` would change what it does, and our secrets are none of its business.
#[expect(clippy::disallowed_methods, reason = "what a child needs to start is no setting of ours")]
pub(super) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").process_group(0).stdin(Stdio::null()).env_clear();
    for kept in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Runs a program to its end and gives what it printed; a failure holds what it complained about.
pub(super) async fn run(command: Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| Error::unavailable(format!("{program} could not be started: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(Error::unavailable(format!("{program} failed ({}): {}", output.status, complaint.trim())))
}

/// The command line of a process that is alive; Linux tells it by `/proc`, others by `ps`.
pub(super) fn command_line(pid: u32) -> Option<String> {
    let line = match fs::read_to_string(format!("/proc/{pid}/cmdline")) {
        Ok(line) => line.replace('\0', " "),
        Err(error) if error.kind() == ErrorKind::NotFound && Path::new("/proc/self").exists() => return None,
        Err(_) => {
            let ps = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
            String::from_utf8_lossy(&ps.stdout).into_owned()
        }
    };
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\n\
                      odd:*:-2:-2::/:\npostgres:x:101:104:,,,:/var/lib:/bin/sh\n";
        let postgres = Account { name: "postgres".into(), uid: 101, gid: 104 };
        assert_eq!(find(passwd, |account| account.name == "postgres"), Some(postgres));
        assert_eq!(find(passwd, |account| account.name == "odd"), None);
    }

    #[test]
    fn a_stranger_may_not_enter_a_private_folder() {
        let private = folder_with_mode("private", 0o700);
        let us = fs::metadata(&private).unwrap();
        let owner = Account { name: String::new(), uid: us.uid(), gid: us.gid() };
        let stranger = Account { name: String::new(), uid: us.uid() + 1, gid: us.gid() + 1 };
        assert!(owner.can_enter(&private));
        assert!(!stranger.can_enter(&private));
        fs::remove_dir(private).unwrap();
    }

    #[test]
    fn our_own_command_line_is_found_and_a_dead_one_is_not() {
        assert!(command_line(std::process::id()).is_some());
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(command_line(child.id()), None);
    }

    #[test]
    fn escaped_paths_never_meet() {
        assert_eq!(escaped(Path::new("/root/a-b/.insula/pg")), "root-a%2Db-.insula-pg");
        assert_ne!(escaped(Path::new("/a-b/c")), escaped(Path::new("/a/b-c")));
    }

    fn folder_with_mode(name: &str, mode: u32) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("insula-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        folder
    }
}
