//! Operators: signing in and out for good, staying signed in, and who changes whom.

use reqwest::Method;
use serde_json::{Value, json};

use super::second::Second;
use super::world::{Answer, User, World};

async fn sign_in(world: &World, mailbox: &str, password: &str) -> Answer {
    let credentials = json!({ "email": format!("{mailbox}@insula.test"), "password": password });
    world.request(Method::POST, "admin", "/api/v1/auth/login").json(&credentials).send().await
}

async fn signed_in(world: &World, mailbox: &str) -> Value {
    sign_in(world, mailbox, insula::ops::DEMO_PASSWORD).await.ok()
}

async fn send(world: &World, tokens: &Value, path: &str, body: Value) -> Answer {
    let token = tokens["access_token"].as_str().unwrap();
    world.request(Method::POST, "admin", path).bearer(token).json(&body).send().await
}

async fn me(world: &World, tokens: &Value) -> u16 {
    let token = tokens["access_token"].as_str().unwrap();
    world.request(Method::GET, "admin", "/api/v1/me").bearer(token).status().await
}

async fn refresh(world: &World, tokens: &Value) -> Answer {
    let body = json!({ "refresh_token": tokens["refresh_token"] });
    world.request(Method::POST, "admin", "/api/v1/auth/refresh").json(&body).send().await
}

/// Another operator with the demo's password.
async fn hire(staff: &User<'_>, mailbox: &str, role: &str) -> String {
    let password = "seven green bottles";
    let form =
        json!({ "email": format!("{mailbox}@insula.test"), "name": mailbox, "role": role, "password": password });
    let made = staff.post("/api/v1/operators", form).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    staff.world().demo_password(mailbox).await;
    assert_eq!(made.headers["location"], format!("/api/v1/operators/{id}"));
    id
}

#[tokio::test]
async fn who_signs_out_is_out_here_or_everywhere_in_every_process() {
    let world = World::new().await;
    let second = Second::over(&world).await;
    let there = async |tokens: &Value| {
        let url = format!("http://127.0.0.1:{}/api/v1/me", second.port);
        let request = second.http.get(url).header("host", "admin.insula.test");
        request.bearer_auth(tokens["access_token"].as_str().unwrap()).send().await.unwrap().status().as_u16()
    };
    let (desk, phone) = (signed_in(&world, "operator").await, signed_in(&world, "operator").await);
    assert_eq!((there(&desk).await, there(&phone).await), (200, 200));
    assert_eq!(send(&world, &desk, "/api/v1/auth/logout", json!({})).await.status, 204);
    assert_eq!((there(&desk).await, me(&world, &desk).await, there(&phone).await), (401, 401, 200));
    assert_eq!(refresh(&world, &desk).await.problem(401)["code"], "invalid_refresh_token");
    let third = signed_in(&world, "operator").await;
    assert_eq!(send(&world, &third, "/api/v1/auth/logout-all", json!({})).await.status, 204);
    assert_eq!((there(&phone).await, there(&third).await), (401, 401));
}

#[tokio::test]
async fn a_refresh_token_of_an_operator_is_good_once() {
    let world = World::new().await;
    let first = signed_in(&world, "operator").await;
    let second = refresh(&world, &first).await.ok();
    assert_eq!((me(&world, &first).await, me(&world, &second).await), (200, 200), "both are of one session");
    let all = futures_util::future::join_all((0..20).map(|_| refresh(&world, &second))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 1, "of many at once one wins");
    assert_eq!((me(&world, &first).await, me(&world, &second).await), (401, 401), "and then the session is dead");
    let tenant = json!({ "email": "owner@acme.test", "password": insula::ops::DEMO_PASSWORD });
    let of_a_user = world.request(Method::POST, "acme", "/api/v1/auth/login").json(&tenant).send().await.ok();
    assert_eq!(refresh(&world, &of_a_user).await.status, 401);
    world.superuser().await.batch_execute("update public.operators set state = 'active'").await.unwrap();
}

#[tokio::test]
async fn an_operators_changed_password_ends_his_other_sessions() {
    let world = World::new().await;
    let (here, there) = (signed_in(&world, "operator").await, signed_in(&world, "operator").await);
    let old = insula::ops::DEMO_PASSWORD;
    let change = |old: &str, new: &str| {
        send(&world, &here, "/api/v1/me/password", json!({ "old_password": old, "password": new }))
    };
    for (typed, new, pointer) in
        [("wrong", "correct horse", "#/old_password"), (old, "short", "#/password"), (old, old, "#/password")]
    {
        assert_eq!(change(typed, new).await.problem(422)["errors"][0]["pointer"], pointer);
    }
    assert_eq!(me(&world, &there).await, 200);
    let next = change(old, "correct horse").await.ok();
    assert_eq!((me(&world, &there).await, me(&world, &next).await), (401, 200));
    assert_eq!(
        (refresh(&world, &there).await.status.as_u16(), refresh(&world, &here).await.status.as_u16()),
        (401, 401)
    );
    assert_eq!(sign_in(&world, "operator", old).await.problem(401)["code"], "invalid_credentials");
    sign_in(&world, "operator", "correct horse").await.ok();
}

