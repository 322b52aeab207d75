//! What packs do by themselves: once over all processes, in tenants whose module is on, with an entry in the audit, and again
//! after a failure.

use std::time::{Duration, Instant};

use insula::ops::{Round, run_due_jobs};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::crm_story::made;
use super::school::School;
use super::second::Second;
use super::trade_story::{Company, act};
use super::world::World;

/// Everything that is due now, in this process.
async fn work(world: &World) -> Round {
    let app = &world.app;
    run_due_jobs(&app.platform, &app.tenants, &app.gate, &CancellationToken::new()).await.unwrap()
}

/// All jobs are due again.
async fn due_again(world: &World) {
    world.superuser().await.batch_execute("update public.tenant_jobs set due_at = now()").await.unwrap();
}

#[tokio::test]
async fn holds_quotes_registers_and_carts_end_by_themselves() {
    let company = Company::with_stock().await;
    let declared = company.world.app.engine.catalog().jobs().len();
    assert!(declared >= 6, "{declared}");
    let past = "set app.action = 'test'; set session_replication_role = replica;
        update oms_order set hold_until = now() - interval '1 minute' where state = 'held';
        update shop_cart set updated_at = now() - interval '31 days' where state = 'open';
        update tenant_multistore.sls_quote set valid_until = quoted_on where state = 'sent';
        update tenant_greenwood.sch_session set state = 'open';
        update tenant_greenwood.sch_fee_head set late_grace_days = 0, late_percent = 2 where code = 'LATE';
        set session_replication_role = origin;";
    company.db.batch_execute(past).await.unwrap();
    let held = "select count(*) from oms_order where state = 'held'";
    assert_eq!(company.text(held).await, "1");
    let round = work(&company.world).await;
    assert_eq!(round.failed, 0);
    assert_eq!(company.text(held).await, "0");
    for (what, sql) in [
        ("carts in checkout", "select count(*) from shop_cart where state = 'checkout'"),
        (
            "carts from long ago",
            "select count(*) from shop_cart where state = 'open' and updated_at < now() - interval '1 day'",
        ),
        (
            "quotes",
            "select count(*) from tenant_multistore.sls_quote where state = 'sent' and valid_until < current_date",
        ),
        (
            "registers",
            "select count(*) from tenant_greenwood.sch_session where state = 'open' and on_date < current_date",
        ),
    ] {
        assert_eq!(company.text(sql).await, "0", "{what}");
    }
    let late = "select count(*) > 10 from tenant_greenwood.sch_fee_due where source = 'late_fee'";
    assert_eq!(company.text(late).await, "true");
    // The audit says by which job, and in nobody's name.
    for (schema, job, object) in [
        ("testcompany", "expire_holds", "carts"),
        ("multistore", "expire_quotes", "quotes"),
        ("greenwood", "lock_registers", "registers"),
    ] {
        let entries = format!(
            "select count(*) > 0 and count(actor_id) = 0 from tenant_{schema}.sys_audit_event where through = '{job}' and object_type = '{object}'"
        );
        assert_eq!(company.text(&entries).await, "true", "{schema} {job}");
    }
    // Nothing is due any more; each says what it did and when it comes again.
    assert_eq!(work(&company.world).await, Round::default());
    let told = "select did || ' ' || round(extract(epoch from due_at - started_at)) from public.tenant_jobs j
        join public.tenants t on t.id = j.tenant_id where subdomain = 'multistore' and job = 'expire_quotes'";
    assert_eq!(company.text(told).await, "1 3600");
    due_again(&company.world).await;
    assert_eq!(
        work(&company.world).await,
        Round { done: round.done, failed: 0 },
        "done again, with nothing left to do"
    );
    assert_eq!(company.text("select sum(did) from public.tenant_jobs").await, "0");
    company.still_adds_up().await;
}

#[tokio::test]
async fn a_register_stays_open_as_long_as_the_school_wants() {
    let school = School::open().await;
    let day = school.school_day().await;
    let body = json!({ "class_id": school.class("7A").await, "on_date": day });
    let register = made(school.user("teacher").await.post("/api/v1/registers", body).await);
    let admin = school.user("admin").await;
    admin.post("/api/v1/settings", json!({ "key": "register_open_days", "value": 30 })).await.ok();
    let state = format!("select state from sch_session where id = '{register}'");
    work(&school.world).await;
    assert_eq!(school.text(&state).await, "open");
    admin.patch("/api/v1/settings/register_open_days", json!({ "value": "soon" })).await.ok();
    due_again(&school.world).await;
    work(&school.world).await;
    assert_eq!(school.text(&state).await, "locked", "what is no number is taken for none");
}

#[tokio::test]
async fn a_job_that_fails_is_told_and_tried_again_and_holds_up_no_other() {
    let company = Company::with_stock().await;
    let breaks = "create or replace function shop_expire_carts() returns int language sql as 'select 1 / 0'";
    company.db.batch_execute(breaks).await.unwrap();
    let round = work(&company.world).await;
    assert_eq!(round.failed, 1);
    assert!(round.done > 3);
    let row = "select j.job || ' ' || failures || ' ' || sqlstate || ' ' || message || ' ' || round(extract(epoch from due_at - ended_at))
        from public.tenant_jobs j where failures > 0";
    assert_eq!(company.text(row).await, "expire_carts 1 22012 division by zero 60");
    let again = "update public.tenant_jobs set due_at = now() where failures > 0";
    company.db.batch_execute(again).await.unwrap();
    assert_eq!(work(&company.world).await, Round { done: 0, failed: 1 });
    assert_eq!(company.text(row).await, "expire_carts 2 22012 division by zero 120");
    let mended = "create or replace function shop_expire_carts() returns int language sql as 'select 7'";
    company.db.batch_execute(&format!("{mended}; {again}")).await.unwrap();
    assert_eq!(work(&company.world).await, Round { done: 1, failed: 0 });
    assert_eq!(company.text("select count(*) from public.tenant_jobs where failures > 0").await, "0");
}

