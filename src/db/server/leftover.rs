//! What an earlier run left in the data folder: a server that still runs, or a stale `postmaster.pid`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::account::{command_line, run};
use super::binaries::Binaries;
use super::folder::Folder;
use crate::error::{Error, Result};

/// Stops a server that outlived its parent, and sees to it that no stale pid file keeps PostgreSQL from
/// starting.
pub(super) async fn reclaim(folder: &Folder, binaries: &Binaries, notes: &mut Vec<String>) -> Result<()> {
    let file = folder.data.join("postmaster.pid");
    let content = match fs::read(&file) {
        Ok(content) => String::from_utf8_lossy(&content).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(folder.unreadable(&error)),
    };
    let Some(pid) = pid_of(&content) else {
        notes.push("Removed an unreadable postmaster.pid.".into());
        return fs::remove_file(&file).map_err(Error::internal);
    };
    match command_line(pid) {
        Some(line) if serves(&line, &folder.data) => {
            notes.push(format!("Stopped a server (pid {pid}) that an earlier run left behind."));
            return stop(folder, binaries).await;
        }
        Some(_) => notes.push(format!("Passed over a stale postmaster.pid: {pid} is another program by now.")),
        None => {}
    }
    fs::write(&file, disowned(&content)).map_err(Error::internal)
}

async fn stop(folder: &Folder, binaries: &Binaries) -> Result<()> {
    if run(folder.stop_command(binaries, "fast", 20)).await.is_ok() {
        return Ok(());
    }
    match run(folder.stop_command(binaries, "immediate", 10)).await {
        // It may have gone between the two.
        Err(_) if !folder.data.join("postmaster.pid").exists() => Ok(()),
        other => other.map(drop),
    }
}

/// The process in the first line of a `postmaster.pid`; a single-user server writes it negative.
fn pid_of(content: &str) -> Option<u32> {
    content.lines().next()?.trim().trim_start_matches('-').parse().ok().filter(|pid| *pid > 0)
}

/// The same `postmaster.pid` with a process that cannot exist. PostgreSQL would take a zombie, or whoever has
/// the number by now, for a live server. With this it goes on to its own check: whether the old shared memory
/// is still in use.
fn disowned(content: &str) -> String {
    let rest = content.split_once('\n').map_or("", |(_, rest)| rest);
    format!("{}\n{rest}", i32::MAX)
}

/// Whether a command line is that of a server on our data folder. A server whose own folder has gone counts
/// too: our folder may have been moved while it ran.
fn serves(line: &str, data: &Path) -> bool {
    let Some((program, rest)) = line.split_once(" -D ") else {
        return false;
    };
    let is_postgres = Path::new(program).file_name().is_some_and(|name| name == "postgres");
    let served = Path::new(rest.split(" -c ").next().unwrap_or(rest).trim());
    is_postgres && (served == data || !served.join("postmaster.pid").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_is_the_first_line_and_garbage_is_none() {
        assert_eq!(pid_of("4711\n/data\n1700000000\n5432\n"), Some(4711));
        assert_eq!(pid_of("-4711\n/data\n"), Some(4711));
        for garbage in ["", "\n", "0\n", "hello", "\u{fffd}\u{fffd}", "99999999999999"] {
            assert_eq!(pid_of(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn a_disowned_pid_file_keeps_the_shared_memory_key() {
        assert_eq!(
            disowned("4711\n/data\n1\n5432\n\n127.0.0.1\n 1 2\n"),
            "2147483647\n/data\n1\n5432\n\n127.0.0.1\n 1 2\n"
        );
    }

    #[test]
    fn only_a_server_on_this_folder_is_ours() {
        let data = std::env::temp_dir().join(format!("insula-serves-{}", std::process::id()));
        let other = data.with_extension("other");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("postmaster.pid"), "1").unwrap();
        let line = |program: &str, folder: &Path| format!("{program} -D {} -c port=1 -c fsync=off", folder.display());
        assert!(serves(&line("/usr/lib/a b/postgres", &data), &data));
        assert!(!serves(&line("/usr/bin/postgres", &other), &data));
        assert!(!serves(&line("/usr/bin/vim", &data), &data));
        assert!(!serves("postgres: checkpointer", &data));
        fs::remove_dir_all(&other).unwrap();
        assert!(serves(&line("/usr/bin/postgres", &other), &data), "the folder was moved");
    }
}
