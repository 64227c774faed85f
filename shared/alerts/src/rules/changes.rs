//! Changing rules. Each change is one transaction, its row of the audit trail in it.

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, ChainId, OrgId, RuleId};
use sqlx::{Connection as _, PgConnection};

use super::reading::{ListedRule, RuleState, get};
use super::{MAX_RULES, MAX_SQL, MAX_UNINDEXED, RuleError, begin_alone, channels};
use crate::audit::{self, Entry};
use crate::definition::{Definition, FieldError, FieldErrors};
use crate::index::check;

/// A rule that is to be stored.
#[derive(Clone, Debug)]
pub struct NewRule<'a> {
    /// What it says.
    pub definition: &'a Definition,
    /// The chain that `definition.chain` names.
    pub chain: ChainId,
    /// The newest block of the chain that is stored; `None` if there is none.
    pub tip: Option<BlockNumber>,
    /// Who makes it, for the audit trail.
    pub actor: &'a str,
    /// The user whose it is; `None` of an AWS principal that invoked the function directly.
    pub owner: Option<i64>,
}

/// Stores a rule of `org`, at work from now on.
///
/// # Errors
/// [`RuleError::Invalid`], also for channels that are not there; [`RuleError::NameTaken`]; [`RuleError::TooMany`],
/// [`RuleError::TooManyUnindexed`] and [`RuleError::TooManySql`]; [`RuleError::Database`].
pub async fn create(conn: &mut PgConnection, org: OrgId, new: &NewRule<'_>) -> Result<ListedRule, RuleError> {
    let definition = new.definition;
    check(definition)?;
    let mut db_tx = begin_alone(conn, org).await?;
    let told = channels::of_names(&mut db_tx, org, &definition.channels).await?;
    check_limits(&mut db_tx, org, definition, None).await?;
    let first_block = if definition.backfill { 0 } else { after(new.tip) };
    let every_seconds = every_seconds(definition);
    let made: Option<(i64,)> = sqlx::query_as(
        "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, next_run_at, owner_id, created_by)
         VALUES ($1, $2, $3, $4, $5, CASE WHEN $6::integer IS NOT NULL THEN now() END, $7, $8)
         ON CONFLICT (org_id, name) WHERE deleted_at IS NULL DO NOTHING
         RETURNING id",
    )
    .bind(org.0)
    .bind(&definition.name)
    .bind(new.chain.0.cast_signed())
    .bind(definition.to_json())
    .bind(first_block)
    .bind(every_seconds)
    .bind(new.owner)
    .bind(new.actor)
    .fetch_optional(&mut *db_tx)
    .await?;
    let (id,) = made.ok_or_else(|| RuleError::NameTaken { name: definition.name.clone() })?;
    let rule = RuleId(id);
    channels::put(&mut db_tx, org, rule, &told).await?;
    let to_state = Some("active");
    note(&mut db_tx, org, rule, new.actor, ("created", None, to_state, Some(definition.name.as_str()))).await?;
    let made = get(&mut db_tx, org, rule).await?;
    db_tx.commit().await?;
    Ok(made)
}

