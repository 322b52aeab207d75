//! The SQL of reads, as golden files: what a query becomes, and that PostgreSQL takes it.

use insula::error::Result;
use insula::pack::{Resource, Verb};
use insula::resource::{Count, ListPlan, ListRequest, Shape, Sight, render_list};
use insula::sql::Sql;

use crate::world::World;

/// What is asked of which resource.
type Queries = &'static [(&'static str, &'static str)];

const FILTERS: Queries = &[
    ("contacts", ""),
    ("contacts", "limit=5"),
    ("contacts", "first_name=eq.Nina"),
    ("contacts", "first_name=neq.Nina"),
    ("contacts", "first_name=not.eq.Nina"),
    ("contacts", "first_name=isdistinct.Nina"),
    ("contacts", "first_name=eq.a,b.c:(d)\"e\""),
    ("contacts", "created_at=gte.2026-01-01T00:00:00Z&created_at=lt.2027-01-01T00:00:00%2B05:30"),
    ("deals", "amount=gt.1000.50&amount=lte.99999"),
    ("deals", "expected_close=lt.2026-12-31"),
    ("contacts", "do_not_contact=eq.true"),
    ("contacts", "do_not_contact=is.true"),
    ("contacts", "do_not_contact=not.is.unknown"),
    ("contacts", "email=is.null"),
    ("contacts", "email=is.not_null"),
    ("contacts", "email=not.is.null"),
    ("contacts", "first_name=like.N*a"),
    ("contacts", "email=ilike.*@EXAMPLE.com"),
    ("contacts", "first_name=like(any).{N*,\"A*\"}"),
    ("contacts", "email=ilike(all).{*a*,*b*}"),
    ("contacts", "state=in.(active,archived)"),
    ("contacts", "state=not.in.(merged,\"a,b\")"),
    ("contacts", "state=in.()"),
    ("contacts", "id=in.(0190a0b0-0000-7000-8000-000000000001,0190a0b0-0000-7000-8000-000000000002)"),
    ("deals", "amount=eq(any).{10.555,20}"),
    ("deals", "amount=gt(all).{10,20}"),
    ("organizations", "country=in.(IN,US)"),
    ("organizations", "country=eq.IN"),
    ("contacts", "or=(first_name.eq.Nina,last_name.is.null)"),
    ("contacts", "not.or=(first_name.eq.Nina,last_name.is.null)"),
    (
        "contacts",
        "and=(first_name.eq.Nina,or(email.like.*a,phone.not.is.null),not.and(title.eq.\"x,y\",source.in.(a,b)))",
    ),
    ("contacts", "state=eq.active&or=(first_name.eq.A,first_name.eq.B)&order=id"),
    ("stages", "requires=cs.{amount}"),
    ("stages", "requires=cd.{amount,\"expected_close\"}"),
    ("stages", "requires=ov.{amount,owner_id}"),
    ("stages", "or=(requires.cs.{amount,owner_id},name.eq.Won)"),
    ("activities", "body=plfts.call back"),
    ("activities", "body=fts(english).price%26quote"),
    ("activities", "body=wfts(german).\"fester Preis\" -rabatt"),
    ("activities", "body=not.phfts.call back"),
    ("contacts", "q=nina example"),
    ("contacts", "q=50%25_\\"),
    ("settings", "value->>currency=eq.INR"),
    ("settings", "value->a->0->>b=is.null"),
    ("settings", "value->a=eq.[1,2]"),
    ("settings", "value=cs.{\"a\":1}"),
    ("settings", "value->>\"first-name\"=like.N*"),
];

const ORDERS: Queries = &[
    ("contacts", "order=last_name"),
    ("contacts", "order=last_name.desc"),
    ("contacts", "order=last_name.desc.nullslast"),
    ("contacts", "order=last_name.nullsfirst,first_name.desc"),
    ("contacts", "order=created_at.desc,id.desc"),
    ("contacts", "order=id"),
    ("settings", "order=value->>currency.desc"),
    ("events", "order=seq.desc"),
    ("settings", ""),
];

const SELECTIONS: Queries = &[
    ("contacts", "select=id"),
    ("contacts", "select=*"),
    ("contacts", "select=id,name:first_name"),
    ("contacts", "select=id,firstName:first_name&order=last_name"),
    ("deals", "select=amount,sum:amount"),
    ("settings", "select=key,value->a->>b,first:value->0"),
    ("stages", "select=name,requires"),
];

const EMBEDS: Queries = &[
    ("deals", "select=title,contacts(first_name)"),
    ("deals", "select=title,contact:contacts(id,first_name)"),
    ("deals", "select=title,contact(first_name)"),
    ("deals", "select=title,contact_id(first_name)"),
    ("deals", "select=title,contacts!contact_id(first_name)"),
    ("deals", "select=title,contacts!inner(first_name)&contacts.state=eq.active"),
    ("deals", "select=title,contacts(*)&contacts.state=eq.active"),
    ("deals", "select=*,organizations(name),stages(name),pipelines(name)"),
    ("organizations", "select=name,contacts(first_name)"),
    ("organizations", "select=name,contacts(first_name)&contacts.order=last_name.desc&contacts.limit=3"),
    ("organizations", "select=name,people:contacts(first_name)&people.or=(state.eq.active,email.is.null)"),
    ("organizations", "select=name,contacts!inner(first_name)&contacts.first_name=eq.Nina"),
    ("organizations", "select=name,deals(title,amount,activities(subject,due_at))&deals.activities.order=due_at"),
    ("organizations", "select=name,deals!inner(title,contacts!inner(first_name))&deals.contacts.state=eq.active"),
    ("deals", "select=title,stages(name,pipelines(name))&order=amount.desc&limit=10"),
    ("deals", "select=title,activities(count())"),
    ("organizations", "select=name,deals(stage_id,count(),amount.sum())"),
    ("contacts", "select=id,contacts(id)"),
    ("contacts", "select=id,merged_into(id)"),
    ("users", "select=email,locations(code)"),
    ("locations", "select=code,users(email)&users.order=email"),
    ("roles", "select=code,role_grants(permission)"),
];

