//! The sandbox as its parent sees it: the real program, frames over its pipes, no gate in front.

#[path = "session/driver.rs"]
mod driver;
#[path = "session/file_server.rs"]
mod file_server;

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use driver::{Sandbox, first_value, limits, query, rows};
use file_server::FileServer;
use isotherm_sql_sandbox::engine;
use isotherm_types::sandbox::{
    ColdGroup, FailureReason, KIND_JSON, Limits, MAX_ROWS_FRAME_BYTES, Request, Response, Scan, Spill,
};

/// Two cold files, blocks 0..10 and 10..20, with 100 gas each block, behind a server.
fn cold(folder: &std::path::Path) -> (FileServer, Vec<ColdGroup>) {
    let connection = duckdb::Connection::open_in_memory().unwrap();
    for (name, start) in [("a.parquet", 0), ("b.parquet", 10)] {
        let sql = format!(
            "COPY (SELECT ({start} + i)::UINTEGER AS block_number, '\\xAA'::BLOB AS block_hash, 100::UBIGINT AS gas_used \
             FROM range(10) t(i)) TO '{}' (FORMAT parquet)",
            folder.join(name).display()
        );
        connection.execute_batch(&sql).unwrap();
    }
    let server = FileServer::start(folder.to_owned());
    let group =
        |file: &str, first_block, last_block| ColdGroup { first_block, last_block, urls: vec![server.url(file)] };
    let groups = vec![group("a.parquet", 0, 9), group("b.parquet", 10, 19)];
    (server, groups)
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_syntax_error_has_duckdbs_words_and_the_place() {
    let failure = Sandbox::open().parse("select count(* from blocks").unwrap_err();
    assert_eq!(failure.reason, FailureReason::Syntax);
    assert!(failure.message.contains("syntax error at or near \"from\""), "{failure:?}");
    assert_eq!(failure.position, Some(15));
}

#[test]
fn only_select_parses() {
    for sql in
        ["insert into blocks values (1)", "copy blocks to 'x'", "set threads = 9", "attach 'x'", "install httpfs"]
    {
        let failure = Sandbox::open().parse(sql).unwrap_err();
        assert_eq!(failure.reason, FailureReason::NotAQuery, "{sql}: {failure:?}");
    }
}

#[test]
fn an_unknown_column_fails_at_planning_and_is_named() {
    let mut sandbox = Sandbox::open();
    let tree = sandbox.parse("select block_number, foo from blocks").unwrap();
    let failure = sandbox.plan(&tree).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Bind, "{failure:?}");
    assert_eq!(failure.near.as_deref(), Some("foo"));
    assert!(!failure.message.contains("LINE 1"), "{failure:?}");
}

#[test]
fn a_plan_names_columns_and_filters_of_each_scan() {
    let mut sandbox = Sandbox::open();
    let tree = sandbox.parse("select gas_used from blocks where block_number between 5 and 10").unwrap();
    let scans = sandbox.plan(&tree).unwrap();
    let expected = Scan {
        relation: "blocks".to_owned(),
        columns: vec!["gas_used".to_owned()],
        filters: vec!["block_number>=5 AND block_number<=10".to_owned()],
    };
    assert_eq!(scans, [expected]);
}

#[test]
fn hot_rows_are_answered_with_exact_types_and_names() {
    let sql = "select block_hash, count(*), sum(block_number), max(block_number)::decimal(38,0) from blocks \
               group by 1 order by 1 desc";
    let answer = query(sql, Some(&rows([1, 2, 3])), vec![]).unwrap();
    assert_eq!(answer.rows, 3);
    assert_eq!(first_value(&answer), "00000003");
    let described: Vec<String> = answer.columns.iter().map(|c| format!("{} {}", c.name, c.sql_type)).collect();
    assert_eq!(described[..3], ["block_hash BLOB", "count_star() BIGINT", "sum(block_number) HUGEINT"]);
    assert!(described[3].ends_with("DECIMAL(38,0)"), "{described:?}");
}

#[test]
fn a_column_that_was_not_fetched_is_an_error_and_never_null() {
    let failure = query("select sum(gas_used) from blocks", Some(&rows([1])), vec![]).unwrap_err();
    assert!(failure.message.contains("blocks.gas_used was not fetched"), "{failure:?}");
    let answer = query("select count(*) from (select * from blocks) where block_number > 0", Some(&rows([1])), vec![]);
    assert_eq!(first_value(&answer.unwrap()), "1");
}

