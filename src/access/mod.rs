//! What a signed-in user may do, and the proof of it without which nothing of a tenant can be reached.

mod api_key;
mod guest;
mod limits;
mod permission;
mod reach;
mod right;
mod roles;
mod session;

pub use api_key::{ApiKey, NewApiKey};
pub use guest::Guest;
pub use limits::{Excess, Limits, Standing, Taken};
pub use permission::Permissions;
pub use reach::Reaches;
pub use right::{Caller, OwnRight, Right};
pub use roles::RoleGrants;
pub use session::{Impersonator, Session, Sessions};
