//! JSON bodies held against columns and inputs: every field is known and fits, and every fault is named.

mod fields;
mod precise;
mod rows;
mod values;

pub(super) use fields::{Field, action_input, refuse_unmakeable};
pub use fields::{Fields, pointer};
pub use precise::precise;
pub use rows::Rows;
pub(super) use rows::{Group, MOST_AT_ONCE, conflict_columns, group, known_columns};
pub(super) use values::{column_text, scalar_text};
