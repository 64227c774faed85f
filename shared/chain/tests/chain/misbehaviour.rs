//! The client against a server that misbehaves on purpose.

use std::sync::Arc;
use std::time::Duration;

use isotherm_chain::{Answer, ChainClient, Limits, RpcUrl, VerifiedBlock};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::process::eventually;
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::{Fault, FaultRule, Tape, TapeServer};
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_types::disposition::Classified as _;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, SystemClock};
use serde_json::{Value, json};

const BLOCKS: u64 = 4;

/// Blocks 0..4 of a real chain on tape, and the chain's block 3 after a reorg, with its receipts.
pub(crate) async fn record() -> (Tape, Value, Value) {
    let chain = Anvil::start(AnvilOptions { chain_id: 143, ..AnvilOptions::deterministic() }).await.unwrap();
    let options = TrafficOptions { transactions_per_block: 6, empty_block_one_in: 0 };
    let mut traffic = Traffic::new(chain.rpc_url(), 143, 1, options);
    for _ in 1..BLOCKS {
        traffic.mine_block().await.unwrap();
    }
    let rpc = Rpc::new(chain.rpc_url());
    let mut tape = Tape::default();
    tape.record(&rpc, "eth_chainId", json!([])).await.unwrap();
    for number in 0..=BLOCKS {
        let number = format!("{number:#x}");
        tape.record(&rpc, "eth_getBlockByNumber", json!([number, true])).await.unwrap();
        tape.record(&rpc, "eth_getBlockReceipts", json!([number])).await.unwrap();
    }
    let before = chain.call("eth_getBlockByNumber", json!(["0x3", true])).await.unwrap();
    let old_transactions: Vec<Value> = before["transactions"].as_array().unwrap().clone();
    assert!(!old_transactions.is_empty());
    let raw = chain.call("eth_getRawTransactionByHash", json!([old_transactions[0]["hash"]])).await.unwrap();
    chain.reorg(1, &[(raw, 0)]).await.unwrap();
    let block = chain.call("eth_getBlockByNumber", json!(["0x3", true])).await.unwrap();
    assert_ne!(block["hash"], before["hash"]);
    (tape, block, chain.call("eth_getBlockReceipts", json!(["0x3"])).await.unwrap())
}

/// The receipts of a block that `server` has on its tape, without the last one: a lie that shows by itself.
pub(crate) async fn short_receipts(server: &TapeServer, number: u64) -> Value {
    let params = json!([format!("{number:#x}")]);
    let mut receipts = Rpc::new(server.url()).call("eth_getBlockReceipts", params).await.unwrap();
    receipts.as_array_mut().unwrap().pop().unwrap();
    receipts
}

async fn client(urls: &[&str]) -> ChainClient {
    let urls = urls.iter().map(|url| RpcUrl::parse(url).unwrap()).collect();
    let limits = Limits { request_timeout: Duration::from_millis(500), ..Limits::default() };
    ChainClient::connect(urls, ChainId(143), limits, Arc::new(SystemClock)).await.unwrap()
}

pub(crate) fn all() -> BlockRange {
    BlockRange::new(BlockNumber(0), BlockNumber(BLOCKS)).unwrap()
}

pub(crate) fn numbers(answer: Answer<Vec<VerifiedBlock>>) -> Vec<u64> {
    match answer {
        Answer::Present(blocks) => blocks.iter().map(|block| block.block().reference.number.0).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn passing_troubles_are_outlasted() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let client = client(&[server.url()]).await;
    for fault in [
        Fault::ServerError,
        Fault::HtmlBody,
        Fault::TruncatedJson,
        Fault::Closed,
        Fault::Delay(Duration::from_secs(2)),
        Fault::Error { code: -32_000, message: "try again".to_owned() },
        // From the second of these on, the client takes them for a limit and asks more slowly.
        Fault::TooManyRequests { retry_after_seconds: None },
        Fault::TooManyRequests { retry_after_seconds: Some(1) },
        Fault::Error { code: -32_005, message: "limit exceeded".to_owned() },
    ] {
        server.inject(FaultRule::new("eth_getBlockReceipts", 1, fault.clone()));
        assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3], "{fault:?}");
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_is_halved_until_it_is_taken() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let client = client(&[server.url()]).await;
    // Each refusal strikes the first call of a batch: 8 calls, then 4, then 2 pass.
    server.inject(FaultRule::new("eth_getBlockByNumber", 4 + 2, Fault::BatchRefused));
    assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
    let before = server.http_requests();
    assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
    assert_eq!(server.http_requests() - before, 4, "what was learnt is kept");

    // Two calls in a batch, then three, four, six and, in time, all eight.
    let is_whole = async || {
        let before = server.http_requests();
        assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
        server.http_requests() - before == 1
    };
    eventually("batches as large as before", is_whole).await.unwrap();
}

