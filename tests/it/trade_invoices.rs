//! Quotes and invoices: tax by the rate of the day, numbers without gaps, and corrections by credit notes only.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::crm_story::{keys, made};
use super::trade_story::{Company, act, refuses};
use super::world::User;

/// A draft invoice of lines of product, quantity and price.
async fn draft(company: &Company, user: &User<'_>, customer: &str, place: &str, lines: &[(&str, i32, &str)]) -> String {
    let (customer, place) =
        (company.id("com_party", "code", customer).await, company.id("sys_location", "code", place).await);
    let invoice = made(user.post("/api/v1/invoices", json!({ "party_id": customer, "location_id": place })).await);
    for (n, (product, qty, price)) in (1..).zip(lines) {
        let line = json!({ "invoice_id": invoice, "line_no": n, "item_id": product, "qty": qty, "unit_price": price });
        made(user.post("/api/v1/invoice_lines", line).await);
    }
    invoice
}

async fn post(user: &User<'_>, invoice: &str) -> super::world::Answer {
    act(user, "invoices", invoice, "post", json!({})).await
}

#[tokio::test]
async fn taxes_are_those_of_the_place_and_the_day() {
    let company = Company::with_books().await;
    let owner = company.user("owner").await;
    let product = company.product(&owner, "TAXED", "100", "GST18").await;
    let lines = [(product.as_str(), 10, "100"), (product.as_str(), 3, "33.33")];
    let same = draft(&company, &owner, "C-GREEN", "BLR", &lines).await;
    let row = post(&owner, &same).await.ok();
    let parts =
        |row: &Value| ["taxable", "cgst", "sgst", "igst", "total"].map(|part| row[part].to_string().replace('"', ""));
    assert_eq!(parts(&row), ["1099.99", "99.00", "99.00", "0.00", "1297.99"]);
    let other = draft(&company, &owner, "C-NOVA", "BLR", &lines).await;
    let row = post(&owner, &other).await.ok();
    assert_eq!(parts(&row), ["1099.99", "0.00", "0.00", "198.00", "1297.99"]);
    assert_eq!((&row["pos_state"], &row["gst_category"]), (&json!("33"), &json!("regular")));
    // The law changes: only documents from that day on have the new rate.
    let code = company.id("com_tax_code", "code", "GST18").await;
    let change =
        "update com_tax_rate set valid = daterange(lower(valid), current_date) where tax_code_id = $1::text::uuid";
    company.db.execute(change, &[&code]).await.unwrap();
    let today = company.text("select daterange(current_date, null)").await;
    made(owner.post("/api/v1/tax_rates", json!({ "tax_code_id": code, "rate": 20, "valid": today })).await);
    let new = draft(&company, &owner, "C-GREEN", "BLR", &[(&product, 1, "100")]).await;
    assert_eq!(parts(&post(&owner, &new).await.ok()), ["100.00", "10.00", "10.00", "0.00", "120.00"]);
    // A seller without GSTIN charges none; rounding to the rupee stands in a line of its own.
    let plain = json!({ "code": "POP", "name": "Pop-up", "kind": "store" });
    made(owner.post("/api/v1/locations", plain).await);
    owner.post("/api/v1/settings", json!({ "key": "round_invoice_total", "value": true })).await.ok();
    let untaxed = draft(&company, &owner, "C-GREEN", "POP", &[(&product, 1, "99.60")]).await;
    let row = post(&owner, &untaxed).await.ok();
    assert_eq!(
        (parts(&row), &row["round_off"]),
        (["99.60", "0.00", "0.00", "0.00", "100.00"].map(str::to_owned), &json!("0.40"))
    );
    company.still_adds_up().await;
}

