//! The HTTP face: sockets, the boundary, routes.

mod account;
mod activity;
mod api_keys;
mod batch;
mod copies;
mod error;
mod extract;
mod factor;
mod formats;
mod front;
mod impersonations;
mod incoming;
mod json;
mod late;
mod links;
mod metadata;
mod migrations;
mod operations;
mod operator;
mod operators;
mod ops_port;
mod pages;
mod path;
mod peer;
mod personal;
mod resources;
mod roles;
mod room;
pub mod routes;
mod server;
mod staff;
mod tenant_life;
mod writes;

pub use server::{Listeners, serve};
