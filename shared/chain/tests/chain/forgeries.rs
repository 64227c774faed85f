//! Heads and headers that one endpoint alone shows: what becomes of them, and of the others.

use alloy::consensus::Header;
use isotherm_chain::{Answer, ChainClient, Limits};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::TapeServer;
use isotherm_types::{BlockNumber, BlockRange, BlockRef};
use serde_json::{Value, json};

use crate::misbehaviour::{all, numbers, record};
use crate::pool::{FINALITY, connect, endpoint, headers, newest, show, words};

/// A header that hashes to its hash, as anybody can make one. It belongs to no chain.
fn forged(number: u64) -> Value {
    let header = Header { number, ..Header::default() };
    let mut json = serde_json::to_value(&header).unwrap();
    json["hash"] = json!(header.hash_slow());
    json
}

fn reference(header: &Value, number: u64) -> BlockRef {
    BlockRef { number: BlockNumber(number), hash: serde_json::from_value(header["hash"].clone()).unwrap() }
}

/// Has `server` show `header`, or that it has none, where it is asked for block `number`.
fn show_at(server: &TapeServer, number: u64, header: &Value) {
    server.set("eth_getBlockByNumber", &json!([format!("{number:#x}"), false]), header.clone());
}

async fn latest(client: &ChainClient) -> BlockRef {
    client.heads(FINALITY).await.unwrap().latest.reference
}

#[tokio::test]
async fn a_head_that_another_endpoint_contradicts_is_disputed_and_the_other_is_heard() {
    let headers = headers(6).await;
    let forgery = forged(6);
    let (forger, honest) = (endpoint(&forgery).await, endpoint(&headers[6]).await);
    show_at(&forger, 6, &forgery);
    show_at(&honest, 6, &headers[6]);
    let client = connect(&[forger.url(), honest.url()], Limits::default()).await;
    assert_eq!(latest(&client).await, reference(&forgery, 6));
    assert!(client.is_disputed(reference(&forgery, 6)).await);
    assert_eq!(latest(&client).await, reference(&headers[6], 6));

    // It keeps to the forgery in its newest block only.
    show_at(&forger, 6, &headers[6]);
    eventually("the forger is gone back to", async || latest(&client).await == reference(&forgery, 6)).await.unwrap();
    assert!(client.is_disputed(reference(&forgery, 6)).await);
    assert_eq!(latest(&client).await, reference(&headers[6], 6));
}

#[tokio::test]
async fn a_block_is_in_dispute_only_if_somebody_says_otherwise() {
    let headers = headers(6).await;
    let six = reference(&headers[6], 6);
    let (first, second) = (endpoint(&headers[6]).await, endpoint(&headers[6]).await);
    show_at(&first, 6, &headers[6]);
    show_at(&second, 6, &headers[6]);
    let client = connect(&[first.url(), second.url()], Limits::default()).await;
    assert!(!client.is_disputed(six).await, "both have it");
    show_at(&second, 6, &Value::Null);
    assert!(!client.is_disputed(six).await, "the second does not have it yet");
    show(&second, &headers[5]);
    assert!(!client.is_disputed(six).await, "the second is not as far");
    show(&second, &forged(9));
    assert!(client.is_disputed(six).await, "the second is further, and has none there");
    drop(second);
    assert!(!client.is_disputed(six).await, "the second does not answer");

    let alone = connect(&[first.url()], Limits::default()).await;
    assert!(!alone.is_disputed(six).await, "its word is all there is");
    assert!(alone.is_disputed(reference(&forged(6), 6)).await, "it does not keep to its word");
    assert_eq!(words(&alone), ["healthy"], "nobody could be asked in its place");
}

#[tokio::test]
async fn a_head_far_above_all_others_holds_nobody_up() {
    let (tape, ..) = record().await;
    let (forger, honest) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    show(&forger, &forged(1_000_003));
    show(&honest, &headers(3).await[3]);
    for server in [&forger, &honest] {
        // What would be final below the forged head is not there.
        show_at(server, 999_003, &Value::Null);
    }
    let client = connect(&[forger.url(), honest.url()], Limits::default()).await;
    let beyond = BlockRange::single(BlockNumber(4));
    for _ in 0..2 {
        eventually("the forger is asked", async || newest(&client).await == 1_000_003).await.unwrap();
        assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3], "what there is, is served");
        assert!(matches!(client.fetch(beyond).await, Answer::Absent));
        assert_eq!(newest(&client).await, 3, "the forged head is not believed for a while");
    }
}
