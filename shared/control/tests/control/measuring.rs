//! Thresholds on counts and on lag: once for each crossing, over restarts and evaluators at the same moment.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use isotherm_control::dataset_cursors::{self, Advance, Written};
use isotherm_control::threshold::{self, Facts, TipAge};
use isotherm_types::{ChainId, Dataset};
use sqlx::{Connection, PgConnection};

use crate::stage::{JOBS, Stage, until_somebody_waits};

const CHAIN: ChainId = ChainId(143);

fn watching(threshold: &str) -> String {
    JOBS.replace("measure: finalized_blocks, every: 100", threshold)
}

async fn stage(threshold: &str) -> Stage {
    let mut stage = Stage::new().await;
    stage.apply(&watching(threshold)).await;
    stage
}

async fn write(conn: &mut PgConnection, dataset: Dataset, row_count: u64) {
    let advance = Advance { dataset, block_count: 1, row_count, size_bytes: 10 * row_count };
    dataset_cursors::advance(conn, CHAIN, &[advance]).await.unwrap();
}

fn facts(tip_age: Option<TipAge>) -> Facts {
    Facts { chain_id: CHAIN, first_block: None, tip: None, finalized: None, tip_age }
}

/// Keys of the firings that are new.
async fn fired(conn: &mut PgConnection) -> Vec<String> {
    let crossed = threshold::evaluate(conn, &facts(None)).await.unwrap();
    crossed.into_iter().map(|firing| firing.fire_key).collect()
}

async fn last_input(stage: &mut Stage) -> serde_json::Value {
    let row: (serde_json::Value,) =
        sqlx::query_as("SELECT body -> 'input' FROM control.events ORDER BY id DESC LIMIT 1")
            .fetch_one(&mut stage.conn)
            .await
            .unwrap();
    row.0
}

#[tokio::test]
async fn what_is_written_adds_up_by_chain_and_dataset() {
    let mut stage = Stage::new().await;
    let advance = |dataset, row_count| Advance { dataset, block_count: 2, row_count, size_bytes: 7 * row_count };
    for _ in 0..3 {
        let advances = [advance(Dataset::Blocks, 2), advance(Dataset::Logs, 0), advance(Dataset::Transactions, 5)];
        dataset_cursors::advance(&mut stage.conn, CHAIN, &advances).await.unwrap();
    }
    dataset_cursors::advance(&mut stage.conn, ChainId(1), &[advance(Dataset::Logs, 9)]).await.unwrap();
    let cases = [
        (CHAIN, Dataset::Transactions, Written { block_count: 6, row_count: 15, size_bytes: 105 }),
        (CHAIN, Dataset::Logs, Written { block_count: 6, row_count: 0, size_bytes: 0 }),
        (CHAIN, Dataset::Traces, Written::default()),
        (ChainId(1), Dataset::Logs, Written { block_count: 2, row_count: 9, size_bytes: 63 }),
    ];
    for (chain_id, dataset, written) in cases {
        assert_eq!(dataset_cursors::read(&mut stage.conn, chain_id, dataset).await.unwrap(), written);
    }
}

#[tokio::test]
async fn a_count_fires_for_what_is_written_after_the_trigger_was_made() {
    let mut stage = Stage::new().await;
    write(&mut stage.conn, Dataset::Logs, 150).await;
    stage.apply(&watching("measure: rows, dataset: logs, every: 100")).await;
    // Before anybody has looked.
    write(&mut stage.conn, Dataset::Logs, 60).await;
    write(&mut stage.conn, Dataset::Blocks, 1000).await;
    assert_eq!(fired(&mut stage.conn).await, ["rows-143-logs-100-200"]);
    assert_eq!(fired(&mut stage.conn).await, Vec::<String>::new());
    write(&mut stage.conn, Dataset::Logs, 245).await;
    assert_eq!(fired(&mut stage.conn).await, ["rows-143-logs-200-400"], "two crossings are one firing");
    let expected = serde_json::json!({ "measure": "rows", "chain_id": 143, "dataset": "logs", "value": 455, "bound": 400,
        "from": 200, "to": 400 });
    assert_eq!(last_input(&mut stage).await, expected);
    // Its mark lost, it goes on from where the count stands.
    sqlx::query("UPDATE control.triggers SET next_count = NULL").execute(&mut stage.conn).await.unwrap();
    assert_eq!(fired(&mut stage.conn).await, Vec::<String>::new());
    write(&mut stage.conn, Dataset::Logs, 45).await;
    assert_eq!(fired(&mut stage.conn).await, ["rows-143-logs-400-500"]);
    // Its mark set back, the keys of its firings still hold it back.
    sqlx::query("UPDATE control.triggers SET next_count = 500 WHERE kind = 'threshold'")
        .execute(&mut stage.conn)
        .await
        .unwrap();
    assert_eq!(fired(&mut stage.conn).await, Vec::<String>::new());
    assert_eq!(stage.count("SELECT count(*) FROM control.trigger_fires").await, 3);
}

