//! The audit: who changed what, in a chain that shows where it was tampered with.

use futures_util::future::join_all;
use insula::audit::anchor;
use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::{Office, made};
use super::world::{User, World};

const EVENTS: &str = "/api/v1/audit-events";

async fn entries(user: &User<'_>, about: &str) -> Vec<Value> {
    user.rows(&format!("{EVENTS}?{about}&order=seq.asc")).await
}

#[tokio::test]
async fn a_change_says_who_what_and_by_which_request() {
    let office = Office::open().await;
    let (owner, sales) = (office.user("owner").await, office.user("sales1").await);
    let ravi = made(sales.post("/api/v1/contacts", json!({ "first_name": "Ravi", "email": "ravi@x.test" })).await);
    let row = format!("/api/v1/contacts/{ravi}");
    let patch =
        sales.request(Method::PATCH, &row).header("x-request-id", "night-shift-7").json(&json!({ "last_name": "Das" }));
    patch.send().await.ok();
    sales.post(&format!("{row}/actions/archive"), json!({})).await.ok();
    sales.patch(&row, json!({ "first_name": "" })).await.problem(422);

    let found = entries(&owner, &format!("object_type=eq.contacts&object_id=eq.{ravi}")).await;
    let said: Vec<(&str, &Value, &Value, &Value)> = found
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), &entry["through"], &entry["before"], &entry["after"]))
        .collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert_eq!((said[0].0, said[0].3["first_name"].as_str(), said[0].2), ("create", Some("Ravi"), &Value::Null));
    assert_eq!(said[1], ("update", &Value::Null, &json!({ "last_name": null }), &json!({ "last_name": "Das" })));
    assert_eq!(said[2], ("update", &json!("archive"), &json!({ "state": "active" }), &json!({ "state": "archived" })));
    let sales1 = office.id("sales1").await;
    for entry in &found {
        assert_eq!((&entry["actor_id"], &entry["address"]), (&json!(sales1), &json!("127.0.0.1")));
    }
    assert_eq!(found[1]["request_id"], "night-shift-7");
}

#[tokio::test]
async fn secrets_and_what_did_not_happen_are_not_in_it() {
    let office = Office::open().await;
    let (owner, sales) = (office.user("owner").await, office.user("sales1").await);
    let change = json!({ "old_password": "insula-demo", "password": "another long one" });
    sales.post("/api/v1/me/password", change).await.ok();
    let sales1 = office.id("sales1").await;
    let credentials = entries(&owner, &format!("object_type=eq.sys_credential&actor_id=eq.{sales1}")).await;
    assert_eq!(credentials[0]["after"]["password_hash"], "***", "{credentials:#?}");
    let everything = office.text("select string_agg(to_jsonb(e)::text, ' ') from sys_audit_event e").await;
    assert!(!everything.contains("argon2"), "a password hash");

    let before = office.text("select max(seq)::text from sys_audit_event").await;
    let trial = sales.request(Method::POST, "/api/v1/contacts").header("prefer", "tx=rollback");
    trial.json(&json!({ "first_name": "Nobody", "email": "nobody@x.test" })).send().await.ok();
    sales.post("/api/v1/contacts", json!({ "first_name": "X", "email": "no address" })).await.problem(422);
    assert_eq!(office.text("select max(seq)::text from sys_audit_event").await, before);
}

