//! Answers in gzip: asked for where bytes cost something, read as any other, and bounded by what they decode to.

use std::sync::Arc;
use std::time::Duration;

use isotherm_chain::{Answer, ChainClient, Limits, RpcUrl};
use isotherm_lab::tape::{Coding, Fault, FaultRule, TapeServer};
use isotherm_types::disposition::Classified as _;
use isotherm_types::{ChainId, SystemClock};

use crate::misbehaviour::{all, numbers, record};

/// Far more than the answers about the recorded blocks have.
const ANSWER_BYTES: usize = 1 << 20;

async fn client(url: &str, attempts: u32) -> ChainClient {
    let limits =
        Limits { request_timeout: Duration::from_secs(5), answer_bytes: ANSWER_BYTES, attempts, ..Limits::default() };
    let urls = vec![RpcUrl::parse(url).unwrap()];
    ChainClient::connect(urls, ChainId(143), limits, Arc::new(SystemClock)).await.unwrap()
}

/// Strikes every answer about blocks from now on.
fn always(server: &TapeServer, fault: Fault) {
    server.inject(FaultRule::new("eth_getBlockByNumber", usize::MAX, fault));
}

#[tokio::test]
async fn gzip_is_asked_for_by_the_address_and_brings_the_same_blocks() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    assert_eq!(numbers(client(server.url(), 1).await.fetch(all()).await), [0, 1, 2, 3]);
    assert_eq!(server.gzip_requests(), 0, "nobody pays for bytes that do not leave the machine");

    let before = server.http_requests();
    let compressed = client(&format!("{}#compression=gzip", server.url()), 1).await;
    assert_eq!(numbers(compressed.fetch(all()).await), [0, 1, 2, 3]);
    assert_eq!(server.gzip_requests(), server.http_requests() - before);
}

#[tokio::test]
async fn gzip_that_nobody_asked_for_is_read_as_what_it_says_it_is() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let client = client(server.url(), 1).await;
    always(&server, Fault::Coded(Coding::Gzip));
    assert_eq!(numbers(client.fetch(all()).await), [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_answer_that_is_not_what_its_encoding_says_is_no_answer_and_may_pass() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let (alone, patient) = (client(server.url(), 1).await, client(server.url(), 6).await);
    for coding in [Coding::CutGzip, Coding::FalseGzip, Coding::Unknown] {
        always(&server, Fault::Coded(coding));
        match alone.fetch(all()).await {
            Answer::Failed(error) => assert_eq!(error.code(), "chain.undecodable", "{coding:?}: {error}"),
            other => panic!("{coding:?}: {other:?}"),
        }
        server.heal();
        server.inject(FaultRule::new("eth_getBlockByNumber", 1, Fault::Coded(coding)));
        assert_eq!(numbers(patient.fetch(all()).await), [0, 1, 2, 3], "{coding:?}");
    }
    assert!(alone.take_evidence().is_empty() && patient.take_evidence().is_empty(), "it is no lie");
}

#[tokio::test]
async fn what_counts_of_a_compressed_answer_is_what_it_decodes_to() {
    let server = TapeServer::start(record().await.0).await.unwrap();
    let client = client(server.url(), 1).await;
    always(&server, Fault::GzipBomb(ANSWER_BYTES));
    match client.fetch(all()).await {
        Answer::Failed(error) => assert_eq!(error.code(), "chain.answer_too_large", "{error}"),
        other => panic!("{other:?}"),
    }
}
