//! The fleet is migrated by the real program, while others lock, break and kill.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use super::world::World;

const MANIFEST: &str = r#"code = "hrms"
name = "Parcels"
requires = ["system_admin"]

[resource.parcels]
table = "oms_parcel"

[role.packer]
name = "Packer"
grants = ["parcels.*"]
"#;

const PARCEL: &str = "create table oms_parcel (id uuid primary key default uuid_v7(), title text not null);";
const LABEL: &str = "create table oms_label (id uuid primary key default uuid_v7());";

/// Three tenants with a pack that a folder holds.
struct Fleet {
    world: World,
    folder: TempDir,
    db: Client,
}

/// How a program ended, and what it said.
struct Ran {
    code: Option<i32>,
    out: String,
    said: String,
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.said);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl Fleet {
    /// Every tenant has bought the module and is at version 1 of its pack.
    async fn new() -> Self {
        let world = World::new().await;
        let db = world.superuser().await;
        let fleet = Self { world, folder: pack(MANIFEST), db };
        fleet.buy().await;
        fleet.file(1, PARCEL);
        fleet.migrate(&[]).await.expect(0);
        assert_eq!(fleet.versions().await, [1, 1, 1]);
        fleet
    }

    async fn buy(&self) {
        let sql = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
            select id, 'hrms', true, 'tests', 'test' from public.tenants
            where subdomain in ('acme', 'techstart', 'testcompany')";
        self.db.batch_execute(sql).await.unwrap();
    }

    fn file(&self, version: usize, sql: &str) {
        write(self.folder.path(), version, sql);
    }

    fn command(&self, noun: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_insula"));
        command.arg(noun).envs(self.world.environment()).env("INSULA_PACKS_PATH", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn program(&self, arguments: &[&str]) -> Child {
        self.command("migrate").args(arguments).spawn().unwrap()
    }

    async fn migrate(&self, arguments: &[&str]) -> Ran {
        ended(self.program(arguments)).await
    }

    /// Versions of the pack in `acme`, `techstart` and `testcompany`; 0 = not there.
    async fn versions(&self) -> Vec<i32> {
        let sql = "select coalesce(p.version, 0) from public.tenants t
            left join public.tenant_packs p on p.tenant_id = t.id and p.pack = 'hrms'
            where t.subdomain in ('acme', 'techstart', 'testcompany') order by t.subdomain";
        self.db.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// A connection that holds locks until it is rolled back.
    async fn hold(&self, lock: &str) -> Client {
        let holder = self.world.superuser().await;
        holder.batch_execute(&format!("begin; {lock}")).await.unwrap();
        holder
    }

    async fn poll(&self, complaint: &str, sql: &str, wanted: i64) {
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
    async fn waiting(&self, arguments: &[&str]) -> Child {
        let child = self.program(arguments);
        self.poll("the migration never waited", WAITING, 1).await;
        child
    }

    async fn failing(&self) -> Value {
        self.migrate(&["status", "--json"]).await.expect(0).json()["failing"].clone()
    }
}

async fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), said: text(output.stderr) }
}

fn pack(manifest: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("hrms")).unwrap();
    std::fs::write(folder.path().join("hrms/pack.toml"), manifest).unwrap();
    folder
}

fn write(folder: &Path, version: usize, sql: &str) {
    std::fs::write(folder.join(format!("hrms/V{version}__part.sql")), sql).unwrap();
}

const WAITING: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

const LOCK_ACME: &str = "lock table tenant_acme.oms_parcel in access exclusive mode";
const LOCK_TECHSTART: &str = "lock table tenant_techstart.oms_parcel in access exclusive mode";
const WEIGHT: &str = "alter table oms_parcel add column weight int;";

