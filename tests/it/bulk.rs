//! Many rows in one request: made, merged, changed and removed, all or none.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::Office;
use super::world::{Answer, User};

const CONTACTS: &str = "/api/v1/contacts";

async fn post(user: &User<'_>, path: &str, prefer: &str, body: Value) -> Answer {
    user.request(Method::POST, path).header("prefer", prefer).json(&body).send().await
}

fn names(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|row| row["first_name"].as_str().unwrap()).collect()
}

fn person(name: &str, number: u32) -> Value {
    json!({ "first_name": name, "phone": format!("+9198{number:08}") })
}

async fn made(office: &Office) -> String {
    office.text("select count(*)::text from crm_contact where phone like '+9198%' and phone < '+91980001'").await
}

#[tokio::test]
async fn rows_come_back_in_the_order_of_the_body_with_their_defaults() {
    let office = Office::open().await;
    let (owner, to) = (office.user("owner").await, office.id("sales1").await);
    let mut rows: Vec<Value> = (0..6).map(|n| person(&format!("P{n}"), n)).collect();
    rows[1]["owner_id"] = json!(to);
    rows[3]["title"] = json!("Buyer");
    rows[4]["owner_id"] = json!(to);
    let list = owner.post(CONTACTS, json!(rows)).await;
    assert_eq!(list.status, 201, "{}", list.text);
    let list = list.ok();
    assert_eq!((&list["object"], names(&list)), (&json!("list"), vec!["P0", "P1", "P2", "P3", "P4", "P5"]));
    let alone = owner.post(CONTACTS, person("Alone", 77)).await.ok();
    assert_eq!((&list["data"][0]["owner_id"], &list["data"][4]["owner_id"]), (&alone["owner_id"], &json!(to)));
    assert_eq!((&list["data"][3]["title"], &list["data"][0]["state"]), (&json!("Buyer"), &json!("active")));
    let id = list["data"][5]["id"].as_str().unwrap();
    assert_eq!(owner.get(&format!("{CONTACTS}/{id}")).await.ok(), list["data"][5]);
    let minimal = post(&owner, CONTACTS, "return=minimal", json!([person("M", 8)])).await;
    assert_eq!((minimal.status.as_u16(), minimal.text.as_str()), (201, ""));
}

#[tokio::test]
async fn every_fault_is_named_by_its_row_and_nothing_is_made() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let bad = json!([person("A", 1), { "fist_name": "B" }, { "first_name": "C", "phone": 5, "id": Uuid::now_v7() }]);
    let problem = owner.post(CONTACTS, bad).await.problem(422);
    let faults: Vec<String> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| format!("{} {}", fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(faults.join("\n"), @r"
    #/1/fist_name unknown_field
    #/1/first_name required
    #/2/phone invalid_type
    #/2/id read_only
    ");
    let many = json!(vec![json!({ "x": 1 }); 200]);
    assert_eq!(owner.post(CONTACTS, many).await.problem(422)["errors"].as_array().unwrap().len(), 50);
    let refused = owner.post(CONTACTS, json!([person("A", 1), { "first_name": "Unreachable" }])).await;
    let problem = refused.problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "#/1/email", "PostgreSQL refuses the second: {problem}");
    assert_eq!(owner.post(CONTACTS, json!([])).await.status, 422);
    assert_eq!(owner.post(CONTACTS, json!([1])).await.status, 422);
    assert_eq!(made(&office).await, "0");
}

