//! Shoppers who have not signed in: from the catalogue to the paid order, and nothing besides.

use std::collections::BTreeSet;

use insula::pack::Method as Offered;
use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::made;
use super::trade_story::{Company, act, refuses};
use super::world::{Answer, World};

const TOKEN: &str = "a-long-token-of-a-guest-0001";

/// What is for anybody, of all packs. This list may only shrink, or grow with a thought.
const PUBLIC: [&str; 18] = [
    "GET catalogue",
    "GET catalogue/{id}",
    "GET delivery_options",
    "GET delivery_options/{id}",
    "GET published_reviews",
    "GET published_reviews/{id}",
    "GET shops",
    "GET shops/{id}",
    "POST carts",
    "POST carts/{id}/actions/add",
    "POST carts/{id}/actions/address",
    "POST carts/{id}/actions/checkout",
    "POST carts/{id}/actions/pay_on_delivery",
    "POST carts/{id}/actions/remove",
    "POST carts/{id}/actions/review",
    "POST carts/{id}/actions/set_qty",
    "POST carts/{id}/actions/show",
    "POST store_payments",
];

/// Somebody without a token at the address of `testcompany`.
struct Guest<'w>(&'w World);

impl Guest<'_> {
    async fn get(&self, path: &str) -> Answer {
        self.0.request(Method::GET, "testcompany", path).send().await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.0.request(Method::POST, "testcompany", path).json(&body).send().await
    }

    async fn rows(&self, path: &str) -> Vec<Value> {
        self.get(path).await.ok()["data"].as_array().unwrap().clone()
    }

    async fn act(&self, cart: &str, action: &str, input: Value) -> Answer {
        self.post(&format!("/api/v1/carts/{cart}/actions/{action}"), input).await
    }
}

/// Everything that is public, from the catalogue of the packs.
fn declared(world: &World) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for resource in world.app.engine.catalog().resources() {
        for method in &resource.public {
            all.insert(match method {
                Offered::List => format!("GET {}", resource.name),
                Offered::Get => format!("GET {}/{{id}}", resource.name),
                Offered::Create => format!("POST {}", resource.name),
                other => panic!("{other:?} cannot be public"),
            });
        }
        let actions = resource.actions.values().filter(|action| action.public);
        all.extend(actions.map(|action| format!("POST {}/{{id}}/actions/{}", resource.name, action.name.as_str())));
    }
    let reports = world.app.engine.catalog().reports().filter(|report| report.public);
    all.extend(reports.map(|report| format!("GET reports/{}", report.name)));
    all
}

