//! Identifiers, each a type of its own so that one never stands where another belongs.

use serde::{Deserialize, Serialize};

macro_rules! row_ids {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($label, " {}"), self.0)
            }
        }
    )*};
}

row_ids! {
    /// Row of `control.orgs`.
    OrgId = "org";
    /// Row of `control.jobs`.
    JobId = "job";
    /// Row of `control.triggers`.
    TriggerId = "trigger";
    /// Row of `control.events`.
    EventId = "event";
    /// Row of `control.tasks`.
    TaskId = "task";
    /// Row of `alerts.rules`.
    RuleId = "rule";
    /// Row of `alerts.channels`.
    ChannelId = "channel";
}

/// Fencing token: counts the claims of one task. A worker that holds an older one may no longer write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
