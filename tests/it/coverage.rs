//! Every operation tried as everybody who may not. The operations come from the route tables and the catalogue: what is
//! added there is tried here without a word, and no refusal costs a connection to the tenant's data.

use std::collections::{BTreeMap, BTreeSet};

use insula::http::routes::{Policy, Route, operator_routes, tenant_routes};
use reqwest::Method;

use crate::every_operation::{
    MANDATORY, OWNERSHIP, Operation, attempt, expect, operator_operations, tenant_operations,
};
use crate::world::World;

/// Tenant routes for anybody. These lists may only shrink.
const PUBLIC: [&str; 9] = [
    "GET /accept",
    "GET /forgot-password",
    "GET /reset-password",
    "POST /api/v1/auth/accept",
    "POST /api/v1/auth/forgot-password",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/reset-password",
    "POST /api/v1/signup",
];
/// Operator routes for anybody.
const OPERATOR_PUBLIC: [&str; 2] = ["POST /api/v1/auth/login", "POST /api/v1/auth/refresh"];
/// What every host says about the API: to anybody the part that is for anybody.
const DOCUMENTS: [&str; 7] = [
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/{asset}",
    "GET /redoc",
    "POST /redoc",
    "GET /problems",
    "GET /problems/{code}",
];
/// Tenant routes that need no right besides being signed in.
const RIGHTLESS: [&str; 12] = [
    "GET /api/v1",
    "GET /api/v1/me",
    "GET /api/v1/me/permissions",
    "GET /api/v1/modules",
    "GET /api/v1/me/totp",
    "POST /api/v1/me/totp",
    "DELETE /api/v1/me/totp",
    "POST /api/v1/me/totp/confirm",
    "POST /api/v1/me/totp/recovery-codes",
    "POST /api/v1/me/password",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/logout-all",
];

/// Connections of the buckets' logins, which alone reach tenants' rows on behalf of users.
async fn bucket_connections(world: &World) -> i64 {
    let sql = "select count(*) from pg_stat_activity a join public.buckets b on b.login_role = a.usename
        where a.datname = current_database()";
    world.superuser().await.query_one(sql, &[]).await.unwrap().get(0)
}

/// Users of `acme` and operators made by hand, with the demo's password.
const PEOPLE: &str = "
    set search_path = tenant_acme, insula;
    insert into sys_role (code, name) values ('nothing', 'No rights at all');
    insert into sys_user (email, first_name) values ('powerless@acme.test', 'Powerless');
    insert into sys_user_role select u.id, r.id from sys_user u, sys_role r
      where u.email = 'powerless@acme.test' and r.code = 'nothing';
    insert into sys_credential (user_id, password_hash)
      select p.id, c.password_hash from sys_user p, sys_user o join sys_credential c on c.user_id = o.id
      where p.email = 'powerless@acme.test' and o.email = 'owner@acme.test';
    insert into public.operators (email, name, role, password_hash)
      select r || '@insula.test', r, r, o.password_hash from public.operators o, unnest(array['support', 'billing', 'read_only']) r;";

async fn with_people(world: &World) {
    world.superuser().await.batch_execute(PEOPLE).await.unwrap();
}

/// Switches on whatever `acme` does not have yet, so that modules are no reason to refuse.
async fn with_every_module(world: &World) {
    let (staff, acme) = (world.staff().await, world.tenant_id("acme").await);
    for pack in world.app.engine.catalog().packs().iter().filter(|pack| !pack.manifest.hidden) {
        if ![MANDATORY, "crm"].contains(&&*pack.manifest.code) {
            staff.put(&format!("/api/v1/tenants/{acme}/modules/{}", pack.manifest.code)).await.ok();
        }
    }
}

#[test]
fn the_exceptions_only_shrink() {
    let names = |routes: Vec<Route>, policy: Policy| -> BTreeSet<String> {
        let all = routes.into_iter().filter(|route| route.policy == policy);
        all.map(|route| format!("{} {}", route.method, route.path)).collect()
    };
    let set = |list: &[&str]| -> BTreeSet<String> { list.iter().map(|&name| name.to_owned()).collect() };
    assert_eq!(names(tenant_routes(), Policy::Public), set(&[&PUBLIC[..], &DOCUMENTS].concat()));
    assert_eq!(names(tenant_routes(), Policy::SignedIn), set(&RIGHTLESS));
    assert_eq!(names(operator_routes(), Policy::Public), set(&[&OPERATOR_PUBLIC[..], &DOCUMENTS].concat()));
}

