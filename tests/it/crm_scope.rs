//! Who sees which records of the crm pack: everybody, the own team, or one's own.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::{EVERYBODY, Office, SCOPED, keys, made, rows_seen_by, table};
use super::world::{Answer, User};

/// Rows of a resource that exist and that somebody does not see.
async fn hidden_from(office: &Office, mailbox: &str, resource: &str) -> Vec<String> {
    let seen = rows_seen_by(mailbox, resource);
    let sql = format!("select id::text from {} where id::text not in ({seen}) order by id limit 4", table(resource));
    office.texts(&sql).await.into_iter().collect()
}

/// What a caller can tell two answers apart by, without the key that he sent himself.
fn told(answer: &Answer, key: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (answer.status.as_u16(), headers, answer.text.replace(key, "<key>"))
}

async fn ask(user: &User<'_>, method: &Method, path: &str, body: Option<&Value>) -> Answer {
    let request = user.request(method.clone(), path).header("x-request-id", "same");
    match body {
        Some(body) => request.json(body).send().await,
        None => request.send().await,
    }
}

#[tokio::test]
async fn everybody_lists_exactly_the_records_of_his_scope() {
    let office = Office::open().await;
    office.tangle().await;
    for mailbox in EVERYBODY {
        let user = office.user(mailbox).await;
        for resource in SCOPED {
            let expected = office.texts(&rows_seen_by(mailbox, resource)).await;
            let listed = user.rows(&format!("/api/v1/{resource}")).await;
            assert_eq!(keys(&listed), expected, "{mailbox} lists {resource}");
            assert!(!expected.is_empty());
            // The page size is a way to count: it must count the same rows.
            for (limit, more) in [(expected.len(), false), (expected.len() - 1, true)] {
                let page = user.get(&format!("/api/v1/{resource}?limit={limit}")).await.ok();
                assert_eq!(page["has_more"], more, "{mailbox} counts {resource}");
            }
            for id in expected.iter().take(2) {
                assert_eq!(user.get(&format!("/api/v1/{resource}/{id}")).await.ok()["id"], *id);
            }
        }
    }
    // The tangle made the scopes differ in every way there is.
    for (mailbox, resource, hidden) in [
        ("manager", "contacts", true),
        ("manager", "activities", true),
        ("sales1", "organizations", true),
        ("sales2", "deal_stage_log", true),
        ("admin", "deals", false),
    ] {
        assert_eq!(!hidden_from(&office, mailbox, resource).await.is_empty(), hidden, "{mailbox} {resource}");
    }
}

#[tokio::test]
async fn a_record_out_of_scope_reads_and_acts_like_an_absent_one() {
    let office = Office::open().await;
    office.tangle().await;
    let (absent, colleague) = (Uuid::now_v7().to_string(), office.id("sales2").await);
    let stage = office.stage("Qualified").await;
    let before = office.json_rows("select * from crm_deal").await;
    for mailbox in ["sales1", "sales2", "manager"] {
        let user = office.user(mailbox).await;
        let mine = keys(&user.rows("/api/v1/contacts").await).pop_first().unwrap();
        for resource in SCOPED {
            let mut tries = vec![(Method::GET, String::new(), None)];
            if resource != "deal_stage_log" {
                tries.push((Method::PATCH, String::new(), Some(json!({}))));
                tries.push((Method::PATCH, String::new(), Some(json!({ "owner_id": user_id(&user).await }))));
                tries.push((Method::DELETE, String::new(), None));
            }
            let actions: &[(&str, Value)] = match resource {
                "contacts" => &[("archive", json!({})), ("restore", json!({})), ("merge", json!({ "drop_id": mine }))],
                "organizations" => &[("archive", json!({})), ("restore", json!({}))],
                "deals" => &[("move", json!({ "stage_id": stage })), ("reassign", json!({ "owner_id": colleague }))],
                "activities" => &[("complete", json!({ "outcome": "done" }))],
                _ => &[],
            };
            tries.extend(
                actions.iter().map(|(name, input)| (Method::POST, format!("/actions/{name}"), Some(input.clone()))),
            );
            let hidden = hidden_from(&office, mailbox, resource).await;
            assert!(!hidden.is_empty() || mailbox == "manager" && resource == "organizations", "{mailbox} {resource}");
            for (method, end, body) in &tries {
                let none = ask(&user, method, &format!("/api/v1/{resource}/{absent}{end}"), body.as_ref()).await;
                assert!([403, 404].contains(&none.status.as_u16()), "{method} {resource}{end}: {}", none.text);
                for id in &hidden {
                    let there = ask(&user, method, &format!("/api/v1/{resource}/{id}{end}"), body.as_ref()).await;
                    assert_eq!(told(&there, id), told(&none, &absent), "{mailbox} {method} {resource}{end}");
                }
            }
        }
    }
    assert_eq!(office.json_rows("select * from crm_deal").await, before);
}

