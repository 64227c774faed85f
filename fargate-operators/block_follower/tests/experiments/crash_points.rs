//! A follower that dies at each of its crash points, at the first, second and last passage: the next one goes on.

use std::time::Duration;

use isotherm_lab::experiment::Experiment;
use isotherm_types::CrashPoint;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::chain_life::{Reorg, caught_up, reorg};
use crate::judge::{broken_rules, differences};
use crate::program::Program;
use crate::stage::Stage;

/// Blocks that are there before the follower starts. It stores each in a transaction of its own.
const BLOCKS: u64 = 5;
/// A follower that has neither died nor caught up by then never will.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_follower_crash_points() {
    let mut experiment = Experiment::begin("follower_crash_points", &["successor"]);
    let mut stage = Stage::without_finality().await;
    let changes = json!({ "batch_bytes": 1, "max_reorg_depth": 64 });
    let rounds = experiment.scaled(1, 10);
    // The first blocks, which have no parent that is stored.
    stage.mine(3).await;
    let mut first = Program::start(&stage, &changes, &[("ISOTHERM_LOG", "off")]).await;
    caught_up(&stage, LIMIT).await.expect("the follower follows");
    first.signal(Signal::SIGTERM);
    first.end().await;
    let (mut runs, mut there, mut stuck, mut wrong, mut broken) = (0, 0, 0, 0, 0);
    for round in 0..rounds {
        for point in [CrashPoint::FollowCopied, CrashPoint::FollowCommitted, CrashPoint::FollowTakenBack] {
            let last = if point == CrashPoint::FollowTakenBack { 3 } else { BLOCKS };
            for hit in [1, 2, last] {
                runs += 1;
                there += i64::from(dies_at(&mut stage, &changes, point, hit, round % 5 + 1).await);
                broken += broken_rules(&stage, 0).await;
                if experiment.lacks("successor") {
                    stuck += i64::from(caught_up(&stage, Duration::from_secs(1)).await.is_none());
                    continue;
                }
                let mut next = Program::start(&stage, &changes, &[("ISOTHERM_LOG", "off")]).await;
                stuck += i64::from(caught_up(&stage, LIMIT).await.is_none());
                wrong += differences(&stage, 0).await;
                broken += broken_rules(&stage, 0).await;
                next.signal(Signal::SIGTERM);
                next.end().await;
            }
        }
    }
    experiment.equal("aborted_there", there, runs);
    experiment.zero("stuck", stuck);
    experiment.zero("lost_or_doubled", wrong);
    experiment.zero("broken_rules", broken);
    if stuck == 0 {
        stage.assert_events_tell_the_story().await;
    }
    experiment.finish();
}

/// Lets a follower come to its `hit`th passage of `point`, and says whether it died there.
async fn dies_at(stage: &mut Stage, changes: &Value, point: CrashPoint, hit: u64, depth: u64) -> bool {
    let armed = format!("{}:{hit}", point.as_str());
    let variables = [("ISOTHERM_LOG", "off"), ("ISOTHERM_CRASH_POINT", armed.as_str())];
    let mut follower;
    if point == CrashPoint::FollowTakenBack {
        follower = Program::start(stage, changes, &variables).await;
        for passage in 1..=hit {
            replace(stage, depth).await;
            if passage < hit {
                caught_up(stage, LIMIT).await;
            }
        }
    } else {
        stage.mine(BLOCKS).await;
        follower = Program::start(stage, changes, &variables).await;
    }
    let ended = tokio::time::timeout(LIMIT, follower.end()).await;
    ended.is_ok_and(|signal| signal == Some(Signal::SIGABRT as i32))
}

/// Replaces the newest `depth` blocks by others: by empty ones, unless they are empty ones already, which would be the
/// same.
async fn replace(stage: &mut Stage, depth: u64) {
    let before = stage.head().await;
    for how in [Reorg::EqualAndEmpty, Reorg::Equal, Reorg::Longer] {
        reorg(stage, how, depth).await;
        if stage.head().await != before {
            return;
        }
    }
    panic!("the newest {depth} blocks are the same after three reorgs");
}
