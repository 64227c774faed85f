//! Cold files as a sandbox gets them: served by its parent, kept between queries, and never another object's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{BinaryArray, RecordBatch};
use isotherm_cold_store::layout::{ChainName, Partition};
use isotherm_cold_store::parquet_file::CREATED_BY;
use isotherm_cold_store::{ObjectStore, Sha256Digest};
use isotherm_lab::http_faults::{Call, HttpFaults, RawReply, Verdict};
use isotherm_lab::ministack::Ministack;
use isotherm_query::cold_server::{FileId, Lease, LentFile};
use isotherm_query::{ColdServer, QueryEngine};
use isotherm_types::disposition::error_chain;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

const KEY: &str = "cold/made/logs/logs_0000000010_0000000019.parquet";
const LONG: &str = "cold/made/logs/logs_0000000000_0000000499.parquet";
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

/// Red switch: without the condition on the object, `If-Match`, the query is answered from what is put in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_object_is_not_read_for_the_one_that_was_looked_up() {
    let platform = half_cold().await;
    // As long and as good a file: only the name of its writer, in the footer, is another one.
    let mut other = platform.objects.read(KEY, 1 << 20).await.unwrap().unwrap().to_vec();
    let writer = other
        .windows(CREATED_BY.len())
        .rposition(|bytes| bytes == CREATED_BY.as_bytes())
        .expect("its writer's name is in the footer");
    other[writer] = b'X';
    // Put there between look-up and reading.
    let (client, bucket) = (platform.client.clone(), platform.objects.bucket().to_owned());
    let is_put = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Handle::current();
    let put = move |call: &Call| {
        if call.method() == "GET" && call.path().contains("logs_0000000010") && !is_put.swap(true, Ordering::SeqCst) {
            let put = client.put_object().bucket(&bucket).key(KEY).body(other.clone().into()).send();
            tokio::task::block_in_place(|| runtime.block_on(async { drop(put.await.unwrap()) }));
        }
        Verdict::Pass
    };
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), put).await.unwrap();
    let engine = behind(&platform, &proxy, 1 << 20);
    let error = engine.run(request(COLD)).await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("query.cold_file_unreadable", Disposition::Retry), "{error:?}");
    assert!(error.to_string().contains(KEY), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_fails_the_query_by_name() {
    let platform = half_cold().await;
    let fail = |call: &Call| {
        if call.method() == "GET" && call.path().contains("logs_0000000010") { denied() } else { Verdict::Pass }
    };
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), fail).await.unwrap();
    // With footers read beforehand, and with so little room that the sandbox asks for them itself.
    for kept_bytes in [1 << 20, 0] {
        let error = behind(&platform, &proxy, kept_bytes).run(request(COLD)).await.unwrap_err();
        let (code, disposition) = (error.code(), error.disposition());
        assert_eq!((code, disposition), ("query.cold_file_unreadable", Disposition::GiveUp), "{error:?}");
        assert!(error.to_string().contains(KEY), "{error}");
        assert!(error_chain(&error).contains("AccessDenied"), "{error:?}");
    }
}

/// Rows of 500 blocks; those of logs hold data that no compression makes shorter.
fn with_long_data(dataset: Dataset) -> RecordBatch {
    let batch = made_chain::rows(dataset, range(0, 500));
    let Ok(place) = batch.schema().index_of("data") else { return batch };
    let mut columns = batch.columns().to_vec();
    let mut noise = ChaCha8Rng::seed_from_u64(1);
    let data = (0..batch.num_rows()).map(|_| std::array::from_fn::<u8, 200, _>(|_| noise.random()));
    columns[place] = Arc::new(BinaryArray::from_iter_values(data));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// What breaks off when some blocks of it are with the sandbox already is no shorter file to it, and what was kept of it then is
/// good for the next query.
#[tokio::test]
async fn a_file_that_breaks_off_under_way_fails_the_query_by_name_and_the_next_one_is_whole() {
    let platform = Platform::start().await;
    let mut conn = platform.connect().await;
    follow(&mut conn, range(0, 501)).await;
    let chain = ChainName::new(made_chain::CHAIN_NAME).unwrap();
    let partition = Partition { chain_id: CHAIN, chain, dataset: Dataset::Logs, blocks: range(0, 500) };
    made_chain::commit(&mut conn, &platform.objects, platform.scratch.path(), partition, with_long_data).await;
    let sql = "select count(*), min(data), max(data) from logs where block_number < 500";
    let expected = rows(&platform, sql).await;
    let size = platform.objects.head(LONG).await.unwrap().unwrap().size_bytes;

    let is_cut = Arc::new(AtomicBool::new(true));
    let begun = Arc::new(AtomicBool::new(false));
    let (cutting, began) = (Arc::clone(&is_cut), Arc::clone(&begun));
    let cut = move |call: &Call| {
        let asked = call.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = asked.filter(|_| call.method() == "GET" && cutting.load(Ordering::SeqCst)) else {
            return Verdict::Pass;
        };
        let [first, last] = [first, last].map(|place| place.parse::<u64>().unwrap());
        // From what is several blocks long the first ones come; from then on half of what is asked for, but for the footer.
        let is_long = last - first > 4 * (64 << 10);
        if is_long {
            began.store(true, Ordering::SeqCst);
        }
        if began.load(Ordering::SeqCst) && last + 1 < size { Verdict::PassOnAndCut } else { Verdict::Pass }
    };
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), cut).await.unwrap();
    let engine = behind(&platform, &proxy, 16 << 20);
    let error = engine.run(request(sql)).await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("query.cold_file_unreadable", Disposition::Retry), "{error:?}");
    assert!(error.to_string().contains(LONG), "{error}");
    assert!(begun.load(Ordering::SeqCst), "no answer had begun");

    is_cut.store(false, Ordering::SeqCst);
    assert_eq!(rows_of(&engine.run(request(sql)).await.unwrap()), expected);
}

