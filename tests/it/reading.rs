//! Reads held against PostgreSQL itself: every operator, embedding and sum answers what the superuser's own SQL says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::crm_story::{Office, keys};
use super::world::User;

/// Contacts whose names are hard to quote, and others that no rule of the demo made.
const STRANGERS: &str = r#"
    set session_replication_role = replica;
    insert into tenant_acme.crm_contact (first_name, last_name, title, phone, do_not_contact, email, owner_id)
    select n.first, n.last, n.title, n.phone, n.silent, n.email, u.id
    from (select id from tenant_acme.sys_user order by id limit 1) u, (values
      ('a,b.c:(d)"e"', 'Quote', 'it''s', null, true, 'q1@odd.test'),
      ('50%_x', 'Pattern', null, '+9180000001', false, 'q2@odd.test'),
      ('50abx', 'Pattern', 'back\slash', '+9180000002', false, 'Q3@odd.test'),
      ('नीना', null, '', '+9180000003', true, 'q4@odd.test'),
      ('Nina', 'null', 'null', null, false, 'nina+tag@odd.test')) n (first, last, title, phone, silent, email);
    set session_replication_role = default;
    insert into tenant_acme.sys_setting (key, value) values
      ('odd.one', '{"a": {"b": [1, 2]}, "kind": "x", "first-name": "Nora"}'),
      ('odd.two', '{"a": null, "kind": "y,z"}'),
      ('odd.list', '[1, "two", {"three": 3}]')"#;

/// Resource, query, and the same as SQL. Each finds some rows and leaves some out.
const SAME: &[(&str, &str, &str)] = &[
    ("contacts", "first_name=eq.Nina", "first_name = 'Nina'"),
    ("contacts", "first_name=eq.a,b.c:(d)\"e\"", "first_name = 'a,b.c:(d)\"e\"'"),
    ("contacts", "first_name=eq.नीना", "first_name = 'नीना'"),
    ("contacts", "last_name=neq.Quote", "last_name <> 'Quote'"),
    ("contacts", "last_name=isdistinct.Quote", "last_name is distinct from 'Quote'"),
    ("contacts", "last_name=not.eq.Quote", "not last_name = 'Quote'"),
    ("contacts", "first_name=gt.M", "first_name > 'M'"),
    ("contacts", "first_name=gte.Nina", "first_name >= 'Nina'"),
    ("contacts", "first_name=lt.M", "first_name < 'M'"),
    ("contacts", "first_name=lte.Nina", "first_name <= 'Nina'"),
    ("contacts", "first_name=like.50*", "first_name like '50%'"),
    ("contacts", "first_name=like.50\\%25\\_x", r"first_name like '50\%\_x'"),
    ("contacts", "email=ilike.q*@ODD.test", "email ilike 'q%@ODD.test'"),
    ("contacts", "email=not.like.*@odd.test", "email not like '%@odd.test'"),
    ("contacts", "first_name=like(any).{N*,50*}", "first_name like any (array['N%', '50%'])"),
    ("contacts", "email=ilike(all).{q*,*3*}", "email ilike all (array['q%', '%3%'])"),
    ("contacts", "last_name=in.(Quote,Pattern)", "last_name in ('Quote', 'Pattern')"),
    ("contacts", "first_name=in.(\"a,b.c:(d)\\\"e\\\"\",Nina)", "first_name in ('a,b.c:(d)\"e\"', 'Nina')"),
    ("contacts", "last_name=not.in.(Quote,Pattern)", "last_name not in ('Quote', 'Pattern')"),
    ("contacts", "last_name=is.null", "last_name is null"),
    ("contacts", "last_name=eq.null", "last_name = 'null'"),
    ("contacts", "title=eq.", "title = ''"),
    ("contacts", "title=is.not_null", "title is not null"),
    ("contacts", "title=eq.back\\slash", r"title = 'back\slash'"),
    ("contacts", "do_not_contact=is.true", "do_not_contact"),
    ("contacts", "do_not_contact=eq.false", "not do_not_contact"),
    ("contacts", "email=eq.nina%2Btag@odd.test", "email = 'nina+tag@odd.test'"),
    ("contacts", "or=(last_name.is.null,title.eq.it's)", "last_name is null or title = 'it''s'"),
    ("contacts", "not.or=(last_name.is.null,title.eq.it's)", "not (last_name is null or title = 'it''s')"),
    (
        "contacts",
        "and=(last_name.eq.Pattern,or(phone.eq.%2B9180000001,not.and(title.is.null,phone.like.*2)))",
        "last_name = 'Pattern' and (phone = '+9180000001' or not (title is null and phone like '%2'))",
    ),
    ("contacts", "last_name=eq.Pattern&phone=eq.%2B9180000002", "last_name = 'Pattern' and phone = '+9180000002'"),
    (
        "contacts",
        "q=pattern 50",
        "concat_ws(' ', first_name, last_name, email) ilike '%pattern%' and first_name ilike '%50%'",
    ),
    ("contacts", "created_at=lt.2026-06-01T00:00:00Z", "created_at < '2026-06-01T00:00:00Z'"),
    ("deals", "amount=gte.100000.50", "amount >= 100000.50"),
    ("deals", "amount=gt(all).{1000,250000}", "amount > 250000"),
    ("deals", "closed_at=is.null", "closed_at is null"),
    (
        "activities",
        "subject=plfts.follow up",
        "to_tsvector('simple', subject) @@ plainto_tsquery('simple', 'follow up')",
    ),
    (
        "activities",
        "subject=fts(english).calls|meetings",
        "to_tsvector('english', subject) @@ to_tsquery('english', 'calls|meetings')",
    ),
    ("stages", "requires=cs.{amount}", "requires @> '{amount}'"),
    ("stages", "requires=cd.{amount}", "requires <@ '{amount}'"),
    ("stages", "requires=ov.{amount,owner_id}", "requires && '{amount,owner_id}'"),
    ("settings", "value->>kind=eq.x", "value ->> 'kind' = 'x'"),
    ("settings", "value->>kind=in.(x,\"y,z\")", "value ->> 'kind' in ('x', 'y,z')"),
    ("settings", "value->>\"first-name\"=like.N*", "value ->> 'first-name' like 'N%'"),
    ("settings", "value->a->b->0=eq.1", "value -> 'a' -> 'b' -> 0 = '1'"),
    ("settings", "value->2->>three=eq.3", "value -> 2 ->> 'three' = '3'"),
    ("settings", "value=cs.{\"a\":{\"b\":[1]}}", "value @> '{\"a\": {\"b\": [1]}}'"),
    (
        "settings",
        "or=(value.cs.{\"a\":{\"b\":[1]}},value->>kind.eq.\"y,z\")",
        "value @> '{\"a\": {\"b\": [1]}}' or value ->> 'kind' = 'y,z'",
    ),
];

