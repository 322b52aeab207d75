//! `insula doctor`: what is missing or wrong, a line each, with the next command.

use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use super::Exit;
use super::context::Context;
use super::health::is_alive;
use super::output::Mark;
use crate::app::{open_database, open_platform};
use crate::auth::load_keyring;
use crate::config::{Config, Http};
use crate::db::seal::SealingKey;
use crate::db::{Database, pending_public};
use crate::error::{Error, Result};
use crate::mail::Mailer;
use crate::ops::{Selection, ServerFacts, has_signing_keys, pending_tenants, server_facts, unfinished_operations};

/// First minor version of each major one without CVE-2026-15741 and CVE-2026-18408.
const SAFE: [(i32, i32); 4] = [(15, 19), (16, 15), (17, 11), (18, 6)];

/// The oldest major version that we work with.
const OLDEST: i32 = 15;

/// What was found so far.
struct Report<'a> {
    context: &'a Context,
    rows: Vec<Json>,
    bad: bool,
}

pub(super) async fn run(context: &Context) -> Result<Exit> {
    let mut report = Report { context, rows: Vec::new(), bad: false };
    match context.config() {
        Ok(config) => {
            report.good("configuration", "readable")?;
            report.installation(config).await?;
        }
        Err(error) => report.failed("configuration", &error, "insula config")?,
    }
    if context.out.json() {
        context.out.document(&Json::Array(report.rows))?;
    }
    Ok(if report.bad { Exit::Failed } else { Exit::Done })
}

