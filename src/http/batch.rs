//! `POST /api/v1/batch`: several requests as one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::error::Problem;
use super::incoming::Incoming;
use crate::access::{Caller, Right};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::resource::{Batch, Part, Returning, Wish, inside};

/// What a batch honours.
const HERE: [&str; 2] = ["return", "tx"];

/// All of it happens, or nothing: every refusal that needs no look at the rows comes before a connection is taken.
pub async fn batch(State(app): State<Arc<App>>, caller: Caller, incoming: Incoming) -> Result<Response, Problem> {
    let prefer = incoming.prefer(&HERE)?;
    let batch: Batch = incoming.shape()?;
    batch.check()?;
    let mut planned = Planned { right: None, parts: Vec::new(), refused: None };
    for (at, wish) in batch.requests.iter().enumerate() {
        match plan(&app, &caller, wish, prefer.returning()).await {
            Ok((right, part)) => planned.add(right, part),
            Err(error) => planned.refuse(inside(error, at)),
        }
    }
    let (right, parts) = planned.all()?;
    incoming.run_all(&app, &right, parts, true, &prefer).await
}

async fn plan(app: &App, caller: &Caller, wish: &Wish, returning: Returning) -> Result<(Right, Part)> {
    let addressed = wish.address(app.engine.catalog())?;
    let right = caller.right_to_all(app, &addressed.resource.module, &addressed.permissions).await?;
    Ok((right, wish.plan(&addressed, returning)?))
}

/// What the requests of a batch need and do, or why they are refused.
struct Planned {
    right: Option<Right>,
    parts: Vec<Part>,
    refused: Option<Error>,
}

impl Planned {
    fn add(&mut self, right: Right, part: Part) {
        self.right = Some(right);
        self.parts.push(part);
    }

    /// Faults of fields are gathered; before them comes the first refusal of another kind.
    fn refuse(&mut self, error: Error) {
        self.refused = Some(match self.refused.take() {
            Some(before) if before.kind() == Kind::Invalid && error.kind() == Kind::Invalid => before.joined(error),
            Some(before) if before.kind() != Kind::Invalid => before,
            _ => error,
        });
    }

    fn all(self) -> Result<(Right, Vec<Part>)> {
        match (self.refused, self.right) {
            (Some(error), _) => Err(error),
            (None, Some(right)) => Ok((right, self.parts)),
            (None, None) => Err(Error::internal("a batch without requests")),
        }
    }
}
