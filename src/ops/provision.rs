//! A tenant comes into being: reserve → build → activate.
//!
//! A schema of the plan that was made in advance is taken over instead, in one transaction.
//!
//! Each step is one transaction. `reserve` takes the name and counts the tenant into a bucket; `build` makes role,
//! schema, packs and owner; `activate` makes it routable. Abandoned before `build` was done, it is undone; after, it
//! is finished.

use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use super::journal::{Operation, conclude};
use super::life::fault::reach;
use super::{Platform, modules, ready};
use crate::auth::{is_email, new_owner_sql};
use crate::db::{By, Failure, Place, Transaction, choose_bucket};
use crate::error::{Error, Result};
use crate::ident::{Ident, Subdomain};
use crate::pack::{Pack, schema_sql};
use crate::tenant::place_of;

pub(super) const KIND: &str = "tenant.create";

/// The first user of a tenant.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Address.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name, or empty.
    pub last_name: String,
    /// PHC string; without one the owner cannot sign in until a password is set.
    pub password_hash: Option<String>,
}

/// On what terms a tenant begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// As a customer.
    Active,
    /// On trial for so many days.
    Trial(u16),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its name in URLs.
    pub subdomain: Subdomain,
    /// Its name for people.
    pub name: String,
    /// Plan or edition.
    pub plan: String,
    /// Terms.
    pub term: Term,
    /// First user.
    pub owner: Owner,
    /// Who asked.
    pub by: By,
}

/// A tenant in service.
#[derive(Debug, Clone)]
pub struct Provisioned {
    /// Its key.
    pub id: Uuid,
    /// Its name in URLs.
    pub subdomain: String,
    /// Where it lives.
    pub place: Arc<Place>,
}

/// Makes a tenant. On an error nothing of it is left and its name is free again.
///
/// It runs in a task of its own: a caller who goes away does not leave it half done.
pub async fn tenant_create(platform: &Platform, new: NewTenant) -> Result<Provisioned> {
    tenant_check(&new.name, &new.owner)?;
    if Ident::new(&*new.plan).is_err() {
        return Err(modules::unknown_plan(platform, &new.plan).await?);
    }
    let platform = platform.clone();
    tokio::spawn(async move { create(&platform, &new).await }).await.map_err(Error::internal)?
}

async fn create(platform: &Platform, new: &NewTenant) -> Result<Provisioned> {
    let place = match take_over(platform, new).await? {
        Some(place) => place,
        None => create_anew(platform, new).await?,
    };
    Ok(Provisioned { id: place.tenant, subdomain: new.subdomain.as_str().to_owned(), place: Arc::new(place) })
}

async fn create_anew(platform: &Platform, new: &NewTenant) -> Result<Place> {
    let operation = Operation::start(platform).await?;
    let (mut operation, place) = reserve(platform, operation, new).await?;
    reach("tenant.create.build")?;
    operation.step("build").await?;
    let mut operation = build(platform, operation, new, &place).await?;
    operation.step("activate").await?;
    reach("tenant.create.activate")?;
    activate(operation, place.tenant, &new.by).await?;
    Ok(place)
}

/// Moves the tenant into a schema that was made in advance, if there is one for its plan. That is one transaction: it
/// leaves nothing to settle.
async fn take_over(platform: &Platform, new: &NewTenant) -> Result<Option<Place>> {
    let mut tx = platform.database.control().await?.begin_by(&new.by).await?;
    let modules = modules::of_plan(&mut tx, &new.plan).await?;
    let packs = modules::packs_for(&platform.catalog, modules.iter().map(String::as_str));
    let Some(ready) = ready::claim(platform, &mut tx, &new.plan, &packs).await? else {
        tx.rollback().await?;
        return Ok(None);
    };
    match move_in(platform, &mut tx, new, &ready, &packs).await {
        Ok(place) => {
            tx.commit().await?;
            Ok(Some(place))
        }
        Err(cause) => {
            tx.rollback().await?;
            Err(cause)
        }
    }
}

async fn move_in(
    platform: &Platform,
    tx: &mut Transaction,
    new: &NewTenant,
    ready: &Place,
    packs: &[&Pack],
) -> Result<Place> {
    let place = register(platform, tx, new, Some(ready)).await?;
    let sql = format!("{}{}{}", ready::move_in_sql(ready, &place), owner_sql(&new.owner), modules::LEAVE_SEAT);
    tx.batch(&sql).await.map_err(refused_owner)?;
    modules::record_versions(tx, place.tenant, packs).await?;
    let id = Uuid::now_v7();
    Operation::record(id, tx, KIND, place.tenant, new.subdomain.as_str(), &new.by.name).await?;
    open(tx, id, place.tenant).await?;
    reach("tenant.create.move_in")?;
    Ok(place)
}

