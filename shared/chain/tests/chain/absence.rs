//! What one endpoint does not have is asked of the others: its word is not the chain's.

use std::time::{Duration, Instant};

use isotherm_chain::{Answer, Limits, TraceMethod};
use isotherm_lab::process::eventually;
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::{Fault, FaultRule, TapeServer};
use isotherm_types::{BlockNumber, BlockRange, BlockRef};
use serde_json::{Value, json};

use crate::misbehaviour::{numbers, record};
use crate::pool::{connect, words};
use crate::traces;

const BY_HASH: &str = "eth_getBlockByHash";

/// Two endpoints that have the same four blocks, by number and by hash, and what these are.
pub(crate) async fn endpoints() -> ([TapeServer; 2], Vec<BlockRef>) {
    let (mut tape, ..) = record().await;
    let recorded = TapeServer::start(tape.clone()).await.unwrap();
    let rpc = Rpc::new(recorded.url());
    let mut run = Vec::new();
    for number in 0..4 {
        let quantity = format!("{number:#x}");
        let block = rpc.call("eth_getBlockByNumber", json!([quantity, true])).await.unwrap();
        let receipts = rpc.call("eth_getBlockReceipts", json!([quantity])).await.unwrap();
        let hash = block["hash"].clone();
        tape.set("eth_getBlockReceipts", &json!([hash]), receipts);
        for is_full in [true, false] {
            tape.set(BY_HASH, &json!([hash, is_full]), block.clone());
        }
        run.push(BlockRef { number: BlockNumber(number), hash: serde_json::from_value(hash).unwrap() });
    }
    let servers = [TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap()];
    (servers, run)
}

/// From now on `server` does not have `block` by its hash.
fn lose(server: &TapeServer, block: BlockRef) {
    for is_full in [true, false] {
        server.set(BY_HASH, &json!([block.hash, is_full]), Value::Null);
    }
}

#[tokio::test]
async fn a_block_that_one_endpoint_does_not_have_by_its_hash_is_asked_of_the_next() {
    let ([first, second], run) = endpoints().await;
    let client = connect(&[first.url(), second.url()], Limits::default()).await;
    lose(&first, run[2]);
    assert!(matches!(client.header(run[2]).await, Answer::Present(header) if header.reference == run[2]));
    assert_eq!(numbers(client.fetch_by_hash(&run[2..]).await), [2, 3]);
    assert_eq!(numbers(client.fetch_by_hash(&run).await), [0, 1, 2, 3], "some of it from each");
    assert_eq!(words(&client), ["healthy", "healthy"], "that is held against nobody");

    lose(&second, run[2]);
    assert!(matches!(client.header(run[2]).await, Answer::Absent));
    assert!(matches!(client.fetch_by_hash(&run).await, Answer::Absent));
}

#[tokio::test]
async fn a_block_stays_absent_though_another_endpoint_does_not_answer() {
    let ([first, second], run) = endpoints().await;
    let client = connect(&[first.url(), second.url()], Limits::default()).await;
    lose(&first, run[2]);
    second.inject(FaultRule { method: None, params: None, times: usize::MAX, fault: Fault::ServerError });
    assert!(matches!(client.header(run[2]).await, Answer::Absent));
    let asked = second.calls().iter().filter(|(method, _)| method == BY_HASH).count();
    assert_eq!(asked, 1, "it is asked, and once");
    assert!(matches!(client.fetch_by_hash(&run).await, Answer::Absent));
}

#[tokio::test]
async fn a_withheld_block_is_asked_of_an_endpoint_that_has_shown_nothing_yet() {
    let ([first, second], _) = endpoints().await;
    let client = connect(&[first.url(), second.url()], Limits::default()).await;
    first.set("eth_getBlockByNumber", &json!(["0x2", true]), Value::Null);
    assert_eq!(numbers(client.fetch(BlockRange::single(BlockNumber(2))).await), [2]);
}

