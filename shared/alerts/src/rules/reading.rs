//! Reading rules: those of an organisation for people, those of a chain for the evaluator.

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, ChainId, OrgId, RuleId};
use serde_json::Value;
use sqlx::PgConnection;

use super::{MAX_PAGE, RuleError, StoredRule, stored_definition};
use crate::index::RuleFault;

/// Whether a rule is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleState {
    /// It is.
    Active,
    /// Somebody has paused it.
    Paused,
    /// It failed, and waits until somebody has corrected it or lets it go on.
    Quarantined,
}

impl RuleState {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Quarantined => "quarantined",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, sqlx::Error> {
        match text {
            "active" => Ok(Self::Active),
            "paused" => Ok(Self::Paused),
            "quarantined" => Ok(Self::Quarantined),
            other => Err(sqlx::Error::Decode(format!("no rule has the state {other:?}").into())),
        }
    }
}

/// A rule as its organisation sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedRule {
    /// Its row.
    pub rule_id: RuleId,
    /// Its name.
    pub name: String,
    /// The chain that it is about.
    pub chain_id: ChainId,
    /// What it says, as it is stored.
    pub definition: Value,
    /// Counts changes of the definition, from 1.
    pub version: i32,
    /// Whether it is at work.
    pub state: RuleState,
    /// Why it is not, if it failed: a code of `docs/errors.md`.
    pub quarantine_code: Option<String>,
    /// The same in words.
    pub quarantine_message: Option<String>,
    /// When it failed.
    pub quarantined_at: Option<DateTime<Utc>>,
    /// What is found until then is suppressed.
    pub muted_until: Option<DateTime<Utc>>,
    /// Blocks before it do not concern the rule.
    pub first_block: BlockNumber,
    /// Names of its channels.
    pub channels: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// The rules of a chain that are at work, and what is wrong with those that cannot be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AtWork {
    /// By organisation, then by id.
    pub rules: Vec<StoredRule>,
    /// Rules whose stored definitions cannot be read, each with the version of what cannot.
    pub faults: Vec<(RuleFault, i32)>,
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    id: i64,
    name: String,
    chain_id: i64,
    definition: Value,
    version: i32,
    state: String,
    quarantine_code: Option<String>,
    quarantine_message: Option<String>,
    quarantined_at: Option<DateTime<Utc>>,
    muted_until: Option<DateTime<Utc>>,
    first_block: i64,
    channels: Vec<String>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<ListedRow> for ListedRule {
    type Error = RuleError;

    fn try_from(row: ListedRow) -> Result<Self, RuleError> {
        Ok(Self {
            rule_id: RuleId(row.id),
            name: row.name,
            chain_id: ChainId(row.chain_id.cast_unsigned()),
            definition: row.definition,
            version: row.version,
            state: RuleState::parse(&row.state)?,
            quarantine_code: row.quarantine_code,
            quarantine_message: row.quarantine_message,
            quarantined_at: row.quarantined_at,
            muted_until: row.muted_until,
            first_block: BlockNumber(row.first_block.cast_unsigned()),
            channels: row.channels,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// At most `limit` rules of `org` that are not deleted, the newest first; those before the row `before`, if it is given.
///
/// # Errors
/// [`RuleError::Database`].
pub async fn list(
    conn: &mut PgConnection,
    org: OrgId,
    before: Option<RuleId>,
    limit: u32,
) -> Result<Vec<ListedRule>, RuleError> {
    let rows: Vec<ListedRow> = sqlx::query_as(include_str!("../../queries/rules/list.sql"))
        .bind(org.0)
        .bind(before.map(|rule| rule.0))
        .bind(i64::from(limit.min(MAX_PAGE)))
        .bind(None::<i64>)
        .bind(None::<&str>)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(ListedRule::try_from).collect()
}

/// A rule of `org`.
///
/// # Errors
/// [`RuleError::Unknown`] if the organisation has none of this id, or has deleted it; [`RuleError::Database`].
pub async fn get(conn: &mut PgConnection, org: OrgId, rule: RuleId) -> Result<ListedRule, RuleError> {
    let found = one(conn, org, Some(rule), None).await?;
    found.ok_or(RuleError::Unknown { rule })
}

/// The rule of `org` called `name`.
///
/// # Errors
/// [`RuleError::Database`].
pub async fn named(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Option<ListedRule>, RuleError> {
    if name.contains('\0') {
        return Ok(None);
    }
    one(conn, org, None, Some(name)).await
}

async fn one(
    conn: &mut PgConnection,
    org: OrgId,
    rule: Option<RuleId>,
    name: Option<&str>,
) -> Result<Option<ListedRule>, RuleError> {
    let row: Option<ListedRow> = sqlx::query_as(include_str!("../../queries/rules/list.sql"))
        .bind(org.0)
        .bind(None::<i64>)
        .bind(1_i64)
        .bind(rule.map(|rule| rule.0))
        .bind(name)
        .fetch_optional(conn)
        .await?;
    row.map(ListedRule::try_from).transpose()
}

#[derive(sqlx::FromRow)]
struct WorkRow {
    id: i64,
    org_id: i64,
    name: String,
    version: i32,
    definition: Value,
    first_block: i64,
    muted_until: Option<DateTime<Utc>>,
}

/// The rules of all organisations that are at work on `chain`. A definition that cannot be read is a fault of its rule.
///
/// # Errors
/// [`RuleError::Database`].
pub async fn at_work(conn: &mut PgConnection, chain: ChainId) -> Result<AtWork, RuleError> {
    let rows: Vec<WorkRow> = sqlx::query_as(
        "SELECT id, org_id, name, version, definition, first_block, muted_until
           FROM alerts.rules
          WHERE chain_id = $1 AND state = 'active' AND deleted_at IS NULL
          ORDER BY org_id, id",
    )
    .bind(chain.0.cast_signed())
    .fetch_all(conn)
    .await?;
    let mut work = AtWork::default();
    for row in rows {
        let rule_id = RuleId(row.id);
        match stored_definition(rule_id, &row.definition) {
            Ok(definition) => work.rules.push(StoredRule {
                rule_id,
                org_id: OrgId(row.org_id),
                chain_id: chain,
                name: row.name,
                version: row.version,
                definition,
                first_block: BlockNumber(row.first_block.cast_unsigned()),
                muted_until: row.muted_until,
            }),
            Err(fault) => work.faults.push((fault, row.version)),
        }
    }
    Ok(work)
}
