//! The two trading companies of the demo, in which the stories of the commercial packs happen, and what the superuser knows of them.

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::crm_story::made;
use super::world::{Answer, User, World};

/// A company, the service, and the superuser's look at its tables.
pub struct Company {
    pub world: World,
    pub db: Client,
    subdomain: &'static str,
}

impl Company {
    /// `testcompany`, with a warehouse and a shop.
    pub async fn with_stock() -> Self {
        Self::open("testcompany").await
    }

    /// `multistore`, with three locations, invoices and a ledger.
    pub async fn with_books() -> Self {
        Self::open("multistore").await
    }

    async fn open(subdomain: &'static str) -> Self {
        let world = World::new().await;
        let db = world.superuser().await;
        db.batch_execute(&format!("set search_path = tenant_{subdomain}, insula; set timezone = 'UTC'")).await.unwrap();
        Self { world, db, subdomain }
    }

    pub async fn user(&self, mailbox: &str) -> User<'_> {
        self.world.user(self.subdomain, mailbox).await
    }

    /// The first column of the one row of a query, as text.
    pub async fn text(&self, sql: &str) -> String {
        let rows = self.db.query(&format!("select (x.v)::text from ({sql}) x (v)"), &[]).await.unwrap();
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0].get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// The key of the row of a table with this value.
    pub async fn id(&self, table: &str, column: &str, value: &str) -> String {
        self.text(&format!("select id from {table} where {column} = '{value}'")).await
    }

    /// A new product of one tax code.
    pub async fn product(&self, owner: &User<'_>, sku: &str, price: &str, tax: &str) -> String {
        let tax = self.id("com_tax_code", "code", tax).await;
        let product = json!({ "sku": sku, "name": sku, "list_price": price, "tax_code_id": tax, "hsn_sac": "7323" });
        made(owner.post("/api/v1/products", product).await)
    }

    /// What must never hold a row: stock that is not the sum of its moves, items settled otherwise than by allocations,
    /// entries that do not balance, and a ledger that was altered.
    pub async fn still_adds_up(&self) {
        let owner = self.user("owner").await;
        if self.subdomain == "testcompany" {
            assert_eq!(owner.rows("/api/v1/reports/stock_audit").await, Vec::<Value>::new());
        } else {
            assert_eq!(owner.rows("/api/v1/reports/ledger_check").await, Vec::<Value>::new());
            let off = "select count(*) from (select entry_id from fin_line join fin_entry e on e.id = entry_id
                where e.state = 'posted' group by 1 having sum(debit) <> sum(credit)) x";
            assert_eq!(self.text(off).await, "0", "entries that do not balance");
            let books = "select coalesce(sum(debit - credit), 0) from fin_line l join fin_entry e on e.id = l.entry_id
                and e.state = 'posted' join fin_account a on a.id = l.account_id and a.control = 'receivable'";
            let items = "select coalesce(sum(case side when 'due' then outstanding else -outstanding end), 0) from com_open_item
                where ledger = 'receivable'";
            let loose =
                "select coalesce(sum(unallocated), 0) from com_payment where state = 'posted' and direction = 'in'";
            let differ = format!("select ({books}) - ({items}) + ({loose}) = 0");
            assert_eq!(self.text(&differ).await, "true", "receivables of the ledger and of the open items");
        }
        let settled =
            "select count(*) from com_open_item i where settled <> coalesce((select sum(a.amount) from com_allocation a
            where a.open_item_id = i.id or a.credit_item_id = i.id), 0)";
        assert_eq!(self.text(settled).await, "0", "items settled otherwise than by allocations");
    }
}

/// Performs an action.
pub async fn act(user: &User<'_>, resource: &str, id: &str, action: &str, input: Value) -> Answer {
    user.post(&format!("/api/v1/{resource}/{id}/actions/{action}"), input).await
}

/// The code of a refusal: that of its first field at fault, where there is one.
#[track_caller]
pub fn refused(answer: &Answer) -> (u16, String) {
    let status = answer.status.as_u16();
    assert!(status >= 400, "not refused: {}", answer.text);
    let problem = answer.problem(status);
    let code = problem["errors"][0]["code"].as_str().or(problem["code"].as_str()).unwrap();
    (status, code.to_owned())
}

/// Asserts that an answer refuses with a status and a code.
#[track_caller]
pub fn refuses(answer: &Answer, status: u16, code: &str) {
    assert_eq!(refused(answer), (status, code.to_owned()), "{}", answer.text);
}