#[tokio::test]
async fn a_tenant_that_is_broken_is_put_into_quarantine_and_the_others_go_on() {
    let fleet = Fleet::new().await;
    fleet.db.batch_execute("create table tenant_techstart.oms_label ()").await.unwrap();
    fleet.file(2, LABEL);
    let ran = fleet.migrate(&["--json"]).await.expect(3);
    assert_eq!(fleet.versions().await, [2, 1, 2]);
    assert_eq!(ran.json()["summary"]["failed"], 1);
    assert!(ran.said.contains("techstart") && ran.said.contains("V2__part.sql: 42P07"), "{}", ran.said);
    let failing = fleet.failing().await;
    assert_eq!(failing.as_array().unwrap().len(), 1);
    let why = &failing[0];
    assert_eq!(
        (&why["subdomain"], &why["state"], &why["sqlstate"]),
        (&"techstart".into(), &"quarantined".into(), &"42P07".into())
    );
    assert_eq!(
        (&why["file"], &why["from"], &why["to"], &why["attempts"]),
        (&"V2__part.sql".into(), &1.into(), &2.into(), &1.into())
    );

    let next = fleet.migrate(&["--json"]).await.expect(3);
    assert_eq!(next.json()["summary"]["quarantined"], 1);
    assert_eq!(fleet.failing().await[0]["attempts"], 1, "it is left alone");
    fleet.migrate(&["--check"]).await.expect(5);
    fleet.migrate(&["--tenant", "techstart"]).await.expect(3);
    assert_eq!(fleet.failing().await[0]["attempts"], 2, "who is named is tried");

    fleet.db.batch_execute("drop table tenant_techstart.oms_label").await.unwrap();
    fleet.migrate(&["--retry-failed"]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
    assert_eq!(fleet.failing().await, Value::Array(Vec::new()));
    fleet.migrate(&["--check"]).await.expect(0);
}

#[tokio::test]
async fn a_tenant_that_others_lock_is_left_for_the_next_run() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_ACME).await;
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    fleet.migrate(&["--lock-timeout", "20ms"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 2, 2]);
    let why = &fleet.failing().await[0];
    assert_eq!((&why["state"], &why["sqlstate"], &why["attempts"]), (&"deferred".into(), &"55P03".into(), &5.into()));
    assert_eq!(why["blocked_by"], serde_json::json!([pid]));
    holder.batch_execute("rollback").await.unwrap();
    fleet.migrate(&[]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn a_lock_that_is_given_back_meanwhile_is_no_failure() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_ACME).await;
    let child = fleet.waiting(&["--lock-timeout", "300ms"]).await;
    // The wait is over, the next one not begun.
    fleet.poll("it waits longer than it may", WAITING, 0).await;
    holder.batch_execute("rollback").await.unwrap();
    ended(child).await.expect(0);
    let sql = "select max(attempts)::bigint from public.tenant_migrations where pack = 'hrms'";
    assert!(fleet.db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 1, "it was tried again");
}

#[tokio::test]
async fn two_runs_at_once_are_one() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_ACME).await;
    let first = fleet.waiting(&["--lock-timeout", "1min"]).await;
    let second = fleet.migrate(&[]).await.expect(1);
    let who = format!("process {}", first.id().unwrap());
    assert!(second.said.contains("being migrated already") && second.said.contains(&who), "{}", second.said);
    let third = fleet.program(&["--wait"]);
    holder.batch_execute("rollback").await.unwrap();
    ended(first).await.expect(0);
    ended(third).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn what_a_killed_run_has_done_stays_done_and_the_next_goes_on() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.file(3, WEIGHT);
    let holder = fleet.hold(LOCK_TECHSTART).await;
    let mut child = fleet.waiting(&["--jobs", "1", "--lock-timeout", "1min"]).await;
    child.kill().await.unwrap();
    fleet.poll("the server goes on for a dead client", WAITING, 0).await;
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(fleet.versions().await, [3, 1, 1]);
    let half = "select count(*) from pg_class where relname = 'oms_label'";
    assert_eq!(fleet.db.query_one(half, &[]).await.unwrap().get::<_, i64>(0), 2, "of acme and of the template");
    fleet.migrate(&[]).await.expect(0);
    assert_eq!(fleet.versions().await, [3, 3, 3]);
    let runs = "select count(*) from public.migration_runs where outcome = 'ended'";
    fleet.poll("nobody says that it was killed", runs, 1).await;
}

