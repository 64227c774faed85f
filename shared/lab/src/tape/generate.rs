//! Chains made from a seed, without a node: as many transactions a block as no node in a test could execute.
//!
//! Headers, parent hashes, roots, Bloom filters, gas, signatures and prices are what a verifier expects; state is not:
//! nothing was executed. A few sets of transactions serve all blocks in turn, so that a long chain costs the memory of
//! a short one: what differs between two blocks of one set is filled in when they are written.
//!
//! Made with alloy's own encodings and roots. Never share this with the code that verifies.

use std::collections::HashMap;

use alloy::consensus::constants::EMPTY_WITHDRAWALS;
use alloy::consensus::{Header, Sealable, Sealed};
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy::primitives::{Address, B256};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

mod body;
mod template;

pub use body::Body;
use template::Values;

/// What chain to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPlan {
    /// Equal seeds make equal chains.
    pub seed: u64,
    /// `eth_chainId`.
    pub chain_id: u64,
    /// Number of the first block, whose parent is nowhere to be had.
    pub first_number: u64,
    /// Blocks in all.
    pub block_count: usize,
    /// Transactions in each.
    pub transactions_per_block: usize,
    /// Sets of transactions; the blocks take them in turn.
    pub body_count: usize,
    /// Time of the first block, seconds since 1970-01-01 UTC.
    pub first_timestamp: u64,
    /// From one block's time to the next.
    pub block_time_ms: u64,
}

/// A chain, whose blocks are known by their place, from 0.
#[derive(Clone, Debug)]
pub struct GeneratedChain {
    chain_id: u64,
    headers: Vec<Sealed<Header>>,
    places: HashMap<B256, usize>,
    bodies: Vec<Body>,
}

impl GeneratedChain {
    /// Makes the chain.
    ///
    /// # Panics
    /// If there is to be no set of transactions.
    pub fn new(plan: &ChainPlan) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let draw = |_| Body::draw(&mut random, plan.chain_id, plan.transactions_per_block);
        let bodies: Vec<Body> = (0..plan.body_count).map(draw).collect();
        let mut headers: Vec<Sealed<Header>> = Vec::with_capacity(plan.block_count);
        let mut parent_hash = B256::from(random.random::<[u8; 32]>());
        for (number, body) in (plan.first_number..).zip(bodies.iter().cycle()).take(plan.block_count) {
            let age_ms = (number - plan.first_number) * plan.block_time_ms;
            let timestamp = plan.first_timestamp + age_ms / 1000;
            let state_root = B256::from(random.random::<[u8; 32]>());
            let sealed = header(body, number, parent_hash, timestamp, state_root).seal_slow();
            parent_hash = sealed.hash();
            headers.push(sealed);
        }
        assert_eq!(headers.len(), plan.block_count, "a chain needs a set of transactions");
        let places = headers.iter().map(Sealed::hash).zip(0..).collect();
        Self { chain_id: plan.chain_id, headers, places, bodies }
    }

    /// `eth_chainId`.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Blocks.
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Logs of all blocks.
    pub fn log_count(&self) -> u64 {
        (0..self.len()).map(|place| self.body(place).log_count).sum()
    }

    /// The header at `place`.
    ///
    /// # Panics
    /// If there is no such block; so does everything else that takes a place.
    pub fn header(&self, place: usize) -> &Sealed<Header> {
        &self.headers[place]
    }

    /// Transactions and receipts of the block at `place`.
    pub fn body(&self, place: usize) -> &Body {
        &self.bodies[place % self.bodies.len()]
    }

    /// Place of the block with this number.
    pub fn place_of_number(&self, number: u64) -> Option<usize> {
        let place = number.checked_sub(self.headers.first()?.number)?;
        usize::try_from(place).ok().filter(|place| *place < self.len())
    }

    /// Place of the block with this hash.
    pub fn place_of_hash(&self, hash: B256) -> Option<usize> {
        self.places.get(&hash).copied()
    }

    /// Appends the answer to `eth_getBlockByNumber`, with full transactions or with their hashes.
    pub fn write_block(&self, place: usize, with_transactions: bool, out: &mut Vec<u8>) {
        let (header, body) = (self.header(place), self.body(place));
        let mut object = serde_json::to_value(header.inner()).expect("a header is JSON");
        object["hash"] = json!(header.hash());
        object["size"] = json!("0x10000");
        object["uncles"] = json!([]);
        object["withdrawals"] = json!([]);
        object["transactions"] = Value::Null;
        let object = object.to_string();
        let (before, after) = object.split_once(r#""transactions":null"#).expect("the field was put there");
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(br#""transactions":"#);
        if with_transactions {
            body.transactions.fill(&values(header), out);
        } else {
            out.extend_from_slice(body.transaction_hashes.as_bytes());
        }
        out.extend_from_slice(after.as_bytes());
    }

    /// Appends the answer to `eth_getBlockReceipts`.
    pub fn write_receipts(&self, place: usize, out: &mut Vec<u8>) {
        self.body(place).receipts.fill(&values(self.header(place)), out);
    }

    /// The answer to a batch that asks for the blocks at `places`, each with its receipts, as an HTTP body.
    pub fn batch_answer(&self, places: std::ops::Range<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, place) in places.enumerate() {
            out.push(if id == 0 { b'[' } else { b',' });
            out.extend_from_slice(answer_head(&json!(2 * id)).as_bytes());
            self.write_block(place, true, &mut out);
            out.extend_from_slice(b"},");
            out.extend_from_slice(answer_head(&json!(2 * id + 1)).as_bytes());
            self.write_receipts(place, &mut out);
            out.push(b'}');
        }
        out.push(b']');
        out
    }
}

