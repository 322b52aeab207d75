//! However a borrower leaves a connection, the next one finds a pristine session, and a pool of one never blocks.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use insula::db::{Acting, Database, Place, Scope, Seat, Transaction};
use insula::sql::Sql;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::Client;
use uuid::Uuid;

use super::world::World;

/// Nothing here may take longer: the statement timeout is 150 ms, the wait for the pool 3 s.
const BOUND: Duration = Duration::from_secs(6);

/// A way to use a connection, and to leave it.
#[derive(Debug, Clone)]
enum Way {
    Answered,
    Written,
    NoSuchColumn,
    UniqueViolation,
    DeferredViolation,
    WriteInReadOnly,
    StatementTimeout,
    RunDropped { slow: bool, write: bool, polls: usize },
    TransactionDropped { polls: usize },
    TransactionForgotten,
    FailedAndForgotten,
    RolledBack,
    Panicked,
    Terminated,
    TerminatedMidway,
}

fn way() -> impl Strategy<Value = Way> {
    let dropped = (proptest::bool::ANY, proptest::bool::ANY, 0..6_usize);
    prop_oneof![
        1 => Just(Way::Answered),
        1 => Just(Way::Written),
        1 => Just(Way::NoSuchColumn),
        1 => Just(Way::UniqueViolation),
        1 => Just(Way::DeferredViolation),
        1 => Just(Way::WriteInReadOnly),
        1 => Just(Way::StatementTimeout),
        4 => dropped.prop_map(|(slow, write, polls)| Way::RunDropped { slow, write, polls }),
        3 => (0..9_usize).prop_map(|polls| Way::TransactionDropped { polls }),
        1 => Just(Way::TransactionForgotten),
        1 => Just(Way::FailedAndForgotten),
        1 => Just(Way::RolledBack),
        1 => Just(Way::Panicked),
        1 => Just(Way::Terminated),
        1 => Just(Way::TerminatedMidway),
    ]
}