#[tokio::test]
async fn every_operator_finds_what_sql_finds() {
    let office = Office::open().await;
    office.db.batch_execute(STRANGERS).await.unwrap();
    let owner = office.user("owner").await;
    for (resource, query, condition) in SAME {
        let known = office.world.app.engine.catalog().resource(resource).unwrap();
        let (table, key) = (&known.table, known.key.name.as_str());
        let all = office.texts(&format!("select {key}::text from {table}")).await;
        let expected = office.texts(&format!("select {key}::text from {table} where {condition}")).await;
        assert!(!expected.is_empty() && expected.len() < all.len(), "{query} tells nothing apart: {}", expected.len());
        let rows = owner.rows(&format!("/api/v1/{resource}?select={key}&{}", query.replace('#', "%23"))).await;
        let found: BTreeSet<String> = rows.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, expected, "{resource}?{query}");
        let counted = owner
            .request(reqwest::Method::GET, &format!("/api/v1/{resource}?limit=1&select={key}&{query}"))
            .header("prefer", "count=exact")
            .send()
            .await;
        assert_eq!(counted.ok()["total_count"], expected.len(), "{resource}?{query}");
    }
}

#[tokio::test]
async fn an_order_is_that_of_sql_over_all_pages() {
    let office = Office::open().await;
    office.db.batch_execute(STRANGERS).await.unwrap();
    let owner = office.user("owner").await;
    for (order, sql) in [
        ("last_name", "last_name, id"),
        ("last_name.desc", "last_name desc, id desc"),
        ("last_name.desc.nullslast,first_name", "last_name desc nulls last, first_name, id"),
        ("title.nullsfirst,created_at.desc", "title nulls first, created_at desc, id desc"),
    ] {
        let expected = office.text(&format!("select json_agg(id order by {sql})::text from crm_contact")).await;
        let (mut met, mut next) = (Vec::new(), Some(String::new()));
        while let Some(cursor) = next {
            let page = owner.get(&format!("/api/v1/contacts?select=id&limit=7&order={order}{cursor}")).await.ok();
            met.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()));
            next = page["next_cursor"].as_str().map(|cursor| format!("&cursor={cursor}"));
        }
        assert_eq!(json!(met), serde_json::from_str::<Value>(&expected).unwrap(), "{order}");
    }
}

