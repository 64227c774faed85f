//! Benchmark: what it costs to recompute what a header commits to, beside plain Keccak-256 over the same bytes.
//!
//! For transactions and for receipts: the check as the follower makes it (encode, build the trie, hash each transaction
//! or make each Bloom filter), the trie alone over encodings that are ready, and one Keccak-256 of each encoding. For
//! headers: the check, and Keccak-256 of the header's RLP. One thread, so that the figures are those of a core; legs in
//! turn, medians over the rounds.
//!
//! `./isotherm lab bench roots`; method and figures: `docs/benchmarks.md`.

use std::hint::black_box;

use alloy::consensus::proofs::ordered_trie_root_encoded;
use alloy::primitives::keccak256;
use alloy::rlp;
use chrono::DateTime;
use isotherm_chain::FetchedBlock;
use isotherm_chain::block::read_block;
use isotherm_chain::verify::{check_header_hash, check_receipts, check_transactions};
use isotherm_lab::benchmark::{Sample, heading, interleave, locked_version, measure, median};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use serde_json::value::RawValue;

const ROUNDS: usize = 9;
const SEED: u64 = 1;
/// 10,000 transactions a second in blocks of 300 ms.
const TRANSACTIONS_PER_BLOCK: usize = 3_000;
const BLOCKS: usize = 8;

/// What a header commits to, and itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Transactions,
    Receipts,
    Header,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Transactions => "transactions",
            Self::Receipts => "receipts",
            Self::Header => "headers",
        }
    }

    /// How often a leg goes over all blocks in a round: long enough to be measured.
    fn passes(self) -> usize {
        match self {
            Self::Transactions | Self::Receipts => 10,
            Self::Header => 10_000,
        }
    }
}

/// A way to go over the bytes of a subject.
struct Leg {
    subject: Subject,
    way: &'static str,
    work: fn(&Case, Subject),
}

/// By subject; the last one of each is the limit.
const LEGS: [Leg; 8] = [
    Leg { subject: Subject::Transactions, way: "check", work: check },
    Leg { subject: Subject::Transactions, way: "trie alone", work: trie },
    Leg { subject: Subject::Transactions, way: LIMIT, work: keccak },
    Leg { subject: Subject::Receipts, way: "check", work: check },
    Leg { subject: Subject::Receipts, way: "trie alone", work: trie },
    Leg { subject: Subject::Receipts, way: LIMIT, work: keccak },
    Leg { subject: Subject::Header, way: "check", work: check },
    Leg { subject: Subject::Header, way: LIMIT, work: keccak },
];
const LIMIT: &str = "keccak";

/// A block, and the encodings that its header commits to.
struct Case {
    block: FetchedBlock,
    transactions: Vec<Vec<u8>>,
    receipts: Vec<Vec<u8>>,
    /// The header itself, alone.
    header: Vec<Vec<u8>>,
}

impl Case {
    fn new(chain: &GeneratedChain, place: usize) -> Self {
        let raw = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            RawValue::from_string(String::from_utf8(bytes).expect("JSON is text")).expect("an answer is JSON")
        };
        let block = raw(&|out| chain.write_block(place, true, out));
        let receipts = raw(&|out| chain.write_receipts(place, out));
        Self {
            block: read_block(&block, &receipts, DateTime::UNIX_EPOCH).expect("the answers hold a block"),
            transactions: chain.body(place).encoded_transactions().to_vec(),
            receipts: chain.body(place).encoded_receipts().to_vec(),
            header: vec![rlp::encode(chain.header(place).inner())],
        }
    }

    fn encodings(&self, subject: Subject) -> &[Vec<u8>] {
        match subject {
            Subject::Transactions => &self.transactions,
            Subject::Receipts => &self.receipts,
            Subject::Header => &self.header,
        }
    }
}

/// The follower's check.
fn check(case: &Case, subject: Subject) {
    let verdict = match subject {
        Subject::Transactions => check_transactions(&case.block),
        Subject::Receipts => check_receipts(&case.block),
        Subject::Header => check_header_hash(&case.block),
    };
    assert!(verdict.expect("the block is true").is_ok(), "the block could not be checked");
}

fn trie(case: &Case, subject: Subject) {
    black_box(ordered_trie_root_encoded(case.encodings(subject)));
}

fn keccak(case: &Case, subject: Subject) {
    for bytes in case.encodings(subject) {
        black_box(keccak256(bytes));
    }
}

fn run(leg: &Leg, cases: &[Case]) -> Sample {
    let ((), sample) = measure(|| {
        for _ in 0..leg.subject.passes() {
            cases.iter().for_each(|case| (leg.work)(black_box(case), leg.subject));
        }
    });
    sample
}

fn print(leg: &Leg, samples: &[Sample], limit: &[Sample], cases: &[Case]) {
    let encodings = || cases.iter().flat_map(|case| case.encodings(leg.subject));
    let per_round = |count: usize| (count * leg.subject.passes()) as f64;
    let seconds = || samples.iter().map(|sample| sample.seconds);
    let middle = median(seconds());
    let ratio =
        |time: fn(&Sample) -> f64| median(samples.iter().zip(limit).map(|(ours, limit)| time(limit) / time(ours)));
    println!(
        "  {:<12} {:<10} {:>8.0} blocks/s   {:>9.0} {}/s (min {:.0}, max {:.0})   {:>6.1} MB/s   {:.2} CPU-seconds in \
         {middle:.2} s   ratio to {LIMIT}: {:.2} by wall time, {:.2} by CPU time",
        leg.subject.name(),
        leg.way,
        per_round(cases.len()) / middle,
        per_round(encodings().count()) / middle,
        leg.subject.name(),
        per_round(encodings().count()) / seconds().fold(0.0, f64::max),
        per_round(encodings().count()) / seconds().fold(f64::INFINITY, f64::min),
        per_round(encodings().map(Vec::len).sum()) / 1e6 / middle,
        median(samples.iter().map(|sample| sample.cpu_seconds)),
        ratio(|sample| sample.seconds),
        ratio(|sample| sample.cpu_seconds),
    );
}

fn main() {
    let chain = GeneratedChain::new(&ChainPlan {
        seed: SEED,
        chain_id: 143,
        first_number: 1_000_000,
        block_count: BLOCKS,
        transactions_per_block: TRANSACTIONS_PER_BLOCK,
        body_count: BLOCKS,
        first_timestamp: 1_750_000_000,
        block_time_ms: 300,
    });
    let cases: Vec<Case> = (0..chain.len()).map(|place| Case::new(&chain, place)).collect();
    let samples = interleave(LEGS.len(), ROUNDS, |leg| run(&LEGS[leg], &cases));
    let settings = [
        ("alloy", locked_version("alloy")),
        ("alloy-trie", locked_version("alloy-trie")),
        ("rounds", ROUNDS.to_string()),
        ("blocks", BLOCKS.to_string()),
        ("transactions_per_block", TRANSACTIONS_PER_BLOCK.to_string()),
        ("seed", SEED.to_string()),
    ];
    println!("{}", heading("roots", &settings));
    for (leg, own) in LEGS.iter().zip(&samples) {
        let is_limit = |other: &Leg| other.subject == leg.subject && other.way == LIMIT;
        let limit = LEGS.iter().position(is_limit).expect("each subject has its limit");
        print(leg, own, &samples[limit], &cases);
    }
}
