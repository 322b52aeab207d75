//! `insula check drift`, `connections` and `isolation` with the real program: what is well, and what somebody has changed.

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::world::World;

async fn check(world: &World, arguments: &[&str]) -> (i32, Value, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_insula"))
        .arg("check")
        .args(arguments)
        .envs(world.environment())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&said).unwrap_or_default();
    (output.status.code().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))), document, said)
}

async fn run(db: &Client, sql: &str) {
    db.batch_execute(sql).await.unwrap();
}

/// `kind name: how` of each difference of a tenant.
fn differences(document: &Value, tenant: &str) -> Vec<String> {
    let schemas = document["schemas"].as_array().unwrap();
    let row = schemas.iter().find(|row| row["tenant"] == tenant).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |one: &Value| format!("{} {}: {}", text(&one["kind"]), text(&one["name"]), text(&one["how"]));
    row["differences"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn what_differs_from_the_packs_is_named_and_the_repair_makes_it_right() {
    let world = World::new().await;
    let (db, staff) = (world.superuser().await, world.staff().await);
    let off = format!("/api/v1/tenants/{}/modules/crm", world.tenant_id("techstart").await);
    assert_eq!(staff.request(reqwest::Method::DELETE, &off).status().await, 204);
    let (code, document, said) = check(&world, &["drift", "--json"]).await;
    assert_eq!((code, &document["sound"]), (0, &json!(true)), "{said}");
    assert!(document["schemas"].as_array().unwrap().len() >= 4, "{said}");

    run(
        &db,
        "set search_path = tenant_acme, insula;
         alter table crm_contact drop column title;
         alter table crm_deal alter column title drop not null;
         drop index crm_contact_email_key;
         drop trigger zz_audit_update on crm_deal;
         drop policy scope on crm_contact;
         alter table crm_contact disable row level security;
         revoke insert on crm_lost_reason from it_t_acme;
         grant select on crm_deal to it_t_techstart;
         create table crm_mine (id int);
         create or replace function sys_keep_an_owner() returns void language plpgsql as 'begin end'",
    )
    .await;
    let (code, document, _) = check(&world, &["drift", "--json"]).await;
    assert_eq!(code, 1);
    assert!(differences(&document, "techstart").is_empty());
    let found = differences(&document, "acme");
    for expected in [
        "column crm_contact.title: missing",
        "not null crm_deal.title: missing",
        "table crm_mine: extra",
        "trigger crm_deal.zz_audit_update: missing",
        "policy crm_contact.scope: missing",
        "row security crm_contact: missing",
        "function sys_keep_an_owner(): altered",
        "grant table crm_deal to it_t_techstart: extra",
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected} is not in {found:#?}");
    }

    let (_, _, repair) = check(&world, &["drift", "--tenant", "acme", "-q"]).await;
    assert!(repair.contains("-- it may hold data: drop table crm_mine"), "{repair}");
    run(&db, "drop table tenant_acme.crm_mine").await;
    let (_, _, repair) = check(&world, &["drift", "--tenant", "acme", "-q"]).await;
    run(&db, &repair).await;
    let (code, _, said) = check(&world, &["drift", "--tenant", "acme", "--json"]).await;
    assert_eq!(code, 0, "{said}");
}

#[tokio::test]
async fn a_tenant_that_is_behind_is_told_from_one_that_drifted() {
    let world = World::new().await;
    let db = world.superuser().await;
    run(
        &db,
        "update public.tenant_packs set version = version - 1 where pack = 'crm' and tenant_id =
        (select id from public.tenants where subdomain = 'acme')",
    )
    .await;
    let (code, document, said) = check(&world, &["drift", "--tenant", "acme", "--json"]).await;
    assert_eq!((code, &document["schemas"][0]["state"]), (0, &json!("behind")), "{said}");
    assert_eq!(check(&world, &["drift", "--tenant", "acne"]).await.0, 1);
}

#[tokio::test]
async fn every_way_out_of_a_schema_or_into_it_is_named() {
    let world = World::new().await;
    let db = world.superuser().await;
    let (code, document, said) = check(&world, &["all", "--json"]).await;
    assert_eq!((code, &document["sound"]), (0, &json!(true)), "{said}");
    for check in ["connections", "isolation", "schemas", "audits"] {
        assert!(!document[check].as_array().unwrap().is_empty(), "{check}: {said}");
    }

    run(
        &db,
        "grant usage on schema tenant_techstart to it_t_acme;
         grant select (email) on tenant_techstart.crm_contact to it_t_acme;
         grant select on public.tenants to it_t_acme;
         grant select on tenant_acme.crm_deal to public",
    )
    .await;
    let (code, document, said) = check(&world, &["isolation", "--json"]).await;
    assert_eq!(code, 1);
    for sentence in [
        "its role holds usage on schema tenant_techstart",
        "its role holds select on column tenant_techstart.crm_contact.email",
        "its role holds select on table public.tenants",
        "everybody holds select on table tenant_acme.crm_deal",
        "it_t_acme holds select on column tenant_techstart.crm_contact.email",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    assert_eq!(document["sound"], json!(false));
}

#[tokio::test]
async fn a_tenant_that_cannot_be_entered_is_named() {
    let world = World::new().await;
    run(&world.superuser().await, "revoke usage on schema tenant_acme from it_t_acme").await;
    let (code, document, said) = check(&world, &["connections", "--json"]).await;
    assert_eq!(code, 1, "{said}");
    let faulty: Vec<&Value> = document["connections"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["faults"] != json!([]))
        .map(|row| &row["tenant"])
        .collect();
    assert_eq!(faulty, ["acme"]);
}