#[tokio::test]
async fn an_owner_makes_and_changes_operators_who_are_signed_out_by_it() {
    let world = World::new().await;
    let staff = world.staff().await;
    let ann = hire(&staff, "ann", "support").await;
    let path = format!("/api/v1/operators/{ann}");
    let tokens = signed_in(&world, "ann").await;
    let listed = staff.get("/api/v1/operators").await.ok();
    let emails: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|operator| &operator["email"]).collect();
    assert_eq!(emails, ["ann@insula.test", "operator@insula.test"]);
    assert!(!listed.to_string().contains("argon2"));
    assert_eq!(staff.patch(&path, json!({ "name": "Ann Rao" })).await.ok()["name"], "Ann Rao");
    assert_eq!(me(&world, &tokens).await, 200, "a name is nothing");
    assert_eq!(staff.patch(&path, json!({ "role": "read_only" })).await.ok()["role"], "read_only");
    assert_eq!((me(&world, &tokens).await, refresh(&world, &tokens).await.status.as_u16()), (401, 401));
    let tokens = signed_in(&world, "ann").await;
    assert_eq!(staff.patch(&path, json!({ "state": "disabled" })).await.ok()["state"], "disabled");
    assert_eq!(me(&world, &tokens).await, 401);
    assert_eq!(sign_in(&world, "ann", insula::ops::DEMO_PASSWORD).await.status, 401);
    staff.patch(&path, json!({ "state": "active" })).await.ok();
    assert_eq!(me(&world, &tokens).await, 401, "what ended stays ended");
    for (body, pointer) in [
        (json!({ "role": "king" }), "#/role"),
        (json!({ "name": " " }), "#/name"),
        (json!({ "email": "x@y.zz" }), "#/email"),
    ] {
        assert_eq!(staff.patch(&path, body).await.problem(422)["errors"][0]["pointer"], pointer);
    }
    let twin = json!({ "email": "ANN@insula.test", "name": "x", "role": "owner", "password": "long enough" });
    assert_eq!(staff.post("/api/v1/operators", twin).await.problem(409)["code"], "conflict");
    let bad = json!({ "email": "ann", "name": "", "role": "owner", "password": "long enough" });
    assert_eq!(staff.post("/api/v1/operators", bad).await.problem(422)["errors"].as_array().unwrap().len(), 2);
    let nobody = format!("/api/v1/operators/{}", uuid::Uuid::now_v7());
    assert_eq!(staff.get(&nobody).await.status, 404);
    assert_eq!(staff.patch(&nobody, json!({ "name": "x" })).await.problem(404)["code"], "not_found");
}

#[tokio::test]
async fn the_platform_always_has_an_active_owner() {
    let world = World::new().await;
    let staff = world.staff().await;
    let own = staff.get("/api/v1/me").await.ok()["id"].as_str().unwrap().to_owned();
    let path = |id: &str| format!("/api/v1/operators/{id}");
    for change in [json!({ "state": "disabled" }), json!({ "role": "support" })] {
        assert_eq!(staff.patch(&path(&own), change).await.problem(409)["code"], "last_owner");
    }
    let outside = world.superuser().await;
    assert!(outside.batch_execute("delete from public.operators").await.is_err());
    for round in 0..4 {
        let other = hire(&staff, &format!("owner{round}"), "owner").await;
        let second = world.colleague(&format!("owner{round}")).await;
        let out = |user: &User<'_>, whom: &str| {
            let path = path(whom);
            user.request(Method::PATCH, &path).json(&json!({ "state": "disabled" })).send()
        };
        let (one, two) = tokio::join!(out(&staff, &other), out(&second, &own));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert!(statuses[0] == 200 && [401, 403, 409].contains(&statuses[1]), "one of both stays: {statuses:?}");
        let left = "select count(*) from public.operators where role = 'owner' and state = 'active'";
        assert_eq!(outside.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 1);
        if two.status == 200 {
            return;
        }
    }
}

#[tokio::test]
async fn the_command_line_shuts_operators_out_and_lets_them_in() {
    let world = World::new().await;
    hire(&world.staff().await, "ann", "support").await;
    let tokens = signed_in(&world, "ann").await;
    let run = async |words: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_insula"));
        let done = command.arg("operator").args(words).envs(world.environment()).output().await.unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    assert_eq!(run(&["disable", "ann@insula.test"]).await.0, Some(0));
    assert_eq!(me(&world, &tokens).await, 401);
    assert_eq!(run(&["enable", "Ann@insula.test"]).await.0, Some(0));
    let tokens = signed_in(&world, "ann").await;
    assert_eq!(run(&["set-role", "ann@insula.test", "billing"]).await.0, Some(0));
    assert_eq!(me(&world, &tokens).await, 401);
    assert_eq!(signed_in(&world, "ann").await["user"]["role"], "billing");
    let (code, said) = run(&["disable", "operator@insula.test"]).await;
    assert!(code == Some(1) && said.contains("needs an active owner"), "{said}");
    let (_, said) = run(&["disable", "anna@insula.test"]).await;
    assert!(said.contains("Did you mean `ann@insula.test`?"), "{said}");
}

#[tokio::test]
async fn no_operator_has_an_address_that_no_header_can_hold() {
    let world = World::new().await;
    for email in ["a\u{1}b@insula.test", "a\u{7f}b@insula.test", "ab@insula\0.test\u{8}"] {
        let form = json!({ "email": email, "name": "Ann", "role": "support", "password": "seven green bottles" });
        let refused = world.staff().await.post("/api/v1/operators", form).await.problem(422);
        assert_eq!(refused["errors"][0]["pointer"], "#/email", "{email:?}");
    }
}
