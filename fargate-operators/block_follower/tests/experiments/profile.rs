//! What the experiments' chain is like, as its followers are told.

use serde_json::{Value, json};

use crate::stage::CHAIN_ID;

/// The profile of the chain; without checks, everything is taken on the endpoint's word that a profile can leave to it.
pub(crate) fn profile(lacks_checks: bool) -> Value {
    let never = json!({ "header_hash": "never", "parent_hash": "never", "transactions_root": "never",
        "receipts_root": "never", "logs_bloom": "never", "gas_used": "never", "sender": "never",
        "effective_gas_price": "never", "contract_address": "never", "unknown_formats": "accept" });
    let checks = if lacks_checks { never } else { json!({}) };
    // Answers of its blocks are much shorter than 2 MiB.
    json!({ "chain_id": CHAIN_ID, "name": "demo", "block_time_ms": 400, "finality": { "kind": "tags" },
        "answer_bytes": 2 << 20, "checks": checks })
}
