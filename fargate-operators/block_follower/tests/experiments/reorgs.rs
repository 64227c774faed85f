//! Reorgs of every kind and depth under a running follower: it converges on the new branch, exactly.

use std::time::Duration;

use isotherm_lab::experiment::{Experiment, milliseconds, quantile};
use rand::Rng;
use serde_json::json;

use crate::chain_life::{Reorg, caught_up, reorg};
use crate::judge::{broken_rules, differences};
use crate::stage::Stage;

/// A follower that has not converged by then never will.
const LIMIT: Duration = Duration::from_secs(30);
/// Without the guard: what an orphaned block's transactions left behind stays.
const ORPHANS_STAY: &str = "
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER keep BEFORE DELETE ON hot.logs FOR EACH ROW EXECUTE FUNCTION keep();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_reorgs() {
    let mut experiment = Experiment::begin("reorgs", &["orphans_go"]);
    let (rounds, deepest) = experiment.scaled((15, 8), (500, 64));
    let mut stage = Stage::without_finality().await;
    experiment.figure_of_postgres(&mut stage.database.connect().await.unwrap()).await;
    if experiment.lacks("orphans_go") {
        sqlx::raw_sql(ORPHANS_STAY).execute(&stage.pool).await.unwrap();
    }
    let mut random = experiment.random(0);
    stage.mine(deepest + 6).await;
    let follower = stage.follow(&json!({ "max_reorg_depth": deepest }));
    caught_up(&stage, LIMIT).await.expect("the follower follows");
    let (mut shallow, mut deep) = (Vec::new(), Vec::new());
    let (mut stuck, mut wrong, mut broken) = (0, 0, 0);
    for _ in 0..rounds {
        let depth =
            if random.random_ratio(1, 2) { random.random_range(1..=3) } else { random.random_range(1..=deepest) };
        reorg(&mut stage, Reorg::draw(&mut random), depth).await;
        let Some(took) = caught_up(&stage, LIMIT).await else {
            stuck += 1;
            break;
        };
        if depth <= 3 {
            shallow.push(took);
        } else {
            deep.push(took);
        }
        let recent = stage.head().await.0 - 2 * i64::try_from(deepest).unwrap();
        wrong += differences(&stage, recent).await;
        broken += broken_rules(&stage, recent).await;
    }
    experiment.figure("reorgs", shallow.len() + deep.len());
    experiment
        .figure("replaced", stage.number("SELECT count(*) FROM hot.data_invalidations").await.unwrap_or_default());
    let deepest_seen = "SELECT max(end_block - start_block) FROM hot.data_invalidations";
    experiment.figure("deepest", stage.number(deepest_seen).await.unwrap_or_default());
    experiment.at_most("shallow_p95_ms", milliseconds(quantile(&shallow, 0.95)), 2_000.0);
    experiment.at_most("deep_p95_ms", milliseconds(quantile(&deep, 0.95)), 10_000.0);
    experiment.zero("stuck", stuck);
    if stuck == 0 {
        wrong += differences(&stage, 0).await;
        broken += broken_rules(&stage, 0).await;
        follower.stop().await;
    }
    experiment.zero("lost_or_doubled", wrong);
    experiment.zero("broken_rules", broken);
    experiment.finish();
}
