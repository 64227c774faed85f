//! Who calls, for which organisation, and what they may do: tokens, users, roles, grants, and row-level security.
//!
//! A token only says which user it is. Organisation, role and grants come from the database, so that they change at once
//! and no issuer can give them. [`authenticator`] verifies, [`callers`] finds the user, [`authorise`] asks the one table of
//! [`role`], and [`row_security`] makes Postgres ask again.
//!
//! It must never fetch what a token names, never log or repeat a token, and never take a role or an organisation from one.

mod audit;
pub mod authenticator;
pub mod bearer;
pub mod caller;
pub mod callers;
pub mod error;
pub mod fetch;
pub mod grants;
pub mod issuer;
pub mod key_cache;
pub mod key_set;
pub mod local_issuer;
pub mod orgs;
pub mod role;
pub mod row_security;
pub mod token;
pub mod users;

pub use authenticator::{Authenticator, VerifiedToken};
pub use caller::{Caller, UserId};
pub use callers::authorise;
pub use error::AccessError;
pub use fetch::{FetchError, FetchKeys};
pub use issuer::{Issuer, Issuers};
pub use local_issuer::LocalIssuer;
pub use role::{Permission, Role};
