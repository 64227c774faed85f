//! The tape server and the fault proxy do what they are told, seen through a real HTTP client.

use std::time::{Duration, Instant};

use isotherm_lab::LabError;
use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::{Fault, FaultRule, NOT_ON_TAPE, Tape, TapeServer};
use serde_json::json;

async fn server() -> (TapeServer, Rpc) {
    let mut tape = Tape::default();
    tape.set("eth_chainId", &json!([]), json!("0x279f"));
    for number in 0..20 {
        tape.set("eth_getBlockByNumber", &json!([format!("{number:#x}"), false]), json!({ "number": number }));
    }
    let server = TapeServer::start(tape).await.unwrap();
    let rpc = Rpc::new(server.url());
    (server, rpc)
}

#[tokio::test]
async fn tape_answers_calls_and_batches_and_counts_them() {
    let (server, rpc) = server().await;
    assert_eq!(rpc.call("eth_chainId", json!([])).await.unwrap(), "0x279f");
    let params: Vec<_> = (0..20).map(|number| json!([format!("{number:#x}"), false])).collect();
    let blocks = rpc.batch("eth_getBlockByNumber", &params).await.unwrap();
    assert!(blocks.iter().enumerate().all(|(number, block)| block["number"] == number));
    assert_eq!((server.calls().len(), server.http_requests()), (21, 2));
    server.set("eth_chainId", &json!([]), json!("0x1"));
    assert_eq!(rpc.call("eth_chainId", json!([])).await.unwrap(), "0x1");
}

#[tokio::test]
async fn call_that_is_not_on_the_tape_is_an_error() {
    let (_server, rpc) = server().await;
    let error = rpc.call("eth_getBlockByNumber", json!(["0x99", false])).await.unwrap_err();
    assert!(matches!(error, LabError::Rpc { code: NOT_ON_TAPE, .. }));
}

#[tokio::test]
async fn faults_strike_as_often_as_they_are_told() {
    let (server, rpc) = server().await;
    let chain_id = async || rpc.call("eth_chainId", json!([])).await;
    let faults = [
        (Fault::TooManyRequests { retry_after_seconds: Some(1) }, 429),
        (Fault::ServerError, 500),
        (Fault::HtmlBody, 200),
        (Fault::TruncatedJson, 200),
    ];
    for (fault, expected) in faults {
        server.inject(FaultRule::new("eth_chainId", 2, fault));
        for _ in 0..2 {
            let error = chain_id().await.unwrap_err();
            assert!(matches!(error, LabError::HttpStatus { status, .. } if status == expected), "{error}");
        }
        assert_eq!(chain_id().await.unwrap(), "0x279f");
    }
    server.inject(FaultRule::new("eth_chainId", 1, Fault::Closed));
    assert!(matches!(chain_id().await.unwrap_err(), LabError::Http { .. }));
    server.inject(FaultRule::new("eth_chainId", 1, Fault::NullResult));
    assert!(chain_id().await.unwrap().is_null());
    server.inject(FaultRule::new("eth_chainId", 1, Fault::Error { code: -32_005, message: "limit".into() }));
    assert!(matches!(chain_id().await.unwrap_err(), LabError::Rpc { code: -32_005, .. }));
    server.inject(FaultRule::new("eth_chainId", 1, Fault::Delay(Duration::from_millis(150))));
    let started = Instant::now();
    chain_id().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(150));
    server.inject(FaultRule { method: None, params: None, times: 1, fault: Fault::BatchRefused });
    assert!(matches!(rpc.batch("eth_chainId", &[json!([])]).await.unwrap_err(), LabError::Shape { .. }));
    server.inject(FaultRule::new("eth_chainId", usize::MAX, Fault::ServerError));
    server.heal();
    chain_id().await.unwrap();
}

#[tokio::test]
async fn tape_file_is_read_plain_and_compressed() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let line = "{\"method\":\"eth_chainId\",\"params\":[],\"result\":\"0x8f\"}\n";
    let plain = folder.path().join("rpc.jsonl");
    std::fs::write(&plain, line).unwrap();
    let compressed = folder.path().join("rpc.jsonl.gz");
    let file = std::fs::File::create(&compressed).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(line.as_bytes()).unwrap();
    encoder.finish().unwrap();
    for path in [plain, compressed] {
        let server = TapeServer::start(Tape::read(&path).unwrap()).await.unwrap();
        assert_eq!(Rpc::new(server.url()).call("eth_chainId", json!([])).await.unwrap(), "0x8f");
    }
}

#[tokio::test]
async fn proxy_passes_goes_silent_and_resets() {
    let (server, _) = server().await;
    let proxy = FaultProxy::start(server.url().trim_start_matches("http://")).await.unwrap();
    let rpc = Rpc::new(proxy.through(server.url()));
    let chain_id = async || rpc.call("eth_chainId", json!([])).await;
    chain_id().await.unwrap();
    assert_eq!(proxy.connections(), 1);

    proxy.switch(Mode::Blackhole);
    let silent = tokio::time::timeout(Duration::from_millis(200), chain_id()).await;
    assert!(silent.is_err(), "a black hole does not answer");

    proxy.switch(Mode::Reset);
    assert!(matches!(chain_id().await.unwrap_err(), LabError::Http { .. }));

    proxy.switch(Mode::Pass);
    chain_id().await.unwrap();
}
