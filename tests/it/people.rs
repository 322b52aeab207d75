//! Who gives whom which rights: roles of the tenant's own, roles of users, and who is shut out by whom.

use std::time::Duration;

use serde_json::{Value, json};

use super::crm_story::{Office, made};
use super::world::{Answer, User};

async fn role(office: &Office, code: &str) -> String {
    office.text(&format!("select id::text from sys_role where code = '{code}'")).await
}

async fn set_grants(user: &User<'_>, role: &str, codes: &[&str]) -> Answer {
    let path = format!("/api/v1/roles/{role}/grants");
    user.request(reqwest::Method::PUT, &path).json(&json!({ "grants": codes })).send().await
}

async fn set_roles(user: &User<'_>, whose: &str, codes: &[&str]) -> Answer {
    user.post(&format!("/api/v1/users/{whose}/actions/set_roles"), json!({ "roles": codes })).await
}

async fn act(user: &User<'_>, whose: &str, action: &str) -> Answer {
    user.post(&format!("/api/v1/users/{whose}/actions/{action}"), json!({})).await
}

async fn roles_of(office: &Office, mailbox: &str) -> String {
    let sql = "select coalesce(string_agg(r.code, ' ' order by r.code), '') from sys_user u
        left join sys_user_role ur on ur.user_id = u.id left join sys_role r on r.id = ur.role_id";
    office.text(&format!("{sql} where u.email = '{mailbox}@acme.test'")).await
}

