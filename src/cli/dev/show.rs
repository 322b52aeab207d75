//! What a running demo says about itself: the block on the terminal and the ready file.

use serde::Serialize;
use uuid::Uuid;

use crate::config::Config;
use crate::ops::{DEMO_OPERATOR, DEMO_PASSWORD, DemoTenant, DemoUser};

/// The content of `--ready-file`; its keys are a contract with scripts.
#[derive(Serialize)]
pub(super) struct Ready {
    pub(super) url: String,
    port: u16,
    domain: String,
    admin_url: String,
    ops_url: String,
    database_url: String,
    operator: Operator,
    tenants: Vec<Tenant>,
}

#[derive(Serialize)]
struct Operator {
    email: &'static str,
    password: &'static str,
}

#[derive(Serialize)]
struct Tenant {
    id: Uuid,
    subdomain: String,
    url: String,
    users: Vec<DemoUser>,
}

impl Ready {
    /// `config` holds the addresses that we really listen on.
    pub(super) fn new(config: &Config, tenants: Vec<DemoTenant>) -> Self {
        let tenants = tenants.into_iter().map(|tenant| Tenant {
            id: tenant.id,
            url: url(config, &format!("{}.", tenant.subdomain)),
            subdomain: tenant.subdomain,
            users: tenant.users,
        });
        Self {
            url: url(config, ""),
            port: config.http.public_port,
            domain: config.domain.clone(),
            admin_url: url(config, "admin."),
            ops_url: format!("http://{}", config.http.ops_listen),
            database_url: config.database.url.expose().to_owned(),
            operator: Operator { email: DEMO_OPERATOR, password: DEMO_PASSWORD },
            tenants: tenants.collect(),
        }
    }

    /// Where to look and how to sign in; `dev` is how `insula dev` is called again.
    pub(super) fn block(&self, dev: &str) -> String {
        let Some(first) = self.tenants.first() else { return String::new() };
        let owner = first.users.first().map_or("", |user| user.email.as_str());
        let width = self.tenants.iter().map(|tenant| tenant.url.len()).max().unwrap_or(0).max(self.admin_url.len());
        let line =
            |label: &str, url: &str, who: &str| format!("{label:<10} {url:<width$}    {who} / {DEMO_PASSWORD}\n");
        let mut text = line("Console", &self.admin_url, self.operator.email);
        text.push_str(&line(&capital(&first.subdomain), &first.url, owner));
        text.push_str(&format!(
            "Try        curl -s '{}/api/v1/contacts?limit=3' -H \"Authorization: Bearer $({dev} token {})\"\n",
            first.url, first.subdomain
        ));
        text.push_str(&format!("Mail       {}/dev/mail\n", self.url));
        if cfg!(target_os = "macos") && self.domain == "localhost" {
            text.push_str(&format!("Safari     needs this line in /etc/hosts: {}\n", self.hosts_line()));
        }
        text.push_str(&format!("Ctrl-C stops; data is kept. `{dev} reset` starts over."));
        text
    }

    /// Safari does not resolve names below `localhost` by itself.
    fn hosts_line(&self) -> String {
        let names = self.tenants.iter().map(|tenant| format!(" {}.{}", tenant.subdomain, self.domain));
        format!("127.0.0.1 admin.{}{}", self.domain, names.collect::<String>())
    }
}

fn url(config: &Config, prefix: &str) -> String {
    let (scheme, domain) = (&config.http.public_scheme, &config.domain);
    match (scheme.as_str(), config.http.public_port) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{prefix}{domain}"),
        (_, port) => format!("{scheme}://{prefix}{domain}:{port}"),
    }
}

fn capital(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

/// `acme, techstart (crm) · testcompany (starter)` from pairs of subdomain and plan.
pub(super) fn by_plan(tenants: &[(String, String)]) -> String {
    let mut plans: Vec<(&str, Vec<&str>)> = Vec::new();
    for (subdomain, plan) in tenants {
        match plans.iter_mut().find(|(name, _)| name == plan) {
            Some((_, members)) => members.push(subdomain),
            None => plans.push((plan, vec![subdomain])),
        }
    }
    let group = |(plan, members): &(&str, Vec<&str>)| format!("{} ({plan})", members.join(", "));
    plans.iter().map(group).collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_grouped_by_plan() {
        let pairs = [("acme", "crm"), ("testcompany", "starter"), ("techstart", "crm")];
        let pairs = pairs.map(|(tenant, plan)| (tenant.to_owned(), plan.to_owned()));
        assert_eq!(by_plan(&pairs), "acme, techstart (crm) · testcompany (starter)");
    }
}
