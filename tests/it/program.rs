//! The real program over a world's database.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::world::World;

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    /// Nothing when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub said: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.said);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.said))
    }
}

/// Runs `insula` to its end.
pub async fn insula(world: &World, words: &[&str]) -> Ran {
    failing(world, words, "").await
}

/// The same, with a place where it fails: `<place>=error`, `=panic` or `=kill`.
pub async fn failing(world: &World, words: &[&str], place: &str) -> Ran {
    with_variable(world, words, ("TEST_INSULA_FAIL", place)).await
}

/// The same with a variable.
pub async fn with_variable(world: &World, words: &[&str], variable: (&str, &str)) -> Ran {
    with_variables(world, words, &[variable]).await
}

/// The same with several.
pub async fn with_variables(world: &World, words: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_insula"));
    command.args(words).args(["--no-input"]).envs(world.environment()).envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code(), out: text(output.stdout), said: text(output.stderr) }
}

/// What must hold whatever has happened: state, schema and role agree, versions are written down, nothing waits or is
/// left open, no lock is held by nobody, all audits are sound.
pub async fn invariants(world: &World) {
    let db = world.superuser().await;
    let sql = "select t.subdomain || ' ' || t.state
        from public.tenants t
        where not (t.state = 'deleted' and exists (
            select from public.tenants heir where heir.schema_name = t.schema_name and heir.state <> 'deleted'))
          and ((t.state in ('active', 'suspended', 'deleting')) is distinct from (to_regnamespace(t.schema_name) is not null)
          or (t.state in ('active', 'suspended', 'deleting')) is distinct from (to_regrole(t.role_name) is not null)
          or t.state = 'provisioning'
          or (t.state <> 'deleted') is distinct from exists (select from public.tenant_packs p where p.tenant_id = t.id))
        union all
        select 'nobody''s ' || n.nspname from pg_namespace n
        where n.nspname ~ '^(tenant|shelved|ready)_'
          and n.nspname not in (select schema_name from public.tenants where state <> 'deleted')
          and n.nspname not in (select schema_name from public.shelved_schemas)
          and n.nspname not in (select schema_name from public.ready_schemas)
        union all
        select 'unfinished ' || kind from public.operations where finished_at is null
        union all
        select 'bucket ' || b.id || ' counts ' || b.tenant_count from public.buckets b
        where b.tenant_count <> (select count(*) from public.tenants t where t.bucket_id = b.id and t.state <> 'deleted')
          + (select count(*) from public.ready_schemas r where r.bucket_id = b.id)
        union all
        select 'open ' || query from pg_stat_activity
        where datname = current_database() and state like 'idle in transaction%'
        union all
        select 'lock of ' || l.pid from pg_locks l
        where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())";
    let wrong: Vec<String> = db.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let database = &world.app.platform.database;
    for ledger in insula::audit::ledgers(database, None).await.unwrap() {
        let fault = insula::audit::verify(database, &ledger).await.unwrap().fault;
        assert_eq!(fault, None, "the audit of {}", ledger.schema());
    }
}
