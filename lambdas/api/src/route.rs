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
    /// The organisation's rules.
    ListRules,
    /// A new rule.
    CreateRule,
    /// One rule.
    ShowRule,
    /// A rule under its name, new or in the place of the one before.
    SaveRule,
    /// A rule is to find nothing any more, for good.
    DeleteRule,
    /// What a rule would have found.
    TestRule,
    /// A rule is to look no further.
    PauseRule,
    /// A paused or quarantined rule is to go on.
    ResumeRule,
    /// Nobody is to be told of what a rule finds, for a while.
    MuteRule,
    /// What rules have found.
    ListAlertEvents,
    /// One thing that a rule has found, and all that became of it.
    ShowAlertEvent,
    /// The organisation's channels.
    ListChannels,
    /// A new channel.
    CreateChannel,
    /// One channel, with its address for those who may see it.
    ShowChannel,
    /// A channel under its name, new or in the place of the one before.
    SaveChannel,
    /// A channel and its address are to go.
    DeleteChannel,
    /// A message that says that the channel works.
    TestChannel,
    /// A disabled channel is to be used again.
    EnableChannel,
    /// Whoever has a channel's address says that messages may come, or another code is to be sent there.
    ConfirmChannel,
    /// Messages to channels.
    ListDeliveries,
    /// A message that is over is to be sent once more.
    ReplayDelivery,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::WhoAmI,
        Self::ListUsers,
        Self::AddUser,
        Self::ChangeUser,
        Self::ListTasks,
        Self::FireTrigger,
        Self::RunJob,
        Self::ListRules,
        Self::CreateRule,
        Self::ShowRule,
        Self::SaveRule,
        Self::DeleteRule,
        Self::TestRule,
        Self::PauseRule,
        Self::ResumeRule,
        Self::MuteRule,
        Self::ListAlertEvents,
        Self::ShowAlertEvent,
        Self::ListChannels,
        Self::CreateChannel,
        Self::ShowChannel,
        Self::SaveChannel,
        Self::DeleteChannel,
        Self::TestChannel,
        Self::EnableChannel,
        Self::ConfirmChannel,
        Self::ListDeliveries,
        Self::ReplayDelivery,
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
            Self::ListRules => "GET /v1/alerts",
            Self::CreateRule => "POST /v1/alerts",
            Self::ShowRule => "GET /v1/alerts/{name}",
            Self::SaveRule => "PUT /v1/alerts/{name}",
            Self::DeleteRule => "DELETE /v1/alerts/{name}",
            Self::TestRule => "POST /v1/alerts/{name}/test",
            Self::PauseRule => "POST /v1/alerts/{name}/pause",
            Self::ResumeRule => "POST /v1/alerts/{name}/resume",
            Self::MuteRule => "POST /v1/alerts/{name}/mute",
            Self::ListAlertEvents => "GET /v1/alert-events",
            Self::ShowAlertEvent => "GET /v1/alert-events/{id}",
            Self::ListChannels => "GET /v1/channels",
            Self::CreateChannel => "POST /v1/channels",
            Self::ShowChannel => "GET /v1/channels/{name}",
            Self::SaveChannel => "PUT /v1/channels/{name}",
            Self::DeleteChannel => "DELETE /v1/channels/{name}",
            Self::TestChannel => "POST /v1/channels/{name}/test",
            Self::EnableChannel => "POST /v1/channels/{name}/enable",
            Self::ConfirmChannel => "POST /v1/channels/{name}/confirm",
            Self::ListDeliveries => "GET /v1/deliveries",
            Self::ReplayDelivery => "POST /v1/deliveries/{id}/replay",
        }
    }

    /// What the caller's role must have; `None` if every user may. Channels of other users need
    /// [`Permission::ManageOthersChannels`] besides.
    pub fn permission(self) -> Option<Permission> {
        match self {
            Self::WhoAmI => None,
            Self::ListTasks
            | Self::ListRules
            | Self::ShowRule
            | Self::ListAlertEvents
            | Self::ShowAlertEvent
            | Self::ListChannels
            | Self::ShowChannel
            | Self::ListDeliveries => Some(Permission::ReadOrg),
            Self::CreateRule
            | Self::SaveRule
            | Self::DeleteRule
            | Self::TestRule
            | Self::PauseRule
            | Self::ResumeRule
            | Self::MuteRule
            | Self::ReplayDelivery => Some(Permission::ManageAlerts),
            Self::CreateChannel
            | Self::SaveChannel
            | Self::DeleteChannel
            | Self::TestChannel
            | Self::EnableChannel
            | Self::ConfirmChannel => Some(Permission::ManageChannels),
            Self::FireTrigger => Some(Permission::FireTriggers),
            Self::RunJob => Some(Permission::RunJobs),
            Self::ListUsers | Self::AddUser | Self::ChangeUser => Some(Permission::ManageUsers),
        }
    }

    /// Whether addresses of channels are sealed or opened for it.
    pub(crate) fn is_about_addresses(self) -> bool {
        matches!(self, Self::CreateChannel | Self::SaveChannel | Self::ShowChannel)
    }

    /// The route that API Gateway calls `key`.
    pub fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.key() == key)
    }
}