#[tokio::test]
async fn every_row_of_a_change_of_many_has_its_entry() {
    let office = Office::open().await;
    let (owner, sales) = (office.user("owner").await, office.user("sales1").await);
    let before = office.text("select max(seq)::text from sys_audit_event").await;
    let rows: Vec<Value> = (0..40)
        .map(|n| json!({ "first_name": format!("N{n}"), "last_name": "Many", "email": format!("n{n}@x.test") }))
        .collect();
    sales.post("/api/v1/contacts", json!(rows)).await.ok();
    let change =
        sales.request(Method::PATCH, "/api/v1/contacts?last_name=eq.Many").json(&json!({ "phone": "+919999999999" }));
    let changed = change.header("prefer", "handling=strict, max-affected=100").send().await;
    let remove = owner.request(Method::DELETE, "/api/v1/contacts?last_name=eq.Many");
    let removed = remove.header("prefer", "handling=strict, max-affected=100").send().await;
    assert!(changed.status.is_success() && removed.status.is_success(), "{changed:?} {removed:?}");
    let found = entries(&owner, &format!("object_type=eq.contacts&seq=gt.{before}")).await;
    let count = |action: &str| found.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("create"), count("update"), count("delete")), (40, 40, 40), "{}", found.len());
    for update in found.iter().filter(|entry| entry["action"] == "update") {
        assert_eq!(
            (&update["before"], &update["after"]),
            (&json!({ "phone": null }), &json!({ "phone": "+919999999999" }))
        );
        assert!(found.iter().any(|made| made["action"] == "create" && made["object_id"] == update["object_id"]));
    }
}

#[tokio::test]
async fn numbers_have_no_gap_however_many_write_at_once() {
    let office = Office::open().await;
    let sales = office.user("sales1").await;
    let write = |n: usize| {
        let sales = &sales;
        async move {
            let email = if n % 4 == 3 { "bad".to_owned() } else { format!("c{n}@x.test") };
            let body = json!({ "first_name": "C", "email": email });
            sales.post("/api/v1/contacts", body).await.status
        }
    };
    let statuses = join_all((0..40).map(write)).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 30, "{statuses:?}");
    let gaps = "select count(*) - max(seq) || ' ' || count(*) filter (where seq is null) from sys_audit_event";
    assert_eq!(office.text(gaps).await, "0 0");
    assert_eq!(check(&office.world, &["--tenant", "acme"]).await, (0, json!(null)));
}

/// `insula check audit` with the real binary: its exit code, and the fault of the last audit.
async fn check(world: &World, arguments: &[&str]) -> (i32, Value) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_insula"))
        .args(["check", "audit", "--json"])
        .args(arguments)
        .envs(world.environment())
        .output()
        .await
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let last = said["audits"].as_array().unwrap().last().unwrap().clone();
    (output.status.code().unwrap(), last["fault"].clone())
}

#[tokio::test]
async fn it_is_append_only_and_shows_where_somebody_tampered_with_it() {
    let office = Office::open().await;
    for sql in [
        "update sys_audit_event set action = 'x' where seq = 1",
        "update sys_audit_event set seq = null, hash = null where seq = 1",
        "delete from sys_audit_event where seq = 1",
        "truncate sys_audit_event",
    ] {
        let refused = office.db.batch_execute(sql).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "AP409", "{sql}");
    }
    let role = "set session authorization it_t_acme; insert into sys_audit_event (line, action, object_type) values (1, 'x', 'x')";
    let stranger = office.world.superuser().await;
    stranger.batch_execute("set search_path = tenant_acme, insula").await.unwrap();
    assert_eq!(stranger.batch_execute(role).await.unwrap_err().code().unwrap().code(), "42501");

    anchor(&office.world.app.platform.database).await.unwrap();
    office.user("sales1").await;
    assert_eq!(check(&office.world, &["--tenant", "acme"]).await, (0, json!(null)));
    let last: i64 = office.text("select max(seq)::text from sys_audit_event").await.parse().unwrap();
    let middle = last / 2;
    let rewrite = "do $$ declare h bytea := sha256('tenant_acme'); e record; begin
          for e in select * from sys_audit_event order by seq loop
            h := sha256(h || convert_to(jsonb_build_array(e.seq, audit_text(e.at), e.actor_id, e.impersonator, e.action, e.through,
              e.object_type, e.object_id, e.before, e.after, e.request_id, host(e.address))::text, 'UTF8'));
            update sys_audit_event set hash = h where seq = e.seq;
          end loop;
          update sys_audit_head set hash = h; end $$";
    for (tampering, seq, damage) in [
        (format!("update sys_audit_event set after = '{{}}' where seq = {middle}"), middle, "changed"),
        (format!("update sys_audit_event set at = at + interval '1 us' where seq = {middle}"), middle, "changed"),
        (format!("delete from sys_audit_event where seq = {middle}"), middle, "missing"),
        (format!("delete from sys_audit_event where seq = {last}"), last, "missing"),
        (format!("update sys_audit_event set seq = null, hash = null where seq = {last}"), last, "unnumbered"),
        (
            format!("update sys_audit_event set actor_id = null, address = '10.0.0.1' where seq = {middle}; {rewrite}"),
            last - 1,
            "rewritten",
        ),
        (
            "delete from sys_audit_event where seq > 2; update sys_audit_head set (seq, hash) = (select seq, hash from sys_audit_event where seq = 2)".to_owned(),
            3,
            "missing",
        ),
        ("delete from sys_audit_head".to_owned(), last, "end"),
    ] {
        let sql = format!("set session_replication_role = replica; {tampering}");
        let copy = format!(
            "create table kept_events as table sys_audit_event; create table kept_head as table sys_audit_head; {sql}"
        );
        office.db.batch_execute(&copy).await.unwrap();
        let (exit, fault) = check(&office.world, &["--tenant", "acme"]).await;
        assert_eq!((exit, &fault["seq"], &fault["damage"]), (1, &json!(seq), &json!(damage)), "{tampering}");
        let undo = "delete from sys_audit_event; delete from sys_audit_head;
            insert into sys_audit_event overriding system value table kept_events;
            insert into sys_audit_head table kept_head; drop table kept_events, kept_head; set session_replication_role = origin";
        office.db.batch_execute(undo).await.unwrap();
        assert_eq!(check(&office.world, &["--tenant", "acme"]).await, (0, json!(null)), "undone");
    }
}

