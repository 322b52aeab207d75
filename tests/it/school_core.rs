//! A student comes, moves up and leaves; and what is true of years, classes and seats whatever is asked.

use futures_util::future::join_all;
use serde_json::json;

use super::crm_story::made;
use super::school::{School, refused};

#[tokio::test]
async fn a_student_is_admitted_moves_up_and_leaves_with_a_history() {
    let school = School::open().await;
    let (reception, admin, teacher) =
        (school.user("reception").await, school.user("admin").await, school.user("teacher").await);
    let student =
        json!({ "admission_no": "N1", "first_name": "Noor", "date_of_birth": "2014-02-03", "gender": "female" });
    let noor = made(reception.post("/api/v1/students", student).await);
    let path = format!("/api/v1/students/{noor}");
    assert_eq!(teacher.get(&path).await.status, 404, "not taught yet");

    let class = school.class("7A").await;
    let admit = format!("{path}/actions/admit");
    reception.post(&admit, json!({ "class_id": class })).await.ok();
    assert_eq!(refused(&reception.post(&admit, json!({ "class_id": class })).await), (409, "already_enrolled".into()));
    let seat = &reception.rows(&format!("/api/v1/enrollments?student_id=eq.{noor}")).await[0];
    assert_eq!((&seat["roll_no"], &seat["class_id"]), (&json!(31), &json!(class)));
    teacher.get(&path).await.ok();

    // The mother sees the child from the moment of the link to the moment of its end.
    let parent = school.user("parent").await;
    let mother = school.text("select g.id::text from sch_guardian g join sys_user u on u.id = g.user_id").await;
    let link = json!({ "student_id": noor, "relation": "mother", "is_primary": true });
    reception.post(&format!("/api/v1/guardians/{mother}/actions/link"), link).await.ok();
    assert_eq!(parent.get(&path).await.ok()["first_name"], "Noor");
    let revoke = format!("/api/v1/guardians/{mother}/actions/revoke_access");
    reception.post(&revoke, json!({ "student_id": noor })).await.ok();
    assert_eq!(parent.get(&path).await.status, 404);

    let next = school.text("select c.id::text from sch_class c join sch_year y on y.id = c.year_id where y.state = 'planned' and c.grade || c.section = '8A'").await;
    let first = school.text("select lower(span)::text from sch_year where state = 'planned'").await;
    let promote = json!({ "to_class_id": next, "students": [noor, school.student(1).await], "on_date": first });
    let promotion = format!("/api/v1/classes/{class}/actions/promote");
    admin.post(&promotion, promote.clone()).await.ok();
    let rolls = school.texts(&format!("select roll_no::text from sch_enrollment where class_id = '{next}'")).await;
    assert_eq!(rolls, ["1", "2"].map(str::to_owned).into(), "roll numbers go on");
    assert_eq!(refused(&admin.post(&promotion, promote).await), (422, "not_enrolled".into()));

    let withdraw = format!("{path}/actions/withdraw");
    let today = school.text("select (current_date + 1)::text").await;
    let why = json!({ "reason": "Moved", "on_date": today });
    assert_eq!(refused(&reception.post(&withdraw, why.clone()).await), (403, "forbidden".into()));
    assert_eq!(admin.post(&withdraw, why.clone()).await.ok()["state"], "left");
    assert_eq!(refused(&admin.post(&withdraw, why).await), (409, "student_inactive".into()));
    assert_eq!(admin.delete(&path).await.status, 405, "no student is ever removed");
    let history = admin.rows(&format!("/api/v1/enrollments?student_id=eq.{noor}")).await;
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!(history[0]["outcome"], "promoted");
    assert_eq!(teacher.get(&path).await.ok()["state"], "left", "to the end of the day");
}

#[tokio::test]
async fn the_last_seat_goes_to_one() {
    let school = School::open().await;
    let (reception, admin) = (school.user("reception").await, school.user("admin").await);
    let class = school.class("7B").await;
    let path = format!("/api/v1/classes/{class}");
    assert_eq!(refused(&admin.patch(&path, json!({ "capacity": 29 })).await), (409, "class_full".into()));
    admin.patch(&path, json!({ "capacity": 31 })).await.ok();
    let mut students = Vec::new();
    for n in 0..4 {
        let student = json!({ "admission_no": format!("N{n}"), "first_name": "Nia", "date_of_birth": "2014-02-03" });
        students.push(made(reception.post("/api/v1/students", student).await));
    }
    let admit = |student: &String| {
        let path = format!("/api/v1/students/{student}/actions/admit");
        let body = json!({ "class_id": class });
        let reception = &reception;
        async move { reception.post(&path, body).await }
    };
    let answers = join_all(students.iter().map(admit)).await;
    let mut outcomes: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [200, 409, 409, 409]);
    let full = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!(refused(full), (409, "class_full".into()));
    // A seat is taken for days: who leaves on a day makes room from that day.
    let second = json!({ "class_id": school.class("8B").await, "student_id": students[0], "roll_no": 40, "span": "[2000-01-01,2000-02-01)" });
    assert_eq!(refused(&reception.post("/api/v1/enrollments", second).await), (422, "outside_year".into()));
}