#[tokio::test]
async fn nobody_and_strangers_get_nowhere() {
    let world = World::new().await;
    let (stranger, operator) = (world.token("techstart", "owner").await, world.operator().await);
    for operation in tenant_operations(world.app.engine.catalog()) {
        for token in [None, Some("garbage"), Some(operator.as_str())] {
            expect(&attempt(&world, "acme", &operation, token).await, &operation, 401, "unauthenticated");
        }
        if operation.method == Method::GET {
            assert_eq!(
                world.request(Method::HEAD, "acme", &operation.path).send().await.status,
                401,
                "HEAD {}",
                operation.path
            );
        }
        expect(&attempt(&world, "acme", &operation, Some(&stranger)).await, &operation, 403, "tenant_mismatch");
    }
    let unknown =
        Operation { method: Method::GET, path: "/api/v1/nothing".into(), right: None, offered: false, body: None };
    expect(&attempt(&world, "acme", &unknown, None).await, &unknown, 401, "unauthenticated");
    assert_eq!(bucket_connections(&world).await, 0, "a refusal reached for the tenant's data");
}

#[tokio::test]
async fn without_the_right_the_permission_is_named_and_nothing_else_happens() {
    let world = World::new().await;
    with_people(&world).await;
    with_every_module(&world).await;
    let powerless = world.token("acme", "powerless").await;
    let is_own = |operation: &Operation| operation.right.as_ref().is_some_and(|(_, need)| need == OWNERSHIP);
    let (own, others): (Vec<_>, Vec<_>) =
        tenant_operations(world.app.engine.catalog()).into_iter().partition(|operation| is_own(operation));
    for operation in others.into_iter().filter(Operation::leaves_signed_in) {
        let answer = attempt(&world, "acme", &operation, Some(&powerless)).await;
        match &operation.right {
            Some((_, permission)) => {
                expect(&answer, &operation, 403, "forbidden");
                let hint = answer.json()["hint"].as_str().unwrap().to_owned();
                assert_eq!(hint, format!("It needs the permission `{permission}`."), "{}", operation.path);
            }
            None => assert_eq!(answer.status, 200, "{}: {}", operation.path, answer.text),
        }
    }
    assert_eq!(bucket_connections(&world).await, 0, "a refusal reached for the tenant's data");
    for operation in own {
        expect(&attempt(&world, "acme", &operation, Some(&powerless)).await, &operation, 404, "not_found");
    }
    let owner = world.user("acme", "owner").await;
    owner.get("/api/v1/contacts").await.ok();
    assert!(bucket_connections(&world).await > 0, "an answer comes from the tenant's data");
}

#[tokio::test]
async fn a_module_that_is_off_says_so_in_the_promised_words() {
    let world = World::new().await;
    let (owner, staff) = (world.token("acme", "owner").await, world.staff().await);
    let acme = world.tenant_id("acme").await;
    assert_eq!(staff.delete(&format!("/api/v1/tenants/{acme}/modules/crm")).await.status, 204);
    assert_eq!(staff.delete(&format!("/api/v1/tenants/{acme}/modules/{MANDATORY}")).await.status, 409);
    let mut tried = BTreeMap::new();
    for operation in tenant_operations(world.app.engine.catalog()) {
        let Some((module, _)) = operation.right.as_ref().filter(|(module, _)| module != MANDATORY) else { continue };
        let answer = attempt(&world, "acme", &operation, Some(&owner)).await;
        expect(&answer, &operation, 403, "module_not_enabled");
        let words = format!("Module '{module}' is not enabled for your account. Please upgrade your subscription.");
        assert_eq!(answer.json()["detail"], words);
        *tried.entry(module.clone()).or_insert(0) += 1;
    }
    assert!(tried["crm"] > 40, "{tried:?}");
    assert_eq!(bucket_connections(&world).await, 0, "a refusal reached for the tenant's data");
}

#[tokio::test]
async fn the_kill_switch_turns_every_module_off() {
    let world = World::new().await;
    world.superuser().await.execute("update public.modules set kill_switch = true", &[]).await.unwrap();
    let owner = world.token("acme", "owner").await;
    for operation in tenant_operations(world.app.engine.catalog()).into_iter().filter(Operation::leaves_signed_in) {
        let answer = attempt(&world, "acme", &operation, Some(&owner)).await;
        match operation.right {
            Some(_) => expect(&answer, &operation, 403, "module_not_enabled"),
            None => assert_eq!(answer.status, 200, "{}: {}", operation.path, answer.text),
        }
    }
    assert_eq!(bucket_connections(&world).await, 0, "a refusal reached for the tenant's data");
}

