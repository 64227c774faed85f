//! The traffic maker and the oracle against a real chain.

use std::time::Duration;

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::oracle::{Counts, Oracle};
use isotherm_lab::process::eventually;
use isotherm_lab::rpc::Rpc;
use isotherm_lab::traffic::bytecode::TRANSFER_TOPIC;
use isotherm_lab::traffic::{Kind, Traffic, TrafficOptions};
use serde_json::{Value, json};

const OPTIONS: TrafficOptions = TrafficOptions { transactions_per_block: 30, empty_block_one_in: 6 };

async fn chain_with_blocks(seed: u64, block_count: u64) -> (Anvil, Traffic) {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), seed, OPTIONS);
    for _ in 0..block_count {
        traffic.mine_block().await.unwrap();
    }
    (chain, traffic)
}

#[tokio::test]
async fn equal_seeds_make_equal_chains() {
    let (first, _) = chain_with_blocks(7, 8).await;
    let (second, _) = chain_with_blocks(7, 8).await;
    let (other, _) = chain_with_blocks(8, 8).await;
    let first = Oracle::walk(first.rpc(), "latest", 0).await.unwrap();
    assert_eq!(first, Oracle::walk(second.rpc(), "latest", 0).await.unwrap());
    assert_ne!(first, Oracle::walk(other.rpc(), "latest", 0).await.unwrap());
}

#[tokio::test]
async fn oracle_and_tally_and_node_agree() {
    let (chain, traffic) = chain_with_blocks(1, 20).await;
    let tally = traffic.tally();
    let missing: Vec<&Kind> = ALL_KINDS.iter().filter(|kind| !tally.by_kind.contains_key(kind)).collect();
    assert!(missing.is_empty(), "twenty blocks show every kind, but not {missing:?}");

    let oracle = Oracle::walk(chain.rpc(), "latest", 0).await.unwrap();
    let expected = Counts { blocks: 21, transactions: tally.transactions(), logs: tally.logs() };
    assert_eq!(oracle.total(), expected);
    let failed: u64 = oracle.blocks().values().map(|block| block.failed_transaction_count).sum();
    assert_eq!(failed, tally.failed_transactions());
    assert!(oracle.blocks().values().skip(1).any(|block| block.transaction_hashes.is_empty()));

    let logs = chain.call("eth_getLogs", json!([{ "fromBlock": "0x0", "toBlock": "latest" }])).await.unwrap();
    assert_eq!(logs.as_array().unwrap().len() as u64, tally.logs());
    let filter = json!([{ "fromBlock": "0x0", "toBlock": "latest", "topics": [TRANSFER_TOPIC] }]);
    let transfers = chain.call("eth_getLogs", filter).await.unwrap();
    let transfers = transfers.as_array().unwrap();
    assert_eq!(transfers.len() as u64, tally.token_transfers());
    for transfer in transfers {
        assert_eq!(transfer["topics"].as_array().unwrap().len(), 3);
        assert_eq!(transfer["data"].as_str().unwrap().len(), 2 + 64);
    }
}

const ALL_KINDS: [Kind; 15] = [
    Kind::Deploy,
    Kind::DeployToken,
    Kind::NativeTransfer,
    Kind::NativeTransferWithInput,
    Kind::TokenTransfer,
    Kind::ForwardedTokenTransfer,
    Kind::OddLogs,
    Kind::Revert,
    Kind::UnknownSelector,
    Kind::OutOfGas,
    Kind::InvalidOpcode,
    Kind::CreateContract,
    Kind::FailedCreate,
    Kind::FactoryCall,
    Kind::Authorization,
];

#[tokio::test]
async fn every_type_and_an_applied_delegation_are_on_the_chain() {
    let (chain, _) = chain_with_blocks(1, 12).await;
    let mut types = std::collections::BTreeSet::new();
    let mut delegated = 0;
    for number in 0..=12 {
        let block = chain.call("eth_getBlockByNumber", json!([format!("{number:#x}"), true])).await.unwrap();
        for transaction in block["transactions"].as_array().unwrap() {
            types.insert(transaction["type"].as_str().unwrap().to_owned());
            for authorization in transaction["authorizationList"].as_array().into_iter().flatten() {
                assert!(authorization["nonce"].is_string());
                delegated += 1;
            }
        }
    }
    assert_eq!(types.into_iter().collect::<Vec<_>>(), ["0x0", "0x1", "0x2", "0x4"]);
    assert!(delegated > 0);
}

#[tokio::test]
async fn timestamps_repeat_but_never_go_back() {
    let (chain, _) = chain_with_blocks(3, 6).await;
    let oracle = Oracle::walk(chain.rpc(), "latest", 1).await.unwrap();
    let timestamps: Vec<u64> = oracle.blocks().values().map(|block| block.timestamp).collect();
    assert!(timestamps.is_sorted());
    assert!(timestamps.windows(2).any(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn ticks_between_two_blocks_neither_repeat_nonces_nor_deployments() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 4, OPTIONS);
    for _ in 0..3 {
        traffic.tick().await.unwrap();
    }
    chain.mine(1).await.unwrap();
    assert_eq!(traffic.tally().by_kind[&Kind::DeployToken], 3);
    let found = Oracle::walk(chain.rpc(), "latest", 0).await.unwrap().total();
    assert_eq!((found.transactions, found.logs), (traffic.tally().transactions(), traffic.tally().logs()));
}

#[tokio::test]
async fn traffic_goes_on_after_a_reorg_took_everything() {
    let block_time = Some(Duration::from_millis(100));
    let chain = Anvil::start(AnvilOptions { block_time, ..AnvilOptions::default() }).await.unwrap();
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 5, OPTIONS);
    let rpc = Rpc::new(chain.rpc_url());
    let transactions = async || Oracle::walk(&rpc, "latest", 0).await.unwrap().total().transactions;

    traffic.tick().await.unwrap();
    eventually("the first transactions", async || transactions().await > 0).await.unwrap();
    let depth = chain.block_number().await.unwrap();
    chain.reorg(depth, &[]).await.unwrap();

    // A tick may meet a block being mined and count for nothing; the next one goes on.
    eventually("traffic again", async || {
        let before = transactions().await;
        let sent = traffic.tick().await.unwrap() as u64;
        sent > 0 && eventually_more(&rpc, before).await
    })
    .await
    .unwrap();
    let filter = json!([{ "fromBlock": "0x0", "toBlock": "latest", "topics": [TRANSFER_TOPIC] }]);
    let Value::Array(transfers) = chain.call("eth_getLogs", filter).await.unwrap() else { panic!("logs are a list") };
    assert!(!transfers.is_empty(), "the tokens were deployed anew");
}

/// Whether the chain comes to hold more transactions than `before` within a few blocks.
async fn eventually_more(rpc: &Rpc, before: u64) -> bool {
    let more = eventually("more transactions", async || {
        Oracle::walk(rpc, "latest", 0).await.unwrap().total().transactions > before
    });
    tokio::time::timeout(Duration::from_secs(5), more).await.is_ok_and(|waited| waited.is_ok())
}
