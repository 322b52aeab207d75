//! How somebody becomes a user: invited by who may, by a letter, once, and no more of them than the plan allows.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::{COMPANIES, Office};
use super::letters::{accept, letters_to, settled, sign_in, token};
use super::world::{Answer, User, World};

const PASSWORD: &str = "seven green bottles";

async fn invite(user: &User<'_>, mailbox: &str, roles: &[&str]) -> Answer {
    let body =
        json!({ "email": format!("{mailbox}@example.com"), "first_name": "Nina", "last_name": "Rao", "roles": roles });
    user.post("/api/v1/users", body).await
}

async fn act(user: &User<'_>, whose: &Value, action: &str) -> Answer {
    user.post(&format!("/api/v1/users/{}/actions/{action}", whose["id"].as_str().unwrap()), json!({})).await
}

/// The tokens of all invitations that a mailbox was sent, the oldest first.
async fn tokens(office: &Office, mailbox: &str) -> Vec<String> {
    let address = format!("{mailbox}@example.com");
    letters_to(&office.world, &office.db, "acme", &address).await.iter().map(token).collect()
}

#[tokio::test]
async fn who_is_invited_comes_in_by_the_link_of_the_letter_once() {
    let office = Office::open().await;
    let (world, admin) = (&office.world, office.user("admin").await);
    let body = json!({ "email": " New.Person@Example.com ", "first_name": "Nina", "roles": ["salesperson"] });
    let made = admin.post("/api/v1/users", body).await;
    let user = made.ok();
    assert_eq!(
        (made.status.as_u16(), &user["state"], &user["email"]),
        (201, &json!("invited"), &json!("new.person@example.com"))
    );
    assert_eq!(made.headers["location"], format!("/api/v1/users/{}", user["id"].as_str().unwrap()));

    let letters = letters_to(world, &office.db, "acme", "new.person@example.com").await;
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert!(letter.text.contains(&format!("\n{}/accept#insula_lt_", world.app.tenant_url("acme"))), "{}", letter.text);
    assert_eq!(letter.subject, "Invitation to Acme Industrial Supplies");
    let token = token(letter);
    let kept = office.json_rows("select * from sys_mail m full join sys_link l on l.user_id = m.user_id").await;
    assert!(!kept.concat().contains(&token), "only a digest is kept");

    assert_eq!(sign_in(world, "new.person@example.com", PASSWORD).await.status, 401, "not in yet");
    for (unfit, code) in [
        ("short", "too_short"),
        ("password1", "too_common"),
        ("acme-supplies", "too_obvious"),
        ("new.person1", "too_obvious"),
    ] {
        let refused = accept(world, &token, unfit).await.problem(422);
        assert_eq!(
            (&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]),
            (&json!("#/password"), &json!(code))
        );
    }
    let body = json!({ "token": token, "password": PASSWORD, "first_name": " Nina Maria " });
    let signed_in = super::letters::post(world, "acme", "accept", body).await.ok();
    let bearer = signed_in["access_token"].as_str().unwrap();
    let me = world.request(Method::GET, "acme", "/api/v1/me").bearer(bearer).send().await.ok();
    assert_eq!((&me["roles"], &me["first_name"]), (&json!(["salesperson"]), &json!("Nina Maria")));
    let again = accept(world, &token, "another password").await;
    assert_eq!(again.problem(401)["code"], "invalid_link");
    assert!(sign_in(world, "new.person@example.com", PASSWORD).await.status.is_success());
    assert_eq!(act(&admin, &user, "invite").await.problem(409)["code"], "not_invited");
}

