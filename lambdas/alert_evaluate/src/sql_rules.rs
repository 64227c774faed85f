//! Rules with SQL: asked when they are due, by the function `query`, as their organisation; each row of the answer is a finding.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use isotherm_alerts::definition::Source;
use isotherm_alerts::index::{Match, RuleFault};
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::sql_answer::{self, Said, SqlFault};
use isotherm_alerts::sql_runs::{self, DueSql};
use isotherm_platform::{Fault, database, functions};
use isotherm_types::OrgId;
use sqlx::Connection as _;

use crate::{Evaluator, SOMEBODY_FIRST, at_once, quarantine, report};

/// Asks rules that are due, one after the other, with none begun after `until`. What becomes of each is written down before the next is
/// asked, and the failure of one keeps no other back. The time is shared between organisations.
///
/// # Errors
/// The first failure, after the others; that it cannot be told which rules are due.
pub(crate) async fn ask_due(evaluator: &Evaluator, until: Instant) -> Result<(), Fault> {
    let mut spent: BTreeMap<OrgId, Duration> = BTreeMap::new();
    let mut failure = None;
    while Instant::now() < until {
        let Some(due) = take_due(evaluator, &spent).await? else { break };
        let began = Instant::now();
        match ask_one(evaluator, &due).await {
            Err(fault) if SOMEBODY_FIRST.contains(&fault.code()) => {
                tracing::info!(rule.id = due.rule_id.0, error.code = fault.code(), "somebody else was first here");
            }
            Err(fault) => {
                report(&fault, "what a rule's SQL answered was not written down; it is asked again");
                failure.get_or_insert(fault);
            }
            Ok(()) => {}
        }
        *spent.entry(due.org_id).or_default() += began.elapsed();
    }
    failure.map_or(Ok(()), Err)
}

async fn take_due(evaluator: &Evaluator, spent: &BTreeMap<OrgId, Duration>) -> Result<Option<DueSql>, Fault> {
    let mut conn = database::borrow(&evaluator.pool).await.map_err(LedgerError::from)?;
    let due = sql_runs::take_due(&mut conn, spent).await?;
    conn.give_back();
    Ok(due)
}

/// Asks one rule, without a connection meanwhile, and writes down what became of it.
async fn ask_one(evaluator: &Evaluator, due: &DueSql) -> Result<(), Fault> {
    let mut conn = database::borrow(&evaluator.pool).await.map_err(LedgerError::from)?;
    let rules = evaluator.rule_sets.of_chain(&mut conn, due.chain_id).await?;
    conn.give_back();
    let Some(rule) = rules.index.get(due.rule_id) else { return Ok(()) };
    let Source::Sql { sql, .. } = &rule.stored.definition.source else { return Ok(()) };
    match ask(evaluator, due, sql).await {
        Said::Rows(rows, block) => {
            let mut conn = database::borrow(&evaluator.pool).await.map_err(LedgerError::from)?;
            let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
            let now: DateTime<Utc> =
                sqlx::query_scalar("SELECT now()").fetch_one(&mut *db_tx).await.map_err(LedgerError::from)?;
            let found: Vec<Match> = rows.iter().map(|row| rule.match_of_row(row, block, now)).collect();
            let found: Vec<&Match> = found.iter().collect();
            at_once::record(&mut db_tx, due.org_id, due.chain_id, &rules, &found).await?;
            db_tx.commit().await.map_err(LedgerError::from)?;
            conn.give_back();
        }
        Said::RuleFault(SqlFault { code, message, .. }) => {
            let fault = RuleFault { rule_id: due.rule_id, code, message };
            quarantine::each(evaluator, &[(fault, rule.stored.version)]).await?;
        }
        Said::Nothing { code, message } => {
            tracing::warn!(
                rule.id = due.rule_id.0,
                error.code = code,
                error.message = message,
                "a rule's SQL was not answered"
            );
        }
    }
    Ok(())
}

async fn ask(evaluator: &Evaluator, due: &DueSql, sql: &str) -> Said {
    let question = sql_answer::question(sql, &due.org, None);
    match functions::invoke(&evaluator.clients, &evaluator.query_function, &question).await {
        Ok(payload) => sql_answer::said(&payload, due.chain_id),
        Err(error) => {
            let fault = Fault::from(error);
            Said::Nothing { code: fault.code().to_owned(), message: fault.message() }
        }
    }
}
