//! Many tenants of an edition, for benchmarks and trials of a migration.

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::provision::{NewTenant, Owner, Term, tenant_create};
use crate::db::By;
use crate::error::Result;
use crate::ident::Subdomain;

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Seed {
    /// How many tenants there shall be: `<prefix>-1`, `<prefix>-2`, ….
    pub number: usize,
    /// Plan or edition.
    pub plan: String,
    /// What their names begin with.
    pub prefix: String,
    /// How many are made at once; no more than the control pool has connections for.
    pub jobs: usize,
    /// Who asked.
    pub by: By,
}

/// Makes those that are not there yet, and tells of each; gives how many were made. Nobody has a password.
pub async fn seed_fleet(platform: &Platform, seed: &Seed, stop: &CancellationToken, tell: impl Fn()) -> Result<usize> {
    let sql = "select subdomain from public.tenants where starts_with(subdomain, $1)
        union all select subdomain from public.reserved_subdomains where starts_with(subdomain, $1)";
    let start = format!("{}-", seed.prefix);
    let rows = platform.database.control().await?.query(sql, &[&start]).await?;
    let taken: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let names = (1..=seed.number).map(|number| format!("{start}{number}")).filter(|name| !taken.contains(name));
    let most = platform.database.control_connections().saturating_sub(1).max(1);
    let made = stream::iter(names)
        .take_while(|_| std::future::ready(!stop.is_cancelled()))
        .map(|name| async move { tenant_create(platform, new_tenant(&name, seed)?).await })
        .buffer_unordered(seed.jobs.clamp(1, most))
        .try_fold(0, |made, _| {
            tell();
            std::future::ready(Ok(made + 1))
        });
    made.await
}

fn new_tenant(name: &str, seed: &Seed) -> Result<NewTenant> {
    let owner = Owner {
        email: format!("owner@{name}.test"),
        first_name: "Owner".to_owned(),
        last_name: String::new(),
        password_hash: None,
    };
    Ok(NewTenant {
        subdomain: Subdomain::new(name)?,
        name: format!("Seed {name}"),
        plan: seed.plan.clone(),
        term: Term::Active,
        owner,
        by: seed.by.clone(),
    })
}