#[tokio::test]
async fn links_lead_to_the_tenant_whatever_a_request_says_about_its_host() {
    let office = Office::open().await;
    let (world, admin) = (&office.world, office.user("admin").await);
    let hostile = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https://evil.test/"),
        ("x-forwarded-server", "evil.test"),
        ("x-original-url", "http://evil.test/"),
        ("x-host", "evil.test"),
        ("forwarded", "host=evil.test;proto=https"),
        ("origin", "http://evil.test"),
        ("referer", "http://evil.test/"),
    ];
    for (at, (name, value)) in hostile.into_iter().enumerate() {
        let body = json!({ "email": format!("n{at}@example.com"), "first_name": "Nina" });
        admin.request(Method::POST, "/api/v1/users").header(name, value).json(&body).send().await.ok();
        let mailbox = ["owner", "admin", "manager"][at % 3];
        let body = json!({ "email": format!("{mailbox}@acme.test") });
        let forgot = world.request(Method::POST, "acme", "/api/v1/auth/forgot-password");
        forgot.header(name, value).json(&body).send().await.ok();
    }
    let apex = world.request(Method::POST, "", "/api/v1/auth/forgot-password").header("x-tenant-subdomain", "ACME");
    apex.json(&json!({ "email": "sales1@acme.test" })).send().await.ok();
    for host in ["evil.test", "acme.insula.test.evil.test", "acme.insula.test@evil.test"] {
        let url = format!("http://127.0.0.1:{}/api/v1/auth/forgot-password", world.port);
        let request = reqwest::Client::new().post(url).header("host", host).header("x-tenant-subdomain", "acme");
        let status = request.json(&json!({ "email": "sales2@acme.test" })).send().await.unwrap().status();
        assert!(status.is_client_error(), "{host}");
    }
    settled(&office.db, "acme").await;
    let letters = world.app.mailer.kept(1000).await.unwrap();
    assert!(letters.len() > hostile.len());
    for letter in &letters {
        let addresses: Vec<&str> = letter.text.split_whitespace().filter(|word| word.contains("://")).collect();
        let [address] = addresses.as_slice() else { panic!("{}", letter.text) };
        assert!(address.starts_with(&format!("{}/", world.app.tenant_url("acme"))), "{address}");
        assert!(!letter.text.contains("evil") && !letter.to.contains("sales2"), "{}", letter.text);
    }
}

#[tokio::test]
async fn of_twenty_who_come_with_one_invitation_one_is_let_in() {
    let office = Office::open().await;
    invite(&office.user("admin").await, "nina", &[]).await.ok();
    let token = &tokens(&office, "nina").await[0];
    let passwords: Vec<String> = (0..20).map(|n| format!("{PASSWORD} {n}")).collect();
    let answers = join_all(passwords.iter().map(|password| accept(&office.world, token, password))).await;
    // More at once than may be hashed are told to come back.
    let winners: Vec<usize> = (0..20).filter(|n| answers[*n].status.is_success()).collect();
    assert!(answers.iter().all(|answer| [200, 401, 429].contains(&answer.status.as_u16())));
    let [winner] = winners.as_slice() else { panic!("{winners:?}") };
    assert!(sign_in(&office.world, "nina@example.com", &passwords[*winner]).await.status.is_success());
    assert_eq!(office.text("select count(*)::text from sys_session s join sys_user u on u.id = s.user_id where u.email = 'nina@example.com'").await, "2");
}

#[tokio::test]
async fn only_the_newest_invitation_counts_for_seven_days_and_while_it_stands() {
    let office = Office::open().await;
    let (world, admin) = (&office.world, office.user("admin").await);
    let user = invite(&admin, "nina", &["salesperson"]).await.ok();
    tokens(&office, "nina").await;
    act(&admin, &user, "invite").await.ok();
    let [first, second] = &tokens(&office, "nina").await[..] else { panic!() };
    assert_eq!(accept(world, first, PASSWORD).await.status, 401, "a newer one was sent");
    office.db.batch_execute("update sys_link set expires_at = now() - interval '1 second'").await.unwrap();
    assert_eq!(accept(world, second, PASSWORD).await.status, 401, "it is over");
    office.db.batch_execute("update sys_link set expires_at = now() + interval '7 days'").await.unwrap();

    act(&admin, &user, "deactivate").await.ok();
    assert_eq!(accept(world, second, PASSWORD).await.status, 401, "he is not wanted any more");
    assert_eq!(act(&admin, &user, "invite").await.problem(409)["code"], "not_invited");
    let back = act(&admin, &user, "reactivate").await.ok();
    assert_eq!(back["state"], "invited", "who never was in is invited again");
    let third = tokens(&office, "nina").await.pop().unwrap();
    assert_eq!(accept(world, second, PASSWORD).await.status, 401);
    assert_eq!(act(&admin, &user, "invite").await.problem(409)["code"], "invited_often");

    let elsewhere = json!({ "token": third, "password": PASSWORD });
    assert_eq!(super::letters::post(world, "techstart", "accept", elsewhere.clone()).await.status, 401);
    assert_eq!(
        super::letters::post(world, "acme", "reset-password", elsewhere).await.status,
        401,
        "it is for coming in"
    );
    assert!(accept(world, &third, PASSWORD).await.status.is_success());
    act(&admin, &user, "deactivate").await.ok();
    assert_eq!(act(&admin, &user, "reactivate").await.ok()["state"], "active", "with his password");
}

