//! Schemas made in advance: the next tenant of a plan takes one over under its own name, in milliseconds.
//!
//! Each is made in one transaction, with its row, so one that is there is whole. What a newer program would make otherwise
//! is not taken, and dropped when nobody can want it any more.

use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Platform, modules};
use crate::db::{BucketId, Lock, Place, Transaction, bucket_with_room};
use crate::error::Result;
use crate::ident::Ident;
use crate::pack::{Pack, audit_sql, install_sql, schema_sql};
use crate::tenant::place_of;

/// Who makes or drops ready schemas: one process at a time.
const LOCK: i64 = Lock::ReadySchemas.key();

/// For so long schemas of another recipe stay: the program that makes them may be at work beside this one.
const KEEP_OTHERS: Duration = Duration::from_secs(3600);

/// Packs and audit of a new tenant; run by the owner role with the schema in its path.
pub(super) fn furnish_sql(platform: &Platform, packs: &[&Pack], place: &Place) -> Result<String> {
    let mut sql = modules::seat_sql(place);
    // The bodies were checked when the template was made of the same files.
    sql.push_str("set local check_function_bodies = off;");
    for pack in packs {
        sql.push_str(&install_sql(&platform.catalog, pack, place)?);
    }
    sql.push_str(&audit_sql(&platform.catalog, place));
    Ok(sql)
}

/// What makes two schemas the same but for their names.
fn recipe(platform: &Platform, packs: &[&Pack]) -> Result<[u8; 32]> {
    let name = || "any".to_owned();
    let place = place_of(Uuid::nil(), name(), name(), BucketId(0), name(), "UTC")?;
    Ok(Sha256::digest(furnish_sql(platform, packs, &place)?).into())
}

/// Takes over a ready schema of a plan, if there is one. Nobody else gets the same; it is given back by a rollback.
///
/// What it gives still bears the name that it was made under: see [`move_in_sql`].
pub(super) async fn claim(
    platform: &Platform,
    tx: &mut Transaction,
    plan: &str,
    packs: &[&Pack],
) -> Result<Option<Place>> {
    let sql = "with claimed as (
          delete from public.ready_schemas where id = (
            select id from public.ready_schemas where plan_code = $1 and recipe = $2
            order by made_at limit 1 for update skip locked)
          returning id, schema_name, role_name, bucket_id)
        select c.id, c.schema_name, c.role_name, c.bucket_id, b.owner_role
        from claimed c join public.buckets b on b.id = c.bucket_id";
    let row = tx.query_opt(sql, &[&plan, &&recipe(platform, packs)?[..]]).await?;
    row.map(|row| place_of(row.get(0), row.get(1), row.get(2), BucketId(row.get(3)), row.get(4), "UTC")).transpose()
}

/// Gives a schema and its role other names, and what keeps the name inside it: the path of its functions, the root of its
/// audit. Ends in the seat of the new place.
pub(super) fn move_in_sql(ready: &Place, place: &Place) -> String {
    format!(
        "alter schema {} rename to {}; alter role {} rename to {}; {}
         do $$ declare f regprocedure; begin
           for f in select oid from pg_proc where pronamespace = current_schema()::regnamespace and proconfig is not null loop
             execute format('alter routine %s set search_path from current', f);
           end loop;
         end $$;
         update sys_audit_head set hash = sha256(convert_to(current_schema(), 'UTF8')) where seq = 0;",
        ready.schema,
        place.schema,
        ready.role,
        place.role,
        modules::seat_sql(place),
    )
}

/// A plan that new tenants are expected of.
struct Demand<'a> {
    plan: String,
    packs: Vec<&'a Pack>,
    recipe: [u8; 32],
}

/// Makes what lacks of `number` ready schemas of each plan in demand, and drops what nobody takes. Gives how many were made.
///
/// In demand are the plan of sign-up and those of which a tenant was made in the last thirty days.
pub async fn restock(platform: &Platform, number: u32, sign_up_plan: &str) -> Result<usize> {
    let demands = demands(platform, sign_up_plan).await?;
    let mut made = 0;
    for demand in &demands {
        match fill(platform, demand, number).await {
            Ok(more) => made += more,
            Err(error) => {
                let context = error.private_context();
                tracing::warn!(plan = demand.plan, context, "no schemas are made in advance: {error}");
            }
        }
    }
    while drop_one(platform, &demands).await? {}
    Ok(made)
}

async fn fill(platform: &Platform, demand: &Demand<'_>, number: u32) -> Result<usize> {
    let mut made = 0;
    while made < number as usize && make_one(platform, demand, number).await? {
        made += 1;
    }
    Ok(made)
}