async fn user_id(user: &User<'_>) -> String {
    user.get("/api/v1/me").await.ok()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_filter_reaches_beyond_the_scope() {
    let office = Office::open().await;
    office.tangle().await;
    let sales1 = office.user("sales1").await;
    let (sales2, board) =
        (office.id("sales2").await, office.text("select id::text from crm_deal where title = 'Board matter'").await);
    for path in [
        format!("deals?owner_id=eq.{sales2}"),
        "deals?amount=gte.777777&amount=lte.777778".to_owned(),
        "deals?title=eq.Board matter".to_owned(),
        "contacts?first_name=eq.Olga&owner_id=neq.".to_owned() + &office.id("sales1").await,
        format!("contacts?owner_id=eq.{sales2}&order=email.desc.nullslast"),
        format!("activities?deal_id=eq.{board}"),
        format!("deal_stage_log?deal_id=eq.{board}&order=created_at.desc"),
        format!("reports/pipeline?owner_id=eq.{sales2}"),
        "reports/stale_deals?title=eq.Board matter".to_owned(),
    ] {
        let rows = sales1.rows(&format!("/api/v1/{path}")).await;
        assert_eq!(rows, Vec::<Value>::new(), "{path}");
        let owner = office.user("owner").await;
        assert_ne!(owner.rows(&format!("/api/v1/{path}")).await, Vec::<Value>::new(), "{path} finds nothing at all");
    }
    // A filter that all rows meet gives back the scope, no more.
    let all = sales1.rows("/api/v1/deals?id=is.not_null&order=amount.desc").await;
    assert_eq!(keys(&all), office.texts(&rows_seen_by("sales1", "deals")).await);
}

#[tokio::test]
async fn a_salesperson_makes_nothing_for_others_and_gives_nothing_away() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let (me, other, nobody) = (office.id("sales1").await, office.id("sales2").await, Uuid::now_v7().to_string());
    let mine = sales1.rows("/api/v1/contacts").await[0]["id"].clone();
    let bodies = [
        ("contacts", json!({ "first_name": "Mira", "email": "mira@example.com" })),
        ("organizations", json!({ "name": "Mira's" })),
        ("deals", json!({ "title": "Mira's deal", "contact_id": mine })),
        ("activities", json!({ "kind": "call", "subject": "Mira", "contact_id": mine })),
    ];
    for (resource, body) in bodies {
        let path = format!("/api/v1/{resource}");
        let count = format!("select count(*)::text from {}", table(resource));
        let before = office.text(&count).await;
        for owner in [&other, &nobody] {
            let mut body = body.clone();
            body["owner_id"] = json!(owner);
            let problem = sales1.post(&path, body).await.problem(403);
            assert_eq!(
                (&problem["code"], &problem["errors"][0]["pointer"]),
                (&json!("outside_scope"), &json!("#/owner_id"))
            );
            assert_eq!(problem["detail"], "The owner must be you or somebody whose records you see.");
        }
        assert_eq!(office.text(&count).await, before, "{resource}");
        let row = sales1.post(&path, body).await;
        assert_eq!(row.status, 201, "{}", row.text);
        assert_eq!(row.json()["owner_id"], me, "without an owner it is his own");
        let row = format!("{path}/{}", made(row));
        for (method, end, body) in [
            (Method::PATCH, "", json!({ "owner_id": other })),
            (Method::DELETE, "", json!({})),
            (Method::POST, "/actions/reassign", json!({ "owner_id": other })),
        ] {
            let answer = ask(&sales1, &method, &format!("{row}{end}"), Some(&body)).await;
            let expected = if end.is_empty() || resource == "deals" { 403 } else { 404 };
            answer.problem(expected);
        }
        assert_eq!(sales1.get(&row).await.ok()["owner_id"], me);
    }
}

