//! Lies in the form of an answer, whatever it says.

use serde_json::{Value, json};

use super::kind::{LieKind, Tells};
use super::values::items;
use crate::tape::Coding;

/// Their table.
pub(super) static KINDS: &[LieKind] = &[
    LieKind::new("batch_out_of_order", Tells::Batch(batch_out_of_order)),
    LieKind::new("short_batch", Tells::Batch(|list| list.as_array_mut().is_some_and(|frames| frames.pop().is_some()))),
    LieKind::new("wrong_ids", Tells::Batch(wrong_ids)),
    LieKind::new("swapped_ids", Tells::Batch(swapped_ids)),
    LieKind::new("answered_twice", Tells::Batch(answered_twice)),
    LieKind::new("one_answer_for_all", Tells::Batch(one_answer_for_all)),
    LieKind::new("error_inside_a_batch", Tells::Batch(error_inside_a_batch)),
    LieKind::new("web_page", Tells::Text(|_| Some("<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned()))),
    LieKind::new("cut_json", Tells::Text(|text| text.get(..text.len() / 2).map(str::to_owned))),
    LieKind::new("empty_body", Tells::Text(|_| Some(String::new()))),
    LieKind::new("doubled_key", Tells::Text(|text| doubled(text, r#""gasUsed":"#, r#""0x0","#))),
    LieKind::new("doubled_result", Tells::Text(|text| doubled(text, r#""result":"#, "null,"))),
    LieKind::new("endless_body", Tells::Endless),
    LieKind::new("cut_gzip", Tells::Coded(Coding::CutGzip)),
    LieKind::new("false_gzip", Tells::Coded(Coding::FalseGzip)),
    LieKind::new("unknown_coding", Tells::Coded(Coding::Unknown)),
    LieKind::new("gzip_bomb", Tells::Bomb),
    LieKind::new("wrong_chain_id", Tells::ChainId).in_company(),
];

/// The right answers, the last one first.
fn batch_out_of_order(list: &mut Value) -> bool {
    let frames = items(list);
    frames.reverse();
    frames.len() > 1
}

/// Answers to calls that nobody made.
fn wrong_ids(list: &mut Value) -> bool {
    let frames = items(list);
    for frame in frames.iter_mut() {
        frame["id"] = json!(frame["id"].as_u64().map(|id| id + 1000));
    }
    !frames.is_empty()
}

/// The first answer stands for the last one, and the other way round. Of answers of one kind, as the ends of the chain are,
/// this may say nothing that a node that is behind would not say.
fn swapped_ids(list: &mut Value) -> bool {
    match items(list) {
        [first, .., last] if first["result"].is_array() != last["result"].is_array() => {
            std::mem::swap(&mut first["id"], &mut last["id"]);
            true
        }
        _ => false,
    }
}

/// After the right answer to the last call comes an empty one.
fn answered_twice(list: &mut Value) -> bool {
    let Some(frames) = list.as_array_mut() else { return false };
    let says_something = |frame: &&Value| frame["result"].as_array().is_some_and(|list| !list.is_empty());
    let Some(last) = frames.last().filter(says_something) else { return false };
    let second = json!({ "jsonrpc": "2.0", "id": last["id"], "result": [] });
    frames.push(second);
    true
}

fn one_answer_for_all(list: &mut Value) -> bool {
    let Some(first) = items(list).first_mut().map(Value::take) else { return false };
    *list = first;
    true
}

fn error_inside_a_batch(list: &mut Value) -> bool {
    let Some(last) = items(list).last_mut() else { return false };
    let error = json!({ "code": -32_000, "message": "header is odd" });
    *last = json!({ "jsonrpc": "2.0", "id": last["id"], "error": error });
    true
}

/// The text with a `key` twice, first with another value.
fn doubled(text: &str, key: &str, other: &str) -> Option<String> {
    text.contains(key).then(|| text.replacen(key, &format!("{key}{other}{key}"), 1))
}
