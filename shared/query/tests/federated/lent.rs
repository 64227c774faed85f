//! Cold files as a sandbox gets them: served by its parent, kept between queries, and never another object's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use isotherm_cold_store::ObjectStore;
use isotherm_lab::http_faults::{Call, HttpFaults, RawReply, Verdict};
use isotherm_lab::ministack::Ministack;
use isotherm_query::{ColdServer, QueryEngine};

use super::*;

const KEY: &str = "cold/made/logs/logs_0000000010_0000000019.parquet";
const COLD: &str = "select count(*), sum(transaction_index), max(address) from logs where block_number < 20";

/// What S3 is asked, of reading objects.
#[derive(Debug, Default)]
struct Asked {
    heads: AtomicUsize,
    gets: AtomicUsize,
}

impl Asked {
    fn take(&self) -> (usize, usize) {
        (self.heads.swap(0, Ordering::SeqCst), self.gets.swap(0, Ordering::SeqCst))
    }
}

/// An engine like the platform's, whose S3 is behind `proxy`, and which keeps up to `kept_bytes`.
fn behind(platform: &Platform, proxy: &HttpFaults, kept_bytes: u64) -> QueryEngine {
    let config = platform.client.config().to_builder().endpoint_url(proxy.endpoint_url()).build();
    let objects = ObjectStore::new(aws_sdk_s3::Client::from_conf(config), platform.objects.bucket());
    QueryEngine { objects, cold: ColdServer::keeping(kept_bytes), ..platform.engine.clone() }
}

#[tokio::test]
async fn what_a_query_read_is_not_read_again_and_every_file_is_looked_up_again() {
    let platform = half_cold().await;
    let asked = Arc::new(Asked::default());
    let counted = Arc::clone(&asked);
    let count = move |call: &Call| {
        match call.method() {
            "HEAD" => counted.heads.fetch_add(1, Ordering::SeqCst),
            "GET" => counted.gets.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        Verdict::Pass
    };
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), count).await.unwrap();
    let expected = rows(&platform, COLD).await;

    let keeping = behind(&platform, &proxy, 1 << 20);
    for gets in [2, 0, 0] {
        assert_eq!(rows_of(&keeping.run(request(COLD)).await.unwrap()), expected);
        assert_eq!(asked.take(), (2, gets), "each file is shorter than a block");
    }
    // Another query of the same files, by another sandbox.
    let other = keeping.run(request("select min(block_number) from logs where block_number < 20")).await.unwrap();
    assert_eq!((rows_of(&other), asked.take()), (vec![vec![json!(0)]], (2, 0)));

    // Without memory for them the rows are the same.
    let forgetful = behind(&platform, &proxy, 0);
    for _ in 0..2 {
        assert_eq!(rows_of(&forgetful.run(request(COLD)).await.unwrap()), expected);
        let (heads, gets) = asked.take();
        assert!(heads == 2 && gets >= 2, "{heads} {gets}");
    }
}

/// Red switch: without the condition on the object, `If-Match`, the rows of what is put in its place are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_object_is_not_read_for_the_one_that_was_looked_up() {
    let platform = half_cold().await;
    let other = platform.client.get_object().bucket(platform.objects.bucket());
    let other = other.key("cold/made/logs/logs_0000000000_0000000009.parquet").send().await.unwrap();
    let other = other.body.collect().await.unwrap().into_bytes();
    // Put there between look-up and reading.
    let (client, bucket) = (platform.client.clone(), platform.objects.bucket().to_owned());
    let is_put = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Handle::current();
    let put = move |call: &Call| {
        if call.method() == "GET" && call.path().contains("logs_0000000010") && !is_put.swap(true, Ordering::SeqCst) {
            let put = client.put_object().bucket(&bucket).key(KEY).body(other.clone().into()).send();
            tokio::task::block_in_place(|| runtime.block_on(put)).unwrap();
        }
        Verdict::Pass
    };
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), put).await.unwrap();
    let engine = behind(&platform, &proxy, 1 << 20);
    let error = engine.run(request(COLD)).await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("query.object_store", Disposition::Retry), "{error:?}");
    assert!(format!("{error:?}").contains(KEY), "{error:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_on_fails_the_query_by_name() {
    let platform = half_cold().await;
    let fail = |call: &Call| {
        if call.method() == "GET" && call.path().contains("logs_0000000010") {
            return Verdict::AnswerRaw(RawReply { status: 403, content_type: "application/xml", body: DENIED.into() });
        }
        Verdict::Pass
    };
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), fail).await.unwrap();
    // With footers read beforehand, and with so little room that the sandbox asks for them itself.
    for (kept_bytes, code) in [(1 << 20, "query.object_store"), (0, "query.cold_file_unreadable")] {
        let error = behind(&platform, &proxy, kept_bytes).run(request(COLD)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(format!("{error:?}").contains(KEY), "{error:?}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
}

const DENIED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>";