#[tokio::test]
async fn blocks_and_bytes_are_counted_too_and_a_changed_bound_starts_at_the_present_count() {
    let mut stage = stage("measure: blocks, every: 2").await;
    for _ in 0..3 {
        write(&mut stage.conn, Dataset::Blocks, 1).await;
    }
    assert_eq!(fired(&mut stage.conn).await, ["blocks-143-blocks-0-2"]);
    stage.apply(&watching("measure: bytes, dataset: blocks, every: 15")).await;
    assert_eq!(fired(&mut stage.conn).await, Vec::<String>::new(), "30 bytes were there before");
    write(&mut stage.conn, Dataset::Blocks, 2).await;
    assert_eq!(fired(&mut stage.conn).await, ["bytes-143-blocks-30-45"]);
}

#[tokio::test]
async fn two_evaluators_at_the_same_moment_fire_a_crossing_once() {
    let mut stage = stage("measure: rows, dataset: logs, every: 100").await;
    write(&mut stage.conn, Dataset::Logs, 130).await;
    // The first evaluator has fired and not committed when rows come that pass the next multiple.
    let mut first = stage.connect().await;
    let mut second = stage.connect().await;
    let mut first = first.begin().await.unwrap();
    assert_eq!(fired(&mut first).await, ["rows-143-logs-0-100"]);
    write(&mut stage.conn, Dataset::Logs, 100).await;
    let release = async {
        until_somebody_waits(&mut stage.conn).await;
        first.commit().await.unwrap();
    };
    let (keys, ()) = tokio::join!(fired(&mut second), release);
    assert_eq!(keys, ["rows-143-logs-100-200"], "and not 0 to 200");
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 2);
}

/// The tip's age, seen so many seconds into the test's day.
fn tip(age: u64, second: i64) -> Facts {
    let observed_at = "2026-11-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second);
    facts(Some(TipAge { age: Duration::from_secs(age), observed_at }))
}

async fn lagging(stage: &mut Stage, facts: Facts) -> Vec<String> {
    let crossed = threshold::evaluate(&mut stage.conn, &facts).await.unwrap();
    crossed.into_iter().map(|firing| firing.fire_key).collect()
}

#[tokio::test]
async fn a_lag_fires_once_for_each_time_that_it_goes_above() {
    let mut stage = stage("measure: lag_seconds, every: 60").await;
    let nothing = Vec::<String>::new();
    assert_eq!(lagging(&mut stage, facts(None)).await, nothing, "no block yet");
    assert_eq!(lagging(&mut stage, tip(60, 0)).await, nothing);
    assert_eq!(lagging(&mut stage, tip(61, 1)).await, ["lag-1"]);
    let expected =
        serde_json::json!({ "measure": "lag_seconds", "chain_id": 143, "value": 61, "bound": 60, "crossing": 1 });
    assert_eq!(last_input(&mut stage).await, expected);
    assert_eq!(lagging(&mut stage, tip(900, 2)).await, nothing, "above still");
    assert_eq!(lagging(&mut stage, tip(60, 3)).await, nothing, "not below yet");
    assert_eq!(lagging(&mut stage, tip(61, 4)).await, nothing);
    assert_eq!(lagging(&mut stage, tip(3, 5)).await, nothing, "ready again");
    assert_eq!(lagging(&mut stage, tip(700, 4)).await, nothing, "an evaluator that is late");
    assert_eq!(lagging(&mut stage, tip(61, 65)).await, ["lag-2"]);
    // Active again after a pause, a lag that is still there is another crossing.
    stage.apply("{ version: 1, jobs: [] }").await;
    assert_eq!(lagging(&mut stage, tip(99, 70)).await, nothing);
    stage.apply(&watching("measure: lag_seconds, every: 60")).await;
    assert_eq!(lagging(&mut stage, tip(99, 71)).await, ["lag-3"]);
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 3);
}
