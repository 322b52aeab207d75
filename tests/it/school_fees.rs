//! Money of the school: plans become dues, dues are paid and waived, and the books agree with each other.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use super::crm_story::made;
use super::school::{School, refused};

/// A student without dues of the demo, and one due of 1000 by hand.
async fn owing(school: &School, amount: &str) -> (String, String) {
    let accountant = school.user("accountant").await;
    let admin = school.user("admin").await;
    let student = json!({ "admission_no": "F1", "first_name": "Farah", "date_of_birth": "2014-02-03" });
    let student = made(admin.post("/api/v1/students", student).await);
    let admit = format!("/api/v1/students/{student}/actions/admit");
    admin.post(&admit, json!({ "class_id": school.class("7A").await })).await.ok();
    let head = school.text("select id::text from sch_fee_head where code = 'ACT'").await;
    let due = json!({ "student_id": student, "head_id": head, "amount": amount, "note": "Museum" });
    let due = made(accountant.post("/api/v1/fees", due).await);
    (student, due)
}

/// What must be true of the books of the pack at any time.
async fn books_agree(school: &School) {
    for (what, wrong) in [
        ("dues and allocations", "select d.id::text from sch_fee_due d left join sch_fee_alloc a on a.due_id = d.id
            group by d.id having d.paid <> coalesce(sum(a.amount), 0) or d.paid + d.waived > d.amount"),
        ("dues and waivers", "select d.id::text from sch_fee_due d left join sch_fee_waiver w on w.due_id = d.id
            group by d.id having d.waived <> coalesce(sum(w.amount), 0)"),
        ("receipts and allocations", "select r.id::text from sch_fee_receipt r left join sch_fee_alloc a on a.receipt_id = r.id
            group by r.id having coalesce(sum(a.amount), 0) <> case r.state when 'posted' then r.amount else 0 end"),
        ("receipts and events", "select r.id::text from sch_fee_receipt r
            left join sys_event c on c.source_id = r.id and c.event = 'school.fee.collected'
            left join sys_event x on x.source_id = r.id and x.event = 'school.fee.cancelled'
            where c.amount is distinct from r.amount or (x.amount is not null) <> (r.state = 'cancelled')"),
        ("debit and credit", "select e.seq::text from sys_event e, jsonb_array_elements(e.lines) l
            where e.event like 'school.fee.%' group by e.seq, e.amount
            having sum((l ->> 'debit')::numeric) <> sum((l ->> 'credit')::numeric) or sum((l ->> 'debit')::numeric) <> e.amount"),
        ("numbers", "select period_key from (
            select split_part(number, '/', 2) as period_key, count(*) as n, max(split_part(number, '/', 3)::int) as last
            from sch_fee_receipt group by 1) r where n <> last"),
    ] {
        assert_eq!(school.texts(wrong).await, BTreeSet::new(), "{what}");
    }
}

#[tokio::test]
async fn a_plan_becomes_dues_that_are_paid_oldest_first() {
    let school = School::open().await;
    let (accountant, admin, principal) =
        (school.user("accountant").await, school.user("admin").await, school.user("principal").await);
    let year = school.text("select id::text from sch_year where state = 'active'").await;
    let plan =
        made(accountant.post("/api/v1/fee_plans", json!({ "year_id": year, "grade": "7", "name": "Library" })).await);
    let path = format!("/api/v1/fee_plans/{plan}");
    assert_eq!(refused(&accountant.post(&format!("{path}/actions/activate"), json!({})).await), (409, "empty".into()));
    assert_eq!(
        refused(&accountant.post(&format!("{path}/actions/assign"), json!({})).await),
        (409, "wrong_state".into())
    );
    let head = json!({ "code": "LIB", "name": "Library", "income_role": "library_income" });
    assert_eq!(refused(&accountant.post("/api/v1/fee_heads", head.clone()).await), (403, "forbidden".into()));
    let head = made(admin.post("/api/v1/fee_heads", head).await);
    for (n, due_on) in [(1, "2001-01-01"), (2, "2001-02-01")] {
        let line = json!({ "plan_id": plan, "head_id": head, "installment": n, "amount": "50", "due_on": due_on });
        made(accountant.post("/api/v1/fee_plan_lines", line).await);
    }
    accountant.post(&format!("{path}/actions/activate"), json!({})).await.ok();
    let line = json!({ "plan_id": plan, "head_id": head, "installment": 3, "amount": "50", "due_on": "2001-01-01" });
    assert_eq!(refused(&accountant.post("/api/v1/fee_plan_lines", line).await), (409, "parent_frozen".into()));
    for _ in 0..2 {
        accountant.post(&format!("{path}/actions/assign"), json!({})).await.ok();
        let dues = format!("select count(*)::text from sch_fee_due where head_id = '{head}'");
        assert_eq!(school.text(&dues).await, "120", "two for each of 60 students, once");
    }

    let student = school.student(20).await;
    let pay = json!({ "student_id": student, "amount": "70", "method": "upi", "reference": "U1" });
    let receipt = made(accountant.post("/api/v1/receipts", pay.clone()).await);
    let dues = |more: &str| {
        format!("/api/v1/fees?student_id=eq.{student}&head_id=eq.{head}&order=due_on&select=paid,outstanding{more}")
    };
    let paid = accountant.rows(&dues("")).await;
    assert_eq!(
        json!(paid),
        json!([{ "paid": "50.00", "outstanding": "0.00" }, { "paid": "20.00", "outstanding": "30.00" }])
    );
    assert_eq!(accountant.post("/api/v1/receipts", pay.clone()).await.status, 409, "one live use of a reference");
    let sibling = json!({ "student_id": school.student(21).await, "amount": "70", "method": "upi", "reference": "U1" });
    made(accountant.post("/api/v1/receipts", sibling).await);
    let split: Vec<_> = accountant.rows(&dues(",id")).await;
    let mut chosen = json!({ "student_id": student, "amount": "10", "method": "cash", "split": [{ "due_id": split[1]["id"], "amount": "10" }] });
    made(accountant.post("/api/v1/receipts", chosen.clone()).await);
    chosen["amount"] = json!("11");
    assert_eq!(refused(&accountant.post("/api/v1/receipts", chosen).await), (422, "split".into()));

    let cancel = format!("/api/v1/receipts/{receipt}/actions/cancel");
    assert_eq!(refused(&principal.post(&cancel, json!({ "reason": "x" })).await), (403, "forbidden".into()));
    assert_eq!(refused(&accountant.post(&cancel, json!({ "reason": " " })).await), (422, "reason".into()));
    accountant.post(&cancel, json!({ "reason": "Wrong child" })).await.ok();
    assert_eq!(
        refused(&accountant.post(&cancel, json!({ "reason": "Wrong child" })).await),
        (409, "already_cancelled".into())
    );
    let paid = accountant.rows(&dues("")).await;
    assert_eq!(
        json!(paid),
        json!([{ "paid": "0.00", "outstanding": "50.00" }, { "paid": "10.00", "outstanding": "40.00" }])
    );
    made(accountant.post("/api/v1/receipts", pay).await);
    books_agree(&school).await;
}

#[tokio::test]
async fn of_eight_collections_at_a_time_those_are_made_that_fit() {
    let school = School::open().await;
    let (student, due) = owing(&school, "1000").await;
    let accountant = school.user("accountant").await;
    let before: i32 =
        school.text("select max(split_part(number, '/', 3)::int)::text from sch_fee_receipt").await.parse().unwrap();
    let collect = |n: usize| {
        let body = json!({ "student_id": student, "amount": "300", "method": "card", "reference": format!("C{n}") });
        let accountant = &accountant;
        async move { accountant.post("/api/v1/receipts", body).await }
    };
    let answers = join_all((0..8).map(collect)).await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 3);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(refused(answer), (422, "over_collection".into()));
    }
    let numbers: BTreeSet<i32> = made
        .iter()
        .map(|answer| answer.json()["number"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (before + 1..=before + 3).collect(), "without a gap");
    assert_eq!(accountant.get(&format!("/api/v1/fees/{due}")).await.ok()["outstanding"], "100.00");
    books_agree(&school).await;
}

#[tokio::test]
async fn who_collects_does_not_waive_and_nobody_for_the_own_child() {
    let school = School::open().await;
    let (student, due) = owing(&school, "1000").await;
    let (accountant, principal, admin) =
        (school.user("accountant").await, school.user("principal").await, school.user("admin").await);
    let waive = format!("/api/v1/fees/{due}/actions/waive");
    let body = |amount: &str| json!({ "amount": amount, "kind": "hardship", "reason": "Father out of work" });
    assert_eq!(refused(&accountant.post(&waive, body("1")).await), (403, "forbidden".into()));
    assert_eq!(principal.post(&waive, body("400")).await.ok()["outstanding"], "600.00");
    assert_eq!(refused(&principal.post(&waive, body("600.01")).await), (422, "over_waived".into()));
    let pay = json!({ "student_id": student, "amount": "601", "method": "cash" });
    assert_eq!(refused(&accountant.post("/api/v1/receipts", pay).await), (422, "over_collection".into()));
    let both = "insert into sys_role_grant (role_id, permission) select id, 'fees.waive' from sys_role where code = 'accountant'";
    school.db.batch_execute(both).await.unwrap();
    let both = school.user("accountant").await;
    let mut answer = both.post(&waive, body("1")).await;
    for _ in 0..40 {
        if answer.json()["code"] != "forbidden" {
            break;
        }
        answer = both.post(&waive, body("1")).await;
    }
    assert_eq!(refused(&answer), (403, "separation_of_duties".into()));
    let child = "insert into sch_guardian (user_id, name, phone) select id, 'Lakshmi', '1' from sys_user where email like 'principal@%'";
    let sql = format!("set session_replication_role = replica; {child}; insert into sch_student_guardian (student_id, guardian_id, relation)
        select '{student}', id, 'mother' from sch_guardian where name = 'Lakshmi'; reset session_replication_role");
    school.db.batch_execute(&sql).await.unwrap();
    assert_eq!(refused(&principal.post(&waive, body("1")).await), (403, "own_child".into()));
    let withdraw = format!("/api/v1/students/{student}/actions/withdraw");
    let why = json!({ "reason": "Moved", "on_date": school.text("select (current_date + 1)::text").await });
    assert_eq!(refused(&admin.post(&withdraw, why).await), (409, "fees_due".into()));
    books_agree(&school).await;
}

#[tokio::test]
async fn late_fees_come_once_and_wrong_payments_not_at_all() {
    let school = School::open().await;
    let accountant = school.user("accountant").await;
    let head = school.text("select id::text from sch_fee_head where code = 'LATE'").await;
    let apply = format!("/api/v1/fee_heads/{head}/actions/apply_late_fee");
    let count = "select count(*)::text from sch_fee_due where source = 'late_fee'";
    accountant.post(&apply, json!({ "grace_days": 0, "percent": "2" })).await.ok();
    let first = school.text(count).await;
    accountant.post(&apply, json!({ "grace_days": 0, "percent": "50" })).await.ok();
    assert_eq!(school.text(count).await, first, "one late fee for a due, ever");
    assert_ne!(first, "0");
    let defaulters = accountant.rows("/api/v1/reports/fee_defaulters").await;
    assert!(defaulters.len() > 10 && defaulters.iter().all(|row| row["phone"].is_string()), "{}", defaulters.len());

    let (student, tomorrow) = (school.student(20).await, school.text("select (current_date + 1)::text").await);
    let before = school.text("select count(*)::text from sch_fee_receipt").await;
    for (changes, code) in [
        (json!({ "amount": "0" }), "amount"),
        (json!({ "amount": "1.005" }), "amount"),
        (json!({ "amount": "9999999" }), "over_collection"),
        (json!({ "received_on": tomorrow }), "future"),
        (json!({ "paid_by": student }), "not_found"),
        (json!({ "student_id": head }), "not_found"),
        (json!({ "location_id": head }), "not_found"),
    ] {
        let mut body = json!({ "student_id": student, "amount": "10", "method": "cash" });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        assert_eq!(refused(&accountant.post("/api/v1/receipts", body).await), (422, code.to_owned()), "{changes}");
    }
    let cheque = json!({ "student_id": student, "amount": "10", "method": "cheque" });
    let cheque = accountant.post("/api/v1/receipts", cheque).await;
    assert!(cheque.problem(422).to_string().contains("is needed unless it was paid in cash"), "{}", cheque.text);
    assert_eq!(school.text("select count(*)::text from sch_fee_receipt").await, before);
    let forged = format!(
        "insert into sch_fee_receipt (number, student_id, location_id, received_on, method, amount)
         select 'X1', '{student}', id, current_date, 'cash', 10 from sys_location where code = 'MAIN'"
    );
    let error = school.db.batch_execute(&forged).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("are allocated"), "{error}");
    let change =
        school.db.batch_execute("update sch_fee_receipt set amount = amount + 1 where number like '%00002'").await;
    assert!(change.is_err());
    books_agree(&school).await;
}

#[tokio::test]
async fn staff_see_the_fees_of_their_campus() {
    let school = School::open().await;
    let accountant = school.user("accountant").await;
    let all = accountant.rows("/api/v1/receipts?select=id").await.len();
    assert!(all > 100, "{all}");
    school.db.batch_execute("delete from sys_user_location").await.unwrap();
    assert_eq!(accountant.rows("/api/v1/receipts?select=id").await.len(), 0);
    assert_eq!(accountant.rows("/api/v1/fees?select=id").await.len(), 0);
    let pay = json!({ "student_id": school.student(20).await, "amount": "10", "method": "cash" });
    assert_eq!(refused(&accountant.post("/api/v1/receipts", pay).await), (422, "over_collection".into()));
    assert!(!school.user("admin").await.rows("/api/v1/receipts?select=id").await.is_empty());
}

#[tokio::test]
async fn what_is_collected_and_waived_at_a_time_is_no_more_than_is_due() {
    let school = School::open().await;
    let (student, due) = owing(&school, "1000").await;
    let (accountant, principal) = (school.user("accountant").await, school.user("principal").await);
    let take = |n: usize| {
        let (accountant, principal) = (&accountant, &principal);
        let pay = json!({ "student_id": student, "amount": "300", "method": "card", "reference": format!("W{n}") });
        let waive = json!({ "amount": "300", "kind": "hardship", "reason": "Father out of work" });
        let path = format!("/api/v1/fees/{due}/actions/waive");
        async move {
            if n.is_multiple_of(2) {
                accountant.post("/api/v1/receipts", pay).await
            } else {
                principal.post(&path, waive).await
            }
        }
    };
    let answers = join_all((0..8).map(take)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status.is_success()).count(), 3);
    for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
        assert!(["over_collection", "over_waived"].contains(&&*refused(answer).1), "{}", answer.text);
    }
    assert_eq!(accountant.get(&format!("/api/v1/fees/{due}")).await.ok()["outstanding"], "100.00");
    books_agree(&school).await;
}

/// What an office may do with fees; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Charge(u32),
    Collect(u32),
    Waive(usize, u32),
    Cancel(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..500_u32).prop_map(Step::Charge),
        (1..700_u32).prop_map(Step::Collect),
        (any::<usize>(), 1..300_u32).prop_map(|(at, amount)| Step::Waive(at, amount)),
        any::<usize>().prop_map(Step::Cancel),
    ];
    vec(step, 60)
}