#[tokio::test]
async fn traces_that_one_endpoint_does_not_have_are_asked_of_the_next() {
    let chain = traces::chain().await;
    let tape = traces::record(&chain).await;
    let (first, second) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    let client = traces::client(&[first.url(), second.url()]).await;
    let blocks = traces::fetch(&client).await;
    let trace = async || client.trace(blocks.clone(), TraceMethod::TraceBlock).await;
    first.inject(traces::about_block_2(Fault::NullResult));
    let traced = traces::present(trace().await);
    assert_eq!(traced.len(), blocks.len());
    assert!(traced.iter().all(|block| block.traces().is_some()));

    second.inject(FaultRule::new("trace_block", usize::MAX, Fault::ServerError));
    assert!(matches!(trace().await, Answer::Absent), "that the other one does not answer changes nothing");
    second.heal();
    second.inject(traces::about_block_2(Fault::NullResult));
    assert!(matches!(trace().await, Answer::Absent));
}

#[tokio::test]
async fn a_liar_is_no_last_resort_after_an_honest_answer() {
    let chain = traces::chain().await;
    let tape = traces::record(&chain).await;
    let mut untrue = chain.call("trace_block", json!(["0x2"])).await.unwrap();
    untrue[0]["action"]["from"] = json!("0x00000000000000000000000000000000000000ff");
    let start = async || TapeServer::start(tape.clone()).await.unwrap();
    let (first, second, liar) = (start().await, start().await, start().await);
    let client = traces::client(&[first.url(), second.url(), liar.url()]).await;
    let blocks = traces::fetch(&client).await;
    let trace = async || client.trace(blocks.clone(), TraceMethod::TraceBlock).await;
    for server in [&first, &second] {
        let refusal = Fault::Error { code: -32_601, message: "Method not found".to_owned() };
        server.inject(FaultRule::new("trace_block", usize::MAX, refusal));
    }
    liar.inject(traces::about_block_2(Fault::Result(untrue)));
    assert!(matches!(trace().await, Answer::Lying(_)));
    liar.heal();
    eventually("a last resort", async || matches!(trace().await, Answer::Present(_))).await.unwrap();
    assert_eq!(words(&client)[2], "quarantined", "its time is not over");

    [&first, &second].into_iter().for_each(TapeServer::heal);
    first.inject(traces::about_block_2(Fault::NullResult));
    second.inject(FaultRule::new("trace_block", usize::MAX, Fault::ServerError));
    let asked = |server: &TapeServer| server.calls().iter().filter(|(method, _)| method == "trace_block").count();
    let before = [asked(&second), asked(&liar)];
    assert!(matches!(trace().await, Answer::Absent));
    assert!(asked(&second) > before[0], "whoever is trusted is asked");
    assert_eq!(asked(&liar), before[1]);
}

/// Limits under which nobody waits for long but where there is no other endpoint.
fn hurried() -> Limits {
    Limits { request_timeout: Duration::from_secs(120), failover_timeout: Duration::from_secs(1), ..Limits::default() }
}

#[tokio::test]
async fn an_endpoint_that_hangs_does_not_hold_up_the_answer_of_another_that_a_block_is_not_there() {
    let ([first, second], _) = endpoints().await;
    let client = connect(&[first.url(), second.url()], hurried()).await;
    first.set("eth_getBlockByNumber", &json!(["0x2", true]), Value::Null);
    second.inject(FaultRule::new("eth_getBlockByNumber", usize::MAX, Fault::Delay(Duration::from_secs(120))));
    let started = Instant::now();
    assert!(matches!(client.fetch(BlockRange::single(BlockNumber(2))).await, Answer::Absent));
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert!(second.calls().iter().any(|(method, _)| method == "eth_getBlockByNumber"), "it was asked");
}

#[tokio::test]
async fn nor_does_one_whose_turn_is_far_away() {
    let ([first, second], _) = endpoints().await;
    let client = connect(&[first.url(), second.url()], hurried()).await;
    first.set("eth_getBlockByNumber", &json!(["0x2", true]), Value::Null);
    // Near enough to be waited for if there were nobody else.
    let slow_down = Fault::TooManyRequests { retry_after_seconds: Some(12) };
    second.inject(FaultRule::new("eth_getBlockByNumber", 1, slow_down));
    let fetch = async || client.fetch(BlockRange::single(BlockNumber(2))).await;
    assert!(matches!(fetch().await, Answer::Absent));
    assert_eq!(words(&client), ["healthy", "rate_limited"]);
    let before = second.http_requests();
    assert!(matches!(fetch().await, Answer::Absent));
    assert_eq!(second.http_requests(), before, "nobody waits for it");
}
