//! Modules of a tenant: on with their tables, off without losing a row, never without what they need.

use std::path::Path;

use insula::app::migrate_everything;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::world::{User, World};

const CRM_OFF: &str = "Module 'crm' is not enabled for your account. Please upgrade your subscription.";

/// Relations of a schema, by name.
async fn relations(superuser: &Client, schema: &str) -> Vec<String> {
    let sql =
        "select relname from pg_class where relnamespace = to_regnamespace($1) and relkind in ('r', 'v') order by 1";
    superuser.query(sql, &[&schema]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Every right that is written down in a schema.
async fn rights(superuser: &Client, schema: &str) -> Vec<String> {
    let sql = "select x from (
          select relname || ' ' || unnest(relacl)::text from pg_class where relnamespace = to_regnamespace($1)
          union all
          select attrelid::regclass || '.' || attname || ' ' || unnest(attacl)::text
          from pg_attribute join pg_class c on c.oid = attrelid where c.relnamespace = to_regnamespace($1)
          union all
          select proname || ' ' || unnest(proacl)::text from pg_proc where pronamespace = to_regnamespace($1)
          union all
          select tablename || ' ' || policyname || ' ' || qual from pg_policies where schemaname = $1
        ) r (x) order by 1";
    superuser.query(sql, &[&schema]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// All that decides what a tenant may use.
async fn bought(superuser: &Client) -> Value {
    let sql = "select jsonb_build_object(
        'subscriptions', (select jsonb_agg(s order by s.id) from public.tenant_subscriptions s),
        'overrides', (select jsonb_agg(o order by o.tenant_id, o.module_code) from public.tenant_module_overrides o),
        'packs', (select jsonb_agg(p order by p.tenant_id, p.pack) from public.tenant_packs p),
        'history', (select count(*) from public.billing_history))";
    superuser.query_one(sql, &[]).await.unwrap().get(0)
}

/// What a tenant's role meets when it tries a statement, whatever the service above would allow.
async fn as_tenant(superuser: &Client, name: &str, sql: &str) -> Result<(), SqlState> {
    let scope = format!("begin; set local role it_t_{name}; set local search_path = tenant_{name}, insula, pg_temp;");
    let outcome = superuser.batch_execute(&format!("{scope} {sql};")).await;
    superuser.batch_execute("rollback").await.unwrap();
    outcome.map_err(|error| error.code().unwrap().clone())
}

async fn switch(staff: &User<'_>, method: Method, tenant: &str, module: &str) -> crate::world::Answer {
    staff.request(method, &format!("/api/v1/tenants/{tenant}/modules/{module}")).send().await
}

#[tokio::test]
async fn the_list_tells_what_is_sold_and_what_answers() {
    let world = World::new().await;
    let nobody = world.request(Method::GET, "testcompany", "/api/v1/modules").send().await;
    assert_eq!(nobody.problem(401)["code"], "unauthenticated");
    let list = world.user("testcompany", "manager").await.get("/api/v1/modules").await.ok();
    assert_eq!(list["object"], "list");
    let modules = list["data"].as_array().unwrap();
    let codes: Vec<&str> = modules.iter().map(|module| module["code"].as_str().unwrap()).collect();
    assert_eq!(codes.len(), 16);
    assert!(!codes.contains(&"commerce_base"), "hidden modules are not shown");
    for module in modules {
        let on = ["system_admin", "oms_fulfillment", "d2c_storefront"].contains(&module["code"].as_str().unwrap());
        let source = if on { "plan" } else { "none" };
        let keys: Vec<&String> = module.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "name", "enabled", "source", "expires_at"]);
        assert_eq!(json!([on, source, null]), json!([module["enabled"], module["source"], module["expires_at"]]));
    }
}

