//! Rules as they are saved, by whichever door: the chain that one names is looked up, then the crate of alerts checks and stores it.

use chrono::{DateTime, Utc};
use isotherm_access::{grants, row_security};
use isotherm_alerts::cursors;
use isotherm_alerts::definition::{Definition, FieldError, FieldErrors};
use isotherm_alerts::index::CompiledRule;
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::rules::{self, ListedRule, NewRule, RuleState, StoredRule};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_hot_store::reorg;
use isotherm_types::{BlockNumber, BlockRef, ChainId, OrgId, RuleId};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::error::ApiError;

/// Who saves a rule.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// As the audit trail names them.
    pub name: &'a str,
    /// Their row of `access.users`, if they have one.
    pub user: Option<i64>,
}

/// The chain that `definition` names, which has to be followed, and what the rule looks at there granted to `org`. A chain of which
/// nothing is granted is answered like one that is not there.
///
/// # Errors
/// [`ApiError::NotRight`] if there is no such chain, or its dataset is not granted; that chains or grants cannot be read.
pub async fn chain(conn: &mut PgConnection, org: OrgId, definition: &Definition) -> Result<Cursor, ApiError> {
    let name = definition.chain.as_str();
    let grants = grants::of_org(conn, org).await?;
    let mut cursors = cursor::all(conn).await?;
    cursors.retain(|cursor| grants.allows_some_of(cursor.chain_id));
    if let Some(found) = cursors.iter().find(|cursor| cursor.chain == name) {
        let dataset = definition.source.dataset();
        if let Some(dataset) = dataset.filter(|dataset| !grants.allows(found.chain_id, *dataset)) {
            let message =
                format!("your organisation may not read {dataset} of {name}; whoever runs the platform grants it");
            return Err(FieldErrors::from(FieldError::new("source", message)).into());
        }
        return Ok(found.clone());
    }
    let names: Vec<&str> = cursors.iter().map(|cursor| cursor.chain.as_str()).collect();
    let there = if names.is_empty() { "none is".to_owned() } else { format!("these are: {}", names.join(", ")) };
    let message = format!("no chain called {name:?} is followed; {there}");
    Err(FieldErrors::from(FieldError::new("chain", message)).into())
}

/// Stores a new rule, at work from now on.
///
/// # Errors
/// [`ApiError::NotRight`]; [`ApiError::Rule`] if the name is taken or the organisation has too many; the platform's own failures.
pub async fn create(
    conn: &mut PgConnection,
    org: OrgId,
    definition: &Definition,
    author: Author<'_>,
) -> Result<ListedRule, ApiError> {
    let chain = chain(conn, org, definition).await?;
    let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
    if definition.backfill {
        look_again(&mut db_tx, org, chain.chain_id).await?;
    }
    let made = rules::create(&mut db_tx, org, &new_rule(definition, &chain, author)).await?;
    db_tx.commit().await.map_err(LedgerError::from)?;
    tracing::info!(rule.id = made.rule_id.0, caller.name = author.name, "a rule was made");
    Ok(made)
}

/// Stores a rule under its name, in the place of the one that is there; and whether it is new.
///
/// # Errors
/// As [`create`].
pub async fn save(
    conn: &mut PgConnection,
    org: OrgId,
    definition: &Definition,
    author: Author<'_>,
) -> Result<(ListedRule, bool), ApiError> {
    let Some(before) = maybe_named(conn, org, &definition.name).await? else {
        return Ok((create(conn, org, definition, author).await?, true));
    };
    let mut chain = chain(conn, org, definition).await?;
    if before.state == RuleState::Active
        && let Some(looked_at) = last_looked_at(conn, org, chain.chain_id).await?
    {
        // What is stored and was not looked at yet still concerns it.
        chain.tip = chain.tip.map(|tip| if looked_at.number < tip.number { looked_at } else { tip });
    }
    let is_changed = before.definition != definition.to_json() || before.state == RuleState::Quarantined;
    let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
    if definition.backfill && is_changed {
        look_again(&mut db_tx, org, chain.chain_id).await?;
    } else {
        cursors::hold(&mut db_tx, org, chain.chain_id).await?;
    }
    let after = rules::replace(&mut db_tx, org, before.rule_id, &new_rule(definition, &chain, author)).await?;
    db_tx.commit().await.map_err(LedgerError::from)?;
    if after.version != before.version {
        tracing::info!(rule.id = after.rule_id.0, caller.name = author.name, "a rule was changed");
    }
    Ok((after, false))
}

/// Has the rules look again at all that is stored, for one that is to find what was before.
///
/// The cursor is locked before the rule is, here and wherever a rule is changed, since that is what evaluators do.
async fn look_again(db_tx: &mut PgConnection, org: OrgId, chain: ChainId) -> Result<(), ApiError> {
    let newest_reorg = reorg::newest_id(db_tx, chain).await?;
    Ok(cursors::look_again_after(db_tx, org, chain, None, newest_reorg).await?)
}

