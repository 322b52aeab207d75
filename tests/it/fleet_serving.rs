//! Tenants that are behind are served as far as that is safe, and at once when they have been migrated.

use std::path::Path;
use std::time::{Duration, Instant};

use insula::app::{App, migrate_everything};
use tempfile::TempDir;

use super::second::Second;
use super::world::World;

pub const PARCEL: &str = "create table oms_parcel (id uuid primary key default uuid_v7(), title text not null);";
const INDEX: &str = "create index oms_parcel_title_idx on oms_parcel (title);";

/// A folder with the pack in so many versions.
pub fn pack(files: &[&str], min_version: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("hrms");
    std::fs::create_dir(&inside).unwrap();
    let manifest = format!(
        "code = \"hrms\"\nname = \"Parcels\"\nrequires = [\"system_admin\"]\n{min_version}\n\
         [resource.parcels]\ntable = \"oms_parcel\"\n"
    );
    std::fs::write(inside.join("pack.toml"), manifest).unwrap();
    for (version, sql) in (1..).zip(files) {
        std::fs::write(inside.join(format!("V{version}__part.sql")), sql).unwrap();
    }
    folder
}

pub async fn bring_to(world: &World, folder: &Path) {
    let mut config = world.app.config.clone();
    config.packs.path = folder.to_str().unwrap().to_owned();
    migrate_everything(&config).await.unwrap();
}

/// A service that knows two versions; `testcompany` has bought the module.
async fn newer(min_version: &str) -> (World, TempDir) {
    let folder = pack(&[PARCEL, INDEX], min_version);
    let path = folder.path().to_str().unwrap().to_owned();
    let world = World::with(|mut config| {
        config.packs.path = path;
        config
    })
    .await;
    buy(&world).await;
    (world, folder)
}

async fn buy(world: &World) {
    let buy = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
        select id, 'hrms', true, 'tests', 'test' from public.tenants where subdomain = 'testcompany'";
    world.superuser().await.batch_execute(buy).await.unwrap();
}

#[tokio::test]
async fn a_module_that_is_too_old_is_refused_alone_and_served_within_a_second_of_its_migration() {
    let (world, folder) = newer("").await;
    bring_to(&world, pack(&[PARCEL], "").path()).await;
    let owner = world.user("testcompany", "owner").await;
    let refused = owner.get("/api/v1/parcels").await;
    assert_eq!(refused.problem(503)["code"], "module_updating");
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(owner.get("/api/v1/users").await.status, 200);
    assert_eq!(world.user("acme", "owner").await.get("/api/v1/contacts").await.status, 200);
    assert_eq!(owner.get("/api/v1/contacts").await.problem(403)["code"], "module_not_enabled");

    bring_to(&world, folder.path()).await;
    let migrated = Instant::now();
    while owner.get("/api/v1/parcels").await.status != 200 {
        assert!(migrated.elapsed() < Duration::from_secs(1));
    }
}

/// The same for a service that brings tenants up to date when they are asked for.
async fn on_request(second: &str) -> (World, TempDir) {
    let folder = pack(&[PARCEL, second], "");
    let path = folder.path().to_str().unwrap().to_owned();
    let world = World::with(|mut config| {
        config.packs.path = path;
        config.tenants.migrate_on_request = true;
        config
    })
    .await;
    buy(&world).await;
    bring_to(&world, pack(&[PARCEL], "").path()).await;
    (world, folder)
}

async fn migrations(world: &World) -> (i32, String, i64) {
    let sql = "select p.version, m.state, m.attempts::bigint from public.tenant_packs p
        join public.tenant_migrations m on m.tenant_id = p.tenant_id and m.pack = p.pack
        where p.pack = 'hrms'";
    let row = world.superuser().await.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn who_asks_for_a_module_that_is_too_old_has_it_migrated_and_everybody_waits_for_the_same() {
    // A second time it would fail: the column is there.
    let (world, folder) = on_request("alter table oms_parcel add column weight int;").await;
    let packs = ("INSULA_PACKS_PATH", folder.path().to_str().unwrap());
    let second = Second::with(&world, &[packs, ("INSULA_TENANTS_MIGRATE_ON_REQUEST", "true")]).await;
    let owner = world.user("testcompany", "owner").await;
    let there = || {
        let url = format!("http://127.0.0.1:{}/api/v1/parcels", second.port);
        second.http.get(url).header("host", "testcompany.insula.test").bearer_auth(&owner.token).send()
    };
    let here = futures_util::future::join_all((0..20).map(|_| owner.get("/api/v1/parcels")));
    let (here, there) = tokio::join!(here, futures_util::future::join_all((0..20).map(|_| there())));
    assert!(here.iter().all(|answer| answer.status == 200), "{here:?}");
    assert!(there.into_iter().all(|answer| answer.unwrap().status() == 200));
    assert_eq!(migrations(&world).await, (2, "done".to_owned(), 1));
    assert!(here[0].json()["data"].is_array());
}

#[tokio::test]
async fn nobody_is_brought_up_to_date_while_the_fleet_stands_still() {
    let (world, _folder) = on_request("alter table oms_parcel add column weight int;").await;
    let (db, owner) = (world.superuser().await, world.user("testcompany", "owner").await);
    let paused = "update public.migration_runs set outcome = 'paused' where id = (
        select id from public.migration_runs order by started_at desc limit 1)";
    assert_eq!(db.execute(paused, &[]).await.unwrap(), 1);
    assert_eq!(owner.get("/api/v1/parcels").await.problem(503)["code"], "module_updating");
    assert_eq!(migrations(&world).await.0, 1, "nothing was tried");
}

