//! Reports that are asked with parameters.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::World;

const WON: &str = "/api/v1/reports/won_deals";

fn deals(rows: &[Value]) -> i64 {
    rows.iter().map(|row| row["deals"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn a_period_is_asked_for_with_days_and_narrowed_like_any_list() {
    let world = World::new().await;
    let (manager, sales, outside) =
        (world.user("acme", "owner").await, world.user("acme", "sales1").await, world.superuser().await);
    let count = |days: &'static str| {
        let sql = format!(
            "select count(*) from tenant_acme.crm_deal d join tenant_acme.crm_stage s on s.id = d.stage_id
             where s.kind = 'won' and (d.closed_at at time zone 'Asia/Kolkata')::date between {days}"
        );
        let outside = &outside;
        async move { outside.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) }
    };
    let all = manager.rows(&format!("{WON}?from=2000-01-01&to=2100-01-01")).await;
    assert_eq!(deals(&all), count("'2000-01-01' and '2100-01-01'").await);
    assert!(deals(&all) > 3);
    let own = sales.rows(&format!("{WON}?from=2000-01-01&to=2100-01-01")).await;
    assert!(deals(&own) < deals(&all), "a salesperson sees his own: {own:?}");
    assert!(own.iter().all(|row| row["owner"] == own[0]["owner"]), "{own:?}");
    let largest = format!("{WON}?from=2000-01-01&to=2100-01-01&order=amount.desc&deals=gte.1&limit=1");
    let page = manager.get(&largest).await.ok();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (1, &json!(true)));
    assert_eq!(manager.rows(&format!("{WON}?from=2000-01-01&to=2000-01-02")).await, Vec::<Value>::new());
    let csv = manager.get(&format!("{WON}?from=2000-01-01&to=2100-01-01&format=csv")).await;
    assert_eq!(csv.text.lines().next().unwrap(), "owner_id,owner,currency,deals,amount,average");
}

#[tokio::test]
async fn parameters_are_checked_before_anything_is_asked() {
    let world = World::new().await;
    let manager = world.user("acme", "manager").await;
    for (query, faults) in [
        ("", json!([["from", "required"], ["to", "required"]])),
        ("?from=2026-02-30&to=x", json!([["from", "invalid_value"], ["to", "invalid_value"]])),
        ("?from=2026-02-01&from=2026-03-01&to=2026-03-01", json!([["from", "duplicate_field"]])),
        ("?from=2026-02-01&to=2026-03-01&pipeline_id=1", json!([["pipeline_id", "invalid_value"]])),
        ("?from=2026-02-01&to=2026-03-01&fron=eq.1", json!([["fron", "unknown_column"]])),
    ] {
        let problem = manager.get(&format!("{WON}{query}")).await.problem(400);
        let found: Vec<Value> =
            problem["errors"].as_array().unwrap().iter().map(|e| json!([e["parameter"], e["code"]])).collect();
        assert_eq!(Value::from(found), faults, "{query}");
    }
    let problem = manager.get(&format!("{WON}?from=2026-03-01&to=2026-02-01")).await.problem(422);
    assert_eq!(
        (&problem["code"], &problem["detail"]),
        (&json!("period"), &json!("The period must not end before it begins."))
    );
    let document = manager.get("/openapi.json").await.ok();
    let parameters = document["paths"]["/api/v1/reports/won_deals"]["get"]["parameters"].as_array().unwrap();
    let from = parameters.iter().find(|parameter| parameter["name"] == "from").unwrap();
    assert_eq!((&from["required"], &from["schema"]["format"]), (&json!(true), &json!("date")));
    assert_eq!(manager.get("/api/v1/reports/won_deals/schema").await.status, StatusCode::OK);
}
