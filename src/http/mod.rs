//! The HTTP face: sockets, the boundary, routes.

mod account;
mod activity;
mod batch;
mod error;
mod extract;
mod factor;
mod formats;
mod front;
mod incoming;
mod json;
mod metadata;
mod operations;
mod operator;
mod ops_port;
mod pages;
mod peer;
mod resources;
mod roles;
mod room;
pub mod routes;
mod server;
mod writes;

pub use server::{Listeners, serve};
