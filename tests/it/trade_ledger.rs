//! The ledger: what is posted balances and stays, a closed month is closed, and every document finds its entry.

use serde_json::{Value, json};

use super::crm_story::made;
use super::trade_story::{Company, act, refuses};
use super::world::User;

/// A draft entry of debits and credits by account.
async fn entry(company: &Company, user: &User<'_>, day: &str, lines: &[(&str, &str, &str)]) -> String {
    let place = company.id("sys_location", "code", "BLR").await;
    let entry = made(user.post("/api/v1/entries", json!({ "entry_date": day, "location_id": place })).await);
    for (n, (account, debit, credit)) in (1..).zip(lines) {
        let account = company.id("fin_account", "code", account).await;
        let line = json!({ "entry_id": entry, "line_no": n, "account_id": account, "debit": debit, "credit": credit });
        made(user.post("/api/v1/entry_lines", line).await);
    }
    entry
}

async fn today(company: &Company) -> String {
    company.text("select current_date").await
}

#[tokio::test]
async fn what_is_posted_balances_and_stays() {
    let company = Company::with_books().await;
    let accountant = company.user("accountant").await;
    let day = today(&company).await;
    let lame = entry(&company, &accountant, &day, &[("6300", "100", "0"), ("1000", "0", "99.99")]).await;
    refuses(&act(&accountant, "entries", &lame, "post", json!({})).await, 422, "unbalanced");
    let loose = entry(&company, &accountant, &day, &[("1100", "5", "0"), ("4000", "0", "5")]).await;
    refuses(&act(&accountant, "entries", &loose, "post", json!({})).await, 422, "party_required");
    let good = entry(&company, &accountant, &day, &[("6300", "100", "0"), ("1000", "0", "100")]).await;
    let posted = act(&accountant, "entries", &good, "post", json!({})).await.ok();
    assert!(posted["number"].as_str().unwrap().starts_with("JV-") && posted.get("hash").is_none());
    refuses(&act(&accountant, "entries", &good, "post", json!({})).await, 409, "wrong_state");
    refuses(&accountant.patch(&format!("/api/v1/entries/{good}"), json!({ "narration": "x" })).await, 409, "frozen");
    refuses(&accountant.delete(&format!("/api/v1/entries/{good}")).await, 409, "frozen");
    let lines = accountant.rows(&format!("/api/v1/entry_lines?entry_id=eq.{good}")).await;
    let line = format!("/api/v1/entry_lines/{}", lines[0]["id"].as_str().unwrap());
    refuses(&accountant.patch(&line, json!({ "debit": "1" })).await, 409, "parent_frozen");
    // Reversed once, not before its day, and a reversal is not reversed.
    let on = |day: &str| json!({ "on_date": day, "reason": "Wrong account" });
    refuses(&act(&accountant, "entries", &good, "reverse", on("2020-01-01")).await, 422, "date");
    act(&accountant, "entries", &good, "reverse", on(&day)).await.ok();
    refuses(&act(&accountant, "entries", &good, "reverse", on(&day)).await, 409, "reversed");
    let reversals = accountant.rows(&format!("/api/v1/entries?reversal_of=eq.{good}")).await;
    let reversal = reversals[0]["id"].as_str().unwrap();
    refuses(&act(&accountant, "entries", reversal, "reverse", on(&day)).await, 409, "is_reversal");
    company.still_adds_up().await;
    // Whatever writes a posted entry, it balances at the end of the transaction.
    let forged = "insert into fin_entry (entry_date, period_id, number, state, posted_at)
        select lower(span), id, 'FORGED', 'posted', now() from fin_period limit 1";
    let refusal = company.db.batch_execute(forged).await.unwrap_err();
    assert_eq!(refusal.as_db_error().unwrap().detail(), Some("unbalanced"));
    // And who alters one behind the service's back is found.
    let number = posted["number"].as_str().unwrap();
    let alter = format!(
        "set session_replication_role = replica;
         update fin_line set debit = debit + 1 where debit > 0 and entry_id = '{good}';
         update fin_line set credit = credit + 1 where credit > 0 and entry_id = '{good}';
         set session_replication_role = origin"
    );
    company.db.batch_execute(&alter).await.unwrap();
    assert_eq!(accountant.rows("/api/v1/reports/ledger_check").await, [json!({ "first_altered": number })]);
}

