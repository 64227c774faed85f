//! Carrying out what was decided: rows, their history, and what the channels are told.

use chrono::{DateTime, Utc};
use isotherm_types::{ChainId, OrgId, RuleId};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::postgres::PgQueryResult;
use uuid::Uuid;

use super::PAGE_ROWS;
use crate::deliveries::enqueue;
use crate::index::Match;
use crate::ledger::{AlertState, LedgerError, Message};
use crate::turn::{Changes, Step};

/// Writes `changes` down, and what the channels are to be told of them. Returns how many messages wait because of it.
///
/// `found` is what the changes' places mean; `version` is the version of a rule's definition.
///
/// # Errors
/// [`LedgerError::StaleRows`] if a row is not as it was read; [`LedgerError::OutOfRange`]; what Postgres reports. Then the caller
/// has to roll back.
pub async fn write(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    found: &[&Match],
    version: impl Fn(RuleId) -> i32,
    changes: &Changes,
) -> Result<u64, LedgerError> {
    for page in changes.new.chunks(PAGE_ROWS) {
        let new: Vec<(&Match, AlertState)> = page.iter().map(|(place, state)| (found[*place], *state)).collect();
        let contents = Contents::of(new.iter().map(|(found, _)| *found), &version)?;
        insert(conn, org_id, chain_id, contents, &new).await?;
    }
    for page in changes.followed.chunks(PAGE_ROWS) {
        let contents = Contents::of(page.iter().map(|(place, ..)| found[*place]), &version)?;
        follow(conn, contents, page).await?;
    }
    for page in changes.turned.chunks(PAGE_ROWS) {
        turn(conn, page).await?;
    }
    for page in changes.steps.chunks(PAGE_ROWS) {
        remember(conn, org_id, page).await?;
    }
    let fired = enqueue::fired(conn, org_id, &changes.fired).await?;
    let moved = enqueue::corrections(conn, org_id, Message::Moved, &changes.moved).await?;
    let retracted = enqueue::corrections(conn, org_id, Message::Retracted, &changes.retracted).await?;
    Ok(fired + moved + retracted)
}

/// What findings say, column by column.
#[derive(Default)]
struct Contents<'m> {
    ids: Vec<Uuid>,
    versions: Vec<i32>,
    identities: Vec<Vec<u8>>,
    transaction_hashes: Vec<Option<Vec<u8>>>,
    positions: Vec<i32>,
    block_numbers: Vec<i64>,
    block_hashes: Vec<Vec<u8>>,
    block_times: Vec<DateTime<Utc>>,
    severities: Vec<&'m str>,
    titles: Vec<String>,
    messages: Vec<String>,
    group_keys: Vec<Option<String>>,
    facts: Vec<Value>,
}

impl<'m> Contents<'m> {
    fn of(found: impl Iterator<Item = &'m Match>, version: &impl Fn(RuleId) -> i32) -> Result<Self, LedgerError> {
        let mut contents = Self::default();
        for found in found {
            contents.ids.push(found.identity.alert_id());
            contents.versions.push(version(found.rule));
            contents.identities.push(found.identity.0.to_vec());
            contents.transaction_hashes.push(found.transaction_hash.map(|hash| hash.to_vec()));
            let position = i32::try_from(found.position).map_err(|_| LedgerError::OutOfRange { column: "position" })?;
            contents.positions.push(position);
            contents.block_numbers.push(found.block.number.0.cast_signed());
            contents.block_hashes.push(found.block.hash.to_vec());
            contents.block_times.push(found.block_time);
            contents.severities.push(found.severity.as_str());
            contents.titles.push(storable(&found.title));
            contents.messages.push(storable(&found.message));
            contents.group_keys.push(found.group_key.as_deref().map(storable));
            contents.facts.push(storable_json(&found.facts));
        }
        Ok(contents)
    }
}