#[tokio::test]
async fn a_seat_is_taken_for_days_and_free_for_others() {
    let school = School::open().await;
    let (reception, admin) = (school.user("reception").await, school.user("admin").await);
    let class = school.class("7B").await;
    admin.patch(&format!("/api/v1/classes/{class}"), json!({ "capacity": 31 })).await.ok();
    let year = "(select span from sch_year where state = 'active')";
    let enroll = async |roll: u32, days: &str| {
        let student = json!({ "admission_no": format!("D{roll}"), "first_name": "Dia", "date_of_birth": "2014-02-03" });
        let student = made(reception.post("/api/v1/students", student).await);
        let span =
            school.text(&format!("select ({days})::text from (select lower({year}) as a, upper({year}) as z) y")).await;
        let seat = json!({ "student_id": student, "class_id": class, "roll_no": roll, "span": span });
        reception.post("/api/v1/enrollments", seat).await
    };
    made(enroll(50, "daterange(z - 20, z)").await);
    assert_eq!(refused(&enroll(51, "daterange(z - 60, z - 19)").await), (409, "class_full".into()), "on one day");
    made(enroll(52, "daterange(z - 60, z - 20)").await);
    assert_eq!(refused(&enroll(53, "daterange(a, z)").await), (409, "class_full".into()));
    let most = format!(
        "select max((select count(*) from sch_enrollment where class_id = '{class}' and span @> d::date))::text
         from generate_series(lower({year}), upper({year}) - 1, interval '1 day') d"
    );
    assert_eq!(school.text(&most).await, "31");
}

#[tokio::test]
async fn years_classes_and_seats_hold_whatever_is_asked() {
    let school = School::open().await;
    let (reception, admin) = (school.user("reception").await, school.user("admin").await);
    let seat = school.text("select id::text from sch_enrollment where roll_no = 2 limit 1").await;
    let roll = reception.patch(&format!("/api/v1/enrollments/{seat}"), json!({ "roll_no": 3 })).await;
    assert_eq!(roll.problem(409)["errors"][0]["detail"], "is already used in this class");
    let twice = json!({ "student_id": school.student(5).await, "class_id": school.class("8B").await, "roll_no": 50,
        "span": school.text("select span::text from sch_year where state = 'active'").await });
    let twice = reception.post("/api/v1/enrollments", twice).await;
    assert!(twice.problem(409).to_string().contains("another class on some of these days"), "{}", twice.text);

    let span = school
        .text("select daterange(upper(span) - 1, upper(span) + 5)::text from sch_year where state = 'active'")
        .await;
    let overlap = admin.post("/api/v1/years", json!({ "name": "Overlap", "span": span })).await;
    assert!(overlap.problem(409).to_string().contains("overlaps another year"), "{}", overlap.text);
    let (active, planned) = (
        school.text("select id::text from sch_year where state = 'active'").await,
        school.text("select id::text from sch_year where state = 'planned'").await,
    );
    let activate = format!("/api/v1/years/{planned}/actions/activate");
    assert_eq!(refused(&admin.post(&activate, json!({})).await), (409, "year_active".into()));
    assert_eq!(refused(&admin.patch(&format!("/api/v1/years/{planned}"), json!({ "state": "active" })).await).0, 422);
    admin.post(&format!("/api/v1/years/{active}/actions/close"), json!({})).await.ok();
    admin.post(&activate, json!({})).await.ok();
    let late = json!({ "class_id": school.text(&format!("select id::text from sch_class where year_id = '{active}' limit 1")).await });
    let student = json!({ "admission_no": "N9", "first_name": "Nia", "date_of_birth": "2014-02-03" });
    let student = made(reception.post("/api/v1/students", student).await);
    let admit = format!("/api/v1/students/{student}/actions/admit");
    assert_eq!(refused(&reception.post(&admit, late).await), (422, "year_not_active".into()));
    // Only settings change the school itself.
    assert_eq!(refused(&reception.post("/api/v1/courses", json!({})).await), (403, "forbidden".into()));
}

#[tokio::test]
async fn who_leaves_is_transferred_or_an_alumnus_and_who_stays_repeats() {
    let school = School::open().await;
    let admin = school.user("admin").await;
    let (class, tomorrow) = (school.class("7A").await, school.text("select (current_date + 1)::text").await);
    let mut students = Vec::new();
    for n in 0..3 {
        let new = json!({ "admission_no": format!("L{n}"), "first_name": "Lea", "date_of_birth": "2014-02-03" });
        students.push(made(admin.post("/api/v1/students", new).await));
    }
    let act = |student: &str, action: &str, body: serde_json::Value| {
        let (path, admin) = (format!("/api/v1/students/{student}/actions/{action}"), &admin);
        async move { admin.post(&path, body).await }
    };
    let graduate = json!({ "on_date": tomorrow });
    let never = act(&students[0], "graduate", graduate.clone()).await;
    assert_eq!(refused(&never), (409, "never_enrolled".into()));
    for student in &students {
        act(student, "admit", json!({ "class_id": class })).await.ok();
    }
    assert_eq!(act(&students[0], "graduate", graduate.clone()).await.ok()["state"], "alumni");
    assert_eq!(refused(&act(&students[0], "graduate", graduate).await), (409, "student_inactive".into()));
    let moved = json!({ "reason": "Moved", "on_date": tomorrow, "transferred": true });
    assert_eq!(act(&students[1], "withdraw", moved).await.ok()["state"], "left");
    let next =
        "select c.id::text from sch_class c join sch_year y on y.id = c.year_id where y.state = 'planned' limit 1";
    let first = school.text("select lower(span)::text from sch_year where state = 'planned'").await;
    let again = json!({ "to_class_id": school.text(next).await, "students": [students[2]], "on_date": first, "retained": true });
    admin.post(&format!("/api/v1/classes/{class}/actions/promote"), again).await.ok();
    for (student, outcome) in students.iter().zip(["promoted", "transferred", "retained"]) {
        let ended =
            format!("select outcome from sch_enrollment where student_id = '{student}' and class_id = '{class}'");
        assert_eq!(school.text(&ended).await, outcome);
    }
}
