use alloy::consensus::Header;
use alloy::primitives::{B256, address};
use chrono::DateTime;
use isotherm_types::BlockNumber;
use serde_json::{Value, json};

use super::*;
use crate::block::UnknownFields;

const FROM: &str = "0x0000000000000000000000000000000000000001";
const TO: &str = "0x0000000000000000000000000000000000000002";
const INNER: &str = "0x0000000000000000000000000000000000000003";
const OTHER: &str = "0x00000000000000000000000000000000000000ff";

fn hash(number: u8) -> B256 {
    B256::with_last_byte(number)
}

/// A block with a call, and a creation that failed.
fn block() -> FetchedBlock {
    let transactions = json!([
        {"hash": hash(1), "nonce": "0x0", "from": FROM, "to": TO, "value": "0x5", "input": "0xabcd", "gas": "0x186a0",
         "r": "0x0", "s": "0x0"},
        {"hash": hash(2), "nonce": "0x1", "from": FROM, "value": "0x0", "input": "0xfe", "gas": "0x30d40",
         "r": "0x0", "s": "0x0"},
    ]);
    let receipt = |index: u8, gas_used: &str| {
        json!({"transactionHash": hash(index + 1), "transactionIndex": format!("{index:#x}"), "blockHash": hash(9),
               "cumulativeGasUsed": "0x0", "gasUsed": gas_used, "logs": []})
    };
    FetchedBlock {
        reference: BlockRef { number: BlockNumber(7), hash: hash(9) },
        header: Header::default(),
        transactions: serde_json::from_value(transactions).unwrap(),
        receipts: serde_json::from_value(json!([receipt(0, "0xc350"), receipt(1, "0x30d40")])).unwrap(),
        unknown_fields: UnknownFields::default(),
        served_at: DateTime::UNIX_EPOCH,
        size_bytes: 0,
    }
}

/// What `trace_block` says of it.
fn flat() -> Value {
    let trace = |index: u64, path: Value, fields: Value| {
        let mut trace = json!({"blockHash": hash(9), "blockNumber": 7, "transactionPosition": index,
            "transactionHash": hash(u8::try_from(index).unwrap() + 1), "traceAddress": path});
        trace.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        trace
    };
    let call = |from: &str, to: &str, value: &str, input: &str, call_type: &str| json!({"from": from, "to": to, "value": value, "gas": "0x186a0", "input": input, "callType": call_type});
    json!([
        trace(
            0,
            json!([]),
            json!({"type": "call", "subtraces": 2, "action": call(FROM, TO, "0x5", "0xabcd", "call"),
            "result": {"gasUsed": "0xc350", "output": "0x01"}})
        ),
        trace(
            0,
            json!([0]),
            json!({"type": "call", "subtraces": 1, "error": "Reverted",
            "action": call(TO, INNER, "0x0", "0x", "staticcall"), "result": {"gasUsed": "0x7", "output": "0x02"}})
        ),
        trace(
            0,
            json!([0, 0]),
            json!({"type": "call", "subtraces": 0, "error": "Out of gas",
            "action": call(INNER, OTHER, "0x5", "0x", "delegatecall"), "result": null})
        ),
        trace(
            0,
            json!([1]),
            json!({"type": "suicide", "subtraces": 0,
            "action": {"address": TO, "refundAddress": FROM, "balance": "0x9"}, "result": null})
        ),
        trace(
            1,
            json!([]),
            json!({"type": "create", "subtraces": 0, "error": "Bad instruction",
            "action": {"from": FROM, "value": "0x0", "gas": "0x30d40", "init": "0xfe", "creationMethod": "create"}})
        ),
    ])
}

/// What `debug_traceBlockByHash` says of it; the gas of the top frames is not what it must be.
fn nested() -> Value {
    json!([
        {"txHash": hash(1), "result": {
            "type": "CALL", "from": FROM, "to": TO, "value": "0x5", "gas": "0x1", "gasUsed": "0x2", "input": "0xabcd",
            "output": "0x01", "calls": [
                {"type": "STATICCALL", "from": TO, "to": INNER, "gas": "0x186a0", "gasUsed": "0x7", "input": "0x",
                 "output": "0x02", "error": "execution reverted", "revertReason": "why", "calls": [
                    {"type": "DELEGATECALL", "from": INNER, "to": OTHER, "value": "0x5", "gas": "0x186a0",
                     "gasUsed": "0x8", "input": "0x", "error": "out of gas: not enough gas for reentrancy sentry"}]},
                {"type": "SELFDESTRUCT", "from": TO, "to": FROM, "value": "0x9", "gas": "0x0", "gasUsed": "0x0",
                 "input": "0x"}]}},
        {"txHash": hash(2), "result": {
            "type": "CREATE", "from": FROM, "value": "0x0", "gas": "0x1", "gasUsed": "0x2", "input": "0xfe",
            "error": "invalid opcode: INVALID"}},
    ])
}