#[tokio::test]
async fn from_the_catalogue_to_the_paid_order_without_signing_in() {
    let company = Company::with_stock().await;
    let guest = Guest(&company.world);
    let shops = guest.rows("/api/v1/shops").await;
    assert_eq!((shops.len(), &shops[0]["code"]), (1, &json!("main")));
    let goods = guest.rows("/api/v1/catalogue?order=price.desc&in_stock=is.true").await;
    assert_eq!(goods.len(), 8, "what is published");
    assert_eq!((&goods[0]["slug"], &goods[0]["price"]), (&json!("knf-set"), &json!("1799.000000")));
    assert!(goods[0].get("item_id").is_none() && goods[0].get("created_by").is_none());
    let found = guest.rows("/api/v1/catalogue?q=kettle&select=id,title").await;
    assert_eq!(found.len(), 1);
    let listing = found[0]["id"].clone();
    let delivery = guest.rows("/api/v1/delivery_options?name=eq.Standard").await;

    let opened = guest.post("/api/v1/carts", json!({ "store_id": shops[0]["id"], "token": TOKEN })).await;
    assert_eq!(opened.json()["state"], "open", "{}", opened.text);
    let cart = made(opened);
    guest.act(&cart, "add", json!({ "token": TOKEN, "listing_id": listing, "qty": 2 })).await.ok();
    let address = json!({ "token": TOKEN, "email": "guest@mail.example", "ship_to": { "city": "Pune" },
        "shipping_rate_id": delivery[0]["id"] });
    guest.act(&cart, "address", address).await.ok();
    let priced = guest.act(&cart, "checkout", json!({ "token": TOKEN })).await.ok();
    assert_eq!((&priced["total"], &priced["state"]), (&json!("2558.00"), &json!("checkout")));
    let begin = json!({ "cart_id": cart, "token": TOKEN, "gateway": "payline", "gateway_ref": "G-1" });
    let payment = made(guest.post("/api/v1/store_payments", begin).await);
    // The shopper does not say that he has paid: the gateway does.
    let capture = format!("/api/v1/store_payments/{payment}/actions/capture");
    assert_eq!(guest.post(&capture, json!({ "amount": "2558" })).await.problem(401)["code"], "unauthenticated");
    let shop = company.user("shop").await;
    act(&shop, "store_payments", &payment, "capture", json!({ "amount": "2558" })).await.ok();
    let mine = guest.act(&cart, "show", json!({ "token": TOKEN })).await.ok();
    assert_eq!(mine["state"], "ordered");
    assert_eq!(mine["order_shown"]["state"], "confirmed");
    assert!(mine["order_shown"]["number"].as_str().unwrap().starts_with("SO-"));
    // Goods that have come can be reviewed, once, and others read it when a moderator has.
    let review = json!({ "token": TOKEN, "listing_id": listing, "rating": 5, "body": "Boils fast" });
    refuses(&guest.act(&cart, "review", review.clone()).await, 422, "not_bought");
    company
        .db
        .batch_execute(&format!(
            "set app.action = 'test'; set session_replication_role = replica;
             update oms_order_line set qty_shipped = qty, qty_reserved = 0 where order_id = (select order_id from shop_cart where id = '{cart}');
             update oms_order set state = 'delivered' where id = (select order_id from shop_cart where id = '{cart}');"
        ))
        .await
        .unwrap();
    guest.act(&cart, "review", review.clone()).await.ok();
    refuses(&guest.act(&cart, "review", review).await, 409, "already_reviewed");
    assert!(guest.rows("/api/v1/published_reviews").await.is_empty());
    let owner = company.user("owner").await;
    let waiting = owner.rows("/api/v1/reviews?state=eq.pending").await;
    act(&owner, "reviews", waiting[0]["id"].as_str().unwrap(), "publish", json!({})).await.ok();
    assert_eq!(guest.rows("/api/v1/published_reviews").await[0]["body"], "Boils fast");
}

#[tokio::test]
async fn payment_at_the_door_has_a_limit() {
    let company = Company::with_stock().await;
    let (guest, owner) = (Guest(&company.world), company.user("owner").await);
    let store = company.id("shop_store", "code", "main").await;
    owner.patch(&format!("/api/v1/stores/{store}"), json!({ "cod_limit": "2000" })).await.ok();
    let rate = json!({ "store_id": store, "name": "At the door", "price": "80", "cod": true });
    let rate = made(owner.post("/api/v1/shipping_rates", rate).await);
    let listing = company.id("shop_listing", "slug", "pan-24").await;
    for (n, qty, ordered) in [(1, 2, true), (2, 3, false)] {
        let token = format!("{TOKEN}-{n}");
        let cart = made(guest.post("/api/v1/carts", json!({ "store_id": store, "token": token })).await);
        guest.act(&cart, "add", json!({ "token": token, "listing_id": listing, "qty": qty })).await.ok();
        let address = json!({ "token": token, "phone": "1", "ship_to": {}, "shipping_rate_id": rate });
        guest.act(&cart, "address", address).await.ok();
        let door = json!({ "token": token });
        refuses(&guest.act(&cart, "pay_on_delivery", door.clone()).await, 409, "wrong_state");
        guest.act(&cart, "checkout", door.clone()).await.ok();
        let answer = guest.act(&cart, "pay_on_delivery", door).await;
        if ordered { assert_eq!(answer.ok()["state"], "ordered") } else { refuses(&answer, 422, "no_cash") }
    }
    company.still_adds_up().await;
}