#[tokio::test]
async fn the_reports_agree_to_the_paisa() {
    let company = Company::with_books().await;
    let accountant = company.user("accountant").await;
    let trial = accountant.rows("/api/v1/reports/trial_balance?from=2000-01-01&to=2100-01-01").await;
    let sheet = accountant.rows("/api/v1/reports/balance_sheet?as_of=2100-01-01").await;
    let result = accountant.rows("/api/v1/reports/profit_loss?from=2000-01-01&to=2100-01-01").await;
    let ageing = accountant.rows("/api/v1/reports/ageing").await;
    let taxes = accountant.rows("/api/v1/reports/tax_summary").await;
    let gstr1 = accountant.rows("/api/v1/reports/gstr1").await;
    let paise =
        |row: &Value, column: &str| (row[column].as_str().unwrap().parse::<f64>().unwrap() * 100.0).round() as i64;
    let sum = |rows: &[Value], column: &str, of: &dyn Fn(&Value) -> bool| -> i64 {
        rows.iter().filter(|row| of(row)).map(|row| paise(row, column)).sum()
    };
    let all = |_: &Value| true;
    assert_eq!(sum(&trial, "closing", &all), 0);
    assert_eq!(sum(&trial, "debit", &all), sum(&trial, "credit", &all));
    let section = |name: &'static str| move |row: &Value| row["section"] == name;
    let (assets, owed) = (sum(&sheet, "amount", &section("asset")), sum(&sheet, "amount", &section("liability")));
    assert_eq!(assets, owed + sum(&sheet, "amount", &section("equity")));
    let profit = sum(&result, "amount", &|row| row["type"] == "income")
        - sum(&result, "amount", &|row| row["type"] == "expense");
    assert_eq!(profit, sum(&sheet, "amount", &|row| row["code"] == "~PL"));
    assert_eq!(sum(&ageing, "total", &all), sum(&trial, "closing", &|row| row["code"] == "1100"));
    let output = ["cgst", "sgst", "igst"].map(|tax| sum(&gstr1, tax, &all)).iter().sum::<i64>();
    assert_eq!(output, sum(&taxes, "output_tax", &all));
    let net = "select sum(net_sales) from sys_v_location_performance";
    let invoiced =
        "select sum(case kind when 'invoice' then total else -total end) from sls_invoice where state = 'posted'";
    assert_eq!(company.text(net).await, company.text(invoiced).await);
}

#[tokio::test]
async fn a_closed_month_takes_nothing_and_leaves_nothing_behind() {
    let company = Company::with_books().await;
    let (accountant, owner) = (company.user("accountant").await, company.user("owner").await);
    let closed = company.text("select max(lower(span)) from fin_period where state = 'closed'").await;
    let late = entry(&company, &accountant, &closed, &[("6300", "1", "0"), ("1000", "0", "1")]).await;
    refuses(&act(&accountant, "entries", &late, "post", json!({})).await, 409, "period_closed");
    // An expense of that month stays approved, without number and without an event.
    let account = company.id("fin_account", "code", "6200").await;
    let place = company.id("sys_location", "code", "BLR").await;
    let expense = json!({ "spent_on": closed, "location_id": place, "account_id": account, "description": "Late", "amount": 5, "paid_by": "cash" });
    let manager = company.user("manager").await;
    let expense = made(manager.post("/api/v1/expenses", expense).await);
    act(&manager, "expenses", &expense, "submit", json!({})).await.ok();
    refuses(&act(&manager, "expenses", &expense, "approve", json!({})).await, 403, "self_approval");
    act(&owner, "expenses", &expense, "approve", json!({})).await.ok();
    refuses(&act(&accountant, "expenses", &expense, "post", json!({})).await, 409, "period_closed");
    let row = accountant.get(&format!("/api/v1/expenses/{expense}")).await.ok();
    assert_eq!((&row["state"], &row["number"]), (&json!("approved"), &Value::Null));
    assert_eq!(company.text(&format!("select count(*) from sys_event where source_id = '{expense}'")).await, "0");
    // Months close in order, and open again from the last.
    let next = company.text("select id from fin_period where state = 'open' order by span offset 1 limit 1").await;
    refuses(&act(&accountant, "periods", &next, "close", json!({})).await, 409, "order");
    let last = company.text("select id from fin_period where state = 'closed' order by span desc limit 1").await;
    let earlier =
        company.text("select id from fin_period where state = 'closed' order by span desc offset 1 limit 1").await;
    refuses(&act(&accountant, "periods", &earlier, "reopen", json!({})).await, 409, "order");
    act(&accountant, "periods", &last, "reopen", json!({})).await.ok();
    act(&accountant, "entries", &late, "post", json!({})).await.ok();
    act(&accountant, "expenses", &expense, "post", json!({})).await.ok();
    act(&accountant, "periods", &last, "close", json!({})).await.ok();
    let day = today(&company).await;
    act(&accountant, "periods", &last, "mark_tax_filed", json!({ "filed_on": day })).await.ok();
    refuses(&act(&accountant, "periods", &last, "reopen", json!({})).await, 409, "tax_filed");
    company.still_adds_up().await;
}

