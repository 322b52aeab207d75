//! The offices of the demo's companies, in the first place that of acme, in which the stories of the crm pack happen, and
//! what the superuser knows of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use insula::pack::{Method, Resource};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::world::{Answer, User, World};

/// A company of the demo, and the modules that are tried there.
pub type Company = (&'static str, &'static [&'static str]);

/// Companies in which every module is tried once.
pub const COMPANIES: [Company; 4] = [
    ("acme", &["system_admin", "crm"]),
    ("testcompany", &["commerce_base", "oms_fulfillment", "d2c_storefront"]),
    ("multistore", &["sales", "finance"]),
    ("greenwood", &["school_core", "school_attendance", "school_marks", "school_fees"]),
];

/// Where a company works: the service, and the superuser's look at its tables.
pub struct Office {
    pub world: World,
    pub db: Client,
    pub company: Company,
}

impl Office {
    /// The sales office of acme.
    pub async fn open() -> Self {
        Self::of(COMPANIES[0]).await
    }

    pub async fn of(company: Company) -> Self {
        let world = World::new().await;
        let db = world.superuser().await;
        db.batch_execute(&format!("set search_path = tenant_{}, insula; set timezone = 'UTC'", company.0))
            .await
            .unwrap();
        Self { world, db, company }
    }

    pub async fn user(&self, mailbox: &str) -> User<'_> {
        self.world.user(self.company.0, mailbox).await
    }

    /// Resources of the modules that are tried here.
    pub fn resources(&self) -> Vec<Arc<Resource>> {
        let tried = |resource: &&Arc<Resource>| self.company.1.contains(&&*resource.module);
        self.world.app.engine.catalog().resources().filter(tried).cloned().collect()
    }

    /// Those of them that offer a method.
    pub fn resources_with(&self, method: Method) -> Vec<Arc<Resource>> {
        self.resources().into_iter().filter(|resource| resource.methods.contains(&method)).collect()
    }

    /// The key of a user.
    pub async fn id(&self, mailbox: &str) -> String {
        self.text(&format!("select id::text from sys_user where email = '{mailbox}@{}.test'", self.company.0)).await
    }

    /// The key of a stage of the pipeline that the pack brings.
    pub async fn stage(&self, name: &str) -> String {
        self.text(&format!("select id::text from crm_stage where name = '{name}'")).await
    }

    /// The first column of the one row of a query.
    pub async fn text(&self, sql: &str) -> String {
        let rows = self.db.query(sql, &[]).await.unwrap();
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0].get(0)
    }

    /// The first column of all rows, as a set.
    pub async fn texts(&self, sql: &str) -> BTreeSet<String> {
        self.db.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Rows of a query as JSON, in a fixed order.
    pub async fn json_rows(&self, sql: &str) -> Vec<String> {
        let sql = format!("select to_jsonb(r)::text from ({sql}) r order by 1");
        let rows = self.db.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str::<Value>(row.get(0)).unwrap().to_string()).collect()
    }

    /// Records that hang together across owners: what sees what is not obvious here.
    ///
    /// sales2 reports to sales1, who reports to the manager. An organization of the owner has a contact of sales1, one
    /// of sales2 has a deal of sales1; activities hang on deals of others; two phones are shared across scopes.
    pub async fn tangle(&self) {
        let (owner, admin, manager) = (self.user("owner").await, self.user("admin").await, self.user("manager").await);
        let (sales1, sales2) = (self.id("sales1").await, self.id("sales2").await);
        admin.patch(&format!("/api/v1/reporting_lines/{sales2}"), json!({ "manager_id": sales1 })).await.ok();

        let holdings = made(owner.post("/api/v1/organizations", json!({ "name": "Owner Holdings" })).await);
        let secret = json!({ "first_name": "Olga", "phone": "+918012345678", "organization_id": holdings });
        let olga = made(owner.post("/api/v1/contacts", secret).await);
        let deal = json!({ "title": "Board matter", "contact_id": olga, "amount": "777777.77" });
        let board = made(owner.post("/api/v1/deals", deal).await);
        let call = json!({ "kind": "call", "subject": "Board call", "deal_id": board });
        owner.post("/api/v1/activities", call).await.ok();
        let twin =
            json!({ "first_name": "Olga", "phone": "+918012345678", "organization_id": holdings, "owner_id": sales1 });
        made(owner.post("/api/v1/contacts", twin).await);

        let shared = json!({ "name": "Shared Works", "owner_id": sales2 });
        let shared = made(manager.post("/api/v1/organizations", shared).await);
        let deal = json!({ "title": "Works rollout", "organization_id": shared, "owner_id": sales1 });
        let rollout = made(manager.post("/api/v1/deals", deal).await);
        let visit = json!({ "kind": "meeting", "subject": "Manager joins", "deal_id": rollout });
        manager.post("/api/v1/activities", visit).await.ok();
        let note = json!({ "kind": "note", "subject": "Owner's note", "organization_id": shared });
        owner.post("/api/v1/activities", note).await.ok();
        for (name, of) in [("Ravi", &sales1), ("Rita", &sales2)] {
            let person = json!({ "first_name": name, "phone": "+918055555555", "owner_id": of });
            made(manager.post("/api/v1/contacts", person).await);
        }
        let gone = json!({ "first_name": "Gone", "phone": "+918055555555", "owner_id": sales1 });
        let gone = made(manager.post("/api/v1/contacts", gone).await);
        manager.post(&format!("/api/v1/contacts/{gone}/actions/archive"), json!({})).await.ok();
    }
}

