//! What packs do by themselves and for anybody: bad declarations are refused with file, line and a guess at what was meant. And the names
//! that customers know: resources and reports of the packs of the house.

use std::collections::BTreeSet;

use reqwest::Method;

use super::pack_check::{Folder, MANIFEST, SQL};
use super::world::World;

/// The library with a job, of which some text is changed. Its sections begin in the lines 7, 13 and 18; the job is in 22 to 24.
fn with_job(from: &str, to: &str, function: &str) -> Folder {
    let job = "[job.remind]\nfunction = \"library_remind\"\nevery = \"1 day\"\n\n[role.librarian]";
    let manifest = MANIFEST.replace("[role.librarian]", job);
    assert!(manifest.contains(from), "{from}");
    let sql = format!("{SQL}create function library_remind() returns {function};");
    Folder::new().with("library", &manifest.replace(from, to), &[("V1__books.sql", &sql)])
}

const INTEGER: &str = "int language sql as 'select 1'";

#[test]
fn a_job_has_a_name_a_function_and_a_time() {
    assert_eq!(with_job("", "", INTEGER).complaints(), [""; 0]);
    for every in ["1 dya", "day", "0 days", "32 days", "1 week"] {
        let expected = "library/pack.toml:24: job `remind`: `every` is a time such as `5 minutes`, `1 hour` or `1 day`, at most 31 days";
        assert_eq!(with_job("1 day", every, INTEGER).complaints(), [expected], "{every}");
    }
    let name = with_job("[job.remind]", "[job.Re-Mind]", INTEGER).complaints();
    assert_eq!(name, ["library/pack.toml:22: `Re-Mind` cannot be the name of a job"]);
    let key = with_job("every =", "evry =", INTEGER).complaints().remove(0);
    assert!(key.starts_with("library/pack.toml:24: unknown field `evry`, expected `function` or `every`"), "{key}");
}

#[tokio::test]
async fn the_function_of_a_job_is_there_takes_nothing_and_tells_a_number() {
    let world = World::new().await;
    assert_eq!(with_job("", "", INTEGER).in_database(&world).await, [""; 0]);
    let named = |name: &str| with_job("function = \"library_remind\"", &format!("function = \"{name}\""), INTEGER);
    let expected =
        "library/pack.toml:23: there is no function `library_remnd` without arguments; did you mean `library_remind`?";
    assert_eq!(named("library_remnd").in_database(&world).await, [expected]);
    let expected = "library/pack.toml:23: there is no function `library_due` without arguments";
    assert_eq!(named("library_due").in_database(&world).await, [expected]);
    let text = with_job("", "", "text language sql as 'select ''many'''");
    let expected = "library/pack.toml:23: function `library_remind` must return int or bigint: what it did";
    assert_eq!(text.in_database(&world).await, [expected]);
}

#[test]
fn what_is_for_anybody_opens_nothing_else() {
    for (from, to, expected) in [
        (
            "readonly = [\"state\"]",
            "public = [\"delete\"]",
            "7: resource `books`: only list, get and create can be public",
        ),
        ("readonly = [\"state\"]", "public = [\"create\"]", "7: resource `books`: a public `create` needs a function"),
        (
            "readonly = [\"state\"]",
            "methods = [\"list\"]\npublic = [\"list\", \"get\"]",
            "7: resource `books`: what is `public` must be among its `methods`",
        ),
        (
            "readonly = [\"state\"]",
            "public = [\"list\"]",
            "7: the permission `books.view` is for anybody, and opens `view` of `books`, which is not public",
        ),
        (
            "permission = \"books.lend\"",
            "permission = \"books.edit\"\npublic = true",
            "13: the permission `books.edit` is for anybody, and opens `edit` of `books`, which is not public",
        ),
        (
            "permission = \"books.report\"",
            "permission = \"books.export\"\npublic = true",
            "18: the permission `books.export` is for anybody, and opens `export` of `books`, which is not public",
        ),
    ] {
        let found = Folder::library(from, to).complaints();
        assert_eq!(found[0], format!("library/pack.toml:{expected}"), "{to}");
    }
    let word = Folder::library("readonly = [\"state\"]", "public = [\"lst\"]").complaints().remove(0);
    assert!(word.starts_with("library/pack.toml:10: unknown variant `lst`, expected one of `list`, `get`"), "{word}");
    assert_eq!(Folder::library("readonly = [\"state\"]", "public = [\"list\", \"get\"]").complaints(), [""; 0]);
}

/// Names of the everyday, and who has them: a tenant of the demo.
const RESOURCES: [(&str, &str); 3] = [
    ("greenwood", "students teachers courses attendance marks fees receipts"),
    ("multistore", "customers products invoices expenses locations"),
    ("testcompany", "orders shipments stock zones"),
];
const REPORTS: [(&str, &str); 3] = [
    ("greenwood", "fee_statement fee_defaulters attendance report_card"),
    ("multistore", "location_performance trial_balance profit_loss ageing"),
    ("testcompany", "stock_audit"),
];

#[tokio::test]
async fn everyday_names_are_addresses() {
    let world = World::new().await;
    for (all, base, query) in
        [(RESOURCES, "/api/v1", ""), (REPORTS, "/api/v1/reports", "from=2000-01-01&to=2100-01-01")]
    {
        for (subdomain, names) in all {
            let owner = world.user(subdomain, "owner").await;
            let document = owner.request(Method::GET, "/openapi.json").send().await.ok();
            let paths: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
            for path in names.split_whitespace().map(|name| format!("{base}/{name}")) {
                assert!(paths.contains(&*path), "{subdomain} documents no {path}");
                let dated = ["trial_balance", "profit_loss"].iter().any(|name| path.ends_with(name));
                let answer = owner.get(&if dated { format!("{path}?{query}") } else { path }).await;
                assert_eq!(answer.ok()["object"], "list", "{}", answer.text);
            }
        }
    }
}