fn read_value(method: TraceMethod, answer: &Value) -> Result<BlockTraces, Untraced> {
    read_of(&block(), method, answer)
}

fn read_of(block: &FetchedBlock, method: TraceMethod, answer: &Value) -> Result<BlockTraces, Untraced> {
    read(block, &Verdict::Ok, method, &serde_json::value::to_raw_value(answer).unwrap())
}

/// Whether it is refused, and as what.
fn refusal(method: TraceMethod, answer: &Value) -> String {
    match read_value(method, answer).unwrap_err() {
        Untraced::Json(_) => "json".to_owned(),
        Untraced::Replaced => "replaced".to_owned(),
        Untraced::Bad(problem) => {
            assert_eq!(problem.block(), block().reference);
            problem.code().to_owned()
        }
    }
}

#[test]
fn both_methods_give_the_same_traces() {
    let from_flat = read_value(TraceMethod::TraceBlock, &flat()).unwrap();
    let from_nested = read_value(TraceMethod::DebugTraceBlock, &nested()).unwrap();
    assert_eq!(from_flat.traces(), from_nested.traces());
    let expected = Trace {
        transaction_index: Some(0),
        trace_address: vec![0],
        subtraces: 1,
        action: Action::Call {
            from: address!("0000000000000000000000000000000000000002"),
            to: address!("0000000000000000000000000000000000000003"),
            value: U256::ZERO,
            gas: 100_000,
            input: Bytes::new(),
            call_type: CallType::StaticCall,
        },
        outcome: Some(Outcome::Returned { gas_used: 7, output: Bytes::from_static(&[2]) }),
        error: Some("Reverted".to_owned()),
    };
    assert_eq!(from_flat.traces()[1], expected);
}

/// A flat trace of proof of work.
fn reward() -> Value {
    json!({"type": "reward", "subtraces": 0, "traceAddress": [], "blockHash": hash(9), "blockNumber": 7,
        "action": {"author": FROM, "value": "0x1", "rewardType": "uncle"}, "result": null})
}

#[test]
fn flat_traces_come_in_the_order_of_execution_whatever_the_node_does_and_rewards_come_last() {
    let mut mined = block();
    mined.header.difficulty = U256::from(1);
    let mut answer = flat();
    answer.as_array_mut().unwrap().insert(0, reward());
    answer.as_array_mut().unwrap()[1..].reverse();
    let found = read_of(&mined, TraceMethod::TraceBlock, &answer).unwrap();
    let (reward, others) = found.traces().split_last().unwrap();
    assert_eq!(others, read_value(TraceMethod::TraceBlock, &flat()).unwrap().traces());
    assert_eq!((reward.transaction_index, reward.outcome.is_none()), (None, true));
    assert!(matches!(reward.action, Action::Reward { reward_type: RewardType::Uncle, .. }));

    let of_no_work = read_value(TraceMethod::TraceBlock, &answer).unwrap();
    assert_eq!(of_no_work.traces(), others, "nobody is rewarded with proof of stake");
}

type Lie = fn(&mut Value);

