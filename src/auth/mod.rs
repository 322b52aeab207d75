//! Who is calling: passwords, access tokens, sign-in.

/// Attempts to sign in, counted before they are looked at.
mod attempt;

/// Changing one's own password.
mod change;

/// Devices that have signed in before.
mod device;

/// The second factor.
mod factor;

/// The keys of tokens, kept sealed in the registry.
mod keys;

/// Operators who work as a user of a tenant.
mod impersonate;

/// How many strangers may make us work.
mod limit;

/// Links in letters: invitations, and passwords that were forgotten.
mod link;

/// What letters say.
mod letters;

/// Letters on their way.
mod post;

/// Tokens of our own making.
mod secret;

/// Sign-in of operators.
mod operator;

/// The second factor of operators.
mod operator_factor;

/// Password hashing that cannot be used to exhaust the processor.
pub mod password;

/// Which passwords are good enough.
pub mod policy;

/// Refresh tokens.
mod refresh;

/// Sign-in of tenant users.
mod sign_in;

/// Threads of their own for hashing.
mod threads;

/// Access tokens: signing and strict verification.
pub mod token;

/// One-time passwords.
mod totp;

/// Waits that grow with wrong attempts.
mod waits;

pub use attempt::Patience;
pub use factor::{Setup, reseal_factors};
pub use impersonate::{Impersonation, Whom};
pub use keys::{load_keyring, rotate_key};
pub use limit::Signups;
pub use link::{Acceptance, Replacement};
pub use operator::{Operator, OperatorRole, operator_create};
pub use operator_factor::{operator_factor_remove, operator_factor_set};
pub use post::Post;
pub use refresh::Lives;
pub use sign_in::{Authenticator, Client, Credentials, SignedIn, User, is_email, new_owner_sql, normal_email};
