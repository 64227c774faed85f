//! The ways to read a body. Each returns the transactions that it found.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use alloy_rpc_types_eth::{Block, TransactionReceipt};
use chrono::DateTime;
use isotherm_chain::block::read_block;
use isotherm_chain::verify::{Check, Checks, verify, verify_as_far_as};
use isotherm_chain::{FetchedBlock, columns};
use isotherm_types::{ChainId, Dataset};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) const CHAIN_ID: ChainId = ChainId(143);

/// A way to read a body.
pub(crate) struct Leg {
    pub(crate) name: &'static str,
    pub(crate) read: fn(&[u8], &mut Steps) -> usize,
}

/// The follower's way, then its peers.
pub(crate) const LEGS: [Leg; 5] = [
    Leg { name: "columns", read: follower },
    Leg { name: "without signers", read: without_signers },
    Leg { name: "own types", read: own_types },
    Leg { name: "alloy types", read: alloy_types },
    Leg { name: "json tree", read: json_tree },
];

/// What [`follower`] consists of, in order.
pub(crate) const STEPS: [&str; 3] = ["reading", "verifying", "columns"];

/// Time spent in each step.
#[derive(Debug, Default)]
pub(crate) struct Steps(BTreeMap<&'static str, Duration>);

impl Steps {
    pub(crate) fn of(&self, step: &str) -> Duration {
        self.0.get(step).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.values().sum()
    }

    fn timed<T>(&mut self, step: &'static str, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let output = work();
        *self.0.entry(step).or_default() += began.elapsed();
        output
    }
}

#[derive(Deserialize)]
struct Frame {
    result: Box<RawValue>,
}

/// The answers in pairs of a block and its receipts, as raw text: the first step of every client.
fn pairs(body: &[u8]) -> impl Iterator<Item = (Box<RawValue>, Box<RawValue>)> {
    let frames: Vec<Frame> = serde_json::from_slice(body).expect("the body is an array of answers");
    let mut frames = frames.into_iter();
    std::iter::from_fn(move || Some((frames.next()?.result, frames.next()?.result)))
}

fn read_blocks(body: &[u8]) -> Vec<FetchedBlock> {
    let read = |(block, receipts): (Box<RawValue>, Box<RawValue>)| {
        read_block(&block, &receipts, DateTime::UNIX_EPOCH).expect("the answers hold blocks")
    };
    pairs(body).map(read).collect()
}

/// As the follower does it: verified, in columns.
fn follower(body: &[u8], steps: &mut Steps) -> usize {
    let blocks = steps.timed(STEPS[0], || read_blocks(body));
    let verified = steps.timed(STEPS[1], || verify(blocks).expect("the blocks are true"));
    let encoded = steps.timed(STEPS[2], || columns::encode(CHAIN_ID, &verified).expect("the values fit"));
    let transactions = encoded.iter().filter(|(dataset, _)| *dataset == Dataset::Transactions);
    transactions.map(|(_, batch)| batch.num_rows()).sum()
}

/// The same on a chain whose profile has `sender: never`.
fn without_signers(body: &[u8], _: &mut Steps) -> usize {
    let checks = Checks { sender: Check::Never, ..Checks::ALL };
    let verified = verify_as_far_as(read_blocks(body), &checks).expect("the blocks are true");
    let encoded = columns::encode(CHAIN_ID, &verified).expect("the values fit");
    let transactions = encoded.iter().filter(|(dataset, _)| *dataset == Dataset::Transactions);
    transactions.map(|(_, batch)| batch.num_rows()).sum()
}

/// Into this crate's types, which hold what the columns need; nothing is verified.
fn own_types(body: &[u8], _: &mut Steps) -> usize {
    black_box(read_blocks(body)).iter().map(|block| block.transactions.len()).sum()
}

/// Into alloy's types of JSON-RPC, as its provider does.
fn alloy_types(body: &[u8], _: &mut Steps) -> usize {
    let read = |(block, receipts): (Box<RawValue>, Box<RawValue>)| {
        let block: Block = serde_json::from_str(block.get()).expect("the answer is a block");
        let receipts: Vec<TransactionReceipt> = serde_json::from_str(receipts.get()).expect("the answer is receipts");
        (block, receipts)
    };
    let blocks: Vec<_> = pairs(body).map(read).collect();
    black_box(blocks).iter().map(|(block, _)| block.transactions.len()).sum()
}

/// Into a tree of values, as untyped clients do.
fn json_tree(body: &[u8], _: &mut Steps) -> usize {
    let answers: Vec<Value> = serde_json::from_slice(body).expect("the body is an array of answers");
    let count = |answer: &Value| answer["result"]["transactions"].as_array().map_or(0, Vec::len);
    black_box(answers).iter().map(count).sum()
}
