//! What the API says about itself, for programs and for people.
//!
//! Everything here is pure: made from the catalogue, the route table and what the reader may do. A document is kept
//! per kind of reader, because many users share one.

mod directory;
mod keeper;
mod matrix;
pub mod openapi;
pub mod pages;
pub mod problems;
mod reader;
mod schema;

pub use directory::{directory, permissions};
pub use keeper::{Document, Documents};
pub use matrix::{matrix, scopes};
pub use openapi::Endpoint;
pub use reader::{Grants, Reader};
pub use schema::{report_schema, resource_schema};