async fn insert(
    conn: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    contents: Contents<'_>,
    new: &[(&Match, AlertState)],
) -> Result<(), LedgerError> {
    sqlx::query(include_str!("../../queries/alert_events/insert.sql"))
        .bind(org_id.0)
        .bind(chain_id.0.cast_signed())
        .bind(contents.ids)
        .bind(new.iter().map(|(found, _)| found.rule.0).collect::<Vec<_>>())
        .bind(contents.versions)
        .bind(contents.identities)
        .bind(contents.transaction_hashes)
        .bind(contents.positions)
        .bind(contents.block_numbers)
        .bind(contents.block_hashes)
        .bind(contents.block_times)
        .bind(contents.severities)
        .bind(contents.titles)
        .bind(contents.messages)
        .bind(contents.group_keys)
        .bind(contents.facts)
        .bind(new.iter().map(|(_, state)| state.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|(_, state)| state.reason()).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

async fn follow(
    conn: &mut PgConnection,
    contents: Contents<'_>,
    followed: &[(usize, AlertState, AlertState)],
) -> Result<(), LedgerError> {
    let updated = sqlx::query(include_str!("../../queries/alert_events/follow.sql"))
        .bind(contents.ids)
        .bind(contents.versions)
        .bind(contents.transaction_hashes)
        .bind(contents.positions)
        .bind(contents.block_numbers)
        .bind(contents.block_hashes)
        .bind(contents.block_times)
        .bind(contents.severities)
        .bind(contents.titles)
        .bind(contents.messages)
        .bind(contents.group_keys)
        .bind(contents.facts)
        .bind(followed.iter().map(|(_, _, state)| state.as_str()).collect::<Vec<_>>())
        .bind(followed.iter().map(|(_, _, state)| state.reason()).collect::<Vec<_>>())
        .bind(followed.iter().map(|(_, before, _)| before.as_str()).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    all_changed(&updated, followed.len())
}

async fn turn(conn: &mut PgConnection, turned: &[(Uuid, AlertState, AlertState)]) -> Result<(), LedgerError> {
    let updated = sqlx::query(include_str!("../../queries/alert_events/turn.sql"))
        .bind(turned.iter().map(|(alert_id, ..)| *alert_id).collect::<Vec<_>>())
        .bind(turned.iter().map(|(_, _, state)| state.as_str()).collect::<Vec<_>>())
        .bind(turned.iter().map(|(_, _, state)| state.reason()).collect::<Vec<_>>())
        .bind(turned.iter().map(|(_, before, _)| before.as_str()).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    all_changed(&updated, turned.len())
}

fn all_changed(updated: &PgQueryResult, expected: usize) -> Result<(), LedgerError> {
    let (changed, expected) = (updated.rows_affected(), expected as u64);
    if changed == expected { Ok(()) } else { Err(LedgerError::StaleRows { changed, expected }) }
}

async fn remember(conn: &mut PgConnection, org_id: OrgId, steps: &[Step]) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO alerts.alert_history (org_id, alert_id, from_state, to_state, block_number, block_hash, reason)
         SELECT $1, n.alert_id, n.from_state, n.to_state, n.block_number, n.block_hash, n.reason
           FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::text[])
                WITH ORDINALITY AS n (alert_id, from_state, to_state, block_number, block_hash, reason, place)
          ORDER BY n.place",
    )
    .bind(org_id.0)
    .bind(steps.iter().map(|step| step.alert_id).collect::<Vec<_>>())
    .bind(steps.iter().map(|step| step.from.map(AlertState::as_str)).collect::<Vec<_>>())
    .bind(steps.iter().map(|step| step.to.state.as_str()).collect::<Vec<_>>())
    .bind(steps.iter().map(|step| step.to.block.number.0.cast_signed()).collect::<Vec<_>>())
    .bind(steps.iter().map(|step| step.to.block.hash.to_vec()).collect::<Vec<_>>())
    .bind(steps.iter().map(|step| step.reason).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// `text` without what Postgres cannot hold: NUL characters, which a contract may put anywhere.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn storable_json(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(storable(text)),
        Value::Array(values) => Value::Array(values.iter().map(storable_json).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (storable(name), storable_json(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_contract_says_can_be_stored_wherever_it_puts_its_zero_bytes() {
        let said = json!({ "na\0me": ["a\0b", { "x": "\0" }, 7, null, true] });
        assert_eq!(storable_json(&said), json!({ "na\u{fffd}me": ["a\u{fffd}b", { "x": "\u{fffd}" }, 7, null, true] }));
    }
}
