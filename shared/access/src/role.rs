//! Roles, permissions, and the one table of who may do what. `docs/access.md` shows it, and a test compares.

/// What a user may do in their organisation. The higher includes the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks.
    Reader,
    /// Also has work done.
    Writer,
    /// Also decides about people.
    Admin,
}

/// Something that not everybody may do. Every route needs one, but for the one that tells callers who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Ask SQL of the datasets that are granted to the organisation.
    RunQueries,
    /// Read what the platform keeps about the organisation: its tasks, jobs, triggers, saved queries, rules and alerts.
    ReadOrg,
    /// Save queries, change and delete saved ones.
    SaveQueries,
    /// Fire triggers by hand.
    FireTriggers,
    /// Run jobs by hand.
    RunJobs,
    /// Make rules of alerts, change, test, pause and delete them; send what was said once more.
    ManageAlerts,
    /// Make channels, and do with one's own whatever can be done with channels.
    ManageChannels,
    /// Cancel queries that another user has begun.
    CancelOthersQueries,
    /// See the addresses of other users' channels, change and delete these.
    ManageOthersChannels,
    /// See users, add them, change their roles, shut them out.
    ManageUsers,
}

impl Role {
    /// All roles, the lowest first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Writer, Self::Admin];

    /// The word in the database, in answers and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }

    /// Whether this role has `permission`.
    pub fn may(self, permission: Permission) -> bool {
        self >= permission.least_role()
    }
}

impl Permission {
    /// All permissions, those that more people have first.
    pub const ALL: [Self; 10] = [
        Self::RunQueries,
        Self::ReadOrg,
        Self::SaveQueries,
        Self::FireTriggers,
        Self::RunJobs,
        Self::ManageAlerts,
        Self::ManageChannels,
        Self::CancelOthersQueries,
        Self::ManageOthersChannels,
        Self::ManageUsers,
    ];

    /// The table: the lowest role that has it.
    pub fn least_role(self) -> Role {
        match self {
            Self::RunQueries | Self::ReadOrg => Role::Reader,
            Self::SaveQueries | Self::FireTriggers | Self::RunJobs | Self::ManageAlerts | Self::ManageChannels => {
                Role::Writer
            }
            Self::CancelOthersQueries | Self::ManageOthersChannels | Self::ManageUsers => Role::Admin,
        }
    }

    /// The word in errors, in the audit trail and in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunQueries => "run_queries",
            Self::ReadOrg => "read_org",
            Self::SaveQueries => "save_queries",
            Self::FireTriggers => "fire_triggers",
            Self::RunJobs => "run_jobs",
            Self::ManageAlerts => "manage_alerts",
            Self::ManageChannels => "manage_channels",
            Self::CancelOthersQueries => "cancel_others_queries",
            Self::ManageOthersChannels => "manage_others_channels",
            Self::ManageUsers => "manage_users",
        }
    }

    /// What it lets one do, for the documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::RunQueries => {
                "ask SQL of the datasets that are granted to the organisation, and of its rows of the platform's own tables"
            }
            Self::ReadOrg => "read the organisation's tasks, jobs, triggers, saved queries, rules and alerts",
            Self::SaveQueries => "save queries, change and delete saved ones",
            Self::FireTriggers => "fire triggers by hand",
            Self::RunJobs => "run jobs by hand",
            Self::ManageAlerts => "make rules of alerts, change, test, pause and delete them, send a delivery again",
            Self::ManageChannels => "make channels; change, test, delete and see the addresses of one's own",
            Self::CancelOthersQueries => "cancel queries of other users",
            Self::ManageOthersChannels => "do the same with channels of other users",
            Self::ManageUsers => "see users, add them, change their roles, shut them out",
        }
    }
}

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no role is called {word:?}; the roles are reader, writer and admin")]
pub struct UnknownRole {
    /// The word that was given.
    pub word: String,
}

impl std::str::FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| UnknownRole { word: word.to_owned() })
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_lower_ones_may_and_more() {
        let count = |role: Role| Permission::ALL.into_iter().filter(|permission| role.may(*permission)).count();
        assert_eq!(Role::ALL.map(count), [2, 7, 10]);
        for permission in Permission::ALL {
            let may = Role::ALL.map(|role| role.may(permission));
            assert!(may.is_sorted(), "{permission}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for word in ["", "Admin", "owner", "admin "] {
            assert!(word.parse::<Role>().is_err(), "{word}");
        }
    }
}