impl Report<'_> {
    fn add(&mut self, mark: Mark, name: &str, text: &str, next: Option<&str>) -> Result<()> {
        self.bad |= mark == Mark::Bad;
        let state = match mark {
            Mark::Good => "ok",
            Mark::Warning => "warning",
            Mark::Bad => "error",
        };
        self.rows.push(json!({ "check": name, "state": state, "detail": text, "next": next }));
        if self.context.out.json() { Ok(()) } else { self.context.out.verdict(mark, name, text, next) }
    }

    fn good(&mut self, name: &str, text: &str) -> Result<()> {
        self.add(Mark::Good, name, text, None)
    }

    /// Who runs `doctor` may see causes.
    fn failed(&mut self, name: &str, error: &Error, next: &str) -> Result<()> {
        let text = format!("{} {}", error.message(), error.private_context());
        self.add(Mark::Bad, name, text.trim(), Some(next))
    }

    async fn installation(&mut self, mut config: Config) -> Result<()> {
        let has_key = self.key(&config)?;
        if !has_key {
            // Whether the server can be reached does not depend on it.
            config.encryption.key = SealingKey::generate()?.into();
        }
        if config.database.url.expose().is_empty() {
            self.add(Mark::Bad, "PostgreSQL", "no database is configured", Some("export DATABASE_URL=postgresql://…"))?;
        } else {
            self.database(&config, has_key).await?;
        }
        self.mail(&config).await?;
        self.ports(&config.http).await
    }

    /// Whether letters would leave.
    async fn mail(&mut self, config: &Config) -> Result<()> {
        let mailer = match Mailer::new(config) {
            Ok(mailer) => mailer,
            Err(error) => return self.failed("mail", &error, "insula config"),
        };
        if !mailer.is_on() {
            let text = "is off: nobody can be invited, and nobody who forgot his password gets another";
            return self.add(Mark::Warning, "mail", text, Some("export INSULA_MAIL_URL=smtps://user:password@host"));
        }
        match mailer.probe().await {
            Ok(way) => self.good("mail", &way),
            Err(reason) => {
                let next = "look after the mail server, or `mail.url`; letters wait for a day";
                self.add(Mark::Bad, "mail", &reason.to_string(), Some(next))
            }
        }
    }

    fn key(&mut self, config: &Config) -> Result<bool> {
        let key = config.encryption.key.expose();
        if key.is_empty() {
            self.add(
                Mark::Bad,
                "encryption key",
                "is missing",
                Some("export INSULA_ENCRYPTION_KEY=$(insula key generate)"),
            )?;
            return Ok(false);
        }
        match SealingKey::from_base64(key) {
            Ok(_) => self.good("encryption key", "well-formed").map(|()| true),
            Err(error) => self.failed("encryption key", &error, "insula key generate").map(|()| false),
        }
    }

    async fn database(&mut self, config: &Config, has_key: bool) -> Result<()> {
        let database = match open_database(config) {
            Ok(database) => database,
            Err(error) => return self.failed("PostgreSQL", &error, "insula config"),
        };
        match server_facts(&database).await {
            Ok(facts) => self.server(&facts)?,
            Err(error) => return self.failed("PostgreSQL", &error, "psql \"$DATABASE_URL\" -c 'select 1'"),
        }
        let behind = pending_public(&database).await?;
        if !behind.is_empty() {
            let text = format!("{} migrations are pending, the first {}", behind.len(), behind[0]);
            return self.add(Mark::Bad, "public schema", &text, Some("insula migrate"));
        }
        self.good("public schema", "up to date")?;
        if has_key {
            self.fits(&database, config).await?;
        }
        self.tenants(config).await?;
        self.operations(&database).await
    }

    fn server(&mut self, facts: &ServerFacts) -> Result<()> {
        let (major, minor) = (facts.version_num / 10_000, facts.version_num % 10_000);
        let unsafe_below = SAFE.iter().find(|(safe, first)| *safe == major && minor < *first);
        match unsafe_below {
            _ if major < OLDEST => {
                let text = format!("{} is too old: {OLDEST} or newer is needed", facts.version);
                self.add(Mark::Bad, "PostgreSQL", &text, Some("upgrade the server"))?;
            }
            Some((_, first)) => {
                let text = format!("{} has CVE-2026-15741 and CVE-2026-18408", facts.version);
                self.add(Mark::Warning, "PostgreSQL", &text, Some(&format!("upgrade the server to {major}.{first}")))?;
            }
            None => self.good("PostgreSQL", &facts.version)?,
        }
        self.role(facts)
    }

    fn role(&mut self, facts: &ServerFacts) -> Result<()> {
        let (role, database) = (&facts.role, &facts.database);
        let next = |sql: String| format!("psql, as superuser: {sql}");
        if facts.is_superuser {
            let text = format!("{role} is superuser, more than the service needs");
            return self.add(
                Mark::Warning,
                "control role",
                &text,
                Some(&next(format!("alter role \"{role}\" nosuperuser createrole"))),
            );
        }
        if !facts.creates_roles {
            let text = format!("{role} may not make the roles of tenants");
            return self.add(
                Mark::Bad,
                "control role",
                &text,
                Some(&next(format!("alter role \"{role}\" createrole"))),
            );
        }
        if !facts.owns_database {
            let text = format!("{role} does not own the database {database}");
            let sql = format!("alter database \"{database}\" owner to \"{role}\"");
            return self.add(Mark::Bad, "control role", &text, Some(&next(sql)));
        }
        self.good("control role", &format!("{role} owns {database}, makes roles, is not superuser"))
    }

    /// Whether the key opens what the database holds.
    async fn fits(&mut self, database: &Database, config: &Config) -> Result<()> {
        if !has_signing_keys(database).await? {
            return Ok(());
        }
        match load_keyring(database, &config.auth.issuer).await {
            Ok(_) => self.good("stored secrets", "the encryption key opens them"),
            Err(_) => {
                let next = "set INSULA_ENCRYPTION_KEY to the key that this installation was started with";
                self.add(Mark::Bad, "stored secrets", "the encryption key does not open them", Some(next))
            }
        }
    }

    async fn tenants(&mut self, config: &Config) -> Result<()> {
        let platform = match open_platform(config).await {
            Ok(platform) => platform,
            Err(error) => return self.failed("packs", &error, "insula pack check"),
        };
        self.good("packs", "loaded")?;
        match pending_tenants(&platform, &Selection::default()).await?.as_slice() {
            [] => self.good("tenants", "up to date"),
            pending @ [first, ..] => {
                let text =
                    format!("{} packs are pending, the first {} of {}", pending.len(), first.pack, first.subdomain);
                self.add(Mark::Bad, "tenants", &text, Some("insula migrate"))
            }
        }
    }

    async fn operations(&mut self, database: &Database) -> Result<()> {
        match unfinished_operations(database).await?.as_slice() {
            [] => self.good("operations", "none was abandoned"),
            unfinished => {
                let text = format!("not finished after a minute: {}", unfinished.join(", "));
                self.add(Mark::Warning, "operations", &text, Some("insula migrate"))
            }
        }
    }

    async fn ports(&mut self, http: &Http) -> Result<()> {
        let alive = is_alive(&http.ops_listen).await;
        for (name, address) in [("service port", &http.listen), ("ops port", &http.ops_listen)] {
            match TcpListener::bind(address).await {
                Ok(_) => self.good(name, &format!("{address} is free"))?,
                Err(_) if alive => self.good(name, &format!("{address} is served"))?,
                Err(error) => {
                    self.add(
                        Mark::Warning,
                        name,
                        &format!("{address}: {error}"),
                        Some("choose another address: `insula config`"),
                    )?;
                }
            }
        }
        Ok(())
    }
}