#[tokio::test]
async fn a_reference_to_what_one_does_not_see_is_a_reference_to_nothing() {
    let office = Office::open().await;
    office.tangle().await;
    let sales2 = office.user("sales2").await;
    let absent = Uuid::now_v7().to_string();
    let mine = keys(&sales2.rows("/api/v1/contacts").await).pop_first().unwrap();
    let deal = keys(&sales2.rows("/api/v1/deals").await).pop_first().unwrap();
    let writes = [
        (
            Method::POST,
            "contacts".to_owned(),
            json!({ "first_name": "X", "phone": "+918011111111" }),
            "organization_id",
        ),
        (Method::PATCH, format!("contacts/{mine}"), json!({}), "organization_id"),
        (Method::POST, "deals".to_owned(), json!({ "title": "X" }), "contact_id"),
        (Method::POST, "deals".to_owned(), json!({ "title": "X" }), "organization_id"),
        (Method::PATCH, format!("deals/{deal}"), json!({}), "contact_id"),
        (Method::POST, "activities".to_owned(), json!({ "kind": "email", "subject": "X" }), "deal_id"),
        (Method::POST, "activities".to_owned(), json!({ "kind": "email", "subject": "X" }), "contact_id"),
        (Method::POST, "activities".to_owned(), json!({ "kind": "email", "subject": "X" }), "organization_id"),
    ];
    for (method, path, body, field) in writes {
        let resource = format!("{}s", field.strip_suffix("_id").unwrap());
        let hidden = hidden_from(&office, "sales2", &resource).await[0].clone();
        let with = |key: &str| {
            let mut body = body.clone();
            body[field] = json!(key);
            body
        };
        let path = format!("/api/v1/{path}");
        let none = ask(&sales2, &method, &path, Some(&with(&absent))).await;
        assert_eq!(none.problem(422)["errors"][0]["pointer"], format!("#/{field}"));
        let there = ask(&sales2, &method, &path, Some(&with(&hidden))).await;
        assert_eq!(told(&there, &hidden), told(&none, &absent), "{method} {path} {field}");
    }
    // A merge must not swallow an invisible contact either, nor tell that it exists.
    let manager = office.user("manager").await;
    let hidden = hidden_from(&office, "manager", "contacts").await[0].clone();
    let path = format!("/api/v1/contacts/{mine}/actions/merge");
    let none = ask(&manager, &Method::POST, &path, Some(&json!({ "drop_id": absent }))).await;
    let there = ask(&manager, &Method::POST, &path, Some(&json!({ "drop_id": hidden }))).await;
    assert_eq!(there.problem(422)["errors"][0]["pointer"], "#/drop_id");
    assert_eq!(told(&there, &hidden), told(&none, &absent));
}