#[tokio::test]
async fn an_invoice_is_corrected_by_credit_notes_of_no_more_than_it() {
    let company = Company::with_books().await;
    let owner = company.user("owner").await;
    let product = company.product(&owner, "CREDIT", "100", "GST18").await;
    let invoice = draft(&company, &owner, "C-GREEN", "BLR", &[(&product, 10, "100")]).await;
    post(&owner, &invoice).await.ok();
    let path = format!("/api/v1/invoices/{invoice}");
    refuses(&owner.patch(&path, json!({ "due_date": "2099-01-01" })).await, 409, "frozen");
    refuses(&owner.delete(&path).await, 409, "frozen");
    let lines = owner.rows(&format!("/api/v1/invoice_lines?invoice_id=eq.{invoice}")).await;
    let line = format!("/api/v1/invoice_lines/{}", lines[0]["id"].as_str().unwrap());
    refuses(&owner.patch(&line, json!({ "qty": 1 })).await, 409, "parent_frozen");
    refuses(&post(&owner, &invoice).await, 409, "wrong_state");

    let credit = async |qty: i32| {
        act(&owner, "invoices", &invoice, "credit", json!({ "reason": "Damaged" })).await.ok();
        let notes = owner.rows(&format!("/api/v1/invoices?against_id=eq.{invoice}&state=eq.draft")).await;
        let note = notes[0]["id"].as_str().unwrap().to_owned();
        let line = owner.rows(&format!("/api/v1/invoice_lines?invoice_id=eq.{note}")).await[0]["id"].clone();
        let line = format!("/api/v1/invoice_lines/{}", line.as_str().unwrap());
        owner.patch(&line, json!({ "qty": qty })).await.ok();
        post(&owner, &note).await
    };
    let row = credit(4).await.ok();
    assert_eq!((&row["total"], &row["kind"]), (&json!("472.00"), &json!("credit_note")));
    refuses(&credit(7).await, 422, "over_credit");
    let tried = owner.rows(&format!("/api/v1/invoices?against_id=eq.{invoice}&state=eq.draft")).await;
    owner.delete(&format!("/api/v1/invoices/{}", tried[0]["id"].as_str().unwrap())).await;
    credit(6).await.ok();
    let empty = act(&owner, "invoices", &invoice, "credit", json!({ "reason": "More" })).await;
    refuses(&empty, 422, "over_credit");
    for (what, sql) in [
        ("one open item", "select count(*) = count(distinct doc_id) from com_open_item where doc_type = 'sls_invoice'"),
        (
            "an open item each",
            "select count(*) = 0 from sls_invoice v where state = 'posted' and not exists (select from com_open_item where doc_id = v.id)",
        ),
        (
            "an event each",
            "select count(*) = 0 from sls_invoice v where state = 'posted' and 1 <> (select count(*) from sys_event where source_id = v.id)",
        ),
        (
            "sums",
            "select bool_and(total = taxable + cgst + sgst + igst + round_off) from sls_invoice where state = 'posted'",
        ),
    ] {
        assert_eq!(company.text(sql).await, "true", "{what}");
    }
    company.still_adds_up().await;
}

#[tokio::test]
async fn numbers_follow_dates_without_gaps_at_every_location() {
    let company = Company::with_books().await;
    let owner = company.user("owner").await;
    let product = company.product(&owner, "NUMBER", "1", "GST5").await;
    let mut drafts = Vec::new();
    for n in 0..20 {
        let place = ["BLR", "MUM"][n % 2];
        drafts.push(draft(&company, &owner, "C-GREEN", place, &[(&product, 1, "10")]).await);
    }
    // Every fourth is refused: it has no lines any more.
    for invoice in drafts.iter().step_by(4) {
        let lines = owner.rows(&format!("/api/v1/invoice_lines?invoice_id=eq.{invoice}")).await;
        owner.delete(&format!("/api/v1/invoice_lines/{}", lines[0]["id"].as_str().unwrap())).await;
    }
    let answers = join_all(drafts.iter().map(|invoice| post(&owner, invoice))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status.is_success()).count(), 15);
    let gaps = "select count(*) from (
          select right(number, 4)::int as n, row_number() over (
            partition by location_id, kind, sys_fy(invoice_date) order by number) as expected
          from sls_invoice where state = 'posted') x where n <> expected";
    assert_eq!(company.text(gaps).await, "0");
    let backwards = "select count(*) from sls_invoice a join sls_invoice b using (location_id, kind)
        where a.number < b.number and a.invoice_date > b.invoice_date and sys_fy(a.invoice_date) = sys_fy(b.invoice_date)";
    assert_eq!(company.text(backwards).await, "0");
    let late = draft(&company, &owner, "C-GREEN", "BLR", &[(&product, 1, "10")]).await;
    for (day, code) in [("current_date - 1", "backdated"), ("current_date + 1", "future_date")] {
        let day = company.text(&format!("select {day}")).await;
        owner.patch(&format!("/api/v1/invoices/{late}"), json!({ "invoice_date": day })).await.ok();
        refuses(&post(&owner, &late).await, 422, code);
    }
}

