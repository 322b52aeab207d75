//! The SQL of changes of all rows that a query describes, as golden text: the conditions are those of a list.

use std::sync::Arc;

use insula::pack::{Resource, Verb};
use insula::resource::{Counting, ListPlan, ListRequest, Part, Planner, Preconditions, Returning, Shape, Sight};
use serde_json::json;

use crate::world::World;

fn shown(part: &Part) -> String {
    let values = |sql: &insula::sql::Sql| {
        let all = sql.values().iter().enumerate().map(|(n, value)| format!("\n${} {:?}", n + 1, value.as_text()));
        all.collect::<String>()
    };
    // All columns of the row, which are many, say nothing here.
    let text = part.statements().iter().map(|sql| {
        let (head, rest) = sql.text().split_once(" returning ").unwrap();
        let tail = rest.split_once(')').unwrap().1;
        let tail = tail.split_once(" from (select ").map_or(tail, |(tail, _)| tail);
        format!("{head} returning …){tail}{}", values(sql))
    });
    text.collect()
}

#[tokio::test]
async fn changes_of_many_rows_hold_the_conditions_and_the_limit() {
    let world = World::new().await;
    let catalog = world.app.engine.catalog();
    let resource = catalog.resource("contacts").unwrap();
    let request = ListRequest::parse("state=eq.active&or=(title.is.null,first_name.like.N*)").unwrap();
    let may = |_: &Resource, _: Verb| Ok(());
    let plan = ListPlan::new(Sight { catalog, may: &may }, Shape::from(&**resource), &request).unwrap();
    let planner = Planner {
        resource: Arc::clone(resource),
        preconditions: Preconditions::default(),
        returning: Returning::Representation,
        counting: Counting::Told,
    };
    let change = json!({ "title": "Buyer", "email": null });
    let update = planner.update_where(&plan, change.as_object().unwrap(), 5).unwrap();
    insta::assert_snapshot!(shown(&update));
    insta::assert_snapshot!(shown(&planner.delete_where(&plan, 5).unwrap()));
}
