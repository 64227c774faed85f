//! Rules as they are stored: table `alerts.rules`, their channels in `alerts.rule_channels`.
//!
//! Every statement for a caller is for one organisation. What is stored was read, typed and checked before; whoever changes a rule, or
//! takes one out of work, leaves a row in the audit trail in the same transaction. A rule is never gone: deleting it sets a time, as
//! the ledger refers to it for ever.

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, ChainId, Classified, Disposition, OrgId, RuleId};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::definition::{Definition, FieldErrors};
use crate::index::RuleFault;

mod changes;
mod channels;
mod reading;

pub use changes::{NewRule, create, delete, mute, pause, quarantine, replace, resume, set_channels, unquarantine};
pub use reading::{AtWork, ListedRule, RuleState, at_work, get, list, named};

/// Rules that an organisation may have.
pub const MAX_RULES: i64 = 10_000;

/// Rules of an organisation for which every row has to be looked at ([`Definition::is_unindexed`]): each costs some tenths of a
/// microsecond a row.
pub const MAX_UNINDEXED: i64 = 20;

/// Rules with SQL that an organisation may have: each asking is a query.
pub const MAX_SQL: i64 = 20;

/// Most rules of one page.
pub const MAX_PAGE: u32 = 500;

/// A rule that is to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRule {
    /// Its row.
    pub rule_id: RuleId,
    /// Whose it is.
    pub org_id: OrgId,
    /// The chain that it is about.
    pub chain_id: ChainId,
    /// Its name.
    pub name: String,
    /// Counts changes of the definition, from 1.
    pub version: i32,
    /// What it says.
    pub definition: Definition,
    /// Blocks before it do not concern the rule.
    pub first_block: BlockNumber,
    /// What is found until then is suppressed.
    pub muted_until: Option<DateTime<Utc>>,
}

/// Why a rule is not stored, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The definition is not right.
    #[error(transparent)]
    Invalid(#[from] FieldErrors),
    /// The organisation has a rule of this name.
    #[error("your organisation has a rule called {name:?} already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The organisation has no such rule.
    #[error("your organisation has no {rule}")]
    Unknown {
        /// The rule that was asked for.
        rule: RuleId,
    },
    /// It has as many as it may.
    #[error("your organisation has {MAX_RULES} rules, as many as it may; delete one first")]
    TooMany,
    /// It has as many of those that look at every row as it may.
    #[error(
        "your organisation has {MAX_UNINDEXED} rules that look at every row, as many as it may; give this one an address, a topic or a selector"
    )]
    TooManyUnindexed,
    /// It has as many with SQL as it may.
    #[error(
        "your organisation has {MAX_SQL} rules with SQL, as many as it may; delete one first, or let one statement ask for two"
    )]
    TooManySql,
    /// Postgres did not answer, or refused.
    #[error("the rules could not be read or written")]
    Database {
        /// What it reports.
        #[source]
        source: sqlx::Error,
    },
}

impl Classified for RuleError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Database { source } => database_disposition(source),
            Self::Invalid(_)
            | Self::NameTaken { .. }
            | Self::Unknown { .. }
            | Self::TooMany
            | Self::TooManyUnindexed
            | Self::TooManySql => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(errors) => errors.code(),
            Self::NameTaken { .. } => "alerts.rule_exists",
            Self::Unknown { .. } => "alerts.unknown_rule",
            Self::TooMany => "alerts.too_many_rules",
            Self::TooManyUnindexed => "alerts.too_many_unindexed",
            Self::TooManySql => "alerts.too_many_sql",
            Self::Database { .. } => "alerts.rules_database",
        }
    }
}

impl From<sqlx::Error> for RuleError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database { source }
    }
}

/// Retry, unless the statement itself is at fault.
///
/// Source: SQLSTATE classes 22 (data exception), 23 (integrity constraint) and 42 (syntax or access rule), PostgreSQL
/// manual, appendix A.
fn database_disposition(error: &sqlx::Error) -> Disposition {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref().and_then(|code| code.get(..2)) {
        Some("22" | "23" | "42") => Disposition::GiveUp,
        Some(_) => Disposition::Retry,
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
                Disposition::GiveUp
            }
            _ => Disposition::Retry,
        },
    }
}

/// What is wrong with a rule that was stored and cannot be read any more.
#[derive(Debug, thiserror::Error)]
#[error("the stored definition cannot be read; save the rule anew: {0}")]
struct Unreadable(FieldErrors);

impl Classified for Unreadable {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "alerts.unreadable_rule"
    }
}

/// A definition as it is stored, or the fault of its rule.
fn stored_definition(rule_id: RuleId, json: &Value) -> Result<Definition, RuleFault> {
    Definition::parse(json).map_err(|errors| {
        let unreadable = Unreadable(errors);
        RuleFault { rule_id, code: unreadable.code(), message: unreadable.to_string() }
    })
}

/// Begins a transaction in which the organisation's rules are counted and changed by nobody else.
async fn begin_alone(
    conn: &mut PgConnection,
    org: OrgId,
) -> Result<sqlx::Transaction<'_, sqlx::Postgres>, sqlx::Error> {
    let mut db_tx = conn.begin().await?;
    wait_alone(&mut db_tx, org).await?;
    Ok(db_tx)
}

/// Has nobody else count or change the organisation's rules until the caller's transaction ends.
pub(crate) async fn wait_alone(db_tx: &mut PgConnection, org: OrgId) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('alerts.rules', $1))")
        .bind(org.0)
        .execute(db_tx)
        .await?;
    Ok(())
}
