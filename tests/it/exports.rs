//! Lists and reports as files.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Answer, User, World};

async fn accepting(user: &User<'_>, path: &str, media: &str) -> Answer {
    user.request(Method::GET, path).header("accept", media).send().await
}

fn cells(csv: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn a_file_holds_what_the_list_holds_in_its_order() {
    let world = World::new().await;
    let manager = world.user("acme", "manager").await;
    let query = "select=id,title,amount,closed_at,contact:contacts(first_name)&order=amount.desc";
    let rows = manager.rows(&format!("/api/v1/deals?{query}")).await;

    let csv = manager.get(&format!("/api/v1/deals?{query}&format=csv")).await;
    assert_eq!(csv.status, StatusCode::OK, "{}", csv.text);
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8; header=present");
    let disposition = csv.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"deals-20") && disposition.ends_with(".csv\""));
    let table = cells(&csv.text);
    assert_eq!(table[0], ["id", "title", "amount", "closed_at", "contact"]);
    assert_eq!(table.len(), rows.len() + 1);
    for (cells, row) in table[1..].iter().zip(&rows) {
        assert_eq!(cells[0], row["id"].as_str().unwrap());
        assert_eq!(cells[2], row["amount"].as_str().unwrap_or_default());
        assert_eq!(cells[3].is_empty(), row["closed_at"].is_null());
        assert!(cells[3].is_empty() || cells[3].ends_with('Z'), "{}", cells[3]);
        assert_eq!(serde_json::from_str::<Value>(&cells[4]).unwrap_or_default(), row["contact"]);
    }

    let lines = accepting(&manager, &format!("/api/v1/deals?{query}"), "application/x-ndjson").await;
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, rows);

    let report = manager.rows("/api/v1/reports/pipeline").await;
    let table = cells(&accepting(&manager, "/api/v1/reports/pipeline", "text/csv").await.text);
    assert_eq!(table.len(), report.len() + 1);
}

#[tokio::test]
async fn a_file_has_no_default_limit_and_takes_a_large_one() {
    let world = World::new().await;
    let (owner, outside) = (world.user("acme", "owner").await, world.superuser().await);
    let many = "set session_replication_role = replica;
        insert into tenant_acme.crm_contact (first_name, email, owner_id)
        select 'Many', 'many' || n || '@rows.test', (select id from tenant_acme.sys_user limit 1) from generate_series(1, 3000) n";
    outside.batch_execute(many).await.unwrap();
    let lines = |text: &str| text.lines().count();
    let path = "/api/v1/contacts?first_name=eq.Many&select=id";
    assert_eq!(lines(&owner.get(&format!("{path}&format=csv")).await.text), 3001);
    assert_eq!(lines(&owner.get(&format!("{path}&format=ndjson&limit=2000")).await.text), 2000);
    let problem = owner.get(&format!("{path}&limit=2000")).await.problem(400);
    assert_eq!(problem["errors"][0]["parameter"], "limit");
}

#[tokio::test]
async fn a_formula_in_a_cell_is_harmless() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    for (at, name) in ["=HYPERLINK(\"http://x\")", "+1", "-1", "@SUM(A1)", "\tx", "plain"].iter().enumerate() {
        let body = json!({ "first_name": name, "last_name": "Formula", "email": format!("f{at}@cells.test") });
        assert_eq!(owner.post("/api/v1/contacts", body).await.status, StatusCode::CREATED);
    }
    let csv = owner.get("/api/v1/contacts?last_name=eq.Formula&select=first_name&order=email&format=csv").await;
    let names: Vec<String> = cells(&csv.text).into_iter().skip(1).map(|mut cells| cells.remove(0)).collect();
    assert_eq!(names, ["'=HYPERLINK(\"http://x\")", "'+1", "'-1", "'@SUM(A1)", "'\tx", "plain"]);
}

#[tokio::test]
async fn a_workbook_is_a_zip_file_of_rows() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    let response = owner.request(Method::GET, "/api/v1/deals?format=xlsx").bytes().await;
    assert_eq!(&response[..4], b"PK\x03\x04");
    assert!(response.len() > 4000, "{} bytes", response.len());
}

#[tokio::test]
async fn who_may_look_may_not_take_everything_along() {
    let world = World::new().await;
    let (sales, admin) = (world.user("acme", "sales1").await, world.user("acme", "admin").await);
    for format in ["csv", "ndjson", "xlsx"] {
        let problem = sales.get(&format!("/api/v1/contacts?format={format}")).await.problem(403);
        assert_eq!(problem["hint"], "It needs the permission `contacts.export`.");
        assert_eq!(admin.request(Method::GET, &format!("/api/v1/contacts?format={format}")).status().await, 200);
    }
    assert_eq!(accepting(&sales, "/api/v1/contacts", "text/csv").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_that_is_not_offered_is_refused_before_anything_is_read() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    assert_eq!(accepting(&owner, "/api/v1/contacts", "text/html").await.problem(406)["code"], "not_acceptable");
    assert_eq!(accepting(&owner, "/api/v1/contacts", "text/html, */*;q=0.1").await.status, StatusCode::OK);
    let problem = owner.get("/api/v1/contacts?format=cvs").await.problem(400);
    assert_eq!(problem["hint"], "Did you mean `csv`?");
    assert_eq!(owner.get("/api/v1/contacts?format=csv&cursor=x").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(owner.get("/api/v1/contacts?format=csv&nothing=eq.1").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn exports_of_one_tenant_leave_room_for_others_and_give_everything_back() {
    let world = World::new().await;
    let (owner, outside) = (world.user("acme", "owner").await, world.superuser().await);
    super::faults::slow_report(&outside, "acme", 30.0).await;
    let slow = || super::faults::in_background(owner.request(Method::GET, "/api/v1/reports/lost_reasons?format=csv"));
    let first = slow();
    super::faults::until_sleeping(&outside, 1).await;
    // The pool of this world is small: one export at once.
    let refused = owner.get("/api/v1/contacts?format=csv").await;
    assert_eq!(refused.problem(429)["code"], "too_many_requests");
    assert!(refused.headers.contains_key("retry-after"));
    first.abort();
    super::faults::until_sleeping(&outside, 0).await;
    assert_eq!(owner.get("/api/v1/contacts?format=csv").await.status, StatusCode::OK);
}
