//! Registers are taken, locked and corrected; each "Bad" is refused in the words of the school, and nothing changes.

use serde_json::{Value, json};

use super::crm_story::made;
use super::school::{School, refused};

/// All students of a class, with one status.
async fn marks(school: &School, class: &str, status: &str) -> Vec<Value> {
    let students = school
        .texts(&format!(
            "select student_id::text from sch_enrollment where class_id = '{class}' and span @> current_date"
        ))
        .await;
    students.iter().map(|student| json!({ "student_id": student, "status": status })).collect()
}

#[tokio::test]
async fn a_class_is_marked_in_one_call_locked_and_corrected() {
    let school = School::open().await;
    let (teacher, principal) = (school.user("teacher").await, school.user("principal").await);
    let (class, day) = (school.class("7A").await, school.school_day().await);
    let mut all = marks(&school, &class, "present").await;
    let last = all.pop().unwrap();
    let body = json!({ "class_id": class, "on_date": day, "marks": all });
    let taken = teacher.post("/api/v1/registers", body.clone()).await;
    let register = made(taken);
    let path = format!("/api/v1/registers/{register}");
    assert_eq!(teacher.get(&path).await.ok()["unmarked"], 1);
    assert_eq!(refused(&teacher.post("/api/v1/registers", body).await), (409, "already_marked".into()));
    let mark = format!("{path}/actions/mark");
    let late = json!({ "student_id": last["student_id"], "status": "late", "minutes_late": 12 });
    assert_eq!(teacher.post(&mark, json!({ "marks": [late] })).await.ok()["unmarked"], 0);
    let one = json!({ "student_id": last["student_id"], "status": "absent", "on_date": day });
    assert_eq!(refused(&teacher.post("/api/v1/attendance", one).await), (409, "already_marked".into()));

    principal.post(&format!("{path}/actions/lock"), json!({})).await.ok();
    let again = json!({ "marks": [{ "student_id": last["student_id"], "status": "absent" }] });
    assert_eq!(refused(&teacher.post(&mark, again).await), (409, "locked".into()));
    let direct = format!("update sch_attendance set status = 'absent' where session_id = '{register}'");
    assert!(school.db.batch_execute(&direct).await.unwrap_err().as_db_error().unwrap().message().contains("locked"));

    let row = school
        .text(&format!("select id::text from sch_attendance where session_id = '{register}' and status = 'late'"))
        .await;
    let correct = format!("/api/v1/attendance/{row}/actions/correct");
    let excuse = json!({ "status": "excused", "reason": "Doctor's note" });
    assert_eq!(refused(&teacher.post(&correct, excuse.clone()).await), (403, "forbidden".into()));
    assert_eq!(
        refused(&principal.post(&correct, json!({ "status": "excused", "reason": " " })).await),
        (422, "reason".into())
    );
    assert_eq!(principal.post(&correct, excuse).await.ok()["status"], "excused");
    let change = &principal.rows(&format!("/api/v1/attendance_changes?attendance_id=eq.{row}")).await;
    assert_eq!(change.len(), 1);
    assert_eq!((&change[0]["old_status"], &change[0]["new_status"]), (&json!("late"), &json!("excused")));
}

#[tokio::test]
async fn wrong_registers_are_refused_and_nothing_changes() {
    let school = School::open().await;
    let (teacher, parent, student) =
        (school.user("teacher").await, school.user("parent").await, school.user("student").await);
    let (class, other, day) = (school.class("7A").await, school.class("8A").await, school.school_day().await);
    let count = "select count(*) || ' ' || (select count(*) from sch_session) from sch_attendance";
    let before = school.text(count).await;
    let all = marks(&school, &class, "present").await;
    let holiday = school.text("select min(on_date)::text from sys_holiday").await;
    let tomorrow = school.text("select (current_date + 1)::text").await;
    let one = &all[0]["student_id"];
    for (class, day, marks, status, code) in [
        (&other, &day, json!([]), 403, "outside_scope"),
        (&class, &tomorrow, json!([]), 422, "future"),
        (&class, &holiday, json!([]), 422, "holiday"),
        (&class, &"2001-01-01".to_owned(), json!([]), 422, "outside_year"),
        (&class, &day, json!([{ "student_id": school.student(61).await, "status": "present" }]), 422, "not_in_class"),
        (&class, &day, json!([{ "student_id": one, "status": "asleep" }]), 422, "marks"),
        (
            &class,
            &day,
            json!([{ "student_id": one, "status": "present" }, { "student_id": one, "status": "late" }]),
            422,
            "named_twice",
        ),
    ] {
        let body = json!({ "class_id": class, "on_date": day, "marks": marks });
        assert_eq!(refused(&teacher.post("/api/v1/registers", body).await), (status, code.to_owned()));
    }
    for user in [&parent, &student] {
        let body = json!({ "student_id": one, "status": "present", "on_date": day });
        assert_eq!(refused(&user.post("/api/v1/attendance", body).await), (403, "forbidden".into()));
        let register = json!({ "class_id": class, "on_date": day, "marks": [] });
        assert_eq!(refused(&user.post("/api/v1/registers", register).await), (403, "forbidden".into()));
        for (resource, action, input) in [
            ("registers", "mark", json!({ "marks": [{ "student_id": one, "status": "present" }] })),
            ("registers", "lock", json!({})),
            ("attendance", "correct", json!({ "status": "present", "reason": "I was there" })),
        ] {
            let own = user.rows(&format!("/api/v1/{resource}?select=id")).await[0]["id"].clone();
            let path = format!("/api/v1/{resource}/{}/actions/{action}", own.as_str().unwrap());
            assert_eq!(refused(&user.post(&path, input).await), (403, "forbidden".into()), "{path}");
        }
    }
    // A student who changed the class at noon is not marked twice for the day.
    let moved = json!({ "student_id": one, "status": "present", "on_date": day });
    made(teacher.post("/api/v1/attendance", moved).await);
    let sql = format!(
        "set session_replication_role = replica; update sch_session set class_id = '{other}' where on_date = '{day}'; reset session_replication_role"
    );
    school.db.batch_execute(&sql).await.unwrap();
    let body = json!({ "class_id": class, "on_date": day, "marks": [all[0]] });
    assert_eq!(refused(&teacher.post("/api/v1/registers", body).await), (409, "already_marked".into()));
    assert_eq!(
        school.text(count).await,
        before.split(' ').map(|n| (n.parse::<u32>().unwrap() + 1).to_string()).collect::<Vec<_>>().join(" ")
    );
    let again = school.db.batch_execute(
        "insert into sch_attendance (session_id, student_id, on_date, period_no, status)
         select session_id, student_id, on_date, period_no, 'absent' from sch_attendance where on_date > current_date - 7 limit 1",
    );
    if school.text("select count(*)::text from sch_attendance where on_date > current_date - 7").await != "0" {
        assert_eq!(again.await.unwrap_err().as_db_error().unwrap().constraint(), Some("sch_attendance_once"));
    }
}

