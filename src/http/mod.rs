//! The HTTP face: sockets, the boundary, routes.

mod account;
mod error;
mod extract;
mod formats;
mod front;
mod json;
mod operator;
mod ops_port;
mod resources;
pub mod routes;
mod server;

pub use server::{Listeners, serve};
