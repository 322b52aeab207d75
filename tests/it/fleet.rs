//! The fleet is migrated by the real program, while others lock and break.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::parcels::*;

#[tokio::test]
async fn a_tenant_that_is_broken_is_put_into_quarantine_and_the_others_go_on() {
    let fleet = Fleet::new().await;
    fleet.db.batch_execute("create table tenant_techstart.oms_label ()").await.unwrap();
    fleet.file(2, LABEL);
    let ran = fleet.migrate(&["--json"]).await.expect(3);
    assert_eq!(fleet.versions().await, [2, 1, 2]);
    assert_eq!(ran.json()["summary"]["failed"], 1);
    assert!(ran.said.contains("techstart") && ran.said.contains("V2__part.sql: 42P07"), "{}", ran.said);
    let failing = fleet.failing().await;
    assert_eq!(failing.as_array().unwrap().len(), 1);
    let why = &failing[0];
    assert_eq!(
        (&why["subdomain"], &why["state"], &why["sqlstate"]),
        (&"techstart".into(), &"quarantined".into(), &"42P07".into())
    );
    assert_eq!(
        (&why["file"], &why["from"], &why["to"], &why["attempts"]),
        (&"V2__part.sql".into(), &1.into(), &2.into(), &1.into())
    );

    let next = fleet.migrate(&["--json"]).await.expect(3);
    assert_eq!(next.json()["summary"]["quarantined"], 1);
    assert_eq!(fleet.failing().await[0]["attempts"], 1, "it is left alone");
    fleet.migrate(&["--check"]).await.expect(5);
    fleet.migrate(&["--tenant", "techstart"]).await.expect(3);
    assert_eq!(fleet.failing().await[0]["attempts"], 2, "who is named is tried");

    fleet.db.batch_execute("drop table tenant_techstart.oms_label").await.unwrap();
    fleet.migrate(&["--retry-failed"]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
    assert_eq!(fleet.failing().await, Value::Array(Vec::new()));
    fleet.migrate(&["--check"]).await.expect(0);
}

#[tokio::test]
async fn what_requires_a_pack_in_quarantine_is_not_tried() {
    let fleet = Fleet::new().await;
    let tag = fleet.folder.path().join("marketing");
    let tags = |version: usize, sql: &str| std::fs::write(tag.join(format!("V{version}__part.sql")), sql).unwrap();
    std::fs::create_dir(&tag).unwrap();
    std::fs::write(tag.join("pack.toml"), "code = \"marketing\"\nname = \"Tags\"\nrequires = [\"hrms\"]\n").unwrap();
    tags(1, "create table mkt_tag (id uuid primary key default uuid_v7());");
    let buy = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
        select id, 'marketing', true, 'tests', 'test' from public.tenants where subdomain = 'techstart'";
    fleet.db.batch_execute(buy).await.unwrap();
    fleet.migrate(&[]).await.expect(0);
    fleet.db.batch_execute("create table tenant_techstart.oms_label ()").await.unwrap();
    fleet.file(2, LABEL);
    fleet.migrate(&[]).await.expect(3);

    tags(2, "alter table mkt_tag add column name text;");
    fleet.migrate(&[]).await.expect(3);
    let sql = "select max(version) from public.tenant_packs where pack = 'marketing'";
    let version = async || fleet.db.query_one(sql, &[]).await.unwrap().get::<_, i32>(0);
    assert_eq!(version().await, 1, "it was written for a newer version of what it requires");
    fleet.db.batch_execute("drop table tenant_techstart.oms_label").await.unwrap();
    fleet.migrate(&["--retry-failed"]).await.expect(0);
    assert_eq!(version().await, 2);
}

#[tokio::test]
async fn a_tenant_that_others_lock_is_left_for_the_next_run() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_ACME).await;
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    fleet.migrate(&["--lock-timeout", "20ms"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 2, 2]);
    let why = &fleet.failing().await[0];
    assert_eq!((&why["state"], &why["sqlstate"], &why["attempts"]), (&"deferred".into(), &"55P03".into(), &5.into()));
    assert_eq!(why["blocked_by"], serde_json::json!([pid]));
    holder.batch_execute("rollback").await.unwrap();
    fleet.migrate(&[]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn a_lock_that_is_given_back_meanwhile_is_no_failure() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_ACME).await;
    let child = fleet.waiting(&["--lock-timeout", "300ms"]).await;
    // The wait is over, the next one not begun.
    fleet.poll("it waits longer than it may", WAITING, 0).await;
    holder.batch_execute("rollback").await.unwrap();
    ended(child).await.expect(0);
    let sql = "select max(attempts)::bigint from public.tenant_migrations where pack = 'hrms'";
    assert!(fleet.db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 1, "it was tried again");
}

