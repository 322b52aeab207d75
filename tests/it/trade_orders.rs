//! Orders and stock: a manager sells, a picker ships, and nothing is sold twice.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::crm_story::made;
use super::trade_story::{Company, act, refuses};
use super::world::User;

/// A product of which so much lies in a bin.
async fn stocked(company: &Company, owner: &User<'_>, sku: &str, qty: u32) -> (String, String) {
    let product = company.product(owner, sku, "100", "GST18").await;
    let bin = company.id("oms_bin", "code", "STORE-01").await;
    let opening = json!({ "item_id": product, "qty": qty, "unit_cost": "60" });
    act(owner, "bins", &bin, "open", opening).await.ok();
    (product, bin)
}

/// A draft order of one line.
async fn order(company: &Company, user: &User<'_>, product: &str, qty: u32) -> String {
    let place = company.id("sys_location", "code", "BLR").await;
    let order = made(user.post("/api/v1/orders", json!({ "location_id": place })).await);
    let line = json!({ "order_id": order, "line_no": 1, "item_id": product, "qty": qty, "unit_price": "100" });
    made(user.post("/api/v1/order_lines", line).await);
    order
}

async fn reservations(user: &User<'_>, order: &str) -> Vec<Value> {
    let lines = user.rows(&format!("/api/v1/order_lines?order_id=eq.{order}")).await;
    let line = lines[0]["id"].as_str().unwrap().to_owned();
    user.rows(&format!("/api/v1/reservations?order_line_id=eq.{line}&order=id")).await
}

#[tokio::test]
async fn from_stock_to_the_customer_and_back() {
    let company = Company::with_stock().await;
    let (owner, manager, picker) =
        (company.user("owner").await, company.user("manager").await, company.user("picker").await);
    let (product, _) = stocked(&company, &owner, "STORY", 10).await;
    let order = order(&company, &manager, &product, 4).await;
    let confirmed = act(&manager, "orders", &order, "confirm", json!({})).await.ok();
    assert_eq!(confirmed["state"], "confirmed");
    assert!(confirmed["number"].as_str().unwrap().starts_with("SO-"));
    let stock = format!("/api/v1/stock?item_id=eq.{product}");
    assert_eq!(manager.rows(&stock).await[0]["available"], "6.000");
    // What is confirmed stays as it was ordered.
    let lines = manager.rows(&format!("/api/v1/order_lines?order_id=eq.{order}")).await;
    let line = lines[0]["id"].as_str().unwrap();
    refuses(&manager.patch(&format!("/api/v1/order_lines/{line}"), json!({ "qty": 5 })).await, 409, "parent_frozen");
    refuses(&manager.patch(&format!("/api/v1/orders/{order}"), json!({ "currency": "USD" })).await, 409, "frozen");

    // The picker finds three of four: the rest goes back to the stock and somebody counts.
    let place = company.id("sys_location", "code", "BLR").await;
    let shipment = made(picker.post("/api/v1/shipments", json!({ "order_id": order, "location_id": place })).await);
    let promised = reservations(&manager, &order).await;
    let pick = promised[0]["id"].as_str().unwrap();
    refuses(
        &act(&picker, "reservations", pick, "pick", json!({ "shipment_id": shipment, "qty": 5 })).await,
        422,
        "qty",
    );
    refuses(&act(&picker, "shipments", &shipment, "pack", json!({})).await, 422, "empty");
    let short = act(&picker, "reservations", pick, "pick", json!({ "shipment_id": shipment, "qty": 3 })).await.ok();
    assert_eq!((&short["state"], &short["qty"]), (&json!("picked"), &json!("3.000")));
    assert_eq!(company.text("select count(*) from sys_event where event = 'oms.pick.short'").await, "1");
    refuses(&act(&manager, "orders", &order, "cancel", json!({ "reason": "late" })).await, 409, "picked");
    refuses(&act(&picker, "shipments", &shipment, "ship", json!({})).await, 409, "wrong_state");
    act(&picker, "shipments", &shipment, "pack", json!({ "weight_g": 900 })).await.ok();
    act(&picker, "shipments", &shipment, "ship", json!({ "carrier": "Post", "tracking_no": "T-1" })).await.ok();
    assert_eq!(manager.get(&format!("/api/v1/orders/{order}")).await.ok()["state"], "partly_shipped");
    let cost = "select lines from sys_event where event = 'oms.shipment.shipped' order by seq desc limit 1";
    assert_eq!(
        serde_json::from_str::<Value>(&company.text(cost).await).unwrap(),
        json!([{ "role": "cogs", "debit": 180.00 }, { "role": "inventory", "credit": 180.00 }])
    );
    act(&manager, "shipments", &shipment, "deliver", json!({})).await.ok();
    act(&manager, "orders", &order, "cancel", json!({ "reason": "The rest is not wanted" })).await.ok();
    assert_eq!(manager.get(&format!("/api/v1/orders/{order}")).await.ok()["state"], "delivered");

    // Two come back: no more than were shipped, and into a bin that fits.
    let asked = json!({ "order_line_id": line, "qty": 4, "reason": "too many" });
    let too_many = made(manager.post("/api/v1/returns", asked).await);
    refuses(&act(&manager, "returns", &too_many, "approve", json!({})).await, 422, "over_returned");
    let back = json!({ "order_line_id": line, "qty": 2, "reason": "broken" });
    let back = made(manager.post("/api/v1/returns", back).await);
    let bin = company.id("oms_bin", "code", "QUAR-01").await;
    let input = |way: &str| json!({ "disposition": way, "bin_id": bin });
    refuses(&act(&manager, "returns", &back, "receive", input("quarantine")).await, 409, "wrong_state");
    act(&manager, "returns", &back, "approve", json!({})).await.ok();
    refuses(&act(&manager, "returns", &back, "receive", input("restock")).await, 422, "bin");
    act(&manager, "returns", &back, "receive", input("quarantine")).await.ok();
    assert_eq!(company.text(&format!("select avg_cost from oms_stock where bin_id = '{bin}'")).await, "60.000000");
    company.still_adds_up().await;
}