#[tokio::test]
async fn a_module_brings_its_tables_into_one_schema_only() {
    let world = World::new().await;
    let (superuser, staff) = (world.superuser().await, world.staff().await);
    let (owner, tenant) = (world.user("testcompany", "owner").await, world.tenant_id("testcompany").await);
    let before = relations(&superuser, "tenant_testcompany").await;
    assert!(before.len() > 10 && !before.iter().any(|name| name.starts_with("crm_")), "{before:?}");
    let everywhere = "select count(*) from pg_class where relname like 'crm%'";
    let crm_before: i64 = superuser.query_one(everywhere, &[]).await.unwrap().get(0);
    assert_eq!(owner.get("/api/v1/contacts").await.problem(403)["detail"], CRM_OFF);

    let on = switch(&staff, Method::PUT, &tenant, "crm").await.ok();
    assert_eq!(json!([on["code"], on["enabled"], on["source"]]), json!(["crm", true, "subscription"]));
    let after = relations(&superuser, "tenant_testcompany").await;
    let added: Vec<&String> = after.iter().filter(|name| !before.contains(name)).collect();
    let acme: Vec<String> = relations(&superuser, "tenant_acme").await;
    let crm: Vec<&String> = acme.iter().filter(|name| name.starts_with("crm_")).collect();
    assert_eq!(added, crm);
    let of_schema =
        "select count(*) from pg_class where relname like 'crm%' and relnamespace = 'tenant_testcompany'::regnamespace";
    let here: i64 = superuser.query_one(of_schema, &[]).await.unwrap().get(0);
    assert_eq!(superuser.query_one(everywhere, &[]).await.unwrap().get::<_, i64>(0), crm_before + here);

    let contact = json!({ "first_name": "Ann", "email": "ann@example.test" });
    assert_eq!(owner.post("/api/v1/contacts", contact).await.status, StatusCode::CREATED);
    let manager = world.user("testcompany", "manager").await;
    manager.get("/api/v1/contacts").await.ok();

    let state = bought(&superuser).await;
    switch(&staff, Method::PUT, &tenant, "crm").await.ok();
    let again = bought(&superuser).await;
    assert_eq!(
        (&state["subscriptions"], &state["packs"]),
        (&again["subscriptions"], &again["packs"]),
        "once is enough"
    );
}

