//! A tenant is copied, renamed, deleted and erased, by the real program, while the service runs.

use std::fs;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{insula, invariants};
use crate::provisioning::fresh;
use crate::world::World;

const CONTACTS: &str = "/api/v1/contacts";
const CANARY: &str = "canary7f3a91";

/// Asks until the answer is this one: news of a change travels.
async fn soon(world: &World, subdomain: &str, path: &str, status: u16) {
    for _ in 0..100 {
        if world.request(Method::GET, subdomain, path).status().await == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{subdomain}{path} never answers {status}");
}

#[tokio::test]
async fn a_copy_is_like_its_model_but_no_letter_leaves_it_and_no_key_opens_it() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    let form = json!({ "name": "Robot", "permissions": ["contacts.view"] });
    let key = owner.post("/api/v1/api-keys", form).await.ok();
    let key = key["key"].as_str().or(key["token"].as_str()).or(key["secret"].as_str()).unwrap().to_owned();
    assert_eq!(world.request(Method::GET, "acme", CONTACTS).bearer(&key).status().await, 200);
    let name = fresh(&world, "sand");
    let told = insula(&world, &["tenant", "clone", "acme", &name, "--json"]).await.expect(0).json();
    assert_eq!((&told["sandbox"], &told["state"], &told["plan"]), (&json!(true), &json!("active"), &json!("crm")));

    soon(&world, &name, "/api/v1/me", 401).await;
    let token = {
        let credentials = json!({ "email": "owner@acme.test", "password": insula::ops::DEMO_PASSWORD });
        let login = world.request(Method::POST, &name, "/api/v1/auth/login").json(&credentials).send().await;
        login.ok()["access_token"].as_str().unwrap().to_owned()
    };
    let count = |answer: Value| answer["data"].as_array().unwrap().len();
    let here = world.request(Method::GET, &name, &format!("{CONTACTS}?limit=500")).bearer(&token);
    let there = owner.get(&format!("{CONTACTS}?limit=500")).await.ok();
    assert_eq!(count(here.send().await.ok()), count(there));
    assert_eq!(
        world.request(Method::GET, &name, CONTACTS).bearer(&key).status().await,
        401,
        "keys are revoked in the copy"
    );
    assert_eq!(world.request(Method::GET, "acme", CONTACTS).bearer(&key).status().await, 200);
    assert_eq!(world.request(Method::GET, &name, CONTACTS).bearer(&owner.token).status().await, 403);

    let ask = json!({ "email": "owner@acme.test" });
    world.request(Method::POST, &name, "/api/v1/auth/forgot-password").json(&ask).send().await;
    let db = world.superuser().await;
    let sql = format!("select outcome from tenant_{}.sys_mail where kind = 'reset'", name.replace('-', "_"));
    for turn in 0.. {
        let outcome: Option<Option<String>> = db.query_opt(&sql, &[]).await.unwrap().map(|row| row.get(0));
        if outcome == Some(Some("dropped".to_owned())) {
            break;
        }
        assert!(turn < 200, "the letter is not dropped: {outcome:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(world.app.mailer.kept(9).await.unwrap().is_empty());
    invariants(&world).await;
}

#[tokio::test]
async fn an_old_name_leads_to_the_new_one_and_is_nobody_elses() {
    let world = World::new().await;
    let (new, token) = (fresh(&world, "acme-group"), world.token("acme", "owner").await);
    insula(&world, &["tenant", "rename", "acme", "techstart"]).await.expect(1);
    insula(&world, &["tenant", "rename", "acme", "admin"]).await.expect(1);
    insula(&world, &["tenant", "rename", "acme", &new]).await.expect(0);
    soon(&world, &new, "/api/v1/me", 401).await;
    assert_eq!(
        world.request(Method::GET, &new, "/api/v1/me").bearer(&token).status().await,
        200,
        "nobody signs in anew"
    );
    // A path that no route has does not ask for the tenant.
    assert_eq!(world.request(Method::POST, "acme", "//evil.test/x?y=1").status().await, 404);
    let old = world.request(Method::GET, "acme", &format!("{CONTACTS}?limit=1")).bearer(&token).send().await;
    assert_eq!(old.status, StatusCode::PERMANENT_REDIRECT);
    let location = old.headers["location"].to_str().unwrap();
    assert!(
        location.starts_with(&format!("http://{new}.insula.test:")) && location.ends_with("/api/v1/contacts?limit=1")
    );
    let make = ["tenant", "create", "acme", "--name", "Evil", "--plan", "crm", "--owner", "eve@evil.test"];
    assert!(insula(&world, &make).await.expect(1).said.contains("is reserved"));
    insula(&world, &["tenant", "rename", "techstart", "acme"]).await.expect(1);

    world.superuser().await.batch_execute("update public.reserved_subdomains set redirect_until = now() where tenant_id is not null; select pg_notify('insula', 'name:acme')").await.unwrap();
    soon(&world, "acme", "/api/v1/me", 404).await;
    insula(&world, &["tenant", "rename", &new, "acme"]).await.expect(0);
    soon(&world, "acme", "/api/v1/me", 401).await;
    invariants(&world).await;
}

#[tokio::test]
async fn a_name_that_is_free_again_makes_a_tenant_of_its_own() {
    let world = World::new().await;
    let (new, token) = (fresh(&world, "techstart-group"), world.token("techstart", "owner").await);
    insula(&world, &["tenant", "rename", "techstart", &new]).await.expect(0);
    let free = "delete from public.reserved_subdomains where subdomain = 'techstart'";
    world.superuser().await.batch_execute(free).await.unwrap();
    let make = ["tenant", "create", "techstart", "--name", "Heir", "--plan", "crm", "--owner", "heir@heir.test"];
    insula(&world, &make).await.expect(0);
    soon(&world, "techstart", "/api/v1/me", 401).await;
    let stranger = world.request(Method::GET, "techstart", CONTACTS).bearer(&token).send().await;
    assert_eq!(stranger.problem(403)["code"], "tenant_mismatch");
    assert_eq!(world.request(Method::GET, &new, CONTACTS).bearer(&token).status().await, 200);
    invariants(&world).await;
}

#[tokio::test]
async fn a_deletion_can_be_undone_until_its_end_and_then_leaves_nothing() {
    let world = World::new().await;
    let db = world.superuser().await;
    let staff = world.staff().await;
    let name = fresh(&world, "doomed");
    let form = json!({ "company": format!("{CANARY} Ltd"), "subdomain": name, "plan": "crm", "email": format!("{CANARY}@doomed.test"),
        "password": "a long passphrase", "first_name": CANARY });
    let id = staff.post("/api/v1/tenants", form).await.ok()["id"].as_str().unwrap().to_owned();
    let credentials = json!({ "email": format!("{CANARY}@doomed.test"), "password": "a long passphrase" });
    let signed_in = world.request(Method::POST, &name, "/api/v1/auth/login").json(&credentials).send().await.ok();
    let token = signed_in["access_token"].as_str().unwrap().to_owned();
    let contact = json!({ "first_name": CANARY, "email": format!("{CANARY}@example.test") });
    world.request(Method::POST, &name, CONTACTS).bearer(&token).json(&contact).send().await.ok();
    let wrong = json!({ "email": format!("{CANARY}@doomed.test"), "password": CANARY });
    world.request(Method::POST, &name, "/api/v1/auth/login").json(&wrong).send().await;
    db.execute(
        "insert into public.tenant_domains (domain, tenant_id) values ($1, $2::text::uuid)",
        &[&format!("{CANARY}.example.test"), &id],
    )
    .await
    .unwrap();
    let suspend = json!({ "reason": format!("{CANARY} has not paid") });
    staff.post(&format!("/api/v1/tenants/{id}/actions/suspend"), suspend).await.ok();
    staff
        .post(&format!("/api/v1/tenants/{id}/actions/resume"), json!({ "reason": format!("{CANARY} has paid") }))
        .await
        .ok();
    insula::audit::anchor(&world.app.platform.database).await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("doomed.backup");
    insula(&world, &["tenant", "backup", &name, "--output", file.to_str().unwrap()]).await.expect(0);
    insula(&world, &["tenant", "restore", file.to_str().unwrap(), &format!("--confirm={name}")]).await.expect(0);
    insula::audit::anchor(&world.app.platform.database).await.unwrap();

    insula(&world, &["tenant", "delete", &name]).await.expect(2);
    insula(&world, &["tenant", "purge", &name, &format!("--confirm={name}")]).await.expect(1);
    insula(&world, &["tenant", "delete", &name, &format!("--confirm={name}")]).await.expect(0);
    soon(&world, &name, "/api/v1/me", 404).await;
    invariants(&world).await;
    insula(&world, &["tenant", "undelete", &name]).await.expect(0);
    soon(&world, &name, "/api/v1/me", 401).await;
    let again = world.request(Method::POST, &name, "/api/v1/auth/login").json(&credentials).send().await.ok();
    let (token, refresh) = (again["access_token"].as_str().unwrap(), again["refresh_token"].as_str().unwrap());

    insula(&world, &["tenant", "delete", &name, &format!("--confirm={name}"), "--grace-days", "0"]).await.expect(0);
    let done = insula::ops::tidy(&world.app.platform).await.unwrap();
    assert!(done.contains(&format!("purged {name}")), "{done:?}");
    invariants(&world).await;
    assert_eq!(found(&db, CANARY).await, Vec::<String>::new());
    let left = "select (select count(*) from public.audit_anchors where chain like 'tenant\\_doomed%' or chain like 'shelved%')
        + (select count(*) from public.tenant_subscriptions where tenant_id = $1::text::uuid)
        + (select count(*) from pg_namespace where nspname like 'shelved%')";
    assert_eq!(db.query_one(left, &[&id]).await.unwrap().get::<_, i64>(0), 0);

    let make = ["tenant", "create", &name, "--name", "Heir", "--plan", "crm", "--owner", "heir@doomed.test"];
    assert!(insula(&world, &make).await.expect(1).said.contains("is reserved"));
    db.batch_execute("update public.reserved_subdomains set until = now() where reason = 'quarantine'").await.unwrap();
    insula(&world, &make).await.expect(0);
    soon(&world, &name, "/api/v1/me", 401).await;
    assert_eq!(
        world.request(Method::GET, &name, CONTACTS).bearer(token).status().await,
        403,
        "old tokens are of another"
    );
    let replay = json!({ "refresh_token": refresh });
    assert_eq!(world.request(Method::POST, &name, "/api/v1/auth/refresh").json(&replay).status().await, 401);
    assert_eq!(world.request(Method::POST, &name, "/api/v1/auth/login").json(&credentials).status().await, 401);
    invariants(&world).await;
}

/// Tables of `public` and of all schemas of ours in which a word stands anywhere.
async fn found(db: &tokio_postgres::Client, word: &str) -> Vec<String> {
    let tables =
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema)'";
    let mut found = Vec::new();
    for row in db.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        let sql = format!("select count(*) from {table} t where t::text ~ '{word}|{hex}'");
        if db.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn an_export_holds_everything_but_secrets_and_no_formula() {
    let world = World::new().await;
    let user = world.user("acme", "owner").await;
    user.post(CONTACTS, json!({ "first_name": "=HYPERLINK(\"x\")", "email": "eve@acme.test" })).await.ok();
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("acme-data");
    let words = ["tenant", "export", "acme", "--output", output.to_str().unwrap(), "--json"];
    insula(&world, &words).await.expect(0);
    let read = |name: &str| fs::read_to_string(output.join(name)).unwrap();
    let manifest: Value = serde_json::from_str(&read("manifest.json")).unwrap();
    assert_eq!(manifest["account"]["subdomain"], "acme");
    let tables = manifest["tables"].as_array().unwrap();
    let of = |name: &str| tables.iter().find(|table| table["table"] == name).unwrap();
    for table in tables {
        let rows: Vec<Value> = serde_json::from_str(&read(table["files"][1]["name"].as_str().unwrap())).unwrap();
        assert_eq!(table["rows"], rows.len(), "{table}");
        let mut csv = csv::Reader::from_reader(
            read(table["files"][0]["name"].as_str().unwrap()).as_bytes().to_vec().leak() as &[u8],
        );
        assert_eq!(csv.records().count(), rows.len(), "{table}");
    }
    let contacts = of("crm_contact");
    assert_eq!(contacts["resource"], "contacts");
    let csv = read("data/crm_contact.csv");
    assert!(csv.contains("\"'=HYPERLINK(\"\"x\"\")\""), "{csv}");
    assert!(read("data/crm_contact.json").contains("\"=HYPERLINK(\\\"x\\\")\""));
    assert_eq!(of("sys_credential")["left_out"], json!(["password_hash", "totp_sealed"]));
    for entry in fs::read_dir(output.join("data")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("$argon2id$"));
    }
    assert!(insula(&world, &words).await.expect(1).said.contains("is not empty"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lies about");
    invariants(&world).await;
}

#[tokio::test]
async fn operators_rename_delete_and_erase_by_api() {
    let world = World::new().await;
    let staff = world.staff().await;
    // The roles of the demo's tenants are shared by the worlds of all tests: none of them can be erased.
    let (name, new) = (fresh(&world, "globex"), fresh(&world, "globex-group"));
    let form = json!({ "company": "Globex", "subdomain": name, "plan": "crm", "email": "hank@globex.test" });
    let id = staff.post("/api/v1/tenants", form).await.ok()["id"].as_str().unwrap().to_owned();
    let act =
        async |action: &str, body: Value| staff.post(&format!("/api/v1/tenants/{id}/actions/{action}"), body).await;
    let bad = act("rename", json!({ "subdomain": "x" })).await.problem(422);
    assert_eq!(bad["errors"][0]["pointer"], "#/subdomain");
    assert_eq!(act("rename", json!({ "subdomain": "techstart" })).await.problem(409)["code"], "conflict");
    assert_eq!(act("rename", json!({ "subdomain": new })).await.ok()["subdomain"], json!(new));
    soon(&world, &new, "/api/v1/me", 401).await;
    assert_eq!(act("undelete", json!({})).await.problem(409)["code"], "conflict");
    assert_eq!(act("purge", json!({ "confirm": new })).await.problem(409)["code"], "conflict");
    let bad = act("delete", json!({ "confirm": name })).await.problem(422);
    assert_eq!(bad["errors"][0]["pointer"], "#/confirm");
    let helper =
        json!({ "email": "helper@insula.test", "name": "Helper", "role": "support", "password": "a long passphrase" });
    staff.post("/api/v1/operators", helper).await.ok();
    world.demo_password("helper").await;
    let helper = world.colleague("helper").await;
    let at_once = json!({ "confirm": new, "grace_days": 0 });
    let refused = helper.post(&format!("/api/v1/tenants/{id}/actions/delete"), at_once).await;
    assert_eq!(refused.problem(403)["code"], "forbidden", "an owner erases what nobody can bring back");
    let deleted = act("delete", json!({ "confirm": new, "grace_days": 3 })).await.ok();
    assert_eq!(deleted["state"], "deleting");
    assert!(deleted["purge_at"].is_string());
    soon(&world, &new, "/api/v1/me", 404).await;
    assert_eq!(act("undelete", json!({})).await.ok()["state"], "active");
    soon(&world, &new, "/api/v1/me", 401).await;
    act("delete", json!({ "confirm": new })).await.ok();
    assert_eq!(act("purge", json!({ "confirm": new })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(act("purge", json!({ "confirm": new })).await.problem(404)["code"], "tenant_not_found");
    let session = format!("/api/v1/tenants/{id}/impersonations/{}", uuid::Uuid::now_v7());
    assert_eq!(staff.delete(&session).await.problem(404)["code"], "not_found");
    invariants(&world).await;
}
