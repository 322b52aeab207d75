//! Settings: embedded defaults < file < environment < flags. `default.toml` is their manual.

#![expect(clippy::disallowed_methods, reason = "this is the wrapper that the ban points to")]

use std::net::IpAddr;
use std::path::Path;
use std::{env, fmt, fs};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::ident::{Ident, is_host_name};

const DEFAULTS: &str = include_str!("default.toml");
const MASK: &str = "********";
/// Variables with our prefix that belong to single commands.
const NO_SETTINGS: [&str; 3] = ["config", "owner_password", "operator_password"];
const SECRETS: [&str; 3] = ["database.url", "encryption.key", "mail.url"];

/// A value that nothing prints.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value itself; the caller keeps it out of logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// All settings in force. The fields are explained in `default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is explained in default.toml, once")]
pub struct Config {
    pub instance: String,
    pub domain: String,
    pub http: Http,
    pub database: Database,
    pub encryption: Encryption,
    pub auth: Auth,
    pub mail: Mail,
    pub signup: Signup,
    pub tenants: Tenants,
    pub backup: Backup,
    pub limits: Limits,
    pub jobs: Jobs,
    pub cache: Cache,
    pub packs: Packs,
    pub log: Log,
    /// Whether this is `insula dev`; no setting.
    #[serde(skip)]
    pub development: bool,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "each key is explained in default.toml, once")]
        pub struct $name { $(pub $field: $type),* }
    };
}

section!(/// `[http]`
    Http { listen: String, ops_listen: String, public_scheme: String, public_port: u16, body_limit_bytes: usize, bulk_body_limit_bytes: usize,
        header_timeout_ms: u64, idle_timeout_ms: u64, write_timeout_ms: u64, request_timeout_ms: u64, shutdown_grace_seconds: u64,
        max_connections: usize, max_connections_per_address: usize, trusted_proxies: String, client_header: ClientHeader });
section!(/// `[database]`
    Database { url: Secret, ca_file: String, control_pool: usize, bucket_pool: usize, tenant_connections: usize,
        wait_ms: u64, connect_timeout_ms: u64, statement_timeout_ms: u64, control_statement_timeout_ms: u64, long_work_timeout_ms: u64,
        statement_cache: usize });
section!(/// `[encryption]`
    Encryption { key: Secret });
section!(/// `[auth]`
    Auth { issuer: String, access_token_seconds: u64, refresh_token_seconds: u64, session_seconds: u64, operator_session_seconds: u64, api_key_days: u32, hashing_threads: usize,
        wrong_per_account: u32, wrong_per_address: u32, wrong_per_tenant: u32, longest_wait_seconds: u32 });
section!(/// `[mail]`
    Mail { url: Secret, from: String });
section!(/// `[signup]`
    Signup { mode: SignupMode, plan: String, trial_days: u16, at_once: usize, hourly: usize, hourly_per_address: usize });
section!(/// `[tenants]`
    Tenants { redirect_days: u32, grace_days: u32, shelf_days: u32, ready_schemas: u32, migrate_on_request: bool });
section!(/// `[backup]`
    Backup { encrypt: bool, folder: String, every_hours: u32, keep_days: u32 });
section!(/// `[limits]`
    Limits { tenant_per_minute: u32, key_per_minute: u32, sign_in_per_minute: u32, guest_per_minute: u32, guests_per_minute: u32 });
section!(/// `[jobs]`
    Jobs { look_every_seconds: u64 });
section!(/// `[cache]`
    Cache { seconds: u64, capacity: u64 });
section!(/// `[packs]`
    Packs { path: String });
section!(/// `[log]`
    Log { format: LogFormat, level: String });

/// Where proxies say who their client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientHeader {
    /// The addresses of all hops, separated by commas.
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl Http {
    /// The networks of the proxies that are believed; `None` when one of them is none.
    pub fn trusted_networks(&self) -> Option<Vec<IpNet>> {
        let network = |text: &str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
        self.trusted_proxies.split(',').map(str::trim).filter(|text| !text.is_empty()).map(network).collect()
    }
}

/// Who may create a tenant without an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignupMode {
    /// Anybody.
    Open,
    /// Nobody.
    Closed,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For people.
    Text,
}

/// One row of `insula config`.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// Dotted name.
    pub key: String,
    /// The value in force; secrets are masked.
    pub value: String,
    /// Where it came from.
    pub source: String,
}

/// The layers before they are read as one [`Config`].
pub struct Layers(Figment);

