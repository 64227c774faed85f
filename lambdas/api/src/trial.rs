//! What a rule would have told of, held against blocks that are stored. It reads: nothing is written down, and nobody is told.
//!
//! Matches and the cooldown are decided as the evaluator decides them; that a rule is muted, or a block old, does not count here.

use std::collections::{BTreeSet, HashMap};

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use isotherm_alerts::definition::{FieldError, FieldErrors};
use isotherm_alerts::index::{Asked, BlockRows, CompiledRule, Excess, Found, Match, RuleFault, RuleIndex};
use isotherm_alerts::release::Reach;
use isotherm_alerts::turn::{self, Finding, Terms};
use isotherm_hot_store::whole_blocks::{self, Bounds, WholeBlocks};
use isotherm_hot_store::{HotStoreError, cursor};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::error::ApiError;

/// Blocks of one test, at most.
pub const MOST_BLOCKS: u64 = 10_000;
/// What is read at a time; a block may be more.
const READ: Bounds = Bounds { row_count: 20_000, size_bytes: 16 << 20 };
/// Rows of one test, about: a call has to be answered within seconds.
const MOST_ROWS: usize = 200_000;
/// Matches of one test, about.
const MOST_MATCHES: usize = 5_000;
/// Matches that are shown.
pub const MOST_SHOWN: usize = 100;

/// What came of a test.
#[derive(Debug)]
pub struct Trial {
    /// The blocks that were looked at.
    pub blocks: BlockRange,
    /// Where to go on; `None` if all that was asked for was looked at.
    pub next: Option<BlockNumber>,
    /// Rows that were looked at.
    pub row_count: usize,
    /// Matches, in order.
    pub matches: Vec<Match>,
    /// Places of those of which people would have been told: the others came too soon after one of their group.
    pub told: Vec<usize>,
    /// What is wrong with the rule, if it failed at a row.
    pub fault: Option<RuleFault>,
}

/// Holds `rule` against the blocks `from..to` of its chain, as many of them as may be in one call.
///
/// # Errors
/// [`ApiError::NotRight`] if the blocks are not in hot storage, or the rule looks at no rows; that they cannot be read.
pub async fn look(
    conn: &mut PgConnection,
    rule: CompiledRule,
    from: BlockNumber,
    to: BlockNumber,
) -> Result<Trial, ApiError> {
    let chain_id = rule.stored.chain_id;
    if rule.stored.definition.source.dataset().is_none() {
        let message = "only rules over rows can be tested on blocks; what the platform finds cannot be tried";
        return Err(FieldErrors::from(FieldError::new("source", message)).into());
    }
    let terms = terms(&rule);
    let index = RuleIndex::build(vec![rule]);
    let database = |action| move |source| HotStoreError::Database { action, source };
    let mut snapshot = conn.begin().await.map_err(database("begin a snapshot"))?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *snapshot)
        .await
        .map_err(database("begin a snapshot"))?;
    let stored = stored_blocks(&mut snapshot, chain_id, from, to).await?;
    let mut trial = read(&mut snapshot, chain_id, &index, stored).await?;
    snapshot.rollback().await.map_err(database("end a snapshot"))?;
    if trial.next.is_none() && stored.end() < to {
        trial.next = Some(stored.end());
    }
    trial.told = told(&trial.matches, &terms, trial.blocks);
    Ok(trial)
}

/// What `rule`, which is one of SQL, would have found in `rows`, its answer as of `block`, which came at `at`: all of them are found then.
pub fn of_answer(rule: &CompiledRule, rows: &[Map<String, Value>], block: BlockRef, at: DateTime<Utc>) -> Trial {
    let matches: Vec<Match> = rows.iter().map(|row| rule.match_of_row(row, block, at)).collect();
    let blocks = BlockRange::single(block.number);
    let told = told(&matches, &terms(rule), blocks);
    Trial { blocks, next: None, row_count: rows.len(), matches, told, fault: None }
}