#[tokio::test]
async fn csv_and_lines_are_read_too() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let csv = "first_name,phone,title,last_name\r\nRavi,+919800000001,\"Buyer, chief\",\r\n\"R\"\"ani\",+919800000002,,Iyer\r\n";
    let list = owner.request(Method::POST, CONTACTS).body("text/csv; charset=utf-8", csv).send().await.ok();
    assert_eq!(names(&list), ["Ravi", "R\"ani"]);
    assert_eq!((&list["data"][0]["title"], &list["data"][0]["last_name"]), (&json!("Buyer, chief"), &Value::Null));
    let lines = format!("{}\n\n{}\n", person("One", 3), person("Two", 4));
    let list = owner.request(Method::POST, CONTACTS).body("application/x-ndjson", lines).send().await.ok();
    assert_eq!(names(&list), ["One", "Two"]);
    let only = format!("{CONTACTS}?columns=first_name,phone");
    let extra = owner.request(Method::POST, &only).body("text/csv", "first_name,phone,x\nThree,+919800000005,y\n");
    assert_eq!(names(&extra.send().await.ok()), ["Three"]);
    let slip = owner.request(Method::POST, &format!("{CONTACTS}?columns=fist_name")).body("text/csv", csv).send().await;
    assert_eq!(slip.problem(400)["errors"][0]["detail"], "there is no column fist_name; did you mean `first_name`?");
    for (kind, body) in
        [("text/csv", "a,b\n1\n"), ("application/x-ndjson", "{}\nx"), ("text/csv", "first_name\n\u{0}x\n")]
    {
        let answer = owner.request(Method::POST, CONTACTS).body(kind, body).send().await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{kind} {body}: {}", answer.text);
    }
    assert_eq!(made(&office).await, "5");
}

#[tokio::test]
async fn rows_that_are_there_are_merged_or_left_alone() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let (old, new) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let row = |id: &str, name: &str, number| {
        let mut row = person(name, number);
        row["id"] = json!(id);
        row
    };
    let first = post(&owner, CONTACTS, "resolution=merge-duplicates", row(&old, "Old", 1)).await;
    assert_eq!(
        (first.status.as_u16(), &first.headers["preference-applied"]),
        (200, &"resolution=merge-duplicates".parse().unwrap())
    );
    owner.patch(&format!("{CONTACTS}/{old}"), json!({ "title": "Kept" })).await.ok();
    let both = json!([row(&new, "New", 2), row(&old, "Merged", 3)]);
    let list = post(&owner, CONTACTS, "resolution=merge-duplicates", both).await.ok();
    assert_eq!(names(&list), ["New", "Merged"]);
    assert_eq!((&list["data"][1]["title"], &list["data"][1]["row_version"]), (&json!("Kept"), &json!(3)));
    let third = Uuid::now_v7().to_string();
    let list = json!([row(&old, "Ignored", 4), row(&third, "Third", 5)]);
    let list = post(&owner, CONTACTS, "resolution=ignore-duplicates", list).await.ok();
    assert_eq!(names(&list), ["Third"]);
    assert_eq!(owner.get(&format!("{CONTACTS}/{old}")).await.ok()["first_name"], "Merged");
    let none = post(&owner, CONTACTS, "resolution=ignore-duplicates", row(&old, "Ignored", 4)).await;
    assert_eq!(none.status, 204);
    let twice = json!([row(&old, "A", 1), row(&old, "B", 1)]);
    let twice = post(&owner, CONTACTS, "resolution=merge-duplicates", twice).await.problem(422);
    assert_eq!((&twice["errors"][0]["pointer"], &twice["errors"][0]["code"]), (&json!("#/1"), &json!("duplicate")));
    let settings = json!([{ "key": "currency", "value": "USD" }, { "key": "x.y", "value": 1 }]);
    let list = post(&owner, "/api/v1/settings", "resolution=merge-duplicates", settings).await.ok();
    assert_eq!((&list["data"][0]["value"], &list["data"][1]["value"]), (&json!("USD"), &json!(1)));
    let reasons = "/api/v1/lost_reasons?on_conflict=name";
    let reason = json!([{ "name": "Too late" }, { "name": "Too dear" }]);
    let (once, again) = (
        post(&owner, reasons, "resolution=merge-duplicates", reason.clone()).await.ok(),
        post(&owner, reasons, "resolution=ignore-duplicates", reason).await.ok(),
    );
    assert_eq!((once["data"].as_array().unwrap().len(), &again["data"]), (2, &json!([])));
    let path = "/api/v1/stages?on_conflict=pipeline_id,position";
    let deferred = post(&owner, path, "resolution=merge-duplicates", json!([{ "name": "x" }])).await.problem(400);
    assert!(deferred["hint"].as_str().unwrap().contains("name,pipeline_id"), "{deferred}");
    let path = format!("{CONTACTS}?on_conflict=first_name");
    let refused = post(&owner, &path, "resolution=merge-duplicates", person("A", 1)).await.problem(400);
    assert_eq!(
        (&refused["errors"][0]["parameter"], &refused["hint"]),
        (&json!("on_conflict"), &json!("Possible are: id."))
    );
}