#[test]
fn each_untrue_flat_answer_is_found_and_named() {
    let lies: &[(&str, Lie)] = &[
        ("replaced", |answer| *answer = json!([])),
        ("chain.bad_trace_count", |answer| drop(answer.as_array_mut().unwrap().pop())),
        ("chain.bad_trace_count", |answer| drop(answer.as_array_mut().unwrap().remove(0))),
        ("chain.bad_trace_block", |answer| answer[2]["blockHash"] = json!(hash(8))),
        ("replaced", |answer| {
            answer.as_array_mut().unwrap().iter_mut().for_each(|trace| trace["blockHash"] = json!(hash(8)));
        }),
        ("chain.bad_trace_place", |answer| answer[4]["transactionHash"] = json!(hash(1))),
        ("chain.bad_trace_place", |answer| answer[4]["transactionHash"] = Value::Null),
        ("chain.bad_trace_place", |answer| answer[4]["transactionPosition"] = json!(2)),
        ("chain.bad_trace_place", |answer| answer[4]["transactionPosition"] = Value::Null),
        ("chain.bad_trace_place", |answer| answer[2]["traceAddress"] = json!([0])),
        ("chain.bad_trace_place", |answer| answer[1]["traceAddress"] = json!([])),
        ("chain.bad_top_frame", |answer| answer[0]["action"]["from"] = json!(OTHER)),
        ("chain.bad_top_frame", |answer| answer[0]["action"]["to"] = json!(OTHER)),
        ("chain.bad_top_frame", |answer| answer[0]["action"]["value"] = json!("0x6")),
        ("chain.bad_top_frame", |answer| answer[0]["action"]["input"] = json!("0xabce")),
        ("chain.bad_top_frame", |answer| answer[4]["action"]["init"] = json!("0x")),
        ("chain.bad_top_frame", |answer| {
            answer[0]["traceAddress"] = json!([2]);
            answer[3]["traceAddress"] = json!([]);
        }),
        ("json", |answer| *answer = Value::Null),
        ("json", |answer| answer[2]["type"] = json!("dance")),
        ("json", |answer| answer[2]["action"]["gas"] = Value::Null),
        ("json", |answer| answer[2]["action"]["gas"] = json!("0x8000000000000000")),
        ("json", |answer| answer[1]["result"]["gasUsed"] = json!("0x10000000000000000")),
        ("json", |answer| answer[2]["error"] = json!("a\0b")),
        ("json", |answer| answer[2]["traceAddress"] = json!(vec![0; cut::LONGEST_PATH + 1])),
    ];
    for (place, (name, lie)) in lies.iter().enumerate() {
        let mut answer = flat();
        lie(&mut answer);
        assert_eq!(refusal(TraceMethod::TraceBlock, &answer), *name, "case {place}");
    }
}

#[test]
fn a_long_error_is_cut() {
    let mut answer = flat();
    answer[1]["error"] = json!(format!("x{}", "é".repeat(3_000)));
    answer[2]["traceAddress"] = json!(vec![0; cut::LONGEST_PATH]);
    let found = read_value(TraceMethod::TraceBlock, &answer).unwrap();
    let kept = format!("x{}", "é".repeat(2_047));
    assert_eq!(found.traces()[1].error.as_ref(), Some(&kept), "4,096 bytes would end inside a letter");
    assert_eq!(found.traces()[2].trace_address.len(), cut::LONGEST_PATH, "a path may be as long as the calls are deep");
}

#[test]
fn each_untrue_nested_answer_is_found_and_named() {
    let lies: &[(&str, Lie)] = &[
        ("replaced", |answer| *answer = json!([])),
        ("chain.bad_trace_count", |answer| drop(answer.as_array_mut().unwrap().pop())),
        ("chain.bad_trace_place", |answer| answer[1]["txHash"] = json!(hash(1))),
        ("chain.bad_trace_place", |answer| answer.as_array_mut().unwrap().swap(0, 1)),
        ("chain.bad_top_frame", |answer| answer[0]["result"]["from"] = json!(OTHER)),
        ("chain.bad_top_frame", |answer| answer[0]["result"]["to"] = json!(OTHER)),
        ("chain.bad_top_frame", |answer| answer[0]["result"]["type"] = json!("CREATE")),
        ("chain.bad_top_frame", |answer| answer[0]["result"]["type"] = json!("SELFDESTRUCT")),
        ("chain.bad_top_frame", |answer| answer[0]["result"]["value"] = json!("0x6")),
        ("chain.bad_top_frame", |answer| answer[1]["result"]["input"] = json!("0x")),
        ("json", |answer| answer[0]["result"] = Value::Null),
        ("json", |answer| answer[0]["result"]["calls"] = json!(2)),
        ("json", |answer| answer[0]["result"]["calls"][0]["to"] = Value::Null),
        ("json", |answer| answer[0]["result"]["calls"][0]["type"] = json!("DANCE")),
        ("json", |answer| answer[0]["result"]["calls"][0]["calls"][0]["gas"] = json!("0x8000000000000000")),
    ];
    for (place, (name, lie)) in lies.iter().enumerate() {
        let mut answer = nested();
        lie(&mut answer);
        assert_eq!(refusal(TraceMethod::DebugTraceBlock, &answer), *name, "case {place}");
    }
}

