//! What a question holds of its answers is bounded, however many requests it takes.

use isotherm_chain::{Finality, Limits};
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::{Fault, FaultRule, TapeServer};
use isotherm_types::disposition::Classified as _;
use isotherm_types::{BlockNumber, BlockRange};
use serde_json::json;

use crate::absence::endpoints;
use crate::misbehaviour::numbers;
use crate::pool::{connect, words};

/// More than what is around an answer.
const FRAME_BYTES: usize = 100;

/// Has `server` answer no batch of more than one call.
fn refuse_batches(server: &TapeServer) {
    server.inject(FaultRule { method: None, params: None, times: usize::MAX, fault: Fault::BatchRefused });
}

#[tokio::test]
async fn single_answers_do_not_add_up_to_more_than_those_of_a_batch() {
    let ([server, _], run) = endpoints().await;
    let rpc = Rpc::new(server.url());
    let mut longest = 0;
    for number in 0..4 {
        let number = format!("{number:#x}");
        let calls = [("eth_getBlockByNumber", json!([number, true])), ("eth_getBlockReceipts", json!([number]))];
        for (method, params) in calls {
            longest = longest.max(rpc.call(method, params).await.unwrap().to_string().len());
        }
    }
    let limits = Limits { answer_bytes: longest + FRAME_BYTES, ..Limits::default() };
    let client = connect(&[server.url()], limits).await;
    refuse_batches(&server);
    let (mut next, mut fetches) = (0u64, 0);
    while next < 4 {
        let rest = BlockRange::new(BlockNumber(next), BlockNumber(4)).unwrap();
        let found = numbers(client.fetch(rest).await);
        assert_eq!(found[0], next);
        next += found.len() as u64;
        fetches += 1;
    }
    assert!(fetches > 1, "all of it was held at once");
    assert_eq!(numbers(client.fetch_by_hash(&run).await), [0, 1, 2, 3], "what is wanted whole is asked for in parts");
}

#[tokio::test]
async fn a_question_that_has_no_parts_is_given_up_when_its_answers_are_too_long_together() {
    let ([server, _], _) = endpoints().await;
    let header = Rpc::new(server.url()).call("eth_getBlockByNumber", json!(["0x0", true])).await.unwrap();
    for tag in ["latest", "safe", "finalized"] {
        server.set("eth_getBlockByNumber", &json!([tag, false]), header.clone());
    }
    let limits = Limits { answer_bytes: header.to_string().len() + FRAME_BYTES, ..Limits::default() };
    let client = connect(&[server.url()], limits).await;
    refuse_batches(&server);
    assert_eq!(client.heads(Finality::Tags {}).await.unwrap_err().code(), "chain.answer_too_large");
    assert_eq!(words(&client), ["cooling"]);
}
