//! A tenant comes into being with data that was another's: reserve → load → activate.
//!
//! Like a creation, with rows in place of an empty schema: `load` is one transaction, so that an arrival that is abandoned
//! before its end is undone, and after it finished.

use std::sync::Arc;

use serde_json::json;

use super::super::backup::{Header, Pieces, Tell, Told, Touch, enter, load};
use super::super::journal::Operation;
use super::super::provision::{self, NewTenant, Owner, Provisioned, Term};
use super::super::{Platform, modules};
use super::fault::reach;
use crate::db::{By, Place, Transaction};
use crate::error::{Error, Result};
use crate::ident::{Ident, Subdomain};
use crate::pack::schema_sql;

/// Kinds of operations whose steps are these.
pub const KINDS: [&str; 2] = [CLONE, RESTORE];

/// A copy of a tenant.
pub const CLONE: &str = "tenant.clone";

/// A tenant out of a backup.
pub const RESTORE: &str = "tenant.restore_as";

/// Who comes.
pub struct Arrival {
    /// [`CLONE`] or [`RESTORE`].
    pub kind: &'static str,
    /// Its name in URLs.
    pub subdomain: Subdomain,
    /// Its name for people.
    pub name: String,
    /// Plan or edition; else that of the data.
    pub plan: Option<String>,
    /// Whether no letter leaves it.
    pub sandbox: bool,
    /// What is done with its rows.
    pub touch: Option<Touch>,
    /// Who asked.
    pub by: By,
}

/// Takes a tenant in. On an error nothing of it is left and its name is free again.
pub async fn arrive(
    platform: &Platform,
    arrival: Arrival,
    header: Arc<Header>,
    mut pieces: Pieces,
    tell: Tell,
) -> Result<Provisioned> {
    let platform = platform.clone();
    let work = async move { take_in(&platform, &arrival, &header, &mut pieces, &tell).await };
    tokio::spawn(work).await.map_err(Error::internal)?
}

async fn take_in(
    platform: &Platform,
    arrival: &Arrival,
    header: &Header,
    pieces: &mut Pieces,
    tell: &Tell,
) -> Result<Provisioned> {
    let new = newcomer(arrival, header)?;
    let operation = Operation::start(platform).await?;
    let (mut operation, place) = provision::reserve(platform, operation, &new).await?;
    reach(&format!("{}.reserve", arrival.kind))?;
    let sql = "update public.operations set kind = $2, step = 'load', input = $3 where id = $1";
    let input = json!({ "from": header.tenant.subdomain, "made_at": header.made_at });
    operation.control.execute(sql, &[&operation.id, &arrival.kind, &input]).await?;
    let id = operation.id;
    tell(Told::Begun(id));
    let mut tx = operation.control.begin_by(&arrival.by).await?;
    let mut operation = match fill(platform, &mut tx, arrival, &place, header, pieces, tell).await {
        Ok(()) => Operation { id, control: tx.commit_and_keep().await? },
        Err(cause) => {
            provision::undo(Operation { id, control: tx.rollback().await? }, place.tenant, Some(&cause)).await?;
            return Err(cause);
        }
    };
    operation.step("activate").await?;
    reach(&format!("{}.activate", arrival.kind))?;
    provision::activate(operation, place.tenant, &arrival.by).await?;
    Ok(Provisioned { id: place.tenant, subdomain: new.subdomain.as_str().to_owned(), place: Arc::new(place) })
}

/// Its users come with its data, the owner among them.
fn newcomer(arrival: &Arrival, header: &Header) -> Result<NewTenant> {
    let plan = arrival.plan.clone().or_else(|| header.terms.plan.clone()).ok_or_else(|| {
        Error::validation().field("#/plan", "required", "is required: the data is of a tenant without a plan")
    })?;
    let nobody =
        Owner { email: String::new(), first_name: String::new(), last_name: String::new(), password_hash: None };
    Ok(NewTenant {
        subdomain: arrival.subdomain.clone(),
        name: arrival.name.clone(),
        plan,
        term: Term::Active,
        owner: nobody,
        by: arrival.by.clone(),
    })
}

async fn fill(
    platform: &Platform,
    tx: &mut Transaction,
    arrival: &Arrival,
    place: &Place,
    header: &Header,
    pieces: &mut Pieces,
    tell: &Tell,
) -> Result<()> {
    tx.take_time().await?;
    modules::lock_tenant(tx, place.tenant).await?;
    let sql =
        "update public.tenants set sandbox = $2, timezone = $3, audit_origin = nullif($4, schema_name) where id = $1";
    let origin = header.audit_origin();
    tx.execute(sql, &[&place.tenant, &arrival.sandbox, &header.tenant.timezone, &origin]).await?;
    take_terms(tx, arrival, place, header).await?;
    let login = Ident::new(format!("{}_b{}", platform.database.instance().as_str(), place.bucket.0))?;
    tx.batch(&schema_sql(place, &login)).await?;
    load(platform, tx, place, header, pieces, arrival.touch.as_ref(), tell).await?;
    let what = json!({ "from": header.tenant.subdomain, "made_at": header.made_at, "by": arrival.by.name });
    let action = if arrival.kind == CLONE { "clone" } else { "restore" };
    enter(tx, place, action, &what).await?;
    reach(&format!("{}.load", arrival.kind))
}

/// What was bought beside the plan, as far as it is still sold.
async fn take_terms(tx: &mut Transaction, arrival: &Arrival, place: &Place, header: &Header) -> Result<()> {
    let sql = "insert into public.tenant_subscriptions (tenant_id, module_code, state, current_period_start, current_period_end)
        select $1, m.code, 'active', (now() at time zone 'Asia/Kolkata')::date,
          ((now() at time zone 'Asia/Kolkata')::date + interval '1 month')::date
        from public.modules m where m.code = any ($2)";
    tx.execute(sql, &[&place.tenant, &header.terms.modules]).await?;
    let sql = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
        select $1, m.code, $3, $4, $5 from public.modules m where m.code = $2";
    for word in &header.terms.overrides {
        tx.execute(sql, &[&place.tenant, &word.module, &word.enabled, &word.reason, &arrival.by.name]).await?;
    }
    Ok(())
}
