//! Customers, rates by date, and payments that settle what is due.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::crm_story::{Office, made};
use super::trade_story::{Company, act, refuses};

/// A posted invoice of 1,000.00 without tax, and the key of what is due for it.
async fn due(company: &Company, customer: &str) -> String {
    let owner = company.user("owner").await;
    let place = company.id("sys_location", "code", "CHN").await;
    let product = company.product(&owner, &format!("P{}", uuid::Uuid::now_v7().simple()), "1000", "GST0").await;
    let invoice = made(owner.post("/api/v1/invoices", json!({ "party_id": customer, "location_id": place })).await);
    let line = json!({ "invoice_id": invoice, "line_no": 1, "item_id": product, "qty": 1 });
    made(owner.post("/api/v1/invoice_lines", line).await);
    act(&owner, "invoices", &invoice, "post", json!({})).await.ok();
    company.id("com_open_item", "doc_id", &invoice).await
}

async fn payment(company: &Company, customer: &str, amount: &str, reference: &str) -> String {
    let accountant = company.user("accountant").await;
    let place = company.id("sys_location", "code", "CHN").await;
    let new = json!({ "direction": "in", "party_id": customer, "location_id": place, "method": "upi", "reference": reference, "amount": amount });
    let payment = made(accountant.post("/api/v1/payments", new).await);
    let posted = act(&accountant, "payments", &payment, "post", json!({})).await.ok();
    assert_eq!(posted["state"], "posted");
    payment
}

