//! Benchmark: a whole partition on its way from hot into cold storage, by the compactor's own program.
//!
//! Beside it the limit, binary COPY of the same rows out of Postgres with the bytes dropped, and DuckDB, which writes
//! the same rows from Postgres to Parquet. Postgres keeps its files on the disk; S3 is the emulator, on the same
//! machine.
//!
//! `./isotherm lab bench compact`; method and figures: `docs/benchmarks.md`.

use isotherm_lab::benchmark::{heading, locked_version, median, turns};

#[path = "compact/copy.rs"]
mod copy;
#[path = "compact/duckdb.rs"]
mod duckdb;
#[path = "compact/hot_rows.rs"]
mod hot_rows;
#[path = "compact/operator.rs"]
mod operator;
#[path = "compact/program.rs"]
mod program;
#[path = "compact/stage.rs"]
mod stage;

use duckdb::DuckDb;
use hot_rows::{BLOCKS, SEED, TRANSACTIONS_PER_BLOCK};
use stage::{DATASETS, Stage};

const ROUNDS: usize = 7;

/// A way to get the rows out of Postgres.
#[derive(Clone, Copy, Debug)]
enum Way {
    Compactor,
    Copy,
    DuckDb,
}

/// The compactor, then its peers.
const WAYS: [Way; 3] = [Way::Compactor, Way::Copy, Way::DuckDb];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Compactor => "compactor",
            Self::Copy => "COPY",
            Self::DuckDb => "DuckDB",
        }
    }
}

/// What one leg took.
#[derive(Clone, Copy, Debug)]
struct Leg {
    seconds: f64,
    /// Until the files were on the local disk; the rest is S3 and the catalogue.
    staged_seconds: f64,
    /// Of the program that took the rows.
    client_cpu: f64,
    postgres_cpu: f64,
    emulator_cpu: f64,
    /// Of a program of its own; else it is not known.
    peak_memory_mib: Option<f64>,
    /// What it made: files, or the bytes of the COPY.
    size_bytes: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let stage = Stage::new("parquet_compact").await;
    let row_count = hot_rows::write(&stage).await;
    let duckdb = DuckDb::find(&stage);
    let mut settings = vec![
        ("parquet", locked_version("parquet")),
        ("rounds", ROUNDS.to_string()),
        ("blocks", BLOCKS.to_string()),
        ("transactions_per_block", TRANSACTIONS_PER_BLOCK.to_string()),
        ("rows", row_count.to_string()),
        ("seed", SEED.to_string()),
    ];
    for name in ["server_version", "fsync", "shared_buffers", "max_wal_size"] {
        settings.push((name, stage.setting(name).await.replace(' ', "_")));
    }
    println!("{}", heading("compact", &settings));
    if let Err(reason) = &duckdb {
        println!("  DuckDB: not run, {reason}");
    }

    let mut legs: [Vec<Leg>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for place in turns(WAYS.len(), round) {
            let taken = match (WAYS[place], &duckdb) {
                (Way::Compactor, _) => program::compact(&stage, row_count).await,
                (Way::Copy, _) => copy::copy_out(&stage).await,
                (Way::DuckDb, Ok(duckdb)) => duckdb.write(&stage, row_count).await,
                (Way::DuckDb, Err(_)) => continue,
            };
            // In the first round the caches are cold.
            if round > 0 {
                legs[place].push(taken);
            }
        }
    }
    print(&legs, row_count);
}

fn print(legs: &[Vec<Leg>; 3], row_count: u64) {
    let (transactions, rows) = ((BLOCKS * TRANSACTIONS_PER_BLOCK) as f64, row_count as f64);
    for (way, taken) in WAYS.iter().zip(legs).filter(|(_, taken)| !taken.is_empty()) {
        let seconds = || taken.iter().map(|leg| leg.seconds);
        let middle = |of: fn(&Leg) -> f64| median(taken.iter().map(of));
        let peak = taken.iter().filter_map(|leg| leg.peak_memory_mib).fold(f64::NAN, f64::max);
        println!(
            "  {:<9} {:>9.0} rows/s (min {:.0}, max {:.0})   {:>8.0} transactions/s   {:.1} MB   CPU-seconds in \
             {:.2} s: client {:.2}, postgres {:.2}, S3 {:.2}   {:.2} s until staged   peak memory {peak:.0} MiB",
            way.name(),
            rows / middle(|leg| leg.seconds),
            rows / seconds().fold(0.0, f64::max),
            rows / seconds().fold(f64::INFINITY, f64::min),
            transactions / middle(|leg| leg.seconds),
            middle(|leg| leg.size_bytes as f64) / 1e6,
            middle(|leg| leg.seconds),
            middle(|leg| leg.client_cpu),
            middle(|leg| leg.postgres_cpu),
            middle(|leg| leg.emulator_cpu),
            middle(|leg| leg.staged_seconds),
        );
    }
    let [compactor, peers @ ..] = legs;
    for (way, peer) in WAYS[1..].iter().zip(peers).filter(|(_, peer)| !peer.is_empty()) {
        let pairs = || compactor.iter().zip(peer);
        let by = |time: fn(&Leg) -> f64| median(pairs().map(|(ours, peer)| time(peer) / time(ours)));
        println!(
            "  ratio to {:<7} {:.2} by wall time, {:.2} until staged, {:.2} by CPU time of client and Postgres \
             (medians over rounds)",
            way.name(),
            by(|leg| leg.seconds),
            by(|leg| leg.staged_seconds),
            by(|leg| leg.client_cpu + leg.postgres_cpu),
        );
    }
    println!("  datasets: {}", DATASETS.map(|dataset| dataset.to_string()).join(", "));
}