async fn demands<'a>(platform: &'a Platform, sign_up_plan: &str) -> Result<Vec<Demand<'a>>> {
    let sql = "select p.code, array(select m.module_code from public.plan_modules m where m.plan_code = p.code order by 1)
        from public.plans p
        where p.active and (p.code = $1 or exists (
          select from public.tenant_subscriptions s where s.plan_code = p.code and s.created_at > now() - interval '30 days'))
        order by p.code";
    let rows = platform.database.control().await?.query(sql, &[&sign_up_plan]).await?;
    let demand = |row: &tokio_postgres::Row| {
        let modules: Vec<String> = row.get(1);
        let packs = modules::packs_for(&platform.catalog, modules.iter().map(String::as_str));
        Ok(Demand { plan: row.get(0), recipe: recipe(platform, &packs)?, packs })
    };
    rows.iter().map(demand).collect()
}

/// Says whether one was made: none is when there are enough, when another process is at it, or when all buckets are full:
/// the next one is made with the tenant that needs it. The bucket is counted up last, so that nobody waits for it meanwhile.
async fn make_one(platform: &Platform, demand: &Demand<'_>, number: u32) -> Result<bool> {
    let Demand { plan, packs, recipe } = demand;
    let mut tx = platform.database.control().await?.begin().await?;
    let sql = "select pg_try_advisory_xact_lock($1)
        and (select count(*) < $4::bigint from public.ready_schemas where plan_code = $2 and recipe = $3)";
    if !tx.query(sql, &[&LOCK, plan, &&recipe[..], &i64::from(number)]).await?[0].get::<_, bool>(0) {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.take_time().await?;
    let Some(place) = new_place(platform, &mut tx).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    let login = Ident::new(format!("{}_b{}", platform.database.instance().as_str(), place.bucket.0))?;
    let furnish = furnish_sql(platform, packs, &place)?;
    tx.batch(&format!("{}{furnish}{}", schema_sql(&place, &login), modules::LEAVE_SEAT)).await?;
    let sql = "insert into public.ready_schemas (id, plan_code, bucket_id, schema_name, role_name, recipe)
        values ($1, $2, $3, $4, $5, $6)";
    let (schema, role) = (place.schema.as_str(), place.role.as_str());
    tx.execute(sql, &[&place.tenant, plan, &place.bucket.0, &schema, &role, &&recipe[..]]).await?;
    let count = "update public.buckets set tenant_count = tenant_count + 1 where id = $1";
    tx.execute(count, &[&place.bucket.0]).await?;
    tx.commit().await?;
    Ok(true)
}

async fn new_place(platform: &Platform, tx: &mut Transaction) -> Result<Option<Place>> {
    let Some((bucket, owner)) = bucket_with_room(tx).await? else { return Ok(None) };
    let id = Uuid::now_v7();
    let mark = &id.simple().to_string()[20..];
    let role = format!("{}_r_{mark}", platform.database.instance().as_str());
    place_of(id, format!("ready_{mark}"), role, bucket, owner.as_str().to_owned(), "UTC").map(Some)
}

/// Drops one that is made otherwise now, or of a plan that nobody asks for. Says whether there was one.
async fn drop_one(platform: &Platform, demands: &[Demand<'_>]) -> Result<bool> {
    let plans: Vec<&str> = demands.iter().map(|demand| demand.plan.as_str()).collect();
    let recipes: Vec<&[u8]> = demands.iter().map(|demand| &demand.recipe[..]).collect();
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    let sql = "delete from public.ready_schemas where id = (
          select id from public.ready_schemas
          where (plan_code, recipe) not in (select * from unnest($1::text[], $2::bytea[]))
            and made_at < now() - make_interval(secs => $3) limit 1 for update skip locked)
        returning schema_name, role_name, bucket_id";
    let Some(row) = tx.query_opt(sql, &[&plans, &recipes, &KEEP_OTHERS.as_secs_f64()]).await? else {
        tx.rollback().await?;
        return Ok(false);
    };
    let (schema, role) = (Ident::new(row.get::<_, String>(0))?, Ident::new(row.get::<_, String>(1))?);
    tx.batch(&format!("drop schema {schema} cascade; drop role {role};")).await?;
    let uncount = "update public.buckets set tenant_count = tenant_count - 1 where id = $1";
    tx.execute(uncount, &[&row.get::<_, i32>(2)]).await?;
    tx.commit().await?;
    Ok(true)
}
