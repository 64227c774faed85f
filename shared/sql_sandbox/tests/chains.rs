//! Relations over chains as the sandbox makes them: constants, schemas, what is computed.

#[path = "session/driver.rs"]
#[expect(dead_code, reason = "shared with session.rs")]
mod driver;
#[path = "session/file_server.rs"]
mod file_server;

use driver::{Answer, Sandbox, first_value, rows};
use file_server::FileServer;
use isotherm_types::sandbox::{
    ColdGroup, Failure, FailureReason, Part, Relation, RelationColumn, Request, Response, Scan, Source,
};

fn relation(schema: Option<&str>) -> Relation {
    let column = |name: &str, sql_type: &str| RelationColumn { name: name.to_owned(), sql_type: sql_type.to_owned() };
    Relation {
        schema: schema.map(str::to_owned),
        name: "blocks".to_owned(),
        columns: [("block_number", "UINTEGER"), ("chain_id", "UBIGINT"), ("timestamp", "UINTEGER")]
            .map(|(name, sql_type)| column(name, sql_type))
            .to_vec(),
    }
}

/// Blocks 0..10 of a chain, ten seconds each, in a file that names another chain: that column is not read.
fn file(folder: &std::path::Path, name: &str) {
    let connection = duckdb::Connection::open_in_memory().unwrap();
    let sql = format!(
        "COPY (SELECT i::UINTEGER AS block_number, 999::UBIGINT AS chain_id, (10 * i)::UINTEGER AS timestamp \
         FROM range(10) t(i)) TO '{}' (FORMAT parquet)",
        folder.join(name).display()
    );
    connection.execute_batch(&sql).unwrap();
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn part(chain_id: u64, urls: Vec<String>) -> Part {
    let cold = if urls.is_empty() { vec![] } else { vec![ColdGroup { first_block: 0, last_block: 7, urls }] };
    let hot_columns = vec!["block_number".to_owned()];
    Part { chain_id: Some(chain_id), hot_table: format!("blocks_{chain_id}"), hot_columns, cold }
}

fn query(sql: &str, sources: &[Source]) -> Result<Answer, Failure> {
    let mut sandbox = Sandbox::open();
    let tree = sandbox.parse(sql)?;
    sandbox.ask(&Request::Prepare { sources: sources.to_vec() })?;
    sandbox.run(&tree, 1_000, 20_000)
}

#[test]
fn branches_of_other_chains_are_dropped_and_their_files_not_asked_for() {
    let folder = folder("chains");
    file(&folder, "one.parquet");
    file(&folder, "two.parquet");
    let server = FileServer::start(folder);
    let parts = vec![part(1, vec![server.url("one.parquet")]), part(2, vec![server.url("two.parquet")])];
    let source = |schema, parts: &[Part]| Source { relation: relation(schema), parts: parts.to_vec() };
    let sources = [source(None, &parts), source(Some("two-net"), &parts[1..])];

    let all = query("select sum(chain_id) from blocks", &sources).unwrap();
    assert_eq!(first_value(&all), (8 + 2 * 8).to_string(), "blocks above the last one that may be seen are held back");
    for sql in [
        "select count(*) from blocks where chain_id = 2 and block_number >= 0",
        "select count(*) from \"two-net\".blocks where block_number >= 0",
    ] {
        let before = server.requests().len();
        assert_eq!(first_value(&query(sql, &sources).unwrap()), "8", "{sql}");
        let later = &server.requests()[before..];
        assert!(later.iter().any(|request| request == "GET two.parquet"), "{sql}: {later:?}");
        assert!(later.iter().all(|request| !request.contains("one.parquet")), "{sql}: {later:?}");
    }
    let time = query("select max(block_time) = timestamp '1970-01-01 00:01:10' from blocks", &sources).unwrap();
    assert_eq!(first_value(&time), "true");
}

#[test]
fn a_time_whose_seconds_were_not_fetched_is_an_error() {
    let source = Source { relation: relation(Some("one")), parts: vec![part(1, vec![])] };
    let mut sandbox = Sandbox::open();
    let tree = sandbox.parse("select max(block_time) from one.blocks").unwrap();
    let parts = vec![Part { hot_table: "blocks".to_owned(), ..source.parts[0].clone() }];
    sandbox.ask(&Request::Prepare { sources: vec![Source { parts, ..source }] }).unwrap();
    let batch = rows([1, 2]).project(&[0]).unwrap();
    sandbox.send_rows(&batch);
    let failure = sandbox.run(&tree, 10, 20_000).unwrap_err();
    assert!(failure.message.contains("one.blocks.block_time was not fetched"), "{failure:?}");
}

#[test]
fn a_relation_without_parts_is_empty() {
    let sources = [Source { relation: relation(None), parts: vec![] }];
    let answer = query("select count(*) from blocks", &sources).unwrap();
    assert_eq!(first_value(&answer), "0");
    let answer = query("select * from blocks", &sources).unwrap();
    let described = answer.columns.iter().map(|column| format!("{} {}", column.name, column.sql_type));
    let described: Vec<String> = described.collect();
    assert_eq!(described, ["block_number UINTEGER", "chain_id UBIGINT", "timestamp UINTEGER", "block_time TIMESTAMP"]);
}

#[test]
fn a_plan_names_the_schema_and_the_column_that_a_time_is_made_of() {
    let mut sandbox = Sandbox::open();
    let tree = sandbox.parse("select block_time from \"two-net\".blocks where chain_id = 2").unwrap();
    let relations = vec![relation(None), relation(Some("two-net"))];
    let Ok(Response::Planned { scans }) = sandbox.ask(&Request::Plan { tree, relations }) else { panic!("no plan") };
    let expected = Scan {
        relation: "two-net.blocks".to_owned(),
        columns: vec!["timestamp".to_owned()],
        filters: vec!["chain_id=2".to_owned()],
    };
    assert_eq!(scans, [expected]);
}

#[test]
fn a_schema_with_other_characters_is_refused() {
    for schema in ["", "a\"b", "A", "a b", "a.b"] {
        let sources = [Source { relation: relation(Some(schema)), parts: vec![] }];
        let failure = query("select 1", &sources).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Protocol, "{schema}: {failure:?}");
    }
}
