//! Tenants that are behind are served as far as that is safe, and at once when they have been migrated.

use std::path::Path;
use std::time::{Duration, Instant};

use insula::app::{App, migrate_everything};
use tempfile::TempDir;

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
    let buy = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
        select id, 'hrms', true, 'tests', 'test' from public.tenants where subdomain = 'testcompany'";
    world.superuser().await.batch_execute(buy).await.unwrap();
    (world, folder)
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