#[tokio::test]
async fn a_fact_is_one_entry_and_a_printed_month_stays_printed() {
    let company = Company::with_books().await;
    let accountant = company.user("accountant").await;
    let again = "insert into fin_entry (entry_date, source_event) select entry_date, source_event from fin_entry where source_event is not null limit 1";
    let refusal = company.db.batch_execute(again).await.unwrap_err();
    assert_eq!(refusal.as_db_error().unwrap().constraint(), Some("fin_entry_source_event_key"));
    // An entry of last month, which is still open, is corrected: by another one of today.
    let month = company.text("select daterange(date_trunc('month', current_date - interval '1 month')::date, date_trunc('month', current_date)::date)").await;
    let printed = format!(
        "/api/v1/reports/trial_balance?from={}&to={}",
        company.text(&format!("select lower('{month}'::daterange)")).await,
        company.text(&format!("select upper('{month}'::daterange) - 1")).await
    );
    let before = accountant.rows(&printed).await;
    let wrong = format!(
        "select id from fin_entry where state = 'posted' and entry_date <@ '{month}'::daterange order by id limit 1"
    );
    let wrong = company.text(&wrong).await;
    let input = json!({ "on_date": today(&company).await, "reason": "Wrong account" });
    act(&accountant, "entries", &wrong, "reverse", input).await.ok();
    assert_eq!(accountant.rows(&printed).await, before);
    let sums = |id: &str| {
        format!(
            "select string_agg(account_id || ' ' || debit || ' ' || credit, ',' order by line_no) from fin_line where entry_id = '{id}'"
        )
    };
    let mirrored = sums(&wrong).replace("debit || ' ' || credit", "credit || ' ' || debit");
    assert_eq!(
        company.text(&sums(&company.id("fin_entry", "reversal_of", &wrong).await)).await,
        company.text(&mirrored).await
    );
    company.still_adds_up().await;
}

#[tokio::test]
async fn documents_wait_for_accounts_and_stop_for_filed_taxes() {
    let company = Company::with_books().await;
    let (owner, accountant) = (company.user("owner").await, company.user("accountant").await);
    let rule = company.id("fin_posting_rule", "role", "sales").await;
    let account = company.id("fin_account", "code", "4000").await;
    owner.delete(&format!("/api/v1/posting_rules/{rule}")).await;
    let draft = "select id from sls_invoice where state = 'draft' order by id limit 1";
    let invoice = company.text(draft).await;
    let day = today(&company).await;
    owner.patch(&format!("/api/v1/invoices/{invoice}"), json!({ "invoice_date": day })).await.ok();
    act(&owner, "invoices", &invoice, "post", json!({})).await.ok();
    let waiting = accountant.rows("/api/v1/unposted_events").await;
    assert_eq!((waiting.len(), &waiting[0]["source_id"]), (1, &json!(invoice)));
    for id in company.text("select string_agg(id::text, ',' order by span) from fin_period where state = 'open' and lower(span) <= current_date").await.split(',') {
        let answer = act(&accountant, "periods", id, "close", json!({})).await;
        if answer.status.is_success() {
            continue;
        }
        refuses(&answer, 409, "unposted_events");
        made(owner.post("/api/v1/posting_rules", json!({ "role": "sales", "account_id": account })).await);
        act(&accountant, "periods", id, "post_events", json!({})).await.ok();
    }
    assert!(accountant.rows("/api/v1/unposted_events").await.is_empty());
    company.still_adds_up().await;
    // The return of the month is filed: the invoice stays a draft and uses no number.
    let invoice = company.text(draft).await;
    owner.patch(&format!("/api/v1/invoices/{invoice}"), json!({ "invoice_date": day })).await.ok();
    company
        .db
        .batch_execute(
            "set app.action = 'test'; update fin_period set tax_filed_on = current_date where span @> current_date",
        )
        .await
        .unwrap();
    let counters =
        "select string_agg(code || last_value, ',' order by code, location_id, period_key) from sys_number_series";
    let before = company.text(counters).await;
    refuses(&act(&owner, "invoices", &invoice, "post", json!({})).await, 409, "tax_filed");
    assert_eq!(owner.get(&format!("/api/v1/invoices/{invoice}")).await.ok()["state"], "draft");
    assert_eq!(company.text(counters).await, before);
}

