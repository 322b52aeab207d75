//! A creation dies at any moment, and afterwards the tenant is wholly there or wholly gone.
//!
//! The creation is the real program in a process of its own. The test holds a lock from outside, so that the program
//! waits exactly there, and kills it (SIGKILL).

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use insula::app::App;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use crate::provisioning::{census, fresh};
use crate::world::{Answer, World};

const PASSWORD: &str = "a long passphrase";

/// Makes one step of a creation wait for a key that the test holds. Superuser's work, unknown to the service.
const GATES: &str = "
    create function public.gate() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock_shared(tg_argv[0]::bigint);
      return new;
    end $$;
    create trigger gate_build before update on public.operations
      for each row when (new.step = 'build' and old.step <> 'build') execute function public.gate(1);
    create trigger gate_activate before update on public.operations
      for each row when (new.step = 'activate' and old.step <> 'activate') execute function public.gate(2);";

/// A name in a world, and how the database was before anything happened to it.
struct Case {
    world: World,
    name: String,
    before: Value,
    superuser: Client,
}

/// Where a creation stands still.
struct Stopped {
    case: Case,
    /// Holds what the creation waits for, until it is rolled back.
    holder: Client,
    creation: Child,
}

const UNFINISHED: &str = "select count(*) from public.operations where finished_at is null";

/// Backends that wait for a lock: nobody but the creation does.
const WAITING: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

const ADVISORY_LOCKS: &str = "select count(*) from pg_locks where locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())";

impl Stopped {
    /// Runs `insula tenant create` until it waits for what `hold` has locked.
    async fn at(hold: &str) -> Self {
        let case = Case::new("phoenix").await;
        case.superuser.batch_execute(GATES).await.unwrap();
        let holder = case.hold(hold).await;
        let creation = create(&case.world, &case.name);
        case.poll("the creation never waited", WAITING, 1).await;
        Self { case, holder, creation }
    }

    /// Kills the program while it waits; its sessions end although the server could wait on.
    async fn kill(mut self) -> Case {
        self.creation.kill().await.unwrap();
        self.case.poll("the server goes on for a dead client", WAITING, 0).await;
        self.holder.batch_execute("rollback").await.unwrap();
        self.case.poll("a lock outlives the dead process", ADVISORY_LOCKS, 0).await;
        self.case
    }
}

impl Case {
    async fn new(word: &str) -> Self {
        let world = World::new().await;
        let (superuser, name) = (world.superuser().await, fresh(&world, word));
        let before = census(&superuser).await;
        Self { world, name, before, superuser }
    }

    /// A connection that holds locks until it is rolled back.
    async fn hold(&self, lock: &str) -> Client {
        let holder = self.world.superuser().await;
        holder.batch_execute(&format!("begin; {lock}")).await.unwrap();
        holder
    }

    fn form(&self) -> Value {
        json!({ "company": "Phoenix", "subdomain": self.name, "email": "phoenix@fire.test", "password": PASSWORD,
            "first_name": "Phoenix" })
    }

    async fn sign_up(&self) -> Answer {
        self.world.request(Method::POST, "", "/api/v1/signup").json(&self.form()).send().await
    }

