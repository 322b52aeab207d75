//! What sign-up and the operators' form refuse: each fault names its field, and nothing was begun.

use reqwest::Method;
use serde_json::{Value, json};

use crate::provisioning::{census, fresh};
use crate::world::{User, World};

/// A form with one thing changed, and the field that must be named.
struct Slip {
    field: &'static str,
    /// `None` takes the field away.
    value: Option<Value>,
    code: &'static str,
}

fn slip(field: &'static str, value: impl Into<Value>, code: &'static str) -> Slip {
    Slip { field, value: Some(value.into()), code }
}

fn missing(field: &'static str) -> Slip {
    Slip { field, value: None, code: "required" }
}

fn common() -> Vec<Slip> {
    let mut slips = vec![
        missing("company"),
        missing("subdomain"),
        missing("email"),
        slip("company", 5, "invalid_type"),
        slip("company", Value::Null, "invalid_type"),
        slip("company", " ", "invalid_format"),
        slip("company", "x".repeat(201), "invalid_format"),
        slip("company", "nul\0", "invalid_format"),
        slip("first_name", "", "invalid_format"),
        slip("first_name", "x".repeat(101), "invalid_format"),
        slip("first_name", json!(["Ann"]), "invalid_type"),
        slip("last_name", 7, "invalid_type"),
        slip("last_name", "x".repeat(101), "invalid_format"),
        slip("last_name", "nul\0", "invalid_format"),
        slip("subdomain", 5, "invalid_type"),
        slip("password", "1234567", "too_short"),
        slip("password", "ॐ".repeat(7), "too_short"),
        slip("password", "x".repeat(1025), "too_long"),
        slip("password", 12_345_678, "invalid_type"),
        slip("roles", json!(["owner"]), "unknown_field"),
        slip("state", "active", "unknown_field"),
        slip("tenant_id", "00000000-0000-7000-8000-000000000000", "unknown_field"),
        slip("a~b/c", 1, "unknown_field"),
    ];
    for name in ["", "ab", "1abc", "-abc", "abc-", "a_bc", "a.bc", "a bc", "äbc", "x\0y", "abc\u{212a}"] {
        slips.push(slip("subdomain", name, "invalid_format"));
    }
    slips.push(slip("subdomain", "x".repeat(41), "invalid_format"));
    for address in ["", "ann", "@globex.test", "ann@", "ann@globex", "a nn@globex.test", "a@b@globex.test", "a@.\0"] {
        slips.push(slip("email", address, "invalid_format"));
    }
    slips.push(slip("email", format!("{}@globex.test", "x".repeat(250)), "invalid_format"));
    slips
}

fn apply(mut form: Value, slip: &Slip) -> Value {
    let fields = form.as_object_mut().unwrap();
    match &slip.value {
        Some(value) => drop(fields.insert(slip.field.to_owned(), value.clone())),
        None => drop(fields.remove(slip.field)),
    }
    form
}

fn names(problem: &Value, slip: &Slip) {
    let pointer = format!("#/{}", slip.field.replace('~', "~0").replace('/', "~1"));
    let value = &slip.value;
    assert_eq!(problem["errors"][0]["pointer"], pointer, "{value:?}: {problem}");
    assert_eq!(problem["errors"][0]["code"], slip.code, "{} {value:?}: {problem}", slip.field);
    assert_eq!(problem["code"], "validation_failed");
}

#[tokio::test]
async fn sign_up_names_each_fault_and_begins_nothing() {
    let world = World::new().await;
    let superuser = world.superuser().await;
    let before = census(&superuser).await;
    let form = json!({ "company": "Globex", "subdomain": fresh(&world, "slips"), "email": "ann@globex.test",
        "password": "a long passphrase", "first_name": "Ann", "last_name": "Lee" });
    let more = [missing("password"), missing("first_name"), slip("plan", "enterprise", "unknown_field")];
    for slip in common().iter().chain(&more) {
        let answer = world.request(Method::POST, "", "/api/v1/signup").json(&apply(form.clone(), slip)).send().await;
        names(&answer.problem(422), slip);
        assert_eq!(census(&superuser).await, before, "{} {:?}", slip.field, slip.value);
    }
    let answer = world.request(Method::POST, "", "/api/v1/signup").json(&form).send().await;
    assert_eq!(answer.status, 201, "without a slip: {}", answer.text);
}

#[tokio::test]
async fn the_operators_form_names_each_fault_and_begins_nothing() {
    let world = World::new().await;
    let (superuser, staff) = (world.superuser().await, world.staff().await);
    let before = census(&superuser).await;
    let form =
        json!({ "company": "Globex", "subdomain": fresh(&world, "forms"), "email": "ann@globex.test", "plan": "crm" });
    let more = [
        missing("plan"),
        slip("plan", "crn", "unknown_plan"),
        slip("plan", "", "unknown_plan"),
        slip("plan", "crm\0", "unknown_plan"),
        slip("trial_days", -1, "invalid_type"),
        slip("trial_days", 70_000, "invalid_type"),
        slip("trial_days", "14", "invalid_type"),
    ];
    for slip in common().iter().chain(&more) {
        let answer = staff.post("/api/v1/tenants", apply(form.clone(), slip)).await;
        names(&answer.problem(422), slip);
        assert_eq!(census(&superuser).await, before, "{} {:?}", slip.field, slip.value);
    }
    assert_eq!(hint(&staff, &form, "crn").await, "Did you mean `crm`?");
    let all = hint(&staff, &form, "everything").await;
    assert!(all.contains("enterprise") && all.contains("school_basic"), "{all}");
    superuser.execute("update public.plans set active = false where code = 'growth'", &[]).await.unwrap();
    assert!(!hint(&staff, &form, "growth").await.contains("growth"), "no longer sold");
    assert_eq!(census(&superuser).await, before);
}

async fn hint(staff: &User<'_>, form: &Value, plan: &str) -> String {
    let problem = staff.post("/api/v1/tenants", apply(form.clone(), &slip("plan", plan, ""))).await.problem(422);
    problem["hint"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_misspelt_field_is_guessed_and_a_body_that_is_no_form_is_refused() {
    let world = World::new().await;
    let signup = || world.request(Method::POST, "", "/api/v1/signup");
    let typo = signup().json(&json!({ "compny": "Globex" })).send().await.problem(422);
    assert_eq!(typo["errors"][0]["detail"], "is not a field; did you mean `company`?");
    let twice = signup().body("application/json", r#"{"company":"a","company":"b"}"#).send().await.problem(422);
    assert_eq!(twice["errors"][0]["code"], "duplicate_field");
    for (kind, body, status) in [
        ("application/json", r#"{"company":"#, 400),
        ("application/json", "", 400),
        ("application/json", r#"{} {}"#, 422),
        ("application/json", "[]", 422),
        ("application/json", "null", 422),
        ("text/plain", "{}", 415),
        ("application/x-www-form-urlencoded", "company=Globex", 415),
    ] {
        assert_eq!(signup().body(kind, body).send().await.problem(status)["status"], status, "{body}");
    }
    let large = format!("{{\"company\":\"{}\"}}", "x".repeat(1_100_000));
    assert_eq!(signup().body("application/json", large).send().await.problem(413)["code"], "payload_too_large");
}
