//! Pages for people: plain HTML and CSS, nothing from outside, and no script but the interactive page's own and a small one on
//! the pages behind links of letters.

pub mod assets;
mod html;
mod interactive;
mod letters;
mod links;
mod problem;
mod reference;

pub use html::POLICY;
pub use interactive::{POLICY as INTERACTIVE_POLICY, interactive};
pub use letters::letters;
pub use links::{POLICY as LINK_POLICY, link};
pub use problem::{problem, problems};
pub use reference::{Notice, reference};