#[tokio::test]
async fn forty_orders_for_ten_units_make_ten() {
    let company = Company::with_stock().await;
    let (owner, manager) = (company.user("owner").await, company.user("manager").await);
    let (product, _) = stocked(&company, &owner, "RUSH", 10).await;
    let mut orders = Vec::new();
    for _ in 0..40 {
        orders.push(order(&company, &manager, &product, 1).await);
    }
    let last =
        company.text("select last_value from sys_number_series where code = 'order' and period_key <> '*'").await;
    let answers = join_all(orders.iter().map(|order| act(&manager, "orders", order, "confirm", json!({})))).await;
    let mut numbers = Vec::new();
    for answer in &answers {
        if answer.status.is_success() {
            let number = answer.json()["number"].as_str().unwrap().to_owned();
            numbers.push(number.rsplit('-').next().unwrap().parse::<u32>().unwrap());
        } else {
            refuses(answer, 409, "insufficient_stock");
        }
    }
    numbers.sort_unstable();
    let first: u32 = last.parse::<u32>().unwrap() + 1;
    assert_eq!(numbers, (first..first + 10).collect::<Vec<_>>(), "ten, and no gap");
    let refused = "select count(*) from oms_order where state = 'draft' and number is not null";
    assert_eq!(company.text(refused).await, "0", "who was refused used no number");
    company.still_adds_up().await;
}

