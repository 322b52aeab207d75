//! Modules of a tenant: switched on with their packs, switched off without losing anything.

use std::time::SystemTime;

use uuid::Uuid;

use super::Platform;
use crate::db::{By, Failure, Place, Transaction};
use crate::error::{Error, Kind, Result, nearest};
use crate::pack::{Catalog, HELD, Held, Pack, Rights, audit_sql, disable_sql, install_sql, offers_digest};
use crate::tenant::{State, Tenant, tenant_not_found};

/// Ends what [`seat_sql`] began, in the same transaction.
pub(super) const LEAVE_SEAT: &str = "reset role; set local search_path = public;";

/// The module without which no tenant works.
const MANDATORY: &str = "system_admin";

/// Takes on the owner's role in a tenant's schema for the statements that follow.
pub(super) fn seat_sql(place: &Place) -> String {
    format!("set local role {}; set local search_path = {}, insula, pg_temp;", place.owner, place.schema)
}

/// Modules that a plan bundles.
pub(super) async fn of_plan(tx: &mut Transaction, plan: &str) -> Result<Vec<String>> {
    let sql = "select m.module_code from public.plan_modules m join public.plans p on p.code = m.plan_code
        where p.code = $1 and p.active order by 1";
    Ok(tx.query(sql, &[&plan]).await?.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn unknown_plan(platform: &Platform, plan: &str) -> Result<Error> {
    let rows = platform
        .database
        .control()
        .await?
        .query("select code from public.plans where active order by code", &[])
        .await?;
    let codes: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let error = Error::validation().field("#/plan", "unknown_plan", format!("`{plan}` is not a plan"));
    Ok(match nearest(plan, codes.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
        None => error.hint(format!("The plans are {}.", codes.join(", "))),
    })
}

/// The packs of modules with everything they require, in order. A module whose pack this binary does not carry is
/// sold but has nothing to install yet.
pub(super) fn packs_for<'a, 'm>(catalog: &'a Catalog, modules: impl Iterator<Item = &'m str>) -> Vec<&'a Pack> {
    let wanted: Vec<&str> = modules.flat_map(|code| catalog.packs().with_requirements(code)).map(code_of).collect();
    catalog.packs().iter().filter(|pack| wanted.contains(&code_of(pack))).collect()
}

fn code_of(pack: &Pack) -> &str {
    &pack.manifest.code
}

/// Writes down that packs are at their newest version in a tenant.
pub(super) async fn record_versions(tx: &mut Transaction, tenant: Uuid, packs: &[&Pack]) -> Result<(), Failure> {
    for pack in packs {
        record_version(tx, tenant, pack, pack.version()).await?;
    }
    Ok(())
}

/// Writes down which files of a pack a tenant holds, and with the newest one that its roles were offered.
pub(super) async fn record_version(
    tx: &mut Transaction,
    tenant: Uuid,
    pack: &Pack,
    version: i32,
) -> Result<(), Failure> {
    let sql =
        "insert into public.tenant_packs as p (tenant_id, pack, version, digests, offered) values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, pack) do update set version = excluded.version, digests = excluded.digests,
          offered = coalesce(excluded.offered, p.offered)";
    let offers = offers_digest(pack);
    let offered = (version == pack.version()).then_some(&offers[..]);
    tx.query_kept(sql, &[&tenant, &code_of(pack), &version, &pack.digests(version), &offered]).await.map(drop)
}

/// One piece of whole-tenant work at a time per tenant.
pub(super) async fn lock_tenant(tx: &mut Transaction, tenant: Uuid) -> Result<(), Failure> {
    tx.query("select pg_advisory_xact_lock($1)", &[&lock_key(tenant)]).await.map(drop)
}

pub(super) fn lock_key(tenant: Uuid) -> i64 {
    tenant.as_u64_pair().1 as i64
}

/// Switches a module on: a subscription to it where the plan does not hold it, and its packs in the tenant's schema,
/// in one transaction.
pub async fn module_enable(platform: &Platform, tenant: &Tenant, module: &str, by: &By) -> Result<()> {
    has_schema(tenant)?;
    let mut tx = platform.database.control().await?.begin_by(by).await?;
    tx.take_time().await?;
    lock_tenant(&mut tx, tenant.id).await?;
    known(&mut tx, module).await?;
    let killed = "select from public.modules where code = $1 and kill_switch";
    if tx.query_opt(killed, &[&module]).await?.is_some() {
        return Err(Error::conflict(format!("Module '{module}' is switched off for everybody for now.")));
    }
    let missing = related(&mut tx, MISSING, tenant.id, module).await?;
    if !missing.is_empty() {
        let message = format!("Module '{module}' needs {}, not enabled for this account.", quoted(&missing));
        return Err(refused(message, &missing));
    }
    let drop_override = "delete from public.tenant_module_overrides where tenant_id = $1 and module_code = $2";
    tx.execute(drop_override, &[&tenant.id, &module]).await?;
    let add = "insert into public.tenant_subscriptions (tenant_id, module_code, state, current_period_start, current_period_end)
        select $1, $2, 'active', ($3::timestamptz at time zone 'Asia/Kolkata')::date,
          (($3::timestamptz at time zone 'Asia/Kolkata')::date + interval '1 month')::date
        where not exists (select from public.tenant_entitlements($1, $3) e where e.module_code = $2 and e.enabled)";
    tx.execute(add, &[&tenant.id, &module, &SystemTime::now()]).await?;
    install_missing(platform, &mut tx, tenant, module).await?;
    history(&mut tx, tenant.id, "module.enabled", module, &by.name).await?;
    Ok(tx.commit().await?)
}

async fn install_missing(platform: &Platform, tx: &mut Transaction, tenant: &Tenant, module: &str) -> Result<()> {
    let rows = tx.query("select pack from public.tenant_packs where tenant_id = $1", &[&tenant.id]).await?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let is_there = |pack: &&Pack| there.iter().any(|code| code == code_of(pack));
    let (kept, added): (Vec<_>, Vec<_>) =
        platform.catalog.packs().with_requirements(module).into_iter().partition(is_there);
    let place = &tenant.place;
    let held = tx.query_kept(HELD, &[&place.role.as_str(), &place.schema.as_str()]).await?;
    let mut rights = Rights::default();
    for pack in kept {
        rights.extend(Rights::of(&platform.catalog, pack, true)?);
    }
    let mut sql = seat_sql(place);
    sql.push_str(&rights.change(place, &Held::read(&held), false)?);
    for pack in &added {
        sql.push_str(&install_sql(&platform.catalog, pack, place)?);
    }
    sql.push_str(&audit_sql(&platform.catalog, place));
    sql.push_str(LEAVE_SEAT);
    tx.batch(&sql).await?;
    Ok(record_versions(tx, tenant.id, &added).await?)
}

/// Gives the tenant's role what the manifests of its packs give, and no more; packs of modules that are switched off can
/// only be read. While a pack is behind its manifest, rights are added and none is taken away. Only what differs from what
/// the role holds is changed.
pub(super) async fn give_rights(platform: &Platform, tx: &mut Transaction, place: &Place) -> Result<()> {
    let sql = "select p.pack, coalesce(not o.enabled and coalesce(o.expires_at > $2, true), false), p.version
        from public.tenant_packs p
        left join public.tenant_module_overrides o on o.tenant_id = p.tenant_id and o.module_code = p.pack
        where p.tenant_id = $1";
    let installed = tx.query_kept(sql, &[&place.tenant, &SystemTime::now()]).await?;
    let held = tx.query_kept(HELD, &[&place.role.as_str(), &place.schema.as_str()]).await?;
    let packs = installed.iter().filter_map(|row| Some((platform.catalog.packs().get(row.get(0))?, row)));
    let (newest, behind): (Vec<_>, Vec<_>) = packs.partition(|(pack, row)| row.get::<_, i32>(2) >= pack.version());
    let mut rights = Rights::default();
    for (pack, row) in newest {
        rights.extend(Rights::of(&platform.catalog, pack, !row.get::<_, bool>(1))?);
    }
    let change = rights.change(place, &Held::read(&held), behind.is_empty())?;
    if change.is_empty() {
        return Ok(());
    }
    Ok(tx.batch(&format!("{}{change}{LEAVE_SEAT}", seat_sql(place))).await?)
}

/// Switches a module off: its tables stay and can only be read.
pub async fn module_disable(platform: &Platform, tenant: &Tenant, module: &str, by: &By) -> Result<()> {
    has_schema(tenant)?;
    let mut tx = platform.database.control().await?.begin_by(by).await?;
    tx.take_time().await?;
    lock_tenant(&mut tx, tenant.id).await?;
    known(&mut tx, module).await?;
    let dependents = related(&mut tx, DEPENDENTS, tenant.id, module).await?;
    if !dependents.is_empty() {
        return Err(refused(format!("Module '{module}' is needed by {}.", quoted(&dependents)), &dependents));
    }
    if module == MANDATORY {
        return Err(Error::conflict(format!("Module '{module}' is part of every plan and cannot be switched off.")));
    }
    let cancel = "update public.tenant_subscriptions set state = 'canceled', canceled_at = $3
        where tenant_id = $1 and module_code = $2 and state not in ('canceled', 'incomplete_expired')";
    tx.execute(cancel, &[&tenant.id, &module, &SystemTime::now()]).await?;
    let override_off = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
        values ($1, $2, false, 'switched off', $3)
        on conflict (tenant_id, module_code) do update set enabled = false, expires_at = null, actor = excluded.actor";
    tx.execute(override_off, &[&tenant.id, &module, &by.name]).await?;
    let installed = "select from public.tenant_packs where tenant_id = $1 and pack = $2";
    if let Some(pack) = platform.catalog.packs().get(module)
        && tx.query_opt(installed, &[&tenant.id, &module]).await?.is_some()
    {
        tx.batch(&format!("{}{}{LEAVE_SEAT}", seat_sql(&tenant.place), disable_sql(pack, &tenant.place)?)).await?;
    }
    history(&mut tx, tenant.id, "module.disabled", module, &by.name).await?;
    Ok(tx.commit().await?)
}

fn has_schema(tenant: &Tenant) -> Result<()> {
    match tenant.state {
        State::Active | State::Suspended => Ok(()),
        State::Provisioning | State::Gone => Err(tenant_not_found()),
    }
}

/// What a module needs, directly or not, and the tenant has not enabled.
const MISSING: &str = "with recursive needed (code) as (
      select requires_code from public.module_dependencies where module_code = $3
      union
      select d.requires_code from public.module_dependencies d join needed n on n.code = d.module_code)
    select e.module_code from public.tenant_entitlements($1, $2) e
    join needed n on n.code = e.module_code
    where not e.enabled order by 1";

