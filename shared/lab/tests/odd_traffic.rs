//! The odd transactions on a real chain.

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::oracle::{Oracle, TracedBy};
use isotherm_lab::traffic::odd::OddTraffic;

#[tokio::test]
async fn odd_transactions_succeed_and_show_every_kind_of_frame() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let mut odd = OddTraffic::start(chain.rpc_url(), chain.chain_id(), 1).await.unwrap();
    let mut sent = 0;
    for _ in 0..2 {
        sent += odd.send().await.unwrap() as u64;
        chain.mine(1).await.unwrap();
    }
    let oracle = Oracle::walk(chain.rpc(), "latest", 0).await.unwrap();
    assert_eq!(oracle.total().transactions, sent);
    let failed: Vec<u64> = oracle.blocks().values().map(|block| block.failed_transaction_count).collect();
    assert_eq!(failed, [0, 0, 0], "what fails, fails inside");
    // Four logs each by a delegated call and by a call of foreign code.
    assert_eq!(oracle.total().logs, 2 * 2 * 4);

    let shown = [
        ("action_call_type", "call"),
        ("action_call_type", "call_code"),
        ("action_call_type", "delegate_call"),
        ("action_call_type", "static_call"),
        ("action_type", "create"),
        ("action_type", "suicide"),
        ("error", "Reverted"),
        ("trace_address", "0_0"),
    ];
    for by in [TracedBy::TraceBlock, TracedBy::CallTracer] {
        let rows = oracle.trace_rows(chain.rpc(), chain.chain_id(), by).await.unwrap();
        for (column, value) in shown {
            assert!(rows.iter().any(|row| row[column] == value), "no row with the {column} {value} by {by:?}");
        }
    }
}