#[tokio::test]
async fn stock_changes_only_by_its_rules() {
    let company = Company::with_stock().await;
    let (owner, manager) = (company.user("owner").await, company.user("manager").await);
    let (product, bin) = stocked(&company, &owner, "RULES", 10).await;
    let sold = order(&company, &manager, &product, 6).await;
    act(&manager, "orders", &sold, "confirm", json!({})).await.ok();
    let about = |qty: Value| json!({ "item_id": product, "qty": qty, "note": "test" });
    refuses(&act(&manager, "bins", &bin, "adjust", about(json!(-5))).await, 409, "insufficient_stock");
    refuses(&act(&manager, "bins", &bin, "adjust", about(json!(0.5))).await, 422, "whole_units");
    let count = |n: i32| json!({ "item_id": product, "counted": n, "note": "Shelf count" });
    refuses(&act(&manager, "bins", &bin, "count", count(5)).await, 409, "reserved");
    act(&manager, "bins", &bin, "count", count(8)).await.ok();
    assert_eq!(manager.rows(&format!("/api/v1/stock?item_id=eq.{product}")).await[0]["on_hand"], "8.000");
    let lost =
        "select lines -> 0 ->> 'role' from sys_event where event = 'oms.stock.counted' order by seq desc limit 1";
    assert_eq!(company.text(lost).await, "stock_loss");
    let target = company.id("oms_bin", "code", "PICK-01").await;
    let move_to = |qty: i32| json!({ "item_id": product, "to_bin": target, "qty": qty });
    refuses(&act(&manager, "bins", &bin, "transfer", move_to(3)).await, 409, "insufficient_stock");
    act(&manager, "bins", &bin, "transfer", move_to(2)).await.ok();
    for sql in ["update oms_stock_move set qty = 1", "delete from oms_stock_move", "truncate oms_stock_move"] {
        let refusal = company.db.batch_execute(sql).await.unwrap_err();
        assert_eq!(refusal.as_db_error().unwrap().detail(), Some("append_only"), "{sql}");
    }
    for (sql, rule) in [
        ("update oms_stock set on_hand = -1 where not may_go_negative", "oms_stock_not_negative"),
        ("update oms_stock set reserved = on_hand + 1", "oms_stock_reserved_covered"),
        ("update oms_order_line set qty_shipped = qty + 1, qty_reserved = 0", "oms_order_line_not_over_reserved"),
        ("update oms_order_line set qty_returned = qty_shipped + 1", "oms_order_line_not_over_returned"),
        ("update oms_order_line set qty_invoiced = qty_shipped + 1", "oms_order_line_not_over_invoiced"),
    ] {
        let refusal = company.db.batch_execute(sql).await.unwrap_err();
        assert_eq!(refusal.as_db_error().unwrap().constraint(), Some(rule), "{sql}");
    }
    company.still_adds_up().await;

    // A message that comes twice makes one order.
    let place = company.id("sys_location", "code", "BLR").await;
    let told = json!({ "channel": "market", "external_ref": "A-1", "location_id": place });
    made(owner.post("/api/v1/orders", told.clone()).await);
    refuses(&owner.post("/api/v1/orders", told).await, 409, "already_used");
    // The first goods to expire leave first.
    let product = company.product(&owner, "FRESH", "10", "GST5").await;
    for (lot, day) in [("LATE", "2099-01-01"), ("SOON", "2098-01-01"), ("GONE", "2020-01-01")] {
        let opening = json!({ "item_id": product, "lot": lot, "qty": 5, "unit_cost": 1, "expires_on": day });
        act(&owner, "bins", &bin, "open", opening).await.ok();
    }
    let fresh = order(&company, &manager, &product, 7).await;
    act(&manager, "orders", &fresh, "confirm", json!({})).await.ok();
    let taken = format!(
        "select string_agg(lot || ' ' || reserved, ', ' order by lot) from oms_stock where item_id = '{product}'"
    );
    assert_eq!(company.text(&taken).await, "GONE 0.000, LATE 2.000, SOON 5.000");
}

#[tokio::test]
async fn less_than_nothing_lies_only_where_a_bin_allows_it() {
    let company = Company::with_stock().await;
    let owner = company.user("owner").await;
    let (product, bin) = stocked(&company, &owner, "BELOW", 2).await;
    let zone = company.id("oms_zone", "code", "STORE").await;
    let deep =
        made(owner.post("/api/v1/bins", json!({ "zone_id": zone, "code": "DEEP", "allow_negative": true })).await);
    let take = json!({ "item_id": product, "qty": -3, "note": "Lost" });
    refuses(&act(&owner, "bins", &bin, "adjust", take.clone()).await, 409, "insufficient_stock");
    assert_eq!(act(&owner, "bins", &deep, "adjust", take).await.ok()["id"], json!(deep));
    let lies = |bin: &str| format!("select on_hand from oms_stock where item_id = '{product}' and bin_id = '{bin}'");
    assert_eq!((company.text(&lies(&bin)).await, company.text(&lies(&deep)).await), ("2.000".into(), "-3.000".into()));
    company.still_adds_up().await;
}