#[tokio::test]
async fn a_block_that_is_not_there_ends_the_answer_however_the_server_says_so() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let client = client(&[server.url()]).await;
    let monad = "Block requested not found. Request might be querying historical state that is not available.";
    for fault in [Fault::NullResult, Fault::Error { code: -32_602, message: monad.to_owned() }] {
        for method in ["eth_getBlockByNumber", "eth_getBlockReceipts"] {
            let params = if method == "eth_getBlockByNumber" { json!(["0x2", true]) } else { json!(["0x2"]) };
            server.inject(FaultRule { params: Some(params), ..FaultRule::new(method, 1, fault.clone()) });
            assert_eq!(numbers(client.fetch(all()).await), [0, 1], "{method} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_reorg_between_block_and_receipts_is_found_and_not_mixed() {
    let (tape, block, receipts) = record().await;
    let server = TapeServer::start(tape).await.unwrap();
    let client = client(&[server.url()]).await;
    let at_3 = |method: &str, params: Value, result: Value| FaultRule {
        params: Some(params),
        ..FaultRule::new(method, 1, Fault::Result(result))
    };
    // The new branch's receipts beside the old block: the answer ends before it.
    server.inject(at_3("eth_getBlockReceipts", json!(["0x3"]), receipts.clone()));
    assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2]);
    // The other way round, and alone: asked again.
    server.inject(at_3("eth_getBlockByNumber", json!(["0x3", true]), block));
    let only_3 = BlockRange::single(BlockNumber(3));
    assert_eq!(numbers(client.fetch(only_3).await), [3]);
}

#[tokio::test]
async fn a_lie_is_laid_to_its_endpoint_and_another_one_is_asked() {
    let (tape, ..) = record().await;
    let (liar, honest) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    let receipts = short_receipts(&liar, 2).await;
    let lie = || FaultRule {
        params: Some(json!(["0x2"])),
        ..FaultRule::new("eth_getBlockReceipts", 1, Fault::Result(receipts.clone()))
    };
    liar.inject(lie());
    assert_eq!(numbers(client(&[liar.url(), honest.url()]).await.fetch(all()).await), [0, 1, 2, 3]);

    liar.heal();
    liar.inject(lie());
    match client(&[liar.url()]).await.fetch(all()).await {
        Answer::Lying(lie) => assert_eq!((lie.code(), lie.endpoint.as_str()), ("chain.bad_receipt_count", liar.url())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_empty_list_of_receipts_is_no_lie_but_no_answer_either() {
    let (tape, ..) = record().await;
    let (odd, honest) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    let empty = |times| FaultRule {
        params: Some(json!(["0x2"])),
        ..FaultRule::new("eth_getBlockReceipts", times, Fault::Result(json!([])))
    };
    let only_2 = BlockRange::single(BlockNumber(2));
    let alone = client(&[odd.url()]).await;
    odd.inject(empty(1));
    assert_eq!(numbers(alone.fetch(all()).await), [0, 1], "the answer ends before it");
    odd.inject(empty(1));
    assert_eq!(numbers(alone.fetch(only_2).await), [2], "asked again, it is there");

    odd.inject(empty(usize::MAX));
    let both = client(&[odd.url(), honest.url()]).await;
    assert_eq!(numbers(both.fetch(only_2).await), [2]);
    let health = &both.health()[0];
    assert_eq!((health.state.word(), health.failures), ("cooling", 1), "it is left, and not for long");
    assert_eq!(health.last_error_code.as_deref(), Some("chain.replaced_while_fetching"));
    assert!(both.take_evidence().is_empty());
    match alone.fetch(only_2).await {
        Answer::Failed(error) => assert_eq!(error.code(), "chain.replaced_while_fetching"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_block_that_was_orphaned_under_the_question_by_its_hash_is_no_lie() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let block = Rpc::new(server.url()).call("eth_getBlockByNumber", json!(["0x2", true])).await.unwrap();
    server.set("eth_getBlockByHash", &json!([block["hash"], true]), block.clone());
    server.set("eth_getBlockReceipts", &json!([block["hash"]]), json!([]));
    let client = client(&[server.url()]).await;
    let hash = serde_json::from_value(block["hash"].clone()).unwrap();
    match client.fetch_by_hash(&[BlockRef { number: BlockNumber(2), hash }]).await {
        Answer::Failed(error) => assert_eq!(error.code(), "chain.replaced_while_fetching"),
        other => panic!("{other:?}"),
    }
    assert!(client.take_evidence().is_empty());
    assert_ne!(client.health()[0].state.word(), "quarantined");
}

#[tokio::test]
async fn an_endpoint_that_changes_its_chain_is_not_believed_after_a_failover() {
    let (tape, ..) = record().await;
    let server = TapeServer::start(tape).await.unwrap();
    let client = client(&[server.url()]).await;
    server.set("eth_chainId", &json!([]), json!("0x1"));
    server.inject(FaultRule::new("eth_getBlockByNumber", 1, Fault::Closed));
    match client.fetch(all()).await {
        Answer::Failed(error) => assert_eq!(error.code(), "chain.wrong_chain_id"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_not_asked_for_again_and_again() {
    let (tape, ..) = record().await;
    let server = TapeServer::start(tape).await.unwrap();
    let client = client(&[server.url()]).await;
    let gone = Fault::Error { code: -32_601, message: "Method not found".to_owned() };
    server.inject(FaultRule::new("eth_getBlockReceipts", 99, gone));
    let before = server.http_requests();
    match client.fetch(all()).await {
        Answer::Failed(error) => assert_eq!(error.code(), "chain.unsupported_method"),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.http_requests() - before, 1);
}
