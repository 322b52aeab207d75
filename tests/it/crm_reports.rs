//! Every report is the report over the caller's scope, and counts right.

use serde_json::Value;

use super::crm_story::{EVERYBODY, Office, owners_seen_by, rows_seen_by};

/// What the rows of each report must be, counted from the tables; `@deals` are the deals that the caller sees.
const EXPECTED: [(&str, &[&str], &str); 8] = [
    (
        "pipeline",
        &["pipeline", "position", "stage", "owner", "currency", "deals", "amount", "weighted"],
        "select (select p.name from crm_pipeline p where p.id = d.pipeline_id) as pipeline, s.position, s.name as stage,
           (select u.first_name || ' ' || u.last_name from sys_user u where u.id = d.owner_id) as owner, d.currency,
           count(*) as deals, coalesce(sum(d.amount), 0)::text as amount,
           round(coalesce(sum(d.amount * d.probability) / 100, 0), 2)::text as weighted
         from @deals d, crm_stage s where s.id = d.stage_id and d.closed_at is null
         group by d.pipeline_id, s.position, s.name, d.owner_id, d.currency",
    ),
    (
        "forecast",
        &["month", "owner_id", "currency", "won", "open_amount", "weighted"],
        "select to_char(coalesce(d.closed_at at time zone 'Asia/Kolkata', d.expected_close), 'YYYY-MM-01') as month,
           d.owner_id, d.currency,
           coalesce(sum(case s.kind when 'won' then d.amount end), 0)::text as won,
           coalesce(sum(case s.kind when 'open' then d.amount end), 0)::text as open_amount,
           round(coalesce(sum(case s.kind when 'open' then d.amount * d.probability end), 0) / 100, 2)::text as weighted
         from @deals d, crm_stage s where s.id = d.stage_id and s.kind in ('won', 'open')
           and coalesce(d.closed_at at time zone 'Asia/Kolkata', d.expected_close) is not null
         group by 1, 2, 3",
    ),
    (
        "win_rate",
        &["month", "owner_id", "pipeline_id", "currency", "won", "lost", "win_pct", "won_amount"],
        "select to_char(d.closed_at at time zone 'Asia/Kolkata', 'YYYY-MM-01') as month, d.owner_id, d.pipeline_id,
           d.currency, sum((s.kind = 'won')::int) as won, sum((s.kind = 'lost')::int) as lost,
           round(100.0 * sum((s.kind = 'won')::int) / count(*), 1)::text as win_pct,
           coalesce(sum(case s.kind when 'won' then d.amount end), 0)::text as won_amount
         from @deals d, crm_stage s where s.id = d.stage_id and s.kind <> 'open' group by 1, 2, 3, 4",
    ),
    (
        "stage_conversion",
        &["position", "name", "entered", "won", "lost", "observed_win_pct", "configured_pct"],
        "select st.position, st.name, count(*) as entered, sum((now_in.kind = 'won')::int) as won,
           sum((now_in.kind = 'lost')::int) as lost,
           round(100.0 * sum((now_in.kind = 'won')::int) / nullif(sum((now_in.kind <> 'open')::int), 0), 1)::text
             as observed_win_pct, st.probability::text as configured_pct
         from crm_stage st, @deals d, crm_stage now_in
         where st.kind = 'open' and now_in.id = d.stage_id
           and exists (select from crm_deal_stage_log l where l.deal_id = d.id and l.to_stage = st.id)
         group by st.id",
    ),
    (
        "lost_reasons",
        &["month", "reason", "currency", "deals", "amount"],
        "select to_char(d.closed_at at time zone 'Asia/Kolkata', 'YYYY-MM-01') as month, r.name as reason, d.currency,
           count(*) as deals, coalesce(sum(d.amount), 0)::text as amount
         from @deals d, crm_lost_reason r where r.id = d.lost_reason_id group by 1, 2, 3",
    ),
    (
        "stale_deals",
        &["id", "title", "amount"],
        "select d.id, d.title, d.amount::text as amount from @deals d, crm_stage s
         where s.id = d.stage_id and d.closed_at is null and (
           not exists (select from @activities a where a.deal_id = d.id and a.done_at is null and a.due_at is not null)
           or (d.stage_entered_at < now() - s.stale_days * interval '1 day' and not exists (
             select from @activities a
             where a.deal_id = d.id and a.done_at >= now() - s.stale_days * interval '1 day')))",
    ),
    (
        "activity_summary",
        &["week", "owner_id", "kind", "done", "planned"],
        "select date_trunc('week', coalesce(done_at, due_at, created_at) at time zone 'Asia/Kolkata')::date as week,
           owner_id, kind, count(done_at) as done, count(*) - count(done_at) as planned
         from @activities a group by 1, 2, 3",
    ),
    (
        "duplicates",
        &["matched_on", "value", "contact_ids", "contacts"],
        "select 'phone' as matched_on, phone as value, array_agg(id order by id) as contact_ids, count(*) as contacts
         from @contacts c where state = 'active' and phone is not null group by phone having count(*) > 1
         union all
         select 'name and organization', lower(trim(first_name || ' ' || coalesce(last_name, ''))) || ', ' || o.name,
           array_agg(c.id order by c.id), count(*)
         from @contacts c, crm_organization o where o.id = c.organization_id and c.state = 'active'
         group by 2, o.id having count(*) > 1",
    ),
];

