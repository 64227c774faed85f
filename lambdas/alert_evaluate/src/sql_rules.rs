//! Rules with SQL: asked when they are due, by the function `query`, as their organisation; each row of the answer is a finding.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use chrono::{DateTime, Utc};
use isotherm_alerts::definition::Source;
use isotherm_alerts::index::{Match, RuleFault};
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::sql_runs::{self, DueSql};
use isotherm_platform::{Fault, database};
use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, Classified, OrgId};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::Connection as _;

use crate::trouble::Trouble;
use crate::{Evaluator, at_once, quarantine, report};

/// Time that an answer has; the connection to the function waits a little longer.
const TIMEOUT_SECONDS: u64 = 20;
/// Rows above which an answer is a mistake of its rule.
const MOST_ROWS: usize = 1_000;
/// What an answer has if the rule's text, or its size, is at fault: asking again says the same.
const OF_THE_RULE: [&str; 10] = [
    "query.syntax",
    "query.refused",
    "query.invalid",
    "query.unknown_relation",
    "query.not_collected",
    "query.failed",
    "query.out_of_memory",
    "query.timeout",
    "query.too_large",
    "query.malformed_request",
];

/// What became of a question.
#[derive(Debug, PartialEq)]
enum Said {
    /// Rows, and the block up to which they are true.
    Rows(Vec<Map<String, Value>>, BlockRef),
    /// The rule is at fault.
    RuleFault { code: &'static str, message: String },
    /// Nobody could answer: the next run may do better.
    Nothing { code: String },
}

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
            Err(fault) if fault.code() == "alerts.rule_changed" => {
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
        Said::RuleFault { code, message } => {
            let fault = RuleFault { rule_id: due.rule_id, code, message };
            quarantine::each(evaluator, &[fault], |_| Some(rule.stored.version)).await?;
        }
        Said::Nothing { code } => {
            tracing::warn!(rule.id = due.rule_id.0, error.code = code, "a rule's SQL was not answered");
        }
    }
    Ok(())
}

async fn ask(evaluator: &Evaluator, due: &DueSql, sql: &str) -> Said {
    let question = json!({ "sql": sql, "org": due.org, "mode": "interactive", "timeout_seconds": TIMEOUT_SECONDS });
    let asked = evaluator.clients.lambda().invoke().function_name(&evaluator.query_function);
    match asked.payload(Blob::new(question.to_string())).send().await {
        Ok(answer) if answer.function_error().is_none() => {
            let payload = answer.payload().map_or(&[][..], AsRef::as_ref);
            said(payload, due.chain_id)
        }
        Ok(answer) => Said::Nothing { code: answer.function_error().unwrap_or("lambda").to_owned() },
        Err(error) => {
            tracing::warn!(error.message = %DisplayErrorContext(&error), "{}", Trouble::QueryUnavailable);
            nothing(&Trouble::QueryUnavailable)
        }
    }
}

fn nothing(trouble: &Trouble) -> Said {
    Said::Nothing { code: trouble.code().to_owned() }
}

#[derive(Deserialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Option<Vec<Vec<Value>>>,
    state: Vec<ChainState>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

#[derive(Deserialize)]
struct ChainState {
    chain_id: ChainId,
    tip_number: Option<BlockNumber>,
    tip_hash: Option<B256>,
}

/// Reads what `query` answered about `chain_id`. Pure.
fn said(payload: &[u8], chain_id: ChainId) -> Said {
    let Ok(answer) = serde_json::from_slice::<Value>(payload) else { return nothing(&Trouble::BadAnswer) };
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        return match OF_THE_RULE.into_iter().find(|code| text("code") == *code) {
            Some(code) => Said::RuleFault { code, message: text("message") },
            None => Said::Nothing { code: text("code") },
        };
    }
    let Ok(answer) = serde_json::from_value::<Answer>(answer) else { return nothing(&Trouble::BadAnswer) };
    let too_many = || {
        let trouble = Trouble::TooManyRows { most: MOST_ROWS };
        Said::RuleFault { code: trouble.code(), message: trouble.to_string() }
    };
    // An answer that is too long comes as a file.
    let Some(rows) = answer.rows else { return too_many() };
    if rows.len() > MOST_ROWS {
        return too_many();
    }
    // Of SQL that reads no chain there is no state.
    let state = answer.state.into_iter().find(|state| state.chain_id == chain_id);
    let tip = state.and_then(|state| Some(BlockRef { number: state.tip_number?, hash: state.tip_hash? }));
    let block = tip.unwrap_or(BlockRef { number: BlockNumber(0), hash: B256::ZERO });
    let names = || answer.columns.iter().map(|column| column.name.clone());
    Said::Rows(rows.into_iter().map(|row| names().zip(row).collect()).collect(), block)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId(7);

    fn read(answer: &Value) -> Said {
        said(answer.to_string().as_bytes(), CHAIN)
    }

    #[test]
    fn rows_are_named_values_as_of_the_chains_tip() {
        let hash = B256::repeat_byte(3);
        let answer = json!({
            "columns": [{ "name": "alert_key", "type": "VARCHAR" }, { "name": "n", "type": "BIGINT" }],
            "rows": [["a", 1], ["b", null]],
            "state": [
                { "chain_id": 8, "chain": "eight", "tip_number": 9, "tip_hash": B256::ZERO, "watermark": null },
                { "chain_id": 7, "chain": "seven", "tip_number": 5, "tip_hash": hash, "watermark": null },
            ],
        });
        let Said::Rows(rows, block) = read(&answer) else { panic!("no rows") };
        assert_eq!(json!(rows), json!([{ "alert_key": "a", "n": 1 }, { "alert_key": "b", "n": null }]));
        assert_eq!(block, BlockRef { number: BlockNumber(5), hash });
        let stateless = json!({ "columns": [], "rows": [], "state": [] });
        let nowhere = BlockRef { number: BlockNumber(0), hash: B256::ZERO };
        assert_eq!(read(&stateless), Said::Rows(Vec::new(), nowhere));
    }

    #[test]
    fn a_rule_is_at_fault_for_its_text_and_its_size_and_for_nothing_else() {
        let error = |code: &str| read(&json!({ "error": { "code": code, "message": "no", "detail": null } }));
        assert_eq!(error("query.syntax"), Said::RuleFault { code: "query.syntax", message: "no".to_owned() });
        for code in ["query.busy", "query.cold_file_missing", "query.database", "access.forbidden"] {
            assert_eq!(error(code), Said::Nothing { code: code.to_owned() });
        }
        let long = json!({ "columns": [], "rows": vec![json!([]); MOST_ROWS + 1], "state": [] });
        let as_file = json!({ "columns": [], "result": { "url": "https://x" }, "state": [] });
        for answer in [long, as_file] {
            assert!(matches!(read(&answer), Said::RuleFault { code: "alerts.too_many_rows", .. }));
        }
        assert_eq!(said(b"oops", CHAIN), Said::Nothing { code: "alerts.bad_answer".to_owned() });
        assert_eq!(read(&json!({ "rows": 7 })), Said::Nothing { code: "alerts.bad_answer".to_owned() });
    }
}
