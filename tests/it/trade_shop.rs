//! The shop: from a cart to a paid order; late, wrong and repeated money is never lost, and nothing is sold twice.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::crm_story::made;
use super::trade_story::{Company, act, refuses};
use super::world::User;

const BEARER: &str = "a-token-of-some-shopper";

/// A published listing of a new product with so much in stock.
async fn listing(company: &Company, owner: &User<'_>, sku: &str, price: &str, qty: u32) -> String {
    let product = company.product(owner, sku, price, "GST18").await;
    let bin = company.id("oms_bin", "code", "STORE-02").await;
    act(owner, "bins", &bin, "open", json!({ "item_id": product, "qty": qty, "unit_cost": "1" })).await.ok();
    let store = company.id("shop_store", "code", "main").await;
    let new = json!({ "store_id": store, "item_id": product, "slug": sku.to_lowercase(), "title": sku });
    let listing = made(owner.post("/api/v1/listings", new).await);
    refuses(&act(owner, "listings", &listing, "publish", json!({})).await, 422, "no_image");
    owner.patch(&format!("/api/v1/listings/{listing}"), json!({ "images": ["/a.jpg"] })).await.ok();
    act(owner, "listings", &listing, "publish", json!({})).await.ok();
    listing
}

/// A cart with an address and some of a listing.
async fn cart(company: &Company, shop: &User<'_>, bearer: &str, listing: &str, qty: u32) -> String {
    let store = company.id("shop_store", "code", "main").await;
    let cart = made(shop.post("/api/v1/carts", json!({ "store_id": store, "token": bearer })).await);
    let input = json!({ "token": bearer, "listing_id": listing, "qty": qty });
    act(shop, "carts", &cart, "add", input).await.ok();
    let rate = company.id("shop_shipping_rate", "name", "Standard").await;
    let address =
        json!({ "token": bearer, "email": "a@b.example", "ship_to": { "city": "Pune" }, "shipping_rate_id": rate });
    act(shop, "carts", &cart, "address", address).await.ok();
    cart
}

async fn checkout(shop: &User<'_>, cart: &str, bearer: &str) -> super::world::Answer {
    act(shop, "carts", cart, "checkout", json!({ "token": bearer })).await
}

/// The key of a payment that the gateway has begun.
async fn pay(shop: &User<'_>, cart: &str, bearer: &str, reference: &str) -> String {
    let input = json!({ "cart_id": cart, "token": bearer, "gateway": "g", "gateway_ref": reference });
    made(shop.post("/api/v1/store_payments", input).await)
}

async fn capture(shop: &User<'_>, payment: &str, amount: &str) -> Value {
    act(shop, "store_payments", payment, "capture", json!({ "amount": amount })).await.ok()["state"].clone()
}

#[tokio::test]
async fn from_the_cart_to_the_paid_order() {
    let company = Company::with_stock().await;
    let (owner, shop) = (company.user("owner").await, company.user("shop").await);
    let listing = listing(&company, &owner, "CART", "333.33", 10).await;
    let cart = cart(&company, &shop, BEARER, &listing, 3).await;
    // The token is the key: without it the cart does not exist, and nobody reads carts by lists.
    refuses(&act(&shop, "carts", &cart, "show", json!({ "token": "somebody-else's-token" })).await, 404, "not_found");
    assert_eq!(shop.rows("/api/v1/carts").await, Vec::<Value>::new());
    assert_eq!(shop.get(&format!("/api/v1/carts/{cart}")).await.status, 404);
    let mine = act(&shop, "carts", &cart, "show", json!({ "token": BEARER })).await.ok();
    assert_eq!((mine["id"].as_str(), &mine["lines"][0]["listing_id"]), (Some(cart.as_str()), &json!(listing)));
    assert!(owner.get(&format!("/api/v1/carts/{cart}")).await.ok().get("token_hash").is_none());
    company.db.batch_execute(&format!(
        "insert into shop_adjustment (cart_id, source_type, source_id, amount) values ('{cart}', 'test', uuid_v7(), 100.01)")).await.unwrap();
    let other = company.id("shop_listing", "slug", "pan-24").await;
    act(&shop, "carts", &cart, "add", json!({ "token": BEARER, "listing_id": other })).await.ok();
    let priced = checkout(&shop, &cart, BEARER).await.ok();
    let sums = ["goods", "discount", "shipping", "total"].map(|part| priced[part].as_str().unwrap());
    assert_eq!(sums, ["1899.49", "100.01", "60.00", "1859.48"]);
    let order = priced["order_id"].as_str().unwrap();
    let spread = format!("select sum(discount) from oms_order_line where order_id = '{order}'");
    assert_eq!(company.text(&spread).await, "100.01", "the discount to the paisa");
    // What is at the checkout is fixed.
    let add = json!({ "token": BEARER, "listing_id": listing });
    refuses(&act(&shop, "carts", &cart, "add", add).await, 409, "wrong_state");
    let forced = company
        .db
        .batch_execute(&format!("update shop_cart_line set qty = 9 where cart_id = '{cart}'"))
        .await
        .unwrap_err();
    assert_eq!(forced.as_db_error().unwrap().detail(), Some("parent_frozen"));
    refuses(&checkout(&shop, &cart, BEARER).await, 409, "wrong_state");
    let payment = pay(&shop, &cart, BEARER, "ONE").await;
    let twice = json!({ "cart_id": cart, "token": BEARER, "gateway": "g", "gateway_ref": "ONE" });
    refuses(&shop.post("/api/v1/store_payments", twice).await, 409, "already_used");
    let captures = join_all((0..5).map(|_| capture(&shop, &payment, "1859.48"))).await;
    assert_eq!(captures, vec![json!("captured"); 5], "a message that is repeated says the same");
    let sold = owner.get(&format!("/api/v1/orders/{order}")).await.ok();
    assert_eq!((&sold["state"], &sold["channel"]), (&json!("confirmed"), &json!("web:main")));
    assert_eq!(
        company
            .text(&format!("select count(*) from sys_event where event = 'd2c.order.paid' and source_id = '{order}'"))
            .await,
        "1"
    );
    // Goods that have not left cannot be reviewed.
    let line = company
        .text(&format!("select id from oms_order_line where order_id = '{order}' order by line_no limit 1"))
        .await;
    let review = json!({ "order_line_id": line, "listing_id": listing, "rating": 5 });
    refuses(&shop.post("/api/v1/reviews", review).await, 422, "not_bought");
    company.still_adds_up().await;
}

