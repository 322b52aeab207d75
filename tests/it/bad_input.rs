//! Bad requests over all resources: each is refused with words that help, nothing changes, and nothing of the database
//! shows in the answer.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::{COMPANIES, Office, made};
use super::world::{Answer, Request, User};
use insula::pack;

/// What names of the database begin with that are no words of the API itself.
const STARTS: [&str; 14] = [
    "com_",
    "crm_",
    "fin_",
    "oms_",
    "sch_",
    "shop_",
    "sls_",
    "sys_",
    "app_",
    "tenant_",
    "pg_",
    "it_",
    "uuid_v7",
    "information_schema",
];

/// What a test of bad input knows of the database: names that no answer may hold, and all that is stored.
pub struct Watch {
    names: BTreeSet<String>,
    stored: String,
    before: Vec<String>,
}

impl Watch {
    pub async fn begin(office: &Office) -> Self {
        let schema = format!("tenant_{}", office.company.0);
        let names = "select relname::text from pg_class where relnamespace = any (array['public', 'insula', 'TENANT']::regnamespace[])
            union select conname from pg_constraint where connamespace = any (array['public', 'TENANT']::regnamespace[])
            union select proname from pg_proc where pronamespace = any (array['insula', 'TENANT']::regnamespace[])
            union select nspname from pg_namespace where nspname <> 'insula' union select rolname from pg_roles";
        let names = office.texts(&names.replace("TENANT", &schema)).await.into_iter();
        let inner = |name: &String| STARTS.iter().any(|start| name.starts_with(start));
        let names = names.filter(inner);
        // One line per table: how many rows, and a hash over all of them. Signing in is not a change.
        let lines = "select string_agg(format(
              'select %L || count(*) || '' '' || coalesce(md5(string_agg(t::text, '','' order by t::text)), '''') from %I t', relname || ' ', relname),
              ' union all ' order by relname)
            from pg_class where relnamespace = 'TENANT'::regnamespace and relkind = 'r' and relname <> 'sys_session'";
        let stored = office.text(&lines.replace("TENANT", &schema)).await;
        let mut watch = Self { names: names.collect(), stored, before: Vec::new() };
        assert!(watch.names.len() > 100);
        watch.before = watch.look(office).await;
        assert!(watch.before.iter().filter(|line| !line.contains(" 0 ")).count() > 20, "{:?}", watch.before);
        watch
    }

    async fn look(&self, office: &Office) -> Vec<String> {
        office.texts(&self.stored).await.into_iter().collect()
    }

    /// A refusal: no fault of ours, nothing of the database in its words.
    #[track_caller]
    pub fn refused(&self, answer: &Answer, what: &str) -> Value {
        let status = answer.status.as_u16();
        assert!((400..500).contains(&status), "{what}: {status} {}", answer.text);
        self.discreet(answer, what);
        answer.problem(status)
    }

    /// Nothing of the database shows in an answer that is not a success.
    #[track_caller]
    pub fn discreet(&self, answer: &Answer, what: &str) {
        let text = answer.text.to_lowercase();
        for name in self.names.iter().map(String::as_str).chain([
            "sqlstate",
            "postgres",
            "insert into",
            "select ",
            "violates",
            "relation ",
            "syntax error",
            "serde",
            "panick",
        ]) {
            assert!(!text.contains(name), "{what}: `{name}` in {}", answer.text);
        }
    }

    /// All that was stored is still stored, and nothing else.
    pub async fn nothing_changed(&self, office: &Office) {
        assert_eq!(self.look(office).await, self.before);
    }
}

fn json_request(user: &User<'_>, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Request {
    user.request(method, path).body("application/json", body.into())
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_everywhere() {
    for company in COMPANIES {
        send_what_is_no_object(&Office::of(company).await).await;
    }
}

async fn send_what_is_no_object(office: &Office) {
    let owner = office.user("owner").await;
    let watch = Watch::begin(office).await;
    let (deep, wide) = (format!("{}1{}", "[".repeat(4000), "]".repeat(4000)), "{\"a\":".repeat(4000));
    let bodies: [(&[u8], u16); 14] = [
        (b"", 400),
        (b"{", 400),
        (b"{\"a\":1,}", 400),
        (b"{'a':1}", 400),
        (b"{\"a\":1} trailing", 400),
        (b"{\"a\":\"\xff\xfe\"}", 400),
        (b"{\"a\":\"\\ud800\"}", 400),
        (b"{\"a\":1e999}", 400),
        (deep.as_bytes(), 422),
        (wide.as_bytes(), 400),
        (b"[]", 422),
        (b"[{}]", 422),
        (b"\"text\"", 422),
        (b"null", 422),
    ];
    for (resources, method) in [
        (office.resources_with(pack::Method::Create), Method::POST),
        (office.resources_with(pack::Method::Update), Method::PATCH),
    ] {
        assert!(resources.len() > 3, "{method}");
        for resource in resources {
            let resource = &resource.name;
            let path = match method {
                Method::POST => format!("/api/v1/{resource}"),
                _ => format!("/api/v1/{resource}/{}", Uuid::nil()),
            };
            for (body, status) in &bodies {
                let answer = json_request(&owner, method.clone(), &path, *body).send().await;
                let what = format!("{method} {path} {}", String::from_utf8_lossy(&body[..body.len().min(40)]));
                assert_eq!(answer.status.as_u16(), *status, "{what}: {}", answer.text);
                watch.refused(&answer, &what);
            }
            for kind in
                ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""]
            {
                let answer = owner.request(method.clone(), &path).body(kind, "{}").send().await;
                let problem = watch.refused(&answer, &path);
                assert_eq!(
                    (answer.status.as_u16(), &problem["code"]),
                    (415, &json!("unsupported_media_type")),
                    "{kind}"
                );
            }
            let bare = watch.refused(&owner.request(method.clone(), &path).send().await, &path);
            assert_eq!(
                (&bare["status"], &bare["hint"]),
                (&json!(415), &json!("Send the header Content-Type: application/json."))
            );
        }
    }
    watch.nothing_changed(office).await;
}

#[tokio::test]
async fn fields_that_do_not_exist_or_cannot_be_set_are_named() {
    for company in COMPANIES {
        send_fields_that_cannot_be_set(&Office::of(company).await).await;
    }
}

async fn send_fields_that_cannot_be_set(office: &Office) {
    let owner = office.user("owner").await;
    let watch = Watch::begin(office).await;
    for resource in office.resources_with(pack::Method::Update) {
        let path = format!("/api/v1/{}", resource.name);
        let row = format!("{path}/{}", Uuid::nil());
        for column in &resource.columns {
            let name = column.name.as_str();
            // One slip of the finger: the name that was meant is offered, unless it cannot be set.
            let slip = format!("{name}x");
            let (field, code) = if column.writable { (slip.as_str(), "unknown_field") } else { (name, "read_only") };
            let mut answers = vec![owner.patch(&row, json!({ field: "x" })).await];
            let takes = |maker: &pack::Action| maker.input.iter().any(|input| input.name == field);
            if resource.methods.contains(&pack::Method::Create) && !resource.maker.as_ref().is_some_and(takes) {
                answers.push(owner.post(&path, json!({ field: "x" })).await);
            }
            for answer in answers {
                let problem = watch.refused(&answer, field);
                assert_eq!(problem["status"], 422, "{}", answer.text);
                let faults = problem["errors"].as_array().unwrap();
                let fault = faults.iter().find(|fault| fault["pointer"] == format!("#/{field}")).unwrap();
                assert_eq!(fault["code"], code, "{path} {field}");
                if column.writable {
                    assert_eq!(fault["detail"], format!("is not a field; did you mean `{name}`?"));
                }
            }
        }
        for strange in ["", "a/b~c", "\0", "id\"; drop table x --", "zzzzzzzzzzzz", "ñ", "__proto__"] {
            let problem = watch.refused(&owner.patch(&row, json!({ strange: 1 })).await, strange);
            let pointer = format!("#/{}", strange.replace('~', "~0").replace('/', "~1"));
            assert_eq!((&problem["status"], &problem["errors"][0]["pointer"]), (&json!(422), &json!(pointer)));
        }
        // Nothing to change is no fault, if there is a row.
        assert_eq!(owner.patch(&row, json!({})).await.status, 404);
    }
    watch.nothing_changed(office).await;
}

#[tokio::test]
async fn all_faults_come_at_once_and_the_last_of_two_counts() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let contact = json!({ "first_name": 5, "emial": "a@b.example", "state": "active", "organization_id": "x" });
    let problem = owner.post("/api/v1/contacts", contact).await.problem(422);
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    assert_eq!(pointers, ["#/first_name", "#/emial", "#/state", "#/organization_id"]);
    let twice = br#"{"name":"First","name":"Second"}"#;
    let reason = made(json_request(&owner, Method::POST, "/api/v1/lost_reasons", *twice).send().await);
    assert_eq!(owner.get(&format!("/api/v1/lost_reasons/{reason}")).await.ok()["name"], "Second");
    let same = owner.patch(&format!("/api/v1/lost_reasons/{reason}"), json!({})).await.ok();
    assert_eq!((&same["name"], &same["row_version"]), (&json!("Second"), &json!(1)));
}

const OPERATORS: &str = "Operators are eq, neq, gt, gte, lt, lte, like, ilike, match, imatch, in, is, isdistinct, cs, cd, ov, \
    fts, plfts, phfts, wfts.";

#[tokio::test]
async fn a_query_that_cannot_be_answered_says_which_parameter_and_what_was_meant() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let watch = Watch::begin(&office).await;
    for (query, parameter, hint) in [
        ("stat=eq.active", "stat", "Did you mean `state`?"),
        ("zzzzzzzz=eq.1", "zzzzzzzz", ""),
        ("first_name=Asha", "first_name", "For example first_name=eq.Asha"),
        ("first_name=equals.Asha", "first_name", OPERATORS),
        ("first_name=eqq.Asha", "first_name", "Did you mean `eq`?"),
        ("first_name=EQ.Asha", "first_name", "Did you mean `eq`?"),
        ("first_name=eq", "first_name", "For example first_name=eq.eq"),
        ("first_name=is.nul", "first_name", ""),
        ("first_name=is.true", "first_name", ""),
        ("first_name=eq.a%00b", "first_name", ""),
        ("owner_id=eq.me", "owner_id", ""),
        ("do_not_contact=eq.yes", "do_not_contact", ""),
        ("created_at=gt.yesterday", "created_at", ""),
        ("row_version=eq.1.0", "row_version", ""),
        ("row_version=eq.99999999999", "row_version", ""),
        ("limit=0", "limit", ""),
        ("limit=501", "limit", "A file, such as format=csv, may have more rows."),
        ("limit=-1", "limit", ""),
        ("limit=", "limit", ""),
        ("limit=99999999999999999999", "limit", ""),
        ("limit=5&limit=x", "limit", ""),
        ("order=", "order", ""),
        ("order=emial", "order", "Did you mean `email`?"),
        ("order=email.down", "order", ""),
        ("order=email,", "order", ""),
        ("order=email;drop%20table%20x", "order", ""),
        ("=eq.1", "", ""),
        ("id%22%20or%201=1--=eq.1", "id\" or 1", ""),
    ] {
        let answer = owner.get(&format!("/api/v1/contacts?{query}")).await;
        let problem = watch.refused(&answer, query);
        let fault = &problem["errors"][0];
        assert_eq!(
            (&problem["status"], &fault["parameter"]),
            (&json!(400), &json!(parameter)),
            "{query} {}",
            answer.text
        );
        assert_eq!(problem["hint"].as_str().unwrap_or_default(), hint, "{query}");
        assert!(fault["detail"].as_str().unwrap().len() > 10, "{query}");
    }
    for path in
        ["contacts?first_name=eq.%ff%fe", "contacts?%c3=eq.1", "reports/pipeline?stage=eq.%ff", "contacts?a=%ed%a0%80"]
    {
        let problem = watch.refused(&owner.get(&format!("/api/v1/{path}")).await, path);
        assert_eq!(problem["detail"], "The query is not valid UTF-8.", "{path}");
    }
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_not_found_or_misspelt() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let watch = Watch::begin(&office).await;
    let id = Uuid::now_v7();
    for (path, status, hint) in [
        ("contact", 404, "Did you mean `contacts`?"),
        ("Contacts", 404, "Did you mean `contacts`?"),
        ("organisations", 404, "Did you mean `organizations`?"),
        ("xylophone", 404, ""),
        ("contacts/", 404, ""),
        ("contacts/1", 404, ""),
        ("contacts/not-a-uuid", 404, ""),
        (&format!("contacts/{id}x"), 404, ""),
        (&format!("contacts/{id}"), 404, ""),
        (&format!("contacts/{id}/deals"), 404, ""),
        ("contacts/%00", 404, ""),
        ("contacts/'%20or%201=1", 404, ""),
        ("contacts/%2e%2e%2fdeals", 404, ""),
        ("events/1e3", 404, ""),
        ("events/99999999999999999999999", 404, ""),
        ("settings/%00", 404, ""),
        ("reports/", 404, ""),
        ("reports/pipelin", 404, ""),
        ("contacts/%ff", 400, ""),
        ("%ff%fe", 400, ""),
        ("reports/%c3%28", 400, ""),
    ] {
        let answer = owner.get(&format!("/api/v1/{path}")).await;
        let problem = watch.refused(&answer, path);
        assert_eq!(
            (&problem["status"], problem["hint"].as_str().unwrap_or_default()),
            (&json!(status), hint),
            "{path}"
        );
    }
    let input = json!({ "stage_id": id });
    for path in
        [format!("deals/{id}/actions/moves"), "deals/x/actions/move".to_owned(), format!("deal/{id}/actions/move")]
    {
        watch.refused(&owner.post(&format!("/api/v1/{path}"), input.clone()).await, &path);
    }
    for method in [Method::PUT, Method::OPTIONS, Method::TRACE, Method::from_bytes(b"BREW").unwrap()] {
        let answer = owner.request(method.clone(), "/api/v1/contacts").send().await;
        assert_eq!(watch.refused(&answer, method.as_str())["status"], 405, "{method}");
        assert!(answer.headers["allow"].to_str().unwrap().contains("POST"));
    }
    watch.nothing_changed(&office).await;
}