/// Refuses a name or owner that no tenant can have, with every field that is at fault.
pub fn tenant_check(name: &str, owner: &Owner) -> Result<()> {
    let has = |text: &str, least, most| (least..=most).contains(&text.trim().chars().count()) && !text.contains('\0');
    let mut faults = Error::validation();
    if !has(name, 1, 200) {
        faults = faults.field("#/company", "invalid_format", "must have 1 to 200 characters");
    }
    if !is_email(&owner.email) {
        faults = faults.field("#/email", "invalid_format", "must be a valid e-mail address");
    }
    if !has(&owner.first_name, 1, 100) {
        faults = faults.field("#/first_name", "invalid_format", "must have 1 to 100 characters");
    }
    if !has(&owner.last_name, 0, 100) {
        faults = faults.field("#/last_name", "invalid_format", "must have at most 100 characters");
    }
    faults.if_any()
}

/// Takes the name, counts the tenant into a bucket, writes down the operation and the subscription.
pub(super) async fn reserve(platform: &Platform, operation: Operation, new: &NewTenant) -> Result<(Operation, Place)> {
    let id = operation.id;
    let mut tx = operation.control.begin_by(&new.by).await?;
    if modules::of_plan(&mut tx, &new.plan).await?.is_empty() {
        end(tx, id).await?;
        return Err(modules::unknown_plan(platform, &new.plan).await?);
    }
    match register(platform, &mut tx, new, None).await {
        Ok(place) => {
            Operation::record(id, &mut tx, KIND, place.tenant, new.subdomain.as_str(), &new.by.name).await?;
            Ok((Operation { id, control: tx.commit_and_keep().await? }, place))
        }
        Err(cause) => {
            end(tx, id).await?;
            Err(cause)
        }
    }
}

/// Writes the tenant down with its subscription: in the place of a ready schema, or in a bucket that has room.
async fn register(platform: &Platform, tx: &mut Transaction, new: &NewTenant, ready: Option<&Place>) -> Result<Place> {
    let quarantined =
        "select from public.reserved_subdomains where subdomain = $1 and (until is null or until > now())";
    if tx.query_opt(quarantined, &[&new.subdomain.as_str()]).await?.is_some() {
        return Err(name_refused(&new.subdomain, "is reserved"));
    }
    let (tenant, (bucket, owner)) = match ready {
        Some(ready) => (ready.tenant, (ready.bucket, ready.owner.clone())),
        None => (Uuid::now_v7(), choose_bucket(&platform.database, tx).await?),
    };
    let name = name_in_database(tx, &new.subdomain, tenant).await?;
    let schema = format!("tenant_{name}");
    let role = format!("{}_t_{name}", platform.database.instance().as_str());
    let sql = "insert into public.tenants (id, subdomain, name, schema_name, role_name, bucket_id)
        values ($1, $2, $3, $4, $5, $6) returning timezone";
    let inserted =
        tx.query(sql, &[&tenant, &new.subdomain.as_str(), &new.name.trim(), &schema, &role, &bucket.0]).await;
    let rows = inserted.map_err(|failure| name_taken(&new.subdomain, failure))?;
    subscribe(tx, tenant, new).await?;
    place_of(tenant, schema, role, bucket, owner.as_str().to_owned(), rows[0].get(0))
}

/// What schema and role are called after: the subdomain, with a mark where a tenant that was renamed still has that.
async fn name_in_database(tx: &mut Transaction, subdomain: &Subdomain, tenant: Uuid) -> Result<String, Failure> {
    let plain = subdomain.snake();
    let renamed =
        "select from public.tenants where schema_name = 'tenant_' || $1 and subdomain <> $2 and state <> 'deleted'";
    Ok(match tx.query_opt(renamed, &[&plain, &subdomain.as_str()]).await? {
        None => plain,
        Some(_) => format!("{plain}_{}", &tenant.simple().to_string()[28..]),
    })
}

/// Ends an operation of which nothing was written down.
async fn end(tx: Transaction, id: Uuid) -> Result<()> {
    Operation { id, control: tx.rollback().await? }.end().await
}

pub(super) fn name_taken(subdomain: &Subdomain, failure: Failure) -> Error {
    match failure.code() {
        "23505" => name_refused(subdomain, "is already taken"),
        "AP409" => name_refused(subdomain, "is reserved"),
        _ => failure.into(),
    }
}

fn name_refused(subdomain: &Subdomain, why: &str) -> Error {
    let error = Error::conflict(format!("The subdomain `{subdomain}` {why}."));
    error.field("#/subdomain", "already_used", why).hint("Choose another subdomain.")
}