/// The key of what was just created.
#[track_caller]
pub fn made(answer: Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Status, code, sentence and faults of a refusal, as a caller reads them.
pub fn refusal(answer: &Answer) -> String {
    assert!(answer.status.as_u16() >= 400, "not refused: {}", answer.text);
    let problem = answer.problem(answer.status.as_u16());
    let faults = problem["errors"].as_array().cloned().unwrap_or_default();
    let line =
        |fault: Value| format!("\n  {} {}: {}", fault["pointer"], fault["code"], fault["detail"]).replace('"', "");
    let (code, detail) = (problem["code"].as_str().unwrap(), problem["detail"].as_str().unwrap());
    let faults: String = faults.into_iter().map(line).collect();
    format!("{} {code}: {detail}{faults}", answer.status.as_u16())
}

/// The refusals of several writes, one below the other.
pub async fn refusals(user: &User<'_>, writes: &[(&str, &str, Value)]) -> String {
    let mut said = String::new();
    for (method, path, body) in writes {
        let path = format!("/api/v1/{path}");
        let answer = match *method {
            "POST" => user.post(&path, body.clone()).await,
            "PATCH" => user.patch(&path, body.clone()).await,
            _ => user.delete(&path).await,
        };
        said.push_str(&refusal(&answer));
        said.push('\n');
    }
    said
}

/// The keys in rows of a list.
pub fn keys(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Everybody in the office.
pub const EVERYBODY: [&str; 5] = ["owner", "admin", "manager", "sales1", "sales2"];

/// The resources with a row scope.
pub const SCOPED: [&str; 5] = ["contacts", "organizations", "deals", "activities", "deal_stage_log"];

/// The users whose records somebody sees, as SQL; written from the specification, not from the pack.
pub fn owners_seen_by(mailbox: &str) -> String {
    match mailbox {
        "owner" | "admin" => "select id from sys_user".to_owned(),
        "manager" => format!(
            "with recursive team (id) as (
               select id from sys_user where email = '{mailbox}@acme.test'
               union select e.user_id from sys_org_edge e join team on team.id = e.manager_id)
             select id from team"
        ),
        _ => format!("select id from sys_user where email = '{mailbox}@acme.test'"),
    }
}

/// The keys of the rows of a resource that somebody sees, as SQL.
pub fn rows_seen_by(mailbox: &str, resource: &str) -> String {
    let owners = owners_seen_by(mailbox);
    let deals = format!("select id from crm_deal where owner_id in ({owners})");
    match resource {
        "contacts" => format!("select id::text from crm_contact where owner_id in ({owners})"),
        "deals" => format!("select id::text from crm_deal where owner_id in ({owners})"),
        "organizations" => format!(
            "select id::text from crm_organization where owner_id in ({owners})
             union select organization_id::text from crm_contact
               where organization_id is not null and owner_id in ({owners})
             union select organization_id::text from crm_deal
               where organization_id is not null and owner_id in ({owners})"
        ),
        "activities" => {
            format!("select id::text from crm_activity where owner_id in ({owners}) or deal_id in ({deals})")
        }
        "deal_stage_log" => format!("select id::text from crm_deal_stage_log where deal_id in ({deals})"),
        other => panic!("{other} has no scope"),
    }
}

/// The table behind a scoped resource.
pub fn table(resource: &str) -> &'static str {
    match resource {
        "contacts" => "crm_contact",
        "organizations" => "crm_organization",
        "deals" => "crm_deal",
        "activities" => "crm_activity",
        _ => "crm_deal_stage_log",
    }
}

#[tokio::test]
async fn every_module_is_tried_in_a_company() {
    let world = World::new().await;
    let tried: BTreeSet<&str> = COMPANIES.iter().flat_map(|company| company.1.iter().copied()).collect();
    let packs = world.app.engine.catalog().packs();
    assert_eq!(tried, packs.iter().map(|pack| &*pack.manifest.code).collect());
}
