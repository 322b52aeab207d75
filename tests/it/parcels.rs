//! Three tenants whose module grows by files of a folder, for the stories of the fleet.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use super::program::Ran;
use super::world::World;

pub const MANIFEST: &str = r#"code = "hrms"
name = "Parcels"
requires = ["system_admin"]

[resource.parcels]
table = "oms_parcel"

[role.packer]
name = "Packer"
grants = ["parcels.*"]
"#;

pub const PARCEL: &str = "create table oms_parcel (id uuid primary key default uuid_v7(), title text not null);";
pub const LABEL: &str = "create table oms_label (id uuid primary key default uuid_v7());";

/// Three tenants with a pack that a folder holds.
pub struct Fleet {
    pub world: World,
    pub folder: TempDir,
    pub db: Client,
}

impl Fleet {
    /// Every tenant has bought the module and is at version 1 of its pack.
    pub async fn new() -> Self {
        let world = World::new().await;
        let db = world.superuser().await;
        let fleet = Self { world, folder: pack(MANIFEST), db };
        fleet.buy().await;
        fleet.file(1, PARCEL);
        fleet.migrate(&[]).await.expect(0);
        assert_eq!(fleet.versions().await, [1, 1, 1]);
        fleet
    }

    pub async fn buy(&self) {
        let sql = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
            select id, 'hrms', true, 'tests', 'test' from public.tenants
            where subdomain in ('acme', 'techstart', 'testcompany')";
        self.db.batch_execute(sql).await.unwrap();
    }

    pub fn file(&self, version: usize, sql: &str) {
        write(self.folder.path(), version, sql);
    }

    pub fn command(&self, noun: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_insula"));
        command.arg(noun).envs(self.world.environment()).env("INSULA_PACKS_PATH", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub fn program(&self, arguments: &[&str]) -> Child {
        self.command("migrate").args(arguments).spawn().unwrap()
    }

    pub async fn migrate(&self, arguments: &[&str]) -> Ran {
        ended(self.program(arguments)).await
    }

    /// Versions of the pack in `acme`, `techstart` and `testcompany`; 0 = not there.
    pub async fn versions(&self) -> Vec<i32> {
        let sql = "select coalesce(p.version, 0) from public.tenants t
            left join public.tenant_packs p on p.tenant_id = t.id and p.pack = 'hrms'
            where t.subdomain in ('acme', 'techstart', 'testcompany') order by t.subdomain";
        self.db.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// A connection that holds locks until it is rolled back.
    pub async fn hold(&self, lock: &str) -> Client {
        let holder = self.world.superuser().await;
        holder.batch_execute(&format!("begin; {lock}")).await.unwrap();
        holder
    }

    pub async fn poll(&self, complaint: &str, sql: &str, wanted: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found: i64 = self.db.query_one(sql, &[]).await.unwrap().get(0);
            if found == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{complaint}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts a migration that waits for what `holder` has locked in a tenant.
    pub async fn waiting(&self, arguments: &[&str]) -> Child {
        let child = self.program(arguments);
        self.poll("the migration never waited", WAITING, 1).await;
        child
    }

    pub async fn failing(&self) -> Value {
        self.migrate(&["status", "--json"]).await.expect(0).json()["failing"].clone()
    }
}

pub async fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), said: text(output.stderr) }
}

pub fn pack(manifest: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("hrms")).unwrap();
    std::fs::write(folder.path().join("hrms/pack.toml"), manifest).unwrap();
    folder
}

pub fn write(folder: &Path, version: usize, sql: &str) {
    std::fs::write(folder.join(format!("hrms/V{version}__part.sql")), sql).unwrap();
}

pub const WAITING: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

pub const LOCK_ACME: &str = "lock table tenant_acme.oms_parcel in access exclusive mode";
pub const LOCK_TECHSTART: &str = "lock table tenant_techstart.oms_parcel in access exclusive mode";
pub const WEIGHT: &str = "alter table oms_parcel add column weight int;";

pub const INDEX: &str = "-- insula: no-transaction
create index concurrently oms_parcel_title_idx on oms_parcel (title);
create index concurrently oms_parcel_size_idx on oms_parcel (size);";