#[tokio::test]
async fn what_is_public_is_written_down_and_everything_else_needs_a_token() {
    let company = Company::with_stock().await;
    let guest = Guest(&company.world);
    let public: BTreeSet<String> = PUBLIC.iter().map(|&one| one.to_owned()).collect();
    assert_eq!(declared(&company.world), public);
    let id = "018f0000-0000-7000-8000-000000000000";
    let (mut open, mut closed) = (0, 0);
    for resource in company.world.app.engine.catalog().resources() {
        let name = &resource.name;
        let mut wishes = vec![
            (format!("GET {name}"), Method::GET, format!("/api/v1/{name}")),
            (format!("GET {name}/{{id}}"), Method::GET, format!("/api/v1/{name}/{id}")),
            (format!("POST {name}"), Method::POST, format!("/api/v1/{name}")),
            (format!("GET {name}/schema"), Method::GET, format!("/api/v1/{name}/schema")),
            (format!("PATCH {name}"), Method::PATCH, format!("/api/v1/{name}/{id}")),
            (format!("PUT {name}"), Method::PUT, format!("/api/v1/{name}/{id}")),
            (format!("DELETE {name}"), Method::DELETE, format!("/api/v1/{name}/{id}")),
        ];
        wishes.extend(resource.actions.keys().map(|action| {
            let path = format!("/api/v1/{name}/{id}/actions/{action}");
            (format!("POST {name}/{{id}}/actions/{action}"), Method::POST, path)
        }));
        for (what, method, path) in wishes {
            let reads = method == Method::GET;
            let request = company.world.request(method, "testcompany", &path);
            let answer = if reads { request } else { request.json(&json!({})) }.send().await;
            if public.contains(&what) {
                assert_ne!(answer.status, 401, "{what}");
                assert!(!answer.status.is_server_error(), "{what}: {}", answer.text);
                open += 1;
            } else {
                assert_eq!(answer.problem(401)["code"], "unauthenticated", "{what}");
                closed += 1;
            }
        }
    }
    assert!(open == PUBLIC.len() && closed > 300, "{open} {closed}");
    // A token is looked at where one is sent; other forms, sums and neighbours of public rows are not public.
    let bad = company.world.request(Method::GET, "testcompany", "/api/v1/catalogue").bearer("garbage").send().await;
    assert_eq!(bad.problem(401)["code"], "unauthenticated");
    for path in [
        "/api/v1/catalogue?format=csv",
        "/api/v1/catalogue?select=price.avg()",
        "/api/v1/reports/best_sellers",
        "/api/v1/me",
        "/api/v1",
    ] {
        assert_eq!(guest.get(path).await.problem(401)["code"], "unauthenticated", "{path}");
    }
    let batch = json!({ "requests": [{ "method": "GET", "path": "/api/v1/catalogue" }] });
    assert_eq!(guest.post("/api/v1/batch", batch).await.status, 401);
    // Where the host names nobody, and where the module is off, there is no shop.
    let neutral =
        company.world.request(Method::GET, "", "/api/v1/catalogue").header("x-tenant-subdomain", "testcompany");
    assert_eq!(neutral.send().await.problem(401)["code"], "unauthenticated");
    let other = company.world.request(Method::GET, "acme", "/api/v1/catalogue").send().await;
    assert_eq!(other.problem(401)["code"], "unauthenticated");
}

