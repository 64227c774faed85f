//! The proxy that lies, before a node that replays a made chain.

use std::time::Duration;

use isotherm_lab::lies::{Liar, LieKind, Order, Tellers, Told, kinds};
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_lab::tape::{Tape, TapeServer};
use serde_json::{Value, json};

/// The newest block.
const NEWEST: u64 = 1007;

fn json_of(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

async fn node() -> TapeServer {
    let chain = GeneratedChain::new(&ChainPlan {
        seed: 1,
        chain_id: 143,
        first_number: 1000,
        block_count: 8,
        transactions_per_block: 4,
        body_count: 2,
        first_timestamp: 1_800_000_000,
        block_time_ms: 300,
    });
    let mut tape = Tape::default();
    for (place, number) in (1000..=NEWEST).enumerate() {
        let name = format!("{number:#x}");
        let block = |with_transactions| json_of(|out| chain.write_block(place, with_transactions, out));
        tape.set("eth_getBlockByNumber", &json!([name, true]), block(true));
        tape.set("eth_getBlockByNumber", &json!([name, false]), block(false));
        tape.set("eth_getBlockByNumber", &json!(["latest", false]), block(false));
        tape.set("eth_getBlockReceipts", &json!([name]), json_of(|out| chain.write_receipts(place, out)));
    }
    TapeServer::start(tape).await.unwrap()
}

fn kind(name: &str) -> &'static LieKind {
    kinds().into_iter().find(|kind| kind.name == name).unwrap()
}

async fn newest_at(url: &str) -> Value {
    let header = Rpc::new(url).call("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
    header["number"].clone()
}

#[tokio::test]
async fn without_an_order_and_where_it_is_about_something_else_the_answer_is_the_nodes_own() {
    let node = node().await;
    let liar = Liar::start(node.url(), 1).await.unwrap();
    let client = reqwest::Client::new();
    let said_by = async |url: &str| {
        let body = json!([
            { "jsonrpc": "2.0", "id": 7, "method": "eth_getBlockByNumber", "params": ["0x3e9", true] },
            { "jsonrpc": "2.0", "id": 8, "method": "eth_getBlockReceipts", "params": ["0x3e9"] },
        ]);
        client.post(url).body(body.to_string()).send().await.unwrap().bytes().await.unwrap()
    };
    let address = liar.addresses()[0].as_str();
    assert_eq!(said_by(address).await, said_by(node.url()).await);
    liar.begin(Order { kind: kind("stale_tip"), let_through: 0, times: 9, tellers: Tellers::All });
    assert_eq!(said_by(address).await, said_by(node.url()).await);
    assert_eq!(liar.end(), Told::default());
}

#[tokio::test]
async fn a_lie_is_told_from_one_address_as_often_as_ordered() {
    let node = node().await;
    let liar = Liar::start(node.url(), 2).await.unwrap();
    let [first, second] = liar.addresses() else { panic!("two addresses") };
    liar.begin(Order { kind: kind("stale_tip"), let_through: 1, times: 2, tellers: Tellers::First });
    let mut said = Vec::new();
    for address in [first, second, first, second, second] {
        said.push(newest_at(address).await);
    }
    // The second one has the occasion after the one that is let through.
    assert_eq!(said, ["0x3ef", "0x3ee", "0x3ef", "0x3ee", "0x3ef"]);
    assert_eq!((liar.told(), liar.end()), (2, Told { answers: 2, by: vec![second.clone()] }));
    assert_eq!(newest_at(second).await, "0x3ef");
}

#[tokio::test]
async fn a_tip_falls_with_each_telling() {
    let node = node().await;
    let liar = Liar::start(node.url(), 1).await.unwrap();
    liar.begin(Order { kind: kind("falling_tip"), let_through: 0, times: usize::MAX, tellers: Tellers::All });
    let mut said = Vec::new();
    for _ in 0..7 {
        said.push(newest_at(&liar.addresses()[0]).await);
    }
    assert_eq!(said, ["0x3ed", "0x3ec", "0x3eb", "0x3ea", "0x3e9", "0x3e8", "0x3ed"]);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_read_as_far_as_one_likes() {
    let node = node().await;
    let liar = Liar::start(node.url(), 1).await.unwrap();
    liar.begin(Order { kind: kind("endless_body"), let_through: 0, times: 1, tellers: Tellers::All });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockReceipts", "params": ["0x3e9"] });
    let sent = reqwest::Client::new().post(&liar.addresses()[0]).body(call.to_string()).send().await;
    let (mut answer, mut length) = (sent.unwrap(), 0);
    while length < 1 << 20 {
        length += answer.chunk().await.unwrap().expect("it goes on").len();
    }
}

#[tokio::test]
async fn what_is_held_is_answered_when_it_is_released() {
    let node = node().await;
    let liar = Liar::start(node.url(), 1).await.unwrap();
    let address = liar.addresses()[0].clone();
    liar.hold();
    let mut asking = tokio::spawn(async move { newest_at(&address).await });
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut asking).await.is_err());
    assert_eq!(node.http_requests(), 0);
    liar.release();
    assert_eq!(asking.await.unwrap(), "0x3ef");
}
