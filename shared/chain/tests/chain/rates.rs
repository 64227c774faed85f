//! Endpoints that permit a number of calls in a second: it is found out, used, and not exceeded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isotherm_chain::{ChainClient, Limits, RpcUrl};
use isotherm_lab::tape::{CallLimit, TapeServer};
use isotherm_types::{ChainId, SystemClock};

use crate::misbehaviour::{all, numbers, record};

const PERMITTED: usize = 25;

fn a_second() -> CallLimit {
    CallLimit { calls: PERMITTED, window: Duration::from_secs(1), retry_after_seconds: Some(1) }
}

async fn connect(urls: &str) -> ChainClient {
    let urls = RpcUrl::parse_list(urls).unwrap();
    ChainClient::connect(urls, ChainId(143), Limits::default(), Arc::new(SystemClock)).await.unwrap()
}

/// Asks for four blocks, which are eight calls, again and again, and must get them each time.
async fn ask_for(client: &ChainClient, span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn a_limit_that_nobody_told_is_learnt_used_and_not_exceeded_again() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let client = connect(server.url()).await;
    server.limit(a_second());
    ask_for(&client, Duration::from_secs(9)).await;
    let end = Instant::now();

    let log = server.limit_log();
    // The first refusal says that there is a limit, the second one which.
    assert!((2..=3).contains(&log.refused.len()), "{} refusals", log.refused.len());
    let learnt = *log.refused.last().unwrap();
    let seconds = end.duration_since(learnt).as_secs_f64() - 1.0;
    assert!(seconds > 4.0, "the limit was learnt in time: {seconds} s are left");
    let used = log.accepted_between(learnt, end) as f64 / (PERMITTED as f64 * seconds);
    assert!(used >= 0.9, "{used} of what is permitted was used");
    let rate = client.health()[0].call_rate.unwrap();
    assert!((22..=25).contains(&rate.calls) && rate.per == Duration::from_secs(1), "{rate}");
}

#[tokio::test]
async fn a_limit_that_the_address_tells_is_used_and_never_exceeded() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let client = connect(&format!("{}#rate=25/s", server.url())).await;
    server.limit(a_second());
    let start = Instant::now();
    ask_for(&client, Duration::from_secs(5)).await;
    let log = server.limit_log();
    assert_eq!(log.refused.len(), 0);
    let used = log.accepted_between(start, Instant::now()) as f64 / (PERMITTED as f64 * start.elapsed().as_secs_f64());
    assert!(used >= 0.9, "{used} of what is permitted was used");
}

#[tokio::test]
async fn what_one_endpoint_does_not_permit_is_asked_of_the_next() {
    let (tape, ..) = record().await;
    let (first, second) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    // One call is needed to connect.
    let client = connect(&format!("{}#rate=20/60s,{}", first.url(), second.url())).await;
    let before = [first.calls().len(), second.calls().len()];
    for _ in 0..3 {
        assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
    }
    let asked = [first.calls().len() - before[0], second.calls().len() - before[1]];
    assert_eq!(asked, [16, 8], "three calls are left of the first one's twenty, which is too few for a question");
}
