//! Answers of an endpoint that are none: broken JSON, other types, numbers beyond all bounds, bodies in gzip that become
//! gigabytes, lengths that are promised. Each is an error with a stable code, or does no harm.
//!
//! The door is [`ChainClient::fetch`], over HTTP: frames, decoding and all checks of a block.

use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use isotherm_chain::{Answer, ChainClient, ChainError, Limits, RpcUrl};
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Json, Judge, Refusals, Verdict};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Classified as _, Disposition, SystemClock};
use serde_json::Value;

use crate::endpoint::{self, Endpoint};

const CHAIN_ID: u64 = 143;
const NUMBER: u64 = 7;
/// What a chain's profile has if it says nothing else.
const ANSWER_BYTES: usize = 32 << 20;

const WORDS: [&str; 30] = [
    "\"jsonrpc\":\"2.0\"",
    "\"id\":",
    "\"result\":",
    "\"error\":",
    "{\"code\":-32000,\"message\":\"a\"}",
    "{\"code\":-32005}",
    "null",
    "0x",
    "0x0",
    "0xffffffffffffffffffff",
    "\"0x\"",
    "\"hash\":",
    "\"number\":",
    "\"transactions\":[",
    "\"logs\":[",
    "\"topics\":[",
    "\"logsBloom\":",
    "\"blobGasUsed\":",
    "\"type\":\"0x7f\"",
    "\"authorizationList\":[",
    "\"accessList\":[",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "<html>",
    "\\u0000",
];

#[tokio::test]
async fn experiment_malformed_answers() {
    let mut experiment = Experiment::begin("malformed_answers", &["limit"]);
    let answer_bytes = if experiment.lacks("limit") { 1 << 30 } else { ANSWER_BYTES };
    let chain = GeneratedChain::new(&ChainPlan {
        seed: 1,
        chain_id: CHAIN_ID,
        first_number: NUMBER,
        block_count: 1,
        transactions_per_block: 6,
        body_count: 1,
        first_timestamp: 1_750_000_000,
        block_time_ms: 300,
    });
    let (good, hash) = (chain.batch_answer(0..1), chain.header(0).hash());
    let endpoint = Endpoint::start(CHAIN_ID).await;
    endpoint.answer(endpoint::Answer::of(good.clone()));
    assert_eq!(fetch(&endpoint, answer_bytes, hash).await, Verdict::Taken);

    let tree: Value = serde_json::from_slice(&good).unwrap();
    let (shapes, bytes) = (Json::new([tree]), Bytes::new([good], &WORDS, 256 << 10));
    let mut random = experiment.random(1);
    let count = experiment.scaled(200, 10_000);
    let mut judge = Judge::new(Refusals::MayPass);
    for place in 0..count {
        let body = match place % 2 {
            0 => shapes.draw_text(&mut random).into_bytes(),
            _ => bytes.draw(&mut random),
        };
        let answer = dressed(place, body);
        let shown = answer.body.clone();
        endpoint.answer(answer);
        judge.watch_async(&shown, fetch(&endpoint, answer_bytes, hash)).await;
    }
    let bombs = bombs();
    let inputs = count + bombs.len();
    for answer in bombs {
        let shown = answer.body[..answer.body.len().min(300)].to_vec();
        endpoint.answer(answer);
        judge.watch_async(&shown, fetch(&endpoint, answer_bytes, hash)).await;
    }
    judge.report(&mut experiment, i64::try_from(inputs).unwrap());
    experiment.finish();
}

/// The body as it is, in gzip, in gzip that is none, or under another status; each in its turn.
fn dressed(place: usize, body: Vec<u8>) -> endpoint::Answer {
    match place % 10 {
        5 => endpoint::Answer { coding: Some("gzip"), ..endpoint::Answer::of(gzip(&body)) },
        6 => endpoint::Answer { coding: Some("gzip"), ..endpoint::Answer::of(body) },
        7 => endpoint::Answer { coding: Some("br"), ..endpoint::Answer::of(body) },
        8 => endpoint::Answer { status: 400, ..endpoint::Answer::of(body) },
        _ => endpoint::Answer::of(body),
    }
}

/// Few bytes that would become many.
fn bombs() -> Vec<endpoint::Answer> {
    // Members of gzip one after the other are one text.
    let spaces = gzip(&vec![b' '; 1 << 20]).repeat(400);
    let frames = gzip(format!("[{}", "{},".repeat(8 << 20)).as_bytes());
    let deep = format!(r#"[{{"id":0,"result":{}"#, "[".repeat(1 << 20)).into_bytes();
    vec![
        endpoint::Answer { coding: Some("gzip"), ..endpoint::Answer::of(spaces) },
        endpoint::Answer { coding: Some("gzip"), ..endpoint::Answer::of(frames) },
        endpoint::Answer { length: Some(1 << 40), ..endpoint::Answer::of(b"[".to_vec()) },
        endpoint::Answer::of(deep),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a client makes of the answer that knows nothing of those before. Whatever is there must be the chain's own block.
async fn fetch(endpoint: &Endpoint, answer_bytes: usize, hash: B256) -> Verdict {
    let limits = Limits { attempts: 1, answer_bytes, request_timeout: Duration::from_secs(30), ..Limits::default() };
    let urls = vec![RpcUrl::parse(&endpoint.url).unwrap()];
    let client = match ChainClient::connect(urls, ChainId(CHAIN_ID), limits, Arc::new(SystemClock)).await {
        Ok(client) => client,
        Err(error) => return Verdict::Broken(format!("the chain's id is not read: {error}")),
    };
    match client.fetch(BlockRange::single(BlockNumber(NUMBER))).await {
        Answer::Present(blocks) if blocks.iter().all(|block| block.block().reference.hash == hash) => Verdict::Taken,
        Answer::Present(_) => Verdict::Broken("another block is believed".to_owned()),
        // As of a chain that has no such block.
        Answer::Absent => Verdict::Outside,
        Answer::Failed(ChainError::Interrupted) => Verdict::Broken("the reading of it panicked".to_owned()),
        Answer::Failed(error) => {
            let is_passing = error.disposition() != Disposition::GiveUp;
            Verdict::Refused { code: error.code().to_owned(), is_passing }
        }
        Answer::Lying(lie) => Verdict::Refused { code: lie.code().to_owned(), is_passing: true },
    }
}