#[tokio::test]
async fn merging_needs_the_right_to_change() {
    let office = Office::open().await;
    office.db.batch_execute("delete from sys_role_grant where permission = 'contacts.edit'").await.unwrap();
    let sales = office.user("sales1").await;
    assert_eq!(sales.post(CONTACTS, json!([person("A", 1)])).await.status, 201);
    let refused = post(&sales, CONTACTS, "resolution=merge-duplicates", json!([person("A", 2)])).await.problem(403);
    assert_eq!(refused["hint"], "It needs the permission `contacts.edit`.");
    let sight = office.user("manager").await;
    let hidden = office.user("owner").await.post(CONTACTS, person("Hidden", 9)).await.ok()["id"].clone();
    let mut row = person("Stolen", 9);
    row["id"] = hidden;
    let answer = post(&sight, CONTACTS, "resolution=merge-duplicates", row).await;
    assert_eq!(answer.status, 403, "a row out of sight is not merged: {}", answer.text);
}

#[tokio::test]
async fn all_rows_of_a_query_change_only_as_many_as_expected() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    owner.post(CONTACTS, json!((0..5).map(|n| person("Same", n)).collect::<Vec<_>>())).await.ok();
    let send = async |method: Method, query: &str, prefer: &str| {
        let request = owner.request(method, &format!("{CONTACTS}{query}")).header("prefer", prefer);
        request.json(&json!({ "title": "Changed" })).send().await
    };
    let (query, strict) = ("?first_name=eq.Same", "handling=strict, max-affected=5");
    for prefer in ["", "max-affected=5", "handling=strict"] {
        let problem = send(Method::PATCH, query, prefer).await.problem(400);
        assert_eq!(problem["hint"], "Send the header Prefer: handling=strict, max-affected=<number>.");
    }
    for bad in ["", "?first_name=Same", "?limit=3", "?first_name=eq.Same&order=id", "?q=Same", "?nothing=eq.1"] {
        assert_eq!(send(Method::PATCH, bad, strict).await.status, 400, "{bad}");
        assert_eq!(send(Method::DELETE, bad, strict).await.status, 400, "{bad}");
    }
    let problem = send(Method::PATCH, query, "handling=strict, max-affected=4").await.problem(422);
    assert_eq!(problem["code"], "max_affected_exceeded");
    assert_eq!(owner.rows(&format!("{CONTACTS}{query}&title=eq.Changed")).await.len(), 0);
    let changed = send(Method::PATCH, query, strict).await;
    assert_eq!(changed.headers["preference-applied"], strict);
    assert_eq!(changed.ok()["data"].as_array().unwrap().len(), 5);
    let two = "?first_name=eq.Same&or=(phone.eq.%2B919800000000,phone.eq.%2B919800000001)";
    assert_eq!(send(Method::DELETE, two, "handling=strict, max-affected=1").await.status, 422);
    assert_eq!(send(Method::DELETE, two, "handling=strict, max-affected=2").await.status, 204);
    assert_eq!(owner.rows(&format!("{CONTACTS}{query}")).await.len(), 3);
    let sight = office.user("sales1").await;
    let none = sight.request(Method::PATCH, &format!("{CONTACTS}{query}")).header("prefer", strict);
    let none = none.json(&json!({ "title": "Mine" })).send().await.ok();
    assert_eq!(none["data"], json!([]), "rows out of sight are no rows");
}

#[tokio::test]
async fn ten_thousand_rows_are_one_request() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let rows: Vec<Value> = (0..10_000).map(|n| person("Bulk", n)).collect();
    let began = std::time::Instant::now();
    let answer = post(&owner, CONTACTS, "return=minimal", json!(rows)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    println!("10,000 contacts: {:?}", began.elapsed());
    assert_eq!(made(&office).await, "10000");
}
