//! Every error code has a page.

use std::collections::BTreeSet;
use std::path::Path;

use insula::docs::problems::{FAULTS, PROBLEMS, fault, path, problem};
use reqwest::Method;

use crate::world::World;

/// All text of files with an ending below a folder.
fn text(folder: &str, ending: &str) -> String {
    fn walk(folder: &Path, ending: &str, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, ending, text),
                path if path.to_string_lossy().ends_with(ending) => {
                    text.push_str(&std::fs::read_to_string(path).unwrap())
                }
                _ => {}
            }
        }
    }
    let mut all = String::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), ending, &mut all);
    all
}

/// The first word in quotes that stands as an argument of its own within the next `reach` characters.
fn argument(text: &str, reach: usize) -> Option<&str> {
    let end = text.char_indices().nth(reach).map_or(text.len(), |(at, _)| at);
    let (_, rest) =
        text[..end].split_once(", \"").or_else(|| text[..end].split_once(",\n")?.1.trim_start().split_once('"'))?;
    let word = rest.split('"').next()?;
    (!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')).then_some(word)
}

/// Codes that stand behind a call in our source.
fn codes_behind(source: &str, call: &str) -> BTreeSet<String> {
    source.split(call).skip(1).filter_map(|rest| argument(rest, 90)).map(str::to_owned).collect()
}

#[test]
fn every_code_of_the_source_is_registered() {
    let source = text("src", ".rs");
    let codes: BTreeSet<String> = ["Error::new(Kind::", "Self::new(Kind::", "Error::new("]
        .iter()
        .flat_map(|call| codes_behind(&source, call))
        .collect();
    assert!(codes.contains("module_not_enabled") && codes.contains("validation_failed"), "{codes:?}");
    let unknown: Vec<_> = codes.iter().filter(|code| problem(code).is_none() && fault(code).is_none()).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "describe them in src/docs/problems/registry.rs");
    let faults: BTreeSet<String> =
        [".field(", ".parameter(", " refuse("].iter().flat_map(|call| codes_behind(&source, call)).collect();
    assert!(faults.contains("unknown_field") && faults.contains("read_only"), "{faults:?}");
    // Places of faults are arguments too: only words with a code's look count.
    let unknown: Vec<_> = faults.iter().filter(|code| code.contains('_') && fault(code).is_none()).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "describe them in src/docs/problems/registry.rs");
}

#[test]
fn codes_are_registered_once() {
    let codes: BTreeSet<&str> = PROBLEMS.iter().map(|problem| problem.code).collect();
    assert_eq!(codes.len(), PROBLEMS.len());
    let faults: Vec<&str> = FAULTS.iter().map(|fault| fault.code).collect();
    assert!(faults.is_sorted() && faults.windows(2).all(|pair| pair[0] != pair[1]), "{faults:?}");
    assert!(
        PROBLEMS
            .iter()
            .all(|problem| [problem.meaning, problem.remedy, problem.example].iter().all(|text| text.ends_with('.')))
    );
}

#[tokio::test]
async fn every_code_has_a_page_on_every_host() {
    let world = World::new().await;
    let sql = text("sql", ".sql") + &text("migrations", ".sql");
    let raised = sql.split("app_fail('AP").skip(1).filter(|rest| !rest.contains("Example data goes only"));
    let raised: BTreeSet<String> = raised.filter_map(|rest| rest.split('\'').nth(2)).map(str::to_owned).collect();
    assert!(raised.contains("stage_requires") && raised.contains("frozen"), "{raised:?}");
    let demo_only = ["not_empty", "no_users"];
    let own =
        PROBLEMS.iter().map(|problem| problem.code.to_owned()).chain(FAULTS.iter().map(|fault| fault.code.to_owned()));
    for code in own.chain(raised).filter(|code| !demo_only.contains(&code.as_str())) {
        let page = world.request(Method::GET, "", &path(&code)).send().await;
        assert_eq!(page.status, 200, "{code}");
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert!(page.text.contains(&format!("<code>{code}</code>")), "{code}");
    }
    for host in ["", "acme", "admin", "nowhere"] {
        let list = world.request(Method::GET, host, "/problems").send().await;
        assert!(list.status == 200 && list.text.contains("href=\"/problems/module-not-enabled\""), "{host}");
    }
    for nothing in ["/problems/no-such-code", "/problems/%ff", "/problems/%3Cscript%3E"] {
        assert_eq!(world.request(Method::GET, "", nothing).send().await.problem(404)["code"], "not_found");
    }
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_page_and_the_title_stands_there() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    for path in ["/api/v1/nothing", "/api/v1/contacts?x=1"] {
        let problem = owner.get(path).await.json();
        let page = problem["type"].as_str().unwrap().strip_prefix("https://insula.test").unwrap().to_owned();
        let page = world.request(Method::GET, "", &page).send().await;
        let title = problem["title"].as_str().unwrap();
        assert!(page.status == 200 && page.text.contains(title), "{problem}");
    }
}