/// Puts another definition in the place of a rule's. One that failed is at work again; a paused one stays paused. Blocks up to the tip
/// do not concern the new one, unless it asks for what was before: then all do.
///
/// What is the same already changes nothing, and leaves the version as it is.
///
/// # Errors
/// As [`create`], and [`RuleError::Unknown`]; [`RuleError::Invalid`] also if the chain is another one.
pub async fn replace(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    new: &NewRule<'_>,
) -> Result<ListedRule, RuleError> {
    let definition = new.definition;
    check(definition)?;
    let mut db_tx = begin_alone(conn, org).await?;
    let before = locked(&mut db_tx, org, rule).await?;
    if before.chain_id != new.chain {
        let message = "a rule stays on its chain; make another one for this chain";
        return Err(FieldErrors::from(FieldError::new("chain", message)).into());
    }
    let told = channels::of_names(&mut db_tx, org, &definition.channels).await?;
    if before.name != definition.name && is_taken(&mut db_tx, org, &definition.name).await? {
        return Err(RuleError::NameTaken { name: definition.name.clone() });
    }
    check_limits(&mut db_tx, org, definition, Some(rule)).await?;
    let json = definition.to_json();
    let is_same = before.definition == json;
    let is_back = before.state == RuleState::Quarantined;
    if !is_same || is_back {
        sqlx::query(
            "UPDATE alerts.rules
                SET name = $3, definition = $4, version = version + CASE WHEN $5 THEN 0 ELSE 1 END,
                    state = CASE WHEN state = 'quarantined' THEN 'active' ELSE state END,
                    quarantine_code = NULL, quarantine_message = NULL, quarantined_at = NULL,
                    next_run_at = CASE WHEN $6::integer IS NOT NULL THEN coalesce(next_run_at, now()) END,
                    first_block = CASE WHEN $7 THEN 0 ELSE greatest(first_block, $8) END,
                    updated_at = now()
              WHERE org_id = $1 AND id = $2",
        )
        .bind(org.0)
        .bind(rule.0)
        .bind(&definition.name)
        .bind(&json)
        .bind(is_same)
        .bind(every_seconds(definition))
        .bind(definition.backfill)
        .bind(after(new.tip))
        .execute(&mut *db_tx)
        .await?;
        let to_state = if is_back { RuleState::Active } else { before.state };
        let states = (Some(before.state.as_str()), Some(to_state.as_str()));
        note(&mut db_tx, org, rule, new.actor, ("changed", states.0, states.1, Some(definition.name.as_str()))).await?;
    }
    channels::put(&mut db_tx, org, rule, &told).await?;
    let after = get(&mut db_tx, org, rule).await?;
    db_tx.commit().await?;
    Ok(after)
}

/// Tells other channels of what the rule finds from now on. Its definition says so too, but its version stays: it finds what it found.
///
/// # Errors
/// [`RuleError::Invalid`] for channels that are not there; [`RuleError::Unknown`]; [`RuleError::Database`].
pub async fn set_channels(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    names: &[String],
    actor: &str,
) -> Result<ListedRule, RuleError> {
    let mut db_tx = begin_alone(conn, org).await?;
    let before = locked(&mut db_tx, org, rule).await?;
    let mut definition = before.definition.clone();
    definition["channels"] = names.into();
    // The list is judged as if the whole definition had been sent.
    Definition::parse(&definition)?;
    let told = channels::of_names(&mut db_tx, org, names).await?;
    channels::put(&mut db_tx, org, rule, &told).await?;
    sqlx::query("UPDATE alerts.rules SET definition = $3, updated_at = now() WHERE org_id = $1 AND id = $2")
        .bind(org.0)
        .bind(rule.0)
        .bind(&definition)
        .execute(&mut *db_tx)
        .await?;
    let told = names.join(", ");
    let state = Some(before.state.as_str());
    note(&mut db_tx, org, rule, actor, ("channels_set", state, state, Some(told.as_str()))).await?;
    let after = get(&mut db_tx, org, rule).await?;
    db_tx.commit().await?;
    Ok(after)
}

/// Deletes a rule: its name is free again, its alerts stay.
///
/// # Errors
/// [`RuleError::Unknown`]; [`RuleError::Database`].
pub async fn delete(conn: &mut PgConnection, org: OrgId, rule: RuleId, actor: &str) -> Result<(), RuleError> {
    let mut db_tx = conn.begin().await?;
    let before = locked(&mut db_tx, org, rule).await?;
    sqlx::query("UPDATE alerts.rules SET deleted_at = now(), updated_at = now() WHERE org_id = $1 AND id = $2")
        .bind(org.0)
        .bind(rule.0)
        .execute(&mut *db_tx)
        .await?;
    let states = (Some(before.state.as_str()), Some("deleted"));
    note(&mut db_tx, org, rule, actor, ("deleted", states.0, states.1, Some(before.name.as_str()))).await?;
    db_tx.commit().await?;
    Ok(())
}