/// An answer up to its result.
pub(super) fn answer_head(id: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#)
}

/// A header as since Prague. Source: Yellow Paper §4.3; EIP-1559, 4788, 4844, 4895, 7685.
fn header(body: &Body, number: u64, parent_hash: B256, timestamp: u64, state_root: B256) -> Header {
    Header {
        parent_hash,
        beneficiary: Address::repeat_byte(0x15),
        state_root,
        transactions_root: body.transactions_root,
        receipts_root: body.receipts_root,
        logs_bloom: body.logs_bloom,
        number,
        gas_limit: 1_000_000_000,
        gas_used: body.gas_used,
        timestamp,
        base_fee_per_gas: Some(50_000_000_000),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

fn values(header: &Sealed<Header>) -> Values {
    Values {
        hash: header.hash().to_string(),
        number: format!("{:#x}", header.number),
        timestamp: format!("{:#x}", header.timestamp),
    }
}

#[cfg(test)]
mod tests {
    use alloy::consensus::proofs::ordered_trie_root_encoded;

    use super::*;

    fn plan(seed: u64) -> ChainPlan {
        ChainPlan {
            seed,
            chain_id: 143,
            first_number: 1000,
            block_count: 7,
            transactions_per_block: 20,
            body_count: 3,
            first_timestamp: 1_800_000_000,
            block_time_ms: 300,
        }
    }

    fn json_of(write: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_seed_makes_the_same_chain_again_and_another_seed_another() {
        let answers = |seed| GeneratedChain::new(&plan(seed)).batch_answer(0..7);
        assert!(answers(1) == answers(1));
        assert!(answers(1) != answers(2));
    }

    #[test]
    fn blocks_link_and_every_object_names_its_block() {
        let chain = GeneratedChain::new(&plan(1));
        let blocks: Vec<Value> =
            (0..chain.len()).map(|place| json_of(|out| chain.write_block(place, true, out))).collect();
        for pair in blocks.windows(2) {
            assert_eq!(pair[1]["parentHash"], pair[0]["hash"]);
        }
        for (place, block) in blocks.iter().enumerate() {
            let header: Header = serde_json::from_value(block.clone()).unwrap();
            assert_eq!(json!(header.hash_slow()), block["hash"]);
            assert_eq!(block["number"], json!(format!("{:#x}", 1000 + place)));
            assert_eq!(header.timestamp, 1_800_000_000 + place as u64 * 300 / 1000);
            let receipts = json_of(|out| chain.write_receipts(place, out));
            let pairs = block["transactions"].as_array().unwrap().iter().zip(receipts.as_array().unwrap());
            assert_eq!(pairs.len(), 20);
            for (transaction, receipt) in pairs {
                assert_eq!(transaction["hash"], receipt["transactionHash"]);
                for object in [transaction, receipt].into_iter().chain(receipt["logs"].as_array().unwrap()) {
                    assert_eq!((&object["blockHash"], &object["blockNumber"]), (&block["hash"], &block["number"]));
                }
            }
        }
    }

    #[test]
    fn roots_and_counts_are_those_of_what_is_in_the_block() {
        let chain = GeneratedChain::new(&plan(1));
        let mut logs = 0u64;
        for place in 0..chain.len() {
            let (header, body) = (chain.header(place), chain.body(place));
            assert_eq!(header.transactions_root, ordered_trie_root_encoded(body.encoded_transactions()));
            assert_eq!(header.receipts_root, ordered_trie_root_encoded(body.encoded_receipts()));
            let receipts = json_of(|out| chain.write_receipts(place, out));
            let last = receipts.as_array().unwrap().last().unwrap();
            assert_eq!(last["cumulativeGasUsed"], json!(format!("{:#x}", header.gas_used)));
            let of_receipt = |receipt: &Value| receipt["logs"].as_array().unwrap().len() as u64;
            logs += receipts.as_array().unwrap().iter().map(of_receipt).sum::<u64>();
        }
        assert_eq!(chain.log_count(), logs);
        assert!(logs > 0);
    }

    #[test]
    fn blocks_are_found_by_number_and_by_hash() {
        let chain = GeneratedChain::new(&plan(1));
        let found: Vec<usize> = (999..1008).filter_map(|number| chain.place_of_number(number)).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(chain.place_of_hash(chain.header(4).hash()), Some(4));
        assert_eq!(chain.place_of_hash(B256::ZERO), None);
    }
}
