//! The fees of a school that keeps a ledger: what is collected and cancelled is income at once, to the paisa.

use serde_json::{Value, json};

use super::crm_story::made;
use super::school::School;
use super::trade_story::{Company, act, refuses};
use super::world::User;

/// The school with the module `finance`, and the accountant, whose rights came with it.
async fn with_finance(school: &School) -> User<'_> {
    let tenant = school.world.tenant_id("greenwood").await;
    school.world.staff().await.put(&format!("/api/v1/tenants/{tenant}/modules/finance")).await.ok();
    school.user("accountant").await
}

/// Posts the events of before the ledger.
async fn post_what_waited(school: &School, accountant: &User<'_>) {
    let periods =
        "select id::text from fin_period p where exists (select from fin_v_unposted u where p.span @> u.occurred_on)";
    for period in school.texts(periods).await {
        act(accountant, "periods", &period, "post_events", json!({})).await.ok();
    }
}

/// The trial balance, which must be one: the closing balance of an account in paise.
async fn balances(accountant: &User<'_>) -> impl Fn(&str) -> i64 + use<> {
    let trial = accountant.rows("/api/v1/reports/trial_balance?from=2000-01-01&to=2100-01-01").await;
    let paise =
        |row: &Value, column: &str| (row[column].as_str().unwrap().parse::<f64>().unwrap() * 100.0).round() as i64;
    let sum = |column: &str| trial.iter().map(|row| paise(row, column)).sum::<i64>();
    assert_eq!(sum("closing"), 0);
    assert_eq!(sum("debit"), sum("credit"));
    let closing: Vec<(String, i64)> =
        trial.iter().map(|row| (row["code"].as_str().unwrap().to_owned(), paise(row, "closing"))).collect();
    move |code| closing.iter().find(|(account, _)| account == code).map_or(0, |(_, sum)| *sum)
}

#[tokio::test]
async fn what_a_school_collects_is_income_at_once() {
    let school = School::open().await;
    let accountant = with_finance(&school).await;
    let before = balances(&accountant).await;
    let pay = json!({ "student_id": school.student(20).await, "amount": "70.50", "method": "upi", "reference": "U1" });
    let receipt = made(accountant.post("/api/v1/receipts", pay).await);
    let after = balances(&accountant).await;
    assert_eq!((after("1010") - before("1010"), after("4100") - before("4100")), (7050, -7050));
    let event = school.text(&format!("select seq::text from sys_event where source_id = '{receipt}'")).await;
    let entry = &accountant.rows(&format!("/api/v1/entries?source_event=eq.{event}")).await[0];
    assert_eq!((&entry["narration"], &entry["state"]), (&json!("school.fee.collected"), &json!("posted")));
    // What is posted twice is posted once.
    post_what_waited(&school, &accountant).await;
    let first = balances(&accountant).await;
    act(&accountant, "receipts", &receipt, "cancel", json!({ "reason": "Wrong child" })).await.ok();
    post_what_waited(&school, &accountant).await;
    let cancelled = balances(&accountant).await;
    assert_eq!((cancelled("1010") - first("1010"), cancelled("4100") - first("4100")), (-7050, 7050));

    // With the receipts of before the ledger, all of them are the income, and their money is where it was paid to.
    let receipts = "select (sum(amount) * 100)::bigint::text from sch_fee_receipt where state = 'posted'";
    let collected: i64 = school.text(receipts).await.parse().unwrap();
    assert_eq!(cancelled("4100"), -collected);
    assert_eq!(["1000", "1010", "1020"].map(&cancelled).iter().sum::<i64>(), collected);
    let result = accountant.rows("/api/v1/reports/profit_loss?from=2000-01-01&to=2100-01-01").await;
    assert_eq!((&result[0]["code"], &result[0]["name"]), (&json!("4100"), &json!("School fees")));
    assert!(accountant.rows("/api/v1/reports/ledger_check").await.is_empty());
    let twice = "select count(*)::text from (select from fin_entry where source_event is not null group by source_event having count(*) > 1) x";
    assert_eq!(school.text(twice).await, "0");
}

#[tokio::test]
async fn fees_of_a_head_with_an_income_of_its_own_wait_for_its_account() {
    let school = School::open().await;
    let accountant = with_finance(&school).await;
    post_what_waited(&school, &accountant).await;
    let before = balances(&accountant).await;
    let admin = school.user("admin").await;
    let head = json!({ "code": "BUS", "name": "Bus", "income_role": "bus_income" });
    let head = made(admin.post("/api/v1/fee_heads", head).await);
    let student = school.student(20).await;
    let due = json!({ "student_id": student, "head_id": head, "amount": "40", "note": "June" });
    let due = made(accountant.post("/api/v1/fees", due).await);
    let pay = json!({ "student_id": student, "amount": "40", "method": "cash", "split": [{ "due_id": due, "amount": "40" }] });
    let receipt = made(accountant.post("/api/v1/receipts", pay).await);
    let waiting = accountant.rows("/api/v1/unposted_events").await;
    assert_eq!((waiting.len(), &waiting[0]["source_id"]), (1, &json!(receipt)), "the parent has his receipt");
    let month = school.text("select id::text from fin_period where span @> current_date").await;
    refuses(&act(&accountant, "periods", &month, "post_events", json!({})).await, 422, "no_posting_rule");
    let account = json!({ "code": "4110", "name": "Bus", "type": "income" });
    let account = made(accountant.post("/api/v1/accounts", account).await);
    made(accountant.post("/api/v1/posting_rules", json!({ "role": "bus_income", "account_id": account })).await);
    act(&accountant, "periods", &month, "post_events", json!({})).await.ok();
    let after = balances(&accountant).await;
    assert_eq!((after("1000") - before("1000"), after("4110"), after("4100")), (4000, -4000, before("4100")));
    assert!(accountant.rows("/api/v1/unposted_events").await.is_empty());
}

#[tokio::test]
async fn an_account_that_had_the_number_before_stays_what_it_is() {
    let company = Company::with_books().await;
    let brought = include_str!("../../sql/finance/V6__school_fees.sql");
    let rules = "select count(*) from fin_posting_rule where role = 'fee_income'";
    let other = "delete from fin_posting_rule where role = 'fee_income';
        update fin_account set name = 'Deposits', type = 'liability' where code = '4100'";
    company.db.batch_execute(&format!("{other}; {brought}")).await.unwrap();
    assert_eq!(
        company.text("select name || ' ' || type from fin_account where code = '4100'").await,
        "Deposits liability"
    );
    assert_eq!(company.text(rules).await, "0");
    let income = "update fin_account set type = 'income' where code = '4100'";
    company.db.batch_execute(&format!("{income}; {brought}; {brought}")).await.unwrap();
    assert_eq!(company.text(rules).await, "1");
}
