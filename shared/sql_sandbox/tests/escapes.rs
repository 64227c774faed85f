//! What the engine's locks refuse when no gate stands in front: files, addresses, other URLs, settings. And what the
//! process does not take over from its parent, nor from a stream that is none of its parent's.
//!
//! The corpus of attempts is tried by the experiment `sql_escapes` (`shared/query/tests/experiments`).

#[path = "session/driver.rs"]
#[expect(dead_code, reason = "shared with session.rs")]
mod driver;

use std::io::Read;
use std::sync::mpsc::channel;
use std::time::Duration;

use driver::{Sandbox, limits, query};
use isotherm_types::sandbox::{FailureReason, KIND_ARROW, KIND_JSON, Request, Response};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

const SECRET: &str = "a planted secret";

/// Runs `sql` and returns what came out as one text, answer or failure.
fn outcome(sql: &str) -> String {
    match query(sql, None, vec![]) {
        Ok(answer) => format!("{:?}", answer.batches),
        Err(failure) => failure.message,
    }
}

#[test]
fn files_and_addresses_are_out_of_reach() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let planted = folder.join("planted.csv");
    std::fs::write(&planted, format!("{SECRET}\n")).unwrap();
    let path = planted.display();
    let sources = [
        format!("'{path}'"),
        format!("read_csv('{path}')"),
        format!("read_text('{path}')"),
        format!("read_blob('{path}')"),
        format!("read_json('{path}')"),
        format!("sniff_csv('{path}')"),
        format!("glob('{}/*')", folder.display()),
        format!("query('from read_text(''{path}'')')"),
        format!("query_table('{path}')"),
        "read_text('/proc/self/environ')".to_owned(),
        "read_text('/proc/self/maps')".to_owned(),
        "'/etc/passwd'".to_owned(),
        "read_csv('/etc/passwd')".to_owned(),
        "read_text('http://127.0.0.1:9/x')".to_owned(),
        "read_parquet('https://example.com/x.parquet')".to_owned(),
        "read_parquet('s3://bucket/x.parquet')".to_owned(),
        "read_parquet('file:///etc/passwd')".to_owned(),
    ];
    for source in sources {
        let result = query(&format!("from {source}"), None, vec![]);
        let failure = result.expect_err(&format!("{source} was answered"));
        assert!(!failure.message.contains(SECRET) && !failure.message.contains("root:"), "{source}: {failure:?}");
    }
}

#[test]
fn the_environment_is_empty() {
    for name in ["PATH", "HOME", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"] {
        let text = outcome(&format!("select getenv('{name}')"));
        assert!(!text.contains('/'), "{name}: {text}");
    }
}

#[test]
fn the_configuration_is_locked() {
    let trees = [
        "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "select * from duckdb_settings()",
    ];
    for sql in trees {
        let text = outcome(sql);
        assert!(!text.contains(SECRET), "{sql}: {text}");
    }
    let locked = outcome("select value from duckdb_settings() where name = 'lock_configuration'");
    assert!(locked.contains("true"), "{locked}");
    let access = outcome("select value from duckdb_settings() where name = 'enable_external_access'");
    assert!(access.contains("false"), "{access}");
}

#[test]
fn no_extension_comes_in() {
    for sql in
        ["from postgres_scan('host=127.0.0.1', 'public', 't')", "from sqlite_scan('x', 't')", "select st_point(1, 2)"]
    {
        query(sql, None, vec![]).expect_err(sql);
    }
}

#[test]
fn what_the_parent_left_open_is_closed() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    // As a library in C leaves its descriptors: a child gets them.
    fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let mut sandbox = Sandbox::start();
    drop(writer);
    let (closed, ended) = channel();
    std::thread::spawn(move || closed.send(reader.read_to_end(&mut Vec::new())));
    let read = ended.recv_timeout(Duration::from_secs(20)).expect("the sandbox holds its parent's pipe open");
    assert_eq!(read.unwrap(), 0);
    let opened = sandbox.ask(&Request::Open(limits()));
    assert!(matches!(opened, Ok(Response::Opened { .. })), "it lives: {opened:?}");
}

#[test]
fn bytes_that_are_no_message_end_the_session() {
    let messages: [(u8, &[u8]); 6] = [
        (KIND_JSON, b"\xff\xfe{\"type\":\"parse\",\"sql\":\"select 1\"}"),
        (KIND_JSON, b"{\"type\":\"parse\",\"sql\":\"select '\xc3\x28'\"}"),
        (KIND_JSON, b"{\"type\":\"parse\",\"sql\":\"\\ud800\"}"),
        (KIND_JSON, b""),
        (KIND_ARROW, b"ARROW1\0\0"),
        (b'X', b"{}"),
    ];
    for (kind, payload) in messages {
        let mut sandbox = Sandbox::open();
        sandbox.send_raw(kind, payload);
        let failure = sandbox.receive().unwrap_err();
        assert_eq!(failure.reason, FailureReason::Protocol, "{payload:?}: {failure:?}");
    }
}

#[test]
fn a_forged_tree_is_no_way_out() {
    let forged = [
        "",
        "null",
        "[]",
        "{}",
        r#"{"error":false}"#,
        r#"{"error":false,"statements":[]}"#,
        r#"{"error":true,"statements":[]}"#,
        r#"{"error":false,"statements":[{"node":{"type":"DELETE_NODE"},"named_param_map":[]}]}"#,
        r#"{"error":false,"statements":[{"node":null,"named_param_map":[]}]}"#,
        "select 1; copy (select 1) to '/tmp/x'",
    ];
    for tree in forged {
        let mut sandbox = Sandbox::open();
        sandbox.prepare(&["block_number"], vec![]).unwrap();
        let failure = sandbox.run(tree, 1, 5_000).expect_err(tree);
        assert!(!failure.message.contains(SECRET), "{tree}: {failure:?}");
    }
}