#[tokio::test]
async fn budgets_stop_banks_match_and_a_year_ends() {
    let company = Company::with_books().await;
    let (owner, accountant) = (company.user("owner").await, company.user("accountant").await);
    let day = today(&company).await;
    let account = company.id("fin_account", "code", "6100").await;
    let month = company.text("select date_trunc('month', current_date)::date").await;
    let budget = json!({ "account_id": account, "month": month, "amount": 100, "on_exceed": "stop" });
    made(owner.post("/api/v1/budgets", budget).await);
    for (amount, stops) in [("60", false), ("41", true), ("40", false), ("0.01", true)] {
        let entry = entry(&company, &accountant, &day, &[("6100", amount, "0"), ("1010", "0", amount)]).await;
        let answer = act(&accountant, "entries", &entry, "post", json!({})).await;
        if stops { refuses(&answer, 422, "budget") } else { drop(answer.ok()) }
    }
    let bank = company.id("fin_account", "code", "1010").await;
    let line = |id: &str, amount: &str| json!({ "account_id": bank, "value_date": day, "amount": amount, "reference": "Salaries", "bank_id": id });
    let sixty = made(accountant.post("/api/v1/bank_lines", line("B-1", "-60")).await);
    refuses(&accountant.post("/api/v1/bank_lines", line("B-1", "-60")).await, 409, "already_used");
    let of =
        |amount: &str| format!("select id from fin_line where account_id = '{bank}' and credit = {amount} limit 1");
    let (right, wrong) = (company.text(&of("60")).await, company.text(&of("40")).await);
    refuses(&act(&accountant, "bank_lines", &sixty, "match", json!({ "line_id": wrong })).await, 422, "other_amount");
    act(&accountant, "bank_lines", &sixty, "match", json!({ "line_id": right })).await.ok();
    let twin = made(accountant.post("/api/v1/bank_lines", line("B-2", "-60")).await);
    refuses(&act(&accountant, "bank_lines", &twin, "match", json!({ "line_id": right })).await, 409, "matched");

    // Drafts would stay behind in a month that closes.
    company.db.batch_execute("delete from fin_entry where state = 'draft'").await.unwrap();
    let until =
        "select string_agg(id::text, ',' order by span) from fin_period where state = 'open' and upper(span) <= (
        select max(upper(span)) from fin_period where sys_fy(upper(span) - 1) = sys_fy(current_date))";
    let periods = company.text(until).await;
    let periods: Vec<&str> = periods.split(',').collect();
    let (last, others) = periods.split_last().unwrap();
    if !others.is_empty() {
        refuses(&act(&accountant, "periods", last, "year_end", json!({})).await, 409, "order");
    }
    for id in others {
        act(&accountant, "periods", id, "close", json!({})).await.ok();
    }
    act(&accountant, "periods", last, "year_end", json!({})).await.ok();
    refuses(&act(&accountant, "periods", last, "year_end", json!({})).await, 409, "nothing_to_carry");
    let result = accountant.rows("/api/v1/reports/balance_sheet?as_of=2100-01-01").await;
    assert!(
        result.iter().all(|row| row["code"] != "~PL") && result.iter().any(|row| row["code"] == "3100"),
        "{result:?}"
    );
    company.still_adds_up().await;
}

#[tokio::test]
async fn who_is_bound_to_a_location_gets_no_totals_of_the_whole() {
    let company = Company::with_books().await;
    company
        .db
        .batch_execute("delete from sys_role_grant g using sys_role r where r.id = g.role_id and r.code = 'accountant' and g.permission = 'locations.all';
            delete from sys_user_location where user_id = (select id from sys_user where email like 'accountant@%')
              and location_id <> (select id from sys_location where code = 'MUM')")
        .await
        .unwrap();
    let accountant = company.user("accountant").await;
    let trial = accountant.get("/api/v1/reports/trial_balance?from=2000-01-01&to=2100-01-01").await;
    refuses(&trial, 403, "forbidden");
    let place = company.id("sys_location", "code", "MUM").await;
    let rows = accountant.rows("/api/v1/entries").await;
    assert!(!rows.is_empty() && rows.iter().all(|row| row["location_id"] == json!(place)));
    let here = format!("/api/v1/reports/profit_loss?from=2000-01-01&to=2100-01-01&location_id={place}");
    assert!(!accountant.rows(&here).await.is_empty());
}