impl Layers {
    /// Stacks the defaults, the file (`--config`, else `INSULA_CONFIG`) and the environment.
    pub fn collect(file: Option<&Path>) -> Result<Self> {
        let mut figment = Figment::new().merge(Toml::string(DEFAULTS));
        let named = file.map(Path::to_path_buf).or_else(|| variable("INSULA_CONFIG").map(Into::into));
        if let Some(path) = named {
            if !path.is_file() {
                return Err(Error::malformed(format!("The configuration file {} does not exist.", path.display())));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        if let Some(url) = variable("DATABASE_URL") {
            figment = figment.merge(Serialized::global("database.url", url));
        }
        let env = Env::prefixed("INSULA_").ignore(&NO_SETTINGS).map(|key| dotted(key.as_str()).into());
        let mut layers = Self(figment);
        for (key, path) in
            env.iter().filter_map(|(key, path)| Some((key.as_str().strip_suffix("_file")?.to_owned(), path)))
        {
            if layers.0.contains(&key) {
                let text = fs::read_to_string(&path).map_err(|error| {
                    Error::malformed(format!("Cannot read {path} for the setting `{key}`: {error}."))
                })?;
                layers = layers.with(&key, text.trim_end());
            }
        }
        let known = layers.0.clone();
        let env = env.filter(move |key| !key.as_str().strip_suffix("_file").is_some_and(|key| known.contains(key)));
        Ok(Self(layers.0.merge(env)))
    }

    /// Puts a flag on top.
    #[must_use]
    pub fn with(self, key: &str, value: impl Serialize) -> Self {
        Self(self.0.merge(Serialized::global(key, value)))
    }

    /// Reads and checks the settings.
    pub fn read(&self) -> Result<Config> {
        let config: Config = self.0.extract_lossy().map_err(|error| {
            let message = Error::malformed(format!("The configuration is not valid: {error}."));
            message.hint("`insula config` lists all keys with their values and where each came from.")
        })?;
        config.check()?;
        Ok(config)
    }

    /// Every key with its value and origin, secrets masked.
    pub fn settings(&self) -> Result<Vec<Setting>> {
        let root: Json = self.0.extract().map_err(|error| Error::malformed(error.to_string()))?;
        let mut rows = Vec::new();
        flatten("", &root, &mut rows);
        Ok(rows.into_iter().map(|(key, value)| Setting { source: self.source(&key), value, key }).collect())
    }

    fn source(&self, key: &str) -> String {
        match self.0.find_metadata(key) {
            Some(metadata) if metadata.name.contains("environment") => "environment".into(),
            Some(metadata) => match metadata.source.as_ref().and_then(figment::Source::file_path) {
                Some(path) => path.display().to_string(),
                None if metadata.name.contains("TOML") => "default".into(),
                None => "flag".into(),
            },
            None => "default".into(),
        }
    }
}

fn flatten(prefix: &str, tree: &Json, rows: &mut Vec<(String, String)>) {
    match tree {
        Json::Object(members) => {
            for (name, value) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, rows);
            }
        }
        Json::String(text) if !text.is_empty() && SECRETS.contains(&prefix) => rows.push((prefix.into(), MASK.into())),
        Json::String(text) => rows.push((prefix.into(), text.clone())),
        other => rows.push((prefix.into(), other.to_string())),
    }
}

impl Config {
    /// Where customers reach a tenant; without a path.
    pub fn tenant_url(&self, subdomain: &str) -> String {
        format!("{}://{subdomain}.{}{}", self.http.public_scheme, self.domain, self.port_suffix())
    }

    fn port_suffix(&self) -> String {
        let settings = &self.http;
        let listening = settings.listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = if settings.public_port == 0 { listening.unwrap_or_default() } else { settings.public_port };
        match (settings.public_scheme.as_str(), port) {
            ("http", 80) | ("https", 443) => String::new(),
            (_, port) => format!(":{port}"),
        }
    }

