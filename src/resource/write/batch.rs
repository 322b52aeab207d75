//! Several requests as one: all of them happen, or none.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::super::plan::RowKey;
use super::super::precondition::{Comparison, Preconditions, Tags, etag};
use super::super::prefer::Returning;
use super::render::Counting;
use super::{Part, Planner, Reply};
use crate::error::{Error, Kind, Result};
use crate::pack::{Action, Catalog, Method, Resource, Verb};

/// Requests of a batch.
const MOST: usize = 100;

/// The body of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The requests, in the order in which they are done.
    pub requests: Vec<Wish>,
}

/// One request of a batch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    method: String,
    path: String,
    body: Option<Map<String, Json>>,
    if_match: Option<String>,
}

/// A request of a batch whose address is known: what it needs before it is planned.
pub struct Addressed<'a> {
    /// The resource.
    pub resource: &'a Arc<Resource>,
    /// Permission codes that it needs, all of them.
    pub permissions: Vec<&'a str>,
    deed: Deed<'a>,
    id: Option<&'a str>,
}

#[derive(Clone, Copy)]
enum Deed<'a> {
    Read,
    Create,
    Replace,
    Update,
    Delete,
    Act(&'a Action),
}

impl Batch {
    /// Refuses a batch of no request or of too many.
    pub fn check(&self) -> Result<()> {
        if (1..=MOST).contains(&self.requests.len()) {
            return Ok(());
        }
        Err(Error::validation().field("#/requests", "invalid_length", format!("must be 1 to {MOST} requests")))
    }
}

impl Wish {
    /// Finds out what the request is about.
    pub fn address<'a>(&'a self, catalog: &'a Catalog) -> Result<Addressed<'a>> {
        let rest = self.path.strip_prefix("/api/v1/").ok_or_else(Error::not_found)?;
        let segments: Vec<&str> = rest.split('/').collect();
        let resource = segments.first().and_then(|name| catalog.resource(name)).ok_or_else(Error::not_found)?;
        let (deed, id) = match (self.method.as_str(), &segments[1..]) {
            ("POST", []) => (Deed::Create, None),
            ("GET", [id]) => (Deed::Read, Some(*id)),
            ("PUT", [id]) => (Deed::Replace, Some(*id)),
            ("PATCH", [id]) => (Deed::Update, Some(*id)),
            ("DELETE", [id]) => (Deed::Delete, Some(*id)),
            ("POST", [id, "actions", name]) => {
                (Deed::Act(resource.actions.get(&name.replace('-', "_")).ok_or_else(Error::not_found)?), Some(*id))
            }
            (_, [] | [_] | [_, "actions", _]) => return Err(not_offered("This method does not exist here.")),
            _ => return Err(Error::not_found()),
        };
        let permissions = match deed {
            Deed::Read => vec![resource.permission(Verb::View)],
            Deed::Create => vec![resource.permission(Verb::Create)],
            Deed::Replace if self.if_match.is_some() => vec![resource.permission(Verb::Edit)],
            Deed::Replace => vec![resource.permission(Verb::Create), resource.permission(Verb::Edit)],
            Deed::Update => vec![resource.permission(Verb::Edit)],
            Deed::Delete => vec![resource.permission(Verb::Delete)],
            Deed::Act(action) => vec![action.permission.as_str()],
        };
        Ok(Addressed { resource, permissions, deed, id })
    }

    /// Plans the request; its rights have been checked.
    pub fn plan(&self, addressed: &Addressed<'_>, returning: Returning) -> Result<Part> {
        let Addressed { resource, deed, id, .. } = addressed;
        let has = |method| resource.methods.contains(&method) && !resource.by_service.contains(&method);
        let offered = match deed {
            Deed::Read => has(Method::Get),
            Deed::Create => has(Method::Create),
            Deed::Replace => resource.replaceable(),
            Deed::Update => has(Method::Update),
            Deed::Delete => has(Method::Delete),
            Deed::Act(_) => true,
        };
        if !offered {
            return Err(not_offered(&format!("`{}` cannot be changed this way.", resource.name)));
        }
        let if_match = Tags::parse("if_match", Comparison::Strong, self.if_match.as_deref())?;
        let preconditions = Preconditions { if_match, if_none_match: None };
        let resource = (*resource).clone();
        let planner = Planner { resource, preconditions, returning, counting: Counting::Demanded };
        let key = || RowKey::parse(&planner.resource, id.unwrap_or_default());
        let nothing = Map::new();
        let body = self.body.as_ref();
        let object = || body.ok_or_else(|| Error::validation().field("#", "required", "is required"));
        match deed {
            Deed::Read => Ok(planner.read(key()?)),
            Deed::Create => planner.create(object()?),
            Deed::Replace => planner.replace(key()?, object()?),
            Deed::Update => planner.update(key()?, object()?),
            Deed::Delete => planner.delete(key()?),
            Deed::Act(action) => planner.act(key()?, action, body.unwrap_or(&nothing)),
        }
    }
}

fn not_offered(message: &str) -> Error {
    Error::new(Kind::MethodNotAllowed, "method_not_allowed", message)
}

/// A refusal of one request, said about the batch: the pointers lead into that request.
pub fn inside(error: Error, at: usize) -> Error {
    if error.faults().is_empty() {
        let (code, message) = (error.code().to_owned(), error.message().into_owned());
        return error.field(format!("#/requests/{at}"), code, message);
    }
    error.within(&format!("#/requests/{at}/body"))
}

/// The replies of all requests as the reply to the batch.
pub(super) fn reply(replies: &[Reply]) -> Reply {
    let one = |reply: &Reply| {
        let text = |text: &str| Json::from(text).to_string();
        let etag = reply.version.map(|version| format!("\"etag\":{}", text(&etag(version))));
        let location = reply.location.as_ref().map(|path| format!("\"location\":{}", text(path)));
        let headers = etag.into_iter().chain(location).collect::<Vec<_>>().join(",");
        let body = reply.body.as_deref().unwrap_or("null");
        format!(r#"{{"status":{},"headers":{{{headers}}},"body":{body}}}"#, reply.status)
    };
    let all = replies.iter().map(one).collect::<Vec<_>>().join(",");
    Reply::new(200, Some(format!(r#"{{"object":"list","data":[{all}]}}"#)))
}
