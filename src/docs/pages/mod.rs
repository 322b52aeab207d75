//! Pages for people: plain HTML and CSS, nothing from outside, and no script but the interactive page's own.

pub mod assets;
mod html;
mod interactive;
mod problem;
mod reference;

pub use html::POLICY;
pub use interactive::{POLICY as INTERACTIVE_POLICY, interactive};
pub use problem::{problem, problems};
pub use reference::{Notice, reference};
