//! The rows of `traces` that a correct indexer must have, from the node's plain JSON.

use alloy::primitives::U256;
use serde_json::{Map, Value, json};

use super::{Oracle, OracleBlock};
use crate::LabError;
use crate::rpc::{Rpc, quantity, shape};

/// How the node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracedBy {
    /// By `trace_block`.
    TraceBlock,
    /// By `debug_traceTransaction` with `callTracer`, one transaction after another. The gas at the top is what the
    /// transaction and its receipt say.
    CallTracer,
}

impl Oracle {
    /// The rows of every block that was walked, in order: an object each, bytes as `0x…`, `null` for what is absent.
    ///
    /// # Errors
    /// [`LabError::Shape`] if the answers do not fit the blocks, else as [`Rpc::call`].
    pub async fn trace_rows(&self, rpc: &Rpc, chain_id: u64, by: TracedBy) -> Result<Vec<Value>, LabError> {
        let mut rows = Vec::new();
        for block in self.blocks.values() {
            let traces = match by {
                TracedBy::TraceBlock => flat(rpc, block).await?,
                TracedBy::CallTracer => nested(rpc, block).await?,
            };
            for (index, trace) in traces.iter().enumerate() {
                let mut row = row(trace)?;
                row.extend(fields(json!({
                    "block_number": block.number,
                    "block_hash": block.hash,
                    "timestamp": block.timestamp,
                    "chain_id": chain_id,
                    "trace_index": index,
                })));
                rows.push(Value::Object(row));
            }
        }
        Ok(rows)
    }
}

async fn flat(rpc: &Rpc, block: &OracleBlock) -> Result<Vec<Value>, LabError> {
    const METHOD: &str = "trace_block";
    let answer = rpc.call(METHOD, json!([format!("{:#x}", block.number)])).await?;
    let traces = answer.as_array().ok_or_else(|| shape(METHOD, "result"))?;
    if traces.iter().any(|trace| trace["blockHash"] != *block.hash) {
        return Err(shape(METHOD, "blockHash"));
    }
    Ok(traces.clone())
}

/// The frames of all transactions, in the form of `trace_block`.
async fn nested(rpc: &Rpc, block: &OracleBlock) -> Result<Vec<Value>, LabError> {
    let whole = rpc.call("eth_getBlockByHash", json!([block.hash, true])).await?;
    let receipts = rpc.call("eth_getBlockReceipts", json!([{ "blockHash": block.hash }])).await?;
    let mut traces = Vec::new();
    for (index, hash) in block.transaction_hashes.iter().enumerate() {
        let mut top = rpc.call("debug_traceTransaction", json!([hash, { "tracer": "callTracer" }])).await?;
        let (transaction, receipt) = (&whole["transactions"][index], &receipts[index]);
        if transaction["hash"] != **hash || receipt["transactionHash"] != **hash || !top.is_object() {
            return Err(shape("debug_traceTransaction", "result"));
        }
        (top["gas"], top["gasUsed"]) = (transaction["gas"].clone(), receipt["gasUsed"].clone());
        unfold(&top, &[], &json!({ "transactionPosition": index, "transactionHash": hash }), &mut traces);
    }
    Ok(traces)
}

/// Appends a frame and then the frames that it called.
fn unfold(frame: &Value, path: &[usize], transaction: &Value, traces: &mut Vec<Value>) {
    let empty = json!("0x");
    let or = |field: &Value, other: &Value| if field.is_null() { other.clone() } else { field.clone() };
    let (input, output) = (&frame["input"], or(&frame["output"], &empty));
    let value = or(&frame["value"], &json!("0x0"));
    let calls = frame["calls"].as_array().map_or(&[][..], Vec::as_slice);
    let error = match frame["error"].as_str() {
        Some("execution reverted") => json!("Reverted"),
        Some("out of gas") => json!("Out of gas"),
        Some(text) if text.starts_with("invalid opcode") => json!("Bad instruction"),
        _ => frame["error"].clone(),
    };
    let (kind, action, result) = match frame["type"].as_str() {
        Some("CREATE" | "CREATE2") => (
            "create",
            json!({ "from": frame["from"], "value": value, "gas": frame["gas"], "init": input }),
            json!({ "gasUsed": frame["gasUsed"], "code": output, "address": frame["to"] }),
        ),
        Some("SELFDESTRUCT") => (
            "suicide",
            json!({ "address": frame["from"], "refundAddress": frame["to"], "balance": value }),
            Value::Null,
        ),
        other => {
            let call_type = other.map(str::to_lowercase);
            (
                "call",
                json!({ "from": frame["from"], "to": frame["to"], "value": value, "gas": frame["gas"], "input": input,
                        "callType": call_type }),
                json!({ "gasUsed": frame["gasUsed"], "output": output }),
            )
        }
    };
    let result = if error.is_null() || error == "Reverted" { result } else { Value::Null };
    let mut trace = fields(json!({ "type": kind, "action": action, "result": result, "error": error,
        "subtraces": calls.len(), "traceAddress": path }));
    trace.extend(fields(transaction.clone()));
    traces.push(Value::Object(trace));
    for (place, call) in calls.iter().enumerate() {
        unfold(call, &[path, &[place]].concat(), transaction, traces);
    }
}

/// One row as far as the trace itself tells it.
fn row(trace: &Value) -> Result<Map<String, Value>, LabError> {
    let (action, result, kind) = (&trace["action"], &trace["result"], &trace["type"]);
    let (from, to, value) = match kind.as_str() {
        Some("suicide") => ("address", "refundAddress", "balance"),
        Some("reward") => ("author", "", "value"),
        _ => ("from", "to", "value"),
    };
    let path = trace["traceAddress"].as_array().ok_or_else(|| shape("trace_block", "traceAddress"))?;
    let path: Vec<String> = path.iter().map(Value::to_string).collect();
    Ok(fields(json!({
        "action_from": action[from],
        "action_to": action[to],
        "action_value": decimal(&action[value])?,
        "action_gas": quantity(&action["gas"]),
        "action_input": action["input"],
        "action_call_type": action["callType"].as_str().map(spelled_by_cryo),
        "action_init": action["init"],
        "action_reward_type": action["rewardType"].as_str().map(spelled_by_cryo),
        "action_type": kind,
        "result_gas_used": quantity(&result["gasUsed"]),
        "result_output": result["output"],
        "result_code": result["code"],
        "result_address": result["address"],
        "trace_address": path.join("_"),
        "subtraces": trace["subtraces"],
        "transaction_index": trace["transactionPosition"],
        "transaction_hash": trace["transactionHash"],
        "error": trace["error"],
    })))
}

fn spelled_by_cryo(word: &str) -> &str {
    match word {
        "callcode" => "call_code",
        "delegatecall" => "delegate_call",
        "staticcall" => "static_call",
        "block" => "reward",
        word => word,
    }
}

fn decimal(value: &Value) -> Result<String, LabError> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = digits.and_then(|digits| U256::from_str_radix(digits, 16).ok());
    number.map(|number| number.to_string()).ok_or_else(|| shape("trace_block", "value"))
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
