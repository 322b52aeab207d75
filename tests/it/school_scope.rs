//! Who sees and may do what in the school, as its document says: rights by role, and rows by whom they are about.

use std::collections::BTreeSet;

use super::crm_story::keys;
use super::school::School;

/// Mailbox, and what the role may do, from the matrix of the school document.
const MATRIX: [(&str, &str); 7] = [
    (
        "admin",
        "students.view students.create students.edit students.delete students.export teachers.view teachers.create \
         teachers.edit teachers.delete attendance.view attendance.mark attendance.edit attendance.report marks.view \
         marks.enter marks.edit marks.publish marks.view_all fees.view fees.collect fees.edit fees.waive fees.report \
         school.settings users.manage roles.manage school.scope.all",
    ),
    (
        "principal",
        "students.view students.export teachers.view attendance.view attendance.edit attendance.report marks.view \
         marks.publish marks.view_all marks.edit fees.view fees.waive fees.report school.settings school.scope.all",
    ),
    ("teacher", "students.view teachers.view attendance.view attendance.mark marks.view marks.enter"),
    ("student", "students.view attendance.view marks.view fees.view"),
    ("parent", "students.view attendance.view marks.view fees.view"),
    ("accountant", "students.view fees.view fees.collect fees.edit fees.report school.scope.all"),
    (
        "reception",
        "students.view students.create students.edit teachers.view attendance.view fees.view school.scope.all",
    ),
];

/// Students whom somebody sees, as SQL; written from the document, not from the pack.
fn students_of(mailbox: &str) -> String {
    match mailbox {
        "student" => {
            "select s.id from sch_student s join sys_user u on u.id = s.user_id where u.email like 'student@%'".into()
        }
        "parent" => "select l.student_id from sch_student_guardian l join sch_guardian g on g.id = l.guardian_id
            join sys_user u on u.id = g.user_id where u.email like 'parent@%' and l.may_see_data"
            .into(),
        "teacher" => "select e.student_id from sch_enrollment e where e.span @> current_date and e.class_id in (
            select o.class_id from sch_offering o join sch_teacher t on t.id = o.teacher_id where t.code = 'T01')"
            .into(),
        _ => "select id from sch_student".into(),
    }
}

/// The rows of a resource that somebody sees, as SQL; none when the role may not view it.
fn rows_of(mailbox: &str, resource: &str) -> Option<String> {
    let family = match resource {
        "registers" | "attendance" => "attendance.view",
        "marks" | "assessments" => "marks.view",
        "fees" | "receipts" | "fee_allocations" | "fee_waivers" => "fees.view",
        _ => "students.view",
    };
    let (_, rights) = MATRIX.iter().find(|(name, _)| *name == mailbox).unwrap();
    if !rights.split_whitespace().any(|right| right == family) {
        return None;
    }
    let students = students_of(mailbox);
    let all = rights.contains("school.scope.all");
    let own = "a.state = 'published'";
    Some(match resource {
        "students" => format!("select id::text from sch_student where id in ({students})"),
        "enrollments" => format!("select id::text from sch_enrollment where student_id in ({students})"),
        "student_guardians" => format!("select id::text from sch_student_guardian where student_id in ({students})"),
        "guardians" if all => "select id::text from sch_guardian".to_owned(),
        "guardians" => format!("select guardian_id::text from sch_student_guardian where student_id in ({students})"),
        "attendance" => format!("select id::text from sch_attendance where student_id in ({students})"),
        "registers" => format!(
            "select s.id::text from sch_session s where s.class_id in (
               select class_id from sch_enrollment where student_id in ({students}))"
        ),
        "marks" if rights.contains("marks.view_all") => "select id::text from sch_mark".to_owned(),
        "marks" if mailbox == "teacher" => {
            "select m.id::text from sch_mark m join sch_assessment a on a.id = m.assessment_id
            join sch_offering o on o.id = a.offering_id join sch_class c on c.id = o.class_id
            join sch_teacher t on t.id in (o.teacher_id, c.class_teacher_id) where t.code = 'T01'"
                .to_owned()
        }
        "marks" => format!(
            "select m.id::text from sch_mark m join sch_assessment a on a.id = m.assessment_id
             where {own} and m.student_id in ({students})"
        ),
        "fees" => format!("select id::text from sch_fee_due where student_id in ({students})"),
        "receipts" => format!("select id::text from sch_fee_receipt where student_id in ({students})"),
        "fee_allocations" => format!(
            "select a.id::text from sch_fee_alloc a join sch_fee_receipt r on r.id = a.receipt_id where r.student_id in ({students})"
        ),
        "fee_waivers" => format!(
            "select w.id::text from sch_fee_waiver w join sch_fee_due d on d.id = w.due_id where d.student_id in ({students})"
        ),
        other => panic!("{other} has no scope"),
    })
}

const SCOPED: [&str; 11] = [
    "students",
    "enrollments",
    "student_guardians",
    "guardians",
    "registers",
    "attendance",
    "marks",
    "fees",
    "receipts",
    "fee_allocations",
    "fee_waivers",
];

