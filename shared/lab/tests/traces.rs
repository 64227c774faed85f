//! The oracle's two ways to know the rows of `traces`, against each other.

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::oracle::{Oracle, TracedBy};
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use serde_json::{Value, json};

/// A row without what the two methods do not agree on: the gas of a top frame, and where a failed creation would be.
fn agreed(row: &Value) -> Value {
    let mut row = row.clone();
    if row["trace_address"] == "" {
        (row["action_gas"], row["result_gas_used"]) = (Value::Null, Value::Null);
    }
    if row["error"].is_string() {
        row["result_address"] = Value::Null;
    }
    row
}

#[tokio::test]
async fn both_ways_to_ask_the_node_give_the_same_rows_but_for_what_they_count_otherwise() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let options = TrafficOptions { transactions_per_block: 20, empty_block_one_in: 6 };
    let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 1, options);
    for _ in 0..12 {
        traffic.mine_block().await.unwrap();
    }
    let oracle = Oracle::walk(chain.rpc(), "latest", 0).await.unwrap();
    let flat = oracle.trace_rows(chain.rpc(), chain.chain_id(), TracedBy::TraceBlock).await.unwrap();
    let nested = oracle.trace_rows(chain.rpc(), chain.chain_id(), TracedBy::CallTracer).await.unwrap();
    assert_eq!(flat.iter().map(agreed).collect::<Vec<_>>(), nested.iter().map(agreed).collect::<Vec<_>>());

    let count = |column: &str, value: Value| flat.iter().filter(|row| row[column] == value).count() as u64;
    assert_eq!(count("trace_address", json!("")), oracle.total().transactions);
    let shown = [("trace_address", "0"), ("action_type", "create"), ("error", "Reverted"), ("error", "Out of gas")];
    for (column, value) in shown {
        assert!(count(column, json!(value)) > 0, "no row with the {column} {value:?}");
    }
}
