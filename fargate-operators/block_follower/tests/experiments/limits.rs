//! Providers that permit so many calls a second, and providers that die and lag: the rate is used and not exceeded, and
//! the follower stays near the newest block.

use std::time::{Duration, Instant};

use isotherm_lab::experiment::Experiment;
use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::{CallLimit, Tape, TapeServer};
use serde_json::{Value, json};

use crate::chain_life::caught_up;
use crate::judge::{broken_rules, differences};
use crate::program::Program;
use crate::stage::{CHAIN_ID, Stage};

/// Calls a second.
const PERMITTED: usize = 25;
/// Refusals by which a limit is learnt: the first says that there is one, the next ones which.
const LESSONS: usize = 3;
/// What a refusal asks to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Between two blocks of the chain.
const BLOCK_TIME_MS: u64 = 300;
/// A follower that is not back by then never will be.
const LIMIT: Duration = Duration::from_secs(20);

/// How a limit was kept to.
struct Kept {
    /// Calls that were taken, of those that were permitted.
    share: f64,
    refused: usize,
}

/// How far a follower fell behind.
struct Behind {
    /// Blocks, after the first provider died.
    after_death: i64,
    /// Blocks, after the second one began to lag.
    after_lag: i64,
    /// It did not come back to the newest block.
    is_lost: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_limits() {
    let mut experiment = Experiment::begin("limits", &["rate", "others"]);
    let (block_count, seconds, rounds) = experiment.scaled((110, 5, 8), (600, 40, 60));
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.database.connect().await.unwrap()).await;

    // Two calls a block: there is enough to ask for as long as it is measured.
    stage.mine(block_count).await;
    let tape = stage.record(stage.head().await.0 + 1).await;
    let span = Duration::from_secs(seconds);
    let rate = if experiment.lacks("rate") { "#rate=50/s" } else { "#rate=25/s" };
    let told = keep_to_a_limit(&tape, rate, 0, span).await;
    let learnt = keep_to_a_limit(&tape, "", LESSONS - 1, span).await;
    let behind = lose_providers(&mut stage, rounds, experiment.lacks("others")).await;

    experiment.figure("told_rate_used", format!("{:.2}", told.share));
    experiment.at_most("told_rate_unused_percent", (1.0 - told.share) * 100.0, 10.0);
    experiment.zero("refused_though_told", i64::try_from(told.refused).unwrap());
    experiment.figure("learnt_rate_used", format!("{:.2}", learnt.share));
    experiment.at_most("learnt_rate_unused_percent", (1.0 - learnt.share) * 100.0, 10.0);
    experiment.figure("refused_to_learn", learnt.refused.min(LESSONS));
    experiment.zero("refused_after_learning", i64::try_from(learnt.refused.saturating_sub(LESSONS)).unwrap());
    experiment.at_most("blocks_behind_after_death", behind.after_death as f64, 2.0);
    experiment.at_most("blocks_behind_after_lag", behind.after_lag as f64, 2.0);
    experiment.zero("lost", i64::from(behind.is_lost));
    experiment.zero("broken_rules", broken_rules(&stage, 0).await);
    if !behind.is_lost {
        experiment.zero("lost_or_doubled", differences(&stage, 0).await);
    }
    experiment.finish();
}

fn settings() -> Value {
    json!({ "partition_blocks": 100, "profile": { "chain_id": CHAIN_ID, "name": "demo", "block_time_ms": BLOCK_TIME_MS,
        "finality": { "kind": "tags" } } })
}

/// Lets a new follower ask a provider that permits [`PERMITTED`] calls a second; `rate` is what its address says of
/// that. Measures for `span` once there were so many `refusals`.
async fn keep_to_a_limit(tape: &Tape, rate: &str, refusals: usize, span: Duration) -> Kept {
    let stage = Stage::new().await;
    let server = TapeServer::start(tape.clone()).await.unwrap();
    server.limit(CallLimit {
        calls: PERMITTED,
        window: Duration::from_secs(1),
        retry_after_seconds: Some(RETRY_AFTER.as_secs()),
    });
    let address = format!("{}{rate}", server.url());
    let variables = [("RPC_URLS", address.as_str()), ("ISOTHERM_LOG", "off")];
    let _follower = Program::start(&stage, &settings(), &variables).await;
    eventually("the limit is known", async || {
        let log = server.limit_log();
        !log.accepted.is_empty() && log.refused.len() >= refusals
    })
    .await
    .unwrap();
    // How long is measured, not a wait for anything.
    tokio::time::sleep(span).await;
    let (log, end) = (server.limit_log(), Instant::now());
    let begun = log.accepted.first().map(|(at, _)| *at);
    let start = log.refused.last().map(|at| *at + RETRY_AFTER).or(begun).unwrap_or(end);
    let permitted = PERMITTED as f64 * end.saturating_duration_since(start).as_secs_f64();
    let used = log.accepted_between(start, end) as f64;
    Kept { share: if permitted > 0.0 { used / permitted } else { 0.0 }, refused: log.refused.len() }
}

/// Has three providers: the first dies, then the second lags, and the third is well; for so many blocks each.
async fn lose_providers(stage: &mut Stage, blocks: u64, has_no_others: bool) -> Behind {
    // The same traffic makes the same chain.
    let mut lagging = Stage::new().await;
    lagging.mine(stage.head().await.0.cast_unsigned()).await;
    assert_eq!(lagging.head().await, stage.head().await, "both providers have one chain");
    let steady_url = stage.chain.rpc_url();
    let dying = FaultProxy::start(steady_url.trim_start_matches("http://")).await.unwrap();
    let dying_url = dying.through(&steady_url);
    let all = format!("{dying_url},{},{steady_url}", lagging.chain.rpc_url());
    let urls = if has_no_others { dying_url } else { all };
    let variables = [("RPC_URLS", urls.as_str()), ("ISOTHERM_LOG", "off")];
    let mut follower = Program::start(stage, &settings(), &variables).await;
    caught_up(stage, LIMIT).await.expect("the follower follows");

    go_on(stage, Some(&mut lagging), blocks).await;
    dying.switch(Mode::Reset);
    let after_death = go_on(stage, Some(&mut lagging), blocks).await;
    let after_lag = go_on(stage, None, blocks).await;
    let is_lost = caught_up(stage, LIMIT).await.is_none() || follower.has_ended();
    Behind { after_death, after_lag, is_lost }
}

/// Lets the chain grow, at another provider too if there is one; returns by how many blocks the follower was behind at
/// most when the next one was due.
async fn go_on(stage: &mut Stage, mut other: Option<&mut Stage>, blocks: u64) -> i64 {
    let mut most = 0;
    for _ in 0..blocks {
        let due = Instant::now() + Duration::from_millis(BLOCK_TIME_MS);
        stage.mine(1).await;
        if let Some(other) = other.as_deref_mut() {
            other.mine(1).await;
        }
        tokio::time::sleep_until(due.into()).await;
        let tip = stage.tip().await.map_or(-1, |(number, _)| number);
        most = most.max(stage.head().await.0 - tip);
    }
    most
}