/// A list with its embedded rows, by key.
async fn by_key(user: &User<'_>, path: &str) -> BTreeMap<String, Value> {
    user.rows(path).await.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect()
}

#[tokio::test]
async fn what_is_embedded_is_what_sql_joins() {
    let office = Office::open().await;
    let seat = "insert into sys_location (code, name, kind) values ('HQ', 'Head office', 'office'), ('B2', 'Branch', 'office');
        insert into sys_user_location (user_id, location_id)
          select u.id, l.id from sys_user u, sys_location l where u.email like 's%' or l.code = 'HQ'";
    office.db.batch_execute(seat).await.unwrap();
    let owner = office.user("owner").await;
    for (path, sql) in [
        (
            "deals?select=id,contact:contacts(id,first_name)",
            "select d.id, (select json_build_object('id', c.id, 'first_name', c.first_name)
               from crm_contact c where c.id = d.contact_id) as contact from crm_deal d",
        ),
        (
            "organizations?select=id,deals(id,amount)&deals.order=amount.desc,id.desc&deals.limit=2",
            "select o.id, (select coalesce(json_agg(json_build_object('id', x.id, 'amount', x.amount::text)), '[]') from
               (select id, amount from crm_deal d where d.organization_id = o.id order by amount desc, id desc limit 2) x)
               as deals from crm_organization o",
        ),
        (
            "organizations?select=id,deals!inner(id,activities(id))&deals.closed_at=is.null&deals.activities.kind=eq.call",
            "select o.id, (select json_agg(json_build_object('id', d.id, 'activities',
                 (select coalesce(json_agg(json_build_object('id', a.id) order by a.id), '[]') from crm_activity a
                  where a.deal_id = d.id and a.kind = 'call')) order by d.id)
               from crm_deal d where d.organization_id = o.id and d.closed_at is null) as deals
             from crm_organization o
             where exists (select from crm_deal d where d.organization_id = o.id and d.closed_at is null)",
        ),
        (
            "users?select=id,locations(code)&locations.order=code",
            "select u.id, (select coalesce(json_agg(json_build_object('code', l.code) order by l.code), '[]')
               from sys_user_location ul join sys_location l on l.id = ul.location_id where ul.user_id = u.id) as locations
             from sys_user u",
        ),
        (
            "pipelines?select=id,stages(name,deals(count()))&stages.order=position",
            "select p.id, (select json_agg(json_build_object('name', s.name, 'deals',
                 (select json_build_array(json_build_object('count', count(*))) from crm_deal d where d.stage_id = s.id))
                 order by s.position) from crm_stage s where s.pipeline_id = p.id) as stages from crm_pipeline p",
        ),
    ] {
        let expected = office.db.query(&format!("select id::text, to_jsonb(r)::text from ({sql}) r"), &[]).await.unwrap();
        let expected: BTreeMap<String, Value> =
            expected.iter().map(|row| (row.get(0), serde_json::from_str(row.get(1)).unwrap())).collect();
        assert!(!expected.is_empty(), "{path}");
        assert_eq!(by_key(&owner, &format!("/api/v1/{path}")).await, expected, "{path}");
    }
}

#[tokio::test]
async fn sums_are_those_of_sql() {
    let office = Office::open().await;
    let manager = office.user("owner").await;
    let rows = manager
        .rows("/api/v1/deals?select=stage_id,n:count(),total:amount.sum(),mean:amount.avg(),least:amount.min()&order=stage_id")
        .await;
    let sql = "select json_agg(r order by stage_id)::text from (
        select stage_id, count(*) as n, sum(amount)::text as total, avg(amount)::text as mean, min(amount)::text as least
        from crm_deal group by stage_id) r";
    assert_eq!(json!(rows), serde_json::from_str::<Value>(&office.text(sql).await).unwrap());
}

/// Activities of one contact with long bodies.
async fn long_activities(office: &Office, number: usize, bytes: usize) -> String {
    let contact = office.text("select id::text from crm_contact order by id limit 1").await;
    let sql = format!(
        "set session_replication_role = replica;
         insert into crm_activity (kind, subject, body, contact_id, owner_id)
         select 'call', 'Long ' || n, repeat('x', {bytes}), '{contact}', (select id from sys_user limit 1)
         from generate_series(1, {number}) n;
         set session_replication_role = default"
    );
    office.db.batch_execute(&sql).await.unwrap();
    contact
}

