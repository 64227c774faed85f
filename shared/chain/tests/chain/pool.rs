//! Several endpoints of one chain: who is asked when one dies, lags, hangs, lies or comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy::hex;
use chrono::{DateTime, Utc};
use isotherm_chain::{Answer, ChainClient, Evidence, Finality, HealthState, Limits, RpcUrl};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::{Fault, FaultRule, Tape, TapeServer};
use isotherm_types::disposition::Classified as _;
use isotherm_types::{BlockNumber, ChainId, Clock, SystemClock};
use serde_json::{Value, json};

use crate::misbehaviour::{all, numbers, record, short_receipts};

/// Nothing is final by depth in these tests: the newest block is all that is asked for.
pub(crate) const FINALITY: Finality = Finality::Depth { blocks: 1000 };

/// The headers of a real chain's blocks.
pub(crate) async fn headers(block_count: u64) -> Vec<Value> {
    let chain = Anvil::start(AnvilOptions { chain_id: 143, ..AnvilOptions::deterministic() }).await.unwrap();
    chain.mine(block_count).await.unwrap();
    let mut headers = Vec::new();
    for number in 0..=block_count {
        headers.push(chain.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await.unwrap());
    }
    headers
}

/// An endpoint that has nothing to show but its chain and, once it is told, its newest block.
pub(crate) async fn endpoint(newest: &Value) -> TapeServer {
    let mut tape = Tape::default();
    tape.set("eth_chainId", &json!([]), json!("0x8f"));
    let server = TapeServer::start(tape).await.unwrap();
    show(&server, newest);
    server
}

pub(crate) fn show(server: &TapeServer, newest: &Value) {
    server.set("eth_getBlockByNumber", &json!(["latest", false]), newest.clone());
}

pub(crate) async fn connect(urls: &[&str], limits: Limits) -> ChainClient {
    let urls = urls.iter().map(|url| RpcUrl::parse(url).unwrap()).collect();
    ChainClient::connect(urls, ChainId(143), limits, Arc::new(SystemClock)).await.unwrap()
}

/// Limits under which the others are looked at as soon as a block is no longer new.
fn watchful() -> Limits {
    Limits { block_time: Duration::from_millis(1), ..Limits::default() }
}

/// The newest block, which somebody must be able to tell.
pub(crate) async fn newest(client: &ChainClient) -> u64 {
    client.heads(FINALITY).await.unwrap().latest.reference.number.0
}

pub(crate) fn words(client: &ChainClient) -> Vec<&'static str> {
    client.health().iter().map(|health| health.state.word()).collect()
}

#[tokio::test]
async fn an_endpoint_that_dies_and_one_that_lags_are_left_within_two_blocks() {
    let headers = headers(20).await;
    let mut dying = Some(endpoint(&headers[2]).await);
    let (lagging, steady) = (endpoint(&headers[2]).await, endpoint(&headers[2]).await);
    let dying_url = dying.as_ref().unwrap().url().to_owned();
    let client = connect(&[&dying_url, lagging.url(), steady.url()], watchful()).await;
    assert_eq!(newest(&client).await, 2);
    for number in 3..=16usize {
        if number == 7 {
            dying = None;
        }
        if let Some(dying) = &dying {
            show(dying, &headers[number]);
        }
        show(&lagging, &headers[number.min(10)]);
        show(&steady, &headers[number]);
        // The chain does not go on before the client is one block behind at most.
        let is_near = async || newest(&client).await + 1 >= number as u64;
        eventually(format!("block {number} or the one before"), is_near).await.unwrap();
    }
    eventually("the last block", async || newest(&client).await == 16).await.unwrap();
    assert_eq!(words(&client), ["cooling", "lagging", "healthy"]);
    let health = client.health();
    assert_eq!(health[0].last_error_code.as_deref(), Some("chain.unreachable"));
    assert_eq!(health[1].state, HealthState::Lagging { blocks: 6 });
    assert_eq!((health[1].last_head, health[2].last_head), (Some(BlockNumber(10)), Some(BlockNumber(16))));
    assert!(health.iter().all(|health| health.requests > 0) && health[0].failures > 0 && health[2].failures == 0);

    // It catches up and is preferred again.
    show(&lagging, &headers[17]);
    eventually("the endpoint that lagged", async || newest(&client).await == 17).await.unwrap();
}

#[tokio::test]
async fn a_preferred_endpoint_is_gone_back_to_once_it_is_well() {
    let headers = headers(6).await;
    // One block apart, so that the answer tells who gave it.
    let (preferred, stand_in) = (endpoint(&headers[6]).await, endpoint(&headers[5]).await);
    let client = connect(&[preferred.url(), stand_in.url()], Limits::default()).await;
    assert_eq!(newest(&client).await, 6);
    preferred.inject(FaultRule { method: None, params: None, times: usize::MAX, fault: Fault::ServerError });
    for _ in 0..20 {
        assert_eq!(newest(&client).await, 5);
    }
    assert_eq!(words(&client), ["cooling", "healthy"]);
    preferred.heal();
    eventually("the preferred endpoint", async || newest(&client).await == 6).await.unwrap();
    assert_eq!(words(&client), ["healthy", "healthy"]);
}

