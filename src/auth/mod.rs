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

/// How many strangers may make us work.
mod limit;

/// Sign-in of operators.
mod operator;

/// Password hashing that cannot be used to exhaust the processor.
pub mod password;

/// Refresh tokens.
mod refresh;

/// Sign-in of tenant users and of operators.
mod sign_in;

/// Access tokens: signing and strict verification.
pub mod token;

/// One-time passwords.
mod totp;

/// Waits that grow with wrong attempts.
mod waits;

pub use attempt::Patience;
pub use factor::Setup;
pub use keys::{load_keyring, rotate_key};
pub use limit::Signups;
pub use operator::{operator_factor_remove, operator_factor_set};
pub use refresh::Lives;
pub use sign_in::{
    Authenticator, Client, Credentials, Operator, OperatorRole, SignedIn, is_email, new_owner_sql, normal_email,
    operator_create,
};
