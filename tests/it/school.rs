//! The school of greenwood, in which the stories of the school packs happen, and what the superuser knows of it.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::world::{Answer, User, World};

/// Where `greenwood` works: the service, and the superuser's look at its tables.
pub struct School {
    pub world: World,
    pub db: Client,
}

impl School {
    pub async fn open() -> Self {
        let world = World::new().await;
        let db = world.superuser().await;
        db.batch_execute("set search_path = tenant_greenwood, insula; set timezone = 'UTC'").await.unwrap();
        Self { world, db }
    }

    pub async fn user(&self, mailbox: &str) -> User<'_> {
        self.world.user("greenwood", mailbox).await
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

    /// The key of a student by the number of the admission: 1 to 120 are there, 121 has left.
    pub async fn student(&self, number: u32) -> String {
        self.text(&format!("select id::text from sch_student where admission_no = 'G{:05}'", 1000 + number)).await
    }

    /// The key of a class of the active year, such as `7A`.
    pub async fn class(&self, name: &str) -> String {
        self.text(&format!(
            "select c.id::text from sch_class c join sch_year y on y.id = c.year_id
             where y.state = 'active' and c.grade || c.section = '{name}'"
        ))
        .await
    }

    /// The offering of a course in a class.
    pub async fn offering(&self, course: &str, class: &str) -> String {
        let class = self.class(class).await;
        self.text(&format!(
            "select o.id::text from sch_offering o join sch_course c on c.id = o.course_id
             where c.code = '{course}' and o.class_id = '{class}'"
        ))
        .await
    }

    /// The last school day before today without a holiday, in the active year.
    pub async fn school_day(&self) -> String {
        self.text(
            "select max(d)::date::text from sch_year y, generate_series(lower(y.span), current_date - 1, interval '1 day') d
             where y.state = 'active' and not exists (select from sys_holiday h where h.on_date = d::date)
               and not exists (select from sch_session s where s.on_date = d::date)",
        )
        .await
    }
}

/// Status and code of a refusal.
#[track_caller]
pub fn refused(answer: &Answer) -> (u16, String) {
    let problem = answer.problem(answer.status.as_u16());
    let inner = problem["errors"][0]["code"].as_str().unwrap_or_default().to_owned();
    let outer = problem["code"].as_str().unwrap().to_owned();
    (answer.status.as_u16(), if outer == "validation_failed" { inner } else { outer })
}
