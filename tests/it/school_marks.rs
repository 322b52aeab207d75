//! Marks are entered, submitted, published for a class as a whole, and revised in sight of everybody.

use serde_json::{Value, json};

use super::crm_story::made;
use super::school::{School, refused};

/// The keys of the half-yearly exam and of its assessment in mathematics of 7 A.
async fn half_yearly(school: &School) -> (String, String) {
    let exam = school.text("select id::text from sch_exam where name = 'Half-yearly'").await;
    let offering = school.offering("MAT7", "7A").await;
    let sql = format!("select id::text from sch_assessment where exam_id = '{exam}' and offering_id = '{offering}'");
    (exam, school.text(&sql).await)
}

#[tokio::test]
async fn marks_are_hidden_until_the_whole_class_is_published() {
    let school = School::open().await;
    let (teacher, principal, parent) =
        (school.user("teacher").await, school.user("principal").await, school.user("parent").await);
    let (exam, assessment) = half_yearly(&school).await;
    let path = format!("/api/v1/assessments/{assessment}/actions");
    let hidden = [
        "marks?select=id",
        "assessments?select=id",
        "reports/my_marks?exam=eq.Half-yearly",
        "reports/report_card?exam=eq.Half-yearly",
    ];
    let count = async || {
        let mut counts = Vec::new();
        for path in hidden {
            counts.push(parent.rows(&format!("/api/v1/{path}")).await.len());
        }
        counts
    };
    // Two children: of the unit test five marks each, in two classes.
    assert_eq!(count().await, [10, 10, 0, 0]);

    assert_eq!(refused(&teacher.post(&format!("{path}/submit"), json!({})).await), (422, "missing_marks".into()));
    let publish = format!("/api/v1/exams/{exam}/actions/publish");
    let class = json!({ "class_id": school.class("7A").await });
    let early = principal.post(&publish, class.clone()).await;
    assert_eq!(early.problem(409)["detail"], "Marks are not submitted: MAT7.");
    let missing = school
        .texts(&format!(
            "select e.student_id::text from sch_enrollment e where e.class_id = '{}'
             and not exists (select from sch_mark m where m.assessment_id = '{assessment}' and m.student_id = e.student_id)",
            school.class("7A").await
        ))
        .await;
    let marks: Vec<Value> = missing.iter().map(|student| json!({ "student_id": student, "score": "71.5" })).collect();
    teacher.post(&format!("{path}/enter"), json!({ "marks": marks })).await.ok();
    teacher.post(&format!("{path}/submit"), json!({})).await.ok();
    assert_eq!(
        refused(&teacher.post(&format!("{path}/enter"), json!({ "marks": marks })).await),
        (409, "not_open".into())
    );
    principal.post(&format!("{path}/return"), json!({})).await.ok();
    teacher.post(&format!("{path}/submit"), json!({})).await.ok();
    assert_eq!(count().await, [10, 10, 0, 0], "submitted is not published");
    principal.post(&publish, class.clone()).await.ok();
    assert_eq!(count().await, [15, 15, 5, 1]);
    assert_eq!(refused(&principal.post(&publish, class).await), (409, "already_published".into()));
    assert_eq!(refused(&principal.post(&format!("{path}/return"), json!({})).await), (409, "not_submitted".into()));
    let states = format!(
        "select distinct a.state from sch_assessment a join sch_offering o on o.id = a.offering_id
        where a.exam_id = '{exam}' and o.class_id = '{}'",
        school.class("7A").await
    );
    assert_eq!(school.texts(&states).await, ["published".to_owned()].into(), "a class is published whole");
}