#[tokio::test]
async fn a_cart_is_its_bearers_and_a_closed_store_is_nobodys() {
    let company = Company::with_stock().await;
    let (guest, owner) = (Guest(&company.world), company.user("owner").await);
    let store = company.id("shop_store", "code", "main").await;
    let cart = made(guest.post("/api/v1/carts", json!({ "store_id": store, "token": TOKEN })).await);
    refuses(&guest.act(&cart, "show", json!({ "token": "another-token-of-a-guest" })).await, 404, "not_found");
    let theirs = company.text("select id from shop_cart where state = 'ordered' limit 1").await;
    refuses(&guest.act(&theirs, "show", json!({ "token": TOKEN })).await, 404, "not_found");
    let foreign = json!({ "cart_id": theirs, "token": TOKEN, "gateway": "g", "gateway_ref": "x" });
    assert_eq!(guest.post("/api/v1/store_payments", foreign).await.status, 404);
    let short = json!({ "store_id": store, "token": "short" });
    refuses(&guest.post("/api/v1/carts", short).await, 422, "token");
    // A key names a request of one user; shoppers are nobody in particular.
    let path = format!("/api/v1/carts/{cart}/actions/show");
    let request = company.world.request(Method::POST, "testcompany", &path).header("idempotency-key", "k-1");
    assert_eq!(request.json(&json!({ "token": TOKEN })).send().await.status, 400);
    // In PostgreSQL too, a guest sees published listings of open stores, and no cart, order, customer or payment.
    let scope = "begin; set local role it_t_testcompany; set local search_path = tenant_testcompany, insula, pg_temp;
        set local app.perms = 'store.carts.shop,store.catalogue.view'";
    company.db.batch_execute(scope).await.unwrap();
    let counts = "select concat_ws(' ', (select count(*) from shop_listing), (select count(*) from shop_cart),
        (select count(*) from shop_cart_line), (select count(*) from shop_payment), (select count(*) from oms_order),
        (select count(*) from com_party), (select count(*) from oms_stock), (select count(*) from com_open_item))";
    let seen: String = company.db.query_one(counts, &[]).await.unwrap().get(0);
    company.db.batch_execute("rollback").await.unwrap();
    assert_eq!(seen, "8 0 0 0 0 0 0 0");
    owner.patch(&format!("/api/v1/stores/{store}"), json!({ "active": false })).await.ok();
    for path in ["/api/v1/shops", "/api/v1/catalogue", "/api/v1/delivery_options", "/api/v1/published_reviews"] {
        assert_eq!(guest.rows(path).await, Vec::<Value>::new(), "{path}");
    }
    assert_eq!(guest.act(&cart, "show", json!({ "token": TOKEN })).await.status, 404);
}

#[tokio::test]
async fn guests_have_a_quota_of_their_own() {
    let world = World::with(|mut config| {
        config.limits.guest_per_minute = 3;
        config.limits.tenant_per_minute = 1000;
        config
    })
    .await;
    let guest = Guest(&world);
    let first = guest.get("/api/v1/shops").await;
    assert_eq!(first.headers["ratelimit-policy"], "\"key\";q=3;w=60");
    for _ in 0..2 {
        guest.get("/api/v1/catalogue").await.ok();
    }
    assert_eq!(guest.get("/api/v1/shops").await.problem(429)["code"], "too_many_requests");
    let owner = world.user("testcompany", "owner").await;
    owner.get("/api/v1/shops").await.ok();
    let all = World::with(|mut config| {
        config.limits.guests_per_minute = 1;
        config
    })
    .await;
    Guest(&all).get("/api/v1/shops").await.ok();
    assert_eq!(Guest(&all).get("/api/v1/shops").await.status, 429);
}

#[tokio::test]
async fn the_document_for_anybody_tells_what_is_public() {
    let world = World::new().await;
    let document = |host: &'static str| async { world.request(Method::GET, host, "/openapi.json").send().await.ok() };
    let of_the_shop = document("testcompany").await;
    let paths = of_the_shop["paths"].as_object().unwrap();
    for one in PUBLIC {
        let (method, path) = one.split_once(' ').unwrap();
        let operation = &paths[&format!("/api/v1/{path}")][method.to_lowercase()];
        assert_eq!(operation["security"], json!([]), "{one}");
    }
    let told = paths.keys().filter(|path| path.starts_with("/api/v1/") && !path.contains("/auth/")).count();
    let distinct: BTreeSet<&str> = PUBLIC.iter().map(|one| one.split_once(' ').unwrap().1).collect();
    assert_eq!(told, distinct.len());
    assert!(!document("acme").await["paths"].as_object().unwrap().keys().any(|path| path.contains("catalogue")));
}
