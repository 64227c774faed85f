//! `isotherm up`: data outlive the run, and a bad start leaves nothing behind.

use std::time::{Duration, Instant};

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::oracle::Oracle;
use isotherm_lab::process::eventually;
use isotherm_lab::traffic::{Traffic, TrafficOptions};

use crate::stack::Stack;

#[tokio::test]
async fn end_to_end_up_goes_on_where_it_was_stopped() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 7, TrafficOptions::default());
    mine(&mut traffic, 40).await;
    let url = chain.rpc_url();
    let up = ["up", "--rpc-url", &url, "--chain", "test", "--start", "0", "--partition-blocks", "20"];

    let mut stack = Stack::new();
    stack.start(&up).await;
    equals_the_chain(&stack, &chain).await;
    assert_eq!(stack.run(&["down"]).await.code, Some(0));
    assert_eq!(stack.ended().await, Some(0), "{}", stack.log());

    mine(&mut traffic, 30).await;
    stack.start(&up).await;
    equals_the_chain(&stack, &chain).await;
    eventually("partitions to be compacted in the second run", async || {
        stack.status().await["chains"][0]["datasets"][2]["cold_files"].as_u64() >= Some(3)
    })
    .await
    .unwrap();
    equals_the_chain(&stack, &chain).await;
    assert_eq!(stack.run(&["down", "--wipe"]).await.code, Some(0));
}

#[tokio::test]
async fn end_to_end_up_follows_by_the_profile_of_a_chains_file() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 7, TrafficOptions::default());
    mine(&mut traffic, 30).await;
    let chain_id = chain.chain_id().to_string();
    let mut stack = Stack::new();
    let file = stack.folder().join("chains.yaml");
    let profile = format!(
        "{{ chain_id: {chain_id}, name: mine, block_time_ms: 200, finality: {{ kind: depth, blocks: 3 }}, \
         max_reorg_depth: 9, partition_blocks: 10, checks: {{ effective_gas_price: never }} }}"
    );
    std::fs::write(&file, format!("{{ version: 1, chains: [{profile}] }}\n")).unwrap();
    let file = file.to_str().unwrap();
    stack.start(&["up", "--rpc-url", &chain.rpc_url(), "--chains", file, "--chain", &chain_id, "--start", "0"]).await;
    equals_the_chain(&stack, &chain).await;
    let job = stack.json(&["jobs", "show", "follow-mine"]).await;
    let config = &job["config"];
    assert_eq!(config["chain"], "mine");
    assert_eq!(config["profile"]["checks"]["effective_gas_price"], "never");
    assert_eq!(config["finality"], serde_json::json!({ "kind": "depth", "blocks": 3 }));
    assert_eq!(config["partition_blocks"], 10);
    assert_eq!(config["max_reorg_depth"], 9);
    eventually("partitions of ten blocks to be compacted", async || {
        stack.status().await["chains"][0]["datasets"][2]["cold_files"].as_u64() >= Some(2)
    })
    .await
    .unwrap();
    assert_eq!(stack.run(&["down", "--wipe"]).await.code, Some(0));
}

async fn mine(traffic: &mut Traffic, blocks: u64) {
    for _ in 0..blocks {
        traffic.mine_block().await.unwrap();
    }
}

/// Waits for the chain's head, then compares counts and hashes.
async fn equals_the_chain(stack: &Stack, chain: &Anvil) {
    let head = chain.block_number().await.unwrap();
    eventually("the chain's head to be stored", async || stack.tip().await == head).await.unwrap();
    let oracle = Oracle::walk(chain.rpc(), "latest", 0).await.unwrap();
    let expected = oracle.total();
    let sql = "select (select count(*) from blocks), (select count(*) from transactions), (select count(*) from logs)";
    let rows = stack.rows(sql).await;
    assert_eq!(rows[0], serde_json::json!([expected.blocks, expected.transactions, expected.logs]));
    let hashes = stack.rows("select block_hash from blocks order by block_number").await;
    let hashes: Vec<&str> = hashes.iter().map(|row| row[0].as_str().unwrap()).collect();
    let walked: Vec<&str> = oracle.blocks().values().map(|block| block.hash.as_str()).collect();
    assert_eq!(hashes, walked);
}

#[tokio::test]
async fn end_to_end_a_wrong_start_ends_soon_and_leaves_nothing() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let url = chain.rpc_url();
    let cases = [
        (vec!["up", "--rpc-url", "http://127.0.0.1:1", "--chain", "x"], "127.0.0.1:1"),
        (vec!["up", "--rpc-url", "http://user:hunter2@127.0.0.1:1/key", "--chain", "x"], "127.0.0.1:1"),
        (vec!["up", "--rpc-url", &url, "--chain", "x", "--chain-id", "5"], "not chain 5"),
        (vec!["up", "--rpc-url", &url, "--chain", "monad"], "not chain 143"),
        (vec!["up", "--rpc-url", "nonsense", "--chain", "x"], "--rpc-url"),
    ];
    for (arguments, named) in cases {
        let stack = Stack::new();
        let began = Instant::now();
        let ended = stack.run(&arguments).await;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{arguments:?}");
        assert!(ended.stderr.contains(named), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2") && !ended.stderr.contains("/key"), "{}", ended.stderr);
        assert_eq!(stack.run(&["status"]).await.code, Some(1), "nothing runs");
        assert!(!stack.folder().join("up").exists(), "{arguments:?} left data behind");
    }
}