#[tokio::test]
async fn a_cart_has_one_live_order_and_costs_at_least_nothing() {
    let company = Company::with_stock().await;
    let (owner, shop) = (company.user("owner").await, company.user("shop").await);
    let listing = listing(&company, &owner, "TWICE", "100", 10).await;
    let cart = cart(&company, &shop, BEARER, &listing, 2).await;
    let gift = format!(
        "insert into shop_adjustment (cart_id, source_type, source_id, amount) values ('{cart}', 'gift', uuid_v7(), 500)"
    );
    company.db.batch_execute(&gift).await.unwrap();
    let live = format!(
        "select string_agg(state, ',' order by external_ref) from oms_order where external_ref like '{cart}/%'"
    );
    for (n, states) in [(1, "held"), (2, "cancelled,held"), (3, "cancelled,cancelled,held")] {
        let priced = checkout(&shop, &cart, BEARER).await.ok();
        let sums = ["goods", "discount", "shipping", "total"].map(|part| priced[part].as_str().unwrap());
        assert_eq!(sums, ["200.00", "200.00", "60.00", "60.00"], "checkout {n}");
        assert_eq!(company.text(&live).await, states);
        let past = format!(
            "set app.action = 'test'; update oms_order set hold_until = now() - interval '1 minute' where external_ref = '{cart}/{n}'"
        );
        company.db.batch_execute(&past).await.unwrap();
        let store = company.id("shop_store", "code", "main").await;
        act(&owner, "stores", &store, "expire_holds", json!({})).await.ok();
    }
    assert!(!company.text(&live).await.contains("held"));
    company.still_adds_up().await;
}

#[tokio::test]
async fn the_last_piece_is_sold_once_and_late_money_is_due_back() {
    let company = Company::with_stock().await;
    let (owner, shop, manager) =
        (company.user("owner").await, company.user("shop").await, company.user("manager").await);
    let listing = listing(&company, &owner, "LAST", "100", 1).await;
    let mut carts = Vec::new();
    for n in 0..8 {
        let bearer = format!("{BEARER}-{n}");
        carts.push((cart(&company, &shop, &bearer, &listing, 1).await, bearer));
    }
    let answers = join_all(carts.iter().map(|(cart, bearer)| checkout(&shop, cart, bearer))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status.is_success()).count(), 1);
    for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
        refuses(answer, 409, "insufficient_stock");
    }
    // The hold of the one who got it ends: another one gets it, and the money of the first is due back.
    let first = answers.iter().position(|answer| answer.status.is_success()).unwrap();
    let (held, bearer) = &carts[first];
    let payment = pay(&shop, held, bearer, "LATE").await;
    let past = format!(
        "set app.action = 'test'; update oms_order set hold_until = now() - interval '1 minute' where id = (select order_id from shop_cart where id = '{held}')"
    );
    company.db.batch_execute(&past).await.unwrap();
    let (next, bearer) = &carts[(first + 1) % 8];
    checkout(&shop, next, bearer).await.ok();
    assert_eq!(capture(&shop, &payment, "160").await, "refund_due");
    assert_eq!(capture(&shop, &payment, "160").await, "refund_due");
    refuses(&act(&manager, "store_payments", &payment, "refund", json!({ "amount": "160.01" })).await, 422, "amount");
    let refund = act(&manager, "store_payments", &payment, "refund", json!({ "amount": "160" })).await.ok();
    assert_eq!(refund["state"], "refunded");
    // Another sum than the total is never taken for it, and all of it is written down.
    let payment = pay(&shop, next, bearer, "MORE").await;
    assert_eq!(capture(&shop, &payment, "999").await, "refund_due");
    assert_eq!(company.text("select captured from shop_payment where gateway_ref = 'MORE'").await, "999.00");
    for (sql, rule) in [
        ("update shop_payment set captured = amount + 1", "shop_payment_capture_within"),
        ("update shop_payment set refunded = captured + 1", "shop_payment_refund_within"),
        ("update shop_cart set total = total + 1 where total is not null", "shop_cart_total_adds_up"),
    ] {
        let refusal = company.db.batch_execute(sql).await.unwrap_err();
        assert_eq!(refusal.as_db_error().unwrap().constraint(), Some(rule), "{sql}");
    }
    company.still_adds_up().await;
}
