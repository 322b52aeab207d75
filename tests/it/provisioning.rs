//! Tenants come into being: by sign-up on the apex and by operators; whatever is refused leaves nothing behind.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::world::{Answer, World};

/// A name that no other world uses: roles belong to the server, not to a database.
pub fn fresh(world: &World, word: &str) -> String {
    format!("{word}-{}", world.database.rsplit('_').next().unwrap())
}

/// Everything of this database that a creation touches.
pub async fn census(superuser: &Client) -> Value {
    let sql = "select jsonb_build_object(
        'tenants', (select count(*) from public.tenants),
        'subscriptions', (select count(*) from public.tenant_subscriptions),
        'packs', (select count(*) from public.tenant_packs),
        'buckets', (select jsonb_agg(jsonb_build_array(id, tenant_count) order by id) from public.buckets),
        'running', (select count(*) from public.operations where finished_at is null),
        'schemas', (select jsonb_agg(nspname order by nspname) from pg_namespace where nspname like 'tenant%'),
        'locks', (select count(*) from pg_locks where locktype = 'advisory'
          and database = (select oid from pg_database where datname = current_database())))";
    superuser.query_one(sql, &[]).await.unwrap().get(0)
}

async fn role_exists(superuser: &Client, role: &str) -> bool {
    superuser.query_one("select to_regrole($1) is not null", &[&role]).await.unwrap().get(0)
}

fn sign_up_form(subdomain: &str) -> Value {
    json!({
        "company": "Globex",
        "subdomain": subdomain,
        "email": "hank@globex.test",
        "password": "a long passphrase",
        "first_name": "Hank",
    })
}

fn operator_form(subdomain: &str) -> Value {
    json!({ "company": "Globex", "subdomain": subdomain, "plan": "starter", "email": "hank@globex.test" })
}

async fn sign_up(world: &World, form: &Value) -> Answer {
    world.request(Method::POST, "", "/api/v1/signup").json(form).send().await
}

#[tokio::test]
async fn who_signs_up_is_in_the_new_tenant_at_once() {
    let world = World::new().await;
    let name = fresh(&world, "globex");
    let mut form = sign_up_form(&name.to_uppercase());
    form["email"] = json!(" Hank@Globex.test ");
    let answer = sign_up(&world, &form).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["tenant"]["subdomain"], name);
    assert_eq!(body["tenant"]["name"], "Globex");
    assert_eq!(body["url"], body["tenant"]["url"]);
    assert!(body["url"].as_str().unwrap().starts_with(&format!("http://{name}.insula.test")), "{}", body["url"]);

    let token = body["access_token"].as_str().unwrap();
    let me = world.request(Method::GET, &name, "/api/v1/me").bearer(token).send().await.ok();
    assert_eq!(me["email"], "hank@globex.test");
    assert_eq!(me["roles"], json!(["owner"]));
    assert_eq!(me["tenant"]["id"], body["tenant"]["id"]);
    let contact = json!({ "first_name": "Marge", "email": "marge@example.test" });
    let made = world.request(Method::POST, &name, "/api/v1/contacts").bearer(token).json(&contact).send().await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let credentials = json!({ "email": "hank@globex.test", "password": "a long passphrase" });
    let login = world.request(Method::POST, &name, "/api/v1/auth/login").json(&credentials).send().await;
    assert_eq!(login.status, StatusCode::OK, "the password typed at sign-up is the account's");

    let sql = "select s.state || ' ' || s.plan_code || ' ' || date_part('day', s.trial_ends_at - s.created_at)::text
        from public.tenant_subscriptions s join public.tenants t on t.id = s.tenant_id where t.subdomain = $1";
    let terms: String = world.superuser().await.query_one(sql, &[&name]).await.unwrap().get(0);
    assert!(["trialing crm 14", "trialing crm 13"].contains(&terms.as_str()), "{terms}");
}

#[tokio::test]
async fn sign_up_exists_on_the_apex_only() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let before = census(&superuser).await;
    for host in ["acme", "admin", "nobody", "a.b"] {
        let form = sign_up_form(&fresh(&world, "stray"));
        let answer = world.request(Method::POST, host, "/api/v1/signup").json(&form).send().await;
        assert_eq!(answer.problem(404)["code"], "not_found", "{host}");
    }
    assert_eq!(census(&superuser).await, before);
}