/// Drops a future that was polled so many times and still wants more; each time it had made some progress.
async fn abandon<F: Future>(future: F, mut polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// The pool of one connection, its users, and somebody who looks from outside.
struct Bench {
    world: World,
    acme: Arc<Place>,
    techstart: Arc<Place>,
    outside: Client,
    /// A session as the login makes it.
    bare: Value,
}

impl Bench {
    async fn new() -> Self {
        let world = World::with(|mut config| {
            config.database.bucket_pool = 1;
            config.database.wait_ms = 3000;
            config
        });
        let world = world.await;
        let outside = world.superuser().await;
        outside
            .batch_execute(
                "create table tenant_acme.bench (id int primary key, twin int unique deferrable initially deferred);
                 insert into tenant_acme.bench values (1, 1);
                 grant select, insert, update, delete on tenant_acme.bench to it_t_acme",
            )
            .await
            .unwrap();
        let acme = world.app.tenants.by_subdomain("acme").await.unwrap().place.clone();
        let techstart = world.app.tenants.by_subdomain("techstart").await.unwrap().place.clone();
        let mut bench = Self { world, acme, techstart, outside, bare: Value::Null };
        bench.bare = bench.session().await;
        bench
    }

    fn database(&self) -> &Database {
        &self.world.app.platform.database
    }

    fn reading(&self) -> Scope {
        Scope::read(self.acme.clone(), Seat::Tenant, somebody(), Duration::from_millis(150))
    }

    fn writing(&self) -> Scope {
        Scope::write(self.acme.clone(), Seat::Tenant, somebody(), Duration::from_millis(150))
    }

    async fn begin(&self) -> Transaction {
        self.database().begin(&self.writing()).await.unwrap()
    }

    async fn refused(&self, scope: Scope, sql: &'static str, status: &str) {
        let error = self.database().run(&scope, &Sql::new(sql)).await.map_err(insula::error::Error::from).unwrap_err();
        assert_eq!(error.code(), status, "{error:?}");
    }

    async fn leave(&self, way: &Way) {
        match *way {
            Way::Answered => drop(self.run(self.reading(), "select count(*), null from bench").await),
            Way::Written => drop(self.run(self.writing(), CHANGE).await),
            Way::NoSuchColumn => self.refused(self.reading(), "select 1::bigint, nothing from bench", "internal").await,
            Way::UniqueViolation => self.refused(self.writing(), TWICE, "conflict").await,
            Way::DeferredViolation => self.refused(self.writing(), TWINS, "conflict").await,
            Way::WriteInReadOnly => self.refused(self.reading(), CHANGE, "method_not_allowed").await,
            Way::StatementTimeout => self.refused(self.reading(), SLOW, "timeout").await,
            Way::RunDropped { slow, write, polls } => {
                let scope = if write { self.writing() } else { self.reading() };
                let sql = Sql::new(if slow { SLOW } else { QUICK });
                abandon(self.database().run(&scope, &sql), polls).await;
            }
            Way::TransactionDropped { polls } => drop(abandon(self.work(), polls).await),
            Way::TransactionForgotten => {
                let mut tx = self.begin().await;
                tx.batch("insert into bench values (77)").await.unwrap();
            }
            Way::FailedAndForgotten => {
                let mut tx = self.begin().await;
                assert!(tx.batch("insert into bench values (77); insert into bench values (1)").await.is_err());
            }
            Way::RolledBack => {
                let mut tx = self.begin().await;
                tx.batch("insert into bench values (77)").await.unwrap();
                drop(tx.rollback().await.unwrap());
            }
            Way::Panicked => {
                let (database, scope) = (self.database().clone(), self.writing());
                let task = tokio::spawn(async move {
                    let mut tx = database.begin(&scope).await.unwrap();
                    tx.batch("insert into bench values (77)").await.unwrap();
                    std::panic::resume_unwind(Box::new("a task fell over with a transaction in its hands"));
                });
                assert!(task.await.unwrap_err().is_panic());
            }
            Way::Terminated => self.terminate().await,
            Way::TerminatedMidway => {
                let mut tx = self.begin().await;
                tx.batch("insert into bench values (77)").await.unwrap();
                self.terminate().await;
                assert!(tx.commit().await.is_err());
            }
        }
    }

    async fn run(&self, scope: Scope, sql: &'static str) -> insula::db::Answer {
        self.database().run(&scope, &Sql::new(sql)).await.map_err(insula::error::Error::from).unwrap()
    }

    /// Work of several steps whose effect would show, were it kept half way.
    async fn work(&self) {
        let mut tx = self.begin().await;
        tx.batch("insert into bench values (77)").await.unwrap();
        tx.query("select count(*) from bench, pg_advisory_xact_lock(77)", &[]).await.unwrap();
        tx.batch("delete from bench where id = 77").await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn terminate(&self) {
        let sql = "select pg_terminate_backend(pid, 2000) from pg_stat_activity
            where datname = current_database() and usename = 'it_b1'";
        self.outside.query(sql, &[]).await.unwrap();
    }

    /// The neighbour, with other rights and without a user, finds its own scope and nothing else.
    async fn neighbour_sees_only_its_scope(&self) {
        let acting = Acting { user: None, permissions: "contacts.view".into(), impersonator: None };
        let scope = Scope::read(self.techstart.clone(), Seat::Tenant, acting, Duration::from_secs(2));
        let body = self.run(scope, SCOPE).await.body.unwrap();
        let expected = json!({
            "user": "it_t_techstart", "login": "it_b1", "path": "tenant_techstart, insula, pg_temp", "read_only": "on",
            "timeout": "2s", "perms": "contacts.view", "user_id": "", "action": "", "fresh": true, "temp": 0,
        });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    }

    /// What holds in the session between two transactions.
    async fn session(&self) -> Value {
        let mut tx = self.begin().await;
        tx.batch("rollback").await.unwrap();
        let row = tx.query(SESSION, &[]).await.unwrap().remove(0);
        drop(tx.rollback().await.unwrap());
        serde_json::from_str(row.get(0)).unwrap()
    }

    /// Seen from outside: one backend at most, idle, with no locks; nothing that was left undone became true.
    async fn server_is_clean(&self) {
        let deadline = Instant::now() + BOUND;
        loop {
            let row = self.outside.query_one(OUTSIDE, &[]).await.unwrap();
            let seen: (i64, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
            if seen.0 <= 1 && (seen.1, seen.2, seen.3) == (0, 0, 0) {
                return;
            }
            assert!(Instant::now() < deadline, "backends, busy, locks, leftovers: {seen:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn story(&self, ways: &[Way]) {
        for way in ways {
            timeout(BOUND, self.leave(way)).await.unwrap_or_else(|_| panic!("{way:?} never ended"));
            let next = timeout(BOUND, self.neighbour_sees_only_its_scope()).await;
            next.unwrap_or_else(|_| panic!("nobody got the connection after {way:?}"));
            assert_eq!(self.session().await, self.bare, "after {way:?}");
            self.server_is_clean().await;
        }
    }
}

fn somebody() -> Acting {
    Acting { user: Some(Uuid::from_u128(9)), ..Acting::service() }
}

const QUICK: &str = "select count(*), null from bench";
const SLOW: &str = "select 1::bigint, pg_sleep(30)::text";
const CHANGE: &str =
    "with changed as (update bench set twin = twin where id = 1 returning 1) select count(*), null from changed";
const TWICE: &str = "with added as (insert into bench values (1, 5) returning 1) select count(*), null from added";
const TWINS: &str = "with added as (insert into bench values (77, 1) returning 1) select count(*), null from added";

const SCOPE: &str = "select 1::bigint, json_build_object('user', current_user, 'login', session_user,
    'path', replace(current_setting('search_path'), '\"', ''), 'read_only', current_setting('transaction_read_only'),
    'timeout', current_setting('statement_timeout'), 'perms', current_setting('app.perms', true),
    'user_id', coalesce(current_setting('app.user_id', true), ''), 'action', coalesce(current_setting('app.action', true), ''),
    'fresh', transaction_timestamp() > statement_timestamp() - interval '2 s',
    'temp', (select count(*) from pg_class where relpersistence = 't'))::text";

const SESSION: &str = "select json_build_object('user', current_user, 'login', session_user, 'role', current_setting('role'),
    'path', current_setting('search_path'), 'read_only', current_setting('transaction_read_only'),
    'timeout', current_setting('statement_timeout'), 'perms', coalesce(current_setting('app.perms', true), ''),
    'user_id', coalesce(current_setting('app.user_id', true), ''), 'action', coalesce(current_setting('app.action', true), ''),
    'timezone', coalesce(current_setting('app.timezone', true), ''))::text";

const OUTSIDE: &str = "select count(*), count(*) filter (where state <> 'idle' or xact_start is not null),
      (select count(*) from pg_locks l where l.database = d.oid and l.locktype = 'advisory'),
      (select count(*) from tenant_acme.bench where id <> 1)
    from pg_database d left join pg_stat_activity a on a.datid = d.oid and a.usename = 'it_b1'
    where d.datname = current_database() group by d.oid";

#[test]
fn the_next_borrower_finds_a_pristine_session() {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    for (name, value) in [("user", "it_b1"), ("role", "none"), ("path", "pg_catalog"), ("perms", ""), ("user_id", "")] {
        assert_eq!(bench.bare[name], value, "{name}");
    }
    let cases = Cases { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..Cases::default() };
    let mut runner = TestRunner::new_with_rng(cases, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(&vec(way(), 1..7), |ways| {
            runtime.block_on(bench.story(&ways));
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn who_waits_longest_is_served_first() {
    let bench = Bench::new().await;
    let (held, order) = (bench.begin().await, std::sync::Mutex::new(Vec::new()));
    let (bench, order, places) = (&bench, &order, [&bench.acme, &bench.techstart]);
    let asked = (0..6_usize).map(|number| {
        let scope = Scope::read(places[number % 2].clone(), Seat::Tenant, somebody(), Duration::from_secs(1));
        async move {
            tokio::time::sleep(Duration::from_millis(7 * number as u64)).await;
            bench.database().run(&scope, &Sql::new("select 1::bigint, null::text")).await.ok().unwrap();
            order.lock().unwrap().push(number);
        }
    });
    let release = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        held.commit().await.unwrap();
    };
    tokio::join!(futures_util::future::join_all(asked), release);
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn nothing_of_the_control_login_takes_for_ever() {
    let world = World::new().await;
    let database = &world.app.platform.database;
    let limits = "select concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('idle_in_transaction_session_timeout'))";
    assert_eq!(database.look_up(limits, &[]).await.unwrap()[0].get::<_, String>(0), "30s 30s 1min");
    let mut tx = database.control().await.unwrap().begin().await.unwrap();
    tx.take_time().await.unwrap();
    assert_eq!(tx.query(limits, &[]).await.unwrap()[0].get::<_, String>(0), "15min 2min 2min");
    tx.rollback().await.unwrap();
    assert_eq!(database.look_up(limits, &[]).await.unwrap()[0].get::<_, String>(0), "30s 30s 1min");
}