#[tokio::test]
async fn a_registered_customer_has_a_gstin_that_is_right_and_of_his_state() {
    let company = Company::with_books().await;
    let manager = company.user("manager").await;
    let (good, wrong) = ("27AAPFU0939F1ZV", "27AAPFU0939F1ZW");
    for (n, (category, gstin, state, faults)) in [
        ("regular", json!(good), json!("27"), 0),
        ("regular", json!(wrong), json!("27"), 1),
        ("regular", json!(good), json!("29"), 1),
        ("regular", Value::Null, json!("29"), 1),
        ("unregistered", json!(good), json!("27"), 1),
        ("unregistered", Value::Null, Value::Null, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let customer = json!({ "code": format!("T{n}"), "name": "Test", "gst_category": category, "gstin": gstin, "state_code": state });
        let answer = manager.post("/api/v1/customers", customer.clone()).await;
        assert_eq!(answer.status.as_u16(), if faults == 0 { 201 } else { 422 }, "{customer} {}", answer.text);
    }
    assert_eq!(company.text("select count(*) from com_party where code like 'T_'").await, "2");
}

#[tokio::test]
async fn rates_and_prices_are_dated_and_never_overlap() {
    let company = Company::with_books().await;
    let accountant = company.user("accountant").await;
    let code = company.id("com_tax_code", "code", "GST12").await;
    for (day, rate) in [("2025-09-21", "12.000"), ("2025-09-22", "5.000"), ("2017-06-30", "")] {
        assert_eq!(company.text(&format!("select com_tax_rate_on('{code}', '{day}')")).await, rate, "{day}");
    }
    let again = json!({ "tax_code_id": code, "rate": 7, "valid": "[2026-01-01,2026-02-01)" });
    refuses(&accountant.post("/api/v1/tax_rates", again).await, 409, "already_used");
    let owner = company.user("owner").await;
    let list = company.id("com_price_list", "code", "RETAIL").await;
    let item = company.id("com_item", "sku", "KET-15L").await;
    let price = json!({ "price_list_id": list, "item_id": item, "unit_price": 1, "valid": "[2026-01-01,2026-02-01)" });
    refuses(&owner.post("/api/v1/prices", price).await, 409, "already_used");
}

#[tokio::test]
async fn what_is_due_is_settled_once_whoever_pays_at_the_same_time() {
    let company = Company::with_books().await;
    let accountant = company.user("accountant").await;
    let customer = company.id("com_party", "code", "C-ANITA").await;
    let item = due(&company, &customer).await;
    let paid = payment(&company, &customer, "5000", "UPI-1").await;
    let allocation = json!({ "payment_id": paid, "open_item_id": item, "amount": 300 });
    let answers = join_all((0..8).map(|_| accountant.post("/api/v1/allocations", allocation.clone()))).await;
    let (done, not): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((done.len(), not.len()), (3, 5));
    for answer in not {
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains("must not settle more than is due"), "{}", answer.text);
    }
    let row = accountant.get(&format!("/api/v1/open_items/{item}")).await.ok();
    assert_eq!((&row["settled"], &row["outstanding"]), (&json!("900.00"), &json!("100.00")));
    // More than is left of a payment is refused too, and so is the due of somebody else.
    let small = payment(&company, &customer, "50", "UPI-2").await;
    let answer = accountant
        .post("/api/v1/allocations", json!({ "payment_id": small, "open_item_id": item, "amount": 60 }))
        .await;
    assert!(answer.text.contains("must not use more than was paid"), "{}", answer.text);
    let other = company.id("com_party", "code", "C-ZOYA").await;
    let theirs = due(&company, &other).await;
    let crossed = json!({ "payment_id": small, "open_item_id": theirs, "amount": 10 });
    refuses(&accountant.post("/api/v1/allocations", crossed).await, 422, "party_currency");
    company.still_adds_up().await;

    // A payment that is taken back opens the due again, and its reference is free for the right one.
    let reference =
        json!({ "direction": "in", "party_id": customer, "method": "upi", "reference": "UPI-1", "amount": 1 });
    refuses(&accountant.post("/api/v1/payments", reference.clone()).await, 409, "already_used");
    act(&accountant, "payments", &paid, "reverse", json!({ "reason": "The bank called it back" })).await.ok();
    let row = accountant.get(&format!("/api/v1/open_items/{item}")).await.ok();
    assert_eq!(row["settled"], "0.00");
    assert_eq!(accountant.post("/api/v1/payments", reference).await.status, 201);
    refuses(&act(&accountant, "payments", &paid, "reverse", json!({ "reason": "x" })).await, 409, "wrong_state");
    refuses(&accountant.post("/api/v1/allocations", allocation).await, 409, "payment_state");
    refuses(&accountant.patch(&format!("/api/v1/payments/{paid}"), json!({ "amount": 1 })).await, 409, "frozen");
    let append = company.db.batch_execute("delete from com_allocation").await.unwrap_err();
    assert_eq!(append.as_db_error().unwrap().detail(), Some("append_only"));
    company.still_adds_up().await;
}

#[tokio::test]
async fn of_a_payment_no_more_is_used_than_came_whatever_it_settles_at_the_same_time() {
    let company = Company::with_books().await;
    let accountant = company.user("accountant").await;
    let customer = company.id("com_party", "code", "C-ANITA").await;
    let mut items = Vec::new();
    for _ in 0..4 {
        items.push(due(&company, &customer).await);
    }
    let paid = payment(&company, &customer, "1000", "UPI-1").await;
    let settle = |n: usize| {
        let allocation = json!({ "payment_id": paid, "open_item_id": items[n % 4], "amount": 300 });
        let accountant = &accountant;
        async move { accountant.post("/api/v1/allocations", allocation).await }
    };
    let answers = join_all((0..8).map(settle)).await;
    let (done, not): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((done.len(), not.len()), (3, 5));
    for answer in not {
        assert!(answer.problem(422).to_string().contains("must not use more than was paid"), "{}", answer.text);
    }
    let row = accountant.get(&format!("/api/v1/payments/{paid}")).await.ok();
    assert_eq!((&row["allocated"], &row["unallocated"]), (&json!("900.00"), &json!("100.00")));
    company.still_adds_up().await;
}