#[tokio::test]
async fn a_closed_installation_takes_no_sign_ups_but_operators_make_tenants() {
    let world = World::with(|mut config| {
        config.signup.mode = insula::config::SignupMode::Closed;
        config
    })
    .await;
    let name = fresh(&world, "closed");
    assert_eq!(sign_up(&world, &sign_up_form(&name)).await.problem(403)["code"], "forbidden");
    let made = world.staff().await.post("/api/v1/tenants", operator_form(&name)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
}

#[tokio::test]
async fn operators_make_list_and_show_tenants() {
    let world = World::new().await;
    let (staff, name) = (world.staff().await, fresh(&world, "initech"));
    let mut form = operator_form(&name);
    form["plan"] = json!("crm");
    form["password"] = json!("a long passphrase");
    let made = staff.post("/api/v1/tenants", form).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let location = made.headers["location"].to_str().unwrap();
    let shown = staff.get(location).await.ok();
    assert_eq!(shown, made.json());
    assert_eq!(
        json!([shown["subdomain"], shown["name"], shown["state"], shown["plan"], shown["suspended_reason"]]),
        json!([name, "Globex", "active", "crm", null])
    );
    assert_eq!(shown["packs"].as_array().unwrap().len(), 2, "{shown}");

    let credentials = json!({ "email": "hank@globex.test", "password": "a long passphrase" });
    let login = world.request(Method::POST, &name, "/api/v1/auth/login").json(&credentials).send().await;
    assert_eq!(login.status, StatusCode::OK, "{}", login.text);

    let mut names = Vec::new();
    let mut path = "/api/v1/tenants?limit=2".to_owned();
    loop {
        let page = staff.get(&path).await.ok();
        let data = page["data"].as_array().unwrap();
        names.extend(data.iter().map(|row| row["subdomain"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/tenants?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(
        names,
        ["acme", "greenwood", &*name, "multistore", "techstart", "testcompany"],
        "in pages of two, each tenant once"
    );

    for (path, parameter) in [("?limit=0", "limit"), ("?limit=501", "limit")] {
        let problem = staff.get(&format!("/api/v1/tenants{path}")).await.problem(400);
        assert_eq!(problem["errors"][0]["parameter"], parameter);
    }
    for unknown in ["00000000-0000-7000-8000-000000000000", "acme"] {
        let problem = staff.get(&format!("/api/v1/tenants/{unknown}")).await.problem(404);
        assert_eq!(problem["code"], "tenant_not_found");
    }
}

#[tokio::test]
async fn a_suspended_tenant_is_closed_until_it_is_resumed() {
    let world = World::new().await;
    let (staff, user) = (world.staff().await, world.user("acme", "owner").await);
    let base = format!("/api/v1/tenants/{}/actions", world.tenant_id("acme").await);
    let act = async |action: &str, body: Value| staff.post(&format!("{base}/{action}"), body).await;

    let nothing = act("suspend", json!({ "reason": "  " })).await.problem(422);
    assert_eq!(nothing["errors"][0]["pointer"], "#/reason");
    assert_eq!(act("resume", json!({})).await.problem(409)["code"], "conflict");
    let closed = act("suspend", json!({ "reason": "the bill of May" })).await.ok();
    assert_eq!((&closed["state"], &closed["suspended_reason"]), (&json!("suspended"), &json!("the bill of May")));
    assert_eq!(user.get("/api/v1/contacts").await.problem(403)["code"], "tenant_suspended");
    let credentials = json!({ "email": "owner@acme.test", "password": insula::ops::DEMO_PASSWORD });
    let login = world.request(Method::POST, "acme", "/api/v1/auth/login").json(&credentials).send().await;
    assert_eq!(login.problem(403)["code"], "tenant_suspended");
    assert_eq!(act("suspend", json!({ "reason": "again" })).await.problem(409)["code"], "conflict");
    world.user("techstart", "owner").await.get("/api/v1/contacts").await.ok();

    assert_eq!(act("resume", json!({ "why": "paid" })).await.problem(422)["errors"][0]["pointer"], "#/why");
    let open = act("resume", json!({ "reason": "it is paid" })).await.ok();
    assert_eq!((&open["state"], &open["suspended_reason"]), (&json!("active"), &json!(null)));
    user.get("/api/v1/contacts").await.ok();

    let sql = "select kind || ': ' || (input ->> 'reason') || ', ' || actor from public.operations
        where kind in ('tenant.suspend', 'tenant.resume') and subject = 'acme' and state = 'succeeded' order by created_at";
    let rows = world.superuser().await.query(sql, &[]).await.unwrap();
    let history: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        history,
        [
            "tenant.suspend: the bill of May, operator operator@insula.test",
            "tenant.resume: it is paid, operator operator@insula.test"
        ]
    );
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_like_any_other_request() {
    let world = World::new().await;
    let staff = world.staff().await;
    let id = world.tenant_id("acme").await;
    for path in ["%ff".to_owned(), "%ff/actions/suspend".to_owned(), format!("{id}/modules/%ff")] {
        let method = match path.split('/').nth(1) {
            None => Method::GET,
            Some("actions") => Method::POST,
            Some(_) => Method::PUT,
        };
        let answer = staff.request(method, &format!("/api/v1/tenants/{path}")).json(&json!({})).send().await;
        assert_eq!(answer.problem(400)["detail"], "The path is not valid UTF-8.", "{path}");
    }
}

#[tokio::test]
async fn operators_who_only_look_change_nothing() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let tenant = world.tenant_id("acme").await;
    for role in ["read_only", "billing"] {
        let hire = "insert into public.operators (email, name, role, password_hash)
            select $1 || '@insula.test', $1, $1, password_hash from public.operators limit 1";
        superuser.execute(hire, &[&role]).await.unwrap();
        let staff = world.colleague(role).await;
        let before = census(&superuser).await;
        staff.get("/api/v1/tenants").await.ok();
        let path = format!("/api/v1/tenants/{tenant}");
        for answer in [
            staff.post("/api/v1/tenants", operator_form(&fresh(&world, "quiet"))).await,
            staff.post(&format!("{path}/actions/suspend"), json!({ "reason": "x" })).await,
            staff.post(&format!("{path}/actions/resume"), json!({})).await,
            staff.put(&format!("{path}/modules/crm")).await,
            staff.delete(&format!("{path}/modules/crm")).await,
        ] {
            assert_eq!(answer.problem(403)["code"], "forbidden", "{role}");
        }
        assert_eq!(census(&superuser).await, before);
    }
}

#[tokio::test]
async fn a_name_that_is_not_free_is_refused_and_nothing_is_left() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let (given_up, long_ago) = (fresh(&world, "givenup"), fresh(&world, "longago"));
    for (name, until) in [(&given_up, "now() + interval '1 minute'"), (&long_ago, "now() - interval '1 minute'")] {
        let sql = format!(
            "insert into public.reserved_subdomains (subdomain, reason, until) values ('{name}', 'quarantine', {until})"
        );
        superuser.batch_execute(&sql).await.unwrap();
    }
    let staff = world.staff().await;
    let before = census(&superuser).await;
    for name in ["acme", "ACME", "admin", "www", "api", "mailer-daemon", &given_up] {
        for answer in
            [sign_up(&world, &sign_up_form(name)).await, staff.post("/api/v1/tenants", operator_form(name)).await]
        {
            let problem = answer.problem(409);
            assert_eq!(problem["code"], "conflict", "{name}");
            assert_eq!(problem["errors"][0]["pointer"], "#/subdomain", "{name}: {problem}");
            assert!(!problem.to_string().contains("tenants_"), "no name of ours: {problem}");
        }
        assert_eq!(census(&superuser).await, before, "{name}");
    }
    for name in ["admin", "www", "api", "mailer_daemon"] {
        assert!(!role_exists(&superuser, &format!("it_t_{name}")).await, "{name}");
    }
    assert!(!role_exists(&superuser, &format!("it_t_{}", given_up.replace('-', "_"))).await);
    assert_eq!(sign_up(&world, &sign_up_form(&long_ago)).await.status, StatusCode::CREATED, "the quarantine is over");
}

#[tokio::test]
async fn of_twenty_who_want_a_name_one_gets_it() {
    let world = World::with(|mut config| {
        config.auth.hashing_threads = 20;
        config
    })
    .await;
    let superuser = world.superuser().await;
    let before = census(&superuser).await;
    let form = sign_up_form(&fresh(&world, "rush"));
    let answers = futures_util::future::join_all((0..20).map(|_| sign_up(&world, &form))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert_eq!(made.len(), 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in refused {
        assert_eq!(answer.problem(409)["errors"][0]["pointer"], "#/subdomain");
    }
    let after = census(&superuser).await;
    assert_eq!(after["buckets"][0][1], before["buckets"][0][1].as_i64().unwrap() + 1);
    assert_eq!((&after["running"], &after["locks"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_full_bucket_is_followed_by_a_new_one_with_roles_of_its_own() {
    // An instance of its own: the roles of a second bucket belong to the server.
    let world = World::with(|mut config| {
        config.instance = "overflow".to_owned();
        config.auth.hashing_threads = 20;
        config
    })
    .await;
    let superuser = world.superuser().await;
    superuser.execute("update public.buckets set max_tenants = tenant_count + 1", &[]).await.unwrap();
    // The login of the first bucket, as this instance would name it.
    superuser.batch_execute("create role overflow_b1 nologin").await.unwrap();
    let forms: Vec<Value> = (0..5).map(|n| sign_up_form(&format!("spill-{n}"))).collect();
    let answers = futures_util::future::join_all(forms.iter().map(|form| sign_up(&world, form))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    let counts = census(&superuser).await["buckets"].clone();
    assert_eq!(counts, json!([[1, 6], [2, 4]]), "nobody is counted twice, no third bucket is made");

    let sql = "select rolname || case when rolcanlogin then ' login' else '' end from pg_roles
        where rolname in ('overflow_b2', 'overflow_b2_owner') order by 1";
    let roles: Vec<String> = superuser.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(roles, ["overflow_b2 login", "overflow_b2_owner"]);
    let sql = "select t.subdomain, pg_has_role('overflow_b2', t.role_name, 'member'),
            (select nspowner::regrole::text from pg_namespace where nspname = t.schema_name)
        from public.tenants t where t.bucket_id = 2 order by 1";
    let moved_on = superuser.query(sql, &[]).await.unwrap();
    for row in &moved_on {
        assert!(row.get::<_, bool>(1));
        assert_eq!(row.get::<_, &str>(2), "overflow_b2_owner");
    }
    for (answer, form) in answers.iter().zip(&forms) {
        let (name, token) = (form["subdomain"].as_str().unwrap(), answer.json());
        let second = moved_on.iter().any(|row| row.get::<_, &str>(0) == name);
        if second {
            let token = token["access_token"].as_str().unwrap();
            world.request(Method::GET, name, "/api/v1/contacts").bearer(token).send().await.ok();
        }
    }
    assert_eq!(moved_on.len(), 4);
    world.user("acme", "owner").await.get("/api/v1/contacts").await.ok();
}

#[tokio::test]
async fn a_demo_tenant_that_was_left_empty_is_filled_at_the_next_start() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let seed =
        async || insula::ops::seed_demo(&world.app.platform, &world.app.tenants, &world.app.hasher).await.unwrap();
    let people = "select count(*) from tenant_testcompany.sys_user";
    let leave_the_owner = "set session_replication_role = replica;
        delete from tenant_testcompany.sys_user where email <> 'owner@testcompany.test';
        delete from tenant_testcompany.sys_user_role where user_id not in (select id from tenant_testcompany.sys_user);
        delete from tenant_testcompany.sys_credential where user_id not in (select id from tenant_testcompany.sys_user);
        do $$
        declare
          t text;
        begin
          for t in select tablename from pg_tables where schemaname = 'tenant_testcompany' and tablename ~ '^(com|oms|shop)_(?!tax)' loop
            execute 'delete from tenant_testcompany.' || t;
          end loop;
          delete from tenant_testcompany.sys_user_location;
          delete from tenant_testcompany.sys_location;
          delete from tenant_testcompany.sys_event;
        end $$";
    superuser.batch_execute(leave_the_owner).await.unwrap();
    for _ in 0..2 {
        seed().await;
        assert_eq!(superuser.query_one(people, &[]).await.unwrap().get::<_, i64>(0), 5);
    }
    world.user("testcompany", "manager").await.get("/api/v1/me").await.ok();
}