#[tokio::test]
async fn the_percentage_counts_late_as_one_half_a_day_as_half_and_excused_not_at_all() {
    let school = School::open().await;
    let student = school.student(3).await;
    let sql = format!(
        "set session_replication_role = replica;
         with numbered as (select id, row_number() over (order by on_date) as n from sch_attendance where student_id = '{student}'
           and date_trunc('month', on_date) = date_trunc('month', current_date - interval '1 month'))
         delete from sch_attendance a where student_id = '{student}' and id not in (select id from numbered where n <= 5);
         with numbered as (select id, row_number() over (order by on_date) as n from sch_attendance where student_id = '{student}')
         update sch_attendance a set minutes_late = null,
           status = (array['present', 'late', 'half_day', 'absent', 'excused'])[n.n] from numbered n where n.id = a.id;
         reset session_replication_role"
    );
    school.db.batch_execute(&sql).await.unwrap();
    let principal = school.user("principal").await;
    let rows = principal.rows(&format!("/api/v1/reports/attendance?student_id=eq.{student}")).await;
    let told: Vec<_> = rows.iter().map(|row| (&row["marked"], &row["attendance_pct"])).collect();
    assert_eq!(told, [(&json!(5), &json!("62.5"))], "(1 + 1 + ½) of 4");
    let low = principal.rows(&format!("/api/v1/reports/attendance_defaulters?student_id=eq.{student}")).await;
    assert_eq!(low[0]["attendance_pct"], "62.5");
}

#[tokio::test]
async fn nobody_is_in_two_lessons_at_a_time() {
    let school = School::open().await;
    let admin = school.user("admin").await;
    let lesson = school.text("select to_jsonb(t)::text from sch_timetable t limit 1").await;
    let lesson: Value = serde_json::from_str(&lesson).unwrap();
    let copy = |changes: Value| {
        let mut body = json!({});
        for field in ["class_id", "dow", "period_no", "offering_id", "teacher_id", "room", "valid"] {
            body[field] = changes.get(field).unwrap_or(&lesson[field]).clone();
        }
        body
    };
    let free = school.text("select id::text from sch_teacher where code = 'T10'").await;
    for (changes, sentence) in [
        (json!({ "teacher_id": free, "room": "Hall" }), "the class has another lesson then"),
        (json!({ "period_no": 9 }), "is not a period of the place of this class"),
    ] {
        let answer = admin.post("/api/v1/timetable", copy(changes)).await;
        assert!(answer.text.contains(sentence), "{}", answer.text);
    }
    let offering = school
        .text(&format!(
            "select o.id::text from sch_offering o where o.class_id = '{}' limit 1",
            school.class("8B").await
        ))
        .await;
    let elsewhere = json!({ "class_id": school.class("8B").await, "offering_id": offering, "dow": 6 });
    made(admin.post("/api/v1/timetable", copy(elsewhere.clone())).await);
    let third = school.class("8A").await;
    let offering =
        school.text(&format!("select o.id::text from sch_offering o where o.class_id = '{third}' limit 1")).await;
    for (field, value, sentence) in [
        ("room", json!("Hall"), "the teacher has another lesson then"),
        ("teacher_id", json!(free), "the room is taken then"),
    ] {
        let mut changes = json!({ "class_id": third, "offering_id": offering, "dow": 6 });
        changes[field] = value;
        let answer = admin.post("/api/v1/timetable", copy(changes)).await;
        assert!(answer.problem(409).to_string().contains(sentence), "{}", answer.text);
    }
}