fn terms(rule: &CompiledRule) -> Terms {
    Terms { max_age: None, muted_until: None, first_block: BlockNumber(0), ..Terms::of(&rule.stored) }
}

/// The blocks from `from` on, up to `to`, that are in hot storage without a gap.
async fn stored_blocks(
    snapshot: &mut PgConnection,
    chain_id: ChainId,
    from: BlockNumber,
    to: BlockNumber,
) -> Result<BlockRange, ApiError> {
    let tip = cursor::read(snapshot, chain_id).await?.and_then(|cursor| cursor.tip);
    let last = tip.map_or(0, |tip| tip.number.0 + 1);
    let BlockNumber(from) = from;
    let end = to.0.min(last).min(from.saturating_add(MOST_BLOCKS));
    let missing = |message: String| ApiError::from(FieldErrors::from(FieldError::new("from", message)));
    let Ok(wanted) = BlockRange::new(BlockNumber(from), BlockNumber(end)) else {
        return Err(missing(format!("block {from} is not stored yet; there are {last} blocks, counted from 0")));
    };
    let headers = whole_blocks::headers(snapshot, chain_id, wanted).await?;
    let count = (from..).zip(&headers).take_while(|(number, header)| header.block.number.0 == *number).count();
    if let Ok(stored) = BlockRange::new(wanted.start(), BlockNumber(from + count as u64)) {
        return Ok(stored);
    }
    let first = whole_blocks::first_header(snapshot, chain_id, wanted.start()).await?;
    let above = first.map_or_else(String::new, |first| format!("; the first one above it is {}", first.block.number.0));
    Err(missing(format!("block {from} is not in hot storage{above}")))
}

async fn read(
    snapshot: &mut PgConnection,
    chain_id: ChainId,
    index: &RuleIndex,
    stored: BlockRange,
) -> Result<Trial, HotStoreError> {
    let wanted: Vec<(Dataset, Vec<&str>)> =
        index.datasets().into_iter().map(|dataset| (dataset, index.columns(dataset))).collect();
    let (mut rest, mut row_count, mut matches, mut fault) = (Some(stored), 0, Vec::new(), None);
    while let Some(blocks) = rest
        && row_count < MOST_ROWS
        && matches.len() < MOST_MATCHES
        && fault.is_none()
    {
        let mut read = whole_blocks::read(snapshot, chain_id, blocks, &wanted, READ).await?;
        let found = find(index, &mut read)?;
        row_count += read.rows.values().flatten().map(RecordBatch::num_rows).sum::<usize>();
        matches.extend(found.matches);
        fault = found.faults.into_iter().next();
        rest = BlockRange::new(read.blocks.end(), stored.end()).ok();
    }
    let next = rest.map(BlockRange::start);
    let blocks = BlockRange::new(stored.start(), next.unwrap_or(stored.end())).unwrap_or(stored);
    Ok(Trial { blocks, next, row_count, matches, told: Vec::new(), fault })
}

/// What is found in `read`; in fewer blocks of it, if that is more than may be held.
fn find(index: &RuleIndex, read: &mut WholeBlocks) -> Result<Found, HotStoreError> {
    let nobody = BTreeSet::new();
    loop {
        let count = read.blocks.block_count();
        let excess = if count > 1 { Excess::EndsSearch } else { Excess::IsAFault };
        let asked = Asked { again_from: None, orgs: None, without: &nobody, excess };
        let found = index.find_as(&block_rows(read), &asked);
        if !found.is_too_much {
            return Ok(found);
        }
        read.keep_before(BlockNumber(read.blocks.start().0 + count / 2))?;
    }
}

fn block_rows(read: &WholeBlocks) -> BlockRows {
    let of = |dataset| read.rows.get(&dataset).cloned().unwrap_or_default();
    BlockRows {
        blocks: of(Dataset::Blocks),
        transactions: of(Dataset::Transactions),
        logs: of(Dataset::Logs),
        traces: of(Dataset::Traces),
    }
}

