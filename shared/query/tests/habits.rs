//! What users write: bare literals, parameters, the present, functions for chain data. Parser, gate and sandbox are the
//! real ones; the examples of docs/sql.md run here.

#[path = "support/limits.rs"]
mod limits;
#[path = "support/sandbox_program.rs"]
mod sandbox_program;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Decimal128Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use chrono::{DateTime, Utc};
use isotherm_query::gate::{self, CheckedTree, Given};
use isotherm_query::parameters::Parameters;
use isotherm_query::sandbox_process::{SandboxProcess, StepError};
use isotherm_query::{QueryError, RowSink, literals, render};
use isotherm_types::Dataset;
use isotherm_types::sandbox::{Part, Relation, RelationColumn, Request, Response, Source};
use limits::limits;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../docs/sql.md");

const TETHER: &str = "dac17f958d2ee523a2206206994597c13d831ec7";

/// The call of transaction 0xac503dd98281d4d52c2043e297a6e684d175339a7ebf831605fe593f01ce82c3 of Ethereum.
const TRANSFER_CALL: &str = "a9059cbb000000000000000000000000cc7785c4ae728a100cf08fd1a2be2e7f1830260d\
                             00000000000000000000000000000000000000000000000000000005b8124374";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap()
}

async fn open() -> SandboxProcess {
    let mut sandbox = SandboxProcess::start(&sandbox_program::path(), 2 << 30).unwrap();
    let opened = sandbox.ask(&Request::Open(limits(256 << 20))).await;
    assert!(matches!(opened, Ok(Response::Opened { .. })), "{opened:?}");
    sandbox
}

fn words_of(error: StepError) -> String {
    match error {
        StepError::Failure(failure) => failure.message,
        StepError::Broken(error) => panic!("{error:?}"),
    }
}

/// The checked tree of a statement, or the words of its error.
async fn checked(sandbox: &mut SandboxProcess, sql: &str, parameters: &Value) -> Result<CheckedTree, String> {
    let parameters = Parameters::from_json(parameters.clone()).map_err(|error| error.to_string())?;
    let statement = literals::rewrite(sql).map_err(|error| error.to_string())?;
    let parsed = sandbox.ask(&Request::Parse { sql: statement.text().to_owned() }).await.map_err(words_of)?;
    let Response::Parsed { tree } = parsed else { panic!("{parsed:?}") };
    let given = Given { statement: &statement, parameters: &parameters, now: now() };
    gate::check(tree, &given).map_err(|refusal| refusal.to_string())
}

/// Keeps what comes.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
}

impl RowSink for Gathered {
    fn begin(&mut self, _: &[RelationColumn], _: &SchemaRef) -> Result<(), QueryError> {
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.batches.push(batch.clone());
        Ok(())
    }
}

/// The rows of a statement over a few rows of Ethereum, or the words of its error.
async fn rows(sql: &str, parameters: &Value) -> Result<Vec<Vec<Value>>, String> {
    let mut sandbox = open().await;
    let tree = checked(&mut sandbox, sql, parameters).await?;
    let batches = [(Dataset::Blocks, blocks()), (Dataset::Transactions, transactions()), (Dataset::Logs, logs())];
    let sources = batches.iter().map(|(dataset, batch)| source(*dataset, batch)).collect();
    let prepared = sandbox.ask(&Request::Prepare { sources }).await.map_err(words_of)?;
    assert!(matches!(prepared, Response::Prepared {}), "{prepared:?}");
    for (dataset, batch) in &batches {
        let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        stream.write(batch).unwrap();
        sandbox.send_rows(dataset.as_str(), &stream.into_inner().unwrap()).await.unwrap();
    }
    let run = Request::Run { tree: tree.text().to_owned(), max_rows: 1000, max_bytes: 1 << 20, timeout_ms: 20_000 };
    let mut gathered = Gathered::default();
    let answer = sandbox.run(&run, &mut gathered).await.map_err(words_of)?;
    Ok(render::json_rows(&answer.columns, &gathered.batches, 1 << 20).unwrap())
}

fn source(dataset: Dataset, batch: &RecordBatch) -> Source {
    let columns = dataset
        .columns()
        .iter()
        .map(|column| RelationColumn { name: column.name.to_owned(), sql_type: column.column_type.sql().to_owned() });
    let part = Part {
        chain_id: Some(1),
        hot_table: dataset.as_str().to_owned(),
        hot_columns: batch.schema().fields().iter().map(|field| field.name().clone()).collect(),
        cold: vec![],
    };
    let relation = Relation { schema: None, name: dataset.as_str().to_owned(), columns: columns.collect() };
    Source { relation, parts: vec![part] }
}

fn bytes<const N: usize>(rows: [Option<&str>; N]) -> ArrayRef {
    Arc::new(rows.iter().map(|digits| digits.map(|digits| hex::decode(digits).unwrap())).collect::<BinaryArray>())
}