/// The columns of a report that the oracle knows, as JSON texts in a fixed order.
fn known(rows: &[Value], columns: &[&str]) -> Vec<String> {
    let one = |row: &Value| {
        let planned = |row: &Value| (row["overdue"].as_u64().unwrap() + row["open"].as_u64().unwrap()).into();
        let cell = |&name: &&str| (name.to_owned(), if name == "planned" { planned(row) } else { row[name].clone() });
        Value::Object(columns.iter().map(cell).collect()).to_string()
    };
    let mut lines: Vec<String> = rows.iter().map(one).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn every_report_counts_the_callers_scope_and_nothing_else() {
    let office = Office::open().await;
    office.tangle().await;
    for mailbox in EVERYBODY {
        let user = office.user(mailbox).await;
        for (report, columns, sql) in EXPECTED {
            let path = format!("/api/v1/reports/{report}");
            if report == "duplicates" && mailbox.starts_with("sales") {
                user.get(&path).await.problem(403);
                continue;
            }
            let mine = |table: &str, resource: &str| {
                format!("(select * from {table} where id::text in ({}))", rows_seen_by(mailbox, resource))
            };
            let sql = sql.replace("@deals", &mine("crm_deal", "deals"));
            let sql = sql.replace("@contacts", &mine("crm_contact", "contacts"));
            let sql = sql.replace("@activities", &mine("crm_activity", "activities"));
            let rows = office.json_rows(&sql).await;
            let expected: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
            let mut expected: Vec<String> = expected
                .iter()
                .map(|row| {
                    let cell = |&name: &&str| (name.to_owned(), row[name].clone());
                    Value::Object(columns.iter().map(cell).collect()).to_string()
                })
                .collect();
            expected.sort();
            let rows = user.rows(&path).await;
            assert_eq!(known(&rows, columns), expected, "{mailbox} reads {report}");
            assert!(!rows.is_empty() || report == "duplicates", "{mailbox} {report}");
        }
    }
}

#[tokio::test]
async fn a_duplicate_across_scopes_shows_to_whom_sees_both() {
    let office = Office::open().await;
    office.tangle().await;
    for (mailbox, phone, found) in
        [("owner", "918012345678", true), ("manager", "918012345678", false), ("manager", "918055555555", true)]
    {
        let user = office.user(mailbox).await;
        let rows = user.rows(&format!("/api/v1/reports/duplicates?value=eq.%2B{phone}")).await;
        assert_eq!(!rows.is_empty(), found, "{mailbox} {phone}");
    }
}

#[tokio::test]
async fn reports_are_filtered_ordered_and_read_only() {
    let office = Office::open().await;
    let manager = office.user("manager").await;
    let rows = manager.rows("/api/v1/reports/pipeline?order=amount.desc&currency=eq.INR").await;
    let amounts: Vec<f64> = rows.iter().map(|row| row["amount"].as_str().unwrap().parse().unwrap()).collect();
    assert!(amounts.len() > 3 && amounts.is_sorted_by(|a, b| a >= b), "{amounts:?}");
    assert!(rows.iter().all(|row| row["currency"] == "INR"));
    let owners = office.texts(&format!("select id::text from ({}) seen", owners_seen_by("manager"))).await;
    assert!(rows.iter().all(|row| owners.contains(row["owner_id"].as_str().unwrap())));
    let problem = manager.get("/api/v1/reports/pipeline?stag=eq.New").await.problem(400);
    assert_eq!(
        (&problem["errors"][0]["parameter"], &problem["hint"]),
        (&"stag".into(), &"Did you mean `stage`?".into())
    );
    manager.get("/api/v1/reports/pipelines").await.problem(404);
    let write = manager.post("/api/v1/reports/pipeline", serde_json::json!({})).await;
    assert_eq!(write.problem(405)["code"], "method_not_allowed");
    let none = office.world.user("testcompany", "owner").await;
    assert_eq!(none.get("/api/v1/reports/pipeline").await.problem(403)["code"], "module_not_enabled");
}