#[tokio::test]
async fn a_quote_is_invoiced_once_and_a_credit_limit_holds() {
    let company = Company::with_books().await;
    let (seller, manager, accountant) =
        (company.user("sales1").await, company.user("manager").await, company.user("accountant").await);
    let (place, customer) =
        (company.id("sys_location", "code", "BLR").await, company.id("com_party", "code", "C-LOTUS").await);
    let until = company.text("select current_date + 7").await;
    let quote = json!({ "party_id": customer, "location_id": place, "valid_until": until });
    let quote = made(seller.post("/api/v1/quotes", quote).await);
    refuses(&act(&seller, "quotes", &quote, "send", json!({})).await, 422, "no_lines");
    let item = company.id("com_item", "sku", "KNF-SET").await;
    let line = json!({ "quote_id": quote, "line_no": 1, "item_id": item, "qty": 60, "discount_pct": 10 });
    let line = seller.post("/api/v1/quote_lines", line).await.ok();
    assert_eq!(
        (&line["unit_price"], &line["amount"]),
        (&json!("1799.000000"), &json!("97146.00")),
        "the product's own price"
    );
    act(&seller, "quotes", &quote, "send", json!({})).await.ok();
    let path = format!("/api/v1/quote_lines/{}", line["id"].as_str().unwrap());
    refuses(&seller.patch(&path, json!({ "qty": 1 })).await, 409, "parent_frozen");
    assert_eq!(act(&seller, "quotes", &quote, "to_invoice", json!({})).await.ok()["state"], "accepted");
    refuses(&act(&seller, "quotes", &quote, "to_invoice", json!({})).await, 409, "already_invoiced");
    let invoices = seller.rows(&format!("/api/v1/invoices?quote_id=eq.{quote}")).await;
    let invoice = invoices[0]["id"].as_str().unwrap();
    refuses(&post(&seller, invoice).await, 403, "forbidden");
    // 97,146 and tax are beyond the limit of 100,000: only who may override it posts.
    refuses(&post(&accountant, invoice).await, 422, "credit_limit");
    assert_eq!(seller.get(&format!("/api/v1/invoices/{invoice}")).await.ok()["number"], Value::Null, "nothing changed");
    post(&manager, invoice).await.ok();
    company.still_adds_up().await;
}

#[tokio::test]
async fn sellers_see_their_own_documents_of_their_locations() {
    let company = Company::with_books().await;
    for (mailbox, rule) in [
        (
            "sales1",
            "owner_id = (select id from sys_user where email like 'sales1@%') and location_id = (select id from sys_location where code = 'BLR')",
        ),
        (
            "sales2",
            "owner_id = (select id from sys_user where email like 'sales2@%') and location_id = (select id from sys_location where code = 'MUM')",
        ),
        ("manager", "true"),
        ("accountant", "true"),
    ] {
        let user = company.user(mailbox).await;
        let sql =
            format!("select coalesce(string_agg(id::text, ',' order by id::text), '') from sls_invoice where {rule}");
        let expected = company.text(&sql).await;
        let seen: Vec<String> = keys(&user.rows("/api/v1/invoices").await).into_iter().collect();
        assert_eq!(seen.join(","), expected, "{mailbox}");
        let lines =
            format!("select count(*) from sls_invoice_line l join sls_invoice v on v.id = l.invoice_id where {rule}");
        assert_eq!(user.rows("/api/v1/invoice_lines").await.len().to_string(), company.text(&lines).await, "{mailbox}");
    }
    let (sales1, theirs) = (company.user("sales1").await, "select v.id from sls_invoice v join sys_location l on l.id = v.location_id
        where l.code = 'MUM' and v.state = 'draft' union all select v.id from sls_invoice v join sys_location l on l.id = v.location_id where l.code = 'MUM' limit 1");
    let theirs = company.text(theirs).await;
    refuses(&act(&sales1, "invoices", &theirs, "credit", json!({ "reason": "x" })).await, 404, "not_found");
    assert_eq!(sales1.get(&format!("/api/v1/invoices/{theirs}")).await.status, 404);
    let place = company.id("sys_location", "code", "MUM").await;
    let customer = company.id("com_party", "code", "C-LOTUS").await;
    let foreign = json!({ "party_id": customer, "location_id": place });
    assert_eq!(sales1.post("/api/v1/invoices", foreign).await.status, 403, "a location of others");
}