#[test]
fn more_entries_than_transactions_are_counted_and_not_kept() {
    let answer = |count: usize| RawValue::from_string(format!("[{}]", vec!["{}"; count].join(","))).unwrap();
    let many = answer(100_000);
    let (kept, count) = nested::entries(&many, 2).unwrap();
    assert_eq!((kept.len(), kept.capacity() < 10, count), (2, true, 100_000));
    for count in 0..3 {
        let answer = answer(count);
        let (kept, found) = nested::entries(&answer, 2).unwrap();
        assert_eq!((kept.len(), found), (count, count));
    }
    match read(&block(), &Verdict::Ok, TraceMethod::DebugTraceBlock, &many).unwrap_err() {
        Untraced::Bad(problem) => {
            let block = block().reference;
            assert_eq!(*problem, BadBlock::TraceCount { block, transactions: 2, traced: 100_000 });
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_without_transactions_may_have_no_traces() {
    let mut empty = block();
    (empty.transactions, empty.receipts) = (Vec::new(), Vec::new());
    let nothing = RawValue::from_string("[]".to_owned()).unwrap();
    for method in [TraceMethod::TraceBlock, TraceMethod::DebugTraceBlock] {
        assert!(read(&empty, &Verdict::Ok, method, &nothing).unwrap().traces().is_empty());
    }
}

#[test]
fn a_sender_that_was_not_recovered_is_not_held_against_the_traces() {
    let not_recovered = Verdict::NotVerifiable("the profile says so".to_owned());
    let mut flat = flat();
    flat[0]["action"]["from"] = json!(OTHER);
    let mut nested = nested();
    nested[0]["result"]["from"] = json!(OTHER);
    for (method, mut answer, to) in
        [(TraceMethod::TraceBlock, flat, "/0/action/to"), (TraceMethod::DebugTraceBlock, nested, "/0/result/to")]
    {
        let read_with = |sender: &Verdict, answer: &Value| {
            read(&block(), sender, method, &serde_json::value::to_raw_value(answer).unwrap())
        };
        assert_eq!(refusal(method, &answer), "chain.bad_top_frame");
        assert_eq!(read_with(&not_recovered, &answer).unwrap().traces().len(), 5);
        *answer.pointer_mut(to).unwrap() = json!(OTHER);
        let Err(Untraced::Bad(problem)) = read_with(&not_recovered, &answer) else { panic!("it was read") };
        assert!(matches!(*problem, BadBlock::TopFrame { field: "recipient", .. }), "{problem}");
    }
}

#[test]
fn a_transaction_that_the_node_could_not_trace_is_no_lie() {
    let mut answer = nested();
    answer[1] = json!({"txHash": hash(2), "error": "Resource not found"});
    let Err(Untraced::Json(error)) = read_value(TraceMethod::DebugTraceBlock, &answer) else { panic!("it was read") };
    assert_eq!(error.to_string(), "transaction 1 was not traced: Resource not found");
}

#[test]
fn calls_as_deep_as_the_evm_allows_are_read() {
    let frame = format!(r#"{{"type":"CALL","from":"{TO}","to":"{TO}","gas":"0x1","gasUsed":"0x1","input":"0x""#);
    let calls = format!("{}{frame}}}{}", format!(r#"{frame},"calls":["#).repeat(1023), "]}".repeat(1023));
    let mut answer = nested();
    answer[0]["result"]["calls"] = json!(["HERE"]);
    let answer: Box<RawValue> = serde_json::from_str(&answer.to_string().replace(r#""HERE""#, &calls)).unwrap();
    let found = read(&block(), &Verdict::Ok, TraceMethod::DebugTraceBlock, &answer).unwrap();
    let depths: Vec<usize> = found.traces().iter().map(|trace| trace.trace_address.len()).collect();
    assert_eq!(depths, (0..=1024).chain([0]).collect::<Vec<_>>());
}

#[test]
fn calls_that_stand_twice_are_refused() {
    let doubled = nested().to_string().replacen(r#""calls":["#, r#""calls":[],"calls":["#, 1);
    let answer: Box<RawValue> = serde_json::from_str(&doubled).unwrap();
    assert!(matches!(read(&block(), &Verdict::Ok, TraceMethod::DebugTraceBlock, &answer), Err(Untraced::Json(_))));
}

#[test]
fn only_a_block_that_may_have_traces_is_asked_about() {
    let mut empty = block();
    empty.transactions.clear();
    let methods = [TraceMethod::TraceBlock, TraceMethod::DebugTraceBlock, TraceMethod::None];
    let asked = |block: &FetchedBlock| methods.map(|method| method.asks_about(block));
    assert_eq!(asked(&block()), [true, true, false]);
    assert_eq!(asked(&empty), [false, false, false]);
    empty.header.difficulty = U256::from(1);
    assert_eq!(asked(&empty), [true, false, false], "there may be rewards");
    empty.reference.number = BlockNumber(0);
    assert_eq!(asked(&empty), [false, false, false], "nobody mined the genesis block");
}