#[tokio::test]
async fn published_marks_change_by_revision_only() {
    let school = School::open().await;
    let (teacher, principal, parent) =
        (school.user("teacher").await, school.user("principal").await, school.user("parent").await);
    let mark = &parent.rows("/api/v1/marks?select=id,score,revised,student_id&score=not.is.null").await[0];
    let path = format!("/api/v1/marks/{}", mark["id"].as_str().unwrap());
    for answer in [
        principal.patch(&path, json!({ "score": "1" })).await,
        parent.patch(&path, json!({ "score": "25" })).await,
        teacher.post(&format!("{path}/actions/revise"), json!({ "score": "25", "reason": "Because" })).await,
    ] {
        assert_eq!(refused(&answer), (403, "forbidden".into()));
    }
    let admin = school.user("admin").await;
    assert_eq!(refused(&admin.patch(&path, json!({ "score": "1" })).await), (409, "not_open".into()));
    assert_eq!(refused(&admin.delete(&path).await), (409, "not_open".into()));
    let revise = format!("{path}/actions/revise");
    for (score, reason, code) in [("24", "none", "reason"), ("26", "Added up wrongly", "max_score")] {
        let body = json!({ "score": score, "reason": reason });
        assert_eq!(refused(&principal.post(&revise, body).await), (422, code.to_owned()));
    }
    principal.post(&revise, json!({ "score": "24.5", "reason": "Added up wrongly" })).await.ok();
    let now = parent.get(&path).await.ok();
    assert_eq!((&now["score"], &now["revised"]), (&json!("24.50"), &json!(true)));
    let history = principal.rows(&format!("/api/v1/mark_revisions?mark_id=eq.{}", mark["id"].as_str().unwrap())).await;
    assert_eq!(history.len(), 1);
    assert_eq!((&history[0]["old_score"], &history[0]["new_score"]), (&mark["score"], &json!("24.50")));
    assert!(history[0]["created_by"].is_string());
    let twice = "insert into sch_mark (assessment_id, student_id, score) select assessment_id, student_id, 1 from sch_mark limit 1";
    let sql = format!("set session_replication_role = replica; {twice}");
    let error = school.db.batch_execute(&sql).await.unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().constraint(),
        Some("sch_mark_key"),
        "one mark for a student and assessment"
    );
}