fn blocks() -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        ("block_number", Arc::new(UInt32Array::from(vec![12_244_000]))),
        ("timestamp", Arc::new(UInt32Array::from(vec![1_618_476_000]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn transactions() -> RecordBatch {
    let value = Decimal128Array::from(vec![0]).with_precision_and_scale(38, 0).unwrap();
    let columns: [(&str, ArrayRef); 5] = [
        ("block_number", Arc::new(UInt32Array::from(vec![12_244_000]))),
        ("transaction_index", Arc::new(UInt64Array::from(vec![7]))),
        ("to_address", bytes([Some(TETHER)])),
        ("input", bytes([Some(TRANSFER_CALL)])),
        ("value", Arc::new(value)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The log of that transaction, and one of another contract and another event.
fn logs() -> RecordBatch {
    let approval = "8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925";
    let transfer = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let from = format!("{:0>64}", "8e04af7f7c76daa9ab429b1340e0327b5b835748");
    let (to, amount) = TRANSFER_CALL[8..].split_at(64);
    let columns: [(&str, ArrayRef); 7] = [
        ("block_number", Arc::new(UInt32Array::from(vec![12_244_000, 12_244_000]))),
        ("address", bytes([Some(TETHER), Some("0101010101010101010101010101010101010101")])),
        ("topic0", bytes([Some(transfer), Some(approval)])),
        ("topic1", bytes([Some(&from), Some(&from)])),
        ("topic2", bytes([Some(to), Some(to)])),
        ("topic3", bytes([None, None])),
        ("data", bytes([Some(amount), Some(amount)])),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The fenced blocks of the page: what they are, and their text.
fn fences(page: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = page.split("```").collect();
    parts.iter().skip(1).step_by(2).filter_map(|part| part.split_once('\n')).collect()
}

#[tokio::test]
async fn the_examples_of_the_page_give_what_it_says() {
    let fences = fences(PAGE);
    let mut examples = 0;
    for (i, (kind, sql)) in fences.iter().enumerate() {
        if *kind != "sql" {
            continue;
        }
        examples += 1;
        let mut outcome = fences[i + 1..].iter();
        let mut next = outcome.next().unwrap();
        let mut parameters = Value::Null;
        if next.0 == "json parameters" {
            parameters = serde_json::from_str(next.1).unwrap();
            next = outcome.next().unwrap();
        }
        let found = rows(sql, &parameters).await;
        match next.0 {
            "json" => assert_eq!(found.map(Value::from), Ok(serde_json::from_str(next.1).unwrap()), "{sql}"),
            "text" => assert_eq!(found.unwrap_err(), next.1.trim_end(), "{sql}"),
            other => panic!("{sql} is followed by a block of {other}"),
        }
    }
    assert!(examples > 10, "{examples} examples were found");
}

#[tokio::test]
async fn every_function_of_the_page_gives_what_it_says() {
    let table = PAGE.split_once("<!-- functions -->").unwrap().1.split_once("<!-- end of functions -->").unwrap().0;
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let lines: Vec<Vec<String>> =
        table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').map(cell).collect()).collect();
    let names: BTreeSet<&str> = lines.iter().map(|cells| cells[1].split('(').next().unwrap()).collect();
    assert!(names.len() > 15, "{names:?}");
    let calls: Vec<&str> = lines.iter().map(|cells| cells[3].as_str()).collect();
    let found = rows(&format!("select {}", calls.join(", ")), &Value::Null).await.unwrap();
    for (cells, value) in lines.iter().zip(&found[0]) {
        assert!(gate::functions::is_allowed(cells[1].split('(').next().unwrap()), "{}", cells[1]);
        assert_eq!(*value, serde_json::from_str::<Value>(&cells[4]).unwrap(), "{}", cells[3]);
    }
}

/// Texts that would be something else if they ever were part of a statement.
const HOSTILE: &[&str] = &[
    "",
    "'",
    "''",
    "'; drop view blocks; --",
    "' || getenv('HOME') || '",
    "') from read_text('/etc/passwd') --",
    "\\",
    "\\'; select 1; --",
    "E'\\x41'",
    "$1",
    "?",
    "$$",
    "$tag$ $tag$",
    "0xabcg",
    "-- x",
    "/* x",
    "*/ x",
    "\"",
    "a\nb\r\n",
    "\u{a0}'\u{2003}\u{200b}\u{feff}",
    "é𝕏",
    "now()",
    "{\"class\": \"FUNCTION\", \"function_name\": \"getenv\"}",
    "\"},{\"class\":\"FUNCTION\",\"function_name\":\"getenv\"",
    "x'::blob || 'y",
    "NULL",
];

#[tokio::test]
async fn a_hostile_text_comes_back_as_the_same_text() {
    let marks = vec!["?"; HOSTILE.len()].join(", ");
    let together = rows(&format!("select {marks}"), &json!(HOSTILE)).await;
    assert_eq!(together.map(Value::from), Ok(json!([HOSTILE])));
    for text in HOSTILE {
        let found = rows("select count(*) from blocks where $1 = $1 and typeof($1) = 'VARCHAR'", &json!([text])).await;
        assert_eq!(found, Ok(vec![vec![json!(1)]]), "{text:?}");
    }
}

#[tokio::test]
async fn every_kind_of_value_arrives_exactly() {
    let sql = "select $n, $t, $b, $i, $l, $u, $m, $d, $e, $x, $empty";
    let values = json!({
        "n": null, "t": true, "b": false, "i": -5, "l": i64::MIN, "u": u64::MAX, "m": i32::MIN, "d": 0.1, "e": 1e18,
        "x": "0x00275cff", "empty": "0x",
    });
    let expected = json!([
        null,
        true,
        false,
        -5,
        i64::MIN.to_string(),
        u64::MAX.to_string(),
        i32::MIN,
        "0.1",
        1e18,
        "0x00275cff",
        "0x",
    ]);
    assert_eq!(rows(sql, &values).await.map(Value::from), Ok(json!([expected])));
    let arithmetic = rows("select 10 - $1, -$1, $1 ** 2, $1::varchar, abs($1) limit $2", &json!([-5, 1])).await;
    assert_eq!(arithmetic.map(Value::from), Ok(json!([[15, 5, 25.0, "-5", 5]])));
    let second = rows("select $2", &json!({"2": 7})).await;
    assert_eq!(second.map(Value::from), Ok(json!([[7]])), "an object can leave a place out");
    let sql = "select $Name, $NAME from range(3) t(i) where i in ($name, $other)";
    assert_eq!(rows(sql, &json!({"name": 1, "OTHER": 7})).await.map(Value::from), Ok(json!([[1, 1]])));
}

#[tokio::test]
async fn parameters_bound_the_plan_as_literals_do() {
    let mut sandbox = open().await;
    let sql = "select block_hash from blocks where block_number between $1 and $2";
    let tree = checked(&mut sandbox, sql, &json!([5, 9])).await.unwrap();
    let relations = vec![source(Dataset::Blocks, &blocks()).relation];
    let planned = sandbox.ask(&Request::Plan { tree: tree.text().to_owned(), relations }).await.unwrap();
    let Response::Planned { scans } = planned else { panic!("{planned:?}") };
    assert_eq!(scans[0].filters, ["block_number>=5 AND block_number<=9"], "{scans:?}");
}

#[tokio::test]
async fn the_present_is_the_instant_that_was_given() {
    let sql = "select epoch_us(now()), epoch_us(current_timestamp), epoch_us(transaction_timestamp()), \
               current_date::varchar, today()::varchar, epoch_us(localtimestamp)";
    let instant = 1_700_000_000_123_456_i64;
    let expected = json!([[instant, instant, instant, "2023-11-14", "2023-11-14", instant]]);
    assert_eq!(rows(sql, &Value::Null).await.map(Value::from), Ok(expected));
    let mut sandbox = open().await;
    for (sql, reads) in [
        ("select now(), current_date from blocks where to_timestamp(timestamp) > now() - interval 1 day", false),
        ("select localtime", true),
        ("select age(timestamp '2020-01-01')", true),
        ("select current_date from (select 1 as current_date)", true),
    ] {
        let tree = checked(&mut sandbox, sql, &Value::Null).await.unwrap();
        assert_eq!(tree.reads_the_clock(), reads, "{sql}");
    }
    let own = rows("select current_date from (select 1 as current_date)", &Value::Null).await;
    assert_eq!(own.map(Value::from), Ok(json!([[1]])), "a column of that name stays a column");
}

#[tokio::test]
async fn places_are_those_of_the_users_text() {
    let mut sandbox = open().await;
    let tree = checked(&mut sandbox, "select 0xab, 0xcd, foo from blocks", &Value::Null).await.unwrap();
    assert_eq!((tree.position_of("foo"), tree.position_of("blocks")), (Some(19), Some(28)));

    let sql = "select 0xab, 0xcd frm blocks where a b c";
    let statement = literals::rewrite(sql).unwrap();
    match sandbox.ask(&Request::Parse { sql: statement.text().to_owned() }).await {
        Err(StepError::Failure(failure)) => {
            let position = failure.position.map(|position| statement.original_position(position));
            assert_eq!(position, Some(sql.find("blocks").unwrap() as u64), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    let error = QueryError::from(literals::rewrite("select 0xab, 0xabc").unwrap_err()).answer();
    assert_eq!((error.code, error.position), ("query.syntax", Some(13)));
}