#[test]
fn hot_and_cold_are_one_relation_and_files_out_of_range_are_not_asked_for() {
    let folder = folder("one_relation");
    let (server, groups) = cold(&folder);
    let answer = query("select count(*) from blocks", Some(&rows(20..25)), groups.clone()).unwrap();
    assert_eq!(first_value(&answer), "25");
    let before = server.requests().len();
    let answer = query("select count(*) from blocks where block_number >= 12", Some(&rows(20..25)), groups).unwrap();
    assert_eq!(first_value(&answer), "13");
    let later = &server.requests()[before..];
    assert!(later.iter().any(|request| request == "GET b.parquet"), "{later:?}");
    assert!(later.iter().all(|request| !request.contains("a.parquet")), "{later:?}");
}

#[test]
fn a_missing_cold_file_fails_the_query() {
    let folder = folder("missing_file");
    let (_server, groups) = cold(&folder);
    std::fs::remove_file(folder.join("b.parquet")).unwrap();
    let failure = query("select count(gas_used) from blocks", None, groups).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Read, "{failure:?}");
    assert!(failure.message.contains("b.parquet"), "{failure:?}");
}

#[test]
fn an_order_survives_the_wrapping() {
    let answer = query("select block_number from blocks order by block_number % 7, 1", Some(&rows(0..5000)), vec![]);
    let batches = answer.unwrap().batches;
    let values: Vec<u32> = batches
        .iter()
        .flat_map(|batch| {
            arrow::array::AsArray::as_primitive::<arrow::datatypes::UInt32Type>(batch.column(0)).values().to_vec()
        })
        .collect();
    let mut expected: Vec<u32> = (0..5000).collect();
    expected.sort_by_key(|number| (number % 7, *number));
    assert_eq!(values, expected);
}

#[test]
fn more_rows_than_allowed_are_cut_off_and_said_so() {
    let mut sandbox = Sandbox::open();
    let tree = sandbox.parse("from range(100000)").unwrap();
    sandbox.prepare(&["block_number"], vec![]).unwrap();
    let answer = sandbox.run(&tree, 5000, 20_000).unwrap();
    assert!(answer.truncated && answer.rows <= 5000, "{} rows", answer.rows);
}

/// Red switch: DuckDB gives these rows at once, and they come as one frame of 40 MB.
#[test]
fn long_rows_come_in_frames_that_can_be_held_and_in_their_order() {
    let answer = query("select i::varchar || repeat('x', 20000) from range(2000) t(i)", None, vec![]).unwrap();
    assert_eq!((answer.rows, answer.truncated), (2000, false));
    assert!(answer.frame_bytes.iter().all(|bytes| *bytes <= MAX_ROWS_FRAME_BYTES), "{:?}", answer.frame_bytes);
    assert!(answer.frame_bytes.iter().sum::<usize>() > 2000 * 20_000, "{:?}", answer.frame_bytes);
    let number = |batch: &RecordBatch, row| {
        let text = array_value_to_string(batch.column(0), row).unwrap();
        let digits = text.trim_end_matches('x');
        assert_eq!(text.len() - digits.len(), 20_000, "{digits}");
        digits.parse::<usize>().unwrap()
    };
    let batches = answer.batches.iter();
    let numbers = batches.flat_map(|batch| (0..batch.num_rows()).map(move |row| number(batch, row)));
    assert!(numbers.eq(0..2000_usize));
}

#[test]
fn a_row_that_no_frame_can_hold_ends_the_query_and_is_told() {
    let longest =
        |length: u32| query(&format!("select repeat('x', {length} * (i % 2)) from range(4) t(i)"), None, vec![]);
    assert_eq!(longest(16_000_000).unwrap().rows, 4);
    let failure = longest(17_000_000).unwrap_err();
    assert_eq!(failure.reason, FailureReason::RowTooLarge, "{failure:?}");
    assert_eq!(failure.message, "a row of the answer is larger than 16 MiB");
}

#[test]
fn a_time_out_stops_a_long_query() {
    for sql in ["select count(*) from range(1000000000000)", "select list_sort(range(100000000))"] {
        let mut sandbox = Sandbox::open();
        let tree = sandbox.parse(sql).unwrap();
        sandbox.prepare(&["block_number"], vec![]).unwrap();
        let started = Instant::now();
        sandbox.send(&Request::Run { tree, max_rows: 10, max_bytes: 1 << 20, timeout_ms: 500 });
        let status = sandbox.child.wait().unwrap();
        assert!(started.elapsed() < Duration::from_secs(3), "{sql}: {:?}", started.elapsed());
        assert!(!status.success(), "{sql}");
    }
}

