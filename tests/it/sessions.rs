//! Staying signed in and signing out: tokens that are good once, what a stolen one brings about, and who ends whose
//! sessions.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::Office;
use super::world::{Answer, User, World};

async fn sign_in(world: &World, mailbox: &str) -> Value {
    let credentials = json!({ "email": format!("{mailbox}@acme.test"), "password": insula::ops::DEMO_PASSWORD });
    world.request(Method::POST, "acme", "/api/v1/auth/login").json(&credentials).send().await.ok()
}

async fn refresh(world: &World, host: &str, token: &Value) -> Answer {
    let body = json!({ "refresh_token": token });
    world.request(Method::POST, host, "/api/v1/auth/refresh").json(&body).send().await
}

async fn me(world: &World, tokens: &Value) -> u16 {
    let token = tokens["access_token"].as_str().unwrap();
    world.request(Method::GET, "acme", "/api/v1/me").bearer(token).send().await.status.as_u16()
}

async fn out(world: &World, tokens: &Value, path: &str) -> u16 {
    let token = tokens["access_token"].as_str().unwrap();
    world.request(Method::POST, "acme", path).bearer(token).send().await.status.as_u16()
}

#[tokio::test]
async fn a_refresh_token_gives_the_next_tokens_once() {
    let world = World::new().await;
    let first = sign_in(&world, "sales1").await;
    let second = refresh(&world, "acme", &first["refresh_token"]).await.ok();
    assert_eq!((&second["user"], &second["expires_in"]), (&first["user"], &json!(900)));
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let third = refresh(&world, "acme", &second["refresh_token"]).await.ok();
    for tokens in [&first, &second, &third] {
        assert_eq!(me(&world, tokens).await, 200, "all are of one session");
    }
    let sessions = world.superuser().await.query("select from tenant_acme.sys_session", &[]).await.unwrap();
    assert_eq!(sessions.len(), 1);
    let reused = refresh(&world, "acme", &first["refresh_token"]).await;
    assert_eq!(reused.problem(401)["code"], "invalid_refresh_token");
    assert_eq!(refresh(&world, "acme", &third["refresh_token"]).await.status, 401, "the family is dead");
    for tokens in [&first, &second, &third] {
        while me(&world, tokens).await != 401 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_good_refresh_token_gives_nothing() {
    let world = World::new().await;
    let outside = world.superuser().await;
    let tokens = sign_in(&world, "sales1").await;
    let neighbour = refresh(&world, "techstart", &tokens["refresh_token"]).await;
    assert_eq!(neighbour.problem(401)["code"], "invalid_refresh_token", "of another house");
    for nothing in [json!(""), json!("insula_rt_x"), json!("x".repeat(5000)), tokens["access_token"].clone()] {
        let refused = refresh(&world, "acme", &nothing).await;
        let told = |answer: &Answer| {
            let mut problem = answer.problem(401);
            problem["request_id"] = Value::Null;
            problem
        };
        assert_eq!(told(&refused), told(&neighbour));
    }
    assert_eq!(refresh(&world, "acme", &json!(7)).await.status, 422);
    outside
        .batch_execute("update tenant_acme.sys_user set state = 'disabled' where email like 'sales1@%'")
        .await
        .unwrap();
    assert_eq!(refresh(&world, "acme", &tokens["refresh_token"]).await.status, 401);
    outside.batch_execute("update tenant_acme.sys_user set state = 'active'").await.unwrap();
    outside
        .batch_execute(
            "update tenant_acme.sys_session set created_at = created_at - interval '1 day', expires_at = now()",
        )
        .await
        .unwrap();
    assert_eq!(refresh(&world, "acme", &tokens["refresh_token"]).await.status, 401, "the session is over");
    let kept = outside
        .query_one("select count(*), bool_and(octet_length(token_hash) = 32) from tenant_acme.sys_refresh_token", &[]);
    let kept = kept.await.unwrap();
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, bool>(1)), (1, true));
}

