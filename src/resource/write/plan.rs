//! Requests held against the catalogue: from here on nothing is refused but by PostgreSQL.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::super::body::{
    Fields, Group, Rows, action_input, conflict_columns, group, known_columns, refuse_unmakeable,
};
use super::super::plan::{ListPlan, RowKey};
use super::super::precondition::{Preconditions, Tags};
use super::super::prefer::{Resolution, Returning};
use super::render::{self, Counting, Replacing, Target};
use super::render_many::{Answering, Upsert, delete_where, insert_many, update_where};
use super::{Bulk, Effect, Part, one_at_a_time, operation};
use crate::error::{Error, Result};
use crate::pack::{Action, Resource};
use crate::sql::{Sql, Value};

/// What all changes of one request have in common.
#[derive(Debug, Clone)]
pub struct Planner {
    /// The resource.
    pub resource: Arc<Resource>,
    /// What the row must be like.
    pub preconditions: Preconditions,
    /// What comes back.
    pub returning: Returning,
    /// What happens when there is no such row.
    pub counting: Counting,
}

impl Planner {
    fn part(&self, effect: Effect, key: Option<RowKey>, queries: Vec<Sql>) -> Part {
        Part {
            resource: self.resource.clone(),
            key,
            preconditions: self.preconditions.clone(),
            returning: self.returning,
            effect,
            action: None,
            one_moment: false,
            queries,
            places: Vec::new(),
            bulk: None,
        }
    }

    fn target<'a>(&'a self, key: &'a RowKey) -> Target<'a> {
        let Self { resource, preconditions, counting, .. } = self;
        Target { resource, key, versions: preconditions.versions(), counting: *counting }
    }

    /// Reads a row.
    pub fn read(&self, key: RowKey) -> Part {
        let queries = vec![render::read(&self.target(&key))];
        self.part(Effect::Read, Some(key), queries)
    }

    /// Makes a row.
    pub fn create(&self, body: &Map<String, Json>) -> Result<Part> {
        if let Some(maker) = &self.resource.maker {
            refuse_unmakeable(&self.resource, maker, body)?;
            let key = RowKey(Value::text(Uuid::now_v7().to_string()));
            let queries = self.calls(Target { versions: None, ..self.target(&key) }, maker, body)?;
            return Ok(Part { action: Some(maker.name.clone()), ..self.part(Effect::Created, None, queries) });
        }
        let fields = Fields::to_create(&self.resource, body)?;
        Ok(self.part(Effect::Created, None, vec![render::insert(&self.resource, &fields)]))
    }

    /// Makes many rows, or merges them with those that are there.
    pub fn create_many(&self, bulk: Bulk) -> Result<Part> {
        let statements = bulk.statements(&bulk.fields()?, Answering::Rows)?;
        let (queries, places) = statements.into_iter().unzip();
        Ok(Part { places, bulk: Some(Arc::new(bulk)), ..self.part(Effect::CreatedMany, None, queries) })
    }

    /// Writes an operation down that makes many rows later.
    pub fn begin(&self, id: Uuid, bulk: &Bulk, trial: bool, session: Uuid) -> Part {
        self.part(Effect::Begun(id), None, vec![operation::begin(id, bulk, trial, session)])
    }

    /// Makes a row, or merges it with the one that is there.
    pub fn upsert(&self, row: &Map<String, Json>, upsert: &Upsert<'_>) -> Result<Part> {
        let fields = Fields::of_new_row(&self.resource, row, true)?;
        let groups = group(&self.resource, &[fields], false);
        let one = |group: &Group<'_>| insert_many(&self.resource, group, Some(upsert), Answering::Row);
        Ok(self.part(Effect::Upserted, None, groups.iter().map(one).collect()))
    }

    /// What `on_conflict` says happens to rows that are there already.
    pub fn conflicts<'a>(&'a self, resolution: Resolution, columns: Option<&str>) -> Result<Upsert<'a>> {
        one_at_a_time(&self.resource)?;
        Ok(Upsert { columns: conflict_columns(&self.resource, columns)?, resolution })
    }

    /// Keeps the fields that `columns=` names.
    pub fn narrow(&self, rows: &mut Rows, columns: Option<&str>) -> Result<()> {
        if let Some(columns) = columns {
            rows.only(&known_columns(&self.resource, columns)?);
        }
        Ok(())
    }

    /// Changes all rows that a query describes.
    pub fn update_where(&self, plan: &ListPlan<'_>, body: &Map<String, Json>, most: u64) -> Result<Part> {
        self.preconditions.check_for_many(&self.resource)?;
        let fields = Fields::to_update(&self.resource, body)?;
        if fields.is_empty() {
            return Err(Error::validation().field("#", "required", "must hold a field"));
        }
        Ok(self.part(Effect::ChangedMany, None, vec![update_where(&self.resource, plan, &fields, most)]))
    }

    /// Removes all rows that a query describes.
    pub fn delete_where(&self, plan: &ListPlan<'_>, most: u64) -> Result<Part> {
        self.preconditions.check_for_many(&self.resource)?;
        Ok(self.part(Effect::RemovedMany, None, vec![delete_where(&self.resource, plan, most)]))
    }

    /// Changes a row by a merge patch (RFC 7396).
    pub fn update(&self, key: RowKey, body: &Map<String, Json>) -> Result<Part> {
        self.preconditions.check(&self.resource)?;
        let fields = Fields::to_update(&self.resource, body)?;
        if fields.is_empty() {
            return Ok(self.read(key));
        }
        let queries = vec![render::update(&self.target(&key), &fields)];
        Ok(self.part(Effect::Changed, Some(key), queries))
    }

    /// Makes a row under a key of the caller's choice, or replaces the one that is there.
    pub fn replace(&self, key: RowKey, body: &Map<String, Json>) -> Result<Part> {
        let way = match (&self.preconditions.if_match, &self.preconditions.if_none_match) {
            (None, None) => Replacing::Either,
            (Some(_), None) => Replacing::Present,
            (None, Some(Tags::Any)) => Replacing::New,
            _ => {
                return Err(Error::malformed("Here comes either If-Match, or If-None-Match: *."));
            }
        };
        if way != Replacing::New {
            self.preconditions.check(&self.resource)?;
        }
        let fields = Fields::to_replace(&self.resource, &key.0, body)?;
        let queries = vec![render::replace(&self.target(&key), &fields, way)];
        Ok(self.part(Effect::Replaced, Some(key), queries))
    }

    /// Removes a row.
    pub fn delete(&self, key: RowKey) -> Result<Part> {
        self.preconditions.check(&self.resource)?;
        let queries = vec![render::delete(&self.target(&key))];
        Ok(self.part(Effect::Removed, Some(key), queries))
    }

    /// Runs an action of a row; what comes back is the row as it is afterwards, if the caller still sees it.
    pub fn act(&self, key: RowKey, action: &Action, body: &Map<String, Json>) -> Result<Part> {
        let queries = self.calls(self.target(&key), action, body)?;
        let part = self.part(Effect::Acted, Some(key), queries);
        let one_moment = self.preconditions.versions().is_some();
        Ok(Part { action: Some(action.name.clone()), one_moment, ..part })
    }

    /// A call of an action's function, and the row afterwards.
    fn calls(&self, target: Target<'_>, action: &Action, body: &Map<String, Json>) -> Result<Vec<Sql>> {
        let call = render::action(&target, &action.function, action_input(action, body)?);
        let after = Target { versions: None, counting: Counting::Told, ..target };
        Ok(vec![call, render::read(&after)])
    }
}
