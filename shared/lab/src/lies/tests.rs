//! Each kind alters what it is about, and nothing else.

use alloy::consensus::Header;
use serde_json::{Value, json};

use super::exchange::{Exchange, Reply, Subject};
use super::values::power_of_two;
use super::{Elsewhere, LieKind, Pair, Tells, kinds};
use crate::tape::Coding;
use crate::tape::generate::{ChainPlan, GeneratedChain};

/// Place of the block that is asked for.
const ASKED: usize = 3;

fn chain(transactions_per_block: usize) -> GeneratedChain {
    GeneratedChain::new(&ChainPlan {
        seed: 1,
        chain_id: 143,
        first_number: 1000,
        block_count: 4,
        transactions_per_block,
        body_count: 4,
        first_timestamp: 1_800_000_000,
        block_time_ms: 300,
    })
}

fn json_of(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

fn block(chain: &GeneratedChain, place: usize, with_transactions: bool) -> Value {
    json_of(|out| chain.write_block(place, with_transactions, out))
}

/// As on the chain, but that the second transaction has created a contract, as none there does.
fn receipts(chain: &GeneratedChain, place: usize) -> Value {
    let mut receipts = json_of(|out| chain.write_receipts(place, out));
    if let Some(second) = receipts.get_mut(1) {
        second["contractAddress"] = json!("0x00000000000000000000000000000000000000c0");
    }
    receipts
}

fn elsewhere(chain: &GeneratedChain) -> Elsewhere {
    let before = Pair { block: block(chain, ASKED - 1, true), receipts: receipts(chain, ASKED - 1) };
    Elsewhere { before, lower: block(chain, ASKED - 2, false) }
}

/// Calls and true results that such a lie can be told of.
fn questions(tells: Tells, chain: &GeneratedChain) -> Vec<(&'static str, Value, Value)> {
    let (number, hash) = (json!("0x3eb"), json!(chain.header(ASKED).hash()));
    let header = |place| block(chain, place, false);
    let pair = |method, name: Value| {
        vec![
            (method, json!([name, true]), block(chain, ASKED, true)),
            ("eth_getBlockReceipts", json!([name]), receipts(chain, ASKED)),
        ]
    };
    match tells {
        Tells::Block(_) | Tells::Batch(_) | Tells::Text(_) => pair("eth_getBlockByNumber", number),
        Tells::Endless | Tells::Coded(_) | Tells::Bomb => pair("eth_getBlockByNumber", number),
        Tells::BlockByHash(_) => pair("eth_getBlockByHash", hash),
        Tells::HeaderByHash(_) => vec![("eth_getBlockByHash", json!([hash, false]), header(ASKED))],
        Tells::Tag(..) => ["latest", "safe", "finalized"]
            .into_iter()
            .zip((0..=ASKED).rev())
            .map(|(tag, place)| ("eth_getBlockByNumber", json!([tag, false]), header(place)))
            .collect(),
        Tells::ChainId => vec![("eth_chainId", json!([]), json!("0x8f"))],
    }
}

/// Request and answer of one body.
fn exchange_of(questions: Vec<(&str, Value, Value)>) -> (Vec<u8>, Vec<u8>) {
    let (mut calls, mut frames) = (Vec::new(), Vec::new());
    for (id, (method, params, result)) in questions.into_iter().enumerate() {
        calls.push(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        frames.push(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    }
    let body = |mut list: Vec<Value>| match list.len() {
        1 => list.remove(0).to_string().into_bytes(),
        _ => Value::Array(list).to_string().into_bytes(),
    };
    (body(calls), body(frames))
}

/// What is said in place of the truth about the chain, if the lie can be told.
fn lie(kind: &LieKind, chain: &GeneratedChain) -> Option<(Vec<u8>, Reply)> {
    let (request, truth) = exchange_of(questions(kind.tells, chain));
    let exchange = Exchange::read(&request, &truth).unwrap();
    let subject = exchange.subject(kind.tells).unwrap_or_else(|| panic!("{} has nothing to be about", kind.name));
    match kind.tells {
        Tells::Batch(_) | Tells::Text(_) | Tells::ChainId => assert_eq!(subject, Subject::Frames),
        Tells::Endless | Tells::Coded(_) | Tells::Bomb => assert_eq!(subject, Subject::Frames),
        Tells::Block(_) | Tells::BlockByHash(_) | Tells::HeaderByHash(_) | Tells::Tag(..) => {
            assert_eq!(subject, Subject::Block(1003), "{}", kind.name);
        }
    }
    let lie = exchange.alter(kind.tells, &truth, &elsewhere(chain))?;
    assert!(lie.is_told);
    Some((truth, lie.reply))
}

fn kind(name: &str) -> &'static LieKind {
    kinds().into_iter().find(|kind| kind.name == name).unwrap()
}

/// The result of the call at `place` in a body.
fn result(body: &[u8], place: usize) -> Value {
    serde_json::from_slice::<Value>(body).unwrap()[place]["result"].take()
}

#[test]
fn every_kind_alters_what_it_is_about() {
    let (kinds, chain) = (kinds(), chain(20));
    assert!(kinds.len() >= 84);
    for kind in kinds {
        let (truth, reply) = lie(kind, &chain).unwrap_or_else(|| panic!("{} has nothing to alter", kind.name));
        match reply {
            Reply::Body(body) => assert!(body != truth, "{}", kind.name),
            Reply::Coded(body, Coding::Gzip) => assert!(body.len() < 1 << 20, "{}: {}", kind.name, body.len()),
            Reply::Coded(body, coding) => assert_eq!(body == truth, coding != Coding::CutGzip, "{}", kind.name),
            Reply::Endless => assert!(matches!(kind.tells, Tells::Endless)),
            Reply::Close => panic!("{} is not told", kind.name),
        }
    }
}

#[test]
fn names_are_not_used_twice() {
    let mut names: Vec<&str> = kinds().iter().map(|kind| kind.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn no_kind_is_about_what_it_does_not_know() {
    for kind in kinds() {
        let others = vec![("eth_getLogs", json!([{}]), json!([])), ("eth_blockNumber", json!([]), json!("0x3eb"))];
        let (request, truth) = exchange_of(others);
        let exchange = Exchange::read(&request, &truth).unwrap();
        assert_eq!(exchange.subject(kind.tells), None, "{}", kind.name);
        // What is not there cannot be altered.
        let asked = questions(kind.tells, &chain(1)).into_iter();
        let (request, truth) = exchange_of(asked.map(|(method, params, _)| (method, params, Value::Null)).collect());
        let subject = Exchange::read(&request, &truth).unwrap().subject(kind.tells);
        let is_about_the_form = matches!(kind.tells, Tells::Endless | Tells::Coded(_) | Tells::Bomb | Tells::ChainId);
        assert_eq!(subject.is_some(), is_about_the_form, "{}", kind.name);
    }
}

#[test]
fn a_block_without_transactions_gives_no_occasion_to_lie_about_them() {
    let empty = chain(0);
    let told = kinds().into_iter().filter(|kind| lie(kind, &empty).is_some());
    let told: Vec<&str> = told.map(|kind| kind.name).collect();
    let about_them = ["missing_transaction", "another_value", "no_receipts", "dropped_log", "answered_twice"];
    for name in about_them.into_iter().chain(["another_sender", "another_price", "unsigned_fields"]) {
        assert!(!told.contains(&name), "{name}");
    }
    for name in ["null_block", "another_field", "wrong_parent", "web_page", "stale_tip"] {
        assert!(told.contains(&name), "{name}");
    }
}

#[test]
fn where_the_hash_is_made_to_fit_it_fits_everywhere() {
    let chain = chain(20);
    let names = ["wrong_parent", "another_bloom", "another_header_gas", "another_receipts_root", "another_fork"];
    for name in names.into_iter().chain(["timestamp_of_2_to_the_40"]) {
        let Some((_, Reply::Body(body))) = lie(kind(name), &chain) else { panic!("{name} is not told") };
        let (block, receipts) = (result(&body, 0), result(&body, 1));
        let header: Header = serde_json::from_value(block.clone()).unwrap();
        assert_eq!(block["hash"], json!(header.hash_slow()), "{name}");
        assert_ne!(block["hash"], json!(chain.header(ASKED).hash()), "{name}");
        let transactions = block["transactions"].as_array().unwrap().iter();
        let logs = receipts.as_array().unwrap().iter().flat_map(|receipt| receipt["logs"].as_array().unwrap());
        for object in transactions.chain(receipts.as_array().unwrap()).chain(logs) {
            assert_eq!(object["blockHash"], block["hash"], "{name}");
        }
    }
}

#[test]
fn logs_that_are_doubled_or_moved_are_numbered_without_a_gap() {
    let chain = chain(20);
    for (name, is_longer) in [("doubled_logs", true), ("moved_log", false)] {
        let Some((truth, Reply::Body(body))) = lie(kind(name), &chain) else { panic!("{name} is not told") };
        let indexes = |body: &[u8]| -> Vec<Value> {
            let receipts = result(body, 1);
            let logs = receipts.as_array().unwrap().iter().flat_map(|receipt| receipt["logs"].as_array().unwrap());
            logs.map(|log| log["logIndex"].clone()).collect()
        };
        let found = indexes(&body);
        let expected: Vec<Value> = (0..found.len()).map(|index| json!(format!("{index:#x}"))).collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(found.len() > indexes(&truth).len(), is_longer, "{name}");
    }
}

#[test]
fn a_power_of_two_is_the_least_number_of_its_length() {
    for bits in [40, 64, 120, 127] {
        let mut value = json!("0x5");
        assert!(power_of_two(&mut value, bits));
        let digits = value.as_str().unwrap().trim_start_matches("0x").to_owned();
        assert_eq!(u128::from_str_radix(&digits, 16).unwrap(), 1 << bits, "{bits}");
    }
}

#[test]
fn what_is_hidden_behind_a_field_does_not_hash_to_its_hash_and_what_has_one_more_does() {
    let chain = chain(20);
    for (name, fits) in [("added_header_field", true), ("unknown_header_field", false)] {
        let Some((_, Reply::Body(body))) = lie(kind(name), &chain) else { panic!("{name} is not told") };
        let block = result(&body, 0);
        let header: Header = serde_json::from_value(block.clone()).unwrap();
        assert!(block["extraRoot"].is_string(), "{name}");
        assert_eq!(block["hash"] == json!(header.hash_slow()), fits, "{name}");
    }
}

#[test]
fn a_connection_breaks_before_another_chain_is_told() {
    let chain = chain(1);
    let (request, truth) = exchange_of(questions(kind("no_tip").tells, &chain));
    let exchange = Exchange::read(&request, &truth).unwrap();
    let lie = exchange.alter(kind("wrong_chain_id").tells, &truth, &Elsewhere::default()).unwrap();
    assert!(!lie.is_told && matches!(lie.reply, Reply::Close));
}
