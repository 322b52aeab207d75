//! Operators migrate the fleet, follow a migration, pause it and go on from it, whichever process runs it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use super::fleet_serving::{PARCEL, bring_to, pack};
use super::world::{Answer, User, World};

const MIGRATIONS: &str = "/api/v1/migrations";
const LABEL: &str = "create table oms_label (id uuid primary key default uuid_v7());";
const WEIGHT: &str = "alter table oms_parcel add column weight int;";
const LOCK_ACME: &str = "lock table tenant_acme.oms_parcel in access exclusive mode";

/// A service that knows two versions of a pack, and three tenants that have the first.
struct Fleet {
    world: World,
    folder: TempDir,
    db: Client,
}

impl Fleet {
    async fn behind(second: &str) -> Self {
        let folder = pack(&[PARCEL, second], "");
        let path = folder.path().to_str().unwrap().to_owned();
        let world = World::with(|mut config| {
            config.packs.path = path;
            config
        })
        .await;
        let db = world.superuser().await;
        let buy = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
            select id, 'hrms', true, 'tests', 'test' from public.tenants
            where subdomain in ('acme', 'techstart', 'testcompany')";
        db.batch_execute(buy).await.unwrap();
        bring_to(&world, pack(&[PARCEL], "").path()).await;
        let fleet = Self { world, folder, db };
        assert_eq!(fleet.versions().await, [1, 1, 1]);
        fleet
    }

