//! Benchmark: the follower's own program, from a node's answers to committed rows in Postgres.
//!
//! At the tip: how long after a block was served its rows are committed, at ten thousand transactions a second. While
//! it catches up: how fast, beside bare ways to write the same rows. The node is a server that has its answers ready,
//! in this process; Postgres keeps its files on the disk, with `fsync` and `synchronous_commit`.
//!
//! `./isotherm lab bench ingest`, or `… ingest -- tip` for one part; method and figures: `docs/benchmarks.md`.

use std::process::ExitCode;

use isotherm_lab::benchmark::heading;

#[path = "ingest/catch_up.rs"]
mod catch_up;
#[path = "ingest/copy.rs"]
mod copy;
#[path = "ingest/program.rs"]
mod program;
#[path = "ingest/rows.rs"]
mod rows;
#[path = "ingest/stage.rs"]
mod stage;
#[path = "ingest/tip.rs"]
mod tip;
#[path = "ingest/unnest.rs"]
mod unnest;

use stage::Stage;

const SEED: u64 = 1;
const PARTS: [&str; 2] = ["tip", "catch_up"];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = words.iter().find(|word| !PARTS.contains(&word.as_str())) {
        eprintln!("ingest has no part {unknown}; it has {}", PARTS.join(" and "));
        return ExitCode::FAILURE;
    }
    let is_wanted = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    let stage = Stage::new().await;
    let mut settings = vec![("seed", SEED.to_string())];
    for name in ["server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size"] {
        settings.push((name, stage.setting(name).await.replace(' ', "_")));
    }
    println!("{}", heading("ingest", &settings));
    if is_wanted("tip") {
        tip::run(&stage).await;
    }
    if is_wanted("catch_up") {
        catch_up::run(&stage).await;
    }
    ExitCode::SUCCESS
}