#[tokio::test]
async fn nobody_invites_somebody_who_may_do_more_than_he() {
    let office = Office::open().await;
    let (owner, admin) = (office.user("owner").await, office.user("admin").await);
    let sales = office.user("sales1").await;
    assert_eq!(invite(&sales, "nina", &[]).await.problem(403)["code"], "forbidden");
    assert_eq!(invite(&admin, "nina", &["salesperson", "owner"]).await.problem(403)["code"], "not_held");
    for (roles, code) in [
        (json!(["nobody"]), "unknown_reference"),
        (json!("owner"), "invalid_type"),
        (json!([null]), "unknown_reference"),
    ] {
        let body = json!({ "email": "nina@example.com", "first_name": "Nina", "roles": roles });
        let refused = admin.post("/api/v1/users", body).await.problem(422);
        assert!(refused["errors"][0]["pointer"] == "#/roles" && refused.to_string().contains(code), "{refused}");
    }
    for (body, pointer) in [
        (json!({ "email": "nina@example.com" }), "#/first_name"),
        (json!({ "email": "nina", "first_name": "Nina" }), "#/email"),
        (json!({ "email": "nina@example.com", "first_name": "Nina", "state": "active" }), "#/state"),
    ] {
        assert_eq!(admin.post("/api/v1/users", body).await.problem(422)["errors"][0]["pointer"], pointer);
    }
    let many = json!([{ "email": "nina@example.com", "first_name": "Nina" }]);
    assert_eq!(admin.post("/api/v1/users", many).await.status, 422);
    let id = "/api/v1/users/0190a0b0-0000-7000-8000-000000000001";
    assert_eq!(admin.request(Method::PUT, id).json(&json!({ "first_name": "Nina" })).send().await.status, 405);
    let taken = json!({ "email": "SALES1@acme.test", "first_name": "Nina" });
    assert_eq!(admin.post("/api/v1/users", taken).await.problem(409)["errors"][0]["pointer"], "#/email");
    assert_eq!(office.text("select count(*)::text from sys_user where state = 'invited'").await, "0");

    let heir = invite(&owner, "heir", &["owner"]).await.ok();
    assert_eq!(act(&owner, &heir, "transfer-ownership").await.problem(409)["code"], "inactive");
    assert_eq!(act(&admin, &heir, "invite").await.problem(403)["code"], "outranked");
    let me = office.id("owner").await;
    let fewer = owner.post(&format!("/api/v1/users/{me}/actions/set_roles"), json!({ "roles": ["admin"] })).await;
    assert_eq!(fewer.problem(409)["code"], "last_owner", "who is only invited is no owner yet");
}

