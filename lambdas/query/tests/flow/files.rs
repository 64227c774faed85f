//! Answers that are too large to come with the call.

use arrow::array::RecordBatch;
use bytes::Bytes;
use isotherm_query::render;
use isotherm_query::results::InlineLimits;
use isotherm_types::sandbox::RelationColumn;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::stage::{Stage, WIDE};

const FEW: InlineLimits = InlineLimits { max_rows: 7, max_bytes: 16 << 20 };

fn columns(answer: &Value) -> Vec<RelationColumn> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let read = |column: &Value| RelationColumn { name: text(&column["name"]), sql_type: text(&column["type"]) };
    answer["columns"].as_array().unwrap().iter().map(read).collect()
}

/// The rows of a file of JSON lines, in the order of the columns.
fn rows_of_lines(bytes: &[u8], answer: &Value) -> Vec<Vec<Value>> {
    let names = isotherm_query::results::unique_names(&columns(answer));
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    let rows = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| names.iter().map(|name| row[name].clone()).collect()).collect()
}

fn rows_of_parquet(bytes: Vec<u8>, answer: &Value) -> Vec<Vec<Value>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
    render::json_rows(&columns(answer), &batches, 64 << 20).unwrap()
}

#[tokio::test]
async fn an_answer_above_the_limit_is_a_file_with_the_same_cells_in_every_format() {
    let mut stage = Stage::new().await;
    let inline = stage.ask(json!({ "sql": WIDE })).await;
    let inline_rows: Vec<Vec<Value>> = serde_json::from_value(inline["rows"].clone()).unwrap();
    let inline_csv = stage.ask(json!({ "sql": WIDE, "format": "csv" })).await;
    assert_eq!(inline_rows.len(), 105);
    stage.function.inline = FEW;
    for (format, of_file) in [("json", "json_lines"), ("csv", "csv"), ("parquet", "parquet")] {
        for mode in ["auto", "interactive"] {
            let answer = stage.ask(json!({ "sql": WIDE, "format": format, "mode": mode })).await;
            let result = &answer["result"];
            assert_eq!((&result["format"], &result["row_count"]), (&json!(of_file), &json!(105)), "{answer}");
            assert!(answer.get("rows").is_none() && answer.get("csv").is_none(), "{answer}");
            assert_eq!((&answer["columns"], &answer["row_count"]), (&inline["columns"], &json!(105)));
            assert!(result["expires_at"].is_string());
            let bytes = stage.download(result).await;
            match format {
                "json" => assert_eq!(rows_of_lines(&bytes, &answer), inline_rows),
                "csv" => assert_eq!(json!(String::from_utf8(bytes).unwrap()), inline_csv["csv"]),
                _ => assert_eq!(rows_of_parquet(bytes, &answer), inline_rows),
            }
        }
    }
}

#[tokio::test]
async fn parquet_is_a_file_however_few_rows_there_are() {
    let stage = Stage::new().await;
    let answer = stage.ask(json!({ "sql": "select 7 as n", "format": "parquet" })).await;
    assert_eq!(rows_of_parquet(stage.download(&answer["result"]).await, &answer), [[json!(7)]]);
    let none = stage.ask(json!({ "sql": "select 7 as n where false", "format": "parquet" })).await;
    let no_rows: [[Value; 1]; 0] = [];
    assert_eq!(rows_of_parquet(stage.download(&none["result"]).await, &none), no_rows);
}

#[tokio::test]
async fn an_answer_whose_text_no_door_carries_is_a_file_too() {
    let stage = Stage::new().await;
    let sql = "select repeat(chr(34), 100000) as quotes from blocks";
    let answer = stage.ask(json!({ "sql": sql })).await;
    let rows = rows_of_lines(&stage.download(&answer["result"]).await, &answer);
    assert_eq!((rows.len(), rows[0][0].as_str().unwrap().len()), (35, 100_000));
}

#[tokio::test]
async fn the_file_is_found_again_under_a_new_url() {
    let mut stage = Stage::new().await;
    stage.function.inline = FEW;
    let answer = stage.ask(json!({ "sql": WIDE })).await;
    let status = stage.ask(json!({ "action": "query_status", "query_id": answer["query_id"] })).await;
    assert_eq!(status["state"], json!("completed"));
    assert_eq!(stage.download(&status["result"]).await, stage.download(&answer["result"]).await);
    let again = &status["answer"];
    assert_eq!((&again["columns"], &again["state"]), (&answer["columns"], &answer["state"]));
    assert_eq!(again["result"], status["result"]);
    // Whoever lists queries is not handed their rows.
    let list = stage.ask(json!({ "action": "list_queries" })).await;
    assert!(list["queries"][0]["has_result"].as_bool().unwrap() && !list.to_string().contains("X-Amz"), "{list}");
}

#[tokio::test]
async fn a_file_has_a_limit_too_and_nothing_is_left_of_what_passes_it() {
    let mut stage = Stage::new().await;
    (stage.function.inline, stage.function.max_file_bytes) = (FEW, 1000);
    let refused = stage.direct(json!({ "sql": WIDE })).await;
    assert_eq!(refused["error"]["code"], json!("query.too_large"));
    let list = stage.ask(json!({ "action": "list_queries" })).await;
    let expected = (&json!("failed"), &json!("query.too_large"), &json!(false));
    let record = &list["queries"][0];
    assert_eq!((&record["state"], &record["error_code"], &record["has_result"]), expected);
}
