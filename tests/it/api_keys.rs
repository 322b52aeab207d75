//! Keys for programs: told once, never more than their user, over as soon as he or the key is.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::Office;
use super::world::{Answer, User};

const KEYS: &str = "/api/v1/api-keys";

async fn ask(office: &Office, key: &str, method: Method, path: &str) -> Answer {
    office.world.request(method, "acme", path).bearer(key).json(&json!({})).send().await
}

async fn get(office: &Office, key: &str, path: &str) -> Answer {
    office.world.request(Method::GET, "acme", path).bearer(key).send().await
}

async fn make(user: &User<'_>, permissions: &[&str]) -> Value {
    let made = user.post(KEYS, json!({ "name": "Robot", "permissions": permissions })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()
}

fn text(made: &Value, field: &str) -> String {
    made[field].as_str().unwrap().to_owned()
}

/// Until a key is answered with a status: news takes a moment, and a second is the bound.
async fn soon(office: &Office, key: &str, path: &str, status: u16) {
    let began = std::time::Instant::now();
    while get(office, key, path).await.status != status {
        assert!(began.elapsed() < Duration::from_secs(1), "{path} is not {status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_key_is_told_once_and_acts_for_its_maker() {
    let office = Office::open().await;
    let manager = office.user("manager").await;
    let made = make(&manager, &["contacts.view", "deals.*"]).await;
    let (id, key, prefix) = (text(&made, "id"), text(&made, "key"), text(&made, "prefix"));
    assert!(key.starts_with(&format!("insula_ak_{prefix}_")) && key.len() == 10 + 12 + 1 + 43, "{key}");
    let me = get(&office, &key, "/api/v1/me").await.ok();
    assert_eq!((&me["email"], &me["api_key"]), (&json!("manager@acme.test"), &json!(id)));
    get(&office, &key, "/api/v1/contacts?limit=1").await.ok();
    let refused = get(&office, &key, "/api/v1/settings").await;
    assert_eq!(refused.problem(403)["hint"], "It needs the permission `settings.view`.", "its maker may, it may not");
    let moved = ask(&office, &key, Method::POST, "/api/v1/contacts").await;
    assert_eq!(moved.problem(403)["code"], "forbidden");
    for shown in [manager.get(&format!("{KEYS}/{id}")).await.ok(), manager.rows(KEYS).await[0].clone()] {
        assert_eq!((&shown["prefix"], &shown["permissions"]), (&json!(prefix), &json!(["contacts.view", "deals.*"])));
        assert!(shown["revoked_at"].is_null() && !shown.to_string().contains(&key[30..]), "{shown}");
    }
    let kept = "select count(*)::text from sys_api_key_digest where digest = sha256(convert_to($1, 'UTF8'))";
    assert_eq!(office.db.query_one(kept, &[&key]).await.unwrap().get::<_, String>(0), "1");
    let used = "select (last_used_at is not null)::text from sys_api_key";
    while office.text(used).await != "true" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(manager.delete(&format!("{KEYS}/{id}")).await.status, 204);
    assert_eq!(get(&office, &key, "/api/v1/me").await.problem(401)["code"], "unauthenticated");
    assert_eq!(manager.delete(&format!("{KEYS}/{id}")).await.status, 204, "what is over stays over");
    assert!(manager.get(&format!("/api/v1/api_keys/{id}")).await.ok()["revoked_at"].is_string());
}

#[tokio::test]
async fn a_key_is_no_more_than_its_maker_at_any_moment() {
    let office = Office::open().await;
    let (owner, admin, manager) =
        (office.user("owner").await, office.user("admin").await, office.user("manager").await);
    let beyond = manager.post(KEYS, json!({ "name": "Robot", "permissions": ["deals.*", "users.manage"] })).await;
    assert_eq!(beyond.problem(403)["code"], "not_held");
    assert_eq!(manager.post(KEYS, json!({ "name": "x", "permissions": ["*"] })).await.problem(403)["code"], "not_held");
    let (key, boss) = (text(&make(&manager, &["locations.view"]).await, "key"), office.id("manager").await);
    soon(&office, &key, "/api/v1/locations", 200).await;
    let roles = |codes: &'static [&str]| json!({ "roles": codes });
    let path = format!("/api/v1/users/{boss}/actions/set_roles");
    admin.post(&path, roles(&["salesperson"])).await.ok();
    soon(&office, &key, "/api/v1/locations", 403).await;
    admin.post(&path, roles(&["manager"])).await.ok();
    soon(&office, &key, "/api/v1/locations", 200).await;
    admin.post(&format!("/api/v1/users/{boss}/actions/deactivate"), json!({})).await.ok();
    soon(&office, &key, "/api/v1/locations", 401).await;
    admin.post(&format!("/api/v1/users/{boss}/actions/reactivate"), json!({})).await.ok();
    assert_eq!(get(&office, &key, "/api/v1/me").await.status, 401, "who comes back gets no key back");

    let all = text(&make(&owner, &["*"]).await, "key");
    get(&office, &all, "/api/v1/settings").await.ok();
    for personal in ["/api/v1/users", "/api/v1/roles", "/api/v1/sessions", KEYS] {
        assert_eq!(get(&office, &all, personal).await.problem(403)["code"], "forbidden", "{personal}");
    }
    let named = text(&make(&owner, &["roles.manage", "users.manage", "api_keys.create"]).await, "key");
    get(&office, &named, "/api/v1/users").await.ok();
    let role = office.text("select id::text from sys_role where code = 'salesperson'").await;
    let grants = office.world.request(Method::PUT, "acme", &format!("/api/v1/roles/{role}/grants")).bearer(&named);
    let grants = grants.json(&json!({ "grants": ["deals.view", "settings.view"] })).send().await;
    assert_eq!(grants.problem(403)["code"], "not_held", "it gives nobody what it does not hold itself");
    let child = office.world.request(Method::POST, "acme", KEYS).bearer(&named);
    let child = child.json(&json!({ "name": "Child", "permissions": ["deals.view"] })).send().await;
    assert_eq!(child.problem(403)["code"], "not_held");
}

#[tokio::test]
async fn a_key_begins_long_work_and_a_session_that_was_ended_makes_no_key() {
    let office = Office::open().await;
    let mut robot = office.user("manager").await;
    text(&make(&robot, &["contacts.*"]).await, "key").clone_into(&mut robot.token);
    let rows = json!([{ "first_name": "Nina", "email": "nina@robots.test" }]);
    let begun = robot.request(Method::POST, "/api/v1/contacts").header("prefer", "respond-async").json(&rows);
    let begun = begun.send().await;
    let operation = begun.headers["location"].to_str().unwrap();
    let done = loop {
        let seen = robot.get(operation).await.ok();
        if seen["state"] != "running" {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((&done["state"], &done["rows_done"]), (&json!("succeeded"), &json!(1)), "{done}");

    let manager = office.user("manager").await;
    let mut outside = office.world.superuser().await;
    let ending = outside.transaction().await.unwrap();
    let sql = "update tenant_acme.sys_session set revoked_at = now()
        where user_id = (select id from tenant_acme.sys_user where email = 'manager@acme.test')";
    ending.batch_execute(sql).await.unwrap();
    let commit = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        ending.commit().await.unwrap();
    };
    let (late, ()) = tokio::join!(manager.post(KEYS, json!({ "name": "x", "permissions": ["deals.view"] })), commit);
    assert_eq!(late.problem(403)["code"], "forbidden");
    assert_eq!(office.text("select count(*)::text from sys_api_key").await, "1");
}

#[tokio::test]
async fn keys_that_a_key_made_end_with_it() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let by_key = async |key: &str, body: Value| {
        let made = office.world.request(Method::POST, "acme", KEYS).bearer(key).json(&body).send().await;
        (made.status.as_u16(), made.json())
    };
    let body = json!({ "name": "First", "permissions": ["api_keys.create", "deals.view"], "expires_at": in_days(7) });
    let first = owner.post(KEYS, body).await.ok();
    let wish = json!({ "name": "Next", "permissions": ["api_keys.create", "deals.view"] });
    let (_, second) = by_key(&text(&first, "key"), wish.clone()).await;
    assert_eq!(second["expires_at"], first["expires_at"]);
    let (status, later) = by_key(
        &text(&second, "key"),
        json!({ "name": "Later", "permissions": ["deals.view"], "expires_at": in_days(8) }),
    )
    .await;
    assert_eq!((status, &later["code"]), (422, &json!("invalid_value")), "{later}");
    let (_, third) = by_key(&text(&second, "key"), wish).await;
    let third = text(&third, "key");
    assert_eq!(get(&office, &third, "/api/v1/deals").await.status, 200);
    assert_eq!(owner.delete(&format!("{KEYS}/{}", text(&first, "id"))).await.status, 204);
    soon(&office, &third, "/api/v1/deals", 401).await;
}

fn in_days(days: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days)).to_string()
}

#[tokio::test]
async fn what_belongs_to_a_person_alone_is_not_for_keys() {
    let office = Office::open().await;
    let key = text(&make(&office.user("owner").await, &["*", "sessions.*", "users.*"]).await, "key");
    for path in ["/api/v1/me/password", "/api/v1/auth/logout", "/api/v1/auth/logout-all"] {
        assert_eq!(ask(&office, &key, Method::POST, path).await.problem(403)["code"], "not_for_api_keys", "{path}");
    }
    get(&office, &key, "/api/v1/me/permissions").await.ok();
    let changed = office.user("owner").await;
    let body = json!({ "old_password": insula::ops::DEMO_PASSWORD, "password": "another long one" });
    changed.post("/api/v1/me/password", body).await.ok();
    get(&office, &key, "/api/v1/me").await.ok();
    let place = office.world.app.tenants.by_subdomain("acme").await.unwrap().place.clone();
    let hash = office.world.app.hasher.hash("a password from us".into()).await.unwrap();
    let database = &office.world.app.platform.database;
    insula::ops::user_set_password(database, &place, "owner@acme.test", &hash).await.unwrap();
    soon(&office, &key, "/api/v1/me", 401).await;
}

#[tokio::test]
async fn a_key_opens_its_own_house_only_and_names_must_agree() {
    let office = Office::open().await;
    let key = text(&make(&office.user("manager").await, &["contacts.view"]).await, "key");
    let at = |host: &'static str| office.world.request(Method::GET, host, "/api/v1/contacts?limit=1").bearer(&key);
    at("acme").send().await.ok();
    at("acme").header("x-tenant-subdomain", "acme").send().await.ok();
    at("").header("x-tenant-subdomain", "acme").send().await.ok();
    assert_eq!(at("").send().await.problem(404)["code"], "tenant_not_found");
    let mixed = at("acme").header("x-tenant-subdomain", "techstart").send().await;
    assert_eq!(mixed.problem(403)["code"], "tenant_mismatch");
    for (host, header) in [("techstart", None), ("", Some("techstart"))] {
        let request = header.into_iter().fold(at(host), |request, name| request.header("x-tenant-subdomain", name));
        assert_eq!(request.send().await.problem(401)["code"], "unauthenticated", "{host}");
    }
    assert_eq!(at("admin").send().await.status, 404);
    let staff = office.world.request(Method::GET, "admin", "/api/v1/tenants").bearer(&key).send().await;
    assert_eq!(staff.problem(401)["code"], "unauthenticated");
}

#[tokio::test]
async fn everybody_sees_and_ends_his_own_and_who_manages_users_those_below_him() {
    let office = Office::open().await;
    let (owner, admin, manager) =
        (office.user("owner").await, office.user("admin").await, office.user("manager").await);
    let (top, low) = (make(&owner, &["deals.view"]).await, make(&manager, &["deals.view"]).await);
    let path = |made: &Value| format!("{KEYS}/{}", text(made, "id"));
    assert_eq!(manager.rows(KEYS).await.len(), 1);
    assert_eq!(manager.get(&path(&top)).await.status, 404);
    assert_eq!(manager.delete(&path(&top)).await.problem(404)["code"], "not_found");
    assert_eq!(admin.rows(KEYS).await.len(), 2);
    assert_eq!(admin.delete(&path(&top)).await.problem(403)["code"], "outranked");
    assert_eq!(admin.delete(&path(&low)).await.status, 204);
    soon(&office, &text(&low, "key"), "/api/v1/me", 401).await;
    soon(&office, &text(&top, "key"), "/api/v1/me", 200).await;
    let sales = office.user("sales1").await;
    assert_eq!(sales.post(KEYS, json!({ "name": "x", "permissions": ["deals.view"] })).await.status, 403);
}

#[tokio::test]
async fn what_is_no_good_key_is_refused_by_its_fields() {
    let office = Office::open().await;
    let manager = office.user("manager").await;
    let wrong = json!({ "name": " ", "permissions": ["deals.veiw"], "expires_at": "2020-01-01T00:00:00Z" });
    let refused = manager.post(KEYS, wrong).await.problem(422);
    let faults: Vec<&Value> = refused["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(faults, ["#/name", "#/expires_at", "#/permissions/0"]);
    for (field, value) in [
        ("permissions", json!([])),
        ("expires_at", json!("2999-01-01T00:00:00Z")),
        ("expires_at", json!("tomorrow")),
        ("expires_at", json!(7)),
        ("prefix", json!("aaaaaaaaaaaa")),
        ("user_id", json!(office.id("owner").await)),
    ] {
        let mut body = json!({ "name": "Robot", "permissions": ["deals.view"] });
        body[field] = value;
        assert_eq!(manager.post(KEYS, body.clone()).await.problem(422)["code"], "validation_failed", "{body}");
    }
    let again = manager.request(Method::POST, KEYS).header("idempotency-key", "k1");
    let body = json!({ "name": "Robot", "permissions": ["deals.view"] });
    assert_eq!(again.json(&body).send().await.status, 400, "the answer is not kept");
    let batch = json!({ "requests": [{ "method": "POST", "path": KEYS, "body": body }] });
    assert_eq!(manager.post("/api/v1/batch", batch).await.status, 405);
    let many = manager.delete(KEYS).await;
    assert_eq!(many.problem(405)["code"], "method_not_allowed");
    assert_eq!(many.headers["allow"], "GET,HEAD,POST");
    assert_eq!(office.text("select count(*)::text from sys_api_key").await, "0");
}

#[tokio::test]
async fn a_user_has_fifty_keys_at_most_however_fast_he_asks() {
    let office = Office::open().await;
    let manager = office.user("manager").await;
    let fill = "insert into sys_api_key (user_id, name, prefix, permissions)
        select id, 'old', lpad(to_hex(n), 12, '0'), '{deals.view}' from sys_user, generate_series(1, 45) n
        where email = 'manager@acme.test'";
    office.db.execute(fill, &[]).await.unwrap();
    let one = || manager.post(KEYS, json!({ "name": "Robot", "permissions": ["deals.view"] }));
    let answers = futures_util::future::join_all((0..12).map(|_| one())).await;
    let statuses = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((statuses(201), statuses(409)), (5, 7));
    office.db.execute("update sys_api_key set revoked_at = now() where name = 'old'", &[]).await.unwrap();
    assert_eq!(one().await.status, 201, "what is revoked does not count");
}

#[tokio::test]
async fn who_looks_for_keys_is_stopped_and_the_good_one_goes_on() {
    let world = super::world::World::with(|mut config| {
        config.limits.sign_in_per_minute = 5;
        config
    })
    .await;
    let owner = world.user("acme", "owner").await;
    let key = text(&make(&owner, &["deals.view"]).await, "key");
    let me = |key: String| world.request(Method::GET, "acme", "/api/v1/me").bearer(&key).send();
    me(key.clone()).await.ok();
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(me(format!("insula_ak_{number}")).await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    me(key).await.ok();
}
