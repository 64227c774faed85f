//! A follower that is killed, or told to end, at random moments, on a chain that has reorgs: the next one goes on, and
//! nothing is lost, doubled or left over.

use std::time::{Duration, Instant};

use isotherm_lab::experiment::{Experiment, milliseconds, quantile};
use nix::sys::signal::Signal;
use rand::Rng;
use serde_json::json;

use crate::chain_life::{caught_up, stir};
use crate::judge::{broken_rules, differences};
use crate::program::Program;
use crate::stage::Stage;

/// From the start of the process to its end: longer than it needs to start, to catch up and to follow a few blocks.
const LIFE_MS: u64 = 400;
/// Most blocks that a reorg replaces.
const DEPTH: u64 = 6;
/// Blocks that are looked at after each round; all are at the end.
const RECENT: i64 = 40;
/// A follower that has not caught up by then never will.
const LIMIT: Duration = Duration::from_secs(20);
/// Without the guard: rows are committed, and one cursor in three does not move with them.
const CURSOR_STAYS_BEHIND: &str = "
    CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.tip_number % 3 = 0 THEN NEW.tip_number := OLD.tip_number; NEW.tip_hash := OLD.tip_hash; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER stay BEFORE UPDATE ON hot.cursors FOR EACH ROW
    WHEN (OLD.tip_number IS NOT NULL) EXECUTE FUNCTION stay();";
/// Blocks that were written once more than they are stored or were taken back; below 0: blocks that are stored and not
/// counted, as all of them are if the row of their count is missing.
const WRITTEN_TWICE: &str = "
    SELECT coalesce((SELECT block_count FROM control.dataset_cursors WHERE dataset = 'blocks'), 0)
           - (SELECT count(*) FROM hot.blocks)
           - (SELECT coalesce(sum(end_block - start_block), 0)::bigint FROM hot.data_invalidations)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_follower_kills() {
    let experiment = Experiment::begin("follower_kills", &["cursor"]);
    let rounds = experiment.scaled(12, 1_000);
    let lacks_cursor = experiment.lacks("cursor");
    run(experiment, rounds, Signal::SIGKILL, lacks_cursor).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_follower_sigterm() {
    let experiment = Experiment::begin("follower_sigterm", &["asked"]);
    let rounds = experiment.scaled(10, 300);
    let signal = if experiment.lacks("asked") { Signal::SIGKILL } else { Signal::SIGTERM };
    run(experiment, rounds, signal, false).await;
}

async fn run(mut experiment: Experiment, rounds: u32, signal: Signal, lacks_cursor: bool) {
    let mut stage = Stage::without_finality().await;
    experiment.figure_of_postgres(&mut stage.database.connect().await.unwrap()).await;
    if lacks_cursor {
        sqlx::raw_sql(CURSOR_STAYS_BEHIND).execute(&stage.pool).await.unwrap();
    }
    let mut random = experiment.random(0);
    stage.mine(10).await;
    let (mut recoveries, mut ends) = (Vec::new(), Vec::new());
    let (mut stuck, mut broken, mut wrong, mut unreleased) = (0, 0, 0, 0);
    for _ in 0..rounds {
        let mut follower = Program::start(&stage, &json!({ "max_reorg_depth": 64 }), &[("ISOTHERM_LOG", "off")]).await;
        let end_at = Instant::now() + Duration::from_millis(random.random_range(0..LIFE_MS));
        while Instant::now() < end_at {
            stir(&mut stage, &mut random, DEPTH).await;
        }
        let told_at = Instant::now();
        follower.signal(signal);
        let ended_by = follower.end().await;
        ends.push(told_at.elapsed());
        // Before it listens for the signal it has done nothing, and ends by it.
        let has_obeyed = follower.was_released() || ended_by == Some(Signal::SIGTERM as i32);
        unreleased += i64::from(!has_obeyed);
        let recent = stage.head().await.0 - RECENT;
        broken += broken_rules(&stage, recent).await;
        stir(&mut stage, &mut random, DEPTH).await;

        let restarted_at = Instant::now();
        let mut next = Program::start(&stage, &json!({ "max_reorg_depth": 64 }), &[("ISOTHERM_LOG", "off")]).await;
        if caught_up(&stage, LIMIT).await.is_none() {
            stuck += 1;
            break;
        }
        recoveries.push(restarted_at.elapsed());
        wrong += differences(&stage, recent).await;
        next.signal(Signal::SIGTERM);
        next.end().await;
    }
    if stuck == 0 {
        wrong += differences(&stage, 0).await;
        broken += broken_rules(&stage, 0).await;
    }
    experiment.figure("rounds", rounds);
    experiment.figure("blocks", stage.head().await.0);
    experiment.figure("reorgs", stage.number("SELECT count(*) FROM hot.data_invalidations").await.unwrap_or_default());
    experiment.figure("recovery_p50_ms", format!("{:.0}", milliseconds(quantile(&recoveries, 0.5))));
    experiment.at_most("recovery_p95_ms", milliseconds(quantile(&recoveries, 0.95)), 1_000.0);
    experiment.at_most("slowest_exit_ms", milliseconds(quantile(&ends, 1.0)), 5_000.0);
    experiment.zero("stuck", stuck);
    experiment.zero("lost_or_doubled", wrong);
    experiment.zero("broken_rules", broken);
    experiment.zero("written_twice", stage.number(WRITTEN_TWICE).await.expect("a number"));
    if signal == Signal::SIGTERM || experiment.lacks("asked") {
        experiment.zero("not_given_back", unreleased);
    }
    experiment.finish();
}