/// What the tenant has enabled and needs a module directly.
const DEPENDENTS: &str = "select e.module_code from public.tenant_entitlements($1, $2) e
    join public.module_dependencies d on d.module_code = e.module_code
    where d.requires_code = $3 and e.enabled order by 1";

async fn related(tx: &mut Transaction, sql: &str, tenant: Uuid, module: &str) -> Result<Vec<String>, Failure> {
    let rows = tx.query(sql, &[&tenant, &SystemTime::now(), &module]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn known(tx: &mut Transaction, module: &str) -> Result<()> {
    let rows = tx.query("select code from public.modules where not hidden order by code", &[]).await?;
    let codes: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if codes.iter().any(|code| code == module) {
        return Ok(());
    }
    let error = Error::new(Kind::NotFound, "not_found", format!("There is no module '{module}'."));
    Err(match nearest(module, codes.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("Did you mean '{meant}'?")),
        None => error.hint(format!("The modules are {}.", codes.join(", "))),
    })
}

fn quoted(codes: &[String]) -> String {
    codes.iter().map(|code| format!("'{code}'")).collect::<Vec<_>>().join(", ")
}

fn refused(message: String, modules: &[String]) -> Error {
    let hint = format!("First take care of {}.", quoted(modules));
    modules.iter().fold(Error::conflict(message).hint(hint), |error, code| {
        error.parameter("module", "module_dependency", code.clone())
    })
}

async fn history(tx: &mut Transaction, tenant: Uuid, event: &str, module: &str, actor: &str) -> Result<(), Failure> {
    let sql = "insert into public.billing_history (tenant_id, at, event, detail, actor)
        values ($1, $2, $3, jsonb_build_object('module', $4::text), $5)";
    tx.execute(sql, &[&tenant, &SystemTime::now(), &event, &module, &actor]).await.map(drop)
}