const AGGREGATES: Queries = &[
    ("deals", "select=count()"),
    ("deals", "select=stage_id,count(),total:amount.sum()"),
    ("deals", "select=stage_id,count(),total:amount.sum()&order=total.desc&limit=3"),
    ("deals", "select=currency,amount.avg(),least:amount.min(),most:amount.max()&closed_at=is.null&order=currency"),
    ("deals", "select=first:created_at.min(),contact_id.count()"),
    ("settings", "select=kind:value->>kind,count()"),
    ("activities", "select=kind,n:count()&owner_id=not.is.null&q=call"),
];

const COUNTS: &[(&str, &str, Count)] = &[
    ("contacts", "state=eq.active", Count::Exact),
    ("contacts", "state=eq.active&first_name=like.50%25*", Count::Planned),
    ("locations", "kind=eq.office&name=like.50%25*", Count::Planned),
    ("locations", "kind=in.(office,\"it's\")", Count::Estimated),
    ("deals", "select=stage_id,count()", Count::Exact),
    ("organizations", "select=name,contacts!inner(id)", Count::Exact),
];

fn everything(_: &Resource, _: Verb) -> Result<()> {
    Ok(())
}

fn statement(world: &World, resource: &str, query: &str, count: Option<Count>) -> Result<Sql> {
    let catalog = world.app.engine.catalog();
    let sight = Sight { catalog, may: &everything };
    let request = ListRequest::parse(query)?;
    let shape = Shape::from(&**catalog.resource(resource).unwrap());
    Ok(render_list(&ListPlan::new(sight, shape, &request)?, count))
}

/// The statement with its values below. The frame around rows that are not counted is always the same.
fn shown(sql: &Sql, framed: bool) -> String {
    let text = match sql.text().split_once("as size from (") {
        Some((_, inner)) if !framed => inner.strip_suffix(FRAME_END).unwrap(),
        _ => sql.text(),
    };
    let text = text.replace(" from (", "\n  from (").replace(" where ", "\n  where ").replace(" cross ", "\n  cross ");
    let values: Vec<String> = sql.values().iter().enumerate().map(|(n, v)| format!("${}={v:?}", n + 1)).collect();
    format!("{text}\n  {}", values.join(" ").replace("Value(Some(\"", "\"").replace("\"))", "\""))
}

const FRAME_END: &str = " offset 0) p window w as (rows unbounded preceding)) s) l";

/// All statements of a theme, and that PostgreSQL answers each of them for the owner of a demo company.
async fn golden(world: &World, queries: impl IntoIterator<Item = (&str, &str, Option<Count>)>) -> String {
    let owner = world.user("acme", "owner").await;
    let mut text = String::new();
    for (resource, query, count) in queries {
        let sql =
            statement(world, resource, query, count).unwrap_or_else(|error| panic!("{resource}?{query}: {error:?}"));
        text.push_str(&format!("GET /{resource}?{query}\n{}\n\n", shown(&sql, count.is_some())));
        let mut request =
            owner.request(reqwest::Method::GET, &format!("/api/v1/{resource}?{}", query.replace(' ', "%20")));
        if let Some(count) = count {
            request = request.header("prefer", &format!("count={count:?}").to_lowercase());
        }
        let answer = request.send().await;
        assert!(answer.status.is_success(), "{resource}?{query}: {}", answer.text);
        assert_eq!(count.is_some(), answer.json()["total_count"].is_number(), "{}", answer.text);
    }
    text
}

fn uncounted(queries: Queries) -> impl Iterator<Item = (&'static str, &'static str, Option<Count>)> {
    queries.iter().map(|(resource, query)| (*resource, *query, None))
}

#[tokio::test]
async fn every_kind_of_query_is_one_statement_that_postgresql_answers() {
    let world = World::new().await;
    insta::assert_snapshot!("filters", golden(&world, uncounted(FILTERS)).await);
    insta::assert_snapshot!("orders", golden(&world, uncounted(ORDERS)).await);
    insta::assert_snapshot!("selections", golden(&world, uncounted(SELECTIONS)).await);
    insta::assert_snapshot!("embeds", golden(&world, uncounted(EMBEDS)).await);
    insta::assert_snapshot!("aggregates", golden(&world, uncounted(AGGREGATES)).await);
    let counts = COUNTS.iter().map(|(resource, query, count)| (*resource, *query, Some(*count)));
    insta::assert_snapshot!("counts", golden(&world, counts).await);
}