/// Takes a rule out of work until [`resume`]; `false` if it was not at work.
///
/// # Errors
/// [`RuleError::Unknown`]; [`RuleError::Database`].
pub async fn pause(conn: &mut PgConnection, org: OrgId, rule: RuleId, actor: &str) -> Result<bool, RuleError> {
    turn(conn, (org, rule), None, actor, "paused", (RuleState::Active, RuleState::Paused)).await
}

/// Puts a paused rule to work again; `false` if it was not paused. Blocks up to `tip`, the newest one of its chain that is stored, do
/// not concern it, unless it asks for what was before.
///
/// # Errors
/// [`RuleError::Unknown`]; [`RuleError::Database`].
pub async fn resume(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    tip: Option<BlockNumber>,
    actor: &str,
) -> Result<bool, RuleError> {
    turn(conn, (org, rule), tip, actor, "resumed", (RuleState::Paused, RuleState::Active)).await
}

/// Puts a rule that failed to work again as it is; `false` if it had not failed. Otherwise as [`resume`].
///
/// # Errors
/// [`RuleError::Unknown`]; [`RuleError::Database`].
pub async fn unquarantine(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    tip: Option<BlockNumber>,
    actor: &str,
) -> Result<bool, RuleError> {
    turn(conn, (org, rule), tip, actor, "unquarantined", (RuleState::Quarantined, RuleState::Active)).await
}

/// Suppresses what the rule finds until `until`; `None`: no longer.
///
/// # Errors
/// [`RuleError::Unknown`]; [`RuleError::Database`].
pub async fn mute(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    until: Option<DateTime<Utc>>,
    actor: &str,
) -> Result<(), RuleError> {
    let mut db_tx = conn.begin().await?;
    let before = locked(&mut db_tx, org, rule).await?;
    sqlx::query("UPDATE alerts.rules SET muted_until = $3, updated_at = now() WHERE org_id = $1 AND id = $2")
        .bind(org.0)
        .bind(rule.0)
        .bind(until)
        .execute(&mut *db_tx)
        .await?;
    let action = if until.is_some() { "muted" } else { "unmuted" };
    let reason = until.map(|until| until.to_rfc3339());
    let state = Some(before.state.as_str());
    note(&mut db_tx, org, rule, actor, (action, state, state, reason.as_deref())).await?;
    db_tx.commit().await?;
    Ok(())
}

/// Takes a rule that failed out of work, whosever it is; `false` if it was not at work any more, or its definition is not `version`, the
/// one that failed, any more (`None`: whichever it is). For the evaluator.
///
/// # Errors
/// What Postgres reports.
pub async fn quarantine(
    conn: &mut PgConnection,
    rule: RuleId,
    version: Option<i32>,
    code: &str,
    message: &str,
) -> Result<bool, RuleError> {
    let mut db_tx = conn.begin().await?;
    // Postgres holds no NUL characters.
    let message: String =
        message.chars().take(2000).map(|letter| if letter == '\0' { '\u{fffd}' } else { letter }).collect();
    let taken: Option<(i64,)> = sqlx::query_as(
        "UPDATE alerts.rules
            SET state = 'quarantined', quarantine_code = $2, quarantine_message = $3, quarantined_at = now(), updated_at = now()
          WHERE id = $1 AND state = 'active' AND deleted_at IS NULL AND version = coalesce($4, version)
          RETURNING org_id",
    )
    .bind(rule.0)
    .bind(code)
    .bind(&message)
    .bind(version)
    .fetch_optional(&mut *db_tx)
    .await?;
    let Some((org,)) = taken else { return Ok(false) };
    let reason = format!("{code}: {message}");
    let what = ("quarantined", Some("active"), Some("quarantined"), Some(reason.as_str()));
    note(&mut db_tx, OrgId(org), rule, "alert_evaluate", what).await?;
    db_tx.commit().await?;
    Ok(true)
}