#[tokio::test]
async fn of_fifty_who_refresh_at_once_one_wins_and_then_the_session_is_dead() {
    let world = World::new().await;
    let tokens = sign_in(&world, "sales1").await;
    let all = (0..50).map(|_| refresh(&world, "acme", &tokens["refresh_token"]));
    let answers = futures_util::future::join_all(all).await;
    let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|answer| [200, 401, 503].contains(&answer.status.as_u16())));
    assert_eq!(refresh(&world, "acme", &won[0].json()["refresh_token"]).await.status, 401);
    while me(&world, &tokens).await != 401 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn who_signs_out_is_out_at_once_here_or_everywhere() {
    let world = World::new().await;
    let (desk, phone, other) =
        (sign_in(&world, "sales1").await, sign_in(&world, "sales1").await, sign_in(&world, "sales2").await);
    assert_eq!(out(&world, &desk, "/api/v1/auth/logout").await, 204);
    assert_eq!((me(&world, &desk).await, me(&world, &phone).await), (401, 200));
    assert_eq!(refresh(&world, "acme", &desk["refresh_token"]).await.status, 401);
    let third = sign_in(&world, "sales1").await;
    assert_eq!(out(&world, &third, "/api/v1/auth/logout-all").await, 204);
    assert_eq!((me(&world, &phone).await, me(&world, &third).await, me(&world, &other).await), (401, 401, 200));
    assert_eq!(out(&world, &third, "/api/v1/auth/logout").await, 401);
}

#[tokio::test]
async fn everybody_ends_his_own_sessions_and_who_manages_users_those_of_others() {
    let office = Office::open().await;
    let (sales1, sales2, admin) =
        (office.user("sales1").await, office.user("sales2").await, office.user("admin").await);
    let only = async |user: &User<'_>| -> String {
        let rows = user.rows("/api/v1/sessions").await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows[0]["id"].as_str().unwrap().to_owned()
    };
    let (own, theirs) = (only(&sales1).await, only(&sales2).await);
    assert!(admin.rows("/api/v1/sessions").await.len() >= 3);
    let revoke = |id: &str| format!("/api/v1/sessions/{id}/actions/revoke");
    assert_eq!(sales1.post(&revoke(&theirs), json!({})).await.status, 404);
    assert_eq!(sales2.get("/api/v1/me").await.status, 200);
    admin.post(&revoke(&theirs), json!({})).await.ok();
    while sales2.get("/api/v1/me").await.status != 401 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(admin.post(&revoke(&theirs), json!({})).await.problem(409)["code"], "over");
    assert!(sales1.post(&revoke(&own), json!({})).await.status.is_success());
}

#[tokio::test]
async fn what_one_may_do_is_told_for_everything_there_is() {
    let office = Office::open().await;
    let (sales, owner) = (office.user("sales1").await, office.user("owner").await);
    let can = sales.get("/api/v1/me/permissions").await.ok();
    let contacts = json!({
        "view": true, "create": true, "edit": true, "delete": false, "report": false, "export": false,
        "actions": { "archive": true, "convert_to_customer": false, "merge": false, "restore": true },
    });
    assert_eq!(can["resources"]["contacts"], contacts, "{can}");
    assert_eq!((&can["resources"]["users"]["view"], &can["reports"]["pipeline"]), (&json!(false), &json!(true)));
    assert!(can["permissions"].as_array().unwrap().contains(&json!("deals.move")));
    let all = owner.get("/api/v1/me/permissions").await.ok();
    for resource in office.resources() {
        let can = &all["resources"][&resource.name];
        assert_eq!(can["view"], resource.methods.contains(&insula::pack::Method::List), "{}", resource.name);
        for action in resource.actions.values() {
            assert_eq!(can["actions"][action.name.as_str()], true);
        }
    }
}

#[tokio::test]
async fn a_changed_password_ends_all_other_sessions() {
    let world = World::new().await;
    let (here, there) = (sign_in(&world, "sales1").await, sign_in(&world, "sales1").await);
    let change = async |old: &str, new: &str| {
        let token = here["access_token"].as_str().unwrap();
        let body = json!({ "old_password": old, "password": new });
        world.request(Method::POST, "acme", "/api/v1/me/password").bearer(token).json(&body).send().await
    };
    let old = insula::ops::DEMO_PASSWORD;
    for (typed, new, pointer) in
        [("wrong", "correct horse", "#/old_password"), (old, "short", "#/password"), (old, old, "#/password")]
    {
        assert_eq!(change(typed, new).await.problem(422)["errors"][0]["pointer"], pointer);
    }
    assert_eq!(me(&world, &there).await, 200);
    let next = change(old, "correct horse").await.ok();
    let last = refresh(&world, "acme", &next["refresh_token"]).await.ok();
    while me(&world, &there).await != 401 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        (me(&world, &last).await, refresh(&world, "acme", &there["refresh_token"]).await.status.as_u16()),
        (200, 401)
    );
    let credentials = json!({ "email": "sales1@acme.test", "password": old });
    let login = world.request(Method::POST, "acme", "/api/v1/auth/login").json(&credentials).send().await;
    assert_eq!(login.status, 401);
}
