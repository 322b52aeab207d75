//! Which tenant a request means.
//!
//! A tenant is named by the host, by `X-Tenant-ID` or `X-Tenant-Subdomain`, and by the token's `tid` claim. All that
//! are present must agree. Whether a contradicting name exists makes no difference to the answer.

use std::sync::Arc;

use uuid::Uuid;

use super::registry::{Tenant, Tenants, tenant_not_found};
use crate::error::{Error, Kind, Result};

/// What a host stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// `<subdomain>.<domain>`
    Subdomain(String),
    /// `admin.<domain>`, for operators.
    Admin,
    /// The apex domain or a bare address: it names nobody.
    Neutral,
    /// Any other name: perhaps a tenant's own domain.
    Custom(String),
}

impl Host {
    /// Reads an authority such as `Acme.example.com.:8080`.
    pub fn parse(authority: &str, domain: &str) -> Self {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
            _ => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if name == domain || bare.parse::<std::net::IpAddr>().is_ok() {
            return Self::Neutral;
        }
        match name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')) {
            Some("admin") => Self::Admin,
            Some(subdomain) => Self::Subdomain(subdomain.to_owned()),
            None => Self::Custom(name),
        }
    }
}

/// All names that a request gives.
#[derive(Debug, Clone)]
pub struct Named {
    /// From the host.
    pub host: Host,
    /// `X-Tenant-ID`, as sent.
    pub id: Option<String>,
    /// `X-Tenant-Subdomain`, as sent.
    pub subdomain: Option<String>,
    /// `tid` of an accepted token.
    pub claim: Option<Uuid>,
}

impl Named {
    /// The tenant, if every name means it.
    pub async fn resolve(&self, tenants: &Tenants) -> Result<Arc<Tenant>> {
        let tenant = self.find(tenants).await?;
        if !tenant.is_known() {
            return Err(tenant_not_found());
        }
        if !self.agrees(&tenant) {
            return Err(mismatch());
        }
        tenant.in_service()
    }

    /// Looks up the strongest name only: host, then token, then header.
    async fn find(&self, tenants: &Tenants) -> Result<Arc<Tenant>> {
        if let Some(tenant) = tenants.by_host(&self.host).await? {
            return Ok(tenant);
        }
        match (self.claim, &self.id, &self.subdomain) {
            (Some(id), ..) => tenants.by_id(id).await,
            (None, Some(id), _) => tenants.by_id(id.parse().map_err(|_| tenant_not_found())?).await,
            (None, None, Some(subdomain)) => tenants.by_subdomain(&subdomain.to_ascii_lowercase()).await,
            (None, None, None) => Err(unnamed()),
        }
    }

    fn agrees(&self, tenant: &Tenant) -> bool {
        self.claim.is_none_or(|id| id == tenant.id)
            && self.id.as_ref().is_none_or(|id| id.parse() == Ok(tenant.id))
            && self.subdomain.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&tenant.subdomain))
    }
}

fn mismatch() -> Error {
    Error::new(Kind::Forbidden, "tenant_mismatch", "The host, the headers and the token do not name the same account.")
}

fn unnamed() -> Error {
    tenant_not_found()
        .hint("Use the account's own address, or name the account with X-Tenant-Subdomain or X-Tenant-ID.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_dns_reads_them() {
        let subdomain = |name: &str| Host::Subdomain(name.to_owned());
        for (authority, expected) in [
            ("acme.example.com", subdomain("acme")),
            ("ACME.Example.com.:8080", subdomain("acme")),
            ("admin.example.com:443", Host::Admin),
            ("example.com", Host::Neutral),
            ("127.0.0.1:8080", Host::Neutral),
            ("[::1]:8080", Host::Neutral),
            ("a.b.example.com", subdomain("a.b")),
            ("evilexample.com", Host::Custom("evilexample.com".into())),
            ("crm.acme.test", Host::Custom("crm.acme.test".into())),
            ("acme.example.com@evil.test", Host::Custom("evil.test".into())),
        ] {
            assert_eq!(Host::parse(authority, "example.com"), expected, "{authority}");
        }
    }
}
