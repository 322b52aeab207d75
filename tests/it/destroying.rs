//! `insula inspect` and `insula reset` with the real program.

use std::process::Output;

use serde_json::Value;

use super::world::{World, connect, empty};

async fn run(environment: &[(&'static str, String)], words: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_insula"));
    command.args(words).arg("--no-input").envs(environment.iter().cloned()).output().await.unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[tokio::test]
async fn what_postgresql_knows_of_tenants_is_shown() {
    let world = World::new().await;
    let look = async |words: &[&str]| {
        let output = run(&world.environment(), &[&["inspect", "--json"], words].concat()).await;
        assert_eq!(code(&output), 0, "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().clone()
    };
    let schemas = look(&["schemas"]).await;
    assert!(schemas.iter().any(|row| row["tenant"] == "acme" && row["bytes"].as_i64().unwrap() > 0), "{schemas:?}");
    let tables = look(&["tables", "--tenant", "acme"]).await;
    assert!(tables.iter().all(|row| row["tenant"] == "acme"), "{tables:?}");
    assert!(tables.iter().any(|row| row["table"] == "crm_deal"), "{tables:?}");
    look(&["bloat"]).await;
    assert!(look(&["connections"]).await.iter().any(|row| row["role"] == "it_control"));
    assert!(look(&["locks"]).await.is_empty());

    let holder = world.superuser().await;
    holder.batch_execute("begin; lock table tenant_acme.crm_deal").await.unwrap();
    let waiter = world.superuser().await;
    let waiting = tokio::spawn(async move { waiter.batch_execute("begin; lock table tenant_acme.crm_deal").await });
    let until_seen = async |view: &str| {
        for _ in 0..100 {
            let seen = look(&[view, "--tenant", "acme"]).await;
            if !seen.is_empty() {
                return seen;
            }
        }
        panic!("{view} never showed anything")
    };
    let locks = until_seen("locks").await;
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    assert_eq!(locks[0]["blocked_by"], serde_json::json!([pid]));
    let long = until_seen("long-running").await;
    assert!(long.iter().any(|row| row["pid"] == pid), "{long:?}");
    holder.batch_execute("rollback").await.unwrap();
    let _ = waiting.await.unwrap();
}

#[tokio::test]
async fn everything_goes_when_that_is_meant_and_nobody_is_there() {
    let environment = empty("doomed").await;
    assert_eq!(code(&run(&environment, &["reset", "--yes-destroy-everything"]).await), 0, "there is nothing yet");
    assert_eq!(code(&run(&environment, &["migrate"]).await), 0);
    let create = ["tenant", "create", "acme", "--name", "Acme", "--plan", "crm", "--owner", "ann@acme.test"];
    let made = run(&environment, &create).await;
    assert_eq!(code(&made), 0, "{made:?}");

    let whole = &["reset", "--yes-destroy-everything", "--confirm=doomed"][..];
    let db = connect(&environment[0].1).await;
    let refused = run(&environment, whole).await;
    assert_eq!(code(&refused), 1, "somebody is connected: {refused:?}");
    let left = "select count(*) from pg_roles where rolname like 'doomed\\_t\\_%' or rolname like 'doomed\\_b%'";
    let roles: i64 = db.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(roles, 3);
    drop(db);

    assert_eq!(code(&run(&environment, &["reset"]).await), 2);
    let refused = run(&environment, &["reset", "--yes-destroy-everything"]).await;
    assert_eq!(code(&refused), 2, "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--confirm=doomed"), "{refused:?}");
    assert_eq!(code(&run(&environment, &["reset", "--yes-destroy-everything", "--confirm=insula"]).await), 1);
    let done = run(&environment, whole).await;
    assert_eq!(code(&done), 0, "{done:?}");

    let db = connect(&environment[0].1).await;
    let schemas = "select count(*) from pg_namespace where nspname like 'tenant\\_%' or nspname like 'insula%'";
    for nothing in [left, schemas, "select count(*) from pg_class where relnamespace = 'public'::regnamespace"] {
        let number: i64 = db.query_one(nothing, &[]).await.unwrap().get(0);
        assert_eq!(number, 0, "{nothing}");
    }
    drop(db);
    assert_eq!(code(&run(&environment, &["migrate"]).await), 0);
    assert_eq!(code(&run(&environment, &create).await), 0);
}