#[tokio::test]
async fn whatever_an_office_does_with_fees_the_books_agree() {
    let school = School::open().await;
    let (student, due) = owing(&school, "1000").await;
    let (accountant, principal) = (school.user("accountant").await, school.user("principal").await);
    let head = school.text("select id::text from sch_fee_head where code = 'ACT'").await;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut dues, mut receipts, mut done) = (vec![due], Vec::new(), [0; 4]);
    for step in steps().new_tree(&mut runner).unwrap().current() {
        let (kind, answer) = match &step {
            Step::Charge(amount) => {
                let body = json!({ "student_id": student, "head_id": head, "amount": amount, "note": "Trip" });
                (0, accountant.post("/api/v1/fees", body).await)
            }
            Step::Collect(amount) => {
                let body = json!({ "student_id": student, "amount": amount, "method": "cash" });
                (1, accountant.post("/api/v1/receipts", body).await)
            }
            Step::Waive(at, amount) => {
                let body = json!({ "amount": amount, "kind": "hardship", "reason": "Lost work" });
                (2, principal.post(&format!("/api/v1/fees/{}/actions/waive", dues[at % dues.len()]), body).await)
            }
            Step::Cancel(at) => {
                let Some(receipt) = receipts.get(at % receipts.len().max(1)) else { continue };
                let path = format!("/api/v1/receipts/{receipt}/actions/cancel");
                (3, accountant.post(&path, json!({ "reason": "Mistake" })).await)
            }
        };
        if !answer.status.is_success() {
            let (status, code) = refused(&answer);
            let clear = ["over_collection", "over_waived", "already_cancelled"].contains(&&*code);
            assert!(clear && status < 500, "{step:?}: {}", answer.text);
            continue;
        }
        done[kind] += 1;
        match step {
            Step::Charge(_) => dues.push(made(answer)),
            Step::Collect(_) => receipts.push(made(answer)),
            Step::Waive(..) | Step::Cancel(_) => {}
        }
    }
    assert!(done.iter().all(|&times| times > 2), "{done:?}");
    books_agree(&school).await;
}
