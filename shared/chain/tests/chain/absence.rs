//! What one endpoint does not have is asked of the others: its word is not the chain's.

use isotherm_chain::{Answer, Limits, TraceMethod};
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
