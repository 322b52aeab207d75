//! Schemas made in advance: who signs up next moves into one, and nothing tells the two ways apart.

use insula::ops::restock;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::provisioning::fresh;
use super::world::World;

/// Only the plan of sign-up is in demand: the demo is an old one.
async fn stocked(world: &World, number: u32) -> Client {
    let db = world.superuser().await;
    db.batch_execute("update public.tenant_subscriptions set created_at = now() - interval '1 year'").await.unwrap();
    restock(&world.app.platform, number, "crm").await.unwrap();
    db
}

async fn ready(db: &Client) -> i64 {
    db.query_one("select count(*) from public.ready_schemas where plan_code = 'crm'", &[]).await.unwrap().get(0)
}

/// Tenants that the buckets count, less those and the ready schemas that there are.
async fn miscounted(db: &Client) -> i64 {
    let sql = "select (select sum(tenant_count) from public.buckets) - (select count(*) from public.ready_schemas)
        - (select count(*) from public.tenants where state <> 'deleted')";
    db.query_one(sql, &[]).await.unwrap().get(0)
}

fn form(subdomain: &str) -> Value {
    json!({ "company": "Globex", "subdomain": subdomain, "plan": "crm", "email": "hank@globex.test" })
}

async fn check(world: &World, what: &str, tenant: &str) -> (bool, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_insula"))
        .args(["check", what, "--tenant", tenant])
        .envs(world.environment())
        .output()
        .await
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn who_signs_up_moves_into_a_schema_that_is_ready() {
    let world = World::new().await;
    let db = stocked(&world, 1).await;
    let id: uuid::Uuid =
        db.query_one("select id from public.ready_schemas where plan_code = 'crm'", &[]).await.unwrap().get(0);
    let name = fresh(&world, "globex");
    let mut form = form(&name);
    form.as_object_mut().unwrap().remove("plan");
    form["first_name"] = json!("Hank");
    form["password"] = json!("a long passphrase");
    let answer = world.request(Method::POST, "", "/api/v1/signup").json(&form).send().await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.json()["tenant"]["id"], id.to_string(), "it has the key of what it took over");
    assert_eq!((ready(&db).await, miscounted(&db).await), (0, 0));

    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let contact = json!({ "first_name": "Marge", "email": "marge@example.test" });
    let made = world.request(Method::POST, &name, "/api/v1/contacts").bearer(&token).json(&contact).send().await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let entries =
        world.request(Method::GET, &name, "/api/v1/audit-events?object_type=eq.users").bearer(&token).send().await;
    assert_eq!(entries.ok()["data"].as_array().unwrap().len(), 1, "its owner is the first who is entered");
    let sql = "select state from public.operations where tenant_id = $1 and finished_at is not null";
    assert_eq!(db.query_one(sql, &[&id]).await.unwrap().get::<_, &str>(0), "succeeded", "the journal knows of it");
    for what in ["drift", "connections", "isolation", "audit"] {
        let (sound, said) = check(&world, what, &name).await;
        assert!(sound, "{what}: {said}");
    }
}

#[tokio::test]
async fn a_name_that_is_taken_leaves_the_schema_to_the_next() {
    let world = World::new().await;
    let db = stocked(&world, 1).await;
    let staff = world.staff().await;
    for name in ["acme", "admin"] {
        assert_eq!(staff.post("/api/v1/tenants", form(name)).await.problem(409)["code"], "conflict");
    }
    assert_eq!((ready(&db).await, miscounted(&db).await), (1, 0));
    let made = staff.post("/api/v1/tenants", form(&fresh(&world, "next"))).await;
    assert_eq!((made.status, ready(&db).await), (StatusCode::CREATED, 0), "{}", made.text);
}

#[tokio::test]
async fn eight_at_once_share_three_schemas_and_the_others_get_new_ones() {
    let world = World::new().await;
    let db = stocked(&world, 3).await;
    let staff = world.staff().await;
    let forms = (0..8).map(|number| form(&fresh(&world, &format!("crowd{number}"))));
    let answers = futures_util::future::join_all(forms.map(|form| staff.post("/api/v1/tenants", form))).await;
    for answer in answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    assert_eq!((ready(&db).await, miscounted(&db).await), (0, 0));
}

#[tokio::test]
async fn what_is_made_of_an_older_recipe_is_not_taken_and_goes_after_an_hour() {
    let world = World::new().await;
    let db = stocked(&world, 1).await;
    db.batch_execute("update public.ready_schemas set recipe = sha256('older')").await.unwrap();
    let made = world.staff().await.post("/api/v1/tenants", form(&fresh(&world, "newer"))).await;
    assert_eq!((made.status, ready(&db).await), (StatusCode::CREATED, 1), "{}", made.text);
    restock(&world.app.platform, 1, "crm").await.unwrap();
    assert_eq!(ready(&db).await, 2, "the program that made it may still be at work");
    db.batch_execute("update public.ready_schemas set made_at = now() - interval '2 hours'").await.unwrap();
    restock(&world.app.platform, 1, "crm").await.unwrap();
    assert_eq!((ready(&db).await, miscounted(&db).await), (1, 0));
    let sql = "select count(*) from pg_namespace where nspname like 'ready\\_%'
        and nspname not in (select schema_name from public.ready_schemas)";
    assert_eq!(db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0, "nothing is left of it");
}

#[tokio::test]
async fn two_who_fill_up_at_once_make_no_more_than_is_wanted() {
    let world = World::new().await;
    let db = stocked(&world, 0).await;
    let fill = || restock(&world.app.platform, 2, "crm");
    let (one, other) = tokio::join!(fill(), fill());
    one.unwrap();
    other.unwrap();
    fill().await.unwrap();
    assert_eq!(ready(&db).await, 2);
}
