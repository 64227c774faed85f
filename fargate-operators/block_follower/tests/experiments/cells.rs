//! What is stored beside what the node says, cell by cell.
//!
//! Reads the node's plain JSON, and rows as Postgres writes them as text: it shares no code with what stored them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use isotherm_lab::oracle::{Oracle, TracedBy};
use serde_json::{Value, json};

use crate::stage::{CHAIN_ID, Stage};

mod rlp;
mod said;

/// Blocks that are compared at once.
const PAGE: i64 = 50;
/// What is absent.
const NOTHING: &str = "-";
/// Cells of a page that are shown when they differ; of more, there is a count.
const SHOWN: i64 = 5;

/// A dataset, a block, and a place in it.
type Key = (&'static str, i64, i64);
/// The text of each cell, by its column.
type Row = BTreeMap<String, String>;
type Rows = BTreeMap<Key, Row>;

/// What came of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Cells of rows that both sides have.
    pub(crate) cells: i64,
    /// Those of them that differ.
    pub(crate) wrong: i64,
    /// Rows that only the node has.
    pub(crate) missing: i64,
    /// Rows that are only stored.
    pub(crate) extra: i64,
}

impl Compared {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cells: self.cells + other.cells,
            wrong: self.wrong + other.wrong,
            missing: self.missing + other.missing,
            extra: self.extra + other.extra,
        }
    }
}

/// Compares blocks, transactions and logs. What is stored above the newest block is extra, if `blocks` reach there.
pub(crate) async fn judge(stage: &Stage, blocks: Range<i64>) -> Compared {
    let head = stage.head().await.0;
    let mut compared = Compared::default();
    for page in pages(blocks, head) {
        let said = said::rows(stage.chain.rpc(), page.start.max(0)..page.end.min(head + 1)).await;
        let mut stored = Rows::new();
        for dataset in ["blocks", "transactions", "logs"] {
            stored.extend(stored_rows(stage, dataset, &page).await);
        }
        compared = compared.and(compare(&said, &stored));
    }
    compared
}

/// Compares traces with what the node says if it is asked so.
pub(crate) async fn judge_traces(stage: &Stage, blocks: Range<i64>, by: TracedBy) -> Compared {
    let (rpc, head) = (stage.chain.rpc(), stage.head().await.0);
    let mut compared = Compared::default();
    for page in pages(blocks, head) {
        let last = format!("{:#x}", head.min(page.end - 1));
        let last = rpc.call("eth_getBlockByNumber", json!([last, false])).await.unwrap();
        let oracle = Oracle::walk(rpc, last["hash"].as_str().unwrap(), page.start.cast_unsigned()).await.unwrap();
        let traces = oracle.trace_rows(rpc, CHAIN_ID, by).await.unwrap();
        let said = traces.into_iter().map(|trace| keyed("traces", row(trace, plain_text))).collect();
        compared = compared.and(compare(&said, &stored_rows(stage, "traces", &page).await));
    }
    compared
}

/// Cuts `blocks` into pages. The one that reaches the `head` ends where they do, so that nothing above is left out.
fn pages(blocks: Range<i64>, head: i64) -> Vec<Range<i64>> {
    let mut pages = Vec::new();
    let mut start = blocks.start;
    while start < blocks.end {
        let is_last = start + PAGE > head;
        let end = if is_last { blocks.end } else { blocks.end.min(start + PAGE) };
        pages.push(start..end);
        start = end;
    }
    pages
}

async fn stored_rows(stage: &Stage, dataset: &'static str, page: &Range<i64>) -> Rows {
    let sql = format!(
        "SELECT (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(r))) FROM hot.{dataset} r
          WHERE block_number >= $1 AND block_number < $2"
    );
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(page.start).bind(page.end);
    let rows: Vec<Value> = query.fetch_all(&stage.pool).await.unwrap();
    rows.into_iter().map(|stored| keyed(dataset, row(stored, stored_text))).collect()
}

/// The cells of an object, each written by `text_of` from its column and its value.
fn row(object: Value, text_of: fn(&str, &Value) -> String) -> Row {
    let Value::Object(cells) = object else { panic!("a row is an object") };
    let texts = cells.into_iter().map(|(column, value)| {
        let text = text_of(&column, &value);
        (column, text)
    });
    texts.collect()
}

fn keyed(dataset: &'static str, row: Row) -> (Key, Row) {
    let number = |column: &str| -> i64 { row[column].parse().expect("places are numbers") };
    let place = match dataset {
        "transactions" => number("transaction_index"),
        "logs" => number("log_index"),
        "traces" => number("trace_index"),
        _ => 0,
    };
    ((dataset, number("block_number"), place), row)
}

fn plain_text(column: &str, value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("{column} is {other}"),
    }
}

fn stored_text(column: &str, value: &Value) -> String {
    let text = plain_text(column, value);
    if column == "value_f64" {
        return said::nearest_double(&text);
    }
    // As Postgres writes bytes.
    text.strip_prefix("\\x").map_or_else(|| text.clone(), |digits| format!("0x{digits}"))
}

fn compare(said: &Rows, stored: &Rows) -> Compared {
    let mut compared = Compared::default();
    for (key, expected) in said {
        let Some(found) = stored.get(key) else {
            compared.missing += 1;
            continue;
        };
        let columns: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
        for column in columns {
            let (expected, found) = (expected.get(column), found.get(column));
            compared.cells += 1;
            if expected != found {
                compared.wrong += 1;
                if compared.wrong <= SHOWN {
                    println!("{column} of {key:?}: {} is stored, and the node says {}", shown(found), shown(expected));
                }
            }
        }
    }
    let extra = stored.keys().filter(|key| !said.contains_key(*key)).count();
    compared.extra = i64::try_from(extra).unwrap();
    compared
}

/// Enough of a cell to know it again.
fn shown(text: Option<&String>) -> String {
    text.map_or_else(|| "no such column".to_owned(), |text| text.chars().take(80).collect())
}

#[test]
fn what_differs_and_what_stands_on_one_side_only_is_counted() {
    let row = |first: &str, second: &str| {
        Row::from([("first".to_owned(), first.to_owned()), ("second".to_owned(), second.to_owned())])
    };
    let side = |rows: [(i64, Row); 3]| rows.into_iter().map(|(place, row)| (("logs", 7, place), row)).collect::<Rows>();
    let said = side([(0, row("a", "b")), (1, row("c", "d")), (2, row("e", "f"))]);
    assert_eq!(compare(&said, &said), Compared { cells: 6, ..Compared::default() });
    let shorter = Row::from([("first".to_owned(), "c".to_owned())]);
    let stored = side([(0, row("a", "x")), (1, shorter), (3, row("e", "f"))]);
    assert_eq!(compare(&said, &stored), Compared { cells: 4, wrong: 2, missing: 1, extra: 1 });
}

#[test]
fn pages_tile_what_is_compared() {
    assert_eq!(pages(0..i64::MAX, 120), [0..50, 50..100, 100..i64::MAX]);
    assert_eq!(pages(3..60, 500), [3..53, 53..60]);
    assert_eq!(pages(0..i64::MAX, 50), [0..50, 50..i64::MAX]);
    assert!(pages(7..i64::MAX, 2).into_iter().eq(std::iter::once(7..i64::MAX)), "nothing is above the head");
    assert!(pages(7..7, 9).is_empty());
}