#[tokio::test]
async fn refusals_and_failed_sign_ins_are_in_it() {
    let office = Office::open().await;
    let (owner, sales) = (office.user("owner").await, office.user("sales1").await);
    for _ in 0..3 {
        let guess = json!({ "email": "Owner@acme.test", "password": "a wrong password" });
        office.world.request(Method::POST, "acme", "/api/v1/auth/login").json(&guess).send().await.problem(401);
    }
    sales.get("/api/v1/users").await.problem(403);
    office.world.app.refusals.flush().await;
    let failed = entries(&owner, "action=eq.sign_in_failed").await;
    assert!(failed.iter().all(|entry| entry["impersonator"].is_null()));
    let times: i64 = failed.iter().map(|entry| entry["after"]["times"].as_i64().unwrap()).sum();
    assert_eq!(
        (times, &failed[0]["after"]["email"], &failed[0]["actor_id"]),
        (3, &json!("Owner@acme.test"), &Value::Null)
    );
    let refused = entries(&owner, "action=eq.refused").await;
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (&refused[0]["actor_id"], &refused[0]["after"]["code"]),
        (&json!(office.id("sales1").await), &json!("forbidden"))
    );
    sales.get(EVENTS).await.problem(403);
    let elsewhere = office.world.user("techstart", "owner").await;
    assert!(entries(&elsewhere, "action=eq.refused").await.is_empty());
}

#[tokio::test]
async fn nobody_hides_his_guesses_and_those_of_others() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let guess = async |email: &str| {
        let guess = json!({ "email": email, "password": "a wrong password" });
        office.world.request(Method::POST, "acme", "/api/v1/auth/login").json(&guess).send().await.problem(401);
    };
    guess("owner@acme.test").await;
    guess("\0nobody\0@acme.test").await;
    office.world.app.refusals.flush().await;
    let failed = entries(&owner, "action=eq.sign_in_failed").await;
    let mut emails: Vec<&str> = failed.iter().map(|entry| entry["after"]["email"].as_str().unwrap()).collect();
    emails.sort_unstable();
    assert_eq!(emails, ["nobody@acme.test", "owner@acme.test"]);
}