#[tokio::test]
async fn who_picks_sees_what_there_is_to_pick_and_no_costs() {
    let company = Company::with_stock().await;
    let picker = company.user("picker").await;
    for resource in ["orders", "order_lines", "customers", "product_costs", "payments", "returns"] {
        assert_eq!(picker.get(&format!("/api/v1/{resource}")).await.status, 403, "{resource}");
    }
    for report in ["stock_value", "stock_audit"] {
        assert_eq!(picker.get(&format!("/api/v1/reports/{report}")).await.status, 403, "{report}");
    }
    assert!(picker.rows("/api/v1/shipments").await.iter().all(|row| row["state"] == "picking"));
    assert!(picker.rows("/api/v1/reservations").await.iter().all(|row| row["state"] == "reserved"));
    assert!(picker.rows("/api/v1/stock").await[0].get("avg_cost").is_none());
    assert!(picker.rows("/api/v1/stock_moves").await[0].get("unit_cost").is_none());
    // Who works at no location sees nothing of it.
    company.db.batch_execute("delete from sys_user_location").await.unwrap();
    for resource in ["zones", "bins", "stock", "stock_moves", "shipments", "reservations"] {
        assert_eq!(picker.rows(&format!("/api/v1/{resource}")).await, Vec::<Value>::new(), "{resource}");
    }
}

#[tokio::test]
async fn what_was_shipped_is_invoiced_once() {
    let company = Company::with_stock().await;
    let (owner, staff) = (company.user("owner").await, company.world.staff().await);
    let (product, _) = stocked(&company, &owner, "BILLED", 10).await;
    let order = order(&company, &owner, &product, 4).await;
    act(&owner, "orders", &order, "confirm", json!({})).await.ok();
    let place = company.id("sys_location", "code", "BLR").await;
    let shipment = made(owner.post("/api/v1/shipments", json!({ "order_id": order, "location_id": place })).await);
    let pick = reservations(&owner, &order).await[0]["id"].as_str().unwrap().to_owned();
    let customer = company.text("select id from com_party where is_customer order by code limit 1").await;
    let named = json!({ "party_id": customer });
    refuses(&act(&owner, "shipments", &shipment, "invoice", named.clone()).await, 409, "wrong_state");
    act(&owner, "reservations", &pick, "pick", json!({ "shipment_id": shipment, "qty": 3 })).await.ok();
    act(&owner, "shipments", &shipment, "pack", json!({ "weight_g": 900 })).await.ok();
    act(&owner, "shipments", &shipment, "ship", json!({ "carrier": "Post" })).await.ok();
    refuses(&act(&owner, "shipments", &shipment, "invoice", named.clone()).await, 409, "module_not_enabled");
    let tenant = company.world.tenant_id("testcompany").await;
    staff.put(&format!("/api/v1/tenants/{tenant}/modules/sales")).await.ok();
    let owner = company.user("owner").await;
    refuses(&act(&owner, "shipments", &shipment, "invoice", json!({})).await, 422, "party_required");
    let (one, other) = (
        act(&owner, "shipments", &shipment, "invoice", named.clone()),
        act(&owner, "shipments", &shipment, "invoice", named),
    );
    let (one, other) = tokio::join!(one, other);
    let (done, refusal) = if one.status.is_success() { (one, other) } else { (other, one) };
    let invoice = done.ok()["invoice_id"].as_str().unwrap().to_owned();
    refuses(&refusal, 409, "already_invoiced");
    let lines = owner.rows(&format!("/api/v1/invoice_lines?invoice_id=eq.{invoice}&select=qty")).await;
    assert_eq!((lines.len(), &lines[0]["qty"]), (1, &json!("3.000")));
    let counted = format!("select qty_invoiced from oms_order_line where order_id = '{order}'");
    assert_eq!(company.text(&counted).await, "3.000");
    company.still_adds_up().await;
    let closed = act(&owner, "locations", &place, "deactivate", json!({})).await;
    refuses(&closed, 409, "has_stock");
}
