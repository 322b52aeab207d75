//! Who is calling: passwords, access tokens, sign-in.

/// Changing one's own password.
mod change;

/// The keys of tokens, kept sealed in the registry.
mod keys;

/// Operators who work as a user of a tenant.
mod impersonate;

/// How many strangers may make us work.
mod limit;

/// Sign-in of operators.
mod operator;

/// Password hashing that cannot be used to exhaust the processor.
pub mod password;

/// Refresh tokens.
mod refresh;

/// Sign-in of tenant users.
mod sign_in;

/// Access tokens: signing and strict verification.
pub mod token;

pub use impersonate::{Impersonation, Whom};
pub use keys::load_keyring;
pub use limit::Signups;
pub use operator::{Operator, OperatorRole, operator_create};
pub use refresh::Lives;
pub use sign_in::{Authenticator, Client, Credentials, SignedIn, User, is_email, new_owner_sql, normal_email};