#[tokio::test]
async fn a_stolen_refresh_token_is_traced_to_who_brought_it_twice() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let post = |path: &str| office.world.request(Method::POST, "acme", path);
    let credentials = json!({ "email": "sales1@acme.test", "password": insula::ops::DEMO_PASSWORD });
    let signed_in = post("/api/v1/auth/login").json(&credentials).send().await.ok();
    let token = json!({ "refresh_token": signed_in["refresh_token"] });
    post("/api/v1/auth/refresh").json(&token).send().await.ok();
    post("/api/v1/auth/refresh").header("x-request-id", "thief-1").json(&token).send().await.problem(401);
    let ended = entries(&owner, "object_type=eq.sessions&request_id=eq.thief-1").await;
    assert_eq!((ended.len(), &ended[0]["address"]), (1, &json!("127.0.0.1")), "{ended:#?}");
    assert!(ended[0]["after"]["revoked_at"].is_string());
}

#[tokio::test]
async fn a_flood_of_names_fills_no_audit() {
    let world = World::with(|mut config| {
        config.limits.sign_in_per_minute = 3;
        config
    })
    .await;
    let flood = (0..50).map(|n| {
        let guess = json!({ "email": format!("nobody{n}@acme.test"), "password": "a wrong password" });
        world.request(Method::POST, "acme", "/api/v1/auth/login").json(&guess).send()
    });
    join_all(flood).await;
    world.app.refusals.flush().await;
    let sql = "select count(*), sum((after ->> 'times')::bigint)::bigint
        from tenant_acme.sys_audit_event where action = 'sign_in_failed'";
    let row = world.superuser().await.query_one(sql, &[]).await.unwrap();
    let (entries, times) = (row.get::<_, i64>(0), row.get::<_, i64>(1));
    assert!(entries < 20 && times == 50, "{entries} entries say {times} times");
}

#[tokio::test]
async fn the_platform_has_one_too() {
    let office = Office::open().await;
    let (world, staff) = (&office.world, office.world.staff().await);
    let id = world.tenant_id("techstart").await;
    staff.post(&format!("/api/v1/tenants/{id}/actions/suspend"), json!({ "reason": "unpaid" })).await.ok();
    staff.delete(&format!("/api/v1/tenants/{}/modules/crm", world.tenant_id("acme").await)).await;
    let sql = format!(
        "select actor || ' ' || action || ' ' || (after ->> 'state') || ' ' || host(address) from public.audit_events
        where object_type = 'tenants' and object_id = '{id}' and action = 'update' order by seq desc limit 1"
    );
    assert_eq!(office.text(&sql).await, "operator operator@insula.test update suspended 127.0.0.1");
    let module = "select actor || ' ' || (after ->> 'module_code') from public.audit_events
        where object_type = 'tenant_module_overrides' order by seq desc limit 1";
    assert_eq!(office.text(module).await, "operator operator@insula.test crm");
    assert!(!office.text("select string_agg(after::text, '') from public.audit_events").await.contains("argon2"));
    assert_eq!(check(world, &[]).await.0, 0);
    office
        .db
        .batch_execute(
            "set session_replication_role = replica; update public.audit_events set actor = 'nobody' where seq = 3",
        )
        .await
        .unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_insula"))
        .args(["check", "audit"])
        .envs(world.environment())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("entry 3: it was changed or put in"), "{said}");
}

#[tokio::test]
async fn changes_that_see_one_moment_get_through_beside_others() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let mut deals = owner.rows("/api/v1/deals?closed_at=is.null&select=id,row_version").await;
    deals.truncate(16);
    let manager = office.id("manager").await;
    let reassign = |deal: &Value| {
        let path = format!("/api/v1/deals/{}/actions/reassign", deal["id"].as_str().unwrap());
        let request = owner.request(Method::POST, &path).header("if-match", &format!("\"v{}\"", deal["row_version"]));
        let request = request.header("idempotency-key", deal["id"].as_str().unwrap());
        request.json(&json!({ "owner_id": manager })).send()
    };
    let answers = join_all(deals.iter().map(reassign)).await;
    let refused: Vec<_> = answers.iter().filter(|answer| !answer.status.is_success()).collect();
    assert!(answers.len() == 16 && refused.is_empty(), "{refused:#?}");
}