#[tokio::test]
async fn two_runs_at_once_are_one() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_ACME).await;
    let first = fleet.waiting(&["--lock-timeout", "1min"]).await;
    let second = fleet.migrate(&[]).await.expect(1);
    let who = format!("process {}", first.id().unwrap());
    assert!(second.said.contains("being migrated already") && second.said.contains(&who), "{}", second.said);
    let third = fleet.program(&["--wait"]);
    holder.batch_execute("rollback").await.unwrap();
    ended(first).await.expect(0);
    ended(third).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn the_first_signal_stops_after_the_tenant_at_work() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_TECHSTART).await;
    let child = fleet.waiting(&["--jobs", "1", "--lock-timeout", "1min"]).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    // The signal is heard while the tenant is still at work.
    tokio::time::sleep(Duration::from_millis(300)).await;
    holder.batch_execute("rollback").await.unwrap();
    let ran = ended(child).await.expect(130);
    assert!(ran.said.contains("Stopped after 2 of 3 tenants"), "{}", ran.said);
    assert_eq!(fleet.versions().await, [2, 2, 1]);
    fleet.migrate(&[]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn canaries_and_too_many_failures_stop_the_run() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.db.batch_execute("create table tenant_acme.oms_label ()").await.unwrap();
    let ran = fleet.migrate(&["--canary", "1"]).await.expect(3);
    assert!(ran.said.contains("2 were not touched"), "{}", ran.said);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--retry-failed", "--waves", "30"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--retry-failed", "--max-failures", "0", "--jobs", "1"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--retry-failed", "--waves", "30", "--max-failures", "1"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 2, 2]);
}

#[tokio::test]
async fn a_file_that_was_changed_or_is_missing_is_named() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.migrate(&[]).await.expect(0);
    fleet.file(1, &format!("{PARCEL} -- better"));
    fleet.file(3, WEIGHT);
    for arguments in [&[][..], &["--check"], &["--dry-run"]] {
        let ran = fleet.migrate(arguments).await.expect(1);
        assert!(ran.said.contains("hrms/V1__part.sql was changed"), "{}", ran.said);
    }
    assert_eq!(fleet.versions().await, [2, 2, 2]);
    fleet.file(1, PARCEL);
    for version in [2, 3] {
        std::fs::remove_file(fleet.folder.path().join(format!("hrms/V{version}__part.sql"))).unwrap();
    }
    let ran = fleet.migrate(&[]).await.expect(1);
    assert!(ran.said.contains("V2__….sql") && ran.said.contains("is missing: 3 tenants"), "{}", ran.said);
}

#[tokio::test]
async fn a_dry_run_shows_the_sql_and_leaves_nothing() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.file(3, INDEX.replace("create index concurrently oms_parcel_size_idx on oms_parcel (size);", "").as_str());
    let state = "select jsonb_build_array(
        (select jsonb_agg(c.relname order by c.oid) from pg_class c where c.relnamespace::regnamespace::text like 'tenant%'),
        (select jsonb_agg(p order by p.tenant_id, p.pack) from public.tenant_packs p),
        (select jsonb_agg(m order by m.tenant_id, m.pack) from public.tenant_migrations m),
        (select count(*) from public.migration_runs))";
    let state = async || fleet.db.query_one(state, &[]).await.unwrap().get::<_, Value>(0);
    let before = state().await;
    let ran = fleet.migrate(&["--dry-run", "--tenant", "techstart"]).await.expect(0);
    assert!(ran.out.contains("hrms/V2__part.sql\n") && ran.out.contains(LABEL), "{}", ran.out);
    assert!(ran.out.contains("create index concurrently"), "{}", ran.out);
    assert!(ran.said.contains("techstart"), "{}", ran.said);
    assert_eq!(state().await, before);

    fleet.db.batch_execute("create table tenant_acme.oms_label ()").await.unwrap();
    let before = state().await;
    let ran = fleet.migrate(&["--dry-run", "--json"]).await.expect(1);
    assert_eq!((&ran.json()["subdomain"], &ran.json()["error"]["sqlstate"]), (&"acme".into(), &"42P07".into()));
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn one_pack_of_one_tenant_can_be_meant_and_a_slip_is_refused() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.migrate(&["--pack", "crm"]).await.expect(0);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--pack", "hrms", "--tenant", "acme"]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 1, 1]);
    assert!(fleet.migrate(&["--pack", "hrmss"]).await.expect(2).said.contains("did you mean `hrms`?"));
    fleet.migrate(&["--tenant", "nobody"]).await.expect(1);
}

#[tokio::test]
async fn a_fleet_is_seeded_and_seeded_further() {
    let fleet = Fleet::new().await;
    let seed = async |number: &str| {
        let mut child = fleet.command("fleet");
        let ran = ended(child.args(["seed", number, "--prefix", "plot", "--json"]).spawn().unwrap()).await;
        ran.expect(0).json()["made"].as_i64().unwrap()
    };
    assert_eq!(seed("2").await, 2);
    assert_eq!(seed("3").await, 1);
    let sql = "select count(*) from public.tenants t join public.tenant_packs p on p.tenant_id = t.id
        where t.subdomain like 'plot-_' and t.state = 'active' and p.pack = 'crm' and cardinality(p.digests) = p.version";
    fleet.poll("a tenant is missing", sql, 3).await;
}