#[tokio::test]
async fn a_manager_hands_out_work_inside_the_team_only() {
    let office = Office::open().await;
    let manager = office.user("manager").await;
    let (sales1, sales2, owner) = (office.id("sales1").await, office.id("sales2").await, office.id("owner").await);
    let contact = json!({ "first_name": "Team", "email": "team@example.com", "owner_id": sales1 });
    let contact = made(manager.post("/api/v1/contacts", contact).await);
    let deal = json!({ "title": "Team deal", "contact_id": contact, "owner_id": sales1 });
    let deal = made(manager.post("/api/v1/deals", deal).await);
    let path = format!("/api/v1/deals/{deal}/actions/reassign");
    let row = manager.post(&path, json!({ "owner_id": sales2 })).await.ok();
    assert_eq!(row["owner_id"], sales2);
    assert_eq!(manager.post(&path, json!({ "owner_id": owner })).await.problem(403)["code"], "outside_scope");
    let patch = json!({ "owner_id": owner });
    assert_eq!(
        manager.patch(&format!("/api/v1/contacts/{contact}"), patch).await.problem(403)["code"],
        "outside_scope"
    );

    // The owner of the company takes it over: the manager gets no row back, and does not see it any more.
    let boss = office.user("owner").await;
    assert_eq!(boss.post(&path, json!({ "owner_id": owner })).await.ok()["owner_id"], owner);
    manager.get(&format!("/api/v1/deals/{deal}")).await.problem(404);
    manager.post(&path, json!({ "owner_id": sales1 })).await.problem(404);
}

#[tokio::test]
async fn reporting_lines_are_the_team() {
    let office = Office::open().await;
    let (admin, manager) = (office.user("admin").await, office.user("manager").await);
    let seen = async || keys(&manager.rows("/api/v1/contacts").await);
    let with_both = seen().await;
    assert_eq!(with_both, office.texts(&rows_seen_by("manager", "contacts")).await);
    let line = format!("/api/v1/reporting_lines/{}", office.id("sales1").await);
    assert_eq!(admin.delete(&line).await.status, 204);
    let with_one = seen().await;
    assert_eq!(with_one, office.texts(&rows_seen_by("manager", "contacts")).await);
    assert!(with_one.len() < with_both.len() && with_one.is_subset(&with_both));
}

#[tokio::test]
async fn a_new_role_counts_at_once() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let count = async || sales1.rows("/api/v1/deals").await.len();
    let own = count().await;
    sales1.get("/api/v1/reports/duplicates").await.problem(403);
    for (role, expected) in
        [("admin", rows_seen_by("admin", "deals")), ("salesperson", rows_seen_by("sales1", "deals"))]
    {
        let sql = format!(
            "update sys_user_role set role_id = (select id from sys_role where code = '{role}')
             where user_id = '{}'",
            office.id("sales1").await
        );
        office.db.batch_execute(&sql).await.unwrap();
        let expected = office.texts(&expected).await.len();
        let deadline = Instant::now() + Duration::from_secs(5);
        while count().await != expected {
            assert!(Instant::now() < deadline, "{role} does not count yet");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(count().await, own);
    sales1.get("/api/v1/reports/duplicates").await.problem(403);
}

#[tokio::test]
async fn what_is_seen_only_through_a_deal_is_not_taken_over() {
    let office = Office::open().await;
    office.tangle().await;
    let (sales1, me) = (office.user("sales1").await, office.id("sales1").await);
    for (resource, name) in [("organizations", "name = 'Owner Holdings'"), ("activities", "subject = 'Manager joins'")]
    {
        let id = office.text(&format!("select id::text from {} where {name}", table(resource))).await;
        let path = format!("/api/v1/{resource}/{id}");
        let owner = sales1.get(&path).await.ok()["owner_id"].clone();
        let problem = sales1.patch(&path, json!({ "owner_id": me })).await.problem(403);
        assert_eq!(problem["code"], "outside_scope");
        assert_eq!(problem["detail"], "Only who sees the records of the owner may name another one.");
        assert_eq!(sales1.get(&path).await.ok()["owner_id"], owner, "{resource}");
    }
    // A deal that is given away still takes along the open work of people whom the giver does not see.
    let (manager, visit) =
        (office.user("manager").await, "select owner_id::text from crm_activity where subject = 'Owner calls'");
    let deal = office.text("select id::text from crm_deal where title = 'Works rollout'").await;
    let call = json!({ "kind": "call", "subject": "Owner calls", "deal_id": deal });
    made(office.user("owner").await.post("/api/v1/activities", call).await);
    let to = json!({ "owner_id": office.id("sales2").await });
    manager.post(&format!("/api/v1/deals/{deal}/actions/reassign"), to).await.ok();
    assert_eq!(office.text(visit).await, office.id("sales2").await);
}