#[tokio::test]
async fn switching_on_at_once_from_everywhere_installs_once() {
    let world = World::new().await;
    let (superuser, staff) = (world.superuser().await, world.staff().await);
    let tenant = world.tenant_id("testcompany").await;
    let all = (0..5).map(|_| switch(&staff, Method::PUT, &tenant, "crm"));
    for answer in futures_util::future::join_all(all).await {
        answer.ok();
    }
    let sql = "select count(*) from public.tenant_subscriptions where module_code = 'crm'";
    assert_eq!(superuser.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn an_installation_that_fails_leaves_the_module_off_and_nothing_behind() {
    let world = World::new().await;
    let (superuser, staff) = (world.superuser().await, world.staff().await);
    let tenant = world.tenant_id("testcompany").await;
    superuser.batch_execute("create table tenant_testcompany.crm_v_forecast ()").await.unwrap();
    let (state, tables) = (bought(&superuser).await, relations(&superuser, "tenant_testcompany").await);
    switch(&staff, Method::PUT, &tenant, "crm").await.problem(500);
    assert_eq!(bought(&superuser).await, state);
    assert_eq!(relations(&superuser, "tenant_testcompany").await, tables);
    let owner = world.user("testcompany", "owner").await;
    assert_eq!(owner.get("/api/v1/contacts").await.problem(403)["code"], "module_not_enabled");
    superuser.batch_execute("drop table tenant_testcompany.crm_v_forecast").await.unwrap();
    switch(&staff, Method::PUT, &tenant, "crm").await.ok();
    owner.get("/api/v1/contacts").await.ok();
}

#[tokio::test]
async fn a_module_that_is_off_answers_nothing() {
    let world = World::new().await;
    let (staff, owner) = (world.staff().await, world.user("acme", "owner").await);
    let row = owner.rows("/api/v1/contacts").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        switch(&staff, Method::DELETE, &world.tenant_id("acme").await, "crm").await.status,
        StatusCode::NO_CONTENT
    );
    let catalog = world.app.engine.catalog();
    let mut routes: Vec<(Method, String)> = Vec::new();
    for resource in catalog.resources().filter(|resource| resource.module == "crm") {
        let base = format!("/api/v1/{}", resource.name);
        routes.extend([Method::GET, Method::POST].map(|method| (method, base.clone())));
        routes.extend([Method::GET, Method::PATCH, Method::DELETE].map(|method| (method, format!("{base}/{row}"))));
        routes.extend(resource.actions.keys().map(|action| (Method::POST, format!("{base}/{row}/actions/{action}"))));
    }
    let reports = catalog.reports().filter(|report| report.module == "crm");
    routes.extend(reports.map(|report| (Method::GET, format!("/api/v1/reports/{}", report.name))));
    assert!(routes.len() > 50, "{}", routes.len());
    for (method, path) in routes {
        let problem = owner.request(method.clone(), &path).json(&json!({})).send().await.problem(403);
        assert_eq!(problem["detail"], CRM_OFF, "{method} {path}");
        assert_eq!(problem["code"], "module_not_enabled");
    }
    owner.get("/api/v1/locations").await.ok();
    world.user("techstart", "owner").await.get("/api/v1/contacts").await.ok();
}

#[tokio::test]
async fn what_is_off_stays_and_can_only_be_read_until_it_is_on_again() {
    let world = World::new().await;
    let (superuser, staff) = (world.superuser().await, world.staff().await);
    let (owner, tenant) = (world.user("acme", "owner").await, world.tenant_id("acme").await);
    let contacts = owner.rows("/api/v1/contacts").await;
    let (tables, before) = (relations(&superuser, "tenant_acme").await, rights(&superuser, "tenant_acme").await);
    let neighbour = rights(&superuser, "tenant_techstart").await;
    let insert = "insert into crm_lost_reason (name) values ('Too late')";
    assert_eq!(as_tenant(&superuser, "acme", insert).await, Ok(()), "while the module is on");
    switch(&staff, Method::DELETE, &tenant, "crm").await;

    assert_eq!(relations(&superuser, "tenant_acme").await, tables, "nothing is dropped");
    let catalog = world.app.engine.catalog();
    for resource in catalog.resources().filter(|resource| resource.module == "crm") {
        let table = resource.table.as_str();
        let select = format!("select count(*) from {table}");
        assert_eq!(as_tenant(&superuser, "acme", &select).await, Ok(()), "{table}");
        let mut writes = vec![format!("insert into {table} default values"), format!("delete from {table}")];
        let columns = resource.columns.iter().map(|column| column.name.as_str());
        writes.extend(columns.map(|column| format!("update {table} set {column} = {column}")));
        let functions = resource.actions.values().map(|action| action.function.as_str());
        writes.extend(functions.map(|function| format!("select {function}(null, '{{}}')")));
        for write in writes {
            let refused = as_tenant(&superuser, "acme", &write).await;
            assert_eq!(refused, Err(SqlState::INSUFFICIENT_PRIVILEGE), "{write}");
        }
    }
    assert_eq!(rights(&superuser, "tenant_techstart").await, neighbour);

    let on = switch(&staff, Method::PUT, &tenant, "crm").await.ok();
    assert_eq!(json!([on["enabled"], on["source"]]), json!([true, "plan"]), "the plan holds it, nothing more is sold");
    assert_eq!(rights(&superuser, "tenant_acme").await, before);
    assert_eq!(owner.rows("/api/v1/contacts").await, contacts);
    assert_eq!(as_tenant(&superuser, "acme", insert).await, Ok(()));
    let path = format!("/api/v1/contacts/{}", contacts[0]["id"].as_str().unwrap());
    owner.patch(&path, json!({ "title": "Director" })).await.ok();
}

#[tokio::test]
async fn modules_keep_together_what_needs_each_other() {
    let world = World::new().await;
    let (superuser, staff) = (world.superuser().await, world.staff().await);
    let tenant = world.tenant_id("testcompany").await;
    let refused = async |method: Method, module: &str, listed: &[&str]| {
        let state = bought(&superuser).await;
        let problem = switch(&staff, method, &tenant, module).await.problem(409);
        assert_eq!(problem["code"], "conflict");
        let named: Vec<&str> =
            problem["errors"].as_array().into_iter().flatten().map(|fault| fault["detail"].as_str().unwrap()).collect();
        assert_eq!(named, listed, "{module}: {problem}");
        for code in listed {
            assert!(problem["detail"].as_str().unwrap().contains(&format!("'{code}'")), "{problem}");
        }
        assert_eq!(bought(&superuser).await, state, "{module}");
    };
    let done = async |method: Method, module: &str| {
        let answer = switch(&staff, method, &tenant, module).await;
        assert!(answer.status.is_success(), "{module}: {}", answer.text);
    };
    refused(Method::DELETE, "system_admin", &["oms_fulfillment"]).await;
    refused(Method::DELETE, "oms_fulfillment", &["d2c_storefront"]).await;
    refused(Method::PUT, "crm_service", &["crm"]).await;
    refused(Method::PUT, "sales_distribution", &["sales"]).await;
    refused(Method::PUT, "school_fees", &["school_core"]).await;
    done(Method::PUT, "crm").await;
    done(Method::PUT, "crm_service").await;
    refused(Method::DELETE, "crm", &["crm_service"]).await;
    refused(Method::DELETE, "system_admin", &["crm", "oms_fulfillment"]).await;
    for module in ["crm_service", "crm", "d2c_storefront", "oms_fulfillment"] {
        done(Method::DELETE, module).await;
    }
    refused(Method::DELETE, "system_admin", &[]).await;
    refused(Method::PUT, "marketing", &["d2c_storefront", "oms_fulfillment"]).await;
}

#[tokio::test]
async fn an_unknown_module_or_tenant_is_not_found() {
    let world = World::new().await;
    let (staff, tenant) = (world.staff().await, world.tenant_id("testcompany").await);
    for method in [Method::PUT, Method::DELETE] {
        let slip = switch(&staff, method.clone(), &tenant, "crn").await.problem(404);
        assert_eq!(slip["hint"], "Did you mean 'crm'?");
        let stranger = switch(&staff, method.clone(), &tenant, "telepathy").await.problem(404);
        assert!(stranger["hint"].as_str().unwrap().contains("school_core"), "{stranger}");
        let hidden = switch(&staff, method.clone(), &tenant, "commerce_base").await.problem(404);
        assert!(!hidden["hint"].as_str().unwrap().contains("commerce_base"), "{hidden}");
        for nobody in ["00000000-0000-7000-8000-000000000000", "testcompany"] {
            let problem = switch(&staff, method.clone(), nobody, "crm").await.problem(404);
            assert_eq!(problem["code"], "tenant_not_found");
        }
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_made_yet_has_no_modules_to_switch() {
    let world = World::new().await;
    let sql = "insert into public.tenants (subdomain, name, schema_name, role_name, bucket_id)
        values ('halfway', 'Halfway', 'tenant_halfway', 'it_t_halfway', 1) returning id::text";
    let tenant: String = world.superuser().await.query_one(sql, &[]).await.unwrap().get(0);
    let staff = world.staff().await;
    for method in [Method::PUT, Method::DELETE] {
        assert_eq!(switch(&staff, method, &tenant, "crm").await.problem(404)["code"], "tenant_not_found");
    }
    let path = format!("/api/v1/tenants/{tenant}/actions/suspend");
    assert_eq!(staff.post(&path, json!({ "reason": "x" })).await.problem(409)["code"], "conflict");
}

const PARCELS: &str = r#"code = "hrms"
name = "Parcels"
requires = ["system_admin"]

[resource.parcels]
table = "hrm_parcel"
readonly = ["state"]

[role.packer]
name = "Packer"
grants = ["parcels.*"]
"#;

const PARCEL: &str = "create table hrm_parcel (
  id uuid primary key default uuid_v7(),
  title text not null,
  state text not null default 'packed'
);";

/// Brings the world to a version of a pack that only a folder holds.
async fn release(world: &World, version: usize) -> Vec<String> {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("parcels-{}-{}", std::process::id(), world.database));
    let pack = folder.join("hrms");
    std::fs::create_dir_all(&pack).unwrap();
    std::fs::write(pack.join("pack.toml"), PARCELS).unwrap();
    std::fs::write(pack.join("V1__parcels.sql"), PARCEL).unwrap();
    for next in 2..=version {
        let sql = format!("comment on table hrm_parcel is 'parcels of version {next}';");
        std::fs::write(pack.join(format!("V{next}__comment.sql")), sql).unwrap();
    }
    let mut config = world.app.config.clone();
    config.packs.path = folder.to_str().unwrap().to_owned();
    let done = migrate_everything(&config).await;
    std::fs::remove_dir_all(folder).unwrap();
    done.unwrap()
}

#[tokio::test]
async fn a_newer_pack_gives_the_rights_of_its_manifest_and_opens_nothing_that_is_off() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    superuser.batch_execute("insert into public.plan_modules values ('starter', 'hrms')").await.unwrap();
    let denied = Err(SqlState::INSUFFICIENT_PRIVILEGE);
    let (look, write) = ("select id from hrm_parcel", "update hrm_parcel set title = title");
    let forge = "update hrm_parcel set state = 'sent'";
    assert_eq!(release(&world, 1).await, ["testcompany: hrms 0 → 1"]);
    let given = rights(&superuser, "tenant_testcompany").await;
    assert_eq!(as_tenant(&superuser, "testcompany", write).await, Ok(()));

    // As if version 1 had given more than version 2 does.
    let more = "grant update (state) on tenant_testcompany.hrm_parcel to it_t_testcompany";
    superuser.batch_execute(more).await.unwrap();
    assert_eq!(as_tenant(&superuser, "testcompany", forge).await, Ok(()));
    release(&world, 2).await;
    assert_eq!(as_tenant(&superuser, "testcompany", forge).await, denied);
    assert_eq!(rights(&superuser, "tenant_testcompany").await, given);

    let off = "insert into public.tenant_module_overrides (tenant_id, module_code, enabled, reason, actor)
        select id, 'hrms', false, 'switched off', 'test' from public.tenants where subdomain = 'testcompany'";
    superuser.batch_execute(off).await.unwrap();
    release(&world, 3).await;
    assert_eq!(as_tenant(&superuser, "testcompany", look).await, Ok(()));
    assert_eq!(as_tenant(&superuser, "testcompany", write).await, denied, "what is off can only be read");
}