fn denied() -> Verdict {
    Verdict::AnswerRaw(RawReply { status: 403, content_type: "application/xml", body: DENIED.into() })
}

const DENIED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>";

/// An object of several blocks, lent by a server that keeps `kept_bytes` and whose S3 is behind `rule`.
async fn long_object(
    kept_bytes: u64,
    rule: impl Fn(&Call) -> Verdict + Send + Sync + 'static,
) -> (Vec<u8>, Lease, HttpFaults, QueryEngine) {
    let platform = Platform::start().await;
    let bytes: Vec<u8> = (0..300_001_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let put = platform.client.put_object().bucket(platform.objects.bucket()).key("long");
    put.body(bytes.clone().into()).send().await.unwrap();
    let head = platform.objects.head("long").await.unwrap().unwrap();
    let id = FileId { sha256: Sha256Digest::of(&bytes), e_tag: head.e_tag.unwrap().into() };
    let file = LentFile { key: "long".to_owned(), size_bytes: head.size_bytes, id };
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), rule).await.unwrap();
    let engine = behind(&platform, &proxy, kept_bytes);
    let lease = engine.cold.lend(&engine.objects, vec![Arc::new(file)]).await.unwrap();
    (bytes, lease, proxy, engine)
}

/// Status and body of a range; `None` if the answer broke off.
async fn ask(url: &str, range: &std::ops::Range<usize>) -> (u16, Option<Vec<u8>>) {
    let header = format!("bytes={}-{}", range.start, range.end - 1);
    let answer = reqwest::Client::new().get(url).header("range", header).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.bytes().await.ok().map(|bytes| bytes.to_vec()))
}

#[tokio::test]
async fn every_range_of_a_long_file_is_what_it_is_in_s3() {
    for kept_bytes in [0, 150_000, 1 << 20] {
        let (bytes, lease, _proxy, _engine) = long_object(kept_bytes, |_| Verdict::Pass).await;
        let ends = [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000, 262_143, 262_144, 300_000, 300_001];
        let ranges = ends.iter().flat_map(|start| ends.iter().map(move |end| *start..*end));
        // Backwards, so that what is kept lies behind what is asked for.
        for range in ranges.filter(|range| !range.is_empty()).collect::<Vec<_>>().into_iter().rev() {
            let (status, body) = ask(&lease.url(0), &range).await;
            assert_eq!(status, 206, "{range:?}");
            assert!(body.as_deref() == Some(&bytes[range.clone()]), "{range:?} with {kept_bytes}");
        }
        let client = reqwest::Client::new();
        let head = client.head(lease.url(0)).send().await.unwrap();
        assert_eq!(head.headers()["content-length"], "300001");
        assert!(client.get(lease.url(0)).send().await.unwrap().bytes().await.unwrap() == bytes);
        assert_eq!(client.put(lease.url(0)).send().await.unwrap().status(), 405);
        assert_eq!(client.get(lease.url(1)).send().await.unwrap().status(), 404, "there is one file");
        let url = lease.url(0);
        drop(lease);
        assert_eq!(client.get(url).send().await.unwrap().status(), 404, "the loan is over");
    }
}

#[tokio::test]
async fn what_breaks_off_once_is_read_on_and_what_is_refused_is_noted() {
    let cuts = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&cuts);
    let cut_once = move |call: &Call| {
        let is_cut = call.method() == "GET"
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_cut { Verdict::PassOnAndCut } else { Verdict::Pass }
    };
    let (bytes, lease, _proxy, _engine) = long_object(1 << 20, cut_once).await;
    let (status, body) = ask(&lease.url(0), &(0..300_001)).await;
    assert_eq!((status, body.as_deref() == Some(bytes.as_slice())), (206, true));
    assert_eq!(cuts.load(Ordering::SeqCst), 0, "it was cut");
    assert!(lease.take_failure().is_none(), "it was mended");

    // The first block is kept, so that the answer has begun when the second one is refused.
    let gets = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&gets);
    let refuse_the_second = move |call: &Call| {
        let is_second = call.method() == "GET" && counted.fetch_add(1, Ordering::SeqCst) == 1;
        if is_second { denied() } else { Verdict::Pass }
    };
    let (bytes, lease, _proxy, _engine) = long_object(1 << 20, refuse_the_second).await;
    assert_eq!(ask(&lease.url(0), &(0..10)).await, (206, Some(bytes[..10].to_vec())));
    assert_eq!(ask(&lease.url(0), &(0..300_001)).await, (206, None));
    let (key, error) = lease.take_failure().unwrap();
    assert_eq!((key.as_str(), error.code(), error.disposition()), ("long", "cold_store.s3", Disposition::GiveUp));
    assert!(lease.take_failure().is_none(), "it is told once");
    // Asked again it is whole.
    let (status, body) = ask(&lease.url(0), &(0..300_001)).await;
    assert_eq!((status, body.as_deref() == Some(bytes.as_slice())), (206, true));
}
