//! No relation is a way round the scope: whatever is embedded, required, counted or added up through any relation of the
//! catalogue is among the rows that the same user lists. The relations come from the catalogue by themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::crm_story::Office;
use super::school::School;
use super::world::{User, World};

/// What a user lists of each resource, by its key; resources that he may not view are left out.
async fn listed(world: &World, user: &User<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for resource in world.app.engine.catalog().resources() {
        let key = resource.key.name.as_str();
        let path = format!("/api/v1/{}?select={key}&limit=500", resource.name);
        let answer = user.get(&path).await;
        if answer.status == 200 {
            let page = answer.json();
            assert_eq!(page["has_more"], false, "there are few {}", resource.name);
            all.insert(
                resource.name.clone(),
                page["data"].as_array().unwrap().iter().map(|row| text(&row[key])).collect(),
            );
        }
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The rows of `e` in a row: an object, null, or many.
fn embedded(row: &Value) -> Vec<&Value> {
    match &row["e"] {
        Value::Null => Vec::new(),
        Value::Array(rows) => rows.iter().collect(),
        one => vec![one],
    }
}

/// The ways to embed one resource in another, as `select` names them: none, the plain name, or one for each hint.
async fn ways(user: &User<'_>, from: &str, to: &str) -> Vec<String> {
    let answer = user.get(&format!("/api/v1/{from}?select=e:{to}(*)&limit=1")).await;
    match answer.json()["errors"][0]["code"].as_str() {
        None if answer.status == 200 => vec![to.to_owned()],
        Some("ambiguous_embed") => {
            let hint = answer.json()["hint"].as_str().unwrap().to_owned();
            hint.split([' ', ','])
                .filter_map(|word| word.strip_suffix("(…)"))
                .filter(|way| way.contains('!'))
                .map(str::to_owned)
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Follows every relation of the catalogue between what a user lists; gives the relations and the rows that were met.
async fn follow_all(world: &World, user: &User<'_>, mailbox: &str) -> (usize, usize) {
    let catalog = world.app.engine.catalog();
    let key = |name: &str| catalog.resource(name).unwrap().key.name.as_str();
    let (mut tried, mut met) = (0, 0);
    let mine = listed(world, user).await;
    for (from, own) in &mine {
        for (to, others) in &mine {
            for way in ways(user, from, to).await {
                let base = format!("/api/v1/{from}?select={}", key(from));
                let story = format!("{mailbox}: {from} embeds {way}");
                let rows = user.rows(&format!("{base},e:{way}({})", key(to))).await;
                let seen: BTreeSet<String> = rows.iter().flat_map(embedded).map(|row| text(&row[key(to)])).collect();
                assert!(seen.is_subset(others), "{story} shows {:?}", seen.difference(others));
                assert_eq!(rows.len(), own.len(), "{story} hides or adds rows above");
                let with: BTreeSet<String> =
                    rows.iter().filter(|row| !embedded(row).is_empty()).map(|row| text(&row[key(from)])).collect();
                let required = user.rows(&format!("{base},e:{way}!inner({})", key(to))).await;
                let kept: BTreeSet<String> = required.iter().map(|row| text(&row[key(from)])).collect();
                assert_eq!(kept, with, "{story}: requiring tells more than showing");
                counts(user, &base, &way, &rows, &story).await;
                (tried, met) = (tried + 1, met + seen.len());
            }
        }
    }
    (tried, met)
}

#[tokio::test]
async fn no_relation_shows_a_parent_more_than_the_own_children() {
    let school = School::open().await;
    let (tried, met) = follow_all(&school.world, &school.user("parent").await, "parent").await;
    assert!(tried > 40 && met > 300, "{tried} relations tried, {met} rows met");
}

#[tokio::test]
async fn no_relation_shows_or_counts_a_row_out_of_scope() {
    let office = Office::open().await;
    office.tangle().await;
    let (mut tried, mut met) = (0, 0);
    for mailbox in ["sales1", "sales2", "manager"] {
        let (ways, rows) = follow_all(&office.world, &office.user(mailbox).await, mailbox).await;
        (tried, met) = (tried + ways, met + rows);
    }
    assert!(tried > 100 && met > 300, "{tried} relations tried, {met} rows met");
}

/// Counting through a relation counts what is shown, for those who may add up.
async fn counts(user: &User<'_>, base: &str, way: &str, rows: &[Value], story: &str) {
    let answer = user.get(&format!("{base},e:{way}(count())&limit=500")).await;
    if answer.status == 403 {
        return;
    }
    let counted = answer.ok();
    let counted: i64 =
        counted["data"].as_array().unwrap().iter().flat_map(embedded).map(|row| row["count"].as_i64().unwrap()).sum();
    assert_eq!(counted, rows.iter().map(|row| embedded(row).len() as i64).sum::<i64>(), "{story}: counted");
}

#[tokio::test]
async fn counting_and_adding_up_count_the_listed_rows() {
    let office = Office::open().await;
    office.tangle().await;
    let mut counted = 0;
    for mailbox in ["sales1", "manager"] {
        let user = office.user(mailbox).await;
        for (resource, own) in listed(&office.world, &user).await {
            for count in ["exact", "planned", "estimated"] {
                let path = format!("/api/v1/{resource}?limit=1");
                let answer =
                    user.request(reqwest::Method::GET, &path).header("prefer", &format!("count={count}")).send().await;
                let scoped = office.world.app.engine.catalog().resource(&resource).unwrap().scoped;
                if scoped || count == "exact" {
                    assert_eq!(answer.ok()["total_count"], own.len(), "{mailbox} {resource} {count}");
                }
            }
            let sum = user.get(&format!("/api/v1/{resource}?select=count()")).await;
            if sum.status == 200 {
                assert_eq!(sum.json()["data"][0]["count"], own.len(), "{mailbox} adds up {resource}");
                counted += 1;
            }
        }
    }
    assert!(counted > 5, "{counted}");
}