/// The period is counted in the billing zone.
async fn subscribe(tx: &mut Transaction, tenant: Uuid, new: &NewTenant) -> Result<(), Failure> {
    let sql = "with today as (select ($3::timestamptz at time zone 'Asia/Kolkata')::date as day)
        insert into public.tenant_subscriptions
          (tenant_id, plan_code, state, trial_ends_at, current_period_start, current_period_end, anchor_day)
        select $1, $2, case when $4::int is null then 'active' else 'trialing' end,
          $3::timestamptz + make_interval(days => $4::int), day, (day + interval '1 month')::date, extract(day from day)::smallint
        from today";
    let trial_days: Option<i32> = match new.term {
        Term::Active => None,
        Term::Trial(days) => Some(i32::from(days)),
    };
    tx.execute(sql, &[&tenant, &new.plan, &SystemTime::now(), &trial_days]).await.map(drop)
}

/// Role, schema, packs and owner, in one transaction. When it fails, the reservation is undone too.
async fn build(platform: &Platform, operation: Operation, new: &NewTenant, place: &Place) -> Result<Operation> {
    let id = operation.id;
    let mut tx = operation.control.begin_by(&new.by).await?;
    match build_in(platform, &mut tx, new, place).await {
        Ok(()) => Ok(Operation { id, control: tx.commit_and_keep().await? }),
        Err(cause) => {
            undo(Operation { id, control: tx.rollback().await? }, place.tenant, Some(&cause)).await?;
            Err(cause)
        }
    }
}

async fn build_in(platform: &Platform, tx: &mut Transaction, new: &NewTenant, place: &Place) -> Result<()> {
    tx.take_time().await?;
    let modules = modules::of_plan(tx, &new.plan).await?;
    let packs = modules::packs_for(&platform.catalog, modules.iter().map(String::as_str));
    let login = Ident::new(format!("{}_b{}", platform.database.instance().as_str(), place.bucket.0))?;
    let furnish = ready::furnish_sql(platform, &packs, place)?;
    let sql = format!("{}{furnish}{}{}", schema_sql(place, &login), owner_sql(&new.owner), modules::LEAVE_SEAT);
    tx.batch(&sql).await.map_err(refused_owner)?;
    Ok(modules::record_versions(tx, place.tenant, &packs).await?)
}

fn owner_sql(owner: &Owner) -> String {
    let Owner { email, first_name, last_name, password_hash } = owner;
    new_owner_sql(email, first_name.trim(), last_name.trim(), "owner", password_hash.as_deref())
}

fn refused_owner(failure: Failure) -> Error {
    match &failure.constraint {
        Some(name) if name.starts_with("sys_user_email") => Error::validation()
            .field("#/email", "invalid_format", "must be a valid e-mail address")
            .context(failure.message),
        _ => failure.into(),
    }
}

pub(super) async fn activate(operation: Operation, tenant: Uuid, by: &By) -> Result<()> {
    let id = operation.id;
    let mut tx = operation.control.begin_by(by).await?;
    open(&mut tx, id, tenant).await?;
    let control = tx.commit_and_keep().await?;
    Operation { id, control }.end().await
}

/// From now on it is routable.
async fn open(tx: &mut Transaction, operation: Uuid, tenant: Uuid) -> Result<(), Failure> {
    let sql = "update public.tenants set state = 'active' where id = $1 and state = 'provisioning'";
    tx.execute(sql, &[&tenant]).await?;
    conclude(tx, operation, "succeeded", None).await
}

/// Finishes an abandoned creation when everything was built, else undoes it.
pub(super) async fn settle(mut operation: Operation, tenant: Uuid) -> Result<&'static str> {
    let built = "select from public.tenant_packs where tenant_id = $1 limit 1";
    if operation.control.query_opt(built, &[&tenant]).await?.is_some() {
        activate(operation, tenant, &By { name: "recovery".to_owned(), origin: None }).await?;
        return Ok("finished");
    }
    undo(operation, tenant, None).await?;
    Ok("undone")
}

/// Gives the reservation back. `build` is one transaction, so an undone one left no schema and no role: what bears
/// their names is somebody else's.
pub(super) async fn undo(operation: Operation, tenant: Uuid, cause: Option<&Error>) -> Result<()> {
    let id = operation.id;
    let mut tx = operation.control.begin().await?;
    // The bucket first, as `reserve` does: who wants the same name now waits instead of closing a circle.
    let uncount = "update public.buckets b set tenant_count = b.tenant_count - 1
        from public.tenants t where t.id = $1 and t.state = 'provisioning' and b.id = t.bucket_id";
    tx.execute(uncount, &[&tenant]).await?;
    tx.execute("delete from public.tenants where id = $1 and state = 'provisioning'", &[&tenant]).await?;
    conclude(&mut tx, id, "undone", cause.map(Error::message).as_deref()).await?;
    let control = tx.commit_and_keep().await?;
    Operation { id, control }.end().await
}
