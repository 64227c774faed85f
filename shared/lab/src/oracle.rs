//! Works out from the node alone what a correct indexer must answer.
//!
//! It walks from a head down by parent hash and reads plain JSON. On purpose it shares no code with the crates that it
//! judges: not their types, not their client, not their decoding. It never reads by number, so a reorg during the walk
//! cannot mix two chains; the node then misses a block, and the walk fails.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use crate::LabError;
use crate::rpc::{Rpc, quantity, shape};

mod traces;

pub use traces::TracedBy;

/// Receipt calls in one batch.
const RECEIPT_BATCH: usize = 50;

/// One block as the node tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleBlock {
    /// Position on the chain.
    pub number: u64,
    /// Hash, `0x…` in lower case.
    pub hash: String,
    /// The parent's hash.
    pub parent_hash: String,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Hashes of its transactions, in order.
    pub transaction_hashes: Vec<String>,
    /// Logs in its receipts.
    pub log_count: u64,
    /// Receipts with status 0.
    pub failed_transaction_count: u64,
}

/// Row counts of a range of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of `blocks`.
    pub blocks: u64,
    /// Rows of `transactions`.
    pub transactions: u64,
    /// Rows of `logs`.
    pub logs: u64,
}

/// The canonical chain from a start block to the head that the walk began at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oracle {
    blocks: BTreeMap<u64, OracleBlock>,
}

impl Oracle {
    /// Walks from `head`, a block tag such as `latest` or a block hash, down to block `start`.
    ///
    /// # Errors
    /// [`LabError::Shape`] if a block is missing or its receipts do not fit it, else as [`Rpc::call`].
    pub async fn walk(rpc: &Rpc, head: &str, start: u64) -> Result<Self, LabError> {
        let method = if head.starts_with("0x") { "eth_getBlockByHash" } else { "eth_getBlockByNumber" };
        let mut header = rpc.call(method, json!([head, false])).await?;
        let mut blocks = Vec::new();
        loop {
            let block = read_header(&header)?;
            if block.number < start {
                break;
            }
            let (number, parent_hash) = (block.number, block.parent_hash.clone());
            blocks.push(block);
            if number == start {
                break;
            }
            header = rpc.call("eth_getBlockByHash", json!([parent_hash, false])).await?;
        }
        for batch in blocks.chunks_mut(RECEIPT_BATCH) {
            read_receipts(rpc, batch).await?;
        }
        Ok(Self { blocks: blocks.into_iter().map(|block| (block.number, block)).collect() })
    }

    /// The blocks by number.
    pub fn blocks(&self) -> &BTreeMap<u64, OracleBlock> {
        &self.blocks
    }

    /// The newest block, if there is any.
    pub fn head(&self) -> Option<&OracleBlock> {
        self.blocks.values().next_back()
    }

    /// Row counts of the blocks in `numbers`, as far as they were walked.
    pub fn counts(&self, numbers: Range<u64>) -> Counts {
        let mut counts = Counts::default();
        for (_, block) in self.blocks.range(numbers) {
            counts.blocks += 1;
            counts.transactions += block.transaction_hashes.len() as u64;
            counts.logs += block.log_count;
        }
        counts
    }

    /// Row counts of everything that was walked.
    pub fn total(&self) -> Counts {
        self.counts(0..u64::MAX)
    }
}

fn read_header(header: &Value) -> Result<OracleBlock, LabError> {
    let missing = |field| shape("eth_getBlockByHash", field);
    let text = |field: &'static str| header[field].as_str().map(str::to_owned).ok_or_else(|| missing(field));
    let number = |field: &'static str| quantity(&header[field]).ok_or_else(|| missing(field));
    let transactions = header["transactions"].as_array().ok_or_else(|| missing("transactions"))?;
    let transaction_hashes = transactions.iter().map(|hash| hash.as_str().map(str::to_owned)).collect::<Option<_>>();
    Ok(OracleBlock {
        number: number("number")?,
        hash: text("hash")?,
        parent_hash: text("parentHash")?,
        timestamp: number("timestamp")?,
        transaction_hashes: transaction_hashes.ok_or_else(|| missing("transactions"))?,
        log_count: 0,
        failed_transaction_count: 0,
    })
}

async fn read_receipts(rpc: &Rpc, blocks: &mut [OracleBlock]) -> Result<(), LabError> {
    let missing = |field| shape("eth_getBlockReceipts", field);
    let params: Vec<Value> = blocks.iter().map(|block| json!([{ "blockHash": block.hash }])).collect();
    let answers = rpc.batch("eth_getBlockReceipts", &params).await?;
    for (block, answer) in blocks.iter_mut().zip(answers) {
        let receipts = answer.as_array().ok_or_else(|| missing("result"))?;
        let in_order = receipts
            .iter()
            .map(|receipt| receipt["transactionHash"].as_str())
            .eq(block.transaction_hashes.iter().map(|hash| Some(hash.as_str())));
        if !in_order {
            return Err(missing("transactionHash"));
        }
        for receipt in receipts {
            block.log_count += receipt["logs"].as_array().ok_or_else(|| missing("logs"))?.len() as u64;
            block.failed_transaction_count += u64::from(receipt["status"] == "0x0");
        }
    }
    Ok(())
}
