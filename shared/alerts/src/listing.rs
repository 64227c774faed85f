//! What rules have found, for people and programs: pages of the ledger, and the history of one of its rows.
//!
//! Reading only. Every statement is for one organisation; callers that answer users read under the organisation's role besides.

use chrono::{DateTime, SecondsFormat, Utc};
use isotherm_types::OrgId;
use serde::{Serialize, Serializer};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ledger::LedgerError;

/// What stands between the parts of a [`Place`].
const SEPARATOR: char = '_';

/// Where a page ended: the instant and the id of its last entry.
///
/// As text the instant, to the microsecond that Postgres keeps, then `_` and the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the entry was made.
    pub at: DateTime<Utc>,
    /// Which one it is.
    pub id: Uuid,
}

/// A text that is no [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not where a page ended")]
pub struct NotAPlace;

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{SEPARATOR}{}", self.at.to_rfc3339_opts(SecondsFormat::Micros, true), self.id)
    }
}

impl std::str::FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (at, id) = text.split_once(SEPARATOR).ok_or(NotAPlace)?;
        let at = DateTime::parse_from_rfc3339(at).map_err(|_| NotAPlace)?.to_utc();
        Ok(Self { at, id: id.parse().map_err(|_| NotAPlace)? })
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which findings are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Of the rule of this name.
    pub rule: Option<String>,
    /// In this state.
    pub state: Option<&'static str>,
    /// Before this one, the last of the page before.
    pub before: Option<Place>,
    /// How many at most.
    pub limit: u32,
}

/// The states, as they are stored and asked for.
pub const STATES: [&str; 7] = ["pending", "sent", "confirmed", "retracted", "moved", "cancelled", "suppressed"];

/// Something that a rule has found, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct ListedAlert {
    /// Its id, the same in every message about it.
    pub id: Uuid,
    /// Name of the rule.
    pub rule: String,
    /// Version of the rule that found it, or found it again.
    pub rule_version: i32,
    /// The chain.
    pub chain_id: i64,
    /// Where it stands.
    pub state: String,
    /// Why it was suppressed.
    pub reason: Option<String>,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// A line.
    pub title: String,
    /// A text.
    pub message: String,
    /// Values by name.
    pub facts: Value,
    /// What the rule groups by.
    pub group_key: Option<String>,
    /// The block that it is in, or was in last.
    pub block_number: i64,
    /// The block's hash.
    pub block_hash: String,
    /// The block's time.
    pub block_time: DateTime<Utc>,
    /// Its transaction, if it has one.
    pub transaction_hash: Option<String>,
    /// Its place in the transaction.
    pub position: i32,
    /// When it was found.
    pub matched_at: DateTime<Utc>,
    /// When it was handed to the channels.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it changed last.
    pub changed_at: DateTime<Utc>,
}

impl ListedAlert {
    /// Where it stands among the others.
    pub fn place(&self) -> Place {
        Place { at: self.matched_at, id: self.id }
    }
}

/// One change of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct ListedChange {
    /// When.
    pub at: DateTime<Utc>,
    /// State before; absent when it was found.
    pub from_state: Option<String>,
    /// State after.
    pub to_state: String,
    /// The block that it was in then.
    pub block_number: i64,
    /// The block's hash.
    pub block_hash: String,
    /// Why.
    pub reason: Option<String>,
}

/// What the rules of an organisation have found, the newest first.
///
/// # Errors
/// What Postgres reports.
pub async fn list(conn: &mut PgConnection, org: OrgId, filter: &AlertFilter) -> Result<Vec<ListedAlert>, LedgerError> {
    select(conn, org, filter, None).await
}

/// One finding; `None` if the organisation has none of this id.
///
/// # Errors
/// What Postgres reports.
pub async fn read(conn: &mut PgConnection, org: OrgId, id: Uuid) -> Result<Option<ListedAlert>, LedgerError> {
    let filter = AlertFilter { limit: 1, ..AlertFilter::default() };
    Ok(select(conn, org, &filter, Some(id)).await?.pop())
}

/// Every change of a finding, in order; none of one that is not the organisation's.
///
/// # Errors
/// What Postgres reports.
pub async fn history(conn: &mut PgConnection, org: OrgId, id: Uuid) -> Result<Vec<ListedChange>, LedgerError> {
    let changes = sqlx::query_as(
        "SELECT at, from_state, to_state, block_number, '0x' || encode(block_hash, 'hex') AS block_hash, reason
           FROM alerts.alert_history WHERE alert_id = $1 AND org_id = $2 ORDER BY id",
    );
    Ok(changes.bind(id).bind(org.0).fetch_all(conn).await?)
}

async fn select(
    conn: &mut PgConnection,
    org: OrgId,
    filter: &AlertFilter,
    id: Option<Uuid>,
) -> Result<Vec<ListedAlert>, LedgerError> {
    let (before, before_id) = filter.before.map(|place| (place.at, place.id)).unzip();
    let alerts = sqlx::query_as(include_str!("../queries/alert_events/list.sql"))
        .bind(org.0)
        .bind(filter.rule.as_deref())
        .bind(filter.state)
        .bind(id)
        .bind(before)
        .bind(before_id)
        .bind(i64::from(filter.limit))
        .fetch_all(conn)
        .await?;
    Ok(alerts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{AlertState, Suppression};

    #[test]
    fn a_place_is_read_back_to_the_microsecond() {
        let at = "2026-11-26T10:00:00.123456Z".parse().unwrap();
        let place = Place { at, id: Uuid::from_u128(7) };
        assert_eq!(place.to_string(), "2026-11-26T10:00:00.123456Z_00000000-0000-0000-0000-000000000007");
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in
            ["", "_", "2026-11-26T10:00:00Z", "2026-11-26T10:00:00Z_7", "now_00000000-0000-0000-0000-000000000007"]
        {
            assert_eq!(text.parse::<Place>(), Err(NotAPlace), "{text}");
        }
    }

    #[test]
    fn the_states_are_those_of_the_ledger() {
        for state in STATES {
            let reason = (state == "suppressed").then_some(Suppression::Muted.as_str());
            assert_eq!(AlertState::of_stored(state, reason).map(AlertState::as_str), Some(state));
        }
    }
}