    /// Of `acme`, `techstart` and `testcompany`.
    async fn versions(&self) -> Vec<i32> {
        let sql = "select p.version from public.tenants t join public.tenant_packs p on p.tenant_id = t.id
            where p.pack = 'hrms' order by t.subdomain";
        self.db.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// A connection that holds a lock until it is rolled back, once somebody waits for it.
    async fn hold(&self, lock: &str) -> Client {
        let holder = self.world.superuser().await;
        holder.batch_execute(&format!("begin; {lock}")).await.unwrap();
        holder
    }

    async fn until_it_waits(&self) {
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.db.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(Instant::now() < deadline, "nobody waits");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn program(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_insula"));
        command.args(["migrate", "--jobs", "1", "--lock-timeout", "1min"]);
        command.envs(self.world.environment()).env("INSULA_PACKS_PATH", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    }
}

#[track_caller]
fn begun(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("{MIGRATIONS}/{}", answer.json()["id"].as_str().unwrap()));
    location
}

/// What a run tells until its end: the names of the events, their data.
async fn followed(staff: &User<'_>, run: &str, after: &str) -> Vec<(String, Value)> {
    let request = staff.request(Method::GET, &format!("{run}/events")).header("last-event-id", after);
    let text = String::from_utf8(request.bytes().await).unwrap();
    let read = |event: &str| {
        let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        Some((line("event: ")?.to_owned(), serde_json::from_str(line("data: ")?).unwrap()))
    };
    text.split("\n\n").filter_map(read).collect()
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn a_fleet_with_a_broken_tenant_is_migrated_and_followed_to_the_end() {
    let fleet = Fleet::behind(LABEL).await;
    let staff = fleet.world.staff().await;
    fleet.db.batch_execute("create table tenant_techstart.oms_label ()").await.unwrap();
    let before = staff.get(MIGRATIONS).await.ok();
    let of = |status: &Value| status["versions"].as_array().unwrap().iter().find(|v| v["what"] == "hrms").cloned();
    assert_eq!(of(&before), Some(json!({ "what": "hrms", "version": 2, "tenants": 3, "pending": 3 })));
    assert_eq!((&before["running"], &before["failing"]), (&Value::Null, &json!([])));

    let run = begun(&staff.post(MIGRATIONS, json!({ "jobs": 1, "waves": [30], "max_failures": 1 })).await);
    let events = followed(&staff, &run, "").await;
    assert_eq!(names(&events), ["wave", "migrated", "wave", "failed", "migrated", "end"], "{events:?}");
    let packs = json!([{ "pack": "hrms", "from": 1, "to": 2 }]);
    assert_eq!(events[1].1, json!({ "subdomain": "acme", "packs": packs }));
    assert_eq!(events[3].1["subdomain"], "techstart");
    assert!(events[3].1["error"].as_str().unwrap().contains("V2__part.sql: 42P07"), "{events:?}");
    assert_eq!(names(&followed(&staff, &run, "4").await), ["migrated", "end"], "who comes back reads on");

    let ended = staff.get(&run).await.ok();
    assert_eq!(events[5].1, ended);
    assert_eq!((&ended["state"], &ended["actor"]), (&json!("partly"), &json!("operator operator@insula.test")));
    assert_eq!([&ended["total"], &ended["migrated"], &ended["failed"]], [&json!(3), &json!(2), &json!(1)]);
    assert_eq!(fleet.versions().await, [2, 1, 2]);
    let after = staff.get(MIGRATIONS).await.ok();
    assert_eq!(after["runs"][0], ended);
    assert_eq!(
        (&after["failing"][0]["subdomain"], &after["failing"][0]["state"]),
        (&json!("techstart"), &json!("quarantined"))
    );
    let entry = "select actor, after ->> 'jobs', request_id is not null from public.audit_events
        where action = 'migrate' and object_type = 'migrations' and object_id = $1";
    let entry = fleet.db.query_one(entry, &[&ended["id"].as_str().unwrap()]).await.unwrap();
    assert_eq!(
        (entry.get::<_, &str>(0), entry.get::<_, &str>(1), entry.get::<_, bool>(2)),
        ("operator operator@insula.test", "1", true)
    );
}

#[tokio::test]
async fn a_rehearsal_shows_the_sql_and_leaves_nothing() {
    let fleet = Fleet::behind(LABEL).await;
    let staff = fleet.world.staff().await;
    let trial = staff.post(MIGRATIONS, json!({ "dry_run": true, "tenant": "testcompany" })).await.ok();
    let files = json!([{ "file": "hrms/V2__part.sql", "sql": LABEL }]);
    assert_eq!(trial, json!({ "subdomain": "testcompany", "files": files, "error": null }));
    fleet.db.batch_execute("create table tenant_acme.oms_label ()").await.unwrap();
    let trial = staff.post(MIGRATIONS, json!({ "dry_run": true })).await.ok();
    assert_eq!((&trial["subdomain"], &trial["error"]["sqlstate"]), (&json!("acme"), &json!("42P07")));
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    let trial = staff.post(MIGRATIONS, json!({ "dry_run": true, "pack": "crm" })).await.ok();
    assert_eq!(trial, json!({ "subdomain": null, "files": [], "error": null }));
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let staff = world.staff().await;
    for (order, pointer) in [
        (json!({ "jobs": 0 }), "#/jobs"),
        (json!({ "waves": [10, 101] }), "#/waves/1"),
        (json!({ "lock_timeout_ms": 0 }), "#/lock_timeout_ms"),
        (json!({ "canaries": 1 }), "#/canaries"),
    ] {
        assert_eq!(staff.post(MIGRATIONS, order).await.problem(422)["errors"][0]["pointer"], pointer);
    }
    assert_eq!(staff.post(MIGRATIONS, json!({ "tenant": "acne" })).await.problem(404)["code"], "tenant_not_found");
    let slip = staff.post(MIGRATIONS, json!({ "pack": "crn" })).await.problem(400);
    assert!(slip["detail"].as_str().unwrap().contains("did you mean `crm`?"), "{slip}");
    let nobody = format!("{MIGRATIONS}/{}", uuid::Uuid::now_v7());
    for path in [nobody.clone(), format!("{nobody}/events")] {
        assert_eq!(staff.get(&path).await.problem(404)["code"], "not_found");
    }
    assert_eq!(staff.post(&format!("{nobody}/actions/pause"), json!({})).await.problem(404)["code"], "not_found");
}

#[tokio::test]
async fn a_second_run_is_refused_and_told_who_has_begun_the_first() {
    let fleet = Fleet::behind(WEIGHT).await;
    let staff = fleet.world.staff().await;
    let holder = fleet.hold(LOCK_ACME).await;
    let run = begun(&staff.post(MIGRATIONS, json!({ "lock_timeout_ms": 60_000 })).await);
    fleet.until_it_waits().await;
    let refused = staff.post(MIGRATIONS, json!({})).await.problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("operator operator@insula.test since"), "{refused}");
    assert_eq!(staff.post(&format!("{run}/actions/resume"), json!({})).await.problem(409)["code"], "conflict");
    let refused = fleet.program().wait_with_output().await.unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("operator operator@insula.test since"));
    assert_eq!(staff.get(MIGRATIONS).await.ok()["running"]["state"], "running");
    let (events, released) = tokio::join!(followed(&staff, &run, ""), holder.batch_execute("rollback"));
    released.unwrap();
    assert_eq!(names(&events).last(), Some(&"end"));
    assert_eq!(events.last().unwrap().1["state"], "done");
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn a_pause_lets_end_what_is_under_way_and_another_run_goes_on() {
    let fleet = Fleet::behind(WEIGHT).await;
    let staff = fleet.world.staff().await;
    let holder = fleet.hold(LOCK_ACME).await;
    let run = begun(&staff.post(MIGRATIONS, json!({ "pack": "hrms", "jobs": 1, "lock_timeout_ms": 60_000 })).await);
    fleet.until_it_waits().await;
    assert_eq!(staff.post(&format!("{run}/actions/pause"), json!({})).await.ok()["state"], "pausing");
    assert_eq!(staff.post(&format!("{run}/actions/resume"), json!({})).await.problem(409)["code"], "conflict");
    // The process that runs it looks within a second.
    tokio::time::sleep(Duration::from_millis(900)).await;
    holder.batch_execute("rollback").await.unwrap();
    let events = followed(&staff, &run, "").await;
    assert_eq!(names(&events), ["wave", "migrated", "end"]);
    assert_eq!(
        (&events[2].1["state"], &events[2].1["pause_asked_by"]),
        (&json!("paused"), &json!("operator operator@insula.test"))
    );
    assert_eq!(fleet.versions().await, [2, 1, 1]);
    assert_eq!(staff.post(&format!("{run}/actions/pause"), json!({})).await.problem(409)["code"], "conflict");

    let next = begun(&staff.post(&format!("{run}/actions/resume"), json!({})).await);
    let events = followed(&staff, &next, "").await;
    assert_eq!(names(&events), ["wave", "migrated", "migrated", "end"]);
    let (first, second) = (staff.get(&run).await.ok(), staff.get(&next).await.ok());
    assert_eq!((&second["state"], &second["resumes"]), (&json!("done"), &first["id"]));
    assert_eq!(second["ordered"], first["ordered"]);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
    assert_eq!(staff.post(&format!("{next}/actions/resume"), json!({})).await.problem(409)["code"], "conflict");
}

#[tokio::test]
async fn a_run_of_the_command_line_is_followed_and_paused_from_here() {
    let fleet = Fleet::behind(WEIGHT).await;
    let staff = fleet.world.staff().await;
    let holder = fleet.hold(LOCK_ACME).await;
    let child = fleet.program();
    fleet.until_it_waits().await;
    let running = staff.get(MIGRATIONS).await.ok()["running"].clone();
    let run = format!("{MIGRATIONS}/{}", running["id"].as_str().unwrap());
    assert!(running["actor"].as_str().unwrap().contains(&format!("process {}", child.id().unwrap())), "{running}");
    staff.post(&format!("{run}/actions/pause"), json!({})).await.ok();
    let release = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        holder.batch_execute("rollback").await.unwrap();
        child.wait_with_output().await.unwrap()
    };
    let (events, ended) = tokio::join!(followed(&staff, &run, ""), release);
    assert_eq!(ended.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("Paused after 1 of 3 tenants"), "{ended:?}");
    assert_eq!(names(&events), ["wave", "migrated", "end"]);
    assert_eq!(events[2].1["state"], "paused");
}

#[tokio::test]
async fn a_run_whose_process_was_killed_has_ended_and_another_goes_on() {
    let fleet = Fleet::behind(WEIGHT).await;
    let staff = fleet.world.staff().await;
    let holder = fleet.hold(LOCK_ACME).await;
    let mut child = fleet.program();
    fleet.until_it_waits().await;
    let running = staff.get(MIGRATIONS).await.ok()["running"].clone();
    let run = format!("{MIGRATIONS}/{}", running["id"].as_str().unwrap());
    child.kill().await.unwrap();
    let (events, ()) = tokio::join!(followed(&staff, &run, ""), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.batch_execute("rollback").await.unwrap();
    });
    assert_eq!(events.last().unwrap().1["state"], "ended", "whoever follows it is told");
    assert_eq!(staff.post(&format!("{run}/actions/pause"), json!({})).await.problem(409)["code"], "conflict");
    let next = begun(&staff.post(&format!("{run}/actions/resume"), json!({})).await);
    assert_eq!(followed(&staff, &next, "").await.last().unwrap().1["state"], "done");
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn a_run_that_lost_its_lead_takes_no_further_tenant() {
    let fleet = Fleet::behind(WEIGHT).await;
    let staff = fleet.world.staff().await;
    let holder = fleet.hold(LOCK_ACME).await;
    let run = begun(&staff.post(MIGRATIONS, json!({ "jobs": 1, "lock_timeout_ms": 60_000 })).await);
    fleet.until_it_waits().await;
    let end = "select pg_terminate_backend(backend) from public.migration_runs where outcome = 'running'";
    fleet.db.execute(end, &[]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    holder.batch_execute("rollback").await.unwrap();
    fleet.world.app.background.ended().await;
    assert_eq!(fleet.versions().await, [2, 1, 1], "somebody else may lead now");
    assert_eq!(staff.get(&run).await.ok()["state"], "ended");
    let next = begun(&staff.post(&format!("{run}/actions/resume"), json!({})).await);
    assert_eq!(followed(&staff, &next, "").await.last().unwrap().1["state"], "done");
}

#[tokio::test]
async fn who_is_signed_out_or_finds_no_place_does_not_follow() {
    let fleet = Fleet::behind(WEIGHT).await;
    let staff = fleet.world.staff().await;
    let holder = fleet.hold(LOCK_ACME).await;
    let run = begun(&staff.post(MIGRATIONS, json!({ "lock_timeout_ms": 60_000 })).await);
    let places: Vec<_> = std::iter::from_fn(|| fleet.world.app.background.follow().ok()).collect();
    let refused = staff.get(&format!("{run}/events")).await;
    assert_eq!(refused.problem(429)["code"], "too_many_requests");
    drop(places);
    let (events, ()) = tokio::join!(followed(&staff, &run, ""), async {
        staff.post("/api/v1/auth/logout", json!(null)).await;
    });
    assert!(!names(&events).contains(&"end"), "{events:?}");
    holder.batch_execute("rollback").await.unwrap();
}
