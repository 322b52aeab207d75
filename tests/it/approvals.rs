//! Approval chains: which documents need whose word, who may give it, and in which order.

use insta::assert_snapshot;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::{Office, keys, made, refusal};
use super::world::{Answer, User};

/// Two levels: the first from 1,000 on by whom may reassign deals (managers), the second from 10,000 on by whom may
/// set up the crm (administrators).
async fn rules(office: &Office) {
    let admin = office.user("admin").await;
    for (level, min_amount, permission) in [(1, "1000", "deals.reassign"), (2, "10000.00", "crm.settings")] {
        let rule =
            json!({ "doc_type": "discount", "level": level, "min_amount": min_amount, "permission": permission });
        made(admin.post("/api/v1/approval_rules", rule).await);
    }
}

/// Sends a document for approval, as an action of its pack would; gives its steps by level.
async fn request(office: &Office, mailbox: &str, amount: &str) -> Vec<String> {
    let (user, document) = (office.id(mailbox).await, Uuid::now_v7());
    let sql = format!(
        "begin; set local role it_b1_owner; set local app.user_id = '{user}';
         select sys_request_approval('discount', '{document}', {amount}); commit"
    );
    office.db.batch_execute(&sql).await.unwrap();
    let steps = format!("select id::text from sys_approval where doc_id = '{document}' order by level");
    office.db.query(&steps, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn decide(user: &User<'_>, step: &str, approve: bool) -> Answer {
    let input = json!({ "approve": approve, "comment": "As discussed" });
    user.post(&format!("/api/v1/approvals/{step}/actions/decide"), input).await
}

async fn states(office: &Office, steps: &[String]) -> String {
    let list = steps.join("','");
    office.text(&format!("select string_agg(state, ' ' order by level) from sys_approval where id in ('{list}')")).await
}

#[tokio::test]
async fn the_amount_decides_how_many_levels_a_document_needs() {
    let office = Office::open().await;
    rules(&office).await;
    for (amount, levels) in [("999.99", 0), ("1000", 1), ("9999.99", 1), ("10000", 2), ("null", 2)] {
        assert_eq!(request(&office, "sales1", amount).await.len(), levels, "{amount}");
    }
    let admin = office.user("admin").await;
    let mut said = String::new();
    for rule in [
        json!({ "doc_type": "discount", "level": 1, "permission": "deals.edit" }),
        json!({ "doc_type": "discount", "level": 6, "min_amount": "-1", "permission": "Everything" }),
        json!({ "doc_type": " ", "level": 3, "permission": "deals.edit" }),
    ] {
        said.push_str(&refusal(&admin.post("/api/v1/approval_rules", rule).await));
        said.push('\n');
    }
    assert_snapshot!(said, @r"
    409 conflict: doc_type, level already has a rule for this level.
      #/doc_type already_used: already has a rule for this level
      #/level already_used: already has a rule for this level
    422 validation_failed: 1 field needs attention.
      #/level invalid_value: must be from 1 to 5
    422 validation_failed: 1 field needs attention.
      #/doc_type invalid_value: must have 1 to 100 characters
    ");
    office.user("manager").await.get("/api/v1/approval_rules").await.problem(403);
}

#[tokio::test]
async fn two_levels_are_decided_in_order_by_those_who_may() {
    let office = Office::open().await;
    rules(&office).await;
    let (manager, admin) = (office.user("manager").await, office.user("admin").await);
    let steps = request(&office, "sales1", "25000").await;
    // Each sees the steps that wait for him; a step of others reads like none.
    assert_eq!(keys(&manager.rows("/api/v1/approvals").await), [steps[0].clone()].into());
    assert_eq!(keys(&admin.rows("/api/v1/approvals").await), steps.iter().cloned().collect());
    decide(&manager, &steps[1], true).await.problem(404);
    office.user("sales1").await.get("/api/v1/approvals").await.problem(403);

    assert_snapshot!(refusal(&decide(&admin, &steps[1], true).await), @"409 level_order: A lower level has not approved yet.");
    let first = decide(&manager, &steps[0], true).await.ok();
    let decided = ["state", "comment", "decided_by"].map(|column| first[column].as_str().unwrap().to_owned());
    assert_eq!(decided, ["approved".to_owned(), "As discussed".to_owned(), office.id("manager").await]);
    assert_snapshot!(refusal(&decide(&admin, &steps[0], false).await), @"409 decided: This is already approved.");
    assert_eq!(decide(&admin, &steps[1], true).await.ok()["state"], "approved");
    assert_eq!(states(&office, &steps).await, "approved approved");
    let missing = manager.post(&format!("/api/v1/approvals/{}/actions/decide", steps[0]), json!({})).await;
    assert_eq!(missing.problem(422)["errors"][0]["pointer"], "#/approve");
}

#[tokio::test]
async fn a_rejection_ends_the_round() {
    let office = Office::open().await;
    rules(&office).await;
    let manager = office.user("manager").await;
    let steps = request(&office, "sales1", "25000").await;
    assert_eq!(decide(&manager, &steps[0], false).await.ok()["state"], "rejected");
    assert_eq!(states(&office, &steps).await, "rejected withdrawn");
    let admin = office.user("admin").await;
    assert_eq!(decide(&admin, &steps[1], true).await.problem(409)["code"], "decided");
}

#[tokio::test]
async fn who_asks_does_not_answer() {
    let office = Office::open().await;
    rules(&office).await;
    let (manager, admin) = (office.user("manager").await, office.user("admin").await);
    let steps = request(&office, "manager", "25000").await;
    // He sees both, because he asked; the first he may not decide himself, the second he has no permission for.
    assert_eq!(manager.rows("/api/v1/approvals").await.len(), 2);
    assert_snapshot!(refusal(&decide(&manager, &steps[0], true).await), @"403 self_approval: Who asks for an approval cannot give it.");
    assert_snapshot!(refusal(&decide(&manager, &steps[1], true).await), @"403 forbidden: This needs the permission crm.settings.");
    assert_eq!(states(&office, &steps).await, "pending pending");
    let rule = admin.rows("/api/v1/approval_rules?level=eq.1").await[0]["id"].as_str().unwrap().to_owned();
    admin.patch(&format!("/api/v1/approval_rules/{rule}"), json!({ "allow_self": true })).await.ok();
    assert_eq!(decide(&manager, &steps[0], true).await.ok()["state"], "approved");
}

#[tokio::test]
async fn of_two_who_decide_at_once_one_is_late() {
    let office = Office::open().await;
    rules(&office).await;
    let (manager, admin) = (office.user("manager").await, office.user("admin").await);
    for _ in 0..5 {
        let steps = request(&office, "sales1", "5000").await;
        let (yes, no) = tokio::join!(decide(&manager, &steps[0], true), decide(&admin, &steps[0], false));
        let mut statuses = [yes.status.as_u16(), no.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", yes.text, no.text);
        let winner = if yes.status == 200 { "approved" } else { "rejected" };
        assert_eq!(states(&office, &steps).await, winner);
    }
}

#[tokio::test]
async fn ageing_counts_what_waits_for_the_reader() {
    let office = Office::open().await;
    rules(&office).await;
    let (manager, admin) = (office.user("manager").await, office.user("admin").await);
    for amount in ["5000", "25000", "26000"] {
        request(&office, "sales1", amount).await;
    }
    let ageing = async |user: &User<'_>| {
        let rows = user.rows("/api/v1/reports/approval_ageing?order=permission").await;
        rows.iter().map(|row| (row["permission"].clone(), row["pending"].clone())).collect::<Vec<(Value, Value)>>()
    };
    assert_eq!(ageing(&admin).await, [(json!("crm.settings"), json!(2)), (json!("deals.reassign"), json!(3))]);
    assert_eq!(ageing(&manager).await, [(json!("deals.reassign"), json!(3))]);
    // The second level waits from the moment the first has decided.
    let day_ago = "update sys_approval set requested_at = now() - interval '2 days'";
    office.db.batch_execute(day_ago).await.unwrap();
    let step = office.text("select id::text from sys_approval where level = 1 and doc_id = (select min(doc_id::text)::uuid from sys_approval where level = 2)").await;
    decide(&manager, &step, true).await.ok();
    let rows = admin.rows("/api/v1/reports/approval_ageing?permission=eq.crm.settings").await;
    let (youngest, oldest) = (rows[0]["youngest"].as_str().unwrap(), rows[0]["oldest"].as_str().unwrap());
    assert!(!youngest.contains("day") && oldest.starts_with("2 days"), "{youngest} {oldest}");
    let late = admin.rows("/api/v1/reports/approval_ageing?oldest=gt.1 day&youngest=lt.1 day").await;
    assert_eq!(late.len(), 1);
    let problem = admin.get("/api/v1/reports/approval_ageing?oldest=gt.a while").await.problem(400);
    assert_eq!(problem["errors"][0]["parameter"], "oldest");
    office.user("sales1").await.get("/api/v1/reports/approval_ageing").await.problem(403);
}