#[tokio::test]
async fn a_request_that_comes_again_invites_once_and_a_batch_invites_too() {
    let office = Office::open().await;
    let admin = office.user("admin").await;
    let body = json!({ "email": "nina@example.com", "first_name": "Nina" });
    let ask = || admin.request(Method::POST, "/api/v1/users").header("idempotency-key", "k1").json(&body).send();
    let (first, second) = (ask().await, ask().await);
    assert_eq!((first.ok(), first.headers.get("location")), (second.ok(), second.headers.get("location")));
    assert_eq!(tokens(&office, "nina").await.len(), 1);
    let wish = |mailbox: &str| {
        let body = json!({ "email": format!("{mailbox}@example.com"), "first_name": "Om" });
        json!({ "method": "POST", "path": "/api/v1/users", "body": body })
    };
    let both = admin.post("/api/v1/batch", json!({ "requests": [wish("om"), wish("nina")] })).await;
    assert_eq!(both.problem(409)["errors"][0]["pointer"], "#/requests/1/body/email", "{}", both.text);
    assert!(tokens(&office, "om").await.is_empty(), "undone, and no letter sent");
    let one = admin.post("/api/v1/batch", json!({ "requests": [wish("om")] })).await.ok();
    assert_eq!(one["data"][0]["status"], 201);
    assert_eq!(tokens(&office, "om").await.len(), 1);
}

#[tokio::test]
async fn forty_at_once_take_three_places() {
    let world = World::with(|mut config| {
        config.database.wait_ms = 30_000;
        config
    })
    .await;
    let db = world.superuser().await;
    db.batch_execute("set search_path = tenant_acme, insula").await.unwrap();
    let office = Office { world, db, company: COMPANIES[0] };
    let five = "update public.plans set limits = jsonb_set(limits, '{users}', '8') where code = 'crm'";
    office.db.batch_execute(five).await.unwrap();
    let admin = office.user("admin").await;
    let mailboxes: Vec<String> = (0..40).map(|n| format!("nina{n}")).collect();
    let answers = join_all(mailboxes.iter().map(|mailbox| invite(&admin, mailbox, &[]))).await;
    let made: Vec<Value> = answers.iter().filter(|answer| answer.status == 201).map(Answer::ok).collect();
    assert_eq!(made.len(), 3, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        let problem = refused.problem(403);
        let sentence =
            "Your plan allows 8 users, and there are as many. Deactivate one of them, or choose a larger plan.";
        assert_eq!((&problem["code"], &problem["detail"]), (&json!("user_limit_reached"), &json!(sentence)));
    }
    act(&admin, &made[0], "deactivate").await.ok();
    invite(&admin, "om", &[]).await.ok();
    assert_eq!(act(&admin, &made[0], "reactivate").await.problem(403)["code"], "user_limit_reached");
    act(&admin, &made[1], "deactivate").await.ok();
    act(&admin, &made[0], "reactivate").await.ok();
    let counted = "select (taken = (select count(*) from sys_user where state <> 'disabled'))::text from sys_place";
    assert_eq!(office.text(counted).await, "true");

    let six = "update public.plans set limits = jsonb_set(limits, '{users}', '6') where code = 'crm'";
    office.db.batch_execute(six).await.unwrap();
    while act(&admin, &made[2], "deactivate").await.status != 409 {}
    assert_eq!(act(&admin, &made[2], "reactivate").await.status, 403, "over the limit nobody comes, and others stay");
    office.db.batch_execute("update public.plans set limits = '{}' where code = 'crm'").await.unwrap();
    while act(&admin, &made[2], "reactivate").await.status == 403 {}
    assert_eq!(office.text("select state from sys_user where email = 'om@example.com'").await, "invited");
}

#[tokio::test]
async fn without_mail_nobody_is_invited_and_it_is_said() {
    let world = World::with(|mut config| {
        config.mail.url = String::new().into();
        config
    })
    .await;
    let admin = world.user("acme", "admin").await;
    assert_eq!(invite(&admin, "nina", &[]).await.problem(409)["code"], "mail_not_configured");
    for email in ["owner@acme.test", "nobody@acme.test"] {
        assert_eq!(super::letters::forgot(&world, email).await.problem(409)["code"], "mail_not_configured");
    }
    let orders = world.superuser().await.query("select from tenant_acme.sys_mail", &[]).await.unwrap();
    assert!(orders.is_empty());
}
