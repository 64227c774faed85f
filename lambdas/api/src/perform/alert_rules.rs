//! Rules: made, looked at, changed, tried, held back, deleted.

use isotherm_access::Caller;
use isotherm_alerts::definition::{Definition, FieldError, FieldErrors, Source};
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::rules::{self as stored, ListedRule};
use isotherm_types::{BlockRange, RuleId};
use serde_json::json;
use sqlx::PgConnection;

use super::{Done, Performed, next, tenant};
use crate::error::ApiError;
use crate::request::{AlertRequest, TestOrder};
use crate::rules::{self, Author};
use crate::sql_trial::SqlTrial;
use crate::trial;

pub(super) async fn perform(
    conn: &mut PgConnection,
    caller: &Caller,
    request: &AlertRequest,
) -> Result<Done, ApiError> {
    let author = Author { name: &caller.name, user: caller.user.map(|user| user.0) };
    match request {
        AlertRequest::ListRules { before, limit } => list(conn, caller, *before, *limit).await,
        AlertRequest::CreateRule(definition) => {
            let made = rules::create(conn, caller.org, definition, author).await?;
            Ok(shown(201, &made))
        }
        AlertRequest::ShowRule { name } => {
            let found = rules::named(conn, caller.org, name).await?;
            Ok(shown(200, &found))
        }
        AlertRequest::SaveRule(definition) => {
            let (saved, is_new) = rules::save(conn, caller.org, definition, author).await?;
            Ok(shown(if is_new { 201 } else { 200 }, &saved))
        }
        AlertRequest::DeleteRule { name } => {
            let found = rules::named(conn, caller.org, name).await?;
            stored::delete(conn, caller.org, found.rule_id, &caller.name).await?;
            Ok(shown(200, &found))
        }
        AlertRequest::PauseRule { name } => {
            let found = rules::named(conn, caller.org, name).await?;
            stored::pause(conn, caller.org, found.rule_id, &caller.name).await?;
            again(conn, caller, found.rule_id).await
        }
        AlertRequest::ResumeRule { name } => {
            let found = rules::named(conn, caller.org, name).await?;
            rules::resume(conn, caller.org, &found, &caller.name).await?;
            again(conn, caller, found.rule_id).await
        }
        AlertRequest::MuteRule { name, seconds } => {
            let found = rules::named(conn, caller.org, name).await?;
            rules::mute(conn, caller.org, found.rule_id, *seconds, &caller.name).await?;
            again(conn, caller, found.rule_id).await
        }
        AlertRequest::TestRule(_)
        | AlertRequest::ListEvents(_)
        | AlertRequest::ShowEvent { .. }
        | AlertRequest::ListDeliveries(_)
        | AlertRequest::Replay { .. } => Err(ApiError::NoRoute),
    }
}

async fn list(conn: &mut PgConnection, caller: &Caller, before: Option<RuleId>, limit: u32) -> Result<Done, ApiError> {
    let mut db_tx = tenant(conn, caller.org).await?;
    let found = stored::list(&mut db_tx, caller.org, before, limit).await?;
    db_tx.rollback().await.map_err(LedgerError::from)?;
    let next = next(found.len(), limit, found.last().map(|rule| rule.rule_id.0));
    let rules: Vec<_> = found.iter().map(rules::to_json).collect();
    Ok(Done::Answered(200, json!({ "alerts": rules, "next": next })))
}

/// Tries a rule on the blocks that are named; of one with SQL, says what is to be asked.
pub(super) async fn test(conn: &mut PgConnection, caller: &Caller, order: &TestOrder) -> Result<Performed, ApiError> {
    let (definition, saved) = match &order.definition {
        Some(definition) => (definition.as_ref().clone(), None),
        None => {
            let saved = rules::named(conn, caller.org, &order.name).await?;
            (Definition::parse(&saved.definition)?, Some(saved))
        }
    };
    let rule = rules::for_trial(conn, caller.org, definition, saved.as_ref()).await?;
    if let Source::Sql { sql, .. } = &rule.stored.definition.source {
        let (sql, org) = (sql.clone(), caller.org_name.clone());
        // As of the last block of the range: a query sees everything up to a block.
        let as_of = order.blocks.map(BlockRange::last);
        return Ok(Performed::ToAsk(Box::new(SqlTrial { rule, sql, org, as_of })));
    }
    let missing =
        || FieldErrors::from(FieldError::new("from", "it is missing: the blocks are `from` up to `to`, without `to`"));
    let blocks = order.blocks.ok_or_else(missing)?;
    let trial = trial::look(conn, rule, blocks.start(), blocks.end()).await?;
    let mut shown = trial.to_json();
    shown["rule"] = json!(order.name);
    Ok(Performed::Done(Done::Answered(200, shown)))
}

async fn again(conn: &mut PgConnection, caller: &Caller, rule: RuleId) -> Result<Done, ApiError> {
    let mut db_tx = tenant(conn, caller.org).await?;
    let found = stored::get(&mut db_tx, caller.org, rule).await?;
    db_tx.rollback().await.map_err(LedgerError::from)?;
    Ok(shown(200, &found))
}

fn shown(status: u16, rule: &ListedRule) -> Done {
    Done::Answered(status, rules::to_json(rule))
}
