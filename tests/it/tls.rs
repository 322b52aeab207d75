//! The wire to PostgreSQL: encrypted when it must be, to the right server when that must be, never in plain by accident.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use insula::app::open_database;
use insula::config::Config;
use insula::db::Database;
use insula::db::seal::SealingKey;
use insula::db::server::{Server, ServerOptions, erase, find_binaries, start};
use tokio_postgres::Client;

use super::world::{config, connect};

/// A server of its own, because whether it speaks TLS is a setting of the whole server.
struct Private {
    server: Server,
    url: String,
    certificates: PathBuf,
    root: Client,
}

impl Private {
    async fn start(folder: &Path) -> Self {
        let binaries = find_binaries(None, &target().join("postgresql"), |_| {}).await.unwrap();
        let options = ServerOptions { data_dir: folder.join("pg"), durable: false, max_connections: 20 };
        let server = start(&binaries, options).await.unwrap();
        let url = server.ensure_database("tls", "tls").await.unwrap();
        let root = connect(&server.superuser_url("tls")).await;
        Self { server, url, certificates: folder.to_owned(), root }
    }

    /// Switches TLS on with a certificate for a name, without a restart.
    async fn present(&self, name: &str) {
        for kind in ["crt", "key"] {
            let to = self.server.data_dir().join(format!("server.{kind}"));
            fs::copy(self.certificates.join(format!("{name}.{kind}")), &to).unwrap();
            fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
            let owner = fs::metadata(self.server.data_dir()).unwrap();
            chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        self.root.batch_execute("alter system set ssl = on").await.unwrap();
        let before = self.loaded().await;
        self.root.batch_execute("select pg_reload_conf()").await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.loaded().await == before {
            assert!(Instant::now() < deadline, "the server does not reload");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// When the settings were last loaded, in a session that was opened afterwards.
    async fn loaded(&self) -> String {
        let fresh = connect(&self.server.superuser_url("tls")).await;
        fresh.query_one("select pg_conf_load_time()::text || current_setting('ssl')", &[]).await.unwrap().get(0)
    }

    fn config(&self, mode: &str, authority: Option<&str>) -> Config {
        let url = if mode.is_empty() { self.url.clone() } else { format!("{}?sslmode={mode}", self.url) };
        let mut config = config(&url, &SealingKey::generate().unwrap(), "tls");
        if let Some(authority) = authority {
            config.database.ca_file = self.certificates.join(authority).to_str().unwrap().to_owned();
        }
        config
    }

    /// Whether our connection is encrypted, as the server sees it.
    async fn encrypted(&self, mode: &str, authority: Option<&str>) -> Result<bool, String> {
        let database: Database = open_database(&self.config(mode, authority)).map_err(|error| error.to_string())?;
        let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let rows = database.look_up(sql, &[]).await.map_err(|error| error.private_context())?;
        Ok(rows[0].get(0))
    }
}

fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Two authorities, and of the first a certificate for this machine and one for another.
fn make_certificates(folder: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for authority in ["ours", "theirs"] {
        let (crt, secret, subject) =
            (format!("{authority}.crt"), format!("{authority}.key"), format!("/CN={authority}"));
        let own = ["req", "-x509", "-days", "2", "-subj", &subject, "-keyout", &secret, "-out", &crt];
        openssl(folder, &[&own[..], &key].concat());
    }
    for (name, address) in [("here", "IP:127.0.0.1"), ("elsewhere", "DNS:db.elsewhere.test")] {
        let (crt, secret, csr) = (format!("{name}.crt"), format!("{name}.key"), format!("{name}.csr"));
        let subject = format!("/CN={name}");
        let ask = ["req", "-new", "-subj", &subject, "-keyout", &secret, "-out", &csr];
        openssl(folder, &[&ask[..], &key].concat());
        fs::write(folder.join("extensions"), format!("basicConstraints=CA:FALSE\nsubjectAltName={address}\n")).unwrap();
        let sign =
            ["x509", "-req", "-days", "2", "-in", &csr, "-CA", "ours.crt", "-CAkey", "ours.key", "-CAcreateserial"];
        openssl(folder, &[&sign[..], &["-extfile", "extensions", "-out", &crt]].concat());
    }
}

#[tokio::test]
async fn the_wire_is_as_safe_as_the_url_demands() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: there is no openssl on this machine to make certificates with");
        return;
    }
    // `pg-<process>` is what the clean-up of a killed run looks for.
    let folder = target().join(format!("pg-{}.tls", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    make_certificates(&folder);
    let private = Private::start(&folder).await;

    // A server without TLS is refused where TLS is demanded, and served on loopback where nothing is.
    assert_eq!(private.encrypted("", None).await, Ok(false));
    assert_eq!(private.encrypted("disable", None).await, Ok(false));
    for mode in ["require", "verify-full"] {
        let refused = private.encrypted(mode, Some("ours.crt")).await.unwrap_err();
        assert!(refused.contains("server does not support TLS"), "{refused}");
    }

    // Encrypted: whoever it is for `require`, only the right one for `verify-full`.
    private.present("here").await;
    assert_eq!(private.encrypted("disable", None).await, Ok(false));
    assert_eq!(private.encrypted("require", None).await, Ok(true));
    assert_eq!(private.encrypted("verify-full", Some("ours.crt")).await, Ok(true));
    let refused = private.encrypted("verify-full", Some("theirs.crt")).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    let refused = private.encrypted("verify-full", None).await.unwrap_err();
    assert!(refused.contains("certificate"), "the system's authorities do not know it: {refused}");
    let refused = private.encrypted("verify-full", Some("missing.crt")).await.unwrap_err();
    assert!(refused.contains("database.ca_file"), "{refused}");
    assert!(private.encrypted("prefer", None).await.unwrap_err().contains("not supported"));

    // The right authority, the wrong name.
    private.present("elsewhere").await;
    assert_eq!(private.encrypted("require", None).await, Ok(true));
    let refused = private.encrypted("verify-full", Some("ours.crt")).await.unwrap_err();
    assert!(refused.contains("not valid for"), "{refused}");

    private.server.stop().await.unwrap();
    let binaries = find_binaries(None, &target().join("postgresql"), |_| {}).await.unwrap();
    erase(&binaries, &folder.join("pg")).await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
}
