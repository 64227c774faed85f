//! What can go wrong with the ledger.

use isotherm_types::{ChainId, Classified, Disposition, OrgId, RuleId};
use uuid::Uuid;

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Postgres did not answer, or refused.
    #[error("the ledger of alerts could not be read or written")]
    Database {
        /// What it reports.
        #[from]
        source: sqlx::Error,
    },
    /// Another evaluator has gone on with this organisation and chain; its work counts.
    #[error("another evaluator has moved the cursor of {org_id} on chain {chain_id}")]
    CursorMoved {
        /// The organisation.
        org_id: OrgId,
        /// The chain.
        chain_id: ChainId,
    },
    /// Somebody has changed a rule while what it found was to be written down.
    #[error("the definition of {rule_id} is another one than this turn looked for")]
    RuleChanged {
        /// The rule.
        rule_id: RuleId,
    },
    /// Evaluators of the organisation's other chains have counted alerts meanwhile.
    #[error("other chains of {org_id} had alerts meanwhile, and with these it would have more than it may on one day")]
    CountedMeanwhile {
        /// The organisation.
        org_id: OrgId,
    },
    /// A row is not what it was when it was read, though the cursor's lock was held.
    #[error("{changed} of {expected} rows of the ledger were as they had been read")]
    StaleRows {
        /// Rows that were changed.
        changed: u64,
        /// Rows that were to be.
        expected: u64,
    },
    /// A row holds a word that this program does not know.
    #[error("alert {alert_id} has the state {state:?}, which this program does not know")]
    UnknownState {
        /// The row.
        alert_id: Uuid,
        /// What it holds.
        state: String,
    },
    /// A value that does not fit its column.
    #[error("the {column} of an alert does not fit its column")]
    OutOfRange {
        /// The column.
        column: &'static str,
    },
}

impl Classified for LedgerError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Database { source } => database_disposition(source),
            Self::CursorMoved { .. }
            | Self::RuleChanged { .. }
            | Self::CountedMeanwhile { .. }
            | Self::StaleRows { .. } => Disposition::Retry,
            Self::UnknownState { .. } | Self::OutOfRange { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Database { .. } => "alerts.database",
            Self::CursorMoved { .. } => "alerts.cursor_moved",
            Self::RuleChanged { .. } => "alerts.rule_changed",
            Self::CountedMeanwhile { .. } => "alerts.counted_meanwhile",
            Self::StaleRows { .. } => "alerts.stale_rows",
            Self::UnknownState { .. } => "alerts.unknown_state",
            Self::OutOfRange { .. } => "alerts.out_of_range",
        }
    }
}

/// Retry, unless the statement itself is at fault. A key that is there already is another evaluator's: the next turn finds it.
///
/// Source: SQLSTATE 23505 (unique violation) and classes 22 (data exception), 23 (integrity constraint) and 42 (syntax or
/// access rule), PostgreSQL manual, appendix A.
fn database_disposition(error: &sqlx::Error) -> Disposition {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some("23505") => Disposition::Retry,
        Some(code) if ["22", "23", "42"].iter().any(|class| code.starts_with(class)) => Disposition::GiveUp,
        Some(_) => Disposition::Retry,
        None => match error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::InvalidArgument(_) => Disposition::GiveUp,
            _ => Disposition::Retry,
        },
    }
}
