//! Benchmark: from the start of each Lambda function's program to its first answer, on one machine.
//!
//! Lambda's runtime interface is a server in this process, which hands out one event and takes the answer; Postgres and
//! the AWS emulator are private ones. No function is loaded from an archive and no micro-VM is started.
//!
//! `./isotherm lab bench cold_start`; method and figures: `docs/benchmarks.md`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use isotherm_lab::benchmark::{heading, locked_version, median, turns};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::process::Command;

#[path = "cold_start/runtime_api.rs"]
mod runtime_api;
#[path = "cold_start/stage.rs"]
mod stage;

use runtime_api::RuntimeApi;
use stage::{PATH, Stage};

const ROUNDS: usize = 31;
/// Nothing here takes nearly as long; what does has gone wrong.
const PATIENCE: Duration = Duration::from_secs(30);
/// What `docs/benchmarks.md` asks for.
const TARGET_MS: f64 = 10.0;
const QUERY_TARGET_MS: f64 = 150.0;
/// Of an answer that is shown.
const SHOWN_CHARACTERS: usize = 90;

/// What one start took, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Until the program asked for its first event: Lambda's own phase `Init`.
    ready_ms: f64,
    /// Until it had answered.
    answered_ms: f64,
    /// Processor time of the program, and of what it had started and waited for.
    cpu_ms: f64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let stage = Stage::new().await;
    let settings = [("lambda_runtime", locked_version("lambda_runtime")), ("rounds", ROUNDS.to_string())];
    println!("{}", heading("cold_start", &settings));
    let keys = stage.functions();
    // The last leg is the limit: a process that does nothing.
    let mut legs: Vec<Vec<Start>> = vec![Vec::new(); keys.len() + 1];
    for round in 0..=ROUNDS {
        for place in turns(legs.len(), round) {
            let start = match keys.get(place) {
                Some(key) => first_answer(&stage, key, round == 0).await,
                None => nothing().await,
            };
            // In the first round the caches are cold.
            if round > 0 {
                legs[place].push(start);
            }
        }
    }
    for (place, starts) in legs.iter().enumerate() {
        print(keys.get(place), starts);
    }
}

/// Starts the program of the function `key` and stops it when it has answered.
async fn first_answer(stage: &Stage, key: &str, show: bool) -> Start {
    let api = RuntimeApi::bind(stage.event(key)).await;
    let mut command = stage.command(key);
    command.env("AWS_LAMBDA_RUNTIME_API", api.address());
    let (cpu, began) = (cpu_ms_of_children(), Instant::now());
    let mut child = command.spawn().expect("the program starts");
    let served = tokio::time::timeout(PATIENCE, api.serve()).await;
    let served = served.unwrap_or_else(|_| panic!("{key} has not answered:\n{}", stage.log(key)));
    child.kill().await.expect("it was running");
    let answer = served.answer.unwrap_or_else(|failure| panic!("{key} has failed: {failure}\n{}", stage.log(key)));
    if show {
        println!("  {key} answers {}", answer.chars().take(SHOWN_CHARACTERS).collect::<String>());
    }
    assert!(key != "query" || !answer.contains("\"error\""), "the query was answered: {answer}");
    Start {
        ready_ms: milliseconds(served.asked.duration_since(began)),
        answered_ms: milliseconds(served.answered.duration_since(began)),
        cpu_ms: cpu_ms_of_children() - cpu,
    }
}

/// Starts a program that ends at once, and waits for it.
async fn nothing() -> Start {
    let mut command = Command::new("true");
    command.env_clear().env("PATH", PATH).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (cpu, began) = (cpu_ms_of_children(), Instant::now());
    let status = command.status().await.expect("every system has it");
    let answered_ms = milliseconds(began.elapsed());
    assert!(status.success(), "it always succeeds");
    Start { ready_ms: answered_ms, answered_ms, cpu_ms: cpu_ms_of_children() - cpu }
}

fn print(key: Option<&String>, starts: &[Start]) {
    let middle = |of: fn(&Start) -> f64| median(starts.iter().map(of));
    let answered = middle(|start| start.answered_ms);
    let name = key.map_or("`true`", String::as_str);
    let target_ms = if name == "query" { QUERY_TARGET_MS } else { TARGET_MS };
    let share = key.map_or_else(String::new, |_| format!("   {:.2} of {target_ms:.0} ms", answered / target_ms));
    println!(
        "  {name:<18} p50 {answered:>6.1} ms, p95 {:>6.1} ms   ready after {:>6.1} ms   {:>6.1} ms of CPU{share}",
        p95(starts.iter().map(|start| start.answered_ms)),
        middle(|start| start.ready_ms),
        middle(|start| start.cpu_ms),
    );
}

/// The smallest value that is not exceeded by 95 in 100.
fn p95(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * 95).div_ceil(100) - 1]
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Processor time of the children that have been waited for.
fn cpu_ms_of_children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts");
    let times = [usage.user_time(), usage.system_time()];
    times.map(|time| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3).iter().sum()
}
