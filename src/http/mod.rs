//! The HTTP face: sockets, the boundary, routes.

mod account;
mod error;
mod extract;
mod front;
mod json;
mod metadata;
mod operator;
mod ops_port;
mod pages;
mod resources;
pub mod routes;
mod server;

pub use server::{Listeners, serve};
