//! The client against a real node.

use std::sync::Arc;

use isotherm_chain::{Answer, ChainClient, ChainError, Finality, Limits, RpcUrl, columns};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_types::disposition::{Classified as _, error_chain};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset, SystemClock};
use serde_json::json;

/// Emits one log of each kind (0 to 4 topics) and returns no code.
const LOGS_INIT_CODE: &str =
    "0x60ff6000526020600060006000a06001602060006000a1600260016020600060006000a2506003600260016020600060006000a3";

async fn chain() -> Anvil {
    Anvil::start(AnvilOptions { chain_id: 10_143, ..AnvilOptions::deterministic() }).await.unwrap()
}

async fn connect(urls: &str, chain_id: u64) -> Result<ChainClient, ChainError> {
    let urls = RpcUrl::parse_list(urls).unwrap();
    ChainClient::connect(urls, ChainId(chain_id), Limits::default(), Arc::new(SystemClock)).await
}

/// Puts transactions of several types into one block: transfers, a creation with logs, a failure.
async fn mine_traffic(chain: &Anvil) {
    let accounts = chain.call("eth_accounts", json!([])).await.unwrap();
    let (from, to) = (&accounts[0], &accounts[1]);
    let logs = json!({"from": from, "data": LOGS_INIT_CODE, "gas": "0x100000"});
    let transactions = [
        json!({"from": from, "to": to, "value": "0x1", "gasPrice": "0x77359400", "type": "0x0"}),
        json!({"from": from, "to": to, "value": "0x2", "gasPrice": "0x77359400", "accessList": [
            {"address": to, "storageKeys": [format!("0x{:064x}", 7)]}], "type": "0x1", "gas": "0x20000"}),
        logs.clone(),
        json!({"from": from, "data": "0xfe", "gas": "0x100000"}),
        logs,
    ];
    for transaction in transactions {
        chain.call("eth_sendTransaction", json!([transaction])).await.unwrap();
    }
    chain.mine(1).await.unwrap();
}

fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

fn present<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Present(value) => value,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_chain_with_another_id_is_refused_by_name() {
    let chain = chain().await;
    let error = connect(&chain.rpc_url(), 143).await.unwrap_err();
    assert_eq!(error.code(), "chain.wrong_chain_id");
    let text = error.to_string();
    assert!(text.contains("143") && text.contains("10143"), "{text}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_named_without_its_secrets() {
    let started = std::time::Instant::now();
    let error = connect("http://user:SECRET@127.0.0.1:1/v2/SECRET?key=SECRET", 143).await.unwrap_err();
    assert!(started.elapsed().as_secs() < 10);
    assert_eq!(error.code(), "chain.unreachable");
    let text = format!("{} {error:?}", error_chain(&error));
    assert!(text.contains("127.0.0.1:1") && !text.contains("SECRET"), "{text}");
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over() {
    let chain = chain().await;
    chain.mine(2).await.unwrap();
    let client = connect(&format!("http://127.0.0.1:1,{}", chain.rpc_url()), 10_143).await.unwrap();
    assert_eq!(client.heads(Finality::Tags {}).await.unwrap().latest.reference.number, BlockNumber(2));
}

#[tokio::test]
async fn heads_come_from_tags_or_from_depth() {
    let chain = chain().await;
    chain.mine(9).await.unwrap();
    let client = connect(&chain.rpc_url(), 10_143).await.unwrap();
    let numbers = |heads: isotherm_chain::Heads| {
        let number = |block: BlockRef| block.number.0;
        (heads.latest.reference.number.0, heads.safe.map(number), heads.finalized.map(number))
    };
    assert_eq!(numbers(client.heads(Finality::Tags {}).await.unwrap()), (9, Some(8), Some(7)));
    assert_eq!(numbers(client.heads(Finality::Depth { blocks: 4 }).await.unwrap()), (9, Some(5), Some(5)));
    assert_eq!(numbers(client.heads(Finality::Depth { blocks: 10 }).await.unwrap()), (9, None, None));
}

#[tokio::test]
async fn a_block_is_final_only_as_far_as_the_endpoint_that_has_it_says() {
    let chain = chain().await;
    chain.mine(9).await.unwrap();
    let client = connect(&chain.rpc_url(), 10_143).await.unwrap();
    let is_final = async |number, finality| {
        let found = client.final_block(BlockNumber(number), finality).await.unwrap();
        assert!(found.is_none_or(|block| block.number.0 == number));
        found.is_some()
    };
    for (finality, last) in [(Finality::Tags {}, 7), (Finality::Depth { blocks: 4 }, 5)] {
        for number in 0..12 {
            assert_eq!(is_final(number, finality).await, number <= last, "block {number} with {finality:?}");
        }
    }
    assert!(!is_final(0, Finality::Depth { blocks: 10 }).await);
}

#[tokio::test]
async fn fetched_blocks_are_verified_and_fill_the_columns() {
    let chain = chain().await;
    chain.mine(1).await.unwrap();
    mine_traffic(&chain).await;
    let client = connect(&chain.rpc_url(), 10_143).await.unwrap();
    let blocks = present(client.fetch(range(0, 9)).await);
    assert_eq!(blocks.len(), 3, "the answer ends where the chain ends");
    for block in &blocks {
        assert!(block.verdicts().header_hash.is_ok() && block.verdicts().transactions_root.is_ok());
        assert!(block.verdicts().receipts_root.is_ok() && block.verdicts().gas_used.is_ok());
    }
    let rows = columns::encode(client.chain_id(), &blocks).unwrap();
    let counts: Vec<_> = rows.iter().map(|(dataset, batch)| (*dataset, batch.num_rows())).collect();
    let logs = blocks[2].block().receipts.iter().map(|receipt| receipt.logs.len()).sum::<usize>();
    assert!(logs >= 6, "{logs} logs");
    assert_eq!(counts, [(Dataset::Blocks, 3), (Dataset::Transactions, 5), (Dataset::Logs, logs)]);
    for (dataset, batch) in rows {
        assert_eq!(batch.schema(), dataset.schema());
    }
}

#[tokio::test]
async fn a_block_past_the_head_is_absent_and_not_a_failure() {
    let chain = chain().await;
    chain.mine(2).await.unwrap();
    let client = connect(&chain.rpc_url(), 10_143).await.unwrap();
    assert!(matches!(client.fetch(range(3, 5)).await, Answer::Absent));
}

#[tokio::test]
async fn a_replaced_block_is_absent_by_its_hash() {
    let chain = chain().await;
    chain.mine(3).await.unwrap();
    let client = connect(&chain.rpc_url(), 10_143).await.unwrap();
    let before: Vec<BlockRef> =
        present(client.fetch(range(2, 4)).await).iter().map(|block| block.block().reference).collect();
    assert_eq!(present(client.fetch_by_hash(&before).await).len(), 2);
    assert_eq!(present(client.header(before[1]).await).parent_hash, before[0].hash);
    chain.reorg(1, &[]).await.unwrap();
    assert!(matches!(client.fetch_by_hash(&before).await, Answer::Absent));
    assert!(matches!(client.header(before[1]).await, Answer::Absent));
}

#[tokio::test]
async fn a_node_that_goes_away_is_a_failure_and_not_an_absent_block() {
    let chain = chain().await;
    let client = connect(&chain.rpc_url(), 10_143).await.unwrap();
    drop(chain);
    match client.fetch(range(0, 1)).await {
        Answer::Failed(error) => assert_eq!(error.code(), "chain.unreachable"),
        other => panic!("{other:?}"),
    }
}
