//! The engine behind `/api/v1/<resource>`: parse → plan → render → run.
//!
//! The first three are pure; every refusal they can make happens before a connection is taken. Run is one transaction
//! in one round trip.

mod body;
mod cursor;
mod export;
mod parse;
mod plan;
mod refusal;
mod render;
mod run;

pub use body::{Fields, pointer};
pub use export::{Export, Format};
pub use parse::ListRequest;
pub use plan::{ListPlan, RowKey, Shape, Sight};
pub use render::{Count, list as render_list};
pub use run::{Engine, Page, Row};