#[tokio::test]
async fn a_migration_on_request_that_fails_is_put_into_quarantine_and_not_tried_again() {
    let (world, _folder) = on_request("create table oms_label (id uuid primary key);").await;
    let owner = world.user("testcompany", "owner").await;
    world.superuser().await.batch_execute("create table tenant_testcompany.oms_label ()").await.unwrap();
    for _ in 0..3 {
        let refused = owner.get("/api/v1/parcels").await;
        assert_eq!((&refused.headers["retry-after"], refused.status.as_u16()), (&"5".parse().unwrap(), 503));
        assert_eq!(refused.problem(503)["code"], "module_updating");
    }
    assert_eq!(owner.get("/api/v1/users").await.status, 200);
    assert_eq!(migrations(&world).await, (1, "quarantined".to_owned(), 1));
    world.superuser().await.batch_execute("drop table tenant_testcompany.oms_label").await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(owner.get("/api/v1/parcels").await.status, 503, "operators take it out of quarantine");
    assert_eq!(migrations(&world).await, (1, "quarantined".to_owned(), 1));
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let (world, _folder) = on_request("create index oms_parcel_title_idx on oms_parcel (title);").await;
    let owner = world.user("testcompany", "owner").await;
    let holder = world.superuser().await;
    holder.batch_execute("begin; lock table tenant_testcompany.oms_parcel in access exclusive mode").await.unwrap();
    let asked = Instant::now();
    assert_eq!(owner.get("/api/v1/parcels").await.problem(503)["code"], "module_updating");
    assert!((9..14).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(owner.get("/api/v1/parcels").await.status, 200, "and it goes on meanwhile");
}

#[tokio::test]
async fn a_module_that_is_old_enough_is_served_as_it_is() {
    let (world, _folder) = newer("min_version = 1").await;
    let owner = world.user("testcompany", "owner").await;
    assert_eq!(owner.get("/api/v1/parcels").await.problem(503)["code"], "module_updating", "nothing is there yet");
    bring_to(&world, pack(&[PARCEL], "").path()).await;
    assert_eq!(owner.get("/api/v1/parcels").await.status, 200);
}

#[tokio::test]
async fn news_of_a_version_reaches_what_is_cached() {
    let (world, folder) = newer("").await;
    bring_to(&world, folder.path()).await;
    let owner = world.user("testcompany", "owner").await;
    assert_eq!(owner.get("/api/v1/parcels").await.status, 200);
    // Restored from before the migration, say.
    let back = "update public.tenant_packs set version = 1 where pack = 'hrms'";
    world.superuser().await.batch_execute(back).await.unwrap();
    let restored = Instant::now();
    while owner.get("/api/v1/parcels").await.status != 503 {
        assert!(restored.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_tenant_whose_users_are_kept_in_tables_too_old_is_refused_as_a_whole() {
    let world = World::new().await;
    let owner = world.user("techstart", "owner").await;
    let back = "update public.tenant_packs p set version = 1 from public.tenants t
        where t.id = p.tenant_id and p.pack = 'system_admin' and t.subdomain = 'techstart'";
    world.superuser().await.batch_execute(back).await.unwrap();
    let restored = Instant::now();
    while owner.get("/api/v1/me").await.status != 503 {
        assert!(restored.elapsed() < Duration::from_secs(1));
    }
    for path in ["/api/v1/me", "/api/v1/contacts"] {
        assert_eq!(owner.get(path).await.problem(503)["code"], "module_updating", "{path}");
    }
    assert_eq!(world.user("acme", "owner").await.get("/api/v1/contacts").await.status, 200);
}

#[tokio::test]
async fn a_service_that_migrates_first_starts_although_a_tenant_is_broken() {
    let world = World::new().await;
    let sql = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
        select id, 'hrms', true, 'tests', 'test' from public.tenants where subdomain in ('acme', 'testcompany');
        create table tenant_acme.oms_parcel ()";
    world.superuser().await.batch_execute(sql).await.unwrap();
    let folder = pack(&[PARCEL, INDEX], "");
    let mut config = world.app.config.clone();
    config.packs.path = folder.path().to_str().unwrap().to_owned();
    assert_eq!(migrate_everything(&config).await.unwrap(), ["testcompany: hrms 0 → 2"]);
    let app = App::start(config).await.unwrap();
    let acme = app.tenants.by_subdomain("acme").await.unwrap();
    assert_eq!(app.gate.pass(acme.id, "hrms").await.unwrap_err().code(), "module_updating");
    assert!(app.gate.pass(acme.id, "crm").await.is_ok());
    app.stop.cancel();
}
