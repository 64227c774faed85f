//! The answers of SQL over hot and cold beside what the chain itself says, block by block.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use isotherm_lab::oracle::Oracle;
use isotherm_lab::rpc::Rpc;
use isotherm_local_stack::LocalAws;
use isotherm_types::Dataset;
use serde_json::Value;

use crate::query;

/// Blocks asked for in one statement, below the row limit of an inline answer.
const PAGE_BLOCKS: u64 = 1_000;
/// Differences listed; the rest would say the same.
const LISTED: usize = 10;

/// What one side says of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct BlockFacts {
    /// `0x…`; several if the block stands there more than once.
    hashes: Vec<String>,
    transactions: u64,
    logs: u64,
}

/// Both sides and where they differ.
pub(crate) struct Comparison {
    pub(crate) first_block: u64,
    pub(crate) last_block: u64,
    answered: BTreeMap<u64, BlockFacts>,
    expected: BTreeMap<u64, BlockFacts>,
    /// In words; empty if the sides are equal.
    pub(crate) differences: Vec<String>,
}

impl Comparison {
    /// Rows of a dataset: by SQL, by the chain.
    pub(crate) fn totals(&self, dataset: Dataset) -> (u64, u64) {
        let total = |facts: &BTreeMap<u64, BlockFacts>| {
            facts
                .values()
                .map(|facts| match dataset {
                    Dataset::Blocks => facts.hashes.len() as u64,
                    Dataset::Transactions => facts.transactions,
                    Dataset::Logs => facts.logs,
                    Dataset::Traces => 0,
                })
                .sum()
        };
        (total(&self.answered), total(&self.expected))
    }
}

/// Asks both sides for every block from the first stored one to the chain's head.
pub(crate) async fn compare(aws: &LocalAws, rpc: &Rpc) -> anyhow::Result<Comparison> {
    let bounds = query::rows(aws, "select min(block_number), max(block_number) from blocks").await?;
    let (Some(first_block), Some(last_block)) = (number(&bounds.rows[0][0]), number(&bounds.rows[0][1])) else {
        bail!("nothing is stored yet, so there is nothing to compare");
    };
    let answered = answered(aws, first_block, last_block).await?;
    let walked = Oracle::walk(rpc, "latest", first_block).await.context("could not walk the chain")?;
    let expected = walked.blocks().values().map(|block| {
        let facts = BlockFacts {
            hashes: vec![block.hash.clone()],
            transactions: block.transaction_hashes.len() as u64,
            logs: block.log_count,
        };
        (block.number, facts)
    });
    let expected = expected.collect();
    let differences = differences(&answered, &expected);
    Ok(Comparison { first_block, last_block, answered, expected, differences })
}

async fn answered(aws: &LocalAws, first: u64, last: u64) -> anyhow::Result<BTreeMap<u64, BlockFacts>> {
    let mut facts: BTreeMap<u64, BlockFacts> = BTreeMap::new();
    let mut start = first;
    while start <= last {
        let end = start + PAGE_BLOCKS;
        let page = format!("where block_number >= {start} and block_number < {end}");
        for row in query::rows(aws, &format!("select block_number, block_hash from blocks {page}")).await?.rows {
            let hash = row[1].as_str().context("a block hash is not text")?.to_owned();
            facts.entry(block_number(&row)?).or_default().hashes.push(hash);
        }
        for (table, field) in [("transactions", 0), ("logs", 1)] {
            let sql = format!("select block_number, count(*) from {table} {page} group by 1");
            for row in query::rows(aws, &sql).await?.rows {
                let count = number(&row[1]).context("a count is not a number")?;
                let facts = facts.entry(block_number(&row)?).or_default();
                *(if field == 0 { &mut facts.transactions } else { &mut facts.logs }) = count;
            }
        }
        start = end;
    }
    Ok(facts)
}

fn block_number(row: &[Value]) -> anyhow::Result<u64> {
    number(&row[0]).context("a block number is not a number")
}

/// A number, also one that is written as text because it is large.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn differences(answered: &BTreeMap<u64, BlockFacts>, expected: &BTreeMap<u64, BlockFacts>) -> Vec<String> {
    let nothing = BlockFacts::default();
    let mut numbers: Vec<u64> = answered.keys().chain(expected.keys()).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let differs = |number: u64| {
        let (ours, theirs) = (answered.get(&number).unwrap_or(&nothing), expected.get(&number).unwrap_or(&nothing));
        (ours != theirs).then(|| format!("block {number}: SQL says {ours:?}, the chain says {theirs:?}"))
    };
    numbers.into_iter().filter_map(differs).take(LISTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(hash: &str, transactions: u64) -> BlockFacts {
        BlockFacts { hashes: vec![hash.to_owned()], transactions, logs: 0 }
    }

    #[test]
    fn a_missing_doubled_or_altered_block_is_a_difference() {
        let chain = BTreeMap::from([(1, facts("a", 2)), (2, facts("b", 0)), (3, facts("c", 1))]);
        assert!(differences(&chain, &chain).is_empty());
        let mut missing = chain.clone();
        missing.remove(&2);
        let mut doubled = chain.clone();
        doubled.get_mut(&2).unwrap().hashes.push("b".to_owned());
        let mut orphan = chain.clone();
        orphan.insert(2, facts("x", 0));
        let mut fewer = chain.clone();
        fewer.insert(3, facts("c", 0));
        let mut beyond = chain.clone();
        beyond.insert(4, facts("d", 0));
        for wrong in [missing, doubled, orphan, fewer, beyond] {
            assert_eq!(differences(&wrong, &chain).len(), 1, "{wrong:?}");
        }
    }
}