#[tokio::test]
async fn roles_hold_exactly_the_rights_of_the_matrix() {
    let school = School::open().await;
    let families = ["students", "teachers", "attendance", "marks", "fees", "school", "users", "roles"];
    for (mailbox, rights) in MATRIX {
        let sql = format!(
            "select g.permission from sys_role_grant g join sys_user_role r using (role_id) join sys_user u on u.id = r.user_id
             where u.email = '{mailbox}@greenwood.test'"
        );
        let held = school.texts(&sql).await;
        let held: BTreeSet<&str> = held
            .iter()
            .map(String::as_str)
            .filter(|right| families.contains(&right.split('.').next().unwrap()))
            .collect();
        assert_eq!(held, rights.split_whitespace().collect(), "{mailbox}");
    }
    let codes = school.world.app.engine.catalog().permissions();
    let codes: BTreeSet<&str> = codes
        .iter()
        .map(String::as_str)
        .filter(|code| families[..6].contains(&code.split('.').next().unwrap()))
        .collect();
    let (_, all) = MATRIX[0];
    assert_eq!(codes, all.split_whitespace().filter(|code| !code.ends_with(".manage")).collect(), "no other code");
}

#[tokio::test]
async fn everybody_lists_exactly_what_is_about_the_own_people() {
    let school = School::open().await;
    for (mailbox, _) in MATRIX {
        let user = school.user(mailbox).await;
        for resource in SCOPED {
            let path = format!("/api/v1/{resource}?select=id&limit=500");
            let Some(sql) = rows_of(mailbox, resource) else {
                assert_eq!(user.get(&path).await.status, 403, "{mailbox} {resource}");
                continue;
            };
            let expected = school.texts(&sql).await;
            assert!(!expected.is_empty() || resource == "fee_waivers", "{mailbox} {resource}");
            if expected.len() <= 500 {
                assert_eq!(
                    keys(&user.rows(&format!("/api/v1/{resource}?select=id")).await),
                    expected,
                    "{mailbox} {resource}"
                );
            }
            let counted = user.request(reqwest::Method::GET, &path).header("prefer", "count=exact").send().await.ok();
            assert_eq!(counted["total_count"], expected.len(), "{mailbox} counts {resource}");
        }
    }
}

#[tokio::test]
async fn embeds_reports_and_exports_show_no_more() {
    let school = School::open().await;
    for (mailbox, rights) in MATRIX {
        let user = school.user(mailbox).await;
        let may = |right: &str| rights.split_whitespace().any(|held| held == right);
        let students = school.texts(&format!("select id::text from ({}) s (id)", students_of(mailbox))).await;
        for (report, right, scoped) in [
            ("fee_statement", "fees.view", true),
            ("fee_defaulters", "fees.report", true),
            ("fee_collection", "fees.report", false),
            ("fee_summary", "fees.report", false),
            ("attendance", "attendance.report", true),
            ("attendance_defaulters", "attendance.report", true),
            ("absent_today", "attendance.view", true),
            ("missing_registers", "attendance.report", false),
            ("report_card", "marks.view", true),
            ("my_marks", "marks.view", true),
            ("year_result", "marks.view", true),
            ("exam_stats", "marks.view_all", false),
            ("class_roster", "students.view", true),
            ("class_strength", "students.view", false),
            ("teacher_load", "teachers.view", false),
        ] {
            let answer = user.get(&format!("/api/v1/reports/{report}?limit=500")).await;
            assert_eq!(answer.status, if may(right) { 200 } else { 403 }, "{mailbox} {report}: {}", answer.text);
            if answer.status == 200 && scoped {
                for row in answer.json()["data"].as_array().unwrap() {
                    let student = row["student_id"].as_str().unwrap();
                    assert!(students.contains(student), "{mailbox} {report} shows {row}");
                }
            }
        }
        for (resource, right) in [
            ("students", "students.export"),
            ("attendance", "attendance.report"),
            ("marks", "marks.view_all"),
            ("fees", "fees.report"),
            ("receipts", "fees.report"),
        ] {
            let answer = user.get(&format!("/api/v1/{resource}?format=csv")).await;
            assert_eq!(answer.status, if may(right) { 200 } else { 403 }, "{mailbox} exports {resource}");
        }
        let path = "/api/v1/classes?select=id,enrollments(student_id,students(id,student_guardians(student_id)))";
        let tree = user.rows(path).await;
        let mut seen = BTreeSet::new();
        for seat in tree.iter().flat_map(|class| class["enrollments"].as_array().unwrap()) {
            seen.insert(seat["student_id"].as_str().unwrap().to_owned());
            for link in seat["students"]["student_guardians"].as_array().unwrap() {
                seen.insert(link["student_id"].as_str().unwrap().to_owned());
            }
        }
        assert!(seen.is_subset(&students) && !seen.is_empty(), "{mailbox} embeds {seen:?}");
    }
}

#[tokio::test]
async fn a_father_without_the_right_and_a_teacher_who_has_left_see_nothing() {
    let school = School::open().await;
    let (parent, teacher) = (school.user("parent").await, school.user("teacher").await);
    let father =
        "update sch_student_guardian l set may_see_data = false from sch_guardian g join sys_user u on u.id = g.user_id
        where g.id = l.guardian_id";
    school.db.batch_execute(father).await.unwrap();
    school.db.batch_execute("update sch_teacher set left_on = current_date where code = 'T01'").await.unwrap();
    for resource in
        ["students", "enrollments", "guardians", "student_guardians", "registers", "attendance", "marks", "assessments"]
    {
        for (name, user) in [("parent", &parent), ("teacher", &teacher)] {
            assert_eq!(user.rows(&format!("/api/v1/{resource}?select=id")).await.len(), 0, "{name} {resource}");
        }
    }
    assert_eq!(parent.rows("/api/v1/receipts").await.len(), 0);
    assert_eq!(parent.rows("/api/v1/reports/report_card").await.len(), 0);
}
