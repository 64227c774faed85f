//! Benchmark: cold storage checked from its files alone, beside the hashes that no such check can do without.
//!
//! At level chain (length, SHA-256, columns, and all that headers commit to, recomputed from the rows), at level file,
//! and bare: SHA-256 of each file, and Keccak-256 of the encodings that make headers and roots. Files lie in a folder,
//! so that no network is measured. Legs in turn, medians over the rounds.
//!
//! `./isotherm lab bench verify`; method and figures: `docs/benchmarks.md`.

use std::hint::black_box;
use std::path::Path;

use alloy::primitives::keccak256;
use alloy::rlp;
use isotherm_cold_store::integrity::{Level, Plan, Sampling, check};
use isotherm_cold_store::{ChainName, ObjectStore, Sha256Digest};
use isotherm_lab::benchmark::{Sample, heading, interleave, locked_version, measure, median};
use isotherm_types::Dataset;
use tokio::runtime::Runtime;

#[path = "verify/stored.rs"]
mod stored;

use stored::{BLOCKS, BLOCKS_PER_FILE, SEED, Stored, TRANSACTIONS_PER_BLOCK};

const ROUNDS: usize = 7;
/// As the programs have it.
const ROWS_BYTES: usize = 256 << 20;

/// A way to go over all files.
#[derive(Clone, Copy, Debug)]
enum Leg {
    Check(Level),
    /// The limit.
    Hashes,
}

const LEGS: [(&str, Leg); 3] =
    [("chain", Leg::Check(Level::Chain)), ("file", Leg::Check(Level::File)), (LIMIT, Leg::Hashes)];
const LIMIT: &str = "hashes";

/// Checks all that is stored, which is sound.
fn check_all(stored: &Stored, level: Level, runtime: &Runtime, scratch: &Path) {
    let objects = ObjectStore::folder(stored.root());
    let chain = ChainName::new(stored::CHAIN).expect("the name may stand in keys");
    let plan = Plan {
        objects: &objects,
        chain: &chain,
        datasets: vec![Dataset::Blocks, Dataset::Transactions, Dataset::Logs],
        heads: stored.heads.clone(),
        blocks: None,
        level,
        anchor: None,
        sampling: Sampling::None,
        scratch,
        at_most_bytes: ROWS_BYTES,
    };
    let report = runtime.block_on(check(&plan, &mut |_| {})).expect("the folder can be read");
    assert!(report.is_sound() && report.unverifiable.is_empty(), "what is stored is sound: {report:?}");
    assert_eq!(report.bytes, stored.size_bytes, "every file was read");
    assert_eq!(report.blocks, if level == Level::File { 0 } else { BLOCKS as u64 });
}

/// One SHA-256 of each file, one Keccak-256 of each encoding.
fn hash_all(stored: &Stored) {
    for path in &stored.files {
        black_box(Sha256Digest::of(&std::fs::read(path).expect("the file is there")));
    }
    for place in 0..stored.chain.len() {
        let body = stored.chain.body(place);
        for bytes in body.encoded_transactions().iter().chain(body.encoded_receipts()) {
            black_box(keccak256(bytes));
        }
        black_box(keccak256(rlp::encode(stored.chain.header(place).inner())));
    }
}

fn print(name: &str, samples: &[Sample], limit: &[Sample], stored: &Stored) {
    let (blocks, transactions) = (BLOCKS as f64, (BLOCKS * TRANSACTIONS_PER_BLOCK) as f64);
    let seconds = || samples.iter().map(|sample| sample.seconds);
    let (middle, cpu) = (median(seconds()), median(samples.iter().map(|sample| sample.cpu_seconds)));
    let ratio =
        |time: fn(&Sample) -> f64| median(samples.iter().zip(limit).map(|(ours, limit)| time(limit) / time(ours)));
    println!(
        "  {name:<7} {:>7.1} blocks/s/core   {:>9.0} transactions/s/core   {:>7.1} blocks/s (min {:.1}, max {:.1})   \
         {:>6.1} MB/s of files   {cpu:.2} CPU-seconds in {middle:.2} s   ratio to {LIMIT}: {:.2} by wall time, \
         {:.2} by CPU time",
        blocks / cpu,
        transactions / cpu,
        blocks / middle,
        blocks / seconds().fold(0.0, f64::max),
        blocks / seconds().fold(f64::INFINITY, f64::min),
        stored.size_bytes as f64 / 1e6 / middle,
        ratio(|sample| sample.seconds),
        ratio(|sample| sample.cpu_seconds),
    );
}

fn main() {
    let stored = Stored::new();
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let runtime = Runtime::new().expect("a runtime can be started");
    let samples = interleave(LEGS.len(), ROUNDS, |leg| {
        let ((), sample) = measure(|| match LEGS[leg].1 {
            Leg::Check(level) => check_all(&stored, level, &runtime, scratch.path()),
            Leg::Hashes => hash_all(&stored),
        });
        sample
    });
    let settings = [
        ("alloy", locked_version("alloy")),
        ("parquet", locked_version("parquet")),
        ("rounds", ROUNDS.to_string()),
        ("blocks", BLOCKS.to_string()),
        ("blocks_per_file", BLOCKS_PER_FILE.to_string()),
        ("transactions_per_block", TRANSACTIONS_PER_BLOCK.to_string()),
        ("bytes", stored.size_bytes.to_string()),
        ("seed", SEED.to_string()),
    ];
    println!("{}", heading("verify", &settings));
    let limit = samples.last().expect("there are legs");
    for ((name, _), own) in LEGS.iter().zip(&samples) {
        print(name, own, limit, &stored);
    }
}