/// A clock that fails once, in a task of its own: as looks at endpoints are.
#[derive(Default)]
struct FrailClock {
    has_failed: AtomicBool,
}

impl Clock for FrailClock {
    fn now(&self) -> DateTime<Utc> {
        let is_at_the_side = tokio::task::try_id().is_some();
        assert!(!is_at_the_side || self.has_failed.swap(true, Ordering::Relaxed), "on purpose");
        SystemClock.now()
    }
}

#[tokio::test]
async fn a_look_that_breaks_off_is_not_the_last_one() {
    let headers = headers(6).await;
    let (preferred, stand_in) = (endpoint(&headers[6]).await, endpoint(&headers[5]).await);
    let urls = [preferred.url(), stand_in.url()].map(|url| RpcUrl::parse(url).unwrap());
    let clock = Arc::new(FrailClock::default());
    let client = ChainClient::connect(urls.into(), ChainId(143), Limits::default(), clock.clone()).await.unwrap();
    // Found out in a look, which then asks for the time.
    let mut lie = headers[6].clone();
    lie["hash"] = headers[5]["hash"].clone();
    show(&preferred, &lie);
    preferred.inject(FaultRule::new("eth_getBlockByNumber", 1, Fault::ServerError));
    let has_failed = async || {
        if !clock.has_failed.load(Ordering::Relaxed) {
            assert_eq!(newest(&client).await, 5);
        }
        clock.has_failed.load(Ordering::Relaxed)
    };
    eventually("a look that breaks off", has_failed).await.unwrap();
    show(&preferred, &headers[6]);
    eventually("the preferred endpoint", async || newest(&client).await == 6).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_hangs_costs_no_more_than_the_failover_timeout() {
    let headers = headers(6).await;
    let (hanging, stand_in) = (endpoint(&headers[6]).await, endpoint(&headers[5]).await);
    let limits = Limits {
        request_timeout: Duration::from_secs(120),
        failover_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let client = connect(&[hanging.url(), stand_in.url()], limits).await;
    hanging.inject(FaultRule::new("eth_getBlockByNumber", usize::MAX, Fault::Delay(Duration::from_secs(120))));
    let started = Instant::now();
    assert_eq!(newest(&client).await, 5);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_liar_is_quarantined_with_evidence_and_the_truth_comes_from_the_next() {
    let (tape, ..) = record().await;
    let (liar, honest) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    let lie = json!([{ "says": "S3CR3TK3Y" }]);
    let rule = |result: Value| FaultRule {
        params: Some(json!(["0x2"])),
        ..FaultRule::new("eth_getBlockReceipts", usize::MAX, Fault::Result(result))
    };
    liar.inject(rule(short_receipts(&liar, 2).await));
    let address = format!("{}/v2/S3CR3TK3Y?key=S3CR3TK3Y", liar.url());
    let client = connect(&[&address, honest.url()], Limits::default()).await;
    assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);

    let evidence = client.take_evidence();
    let [found] = evidence.as_slice() else { panic!("{evidence:?}") };
    assert_eq!((found.endpoint.as_str(), found.code.as_str()), (liar.url(), "chain.bad_receipt_count"));
    assert_eq!(found.block.number, BlockNumber(2));
    assert!(found.message.contains(&found.block.hash.to_string()) && found.answer_start.starts_with('{'));
    assert_eq!(hex::decode(&found.answer_sha256).unwrap().len(), 32);
    assert!(client.take_evidence().is_empty(), "it is handed out once");

    // It is not asked any more, and nobody hears its key.
    let before = liar.http_requests();
    for _ in 0..3 {
        assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
    }
    assert_eq!(liar.http_requests(), before);
    let health = client.health();
    assert!(matches!(&health[0].state, HealthState::Quarantined { code, .. } if code == "chain.bad_receipt_count"));
    assert_eq!(health[1].state, HealthState::Healthy);

    liar.heal();
    liar.inject(rule(lie));
    let alone = connect(&[&address], Limits::default()).await;
    // What cannot be read is no lie.
    assert!(matches!(alone.fetch(all()).await, Answer::Failed(error) if error.code() == "chain.malformed"));
    let texts = [serde_json::to_string(&(&evidence, &health)).unwrap(), format!("{alone:?} {:?}", alone.health())];
    assert!(texts.iter().all(|text| !text.contains("S3CR3TK3Y")), "{texts:?}");
}

#[tokio::test]
async fn where_everybody_lies_the_answer_is_the_lie_with_its_evidence() {
    let (tape, ..) = record().await;
    let liars = [TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap()];
    for liar in &liars {
        let lie = Fault::Result(short_receipts(liar, 1).await);
        liar.inject(FaultRule {
            params: Some(json!(["0x1"])),
            ..FaultRule::new("eth_getBlockReceipts", usize::MAX, lie)
        });
    }
    let client = connect(&[liars[0].url(), liars[1].url()], Limits::default()).await;
    let lie = |answer: Answer<_>| -> Box<Evidence> {
        let Answer::Lying(lie) = answer else { panic!("not a lie") };
        assert_eq!((lie.code(), lie.endpoint.as_str()), ("chain.bad_receipt_count", lie.evidence.endpoint.as_str()));
        lie.evidence
    };
    assert_eq!(lie(client.fetch(all()).await).endpoint, liars[1].url());
    let endpoints: Vec<String> = client.take_evidence().into_iter().map(|found| found.endpoint).collect();
    assert_eq!(endpoints, [liars[0].url(), liars[1].url()]);
    assert_eq!(words(&client), ["quarantined", "quarantined"]);

    // Asked again at once, nobody is bothered; after a while one is, and found honest.
    let before = [liars[0].http_requests(), liars[1].http_requests()];
    assert_eq!(lie(client.fetch(all()).await).endpoint, liars[0].url());
    assert_eq!([liars[0].http_requests(), liars[1].http_requests()], before);
    liars.iter().for_each(TapeServer::heal);
    let is_answered = async || matches!(client.fetch(all()).await, Answer::Present(blocks) if blocks.len() == 4);
    eventually("an answer as a last resort", is_answered).await.unwrap();
    assert_eq!(words(&client), ["quarantined", "quarantined"], "their time is not over");
}

#[tokio::test]
async fn an_endpoint_that_turns_to_another_chain_is_left_while_another_is_good() {
    let (tape, ..) = record().await;
    let (turning, steady) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    let client = connect(&[turning.url(), steady.url()], Limits::default()).await;
    turning.set("eth_chainId", &json!([]), json!("0x1"));
    turning.inject(FaultRule::new("eth_getBlockByNumber", 1, Fault::Closed));
    let is_found = async || {
        assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
        words(&client) == ["quarantined", "healthy"]
    };
    eventually("the other chain is noticed", is_found).await.unwrap();
    assert_eq!(client.health()[0].last_error_code.as_deref(), Some("chain.wrong_chain_id"));
}

#[tokio::test]
async fn an_endpoint_that_shows_a_block_and_does_not_serve_it_is_passed_over() {
    let (tape, ..) = record().await;
    let headers = headers(8).await;
    let (boasting, honest) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    show(&boasting, &headers[8]);
    show(&honest, &headers[3]);
    for method in ["eth_getBlockByNumber", "eth_getBlockReceipts"] {
        for number in 0..4 {
            let block = format!("{number:#x}");
            let params = if method == "eth_getBlockByNumber" { json!([block, true]) } else { json!([block]) };
            boasting.set(method, &params, Value::Null);
        }
    }
    let client = connect(&[boasting.url(), honest.url()], Limits::default()).await;
    assert_eq!(newest(&client).await, 8);
    // The honest one has to have shown its head to be known to have the blocks.
    boasting.inject(FaultRule::new("eth_getBlockByNumber", 1, Fault::ServerError));
    assert_eq!(newest(&client).await, 3);
    eventually("the first is asked again", async || newest(&client).await == 8).await.unwrap();
    assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
    assert_eq!(newest(&client).await, 3, "its head is not believed for a while");
}

#[tokio::test]
async fn an_endpoint_that_has_served_its_quarantine_is_heard_before_it_is_asked() {
    let headers = headers(8).await;
    let (asked, other) = (endpoint(&headers[3]).await, endpoint(&headers[8]).await);
    let limits = Limits { quarantine: Duration::ZERO, block_time: Duration::from_secs(3600), ..Limits::default() };
    let client = connect(&[asked.url(), other.url()], limits).await;
    let mut lie = headers[8].clone();
    lie["hash"] = headers[7]["hash"].clone();
    show(&other, &lie);
    asked.inject(FaultRule::new("eth_getBlockByNumber", 1, Fault::ServerError));
    let shown = client.heads(FINALITY).await.unwrap().latest.reference;
    assert_eq!(words(&client), ["healthy", "quarantined"]);

    show(&other, &headers[8]);
    for (server, header) in [(&asked, headers[3].clone()), (&other, Value::Null)] {
        server.set("eth_getBlockByNumber", &json!(["0x3", false]), header);
    }
    assert!(client.is_disputed(shown).await);
}
