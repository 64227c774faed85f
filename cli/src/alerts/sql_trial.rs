//! A rule with SQL, tried: its SQL is asked once, as its organisation and as of the last block of the range. Each row of the answer is what
//! the rule would have found then.

use anyhow::{Context, bail};
use isotherm_alerts::index::CompiledRule;
use isotherm_alerts::sql_answer;
use isotherm_local_stack::LocalAws;
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, Clock as _, SystemClock};
use lambda_api::trial::{self, Trial};
use serde_json::{Map, Value};

use crate::query::{self, Answer};

/// Asks `sql`, the rule's, as of the block before `to`.
///
/// # Errors
/// If the range is empty, or the SQL is not answered.
pub(super) async fn look(
    aws: &LocalAws,
    org: &str,
    rule: &CompiledRule,
    sql: &str,
    (from, to): (u64, u64),
) -> anyhow::Result<Trial> {
    let Ok(blocks) = BlockRange::new(BlockNumber(from), BlockNumber(to)) else {
        bail!("--to names the block after the last one; {to} is not after {from}");
    };
    let last = blocks.last();
    let request = sql_answer::question(sql, org, Some((rule.stored.definition.chain.as_str(), last)));
    let answer = query::all_rows(aws, &request).await.context("its SQL was not answered")?;
    if answer.rows.len() > sql_answer::MOST_ROWS {
        bail!(
            "its SQL has {} rows; with more than {} it would be taken out of work",
            answer.rows.len(),
            sql_answer::MOST_ROWS
        );
    }
    // Rows of an answer are about no block: its number only says how far the chain was.
    let block = BlockRef { number: last, hash: B256::ZERO };
    Ok(trial::of_answer(rule, &rows(&answer), block, SystemClock.now()))
}

fn rows(answer: &Answer) -> Vec<Map<String, Value>> {
    let names = || answer.columns.iter().map(|column| column.name.clone());
    answer.rows.iter().map(|row| names().zip(row.iter().cloned()).collect()).collect()
}
