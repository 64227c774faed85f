//! The routes, and the one table of what each needs. A test compares it with `terraform/stack.yaml`.

use isotherm_access::Permission;

/// A route that this function serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Who am I?
    WhoAmI,
    /// The organisation's users.
    ListUsers,
    /// A new user.
    AddUser,
    /// Another role for a user, or none any more.
    ChangeUser,
    /// The organisation's tasks.
    ListTasks,
    /// Fire a trigger by hand.
    FireTrigger,
    /// Run a job by hand.
    RunJob,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::WhoAmI,
        Self::ListUsers,
        Self::AddUser,
        Self::ChangeUser,
        Self::ListTasks,
        Self::FireTrigger,
        Self::RunJob,
    ];

    /// The route as `terraform/stack.yaml` has it.
    pub fn key(self) -> &'static str {
        match self {
            Self::WhoAmI => "GET /v1/whoami",
            Self::ListUsers => "GET /v1/users",
            Self::AddUser => "POST /v1/users",
            Self::ChangeUser => "PATCH /v1/users/{id}",
            Self::ListTasks => "GET /v1/tasks",
            Self::FireTrigger => "POST /v1/triggers/{trigger}/fire",
            Self::RunJob => "POST /v1/jobs/{job}/run",
        }
    }

    /// What the caller's role must have; `None` if every user may.
    pub fn permission(self) -> Option<Permission> {
        match self {
            Self::WhoAmI => None,
            Self::ListTasks => Some(Permission::ReadOrg),
            Self::FireTrigger => Some(Permission::FireTriggers),
            Self::RunJob => Some(Permission::RunJobs),
            Self::ListUsers | Self::AddUser | Self::ChangeUser => Some(Permission::ManageUsers),
        }
    }

    /// The route that API Gateway calls `key`.
    pub fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.key() == key)
    }
}