#[tokio::test]
async fn the_first_signal_stops_after_the_tenant_at_work() {
    let fleet = Fleet::new().await;
    fleet.file(2, WEIGHT);
    let holder = fleet.hold(LOCK_TECHSTART).await;
    let child = fleet.waiting(&["--jobs", "1", "--lock-timeout", "1min"]).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    // The signal is heard while the tenant is still at work.
    tokio::time::sleep(Duration::from_millis(300)).await;
    holder.batch_execute("rollback").await.unwrap();
    let ran = ended(child).await.expect(130);
    assert!(ran.said.contains("Stopped after 2 of 3 tenants"), "{}", ran.said);
    assert_eq!(fleet.versions().await, [2, 2, 1]);
    fleet.migrate(&[]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
}

#[tokio::test]
async fn canaries_and_too_many_failures_stop_the_run() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.db.batch_execute("create table tenant_acme.oms_label ()").await.unwrap();
    let ran = fleet.migrate(&["--canary", "1"]).await.expect(3);
    assert!(ran.said.contains("2 were not touched"), "{}", ran.said);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--retry-failed", "--waves", "30"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--retry-failed", "--max-failures", "0", "--jobs", "1"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--retry-failed", "--waves", "30", "--max-failures", "1"]).await.expect(3);
    assert_eq!(fleet.versions().await, [1, 2, 2]);
}

#[tokio::test]
async fn a_file_that_was_changed_or_is_missing_is_named() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.migrate(&[]).await.expect(0);
    fleet.file(1, &format!("{PARCEL} -- better"));
    fleet.file(3, WEIGHT);
    for arguments in [&[][..], &["--check"], &["--dry-run"]] {
        let ran = fleet.migrate(arguments).await.expect(1);
        assert!(ran.said.contains("hrms/V1__part.sql was changed"), "{}", ran.said);
    }
    assert_eq!(fleet.versions().await, [2, 2, 2]);
    fleet.file(1, PARCEL);
    for version in [2, 3] {
        std::fs::remove_file(fleet.folder.path().join(format!("hrms/V{version}__part.sql"))).unwrap();
    }
    let ran = fleet.migrate(&[]).await.expect(1);
    assert!(ran.said.contains("V2__….sql") && ran.said.contains("is missing: 3 tenants"), "{}", ran.said);
}

const INDEX: &str = "-- insula: no-transaction
create index concurrently oms_parcel_title_idx on oms_parcel (title);
create index concurrently oms_parcel_size_idx on oms_parcel (size);";

const INDEXES: &str = "select count(*) filter (where x.indisvalid), count(*) filter (where not x.indisvalid)
    from pg_index x join pg_class c on c.oid = x.indexrelid
    where c.relname in ('oms_parcel_title_idx', 'oms_parcel_size_idx') and c.relnamespace::regnamespace::text like 'tenant%'";

