//! History is backfilled while the newest blocks are followed: nothing is missing or there twice, and the tip hardly
//! notices.

use std::time::Duration;

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::experiment::Experiment;
use isotherm_lab::oracle::Oracle;
use isotherm_lab::process::eventually;
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_platform::Stop;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::stack::Stack;

/// Blocks of a partition.
const PARTITION_BLOCKS: u64 = 50;
/// Between two blocks of the chain.
const BLOCK_TIME: Duration = Duration::from_millis(300);

/// Files whose range does not begin where the one before ends, the first one at block 0; and files whose name is not
/// that of their range.
const FAULTS: &str = "
    WITH files AS (
        SELECT dataset, start_block, end_block, object_key,
               lag(end_block, 1, 0::bigint) OVER (PARTITION BY dataset ORDER BY start_block) AS expected_start
          FROM cold.data_partitions)
    SELECT count(*) FILTER (WHERE start_block <> expected_start),
           count(*) FILTER (WHERE object_key NOT LIKE
               '%/' || dataset || '_' || lpad(start_block::text, 10, '0') || '_' || lpad((end_block - 1)::text, 10, '0')
               || '.parquet')
      FROM files";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_backfill_beside_tip() {
    let mut experiment = Experiment::begin("backfill_beside_tip", &["partition"]);
    let (history, alone) = experiment.scaled((150, 20), (2_000, 200));
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let options = TrafficOptions { transactions_per_block: 8, ..TrafficOptions::default() };
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 7, options);
    while chain.block_number().await.unwrap() < history {
        traffic.mine_block().await.unwrap();
    }
    let mut stack = Stack::new();
    let (url, size) = (chain.rpc_url(), PARTITION_BLOCKS.to_string());
    stack.start(&["up", "--rpc-url", &url, "--chain", "test", "--partition-blocks", &size]).await;
    let (stop_now, stop) = Stop::pair();
    let mining = tokio::spawn(mine(traffic, stop));
    let mut conn = connect(&stack).await;
    experiment.figure_of_postgres(&mut conn).await;

    eventually("following to begin", async || tip(&mut conn).await > 0).await.unwrap();
    let first_followed: i64 =
        sqlx::query_scalar("SELECT first_block FROM hot.cursors").fetch_one(&mut conn).await.unwrap();
    let begun = tip(&mut conn).await;
    reach(&mut conn, begun + alone).await;
    let before = tip(&mut conn).await;
    let to = first_followed.cast_unsigned().next_multiple_of(PARTITION_BLOCKS);
    let to = if experiment.lacks("partition") { to - PARTITION_BLOCKS } else { to };
    let words = ["backfill", "--chain", "test", "--from", "0", "--to", &to.to_string(), "--yes", "--output", "json"];
    let ended = stack.run(&words).await;
    let during = tip(&mut conn).await;
    stop_now.request();
    mining.await.unwrap();
    let head = chain.block_number().await.unwrap();
    reach(&mut conn, head).await;

    let outcome: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    experiment.figure("backfilled", &outcome["tasks"]["blocks_done"]);
    experiment.equal("backfill_exit_code", i64::from(ended.code.unwrap_or(-1)), 0);
    experiment.figure("followed_meanwhile", during - before);
    let [p50, p95] = lag(&mut conn, begun + 1, before).await;
    experiment.figure("lag_alone_p50_ms", format!("{p50:.0}"));
    experiment.figure("lag_alone_p95_ms", format!("{p95:.0}"));
    let [p50, p95] = lag(&mut conn, before + 1, during).await;
    experiment.figure("lag_beside_p50_ms", format!("{p50:.0}"));
    experiment.at_most("lag_beside_p95_ms", p95, BLOCK_TIME.as_secs_f64() * 1000.0);

    let (torn, misnamed): (i64, i64) = sqlx::query_as(FAULTS).fetch_one(&mut conn).await.unwrap();
    experiment.zero("gaps_or_overlaps", torn);
    experiment.zero("misnamed", misnamed);
    let waiting: i64 =
        sqlx::query_scalar("SELECT count(*) FROM cold.pending_files").fetch_one(&mut conn).await.unwrap();
    experiment.zero("left_waiting", waiting);
    experiment.zero("differences", differences(&stack, &chain).await);
    experiment.finish();
    assert_eq!(stack.run(&["down", "--wipe"]).await.code, Some(0));
}

/// A block each [`BLOCK_TIME`], until it is told to stop.
async fn mine(mut traffic: Traffic, stop: Stop) {
    let mut ticks = tokio::time::interval(BLOCK_TIME);
    while !stop.is_requested() {
        ticks.tick().await;
        traffic.mine_block().await.unwrap();
    }
}

async fn connect(stack: &Stack) -> PgConnection {
    let running = stack.running().unwrap();
    PgConnection::connect(running["database_url"].as_str().unwrap()).await.unwrap()
}

/// Number of the stored tip; 0 while there is none.
async fn tip(conn: &mut PgConnection) -> u64 {
    let tip: Option<i64> = sqlx::query_scalar("SELECT max(tip_number) FROM hot.cursors").fetch_one(conn).await.unwrap();
    tip.map_or(0, i64::cast_unsigned)
}

async fn reach(conn: &mut PgConnection, number: u64) {
    loop {
        let seen = tip(conn).await;
        if seen >= number {
            return;
        }
        eventually("the tip to move", async || tip(conn).await > seen).await.unwrap();
    }
}

/// Median and 95th percentile of commit time minus the time at which a block was first served, in milliseconds.
async fn lag(conn: &mut PgConnection, first: u64, last: u64) -> [f64; 2] {
    let quantiles: Option<Vec<f64>> = sqlx::query_scalar(
        "SELECT percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY
                    extract(epoch FROM committed_at - served_at)::double precision * 1000)
           FROM hot.block_arrivals WHERE block_number BETWEEN $1 AND $2",
    )
    .bind(first.cast_signed())
    .bind(last.cast_signed())
    .fetch_one(conn)
    .await
    .unwrap();
    quantiles.and_then(|found| found.try_into().ok()).unwrap_or_default()
}

/// Blocks whose hash, and datasets whose number of rows, is not what the node says.
async fn differences(stack: &Stack, chain: &Anvil) -> i64 {
    let oracle = Oracle::walk(chain.rpc(), "latest", 0).await.unwrap();
    let expected = oracle.total();
    let sql = "select (select count(*) from blocks), (select count(*) from transactions), (select count(*) from logs)";
    let counts = json!([expected.blocks, expected.transactions, expected.logs]);
    let counted = i64::from(stack.rows(sql).await[0] != counts);
    let mut different = 0;
    let walked: Vec<_> = oracle.blocks().values().collect();
    for page in walked.chunks(500) {
        let (first, last) = (page[0].number, page[page.len() - 1].number);
        let sql = format!(
            "select block_hash from blocks where block_number between {first} and {last} order by block_number"
        );
        let rows = stack.rows(&sql).await;
        let same = rows.iter().zip(page).filter(|(row, block)| row[0] == json!(block.hash)).count();
        different += i64::try_from(page.len().max(rows.len()) - same).unwrap();
    }
    counted + different
}
