//! Benchmark: a partition of history, from a node's answers to files in cold storage, by the backfill's own program.
//!
//! Beside it the limit: a load generator that sends the same requests to the same server and drops the bodies of the
//! answers. The node is a server that has its answers ready, in this process; S3 is the emulator, on the same machine.
//!
//! `./isotherm lab bench backfill`; method and figures: `docs/benchmarks.md`.

use std::sync::Arc;

use isotherm_chain::{Check, Checks};
use isotherm_lab::benchmark::{heading, locked_version, median, turns};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};

#[path = "backfill/generator.rs"]
mod generator;
#[path = "../../parquet_compact/benches/compact/operator.rs"]
mod operator;
#[path = "backfill/program.rs"]
mod program;
#[path = "../../parquet_compact/benches/compact/stage.rs"]
mod stage;

use stage::Stage;

const SEED: u64 = 1;
const CHAIN_ID: u64 = 143;
/// 10,000 transactions a second in blocks of 300 ms.
const TRANSACTIONS_PER_BLOCK: usize = 3_000;
/// Of the partition.
const BLOCKS: usize = 100;
/// Blocks above it: by its tags, the chain's last two are not final.
const BLOCKS_ABOVE: usize = 2;
const FIRST_BLOCK: u64 = 1_000_000;
const ROUNDS: usize = 7;

/// A way to take the chain.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The program with these checks.
    Backfill(Checks),
    /// The limit.
    Generator,
}

const WITHOUT_SIGNERS: Checks = Checks { sender: Check::Never, ..Checks::ALL };
const WITHOUT_ROOTS: Checks = Checks {
    transactions_root: Check::Never,
    receipts_root: Check::Never,
    logs_bloom: Check::Never,
    ..WITHOUT_SIGNERS
};
/// The limit comes last.
const WAYS: [(&str, Way); 4] = [
    ("all checks", Way::Backfill(Checks::ALL)),
    ("without signers", Way::Backfill(WITHOUT_SIGNERS)),
    ("without roots", Way::Backfill(WITHOUT_ROOTS)),
    ("generator", Way::Generator),
];

/// What one leg took.
#[derive(Clone, Copy, Debug)]
struct Leg {
    seconds: f64,
    /// Until the files were on the local disk; the rest is S3 and the catalogue.
    staged_seconds: f64,
    /// Of the program; the generator is part of this process.
    program_cpu: Option<f64>,
    /// Of this process, which plays the node.
    own_cpu: f64,
    postgres_cpu: f64,
    emulator_cpu: f64,
    peak_memory_mib: Option<f64>,
    /// Of the answers.
    json_bytes: u64,
}

impl Leg {
    /// Of both ends of the conversation.
    fn conversation_cpu(&self) -> f64 {
        self.own_cpu + self.program_cpu.unwrap_or(0.0)
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let stage = Stage::new("cryo_ingest").await;
    let chain = Arc::new(GeneratedChain::new(&ChainPlan {
        seed: SEED,
        chain_id: CHAIN_ID,
        first_number: FIRST_BLOCK,
        block_count: BLOCKS + BLOCKS_ABOVE,
        transactions_per_block: TRANSACTIONS_PER_BLOCK,
        // Each block has transactions of its own: nothing repeats that would not.
        body_count: BLOCKS + BLOCKS_ABOVE,
        first_timestamp: 1_750_000_000,
        block_time_ms: 300,
    }));
    let settings = [
        ("alloy", locked_version("alloy")),
        ("parquet", locked_version("parquet")),
        ("rounds", ROUNDS.to_string()),
        ("blocks", BLOCKS.to_string()),
        ("transactions_per_block", TRANSACTIONS_PER_BLOCK.to_string()),
        ("server_version", stage.setting("server_version").await.replace(' ', "_")),
        ("seed", SEED.to_string()),
    ];
    println!("{}", heading("backfill", &settings));

    // Shows what the program asks, for the generator.
    let (_, requests) = program::backfill(&stage, &chain, Checks::ALL).await;
    let mut legs: [Vec<Leg>; 4] = Default::default();
    for round in 0..=ROUNDS {
        for place in turns(WAYS.len(), round) {
            let taken = match WAYS[place].1 {
                Way::Backfill(checks) => program::backfill(&stage, &chain, checks).await.0,
                Way::Generator => generator::ask(&stage, &chain, &requests).await,
            };
            // In the first round the caches are cold.
            if round > 0 {
                legs[place].push(taken);
            }
        }
    }
    print(&legs, requests.len());
}

fn print(legs: &[Vec<Leg>; 4], request_count: usize) {
    for ((name, _), taken) in WAYS.iter().zip(legs) {
        let seconds = || taken.iter().map(|leg| leg.seconds);
        let middle = |of: fn(&Leg) -> f64| median(taken.iter().map(of));
        let blocks_per_second = BLOCKS as f64 / middle(|leg| leg.seconds);
        let peak = taken.iter().filter_map(|leg| leg.peak_memory_mib).fold(f64::NAN, f64::max);
        println!(
            "  {name:<15} {blocks_per_second:>6.1} blocks/s (min {:.1}, max {:.1})   {:>8.0} transactions/s   \
             {:>6.1} MB/s of JSON   {:.2} s until staged   peak memory {peak:.0} MiB",
            BLOCKS as f64 / seconds().fold(0.0, f64::max),
            BLOCKS as f64 / seconds().fold(f64::INFINITY, f64::min),
            blocks_per_second * TRANSACTIONS_PER_BLOCK as f64,
            middle(|leg| leg.json_bytes as f64) / 1e6 / middle(|leg| leg.seconds),
            middle(|leg| leg.staged_seconds),
        );
        println!(
            "  {:<15} CPU-seconds in {:.2} s: program {:.2}, node{} {:.2}, postgres {:.2}, S3 {:.2}",
            "",
            middle(|leg| leg.seconds),
            middle(|leg| leg.program_cpu.unwrap_or(0.0)),
            if taken.iter().all(|leg| leg.program_cpu.is_none()) { " and generator" } else { "" },
            middle(|leg| leg.own_cpu),
            middle(|leg| leg.postgres_cpu),
            middle(|leg| leg.emulator_cpu),
        );
    }
    let [backfills @ .., generator] = legs;
    for ((name, _), backfill) in WAYS.iter().zip(backfills) {
        let pairs = || backfill.iter().zip(generator);
        let by = |time: fn(&Leg) -> f64| median(pairs().map(|(ours, limit)| time(limit) / time(ours)));
        println!(
            "  {name:<15} ratio to the generator {:.2} by wall time, {:.2} until staged, {:.2} by CPU time of program \
             and node (medians over rounds)",
            by(|leg| leg.seconds),
            by(|leg| leg.staged_seconds),
            by(Leg::conversation_cpu),
        );
    }
    println!("  requests of the generator: {request_count}");
}