    async fn poll(&self, complaint: &str, sql: &str, wanted: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found: i64 = self.superuser.query_one(sql, &[]).await.unwrap().get(0);
            if found == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{complaint}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Another process starts and cleans up.
    async fn restart(&self) -> Arc<App> {
        let start = App::start(self.world.app.config.clone());
        let app = tokio::time::timeout(Duration::from_secs(20), start).await.expect("it waits for somebody").unwrap();
        app.stop.cancel();
        app
    }

    /// Nothing of it is left, and the name is free.
    async fn wholly_gone(&self) {
        assert_eq!(census(&self.superuser).await, self.before);
        let role = format!("it_t_{}", self.name.replace('-', "_"));
        let left = self.superuser.query_one("select to_regrole($1) is not null", &[&role]).await.unwrap();
        assert!(!left.get::<_, bool>(0), "{role} is left");
        assert!(create(&self.world, &self.name).wait().await.unwrap().success(), "the name is free");
        self.wholly_there().await;
    }

    /// Complete, in service, and its owner can work.
    async fn wholly_there(&self) {
        let census = census(&self.superuser).await;
        let tenants = |census: &Value| census["tenants"].as_i64().unwrap();
        assert_eq!(tenants(&census), tenants(&self.before) + 1);
        assert_eq!(census["buckets"][0][1], tenants(&census));
        assert_eq!((&census["running"], &census["locks"]), (&json!(0), &json!(0)));
        let credentials = json!({ "email": "phoenix@fire.test", "password": PASSWORD });
        let login = self.world.request(Method::POST, &self.name, "/api/v1/auth/login").json(&credentials).send().await;
        let token = login.ok()["access_token"].as_str().unwrap().to_owned();
        let contact = json!({ "first_name": "Ash", "email": "ash@fire.test" });
        let made = self.world.request(Method::POST, &self.name, "/api/v1/contacts").bearer(&token).json(&contact);
        assert_eq!(made.send().await.status, StatusCode::CREATED);
    }

    /// How the journal tells it.
    async fn outcome(&self) -> String {
        let sql = "select state || ' at ' || step from public.operations where subject = $1";
        let rows = self.superuser.query(sql, &[&self.name]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join(", ")
    }
}

fn create(world: &World, name: &str) -> Child {
    let form = ["--name", "Phoenix", "--plan", "crm", "--owner", "phoenix@fire.test", "--password-stdin"];
    let mut creation = program(world, &[&["tenant", "create", name], &form[..]].concat());
    let mut stdin = creation.stdin.take().unwrap();
    tokio::spawn(async move { stdin.write_all(PASSWORD.as_bytes()).await.unwrap() });
    creation
}

fn program(world: &World, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_insula"))
        .args(arguments)
        .envs(world.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

const RESERVE: &str = "lock table public.tenants in exclusive mode";
const BEFORE_BUILD: &str = "select pg_advisory_xact_lock(1)";
const BUILD: &str = "lock table public.tenant_packs in exclusive mode";
const BEFORE_ACTIVATE: &str = "select pg_advisory_xact_lock(2)";

#[tokio::test]
async fn killed_while_reserving_nothing_happened() {
    let case = Stopped::at(RESERVE).await.kill().await;
    case.restart().await;
    assert_eq!(case.outcome().await, "");
    case.wholly_gone().await;
}

#[tokio::test]
async fn killed_between_reserving_and_building_it_is_undone() {
    let case = Stopped::at(BEFORE_BUILD).await.kill().await;
    case.restart().await;
    assert_eq!(case.outcome().await, "undone at reserve");
    case.wholly_gone().await;
}

#[tokio::test]
async fn killed_while_building_it_is_undone() {
    let case = Stopped::at(BUILD).await.kill().await;
    case.restart().await;
    assert_eq!(case.outcome().await, "undone at build");
    case.wholly_gone().await;
}

#[tokio::test]
async fn killed_between_building_and_activating_it_is_finished() {
    let case = Stopped::at(BEFORE_ACTIVATE).await.kill().await;
    let answer = case.world.request(Method::GET, &case.name, "/api/v1/me").send().await;
    assert_eq!(answer.problem(404)["code"], "tenant_not_found", "not reachable before it is finished");
    case.restart().await;
    assert_eq!(case.outcome().await, "succeeded at build");
    case.wholly_there().await;
}

#[tokio::test]
async fn killed_while_activating_it_is_finished() {
    let mut stopped = Stopped::at(BEFORE_ACTIVATE).await;
    let row = format!("select from public.tenants where subdomain = '{}' for no key update", stopped.case.name);
    let row = stopped.case.hold(&row).await;
    std::mem::replace(&mut stopped.holder, row).batch_execute("rollback").await.unwrap();
    let begun = "select count(*) from public.operations where step = 'activate' and finished_at is null";
    stopped.case.poll("the activation never began", begun, 1).await;
    stopped.case.poll("the activation never waited", WAITING, 1).await;
    let case = stopped.kill().await;
    case.restart().await;
    assert_eq!(case.outcome().await, "succeeded at activate");
    case.wholly_there().await;
}

#[tokio::test]
async fn a_clean_up_that_dies_too_is_done_by_the_next() {
    let case = Stopped::at(BUILD).await.kill().await;
    let row = format!("select from public.tenants where subdomain = '{}' for update", case.name);
    let holder = case.hold(&row).await;
    let creation = program(&case.world, &["migrate"]);
    case.poll("the clean-up never waited", WAITING, 1).await;
    let case = Stopped { case, holder, creation }.kill().await;
    assert_eq!(case.outcome().await, "running at build");
    case.restart().await;
    case.wholly_gone().await;
}

#[tokio::test]
async fn a_creation_that_lives_is_left_alone_by_processes_that_start() {
    let mut stopped = Stopped::at(BEFORE_BUILD).await;
    stopped.case.restart().await;
    stopped.case.restart().await;
    assert_eq!(stopped.case.outcome().await, "running at reserve");
    stopped.holder.batch_execute("rollback").await.unwrap();
    assert!(stopped.creation.wait().await.unwrap().success());
    stopped.case.wholly_there().await;
}

#[tokio::test]
async fn a_client_who_goes_away_does_not_leave_a_half_tenant() {
    let case = Case::new("leaver").await;
    let holder = case.hold(BUILD).await;
    let form = case.form().to_string();
    let mut client = TcpStream::connect(("127.0.0.1", case.world.port)).await.unwrap();
    let head = "POST /api/v1/signup HTTP/1.1\r\nhost: insula.test\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{form}", form.len());
    client.write_all(request.as_bytes()).await.unwrap();
    case.poll("the creation never waited", WAITING, 1).await;
    client.shutdown().await.unwrap();
    // The service closes its end: it has dropped the request.
    assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    holder.batch_execute("rollback").await.unwrap();
    case.poll("the creation was not finished", UNFINISHED, 0).await;
    case.wholly_there().await;
}

/// Makes a creation fail in the middle and looks whether all is as before, then that it can be repeated.
async fn fails_and_is_undone(breaking: &str, mending: &str) {
    let case = Case::new("fails").await;
    let fill = |sql: &str| sql.replace("{name}", &case.name.replace('-', "_"));
    case.superuser.batch_execute(&fill(breaking)).await.unwrap();
    let before = census(&case.superuser).await;
    assert_eq!(case.sign_up().await.problem(500)["code"], "internal");
    assert_eq!(census(&case.superuser).await, before);
    assert_eq!(case.outcome().await, "undone at build");
    // Fails when what the creation stumbled over is no longer there.
    case.superuser.batch_execute(&fill(mending)).await.unwrap();
    assert_eq!(case.sign_up().await.status, StatusCode::CREATED, "the name is free");
    case.wholly_there().await;
}

#[tokio::test]
async fn a_build_that_is_refused_is_undone_at_once() {
    let boom = "create function public.boom() returns event_trigger language plpgsql as $$ begin raise 'boom'; end $$;
        create event trigger boom on ddl_command_end when tag in ('CREATE VIEW') execute function public.boom()";
    fails_and_is_undone(boom, "drop event trigger boom").await;
}

#[tokio::test]
async fn a_role_that_bears_the_name_is_not_ours_to_drop() {
    fails_and_is_undone("create role it_t_{name}", "drop role it_t_{name}").await;
}

#[tokio::test]
async fn a_schema_that_bears_the_name_is_not_ours_to_drop() {
    let foreign = "create schema tenant_{name} authorization it_control; create table tenant_{name}.precious ();
        alter table tenant_{name}.precious owner to it_control";
    fails_and_is_undone(foreign, "drop table tenant_{name}.precious; drop schema tenant_{name}").await;
}