#[tokio::test]
async fn wrong_marks_are_refused() {
    let school = School::open().await;
    let teacher = school.user("teacher").await;
    let (_, assessment) = half_yearly(&school).await;
    let student = school.student(30).await;
    let of = |fields: Value| {
        let mut body = json!({ "assessment_id": assessment, "student_id": student });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let stranger = school.student(61).await;
    for (body, sentence) in [
        (of(json!({ "score": "100.5" })), "must be at most 100.00"),
        (of(json!({ "score": "-1" })), "must be at least 0"),
        (of(json!({})), "exactly one of score, absent and exempt is needed"),
        (of(json!({ "score": "5", "absent": true })), "exactly one of score, absent and exempt is needed"),
        (of(json!({ "score": "5", "student_id": stranger })), "was not in this class on"),
    ] {
        let answer = teacher.post("/api/v1/marks", body).await;
        assert!(answer.problem(422).to_string().contains(sentence), "{}", answer.text);
    }
    let foreign = school.offering("MAT8", "8A").await;
    let foreign = school.text(&format!("select a.id::text from sch_assessment a join sch_exam x on x.id = a.exam_id where offering_id = '{foreign}' and x.name = 'Half-yearly'")).await;
    let body = json!({ "assessment_id": foreign, "student_id": stranger, "score": "5" });
    assert_eq!(teacher.post("/api/v1/marks", body).await.status, 403, "not a course of this teacher");
    let enter = format!("/api/v1/assessments/{foreign}/actions/enter");
    assert_eq!(teacher.post(&enter, json!({ "marks": [] })).await.status, 404);
    let mark = made(teacher.post("/api/v1/marks", of(json!({ "score": "5" }))).await);
    let path = format!("/api/v1/marks/{mark}");
    assert_eq!(teacher.patch(&path, json!({ "score": null, "absent": true })).await.ok()["absent"], true);
}

#[tokio::test]
async fn a_scale_with_a_gap_starts_no_exam_and_a_used_one_stays() {
    let school = School::open().await;
    let admin = school.user("admin").await;
    let scale = made(admin.post("/api/v1/scales", json!({ "name": "Pass or fail" })).await);
    let band = |grade: &str, range: &str| json!({ "scale_id": scale, "grade": grade, "range": range });
    made(admin.post("/api/v1/grade_bands", band("Fail", "[0,40)")).await);
    let pass = made(admin.post("/api/v1/grade_bands", band("Pass", "(40,100]")).await);
    let overlap = admin.post("/api/v1/grade_bands", band("Good", "[90,100]")).await;
    assert!(overlap.problem(409).to_string().contains("overlaps another grade of the scale"), "{}", overlap.text);
    let year = school.text("select id::text from sch_year where state = 'active'").await;
    let exam = made(admin.post("/api/v1/exams", json!({ "year_id": year, "name": "Extra", "scale_id": scale })).await);
    let start = format!("/api/v1/exams/{exam}/actions/start");
    assert_eq!(refused(&admin.post(&start, json!({})).await), (409, "scale_has_gaps".into()));
    admin.patch(&format!("/api/v1/grade_bands/{pass}"), json!({ "range": "[40,100]" })).await.ok();
    assert_eq!(admin.post(&start, json!({})).await.ok()["state"], "entry");
    let change = admin.patch(&format!("/api/v1/grade_bands/{pass}"), json!({ "range": "[50,100]" })).await;
    assert_eq!(refused(&change), (409, "scale_in_use".into()));
}

#[tokio::test]
async fn equal_results_share_a_rank_absent_counts_nothing_and_exempt_leaves_the_maximum() {
    let school = School::open().await;
    // Of 7 A, the first four have 20, 20, absent and 19 with one exemption in each paper of 25; the others have 1.
    let sql = "set session_replication_role = replica;
        update sch_mark m set absent = false, exempt = false, score = case when e.roll_no in (1, 2) then 20 when e.roll_no = 4 then 19 else 1 end
        from sch_enrollment e where e.student_id = m.student_id;
        update sch_mark m set absent = true, score = null from sch_student s
          where s.id = m.student_id and s.admission_no = 'G01003';
        update sch_mark m set exempt = true, score = null
          from sch_student s, sch_assessment a, sch_offering o, sch_course c
          where s.id = m.student_id and s.admission_no = 'G01004' and a.id = m.assessment_id and o.id = a.offering_id
            and c.id = o.course_id and c.code = 'MAT7';
        reset session_replication_role";
    school.db.batch_execute(sql).await.unwrap();
    let (principal, parent) = (school.user("principal").await, school.user("parent").await);
    let path = format!(
        "/api/v1/reports/report_card?exam=eq.Unit%20test&class_id=eq.{}&order=admission_no&select=score,max_score,pct,grade,passed,absences,class_rank",
        school.class("7A").await
    );
    let rows = principal.rows(&path).await;
    let told = |row: &Value| -> Vec<String> {
        let fields = ["score", "max_score", "pct", "grade", "passed", "absences", "class_rank"];
        fields.iter().map(|field| row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned)).collect()
    };
    assert_eq!(rows.len(), 30);
    assert_eq!(told(&rows[0]), ["100.00", "125.00", "80.00", "B", "true", "0", "1"]);
    assert_eq!(told(&rows[1]), told(&rows[0]));
    assert_eq!(told(&rows[2]), ["null", "125.00", "0.00", "E", "false", "5", "30"]);
    assert_eq!(told(&rows[3]), ["76.00", "100.00", "76.00", "B", "true", "0", "3"]);
    // The parent gets the rank among the whole class, and the lines of the own children only.
    let own = parent.rows("/api/v1/reports/report_card?exam=eq.Unit%20test&order=admission_no").await;
    assert_eq!(own.len(), 2);
    assert_eq!(own[0]["class_rank"], 1);
    let year = parent.rows("/api/v1/reports/year_result?order=admission_no").await;
    assert_eq!(year[0]["weighted_pct"], "80.00");
}
