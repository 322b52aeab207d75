//! Operators save, restore and copy tenants by the API; what was begun is followed by its operation.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::program::{insula, invariants, with_variable};
use super::provisioning::fresh;
use super::world::{Answer, User, World};

const CONTACTS: &str = "/api/v1/contacts";
const BACKUPS: &str = "/api/v1/backups";

/// A world with a folder for backups.
struct Safe {
    world: World,
    folder: TempDir,
}

impl Safe {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backups").display().to_string();
        let world = World::with(|mut config| {
            config.backup.folder = path;
            config
        })
        .await;
        Self { world, folder }
    }

    async fn act(&self, staff: &User<'_>, subdomain: &str, action: &str, body: Value) -> Answer {
        let id = self.world.tenant_id(subdomain).await;
        staff.post(&format!("/api/v1/tenants/{id}/actions/{action}"), body).await
    }

    /// Saves a tenant; gives the name of the backup.
    async fn save(&self, staff: &User<'_>, subdomain: &str) -> String {
        let saved = ended(staff, &self.act(staff, subdomain, "backup", json!({})).await).await;
        assert_eq!((&saved["state"], &saved["subject"]), (&json!("succeeded"), &json!(subdomain)), "{saved}");
        saved["input"]["backup"].as_str().unwrap().to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        let (tenant, moment) = name.split_once('_').unwrap();
        self.folder.path().join("backups").join(tenant).join(format!("{moment}.backup"))
    }
}