    fn check(&self) -> Result<()> {
        let bad = |key: &str, why: &str| Err(Error::malformed(format!("The setting `{key}` {why}.")));
        if Ident::new(&*self.instance).is_err() || self.instance.len() > 16 {
            return bad("instance", "must be at most 16 lower-case letters, digits or `_`, starting with a letter");
        }
        if !is_host_name(&self.domain) {
            return bad("domain", "must be a host name in small letters, such as example.com, without scheme and port");
        }
        if !(60..=3600).contains(&self.auth.access_token_seconds) {
            return bad("auth.access_token_seconds", "must be from 60 to 3600");
        }
        let lives = [self.auth.refresh_token_seconds, self.auth.session_seconds];
        if !lives.iter().all(|life| (self.auth.access_token_seconds..=31_536_000).contains(life)) {
            return bad(
                "auth.refresh_token_seconds",
                "and auth.session_seconds must be from access_token_seconds to 31536000",
            );
        }
        if !(self.auth.access_token_seconds..=2_592_000).contains(&self.auth.operator_session_seconds) {
            return bad("auth.operator_session_seconds", "must be from access_token_seconds to 2592000");
        }
        if !(1..=3660).contains(&self.auth.api_key_days) {
            return bad("auth.api_key_days", "must be from 1 to 3660");
        }
        if !(1..=100).contains(&self.auth.wrong_per_account) {
            return bad("auth.wrong_per_account", "must be from 1 to 100");
        }
        if !(1..=3600).contains(&self.auth.longest_wait_seconds) {
            return bad("auth.longest_wait_seconds", "must be from 1 to 3600");
        }
        if self.database.tenant_connections == 0 || self.database.bucket_pool == 0 || self.database.control_pool < 2 {
            return bad("database", "needs at least 1 connection per bucket and tenant, and 2 for control");
        }
        if self.tenants.redirect_days > 90 {
            return bad("tenants.redirect_days", "must be at most 90: then the name is free for others");
        }
        if self.tenants.grace_days > 3660 {
            return bad("tenants.grace_days", "must be at most 3660");
        }
        if self.tenants.shelf_days > 3660 {
            return bad("tenants.shelf_days", "must be at most 3660");
        }
        if self.tenants.ready_schemas > 100 {
            return bad("tenants.ready_schemas", "must be at most 100");
        }
        if !(1..=8760).contains(&self.backup.every_hours) {
            return bad("backup.every_hours", "must be from 1 to 8760");
        }
        if !(1..=36_600).contains(&self.backup.keep_days) {
            return bad("backup.keep_days", "must be from 1 to 36600");
        }
        if self.jobs.look_every_seconds > 3600 {
            return bad("jobs.look_every_seconds", "must be from 0 to 3600");
        }
        if self.http.trusted_networks().is_none() {
            return bad(
                "http.trusted_proxies",
                "must be addresses or networks such as 10.0.0.0/8, separated by commas",
            );
        }
        if !matches!(self.http.public_scheme.as_str(), "http" | "https") {
            return bad("http.public_scheme", "must be http or https");
        }
        Ok(())
    }
}

/// An environment variable that is set to something.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// `DATABASE_POOL_SIZE` names `database.pool_size`: sections are single words.
fn dotted(variable: &str) -> String {
    variable.to_ascii_lowercase().replacen('_', ".", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_work_is_refused_by_its_name() {
        let refusal = |key: &str, value: &str| {
            let layers = Layers(Figment::new().merge(Toml::string(DEFAULTS))).with(key, value);
            layers.read().err().map(|error| error.message().into_owned())
        };
        for (key, bad, good) in [
            ("domain", "https://example.com", "example.com"),
            ("domain", "example.com:8080", "localhost"),
            ("auth.access_token_seconds", "59", "60"),
            ("auth.access_token_seconds", "3601", "3600"),
            ("auth.operator_session_seconds", "899", "900"),
            ("auth.api_key_days", "0", "1"),
            ("auth.api_key_days", "3661", "3660"),
            ("auth.wrong_per_account", "0", "1"),
            ("auth.longest_wait_seconds", "3601", "3600"),
            ("backup.every_hours", "0", "1"),
            ("backup.keep_days", "0", "1"),
            ("tenants.redirect_days", "91", "90"),
            ("tenants.grace_days", "3661", "3660"),
            ("tenants.shelf_days", "3661", "0"),
            ("tenants.ready_schemas", "101", "0"),
            ("jobs.look_every_seconds", "3601", "0"),
            ("http.trusted_proxies", "10.0.0.0/8, proxy", "10.0.0.0/8, ::1,192.0.2.7"),
        ] {
            let said = refusal(key, bad).unwrap_or_else(|| panic!("{key} = {bad} is accepted"));
            assert!(said.contains(&format!("The setting `{key}` must be ")), "{said}");
            assert_eq!(refusal(key, good), None, "{key} = {good}");
        }
    }
}
