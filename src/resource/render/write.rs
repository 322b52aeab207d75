//! Writes as SQL.

use crate::ident::Ident;
use crate::pack::{Column, Kind, Resource};
use crate::resource::body::Fields;
use crate::resource::plan::RowKey;
use crate::sql::{Sql, Value};

/// A new row.
pub fn insert(resource: &Resource, fields: &Fields<'_>) -> Sql {
    let mut sql = Sql::new("with w as (insert into ");
    sql.ident(&resource.table);
    if fields.is_empty() {
        sql.push(" default values");
    } else {
        separated(&mut sql, " (", &fields.0, |sql, (column, _)| {
            sql.ident(&column.name);
        });
        separated(&mut sql, ") values (", &fields.0, |sql, (column, value)| bound(sql, column, value));
        sql.push(")");
    }
    returning(sql, resource)
}

/// Changes of one row.
pub fn update(resource: &Resource, key: &RowKey, fields: &Fields<'_>) -> Sql {
    let mut sql = Sql::new("with w as (update ");
    sql.ident(&resource.table);
    separated(&mut sql, " set ", &fields.0, |sql, (column, value)| {
        sql.ident(&column.name).push(" = ");
        bound(sql, column, value);
    });
    sql.push(" where ").ident(&resource.key.name).push(" = ").bind(key.0.clone());
    returning(sql, resource)
}

/// The end of one row.
pub fn delete(resource: &Resource, key: &RowKey) -> Sql {
    let mut sql = Sql::new("with w as (delete from ");
    sql.ident(&resource.table).push(" where ").ident(&resource.key.name).push(" = ").bind(key.0.clone());
    sql.push(" returning 1) select count(*), null::text from w");
    sql
}

/// A call of an action's function.
pub fn action(function: &Ident, key: &RowKey, input: Value) -> Sql {
    let mut sql = Sql::new("select 1::bigint, ");
    sql.ident(function).push("(").bind(key.0.clone()).push("::uuid, ").bind(input).push("::jsonb)::text");
    sql
}

const ONE: &str = "select count(*), string_agg(row_to_json(r)::text, '') from (select ";

fn returning(mut sql: Sql, resource: &Resource) -> Sql {
    separated(&mut sql, " returning ", &resource.columns, |sql, column| {
        sql.ident(&column.name);
    });
    sql.push(") ").push(ONE);
    columns(&mut sql, &resource.columns);
    sql.push(" from w) r");
    sql
}

/// `numeric` leaves as text: a JSON number would lose digits in the caller's floats.
fn columns(sql: &mut Sql, columns: &[Column]) {
    separated(sql, "", columns, |sql, column| {
        sql.ident(&column.name);
        if column.kind == Kind::Numeric {
            sql.push("::text as ").ident(&column.name);
        }
    });
}

fn bound(sql: &mut Sql, column: &Column, value: &Value) {
    if column.kind == Kind::Array && *value != Value::null() {
        // The type's name is PostgreSQL's own, from the catalogue.
        sql.push("array(select jsonb_array_elements_text(")
            .bind(value.clone())
            .push("::jsonb))::")
            .push_trusted(&column.sql_type);
    } else {
        sql.bind(value.clone());
    }
}

fn separated<T>(sql: &mut Sql, before: &'static str, items: &[T], mut each: impl FnMut(&mut Sql, &T)) {
    for (at, item) in items.iter().enumerate() {
        sql.push(if at == 0 { before } else { ", " });
        each(sql, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Method;
    use insta::assert_snapshot;
    use serde_json::json;

    fn column(name: &str, kind: Kind, sql_type: &str, writable: bool) -> Column {
        let (name, sql_type) = (Ident::new(name).unwrap(), sql_type.to_owned());
        Column { name, kind, sql_type, required: false, nullable: true, writable, filterable: true, comment: None }
    }

    fn deals() -> Resource {
        let columns = vec![
            column("id", Kind::Uuid, "uuid", false),
            column("order", Kind::Text, "text", true),
            column("amount", Kind::Numeric, "numeric(18,2)", true),
            column("tags", Kind::Array, "text[]", true),
        ];
        Resource {
            name: "deals".into(),
            module: "crm".into(),
            table: Ident::new("crm_deal").unwrap(),
            key: columns[0].clone(),
            columns,
            methods: vec![Method::List],
            references: Vec::new(),
            unique: Vec::new(),
            search: Vec::new(),
            regex: Vec::new(),
            actions: Default::default(),
            permissions: Default::default(),
        }
    }

    /// The statement with its values in place, one clause a line, for reading.
    fn shown(sql: &Sql) -> String {
        let binds = sql.values().iter().enumerate().map(|(n, value)| format!("\n${} {value:?}", n + 1));
        format!("{}{}", sql.text(), binds.collect::<String>())
    }

    fn key(resource: &Resource) -> RowKey {
        RowKey::parse(resource, "0190a0b0-0000-7000-8000-000000000001").unwrap()
    }

    #[test]
    fn writes_return_the_row_in_the_same_shape() {
        let resource = deals();
        let body = json!({ "order": "it's", "amount": 12.5, "tags": ["a", "b\"c"] });
        let fields = Fields::to_create(&resource, body.as_object().unwrap()).unwrap();
        assert_snapshot!("insert", shown(&insert(&resource, &fields)));
        assert_snapshot!("update", shown(&update(&resource, &key(&resource), &fields)));
        assert_snapshot!("delete", shown(&delete(&resource, &key(&resource))));
        let nothing = Fields::to_update(&resource, &serde_json::Map::new()).unwrap();
        assert_snapshot!("insert of defaults", shown(&insert(&resource, &nothing)));
    }

    #[test]
    fn an_action_is_a_call_with_key_and_input() {
        let function = Ident::new("crm_deal_move").unwrap();
        assert_snapshot!(shown(&action(&function, &key(&deals()), Value::text("{}"))));
    }
}