/// Until an answer has the status: news takes a moment, and a second is the bound.
async fn soon(user: &User<'_>, path: &str, status: u16) {
    let began = std::time::Instant::now();
    while user.get(path).await.status != status {
        assert!(began.elapsed() < Duration::from_secs(1), "{path} is not {status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_role_of_ones_own_grants_what_its_maker_holds() {
    let office = Office::open().await;
    let (admin, sales) = (office.user("admin").await, office.user("sales1").await);
    let auditor = made(admin.post("/api/v1/roles", json!({ "code": "auditor", "name": "Auditor" })).await);
    let codes = ["contacts.view", "deals.*", "locations.view"];
    let shown = set_grants(&admin, &auditor, &codes).await.ok();
    assert_eq!((&shown["grants"], &shown["role"]["code"]), (&json!(codes), &json!("auditor")));
    assert_eq!(
        (&shown["matrix"]["deals"]["move"], &shown["matrix"]["contacts"]["edit"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(admin.get(&format!("/api/v1/roles/{auditor}/grants")).await.ok(), shown);
    let strange = set_grants(&admin, &auditor, &["contacts.veiw", "deals.view", "nothing.*"]).await.problem(422);
    let faults: Vec<&Value> = strange["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(faults, ["#/grants/0", "#/grants/2"]);
    assert_eq!(strange["errors"][0]["detail"], "is not a permission; did you mean `contacts.view`?");
    for beyond in [["*"], ["crm.scope.nowhere"]] {
        assert!([403, 422].contains(&set_grants(&admin, &auditor, &beyond).await.status.as_u16()));
    }
    assert_eq!(set_grants(&admin, &auditor, &["*"]).await.problem(403)["code"], "not_held");
    soon(&sales, "/api/v1/locations", 403).await;
    let sales1 = office.id("sales1").await;
    set_roles(&admin, &sales1, &["salesperson", "auditor"]).await.ok();
    soon(&sales, "/api/v1/locations", 200).await;
    assert_eq!(admin.delete(&format!("/api/v1/roles/{auditor}")).await.status, 409, "somebody has it");
    set_roles(&admin, &sales1, &["salesperson"]).await.ok();
    soon(&sales, "/api/v1/locations", 403).await;
    assert_eq!(admin.delete(&format!("/api/v1/roles/{auditor}")).await.status, 204);
    let techstart = office.world.user("techstart", "owner").await;
    let theirs = role(&office, "salesperson").await;
    assert_eq!(techstart.get(&format!("/api/v1/roles/{theirs}/grants")).await.status, 404);
    assert_eq!(set_grants(&techstart, &theirs, &[]).await.status, 404);
}

#[tokio::test]
async fn a_role_sees_its_own_its_teams_or_all_rows() {
    let office = Office::open().await;
    let (owner, sales) = (office.user("owner").await, office.user("sales1").await);
    let salesperson = role(&office, "salesperson").await;
    let path = format!("/api/v1/roles/{salesperson}/grants");
    let shown = owner.get(&path).await.ok();
    assert_eq!(shown["scopes"], json!({ "crm": "own" }));
    let reach = async |level: &str| {
        let body = json!({ "grants": shown["grants"], "scopes": { "crm": level } });
        owner.request(reqwest::Method::PUT, &path).json(&body).send().await
    };
    let count = async || sales.rows("/api/v1/contacts?select=id").await.len();
    let own = count().await;
    assert_eq!(reach("all").await.ok()["scopes"], json!({ "crm": "all" }));
    let all: usize = office.text("select count(*)::text from crm_contact").await.parse().unwrap();
    let began = std::time::Instant::now();
    while count().await != all.min(500) {
        assert!(began.elapsed() < Duration::from_secs(1), "a wider reach takes effect within a second");
    }
    assert_eq!(sales.get("/api/v1/me/permissions").await.ok()["scopes"], json!({ "crm": "all" }));
    assert_eq!(reach("own").await.ok()["scopes"], json!({ "crm": "own" }));
    let began = std::time::Instant::now();
    while count().await != own {
        assert!(began.elapsed() < Duration::from_secs(1), "a narrower one too");
    }
    assert_eq!(reach("galaxy").await.problem(422)["errors"][0]["pointer"], "#/scopes/crm");
}

#[tokio::test]
async fn what_modules_and_owners_rely_on_stays() {
    let office = Office::open().await;
    let (owner, admin) = (office.user("owner").await, office.user("admin").await);
    let (top, sales) = (role(&office, "owner").await, role(&office, "salesperson").await);
    for user in [&owner, &admin] {
        assert_eq!(set_grants(user, &top, &["contacts.view"]).await.problem(409)["code"], "owner_role");
    }
    let path = |role: &str| format!("/api/v1/roles/{role}");
    for kept in [&top, &sales] {
        assert_eq!(owner.delete(&path(kept)).await.problem(409)["code"], "pack_role");
    }
    assert_eq!(admin.patch(&path(&top), json!({ "name": "Boss" })).await.problem(403)["code"], "not_held");
    owner.patch(&path(&top), json!({ "name": "Boss" })).await.ok();
    let code = admin.patch(&path(&sales), json!({ "code": "seller" })).await;
    assert_eq!(code.problem(409)["errors"][0]["pointer"], "#/code");
    admin.patch(&path(&sales), json!({ "name": "Account executive" })).await.ok();
    assert_eq!(admin.post("/api/v1/roles", json!({ "code": "salesperson", "name": "Twin" })).await.status, 409);
    assert_eq!(admin.post("/api/v1/roles", json!({ "code": "Big", "name": " " })).await.status, 422);
}

#[tokio::test]
async fn nobody_makes_anybody_more_than_he_is_himself() {
    let office = Office::open().await;
    let (owner, admin) = (office.user("owner").await, office.user("admin").await);
    let (sales1, boss, own) = (office.id("sales1").await, office.id("owner").await, office.id("admin").await);
    assert_eq!(set_roles(&admin, &sales1, &["owner"]).await.problem(403)["code"], "not_held");
    assert_eq!(set_roles(&admin, &own, &["admin", "owner"]).await.problem(403)["code"], "not_held");
    assert_eq!(set_roles(&admin, &boss, &[]).await.problem(403)["code"], "not_held");
    assert_eq!(act(&admin, &boss, "deactivate").await.problem(403)["code"], "outranked");
    assert_eq!(set_roles(&admin, &sales1, &["king"]).await.problem(422)["errors"][0]["pointer"], "#/roles");
    for roles in [json!("admin"), json!([null, "salesperson"]), json!([7])] {
        let wrong = admin.post(&format!("/api/v1/users/{sales1}/actions/set_roles"), json!({ "roles": roles })).await;
        assert_eq!(wrong.problem(422)["errors"][0]["detail"], "must be a list of codes of roles");
    }
    let session = format!("select s.id::text from sys_session s where user_id = '{boss}' limit 1");
    let revoke = format!("/api/v1/sessions/{}/actions/revoke", office.text(&session).await);
    assert_eq!(admin.post(&revoke, json!({})).await.problem(403)["code"], "outranked");
    let renamed = admin.patch(&format!("/api/v1/users/{boss}"), json!({ "last_name": "Nobody" })).await;
    assert_eq!(renamed.problem(403)["code"], "outranked");
    set_roles(&admin, &sales1, &["manager"]).await.ok();
    assert_eq!(roles_of(&office, "sales1").await, "manager");
    set_roles(&owner, &sales1, &["owner", "salesperson"]).await.ok();
    assert_eq!(roles_of(&office, "sales1").await, "owner salesperson");
    assert_eq!(admin.patch(&format!("/api/v1/users/{sales1}"), json!({ "state": "disabled" })).await.status, 422);
    let sales2 = office.id("sales2").await;
    admin.patch(&format!("/api/v1/users/{sales2}"), json!({ "last_name": "Verma" })).await.ok();
}

#[tokio::test]
async fn an_account_always_has_an_active_owner() {
    let office = Office::open().await;
    let (owner, boss) = (office.user("owner").await, office.id("owner").await);
    assert_eq!(set_roles(&owner, &boss, &["admin"]).await.problem(409)["code"], "last_owner");
    assert_eq!(act(&owner, &boss, "deactivate").await.problem(409)["code"], "own_account");
    let (second, heir) = (office.user("manager").await, office.id("manager").await);
    set_roles(&owner, &heir, &["manager", "owner"]).await.ok();
    soon(&second, "/api/v1/settings", 200).await;
    // With If-Match both would decide by how things were before either began.
    let out = |user: &User<'_>, whose: &str| {
        let path = format!("/api/v1/users/{whose}/actions/deactivate");
        user.request(reqwest::Method::POST, &path).header("if-match", "*").json(&json!({})).send()
    };
    let mut gate = office.world.superuser().await;
    let held = gate.transaction().await.unwrap();
    held.batch_execute("update tenant_acme.sys_gate set passed_at = now()").await.unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        held.commit().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(out(&owner, &heir), out(&second, &boss), release);
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert!(statuses[0] == 200 && statuses[1] >= 400, "of two who shut each other out, one stays: {statuses:?}");
    let left = "select count(*)::text from sys_user u join sys_user_role ur on ur.user_id = u.id join sys_role r on r.id = ur.role_id
        where r.code = 'owner' and u.state = 'active'";
    assert_eq!(office.text(left).await, "1");
}

#[tokio::test]
async fn who_is_deactivated_is_out_at_once_and_comes_back_with_his_roles() {
    let office = Office::open().await;
    let (admin, sales) = (office.user("admin").await, office.user("sales1").await);
    let sales1 = office.id("sales1").await;
    assert_eq!(act(&admin, &sales1, "reactivate").await.problem(409)["code"], "active");
    assert_eq!(act(&admin, &sales1, "deactivate").await.ok()["state"], "disabled");
    soon(&sales, "/api/v1/me", 401).await;
    assert_eq!(act(&admin, &sales1, "deactivate").await.problem(409)["code"], "inactive");
    let sign_in = office.world.request(reqwest::Method::POST, "acme", "/api/v1/auth/login");
    let credentials = json!({ "email": "sales1@acme.test", "password": insula::ops::DEMO_PASSWORD });
    assert_eq!(sign_in.json(&credentials).send().await.status, 401);
    act(&admin, &sales1, "reactivate").await.ok();
    assert_eq!(sales.get("/api/v1/me").await.status, 401, "his sessions stay ended");
    assert_eq!(roles_of(&office, "sales1").await, "salesperson");
    office.user("sales1").await.get("/api/v1/contacts").await.ok();
}

#[tokio::test]
async fn an_owner_hands_the_account_over() {
    let office = Office::open().await;
    let (owner, admin) = (office.user("owner").await, office.user("admin").await);
    let (heir, boss) = (office.id("manager").await, office.id("owner").await);
    assert_eq!(act(&admin, &heir, "transfer-ownership").await.problem(403)["code"], "not_owner");
    assert_eq!(act(&owner, &boss, "transfer-ownership").await.problem(409)["code"], "own_account");
    act(&owner, &heir, "transfer-ownership").await.ok();
    assert_eq!(
        (roles_of(&office, "manager").await.as_str(), roles_of(&office, "owner").await.as_str()),
        ("manager owner", "admin")
    );
    let again = act(&owner, &heir, "transfer_ownership").await;
    assert_eq!(again.problem(403)["code"], "not_owner");
}

#[tokio::test]
async fn who_waited_while_he_was_shut_out_changes_nothing_any_more() {
    let office = Office::open().await;
    let (owner, admin) = (office.user("owner").await, office.user("admin").await);
    let (sales1, own) = (office.id("sales1").await, office.id("admin").await);
    let mut gate = office.world.superuser().await;
    let held = gate.transaction().await.unwrap();
    held.batch_execute("update tenant_acme.sys_gate set passed_at = now()").await.unwrap();
    let shut_out = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sql = format!("update tenant_acme.sys_user set state = 'disabled' where id = '{own}'");
        held.batch_execute(&sql).await.unwrap();
        held.commit().await.unwrap();
    };
    let (late, ()) = tokio::join!(set_roles(&admin, &sales1, &["manager"]), shut_out);
    assert_eq!(late.status, 403, "{}", late.text);
    assert_eq!(roles_of(&office, "sales1").await, "salesperson");
    set_roles(&owner, &sales1, &["manager"]).await.ok();
}

#[tokio::test]
async fn a_role_that_bears_the_code_of_a_packs_gets_nothing_of_it() {
    let office = Office::open().await;
    let (admin, staff) = (office.world.user("greenwood", "owner").await, office.world.staff().await);
    let own = made(admin.post("/api/v1/roles", json!({ "code": "salesperson", "name": "Ours" })).await);
    let tenant = office.world.tenant_id("greenwood").await;
    assert_eq!(
        staff.request(reqwest::Method::PUT, &format!("/api/v1/tenants/{tenant}/modules/crm")).status().await,
        200
    );
    let grants = admin.get(&format!("/api/v1/roles/{own}/grants")).await.ok();
    assert_eq!(grants["grants"], json!([]), "{grants}");
}
