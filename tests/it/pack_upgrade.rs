//! A newer version of a pack comes to tenants that have worked with the older one.

use std::path::Path;
use std::sync::Arc;

use insula::db::By;
use insula::ops::{Leader, Order, Platform, migrate_fleet};
use insula::pack::{Packs, load_catalog};
use reqwest::Method;
use tempfile::TempDir;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::world::World;

/// The built-in crm pack with one more file, and a manifest with other words in it.
fn newer_crm(manifest: impl Fn(String) -> String) -> TempDir {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/crm"), TempDir::new().unwrap());
    std::fs::create_dir(to.path().join("crm")).unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(from).unwrap() {
        let name = entry.as_ref().unwrap().file_name();
        files += usize::from(name.to_str().unwrap().starts_with('V'));
        std::fs::copy(entry.unwrap().path(), to.path().join("crm").join(name)).unwrap();
    }
    let more = "comment on table crm_lost_reason is 'why deals are lost';\n";
    std::fs::write(to.path().join(format!("crm/V{}__more.sql", files + 1)), more).unwrap();
    let path = to.path().join("crm/pack.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = manifest(text.clone());
    assert_ne!(text, changed);
    std::fs::write(path, changed).unwrap();
    to
}

/// Brings a world's tenants up to date with the packs of a folder.
async fn migrate(world: &World, packs: &TempDir) {
    let packs = Packs::load_with(packs.path()).unwrap().unwrap();
    let database = world.app.platform.database.clone();
    let catalog = Arc::new(load_catalog(&database, packs).await.unwrap());
    let platform = Platform { database, catalog };
    let (everybody, stop) = (Order::default(), CancellationToken::new());
    let by = By { name: "test".to_owned(), origin: None };
    let leader = Leader::claim(&platform, &everybody, &by).await.unwrap();
    let summary = migrate_fleet(&platform, leader, &everybody, &stop, |_| {}).await.unwrap();
    assert!(summary.total > 0);
    assert_eq!((summary.migrated, summary.failed), (summary.total, 0));
}

async fn may(db: &Client, tenant: &str, what: &str) -> bool {
    let sql = format!("select has_table_privilege('it_t_{tenant}', 'tenant_{tenant}.crm_lost_reason', '{what}')");
    db.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn grants(db: &Client, role: &str) -> Vec<String> {
    let sql = "select g.permission from tenant_acme.sys_role_grant g join tenant_acme.sys_role r on r.id = g.role_id
        where r.code = $1 and g.permission like 'c%' order by 1";
    db.query(sql, &[&role]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_right_that_the_new_version_lacks_is_gone_and_a_module_that_is_off_stays_off() {
    let world = World::new().await;
    let (db, staff) = (world.superuser().await, world.staff().await);
    let crm = format!("/api/v1/tenants/{}/modules/crm", world.tenant_id("techstart").await);
    assert_eq!(staff.request(Method::DELETE, &crm).status().await, 204);
    assert!(may(&db, "acme", "delete").await && !may(&db, "techstart", "delete").await);

    let no_delete = |text: String| {
        let table = "table = \"crm_lost_reason\"\n";
        text.replace(table, &format!("{table}methods = [\"list\", \"get\", \"create\", \"update\"]\n"))
    };
    migrate(&world, &newer_crm(no_delete)).await;
    for (tenant, what, expected) in [
        ("acme", "delete", false),
        ("acme", "select", true),
        ("techstart", "delete", false),
        ("techstart", "select", true),
    ] {
        assert_eq!(may(&db, tenant, what).await, expected, "{tenant} {what}");
    }
    for (tenant, expected) in [("acme", true), ("techstart", false)] {
        let sql = format!(
            "select has_any_column_privilege('it_t_{tenant}', 'tenant_{tenant}.crm_lost_reason', 'insert')
               and has_function_privilege('it_t_{tenant}', 'tenant_{tenant}.crm_deal_move(uuid, jsonb)', 'execute')"
        );
        let found: bool = db.query_one(&sql, &[]).await.unwrap().get(0);
        assert_eq!(found, expected, "{tenant} writes");
    }
}

#[tokio::test]
async fn new_grants_reach_the_role_of_their_code_and_what_was_taken_away_stays_away() {
    let world = World::new().await;
    let db = world.superuser().await;
    assert_eq!(grants(&db, "manager").await, ["contacts.*", "crm.scope.team"]);
    db.batch_execute(
        "delete from tenant_acme.sys_role_grant g using tenant_acme.sys_role r
           where r.id = g.role_id and r.code = 'manager' and g.permission = 'contacts.*';
         delete from tenant_acme.sys_user_role where role_id = (select id from tenant_acme.sys_role where code = 'salesperson');
         delete from tenant_acme.sys_role where code = 'salesperson'",
    )
    .await
    .unwrap();

    let more = |text: String| {
        let auditor = "[role.auditor]\nname = \"Auditor\"\ngrants = [\"contacts.view\"]\n";
        let settings = text.replace("\"crm.scope.team\"]", "\"crm.scope.team\", \"crm.settings\"]");
        settings.replace("grants = [\n  \"contacts.view\",", "grants = [\n  \"crm.settings\",\n  \"contacts.view\",")
            + auditor
    };
    migrate(&world, &newer_crm(more)).await;
    assert_eq!(grants(&db, "manager").await, ["crm.scope.team", "crm.settings"]);
    assert_eq!(grants(&db, "auditor").await, ["contacts.view"]);
    assert!(grants(&db, "salesperson").await.is_empty(), "a role that was removed does not come back");
    assert_eq!(grants(&db, "admin").await, ["contacts.*", "crm.*"]);
}

/// The files of the built-in pack `system_admin`, in their order.
fn system_admin() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/system_admin");
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let number = |name: &String| name.strip_prefix('V')?.split('_').next()?.parse::<u32>().ok();
    let mut files: Vec<(u32, String)> = names.filter_map(|name| Some((number(&name)?, name))).collect();
    files.sort();
    files.into_iter().map(|(_, name)| std::fs::read_to_string(folder.join(name)).unwrap()).collect()
}

#[tokio::test]
async fn a_tenant_from_before_users_were_counted_and_factors_wanted_comes_along() {
    let world = World::new().await;
    let db = world.superuser().await;
    let files = system_admin();
    let (before, after) = files.split_at(13);
    db.batch_execute("create schema elder; set search_path = elder, insula").await.unwrap();
    for file in before {
        db.batch_execute(file).await.unwrap();
    }
    let data = "insert into sys_user (email, first_name) values ('a@x.test', 'A'), ('b@x.test', 'B');
        insert into sys_user (email, first_name, state) values ('c@x.test', 'C', 'disabled');
        insert into sys_setting (key, value) values ('security.require_second_factor', '\"please\"')";
    db.batch_execute(data).await.unwrap();
    for file in after {
        db.batch_execute(file).await.unwrap();
    }
    let row = db
        .query_one("select taken, (select count(*) from sys_setting where key like 'security.%') from sys_place", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i64>(1)), (2, 0));
}
