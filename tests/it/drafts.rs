//! A draft goes with its lines, for who may see it; what is no draft any more stays with all of them.

use serde_json::{Value, json};

use super::crm_story::made;
use super::school::School;
use super::trade_story::{Company, act, refuses};
use super::world::User;

/// Deletes a document that has lines, and looks for them.
async fn goes_with_its_lines(user: &User<'_>, document: &str, id: &str, lines: &str) {
    assert!(!user.rows(&format!("/api/v1/{lines}=eq.{id}")).await.is_empty(), "{document} has lines");
    let gone = user.delete(&format!("/api/v1/{document}/{id}")).await;
    assert_eq!(gone.status, 204, "{document}: {}", gone.text);
    assert_eq!(user.rows(&format!("/api/v1/{lines}=eq.{id}")).await, Vec::<Value>::new(), "{document}");
}

#[tokio::test]
async fn a_draft_of_a_company_goes_with_its_lines() {
    let company = Company::with_books().await;
    let owner = company.user("owner").await;
    let (place, customer) =
        (company.id("sys_location", "code", "BLR").await, company.id("com_party", "code", "C-LOTUS").await);
    let item = company.id("com_item", "sku", "KNF-SET").await;
    let of = json!({ "party_id": customer, "location_id": place, "valid_until": "2999-12-31" });
    let quote = made(owner.post("/api/v1/quotes", of.clone()).await);
    made(
        owner.post("/api/v1/quote_lines", json!({ "quote_id": quote, "line_no": 1, "item_id": item, "qty": 1 })).await,
    );
    goes_with_its_lines(&owner, "quotes", &quote, "quote_lines?quote_id").await;

    let draft = async || {
        let invoice = made(owner.post("/api/v1/invoices", json!({ "party_id": customer, "location_id": place })).await);
        let line = json!({ "invoice_id": invoice, "line_no": 1, "item_id": item, "qty": 1 });
        (invoice.clone(), made(owner.post("/api/v1/invoice_lines", line).await))
    };
    let (invoice, _) = draft().await;
    goes_with_its_lines(&owner, "invoices", &invoice, "invoice_lines?invoice_id").await;
    let (invoice, line) = draft().await;
    act(&owner, "invoices", &invoice, "post", json!({})).await.ok();
    refuses(&owner.delete(&format!("/api/v1/invoice_lines/{line}")).await, 409, "parent_frozen");

    let entry = made(owner.post("/api/v1/entries", json!({ "entry_date": "2999-01-01", "location_id": place })).await);
    let account = company.id("fin_account", "code", "6000").await;
    let line = json!({ "entry_id": entry, "line_no": 1, "account_id": account, "debit": 5 });
    made(owner.post("/api/v1/entry_lines", line).await);
    goes_with_its_lines(&owner, "entries", &entry, "entry_lines?entry_id").await;
}

#[tokio::test]
async fn a_draft_of_an_order_goes_with_its_lines_and_not_at_another_location() {
    let company = Company::with_stock().await;
    let (owner, manager) = (company.user("owner").await, company.user("manager").await);
    let (place, item) =
        (company.id("sys_location", "code", "BLR").await, company.id("com_item", "sku", "PAN-24").await);
    let draft = async || {
        let order = made(owner.post("/api/v1/orders", json!({ "location_id": place })).await);
        let line = json!({ "order_id": order, "line_no": 1, "item_id": item, "qty": 1, "unit_price": 1 });
        (order.clone(), made(owner.post("/api/v1/order_lines", line).await))
    };
    let (order, line) = draft().await;
    company.db.batch_execute("delete from sys_user_location").await.unwrap();
    for path in [format!("/api/v1/orders/{order}"), format!("/api/v1/order_lines/{line}")] {
        assert_eq!(manager.delete(&path).await.status, 404, "{path}");
    }
    goes_with_its_lines(&owner, "orders", &order, "order_lines?order_id").await;
    let (order, line) = draft().await;
    act(&owner, "orders", &order, "confirm", json!({})).await.ok();
    refuses(&owner.delete(&format!("/api/v1/order_lines/{line}")).await, 409, "parent_frozen");
    refuses(&owner.delete(&format!("/api/v1/orders/{order}")).await, 409, "frozen");
}

#[tokio::test]
async fn a_draft_of_a_fee_plan_goes_with_its_lines() {
    let school = School::open().await;
    let accountant = school.user("accountant").await;
    let year = school.text("select id::text from sch_year where state = 'active'").await;
    let head = school.text("select id::text from sch_fee_head where code = 'ACT'").await;
    let plan = json!({ "year_id": year, "grade": "7", "name": "Trip" });
    let plan = made(accountant.post("/api/v1/fee_plans", plan).await);
    let line = json!({ "plan_id": plan, "head_id": head, "installment": 1, "amount": "50", "due_on": "2030-01-01" });
    made(accountant.post("/api/v1/fee_plan_lines", line).await);
    goes_with_its_lines(&accountant, "fee_plans", &plan, "fee_plan_lines?plan_id").await;
    let active = school.text("select id::text from sch_fee_plan_line order by id limit 1").await;
    refuses(&accountant.delete(&format!("/api/v1/fee_plan_lines/{active}")).await, 409, "parent_frozen");
}