/// Goes from one state to another, if the rule is in the first one; blocks up to `tip` do not concern it after that.
async fn turn(
    conn: &mut PgConnection,
    (org, rule): (OrgId, RuleId),
    tip: Option<BlockNumber>,
    actor: &str,
    action: &str,
    (from, to): (RuleState, RuleState),
) -> Result<bool, RuleError> {
    let mut db_tx = conn.begin().await?;
    let before = locked(&mut db_tx, org, rule).await?;
    if before.state != from {
        return Ok(false);
    }
    let changed = sqlx::query(
        "UPDATE alerts.rules
            SET state = $4, quarantine_code = NULL, quarantine_message = NULL, quarantined_at = NULL, updated_at = now(),
                first_block = CASE WHEN definition @> '{\"backfill\": true}' THEN first_block ELSE greatest(first_block, $5) END
          WHERE org_id = $1 AND id = $2 AND state = $3",
    )
    .bind(org.0)
    .bind(rule.0)
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(after(tip))
    .execute(&mut *db_tx)
    .await?;
    assert_eq!(changed.rows_affected(), 1, "the row is locked in this state");
    note(&mut db_tx, org, rule, actor, (action, Some(from.as_str()), Some(to.as_str()), None)).await?;
    db_tx.commit().await?;
    Ok(true)
}

/// The rule, which nobody else changes until the transaction is over.
async fn locked(conn: &mut PgConnection, org: OrgId, rule: RuleId) -> Result<ListedRule, RuleError> {
    let held: Option<(i64,)> =
        sqlx::query_as("SELECT id FROM alerts.rules WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE")
            .bind(org.0)
            .bind(rule.0)
            .fetch_optional(&mut *conn)
            .await?;
    held.ok_or(RuleError::Unknown { rule })?;
    get(conn, org, rule).await
}

async fn is_taken(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<bool, sqlx::Error> {
    let (taken,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM alerts.rules WHERE org_id = $1 AND name = $2 AND deleted_at IS NULL)",
    )
    .bind(org.0)
    .bind(name)
    .fetch_one(conn)
    .await?;
    Ok(taken)
}

/// Counts the organisation's rules but `replaced`, and refuses one more if there are as many as there may be.
async fn check_limits(
    conn: &mut PgConnection,
    org: OrgId,
    definition: &Definition,
    replaced: Option<RuleId>,
) -> Result<(), RuleError> {
    let (rules, unindexed, sql): (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE definition->'source' ? 'dataset'
                                             AND definition->'source'->>'dataset' <> 'blocks'
                                             AND NOT definition->'source' ?| ARRAY['address', 'topic0', 'selector']),
                count(*) FILTER (WHERE definition->'source' ? 'sql')
           FROM alerts.rules
          WHERE org_id = $1 AND deleted_at IS NULL AND id IS DISTINCT FROM $2",
    )
    .bind(org.0)
    .bind(replaced.map(|rule| rule.0))
    .fetch_one(conn)
    .await?;
    if rules >= MAX_RULES {
        return Err(RuleError::TooMany);
    }
    if definition.is_unindexed() && unindexed >= MAX_UNINDEXED {
        return Err(RuleError::TooManyUnindexed);
    }
    if every_seconds(definition).is_some() && sql >= MAX_SQL {
        return Err(RuleError::TooManySql);
    }
    Ok(())
}

/// The first block after `tip`, as the database has it; the first one of all if nothing is stored.
fn after(tip: Option<BlockNumber>) -> i64 {
    tip.map_or(0, |tip| tip.next().0.cast_signed())
}

fn every_seconds(definition: &Definition) -> Option<i32> {
    match &definition.source {
        crate::definition::Source::Sql { every_seconds, .. } => i32::try_from(*every_seconds).ok(),
        _ => None,
    }
}

/// What is noted of a change: action, state before and after, reason.
type What<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>);

async fn note(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    actor: &str,
    (action, from_state, to_state, reason): What<'_>,
) -> Result<(), sqlx::Error> {
    let (subject, subject_id) = ("alert_rule", rule.0);
    audit::record(conn, &Entry { org: Some(org), actor, action, subject, subject_id, from_state, to_state, reason })
        .await
}