#[tokio::test]
async fn a_module_that_is_off_and_a_tenant_that_is_suspended_have_no_jobs() {
    let company = Company::with_stock().await;
    let staff = company.world.staff().await;
    let tenant = |subdomain: &'static str| async { company.world.tenant_id(subdomain).await };
    let module = format!("/api/v1/tenants/{}/modules/d2c_storefront", tenant("testcompany").await);
    assert_eq!(staff.delete(&module).await.status, 204);
    let suspend = format!("/api/v1/tenants/{}/actions/suspend", tenant("multistore").await);
    staff.post(&suspend, json!({ "reason": "unpaid" })).await.ok();
    company.db.batch_execute("set app.action = 'test'; update oms_order set hold_until = now() - interval '5 minutes' where state = 'held'").await.unwrap();
    work(&company.world).await;
    let did = "select string_agg(distinct t.subdomain || ' ' || j.pack, ', ' order by t.subdomain || ' ' || j.pack)
        from public.tenant_jobs j join public.tenants t on t.id = j.tenant_id where did is not null";
    assert_eq!(
        company.text(did).await,
        "greenwood school_attendance, greenwood school_fees, testcompany oms_fulfillment"
    );
    assert_eq!(company.text("select count(*) from oms_order where state = 'held'").await, "1");
    // What the module of the shop does not give back, that of the orders does, a while later.
    company
        .db
        .batch_execute("update oms_order set hold_until = now() - interval '11 minutes' where state = 'held'")
        .await
        .unwrap();
    due_again(&company.world).await;
    work(&company.world).await;
    assert_eq!(company.text("select count(*) from oms_order where state = 'held'").await, "0");
    // The module comes back: the cart is open again, and can be checked out.
    staff.put(&module).await.ok();
    due_again(&company.world).await;
    work(&company.world).await;
    assert_eq!(company.text("select count(*) from shop_cart where state = 'checkout'").await, "0");
    company.still_adds_up().await;
}

#[tokio::test]
async fn two_processes_do_each_job_once() {
    let company = Company::with_stock().await;
    // Each run leaves a trace, and takes long enough for the others to look.
    let slow = "create table public.traces (at timestamptz default clock_timestamp());
        grant insert on public.traces to it_b1_owner; grant usage on schema public to it_b1_owner;
        create or replace function shop_expire_carts() returns int language sql security definer as
          'insert into public.traces default values; select pg_sleep(0.3); select 1';";
    company.db.batch_execute(slow).await.unwrap();
    let settings = [("INSULA_JOBS_LOOK_EVERY_SECONDS", "1")];
    let (one, two) = (Second::with(&company.world, &settings).await, Second::with(&company.world, &settings).await);
    let (this, that) = tokio::join!(work(&company.world), work(&company.world));
    assert_eq!(this.failed + that.failed, 0);
    let done = "select count(*) = 0 from public.tenant_jobs where ended_at is null or did is null";
    let began = Instant::now();
    while company.text(done).await != "true" || company.text("select count(*) from public.traces").await == "0" {
        assert!(began.elapsed() < Duration::from_secs(20), "the jobs are not done");
        sleep(Duration::from_millis(50)).await;
    }
    let runs = "select max(claim) || ' ' || (select count(*) from public.traces) from public.tenant_jobs where job = 'expire_carts'";
    assert_eq!(company.text(runs).await, "1 1");
    // A process that died in the middle is followed by another, when its time is over.
    company
        .db
        .batch_execute("update public.tenant_jobs set due_at = now(), ended_at = null where job = 'expire_carts'")
        .await
        .unwrap();
    let began = Instant::now();
    while company.text(runs).await != "2 2" {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", company.text(runs).await);
        sleep(Duration::from_millis(50)).await;
    }
    one.kill().await;
    two.kill().await;
}

#[tokio::test]
async fn who_was_overtaken_writes_nothing_down() {
    let company = Company::with_stock().await;
    // In the middle of the job, another process takes it on: this one's end is not the last word.
    let overtaken =
        "grant update, select on public.tenant_jobs to it_b1_owner; grant usage on schema public to it_b1_owner;
        create or replace function shop_expire_carts() returns int language sql security definer as
          'update public.tenant_jobs set claim = claim + 1 where job = ''expire_carts''; select 99';";
    company.db.batch_execute(overtaken).await.unwrap();
    work(&company.world).await;
    let row = "select coalesce(did::text, 'nothing') || ' ' || (ended_at is null) from public.tenant_jobs where job = 'expire_carts'";
    assert_eq!(company.text(row).await, "nothing true");
}

#[tokio::test]
async fn operators_see_how_jobs_went() {
    let company = Company::with_stock().await;
    work(&company.world).await;
    let list = |arguments: &'static [&'static str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_insula"));
        command.args(["job", "list", "--json"]).args(arguments).envs(company.world.environment());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap()
    };
    let rows = list(&["testcompany"]);
    let jobs: Vec<String> = rows.iter().map(|row| format!("{}.{}", row["pack"], row["job"]).replace('"', "")).collect();
    assert_eq!(jobs, ["d2c_storefront.expire_carts", "d2c_storefront.expire_holds", "oms_fulfillment.expire_holds"]);
    assert!(list(&["--failing"]).is_empty());
    // A user of the tenant cannot start one.
    let owner = company.user("owner").await;
    let started =
        act(&owner, "carts", &company.text("select id from shop_cart limit 1").await, "expire_carts", json!({})).await;
    assert_eq!(started.status, 404);
}
