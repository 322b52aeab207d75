//! The engine behind `/api/v1/<resource>`: parse → plan → render → run.
//!
//! The first three are pure; every refusal they can make happens before a connection is taken. Run is one transaction
//! in one round trip.

mod body;
mod cursor;
mod export;
mod parse;
mod places;
mod plan;
mod precondition;
mod prefer;
mod refusal;
mod render;
mod row;
mod run;
mod write;

pub use body::{Fields, Rows, pointer, precise};
pub use cursor::open as open_cursor;
pub use export::{Export, Format, Heading as CsvHeading, csv_header, csv_row};
pub use parse::ListRequest;
pub use places::Place;
pub use plan::{ListPlan, RowKey, Shape, Sight};
pub use precondition::{Comparison, Preconditions, Tags, etag};
pub use prefer::{Prefer, Resolution, Returning};
pub use render::{Count, list as render_list};
pub use row::Row;
pub use run::{Engine, Page};
pub use write::{Batch, Bulk, Claim, Part, Plan, Planner, Reply, Wish, inside, render::Counting};