#[tokio::test]
async fn ageing_of_a_past_day_can_be_read_again() {
    let company = Company::with_books().await;
    let accountant = company.user("accountant").await;
    let sum = |rows: Vec<Value>| -> f64 {
        rows.iter().map(|row| row["total"].as_str().unwrap().parse::<f64>().unwrap()).sum()
    };
    let today = company.text("select current_date").await;
    let before = sum(accountant.rows(&format!("/api/v1/reports/ageing?as_of={today}")).await);
    let yesterday = company.text("select current_date - 1").await;
    let earlier = accountant.rows(&format!("/api/v1/reports/ageing?as_of={yesterday}")).await;
    let customer = company.id("com_party", "code", "C-RAHUL").await;
    due(&company, &customer).await;
    assert_eq!(sum(accountant.rows("/api/v1/reports/ageing").await), before + 1000.0);
    assert_eq!(accountant.rows(&format!("/api/v1/reports/ageing?as_of={yesterday}")).await, earlier);
    refuses(&act(&company.user("owner").await, "customers", &customer, "archive", json!({})).await, 409, "open_items");
}

#[tokio::test]
async fn a_contact_with_a_won_deal_becomes_a_customer() {
    let office = Office::open().await;
    let (owner, staff) = (office.user("owner").await, office.world.staff().await);
    let contact = office.text("select c.id::text from crm_contact c join crm_deal d on d.contact_id = c.id join crm_stage s on s.id = d.stage_id
        where s.kind = 'won' and c.state = 'active' and d.party_id is null order by c.id limit 1").await;
    let convert = || act(&owner, "contacts", &contact, "convert_to_customer", json!({}));
    refuses(&convert().await, 409, "module_not_enabled");
    let acme = office.world.tenant_id("acme").await;
    staff.put(&format!("/api/v1/tenants/{acme}/modules/sales")).await.ok();
    convert().await.ok();
    let customers = owner.rows("/api/v1/customers").await;
    assert_eq!((customers.len(), &customers[0]["code"]), (1, &json!("C00001")));
    let deal = format!("/api/v1/deals?contact_id=eq.{contact}&party_id=eq.{}", customers[0]["id"].as_str().unwrap());
    assert!(!owner.rows(&deal).await.is_empty());
    refuses(&convert().await, 409, "already_customer");
}

#[tokio::test]
async fn a_vendor_is_held_released_and_put_aside_when_nothing_is_owed() {
    let company = Company::with_books().await;
    let owner = company.user("owner").await;
    let vendor = made(owner.post("/api/v1/vendors", json!({ "code": "V-TEST", "name": "Test" })).await);
    for (action, state) in [("hold", "on_hold"), ("release", "active"), ("hold", "on_hold")] {
        assert_eq!(act(&owner, "vendors", &vendor, action, json!({})).await.ok()["state"], state);
    }
    refuses(&act(&owner, "vendors", &vendor, "hold", json!({})).await, 409, "wrong_state");
    let owed = format!(
        "set session_replication_role = replica;
         insert into com_open_item (ledger, side, party_id, location_id, doc_type, doc_id, number, doc_date, due_date, currency, amount)
         select 'payable', 'due', '{vendor}', location_id, 'test', '{vendor}', 'T-1', current_date, current_date, currency, 5
         from com_open_item limit 1;
         set session_replication_role = origin"
    );
    company.db.batch_execute(&owed).await.unwrap();
    refuses(&act(&owner, "vendors", &vendor, "archive", json!({})).await, 409, "open_items");
    let paid = format!(
        "set session_replication_role = replica; delete from com_open_item where party_id = '{vendor}'; set session_replication_role = origin"
    );
    company.db.batch_execute(&paid).await.unwrap();
    assert_eq!(act(&owner, "vendors", &vendor, "archive", json!({})).await.ok()["state"], "archived");
    let customer = company.text("select id from com_party where not is_vendor limit 1").await;
    assert_eq!(act(&owner, "vendors", &customer, "hold", json!({})).await.status, 404);
}