#[tokio::test]
async fn operators_routes_are_closed_to_everybody_else() {
    let world = World::new().await;
    with_people(&world).await;
    let owner = world.token("acme", "owner").await;
    for (operation, policy) in operator_operations(&world).await {
        for token in [None, Some("garbage"), Some(owner.as_str())] {
            expect(&attempt(&world, "admin", &operation, token).await, &operation, 401, "unauthenticated");
        }
        // On a tenant's host the same address means something of the tenant, or nothing.
        assert!(!attempt(&world, "acme", &operation, None).await.status.is_success(), "{}", operation.path);
        for mailbox in ["billing", "read_only"] {
            let token = world.operator_token(mailbox).await;
            let answer = attempt(&world, "admin", &operation, Some(&token)).await;
            match policy {
                Policy::TenantAdmin | Policy::PlatformOwner => expect(&answer, &operation, 403, "forbidden"),
                Policy::OperatorSelf => assert!([204, 400].contains(&answer.status.as_u16()), "{}", answer.text),
                _ => assert_eq!(answer.status, 200, "{}: {}", operation.path, answer.text),
            }
        }
    }
    let untouched = "select count(*) from public.tenants where state = 'active'";
    assert_eq!(world.superuser().await.query_one(untouched, &[]).await.unwrap().get::<_, i64>(0), 5);
    assert_eq!(bucket_connections(&world).await, 0, "a refusal reached for the tenant's data");
}

#[tokio::test]
async fn every_role_of_operators_may_what_it_should_and_nothing_else() {
    let world = World::new().await;
    with_people(&world).await;
    for (mailbox, tenants, operators) in
        [("operator", true, true), ("support", true, false), ("billing", false, false), ("read_only", false, false)]
    {
        for (operation, policy) in operator_operations(&world).await {
            let may = match policy {
                Policy::TenantAdmin => tenants,
                Policy::PlatformOwner => operators,
                _ => true,
            };
            let token = world.operator_token(mailbox).await;
            let answer = attempt(&world, "admin", &operation, Some(&token)).await;
            let what = format!("{mailbox}: {} {}: {} {}", operation.method, operation.path, answer.status, answer.text);
            assert_eq!(answer.status != 403, may, "{what}");
            assert!(answer.status.as_u16() < 500 && answer.status != 401, "{what}");
            let looks = operation.method == Method::GET;
            assert!(looks || tenants || policy == Policy::OperatorSelf || !answer.status.is_success(), "{what}");
        }
    }
}

#[tokio::test]
async fn what_a_resource_does_not_offer_is_405_even_for_the_owner() {
    let world = World::new().await;
    with_every_module(&world).await;
    let owner = world.token("acme", "owner").await;
    let operations = tenant_operations(world.app.engine.catalog());
    let missing: Vec<&Operation> = operations.iter().filter(|operation| !operation.offered).collect();
    assert!(!missing.is_empty());
    for operation in missing {
        expect(&attempt(&world, "acme", operation, Some(&owner)).await, operation, 405, "method_not_allowed");
    }
    assert_eq!(bucket_connections(&world).await, 0, "a refusal reached for the tenant's data");
}

#[tokio::test]
async fn a_verb_without_a_route_is_405_with_the_verbs_that_there_are() {
    let world = World::new().await;
    let faces = [
        ("acme", tenant_routes(), world.token("acme", "owner").await),
        ("admin", operator_routes(), world.operator().await),
    ];
    for (host, routes, token) in faces {
        let mut verbs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for route in &routes {
            let there = verbs.entry(route.path).or_default();
            there.insert(route.method.to_string());
            if route.method == Method::GET {
                there.insert("HEAD".to_owned());
            }
        }
        for (path, there) in verbs {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
                if there.contains(method.as_str()) {
                    continue;
                }
                let path = path.replace(['{', '}'], "");
                let operation = Operation { method, path, right: None, offered: false, body: None };
                let answer = attempt(&world, host, &operation, Some(&token)).await;
                expect(&answer, &operation, 405, "method_not_allowed");
                let allow = answer.headers["allow"].to_str().unwrap();
                let allowed: BTreeSet<String> = allow.split(',').map(|verb| verb.trim().to_owned()).collect();
                assert_eq!(allowed, there, "{} {}", operation.method, operation.path);
            }
        }
    }
}