/// Places of the matches of which people would have been told, as if none of them had been found before.
fn told(matches: &[Match], terms: &Terms, blocks: BlockRange) -> Vec<usize> {
    let findings: Vec<Finding<'_>> = matches
        .iter()
        .map(|found| Finding {
            alert_id: found.identity.alert_id(),
            rule_id: found.rule,
            block: found.block,
            block_time: found.block_time,
            group_key: found.group_key.as_deref(),
        })
        .collect();
    let reach = Reach { tip: blocks.end(), finalized: Some(blocks.end()) };
    let terms = HashMap::from([(terms.rule_id, terms.clone())]);
    // No age counts, so neither does the time of day.
    let now = DateTime::<Utc>::UNIX_EPOCH;
    let changes = turn::plan_run(&findings, &HashMap::new(), &terms, &[], reach, now);
    changes.new.iter().filter(|(_, state)| state.reason().is_none()).map(|(place, _)| *place).collect()
}

impl Trial {
    /// As it is shown: the counts, and the first [`MOST_SHOWN`] matches.
    pub fn to_json(&self) -> Value {
        let shown = self.matches.iter().enumerate().take(MOST_SHOWN);
        let matches: Vec<_> = shown.map(|(place, found)| match_json(found, self.told.contains(&place))).collect();
        json!({
            "from": self.blocks.start(),
            "to": self.blocks.end(),
            "next": self.next,
            "row_count": self.row_count,
            "match_count": self.matches.len(),
            "told_count": self.told.len(),
            "matches": matches,
            "fault": self.fault.as_ref().map(|fault| json!({ "code": fault.code, "message": fault.message })),
        })
    }
}

fn match_json(found: &Match, is_told: bool) -> Value {
    json!({
        "told": is_told,
        "reason": if is_told { Value::Null } else { json!("cooldown") },
        "severity": found.severity,
        "title": found.title,
        "message": found.message,
        "facts": found.facts,
        "group_key": found.group_key,
        "block_number": found.block.number,
        "block_hash": found.block.hash,
        "block_time": found.block_time,
        "transaction_hash": found.transaction_hash,
        "position": found.position,
    })
}

#[cfg(test)]
mod tests {
    use isotherm_alerts::definition::Definition;
    use isotherm_alerts::rules::StoredRule;
    use isotherm_types::{B256, OrgId, RuleId};

    use super::*;

    #[test]
    fn each_row_of_an_answer_is_a_finding_and_one_of_a_group_is_told() {
        let definition = json!({
            "name": "asked", "chain": "demo", "channels": ["ops"], "source": { "sql": "SELECT 1", "every_seconds": 60 },
            "message": "{{ n }} of {{ what }}", "group_by": "what", "cooldown_seconds": 60,
        });
        let definition = Definition::parse(&definition).unwrap();
        let rule = StoredRule {
            rule_id: RuleId(1),
            org_id: OrgId(1),
            chain_id: ChainId(7),
            name: definition.name.clone(),
            version: 1,
            definition,
            first_block: BlockNumber(50),
            muted_until: None,
        };
        let rule = CompiledRule::compile(rule).unwrap();
        let rows = [("apples", 1), ("pears", 2), ("apples", 3)].map(|(what, n)| {
            let row = json!({ "what": what, "n": n });
            row.as_object().unwrap().clone()
        });
        let block = BlockRef { number: BlockNumber(9), hash: B256::ZERO };
        let trial = of_answer(&rule, &rows, block, DateTime::UNIX_EPOCH);
        assert_eq!((trial.told.as_slice(), trial.row_count), (&[0, 1][..], 3));
        let shown = trial.to_json();
        assert_eq!((&shown["from"], &shown["match_count"], &shown["told_count"]), (&json!(9), &json!(3), &json!(2)));
        assert_eq!(shown["matches"][2]["message"], json!("3 of apples"));
        assert_eq!(shown["matches"][2]["reason"], json!("cooldown"));
    }
}
