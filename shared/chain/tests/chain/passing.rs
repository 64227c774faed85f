//! What may pass is told rather than what cannot: the second would end a follower that has an endpoint to hope for.

use isotherm_chain::{Answer, ChainClient, Limits};
use isotherm_lab::tape::{Fault, FaultRule, TapeServer};
use isotherm_types::disposition::Classified as _;
use serde_json::json;

use crate::misbehaviour::{all, record, short_receipts};
use crate::pool::connect;

const RECEIPTS: &str = "eth_getBlockReceipts";

/// Two endpoints that have the same blocks.
async fn endpoints() -> [TapeServer; 2] {
    let (tape, ..) = record().await;
    [TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap()]
}

/// Takes a method from `server` that no question for blocks can do without.
fn impoverish(server: &TapeServer) {
    let gone = Fault::Error { code: -32_601, message: "Method not found".to_owned() };
    server.inject(FaultRule::new(RECEIPTS, usize::MAX, gone));
}

/// Has `server` say something untrue of block 2.
async fn corrupt(server: &TapeServer) {
    let lie = Fault::Result(short_receipts(server, 2).await);
    server.inject(FaultRule { params: Some(json!(["0x2"])), ..FaultRule::new(RECEIPTS, usize::MAX, lie) });
}

async fn failure(client: &ChainClient) -> &'static str {
    match client.fetch(all()).await {
        Answer::Failed(error) => error.code(),
        other => panic!("{other:?}"),
    }
}

/// Whom the lie is laid to that comes for an answer.
async fn liar(client: &ChainClient) -> String {
    match client.fetch(all()).await {
        Answer::Lying(lie) => lie.endpoint,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_method_that_one_endpoint_lacks_is_not_the_end_while_the_other_one_is_busy() {
    let [poor, busy] = endpoints().await;
    let client = connect(&[poor.url(), busy.url()], Limits::default()).await;
    impoverish(&poor);
    let refused = Fault::TooManyRequests { retry_after_seconds: Some(3600) };
    busy.inject(FaultRule { method: None, params: None, times: usize::MAX, fault: refused });
    assert_eq!(failure(&client).await, "chain.rate_limited");
    let before = busy.http_requests();
    assert_eq!(failure(&client).await, "chain.rate_limited", "though nobody asks it any more");
    assert_eq!(busy.http_requests(), before);
}

#[tokio::test]
async fn a_method_that_one_endpoint_lacks_is_not_the_end_where_the_other_one_failed() {
    let [failing, poor] = endpoints().await;
    let client = connect(&[failing.url(), poor.url()], Limits { attempts: 2, ..Limits::default() }).await;
    impoverish(&poor);
    failing.inject(FaultRule { method: None, params: None, times: usize::MAX, fault: Fault::ServerError });
    assert_eq!(failure(&client).await, "chain.http_status");
}

#[tokio::test]
async fn a_method_that_one_endpoint_lacks_is_not_the_end_while_the_other_one_is_quarantined() {
    let [false_one, poor] = endpoints().await;
    let client = connect(&[false_one.url(), poor.url()], Limits::default()).await;
    corrupt(&false_one).await;
    impoverish(&poor);
    assert_eq!(liar(&client).await, false_one.url());
}

#[tokio::test]
async fn of_a_liar_and_an_endpoint_of_another_chain_the_liar_is_told() {
    let [turning, false_one] = endpoints().await;
    let client = connect(&[turning.url(), false_one.url()], Limits::default()).await;
    corrupt(&false_one).await;
    turning.set("eth_chainId", &json!([]), json!("0x1"));
    turning.inject(FaultRule::new("eth_getBlockByNumber", 1, Fault::ServerError));
    assert_eq!(liar(&client).await, false_one.url());
    assert_eq!(liar(&client).await, false_one.url(), "though nobody was asked");
}