#[tokio::test]
async fn an_embedded_list_that_would_be_cut_is_refused() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let contact = long_activities(&office, 1001, 10).await;
    let one = format!("/api/v1/contacts/{contact}?select=id,activities");
    let list = format!("/api/v1/contacts?id=eq.{contact}&select=id,activities");
    for path in [&one, &list] {
        assert_eq!(owner.get(&format!("{path}(id)")).await.problem(422)["code"], "embed_too_large");
        let few = owner.get(&format!("{path}(id)&activities.limit=3")).await.ok();
        assert!(few.to_string().matches("\"id\"").count() >= 4, "{few}");
    }
    long_activities(&office, 40, 60_000).await;
    for path in [&one, &list] {
        let wide = format!("{path}(id,body)&activities.body=like.xxxxxxxxxxxxxxxxxxxx*");
        assert_eq!(owner.get(&wide).await.problem(422)["code"], "embed_too_large", "2.4 MB");
        owner.get(&format!("{wide}&activities.limit=30")).await.ok();
        assert_eq!(owner.get(&format!("{wide}&activities.limit=38")).await.problem(422)["code"], "embed_too_large");
    }
}

#[tokio::test]
async fn a_page_of_large_rows_ends_early_and_the_walk_goes_on() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    long_activities(&office, 150, 60_000).await;
    let base = "/api/v1/activities?subject=like.Long*&select=id,body&limit=500";
    let first = owner.get(base).await.ok();
    let shown = first["data"].as_array().unwrap().len();
    assert!((100..150).contains(&shown) && first["has_more"] == true, "{shown}");
    let rest = owner.get(&format!("{base}&cursor={}", first["next_cursor"].as_str().unwrap())).await.ok();
    let mut all = keys(first["data"].as_array().unwrap());
    all.extend(keys(rest["data"].as_array().unwrap()));
    assert_eq!((all.len(), &rest["has_more"]), (150, &json!(false)));
}

#[tokio::test]
async fn what_may_not_be_viewed_is_not_embedded() {
    let office = Office::open().await;
    let sales = office.user("sales1").await;
    sales.get("/api/v1/deals?select=id,activities(id)").await.ok();
    let taken = "delete from sys_role_grant where permission like 'activities%'
        and role_id = (select id from sys_role where code = 'salesperson')";
    office.db.batch_execute(taken).await.unwrap();
    for _ in 0..100 {
        if sales.get("/api/v1/activities").await.status == 403 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for select in
        ["id,activities(id)", "id,contacts(id,activities(id))", "id,activities!inner(id)", "id,activities(count())"]
    {
        let problem = sales.get(&format!("/api/v1/deals?select={select}")).await.problem(403);
        assert_eq!(problem["code"], "forbidden", "{select}");
    }
}

#[tokio::test]
async fn a_module_that_is_off_is_not_embedded_either() {
    let office = Office::open().await;
    let (owner, staff) = (office.user("owner").await, office.world.staff().await);
    owner.get("/api/v1/users?select=id,contacts!owner_id(id)").await.ok();
    let tenant = office.world.tenant_id("acme").await;
    staff.delete(&format!("/api/v1/tenants/{tenant}/modules/crm")).await;
    let problem = owner.get("/api/v1/users?select=id,contacts!owner_id(id)").await.problem(403);
    assert_eq!(problem["code"], "module_not_enabled");
}

#[tokio::test]
async fn a_value_that_only_postgresql_can_judge_is_the_callers_fault_wherever_it_stands() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let deal = office.text("select id::text from crm_deal limit 1").await;
    let bad = "activities.subject=fts.a%26%26";
    for (path, parameter) in [
        ("activities?subject=fts.a%26%26".to_owned(), "subject"),
        ("sessions?address=cs.127.0.0.1".to_owned(), "address"),
        ("sessions?address=not.cd.127.0.0.1".to_owned(), "address"),
        ("activities?not.or=(subject.fts.a%26%26,id.is.null)".to_owned(), "subject"),
        (format!("deals?select=id,activities(id)&{bad}"), "activities.subject"),
        ("deals?select=id,todo:activities(id)&todo.subject=fts.a%26%26".to_owned(), "todo.subject"),
        (format!("deals/{deal}?select=id,activities(id)&{bad}"), "activities.subject"),
        (format!("deals?select=id,activities(id)&{bad}&format=ndjson"), "activities.subject"),
    ] {
        let problem = owner.get(&format!("/api/v1/{path}")).await.problem(400);
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{path}");
    }
}
