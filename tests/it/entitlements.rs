//! "May this tenant use this module now?": one pure function of rows and a time, and what becomes of it in the service.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::world::{User, World};

/// A connection whose writes nobody else sees: all is undone when it is closed.
async fn paper() -> Client {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    let superuser = WORLD.get_or_init(World::new).await.superuser().await;
    superuser.batch_execute("begin").await.unwrap();
    superuser
}

/// Enabled, source and end of a module of testcompany at a moment of 2030.
async fn at(superuser: &Client, module: &str, moment: &str) -> Value {
    let sql = format!(
        "select jsonb_build_array(e.enabled, e.source, to_char(e.expires_at at time zone 'UTC', 'MM-DD'))
        from public.tenants t, public.tenant_entitlements(t.id, '2030-{moment} 00:00+00') e
        where t.subdomain = 'testcompany' and e.module_code = '{module}'"
    );
    superuser.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Runs statements that speak of `:tenant`, testcompany's key.
async fn write(superuser: &Client, sql: &str) {
    let tenant = "(select id from public.tenants where subdomain = 'testcompany')";
    superuser.batch_execute(&sql.replace(":tenant", tenant)).await.unwrap();
}

#[tokio::test]
async fn a_trial_ends_at_its_moment() {
    let superuser = paper().await;
    write(
        &superuser,
        "update public.tenant_subscriptions set state = 'trialing', trial_ends_at = '2030-01-10 00:00+00'
        where tenant_id = :tenant",
    )
    .await;
    assert_eq!(at(&superuser, "d2c_storefront", "01-01").await, json!([true, "plan", "01-10"]));
    assert_eq!(at(&superuser, "d2c_storefront", "01-09").await, json!([true, "plan", "01-10"]));
    assert_eq!(at(&superuser, "d2c_storefront", "01-10").await, json!([false, "none", null]), "not a moment longer");
    assert_eq!(at(&superuser, "crm", "01-01").await, json!([false, "none", null]));
}

#[tokio::test]
async fn only_paying_states_open_modules() {
    let superuser = paper().await;
    for (state, on) in [
        ("incomplete", false),
        ("incomplete_expired", false),
        ("trial_expired", false),
        ("active", true),
        ("past_due", true),
        ("suspended", false),
        ("paused", false),
        ("canceled", false),
    ] {
        write(
            &superuser,
            &format!("update public.tenant_subscriptions set state = '{state}' where tenant_id = :tenant"),
        )
        .await;
        assert_eq!(at(&superuser, "system_admin", "01-01").await[0], on, "{state}");
    }
    write(
        &superuser,
        "update public.tenant_subscriptions set state = 'active', access_until = '2030-03-01 00:00+00'
        where tenant_id = :tenant",
    )
    .await;
    assert_eq!(at(&superuser, "system_admin", "02-28").await, json!([true, "plan", "03-01"]));
    assert_eq!(at(&superuser, "system_admin", "03-01").await, json!([false, "none", null]));
}

#[tokio::test]
async fn kill_switch_beats_override_beats_subscription_beats_plan() {
    let superuser = paper().await;
    let module = "d2c_storefront";
    assert_eq!(at(&superuser, module, "01-01").await, json!([true, "plan", null]));
    write(
        &superuser,
        "insert into public.tenant_subscriptions (tenant_id, module_code, state, access_until)
        values (:tenant, 'd2c_storefront', 'active', '2030-06-01 00:00+00')",
    )
    .await;
    assert_eq!(at(&superuser, module, "01-01").await, json!([true, "subscription", "06-01"]));
    assert_eq!(at(&superuser, module, "06-01").await, json!([true, "plan", null]), "the plan is still there");
    write(
        &superuser,
        "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor, expires_at)
        values (:tenant, 'd2c_storefront', false, 'audit', 'test', '2030-02-01 00:00+00'),
          (:tenant, 'crm', true, 'a gift', 'test', '2030-02-01 00:00+00')",
    )
    .await;
    assert_eq!(at(&superuser, module, "01-31").await, json!([false, "override", "02-01"]));
    assert_eq!(at(&superuser, module, "02-01").await, json!([true, "subscription", "06-01"]), "the override is over");
    assert_eq!(at(&superuser, "crm", "01-31").await, json!([true, "override", "02-01"]));
    assert_eq!(at(&superuser, "crm", "02-01").await, json!([false, "none", null]));
    write(&superuser, "update public.modules set kill_switch = true").await;
    assert_eq!(at(&superuser, module, "01-31").await, json!([false, "kill_switch", null]));
    assert_eq!(at(&superuser, "crm", "01-31").await, json!([false, "kill_switch", null]));
}

#[tokio::test]
async fn the_answer_does_not_depend_on_the_clock() {
    let superuser = paper().await;
    let sql = "select pg_get_functiondef('public.tenant_entitlements(uuid, timestamptz)'::regprocedure)";
    let text = superuser.query_one(sql, &[]).await.unwrap().get::<_, String>(0).to_lowercase();
    for clock in ["now()", "current_", "clock_", "statement_timestamp", "localtime", "transaction_timestamp"] {
        assert!(!text.contains(clock), "{clock}");
    }
}

/// Asks until the status comes; news and moments need a little time to arrive.
async fn comes(user: &User<'_>, path: &str, status: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while user.get(path).await.status.as_u16() != status {
        assert!(Instant::now() < deadline, "{path} is never answered with {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_module_closes_and_opens_with_the_rows_whoever_writes_them() {
    let world = World::new().await;
    let (superuser, owner) = (world.superuser().await, world.user("acme", "owner").await);
    let contacts = "/api/v1/contacts";
    owner.get(contacts).await.ok();
    superuser.batch_execute("update public.modules set kill_switch = true where code = 'crm'").await.unwrap();
    comes(&owner, contacts, 403).await;
    assert_eq!(module(&owner, "crm").await, json!([false, "kill_switch"]));
    superuser.batch_execute("update public.modules set kill_switch = false where code = 'crm'").await.unwrap();
    owner.get(contacts).await.ok();

    let end = "update public.tenant_subscriptions s set access_until = now() + interval '1 second'
        from public.tenants t where t.id = s.tenant_id and t.subdomain = 'acme'";
    superuser.batch_execute(end).await.unwrap();
    comes(&owner, contacts, 403).await;
    superuser.batch_execute(&end.replace("interval '1 second'", "interval '1 day'")).await.unwrap();
    assert_eq!(owner.get(contacts).await.status, StatusCode::OK, "who has just paid gets in at once");
}

async fn module(user: &User<'_>, code: &str) -> Value {
    let list = user.get("/api/v1/modules").await.ok();
    let found = list["data"].as_array().unwrap().iter().find(|module| module["code"] == code).unwrap();
    json!([found["enabled"], found["source"]])
}

#[tokio::test]
async fn what_is_off_for_everybody_cannot_be_sold_meanwhile() {
    let world = World::new().await;
    let (superuser, staff) = (world.superuser().await, world.staff().await);
    let tenant = world.tenant_id("acme").await;
    superuser.batch_execute("update public.modules set kill_switch = true where code = 'crm'").await.unwrap();
    let sql = "select count(*) from public.tenant_subscriptions";
    let before: i64 = superuser.query_one(sql, &[]).await.unwrap().get(0);
    let path = format!("/api/v1/tenants/{tenant}/modules/crm");
    let problem = staff.request(Method::PUT, &path).send().await.problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("'crm'"), "{problem}");
    assert_eq!(superuser.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), before, "nobody pays twice");
}
