//! History that nobody followed: fetched, watched, queried, and not fetched twice.

use std::fs;

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::oracle::Oracle;
use isotherm_lab::process::eventually;
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use serde_json::{Value, json};

use crate::stack::{Ended, Stack};

const PIPELINE: &str = "
version: 1
jobs:
  - name: backfill-test
    operator: cryo_ingest
    strategy: per_partition
    max_concurrency: 2
    secrets: { DATABASE_URL: isotherm/database, RPC_URLS: isotherm/rpc/test }
    config: { chain_id: CHAIN, chain: test, datasets: [blocks, transactions, logs], partition_blocks: 20 }
";

/// Blocks of the chain, of which the last two are not final; those from `FOLLOWED` on are followed.
const BLOCKS: u64 = 70;
const FOLLOWED: &str = "60";

#[tokio::test]
async fn end_to_end_history_is_fetched_once_and_queried_with_what_is_followed() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 7, TrafficOptions::default());
    while chain.block_number().await.unwrap() + 1 < BLOCKS {
        traffic.mine_block().await.unwrap();
    }
    let url = chain.rpc_url();
    let mut stack = Stack::new();
    stack.start(&["up", "--rpc-url", &url, "--chain", "test", "--start", FOLLOWED, "--partition-blocks", "20"]).await;
    eventually("the chain's head to be stored", async || stack.tip().await + 1 == BLOCKS).await.unwrap();
    let file = stack.folder().join("pipeline.yaml");
    fs::write(&file, PIPELINE.replace("CHAIN", &chain.chain_id().to_string())).unwrap();
    let applied = stack.run(&["apply", file.to_str().unwrap()]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");

    what_cannot_be_or_is_not_agreed_to_makes_no_task(&stack).await;
    history_is_fetched_once(&stack).await;

    let expected = Oracle::walk(chain.rpc(), "latest", 0).await.unwrap().total();
    let sql = "select (select count(*) from blocks), (select count(*) from transactions), (select count(*) from logs)";
    assert_eq!(stack.rows(sql).await[0], json!([expected.blocks, expected.transactions, expected.logs]));
    let gaps = stack.json(&["gaps", "--chain", "test"]).await;
    assert_eq!(gaps[0]["datasets"][0]["blocks"], json!({ "start": 0, "end": BLOCKS }), "{gaps:#}");

    nothing_that_is_named_is_garbage(&stack).await;
    assert_eq!(stack.rows(sql).await[0], json!([expected.blocks, expected.transactions, expected.logs]));
    assert_eq!(stack.run(&["down", "--wipe"]).await.code, Some(0));
}

async fn backfill(stack: &Stack, from: &str, to: &str, further: &[&str]) -> Ended {
    stack.run(&[&["backfill", "--chain", "test", "--from", from, "--to", to][..], further].concat()).await
}

/// The outcome for programs of a run that ends well.
async fn outcome(stack: &Stack, from: &str, further: &[&str]) -> Value {
    let ended = backfill(stack, from, "60", &[further, &["--yes", "--output", "json"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

async fn what_cannot_be_or_is_not_agreed_to_makes_no_task(stack: &Stack) {
    let early = backfill(stack, "0", "80", &["--yes"]).await;
    assert!(early.code == Some(1) && early.stderr.contains("use --to 60"), "{early:?}");
    let silent = backfill(stack, "0", "60", &[]).await;
    assert!(silent.code == Some(1) && silent.stderr.contains("--yes"), "{silent:?}");
    for part in ["3 partitions to fetch", "an estimate from"] {
        assert!(silent.stdout.contains(part), "{part}: {silent:?}");
    }
    let tasks = stack.json(&["tasks", "list", "--job", "backfill-test"]).await;
    assert_eq!(tasks, json!([]));
}

async fn history_is_fetched_once(stack: &Stack) {
    let detached = outcome(stack, "40", &["--detach"]).await;
    assert_eq!((&detached["end"], &detached["tasks_made"]), (&json!("detached"), &json!(1)), "{detached:#}");
    let all = outcome(stack, "0", &[]).await;
    // The one that was made before is watched, or has ended.
    assert_eq!((&all["end"], &all["tasks_made"], &all["tasks"]["lost"]), (&json!("ended"), &json!(2), &json!([])));
    // At least a block and its receipts, of 40 blocks.
    assert!(all["estimate"]["calls"].as_u64() >= Some(80) && all["estimate"]["bytes"].as_u64() > Some(0), "{all:#}");
    assert_eq!(all["tasks"]["blocks_done"], all["tasks"]["blocks_total"], "{all:#}");

    let again = outcome(stack, "0", &[]).await;
    assert_eq!((&again["end"], &again["tasks_made"]), (&json!("nothing_to_fetch"), &json!(0)), "{again:#}");
    assert_eq!((&again["blocks_in_place"], &again["partitions_to_fetch"]), (&json!(60), &json!([])), "{again:#}");
    let tasks = stack.json(&["tasks", "list", "--job", "backfill-test"]).await;
    assert_eq!(tasks.as_array().unwrap().len(), 3, "{tasks:#}");
}

async fn nothing_that_is_named_is_garbage(stack: &Stack) {
    let gc = ["cold", "gc", "--chain", "test", "--delete", "--older-than", "0s"];
    let busy = stack.run(&gc).await;
    assert!(busy.code == Some(1) && busy.stderr.contains("jobs pause backfill-test"), "{busy:?}");
    assert_eq!(stack.run(&["jobs", "pause", "backfill-test"]).await.code, Some(0));
    let found = stack.json(&gc).await;
    assert_eq!((&found["orphans"], &found["strangers"]), (&json!([]), &json!([])), "{found:#}");
    // Three files and three manifests of each dataset.
    assert_eq!(found["object_count"], json!(18), "{found:#}");
}