#[test]
fn memory_beyond_the_limit_is_refused() {
    let failure =
        query("select count(distinct i::varchar || 'xxxxxxxxxxxxxxxxxxxx') from range(30000000) t(i)", None, vec![]);
    assert_eq!(failure.unwrap_err().reason, FailureReason::OutOfMemory);
}

#[test]
fn what_does_not_fit_in_memory_is_spilled_to_its_own_folder() {
    let folder = folder("spill").canonicalize().unwrap();
    let sql = "select count(distinct i::varchar || 'xxxxxxxxxxxxxxxxxxxx') from range(6000000) t(i)";
    let mut outcomes = Vec::new();
    for bytes in [1 << 30, 1 << 20] {
        let mut sandbox = Sandbox::start();
        let spill = Some(Spill { folder: folder.to_str().unwrap().to_owned(), bytes });
        sandbox.ask(&Request::Open(Limits { memory_bytes: 64 << 20, spill, ..limits() })).unwrap();
        let tree = sandbox.parse(sql).unwrap();
        sandbox.prepare(&["block_number"], vec![]).unwrap();
        outcomes.push(sandbox.run(&tree, 10, 60_000).map(|answer| first_value(&answer)));
    }
    assert_eq!(outcomes[0].as_deref(), Ok("6000000"));
    assert_eq!(outcomes[1].as_ref().unwrap_err().reason, FailureReason::OutOfMemory, "the spill is capped");
}

#[test]
fn hot_rows_beyond_the_memory_limit_are_refused() {
    let mut sandbox = Sandbox::start();
    sandbox.ask(&Request::Open(Limits { memory_bytes: 32 << 20, ..limits() })).unwrap();
    sandbox.prepare(&["block_number", "block_hash"], vec![]).unwrap();
    let batch = rows(0..500_000);
    let hung_up = (0..100).any(|_| !sandbox.try_send_rows(&batch));
    assert!(hung_up, "fifty million rows were taken");
    let failure = sandbox.receive().unwrap_err();
    assert_eq!(failure.reason, FailureReason::OutOfMemory, "{failure:?}");
}

#[test]
fn messages_out_of_turn_end_the_session() {
    let run = || Request::Run { tree: "{}".to_owned(), max_rows: 1, max_bytes: 1, timeout_ms: 1 };
    for request in [run(), Request::Parse { sql: "select 1".to_owned() }] {
        let failure = Sandbox::start().ask(&request).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Protocol, "{request:?}");
    }
    let failure = Sandbox::open().ask(&Request::Open(limits())).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Protocol);
    let mut sandbox = Sandbox::open();
    sandbox.send_raw(KIND_JSON, br#"{"type":"open","sesame":1}"#);
    assert_eq!(sandbox.receive().unwrap_err().reason, FailureReason::Protocol);
}

#[test]
fn the_process_ends_when_its_parent_hangs_up() {
    // At once, so that the thread that opens the other engine is still at it; several, as it may be quick.
    for _ in 0..10 {
        let mut sandbox = Sandbox::start();
        sandbox.send(&Request::Open(limits()));
        sandbox.hang_up();
        let status = sandbox.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn the_version_is_the_pinned_one() {
    let answer = Sandbox::start().ask(&Request::Open(limits()));
    assert!(matches!(&answer, Ok(Response::Opened { version, .. }) if version == "v1.5.5"), "{answer:?}");
}

#[test]
fn a_cold_file_behind_a_port_that_was_given_up_is_refused_before_the_query_runs() {
    let mut sandbox = Sandbox::open();
    let urls = vec!["http://127.0.0.1:9/x.parquet?X-Amz-Signature=a".to_owned()];
    let cold = vec![ColdGroup { first_block: 0, last_block: 9, urls }];
    let failure = sandbox.prepare(&["block_number"], cold).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Protocol);
    assert!(failure.message.contains("behind a port that was not named"), "{failure:?}");
}

/// The extension that it opens with is taken without one, and no other.
#[test]
fn an_open_engine_takes_no_extension_whose_signature_is_wrong() {
    let mut bytes = std::fs::read(driver::httpfs().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("altered");
    std::fs::create_dir_all(&folder).unwrap();
    let altered = folder.join("httpfs.duckdb_extension");
    std::fs::write(&altered, bytes).unwrap();
    let connection = engine::open(&Limits { httpfs: None, ..limits() }).unwrap();
    let refused = connection.execute_batch(&format!("LOAD '{}'", altered.display())).unwrap_err();
    assert!(refused.to_string().contains("signature is either missing or invalid"), "{refused}");
}