/// The operation that an answer names, at its end.
async fn ended(staff: &User<'_>, answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let location = answer.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("/api/v1/operations/{}", answer.json()["id"].as_str().unwrap()));
    for _ in 0..1500 {
        let operation = staff.get(location).await.ok();
        if operation["finished_at"].is_string() {
            return operation;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{location} does not end");
}

#[tokio::test]
async fn a_tenant_is_saved_changed_and_restored_and_the_restore_taken_back() {
    let safe = Safe::new().await;
    let staff = safe.world.staff().await;
    assert_eq!(staff.get(BACKUPS).await.ok()["data"], json!([]));
    let name = safe.save(&staff, "acme").await;
    let listed = staff.get(&format!("{BACKUPS}?tenant=acme")).await.ok();
    let backup = &listed["data"][0];
    assert_eq!((&backup["name"], &backup["subdomain"], &backup["fault"]), (&json!(name), &json!("acme"), &Value::Null));
    assert_eq!(backup["bytes"], std::fs::metadata(safe.file(&name)).unwrap().len());
    let crm = safe.world.app.engine.catalog().packs().get("crm").unwrap().version();
    assert_eq!(backup["packs"]["crm"], crm);
    assert!(backup["taken_at"].as_str().unwrap().ends_with('Z') && backup["rows"].as_u64() > Some(100), "{backup}");
    assert_eq!(staff.get(&format!("{BACKUPS}?tenant=techstart")).await.ok()["data"], json!([]));
    let folder = safe.folder.path().join("backups").display().to_string();
    let words = ["backup", "list", "--tenant", "acme", "--json"];
    let told = with_variable(&safe.world, &words, ("INSULA_BACKUP_FOLDER", &folder)).await.expect(0);
    assert_eq!(told.json(), listed["data"]);

    let late = json!({ "first_name": "Late", "email": "late@acme.test" });
    let late = safe.world.user("acme", "owner").await.post(CONTACTS, late).await.ok();
    let late = format!("{CONTACTS}/{}", late["id"].as_str().unwrap());
    let unsure = safe.act(&staff, "acme", "restore", json!({ "backup": name, "confirm": "acne" })).await;
    assert_eq!(unsure.problem(422)["errors"][0]["pointer"], "#/confirm");
    let restore = safe.act(&staff, "acme", "restore", json!({ "backup": name, "confirm": "acme" })).await;
    assert_eq!(ended(&staff, &restore).await["state"], "succeeded");
    assert_eq!(safe.world.user("acme", "owner").await.get(&late).await.status, 404);
    let undo = safe.act(&staff, "acme", "unrestore", json!({ "confirm": "acme" })).await;
    assert_eq!(ended(&staff, &undo).await["state"], "succeeded");
    assert_eq!(safe.world.user("acme", "owner").await.get(&late).await.status, 200);
    let nothing = safe.act(&staff, "techstart", "unrestore", json!({ "confirm": "techstart" })).await;
    let nothing = ended(&staff, &nothing).await;
    assert_eq!(nothing["state"], "failed");
    assert!(nothing["error"].as_str().unwrap().contains("Nothing is kept"), "{nothing}");

    let sql = "select string_agg(action, ' ' order by seq) from public.audit_events
        where actor = 'operator operator@insula.test' and object_type = 'tenants' and object_id = $1
          and action in ('backup', 'restore', 'unrestore')";
    let entries = safe.world.superuser().await.query_one(sql, &[&safe.world.tenant_id("acme").await]).await.unwrap();
    assert_eq!(entries.get::<_, &str>(0), "backup restore unrestore");
    invariants(&safe.world).await;
}

#[tokio::test]
async fn a_backup_and_a_tenant_each_become_another_tenant() {
    let safe = Safe::new().await;
    let staff = safe.world.staff().await;
    let (again, sandbox) = (fresh(&safe.world, "again"), fresh(&safe.world, "sandbox"));
    let name = safe.save(&staff, "acme").await;
    let path = format!("{BACKUPS}/{name}/actions/restore-as");
    let made = ended(&staff, &staff.post(&path, json!({ "subdomain": again })).await).await;
    assert_eq!((&made["state"], &made["subject"]), (&json!("succeeded"), &json!(again)));
    let shown = staff.get(&format!("/api/v1/tenants/{}", made["tenant_id"].as_str().unwrap())).await.ok();
    assert_eq!((&shown["subdomain"], &shown["sandbox"], &shown["plan"]), (&json!(again), &json!(false), &json!("crm")));

    let copied = safe.act(&staff, "acme", "clone", json!({ "subdomain": sandbox, "name": "Try it" })).await;
    let copied = ended(&staff, &copied).await;
    let shown = staff.get(&format!("/api/v1/tenants/{}", copied["tenant_id"].as_str().unwrap())).await.ok();
    assert_eq!(
        (&shown["state"], &shown["sandbox"], &shown["name"]),
        (&json!("active"), &json!(true), &json!("Try it"))
    );
    let credentials = json!({ "email": "owner@acme.test", "password": insula::ops::DEMO_PASSWORD });
    let login = safe.world.request(Method::POST, &sandbox, "/api/v1/auth/login").json(&credentials).send().await;
    assert_eq!(login.status, 200, "{}", login.text);

    for taken in [
        staff.post(&path, json!({ "subdomain": again })).await,
        safe.act(&staff, "acme", "clone", json!({ "subdomain": "techstart" })).await,
    ] {
        assert_eq!(taken.problem(409)["errors"][0]["pointer"], "#/subdomain", "refused at once");
    }
    let unsold = staff.post(&path, json!({ "subdomain": fresh(&safe.world, "no"), "plan": "crn" })).await;
    assert_eq!(unsold.problem(422)["errors"][0]["pointer"], "#/plan");
    invariants(&safe.world).await;
}

#[tokio::test]
async fn a_backup_is_read_to_its_end_and_damage_is_told() {
    let safe = Safe::new().await;
    let staff = safe.world.staff().await;
    let name = safe.save(&staff, "techstart").await;
    let verify = format!("{BACKUPS}/{name}/actions/verify");
    let sound = ended(&staff, &staff.post(&verify, json!({})).await).await;
    assert_eq!((&sound["kind"], &sound["state"]), (&json!("backup.verify"), &json!("succeeded")));
    let bytes = std::fs::read(safe.file(&name)).unwrap();
    std::fs::write(safe.file(&name), &bytes[..bytes.len() - 1]).unwrap();
    let damaged = ended(&staff, &staff.post(&verify, json!({})).await).await;
    assert_eq!(damaged["state"], "failed");
    assert!(damaged["error"].as_str().unwrap().contains("no sound backup"), "{damaged}");
    std::fs::write(safe.file(&name), b"-- a dump").unwrap();
    let restore = safe.act(&staff, "techstart", "restore", json!({ "backup": name, "confirm": "techstart" })).await;
    assert!(restore.problem(409)["detail"].as_str().unwrap().contains("no sound backup"), "refused at once");
    let listed = staff.get(BACKUPS).await.ok()["data"][0].clone();
    assert!(listed["fault"].as_str().unwrap().contains("does not begin as one"), "{listed}");
    invariants(&safe.world).await;
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder_or_to_another_tenant() {
    let safe = Safe::new().await;
    let staff = safe.world.staff().await;
    let (acme, techstart) = (safe.world.tenant_id("acme").await, safe.world.tenant_id("techstart").await);
    let name = safe.save(&staff, "acme").await;
    let outside = safe.folder.path().join("20260601T101112Z.backup");
    std::fs::copy(safe.file(&name), &outside).unwrap();
    let link = safe.file(&format!("{acme}_20260601T101112Z"));
    std::os::unix::fs::symlink(&outside, link).unwrap();
    for escape in [
        "..%2F20260601T101112Z.backup".to_owned(),
        "..%2F..%2F20260601T101112Z".to_owned(),
        "%2E%2E_20260601T101112Z".to_owned(),
        format!("{acme}_..%2F..%2F20260601T101112Z"),
        format!("{acme}%2F20260601T101112Z"),
        format!("{acme}_20260601T101112Z"),
        format!("{techstart}_20260601T101112Z"),
        format!("{name}.backup"),
        format!("{name}%00"),
        outside.display().to_string().replace('/', "%2F"),
    ] {
        for (action, body) in [("verify", json!({})), ("restore-as", json!({ "subdomain": "escaped" }))] {
            let answer = staff.post(&format!("{BACKUPS}/{escape}/actions/{action}"), body).await;
            assert_eq!(answer.problem(404)["code"], "not_found", "{escape}");
        }
    }
    for strange in ["", "../20260601T101112Z", outside.to_str().unwrap(), &format!("{acme}_20260601T101112Z")] {
        let answer = safe.act(&staff, "acme", "restore", json!({ "backup": strange, "confirm": "acme" })).await;
        assert_eq!(answer.problem(422)["errors"][0]["pointer"], "#/backup", "{strange}");
    }
    let planted = format!("{techstart}_20260601T101112Z");
    std::fs::create_dir_all(safe.file(&planted).parent().unwrap()).unwrap();
    std::fs::copy(&outside, safe.file(&planted)).unwrap();
    for other in [&name, &planted] {
        let restore = json!({ "backup": other, "confirm": "techstart" });
        let refused = safe.act(&staff, "techstart", "restore", restore).await.problem(422);
        assert_eq!(refused["errors"][0]["detail"], "is of another tenant");
    }
    let listed = staff.get(&format!("{BACKUPS}?limit=1")).await.ok();
    assert_eq!((&listed["data"][0]["name"], &listed["has_more"]), (&json!(name), &json!(true)));
    let next = format!("{BACKUPS}?cursor={}", listed["next_cursor"].as_str().unwrap());
    let names: Vec<Value> = staff.rows(&next).await.iter().map(|backup| backup["name"].clone()).collect();
    assert_eq!(names, [json!(planted)], "what is no file is no backup");
    for (query, parameter) in [("cursor=../x", "cursor"), ("tenant=..", "tenant"), ("limit=0", "limit")] {
        let refused = staff.get(&format!("{BACKUPS}?{query}")).await.problem(400);
        assert_eq!(refused["errors"][0]["parameter"], parameter, "{refused}");
    }
    assert_eq!(staff.get(&format!("{BACKUPS}?tenant=nobody")).await.problem(404)["code"], "tenant_not_found");
}

#[tokio::test]
async fn without_a_folder_nothing_is_saved() {
    let world = World::new().await;
    let staff = world.staff().await;
    assert_eq!(staff.get(BACKUPS).await.ok()["data"], json!([]));
    let acme = world.tenant_id("acme").await;
    let refused = staff.post(&format!("/api/v1/tenants/{acme}/actions/backup"), json!({})).await;
    assert_eq!(refused.problem(409)["hint"], "Set `backup.folder`.");
    let nobody = format!("/api/v1/tenants/{}/actions/clone", uuid::Uuid::now_v7());
    let refused = staff.post(&nobody, json!({ "subdomain": "nobodys" })).await;
    assert_eq!(refused.problem(404)["code"], "tenant_not_found");
    insula(&world, &["backup", "list"]).await.expect(2);
}

#[tokio::test]
async fn enough_copies_at_once_are_enough_and_a_process_that_ends_lets_them_end() {
    let safe = Safe::new().await;
    let staff = safe.world.staff().await;
    let holder = safe.world.superuser().await;
    holder.batch_execute("begin; lock table tenant_acme.crm_contact in access exclusive mode").await.unwrap();
    let first = safe.act(&staff, "acme", "backup", json!({})).await;
    assert_eq!(first.json()["state"], "running");
    let second = safe.act(&staff, "techstart", "backup", json!({})).await;
    assert_eq!((&second.headers["retry-after"], second.status.as_u16()), (&"5".parse().unwrap(), 429));
    let (background, release) = (&safe.world.app.background, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        holder.batch_execute("rollback").await.unwrap();
    });
    tokio::join!(background.ended(), release);
    assert_eq!(ended(&staff, &first).await["state"], "succeeded");
    invariants(&safe.world).await;
}
