//! What can go wrong in the control plane, what to do about it, and what it is called for ever.

use isotherm_types::{Classified, Disposition, EventId, Fence, JobId, TaskId, TriggerId};

use crate::near::hint;
use crate::task::TransitionError;

/// A failure of the control plane.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Postgres refused a statement or could not be asked.
    #[error("the control plane's database did not answer as asked")]
    Database {
        /// What it said.
        #[from]
        source: sqlx::Error,
    },
    /// The task is not running under this fence any more: another claim, the reaper or a person took it.
    #[error("{task_id} is not running under fence {fence} any more")]
    StaleFence {
        /// The task.
        task_id: TaskId,
        /// The fence that the caller holds.
        fence: Fence,
    },
    /// No such job.
    #[error("there is no {job_id}")]
    UnknownJob {
        /// The id that was given.
        job_id: JobId,
    },
    /// No such task.
    #[error("there is no {task_id}")]
    UnknownTask {
        /// The id that was given.
        task_id: TaskId,
    },
    /// No such trigger, or it is not active.
    #[error("there is no active {trigger_id}")]
    UnknownTrigger {
        /// The id that was given.
        trigger_id: TriggerId,
    },
    /// No active trigger of this name.
    #[error("there is no active trigger called {name:?}{}", hint(.near))]
    UnknownTriggerName {
        /// The name that was given.
        name: String,
        /// Names that may have been meant.
        near: Vec<String>,
    },
    /// No active job of this name.
    #[error("there is no active job called {name:?}{}", hint(.near))]
    UnknownJobName {
        /// The name that was given.
        name: String,
        /// Names that may have been meant.
        near: Vec<String>,
    },
    /// A source was to be run by hand.
    #[error("job {name:?} is always on: the dispatcher keeps its one task alive, and it takes no other")]
    AlwaysOn {
        /// The job.
        name: String,
    },
    /// An idempotency key that cannot be one.
    #[error("an idempotency key is 1 to 128 printable ASCII characters without spaces")]
    BadIdempotencyKey,
    /// The key has been used, and with another input.
    #[error("idempotency key {key:?} was used before with another input")]
    IdempotencyConflict {
        /// The key.
        key: String,
    },
    /// No such event.
    #[error("there is no {event_id}")]
    UnknownEvent {
        /// The id that was given.
        event_id: EventId,
    },
    /// No organisation of this name.
    #[error("there is no organisation called {name:?}")]
    UnknownOrg {
        /// The name that was given.
        name: String,
    },
    /// A stored JSON value does not have the shape that this program writes: it was written by a newer one, or by hand.
    #[error("the {column} of {row} cannot be read")]
    BadRow {
        /// Which row.
        row: String,
        /// Which column.
        column: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A stored word is none that this program knows.
    #[error("the {column} of {row} is {value:?}, which this program does not know")]
    UnknownWord {
        /// Which row.
        row: String,
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// A value cannot be written as JSON.
    #[error("a value cannot be written as JSON")]
    Encode {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A cron trigger's expression cannot be read.
    #[error("the schedule of {trigger_id} cannot be read")]
    BadSchedule {
        /// The trigger.
        trigger_id: TriggerId,
        /// Why.
        #[source]
        source: crate::cron::ScheduleError,
    },
    /// The life cycle does not allow what was asked.
    #[error("{task_id} cannot be changed so")]
    Transition {
        /// The task.
        task_id: TaskId,
        /// Why.
        #[source]
        source: TransitionError,
    },
}

impl Classified for ControlError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Database { source } => database_disposition(source),
            Self::StaleFence { .. }
            | Self::UnknownJob { .. }
            | Self::UnknownTask { .. }
            | Self::UnknownTrigger { .. }
            | Self::UnknownTriggerName { .. }
            | Self::UnknownJobName { .. }
            | Self::AlwaysOn { .. }
            | Self::BadIdempotencyKey
            | Self::IdempotencyConflict { .. }
            | Self::UnknownEvent { .. }
            | Self::UnknownOrg { .. }
            | Self::BadRow { .. }
            | Self::UnknownWord { .. }
            | Self::Encode { .. }
            | Self::BadSchedule { .. }
            | Self::Transition { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Database { .. } => "control.database",
            Self::StaleFence { .. } => "control.stale_fence",
            Self::UnknownJob { .. } | Self::UnknownJobName { .. } => "control.unknown_job",
            Self::UnknownTask { .. } => "control.unknown_task",
            Self::UnknownTrigger { .. } | Self::UnknownTriggerName { .. } => "control.unknown_trigger",
            Self::AlwaysOn { .. } => "control.always_on",
            Self::BadIdempotencyKey => "control.bad_idempotency_key",
            Self::IdempotencyConflict { .. } => "control.idempotency_conflict",
            Self::UnknownEvent { .. } => "control.unknown_event",
            Self::UnknownOrg { .. } => "control.unknown_org",
            Self::BadRow { .. } => "control.bad_row",
            Self::UnknownWord { .. } => "control.unknown_word",
            Self::Encode { .. } => "control.encode",
            Self::BadSchedule { .. } => "control.bad_schedule",
            Self::Transition { .. } => "control.not_allowed",
        }
    }
}

/// Retry, unless the statement itself is at fault.
///
/// Source: SQLSTATE classes 22 (data exception), 23 (integrity constraint) and 42 (syntax or access rule), PostgreSQL
/// manual, appendix A.
fn database_disposition(error: &sqlx::Error) -> Disposition {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref().map(|code| code.get(..2).unwrap_or_default()) {
        Some("22" | "23" | "42") => Disposition::GiveUp,
        Some(_) => Disposition::Retry,
        None => match error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::TypeNotFound { .. } => Disposition::GiveUp,
            _ => Disposition::Retry,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_retried_and_a_bad_row_is_not() {
        let lost = ControlError::from(sqlx::Error::PoolTimedOut);
        assert_eq!(lost.disposition(), Disposition::Retry);
        let bad = ControlError::from(sqlx::Error::ColumnNotFound("fence".to_owned()));
        assert_eq!(bad.disposition(), Disposition::GiveUp);
    }
}