#[tokio::test]
async fn indexes_outside_a_transaction_are_finished_by_the_next_run() {
    let fleet = Fleet::new().await;
    let indexes = async || {
        let row = fleet.db.query_one(INDEXES, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    fleet.file(2, "alter table oms_parcel add column size int;");
    fleet.file(3, INDEX);
    fleet.file(4, LABEL);
    let holder = fleet.hold("insert into tenant_techstart.oms_parcel (title) values ('x')").await;
    fleet.migrate(&["--tenant", "acme"]).await.expect(0);
    assert_eq!(indexes().await, (2, 0), "it waits for nobody who works elsewhere");
    holder.batch_execute("rollback").await.unwrap();

    // After the column, and before the index: the writer is in the way of the index only.
    fleet.db.batch_execute(GATE).await.unwrap();
    let gate = fleet.hold("select pg_advisory_xact_lock(1)").await;
    let mut child = fleet.waiting(&["--jobs", "1"]).await;
    let writer = fleet.hold("insert into tenant_techstart.oms_parcel (title) values ('x')").await;
    gate.batch_execute("rollback").await.unwrap();
    let half = "select count(*) from pg_index where not indisvalid";
    fleet.poll("the index was never begun", half, 1).await;
    child.kill().await.unwrap();
    fleet.poll("the server goes on for a dead client", WAITING, 0).await;
    writer.batch_execute("rollback").await.unwrap();
    assert_eq!(indexes().await, (2, 1));
    assert_eq!(fleet.versions().await, [4, 2, 1]);

    fleet.migrate(&[]).await.expect(0);
    assert_eq!(fleet.versions().await, [4, 4, 4]);
    assert_eq!(indexes().await, (6, 0));
}

/// Makes whoever is about to make an index outside a transaction wait.
const GATE: &str = "
    create function public.gate() returns event_trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock_shared(1);
    end $$;
    create event trigger gate on ddl_command_start when tag in ('CREATE INDEX') execute function public.gate()";

#[tokio::test]
async fn a_dry_run_shows_the_sql_and_leaves_nothing() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.file(3, INDEX.replace("create index concurrently oms_parcel_size_idx on oms_parcel (size);", "").as_str());
    let state = "select jsonb_build_array(
        (select jsonb_agg(c.relname order by c.oid) from pg_class c where c.relnamespace::regnamespace::text like 'tenant%'),
        (select jsonb_agg(p order by p.tenant_id, p.pack) from public.tenant_packs p),
        (select jsonb_agg(m order by m.tenant_id, m.pack) from public.tenant_migrations m),
        (select count(*) from public.migration_runs))";
    let state = async || fleet.db.query_one(state, &[]).await.unwrap().get::<_, Value>(0);
    let before = state().await;
    let ran = fleet.migrate(&["--dry-run", "--tenant", "techstart"]).await.expect(0);
    assert!(ran.out.contains("hrms/V2__part.sql\n") && ran.out.contains(LABEL), "{}", ran.out);
    assert!(ran.out.contains("create index concurrently"), "{}", ran.out);
    assert!(ran.said.contains("techstart"), "{}", ran.said);
    assert_eq!(state().await, before);

    fleet.db.batch_execute("create table tenant_acme.oms_label ()").await.unwrap();
    let before = state().await;
    let ran = fleet.migrate(&["--dry-run", "--json"]).await.expect(1);
    assert_eq!((&ran.json()["subdomain"], &ran.json()["error"]["sqlstate"]), (&"acme".into(), &"42P07".into()));
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn one_pack_of_one_tenant_can_be_meant_and_a_slip_is_refused() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    fleet.migrate(&["--pack", "crm"]).await.expect(0);
    assert_eq!(fleet.versions().await, [1, 1, 1]);
    fleet.migrate(&["--pack", "hrms", "--tenant", "acme"]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 1, 1]);
    assert!(fleet.migrate(&["--pack", "hrmss"]).await.expect(2).said.contains("did you mean `hrms`?"));
    fleet.migrate(&["--tenant", "nobody"]).await.expect(1);
}

#[tokio::test]
async fn a_fleet_is_seeded_and_seeded_further() {
    let fleet = Fleet::new().await;
    let seed = async |number: &str| {
        let mut child = fleet.command("fleet");
        let ran = ended(child.args(["seed", number, "--prefix", "plot", "--json"]).spawn().unwrap()).await;
        ran.expect(0).json()["made"].as_i64().unwrap()
    };
    assert_eq!(seed("2").await, 2);
    assert_eq!(seed("3").await, 1);
    let sql = "select count(*) from public.tenants t join public.tenant_packs p on p.tenant_id = t.id
        where t.subdomain like 'plot-_' and t.state = 'active' and p.pack = 'crm' and cardinality(p.digests) = p.version";
    fleet.poll("a tenant is missing", sql, 3).await;
}
