//! Whoever calls, once it is certain.

use isotherm_types::{DatasetGrants, OrgId};

use crate::role::Role;

/// Row of `access.users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub i64);

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user {}", self.0)
    }
}

/// What names of users begin with in [`Caller::name`], so that no user can be called as a part of the platform is.
pub const USER_PREFIX: &str = "user:";

/// Whoever calls, as the database has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Their organisation: the only one whose rows they see.
    pub org: OrgId,
    /// Its name.
    pub org_name: String,
    /// Their row; `None` for an AWS principal that invokes a function directly.
    pub user: Option<UserId>,
    /// Who the audit trail is to name: `user:` and the user's name, the ARN of an AWS principal, or a direct invocation.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they may read of chains.
    pub grants: DatasetGrants,
}

impl Caller {
    /// The user's own name, or [`Caller::name`] of whoever is no user.
    pub fn plain_name(&self) -> &str {
        self.name.strip_prefix(USER_PREFIX).unwrap_or(&self.name)
    }
}
