//! The migration of a fleet dies, and the next run goes on where it was.

use super::parcels::{Fleet, INDEX, LABEL, LOCK_TECHSTART, WAITING, WEIGHT, ended};
use super::program::invariants;

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
async fn a_migration_that_fails_at_its_end_has_changed_nothing() {
    let fleet = Fleet::new().await;
    fleet.file(2, LABEL);
    for how in ["error", "panic", "kill"] {
        let mut command = fleet.command("migrate");
        command.args(["--tenant", "acme"]).env("TEST_INSULA_FAIL", format!("migrate.end={how}"));
        let ran = ended(command.spawn().unwrap()).await;
        assert_ne!(ran.code, Some(0), "{how} {}", ran.said);
        assert_eq!(fleet.versions().await, [1, 1, 1], "{how}");
    }
    fleet.migrate(&["--tenant", "acme"]).await.expect(0);
    fleet.migrate(&[]).await.expect(0);
    assert_eq!(fleet.versions().await, [2, 2, 2]);
    invariants(&fleet.world).await;
}