fn new_rule<'a>(definition: &'a Definition, chain: &Cursor, author: Author<'a>) -> NewRule<'a> {
    NewRule {
        definition,
        chain: chain.chain_id,
        tip: chain.tip.map(|tip| tip.number),
        actor: author.name,
        owner: author.user,
    }
}

/// The organisation's rule of this name, read under its role.
///
/// # Errors
/// [`ApiError::NoSuchRule`]; that the rules cannot be read.
pub async fn named(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<ListedRule, ApiError> {
    let found = maybe_named(conn, org, name).await?;
    found.ok_or_else(|| ApiError::NoSuchRule { name: name.to_owned() })
}

async fn maybe_named(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Option<ListedRule>, ApiError> {
    // In a transaction of the caller's this is behind a savepoint, and the role ends with it.
    let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
    row_security::as_tenant(&mut db_tx, org).await.map_err(LedgerError::from)?;
    let found = rules::named(&mut db_tx, org, name).await?;
    db_tx.rollback().await.map_err(LedgerError::from)?;
    Ok(found)
}

/// The last block of the chain that the organisation's rules have looked at; `None` if there is none.
async fn last_looked_at(conn: &mut PgConnection, org: OrgId, chain: ChainId) -> Result<Option<BlockRef>, ApiError> {
    let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
    row_security::as_tenant(&mut db_tx, org).await.map_err(LedgerError::from)?;
    let cursors = cursors::of_chain(&mut db_tx, chain).await?;
    db_tx.rollback().await.map_err(LedgerError::from)?;
    Ok(cursors.get(&org).and_then(|cursor| cursor.block))
}

/// Puts a paused rule, or one in quarantine, to work again: on the blocks that come, or on all that are stored if it asks for what was
/// before. `false` if it was at work.
///
/// # Errors
/// That the rules or the chains cannot be read, or the rule not be changed.
pub async fn resume(conn: &mut PgConnection, org: OrgId, rule: &ListedRule, actor: &str) -> Result<bool, ApiError> {
    let chain = cursor::read(conn, rule.chain_id).await?;
    let tip = chain.and_then(|chain| chain.tip).map(|tip| tip.number);
    let (rule_id, is_at_work) = (rule.rule_id, rule.state == RuleState::Active);
    let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
    if rule.definition["backfill"] == true && !is_at_work {
        look_again(&mut db_tx, org, rule.chain_id).await?;
    }
    let is_changed = rules::resume(&mut db_tx, org, rule_id, tip, actor).await?
        || rules::unquarantine(&mut db_tx, org, rule_id, tip, actor).await?;
    db_tx.commit().await.map_err(LedgerError::from)?;
    Ok(is_changed)
}

/// Has nobody told of what a rule finds for so many seconds from the database's now on; 0: they are told again.
///
/// # Errors
/// That the rules cannot be read or changed.
pub async fn mute(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    seconds: u32,
    actor: &str,
) -> Result<(), ApiError> {
    let until: Option<DateTime<Utc>> =
        sqlx::query_scalar("SELECT CASE WHEN $1 > 0 THEN now() + make_interval(secs => $1) END")
            .bind(f64::from(seconds))
            .fetch_one(&mut *conn)
            .await
            .map_err(LedgerError::from)?;
    Ok(rules::mute(conn, org, rule, until, actor).await?)
}

/// A rule that is to be tried, and not stored: `definition`, or the one that `stored` has.
///
/// # Errors
/// [`ApiError::NotRight`]; that the chains cannot be read.
pub async fn for_trial(
    conn: &mut PgConnection,
    org: OrgId,
    definition: Definition,
    stored: Option<&ListedRule>,
) -> Result<CompiledRule, ApiError> {
    let chain = chain(conn, org, &definition).await?;
    let rule = StoredRule {
        rule_id: stored.map_or(RuleId(0), |rule| rule.rule_id),
        org_id: org,
        chain_id: chain.chain_id,
        name: definition.name.clone(),
        version: stored.map_or(1, |rule| rule.version),
        definition,
        first_block: BlockNumber(0),
        muted_until: None,
    };
    Ok(CompiledRule::compile(rule)?)
}

/// A rule as it is shown.
pub fn to_json(rule: &ListedRule) -> Value {
    json!({
        "id": rule.rule_id.0,
        "name": rule.name,
        "chain_id": rule.chain_id,
        "state": rule.state.as_str(),
        "quarantine": (rule.state == RuleState::Quarantined).then(|| json!({
            "code": rule.quarantine_code,
            "message": rule.quarantine_message,
            "at": rule.quarantined_at,
        })),
        "muted_until": rule.muted_until,
        "version": rule.version,
        "first_block": rule.first_block,
        "channels": rule.channels,
        "definition": rule.definition,
        "created_by": rule.created_by,
        "created_at": rule.created_at,
        "updated_at": rule.updated_at,
    })
}
