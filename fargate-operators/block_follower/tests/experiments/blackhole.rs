//! A database that stops answering in the middle of everything, in silence, and comes back: the follower goes on by itself.

use std::time::{Duration, Instant};

use isotherm_lab::experiment::{Experiment, milliseconds};
use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::shared;
use isotherm_lab::process::eventually;
use rand::Rng;
use serde_json::json;
use sqlx::Connection as _;

use crate::chain_life::caught_up;
use crate::judge::{broken_rules, differences};
use crate::program::Program;
use crate::stage::Stage;

/// A follower that is not back by then never will be.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two blocks of the chain.
const BLOCK_TIME: Duration = Duration::from_millis(300);

/// Lets the follower wait for a lock, and then for an answer that does not come.
async fn cut_off_in_a_transaction(stage: &mut Stage, proxy: &FaultProxy, mode: Mode) {
    let mut holder = stage.database.connect().await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM hot.cursors FOR UPDATE").execute(&mut *held).await.unwrap();
    stage.mine(1).await;
    eventually("the follower's transaction", async || {
        stage.number("SELECT count(*) FROM pg_locks WHERE NOT granted").await != Some(0)
    })
    .await
    .unwrap();
    proxy.switch(mode);
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_postgres_blackhole() {
    let mut experiment = Experiment::begin("postgres_blackhole", &["patience"]);
    let (times, shortest_ms, longest_ms) = experiment.scaled((2, 2_000, 3_000), (12, 10_000, 60_000));
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.database.connect().await.unwrap()).await;
    let mut random = experiment.random(0);
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", shared().await.unwrap().port())).await.unwrap();
    let url = proxy.through(&stage.database.url);
    // Short enough for the short form to see it end.
    let patience_ms = experiment.scaled(1_000, 8_000);
    let patience_ms = if experiment.lacks("patience") { 3_600_000 } else { patience_ms };
    let changes = json!({ "transaction_timeout_ms": patience_ms });
    let variables = [("DATABASE_URL", url.as_str()), ("ISOTHERM_LOG", "warn")];
    stage.mine(4).await;
    let mut follower = Program::start(&stage, &changes, &variables).await;
    caught_up(&stage, LIMIT).await.expect("the follower follows");
    let (mut back, mut caught_up_after, mut silent, mut gone) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
    for time in 0..times {
        // Bytes that arrive late, and connections that never will.
        let mode = if time % 2 == 0 { Mode::Lost } else { Mode::Blackhole };
        cut_off_in_a_transaction(&mut stage, &proxy, mode).await;
        let (since, span) = (Instant::now(), Duration::from_millis(random.random_range(shortest_ms..longest_ms)));
        while since.elapsed() < span {
            stage.mine(1).await;
            tokio::time::sleep(BLOCK_TIME).await;
        }
        silent = silent.max(follower.longest_silence_since(since));
        let before = stage.tip().await;
        proxy.switch(Mode::Pass);
        let returned = Instant::now();
        while stage.tip().await == before && returned.elapsed() < LIMIT {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        back = back.max(returned.elapsed());
        // What has come in the meantime takes its time.
        match caught_up(&stage, LIMIT).await {
            Some(_) => caught_up_after = caught_up_after.max(returned.elapsed()),
            None => {
                gone += 1;
                break;
            }
        }
    }
    experiment.figure("outages", times);
    experiment.figure("blocks", stage.head().await.0);
    experiment.at_most("slowest_back_ms", milliseconds(back), 5_000.0);
    experiment.figure("slowest_caught_up_ms", format!("{:.0}", milliseconds(caught_up_after)));
    experiment.at_most("longest_wait_ms", milliseconds(silent), 10_000.0);
    experiment.zero("not_back", gone);
    experiment.zero("ended", i64::from(follower.has_ended()));
    experiment.zero("broken_rules", broken_rules(&stage, 0).await);
    if gone == 0 {
        experiment.zero("lost_or_doubled", differences(&stage, 0).await);
        stage.assert_events_tell_the_story().await;
    }
    experiment.finish();
}
