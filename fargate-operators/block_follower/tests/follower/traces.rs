//! Traces: stored with their blocks, taken back with them, and never stored where they are untrue.

use isotherm_hot_store::gaps::{self, GapKind};
use isotherm_lab::oracle::{Oracle, TracedBy};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::{Fault, FaultRule, Tape, TapeServer};
use isotherm_types::ChainId;
use serde_json::{Value, json};

use crate::stage::{CHAIN_ID, Stage};

const FIRST_TRACED: &str = "SELECT first_traced_block FROM hot.cursors";
/// Traces of blocks that are not stored.
const ORPHANS: &str = "
    SELECT count(*) FROM hot.traces t
     WHERE NOT EXISTS (SELECT FROM hot.blocks b WHERE b.block_number = t.block_number AND b.block_hash = t.block_hash)";

/// Compares every stored trace with what the chain itself says, cell by cell, from block `start` to its newest block.
async fn assert_traces_equal_chain(stage: &Stage, start: u64, by: TracedBy) {
    let oracle = Oracle::walk(stage.chain.rpc(), "latest", start).await.unwrap();
    let expected = oracle.trace_rows(stage.chain.rpc(), CHAIN_ID, by).await.unwrap();
    let rows = "SELECT to_jsonb(t) FROM hot.traces t ORDER BY block_number, trace_index";
    let rows: Vec<Value> = sqlx::query_scalar(rows).fetch_all(&stage.pool).await.unwrap();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.into_iter().zip(expected) {
        assert_eq!(spelled_as_the_chain_does(row), expected);
    }
}

/// A row with its bytes as `0x…` in the place of `\x…`.
fn spelled_as_the_chain_does(row: Value) -> Value {
    let Value::Object(fields) = row else { panic!("a row is an object") };
    let spelled = fields.into_iter().map(|(name, value)| {
        let digits = value.as_str().and_then(|text| text.strip_prefix("\\x")).map(|digits| format!("0x{digits}"));
        (name, digits.map_or(value, Value::String))
    });
    Value::Object(spelled.collect())
}

/// The lists of datasets in events of a kind, each once.
async fn told(stage: &Stage, kind: &str) -> Vec<String> {
    let lists = "SELECT DISTINCT (body -> 'datasets')::text FROM control.events WHERE kind = $1 ORDER BY 1";
    sqlx::query_scalar(lists).bind(kind).fetch_all(&stage.pool).await.unwrap()
}

/// Mines a block that has a transaction for certain.
async fn mine_a_transfer(stage: &mut Stage) {
    let accounts = stage.chain.call("eth_accounts", json!([])).await.unwrap();
    let transfer = json!({ "from": accounts[0], "to": accounts[1], "value": "0x1" });
    stage.chain.call("eth_sendTransaction", json!([transfer])).await.unwrap();
    stage.mine(1).await;
}

const WITH_TRACES: &str = r#"["blocks", "transactions", "logs", "traces"]"#;
const WITHOUT_TRACES: &str = r#"["blocks", "transactions", "logs"]"#;

#[tokio::test]
async fn traces_are_stored_with_their_blocks_by_either_method() {
    for (method, by) in [("trace_block", TracedBy::TraceBlock), ("debug_trace_block", TracedBy::CallTracer)] {
        let mut stage = Stage::new().await;
        stage.mine(6).await;
        let follower = stage.follow(&json!({ "traces": method }));
        stage.caught_up().await;
        stage.mine(6).await;
        stage.caught_up().await;
        follower.stop().await;
        stage.assert_equals_chain(0).await;
        stage.assert_events_tell_the_story().await;
        assert_traces_equal_chain(&stage, 0, by).await;
        assert_eq!(stage.number(FIRST_TRACED).await, Some(0));
        assert_eq!(told(&stage, "dataset_advanced").await, [WITH_TRACES]);
        let (blocks, rows, _) = stage.counted("traces").await;
        assert_eq!((blocks, rows), (stage.head().await.0 + 1, stage.stored("traces").await), "{method}");
        let below_the_top = stage.number("SELECT count(*) FROM hot.traces WHERE trace_address <> ''").await;
        assert!(below_the_top > Some(0), "{method}");
    }
}

#[tokio::test]
async fn a_reorg_takes_traces_back_and_brings_those_of_the_new_branch() {
    let mut stage = Stage::new().await;
    stage.mine(8).await;
    mine_a_transfer(&mut stage).await;
    let follower = stage.follow(&json!({ "traces": "trace_block" }));
    stage.caught_up().await;
    stage.chain.reorg(2, &[]).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.caught_up().await;
    assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
    assert_eq!(told(&stage, "dataset_invalidated").await, [WITH_TRACES]);
    stage.mine(3).await;
    stage.caught_up().await;
    assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
    stage.assert_events_tell_the_story().await;
    follower.stop().await;
}

#[tokio::test]
async fn traces_begin_where_the_job_asks_for_them_and_end_where_it_does_not_any_more() {
    let mut stage = Stage::new().await;
    stage.mine(3).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    follower.stop().await;
    assert_eq!((stage.number(FIRST_TRACED).await, stage.stored("traces").await), (None, 0));
    assert_eq!(told(&stage, "dataset_advanced").await, [WITHOUT_TRACES]);

    let (untraced, _) = stage.head().await;
    stage.mine(2).await;
    mine_a_transfer(&mut stage).await;
    let follower = stage.follow(&json!({ "traces": "trace_block" }));
    stage.caught_up().await;
    follower.stop().await;
    assert_eq!(stage.number(FIRST_TRACED).await, Some(untraced + 1));
    assert_traces_equal_chain(&stage, untraced.cast_unsigned() + 1, TracedBy::TraceBlock).await;

    stage.mine(1).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    assert_eq!(stage.number(FIRST_TRACED).await, None);
    // The block of the transfer goes, and its traces with it.
    stage.chain.reorg(2, &[]).await.unwrap();
    stage.caught_up().await;
    assert_eq!(told(&stage, "dataset_invalidated").await, [WITH_TRACES], "they are lost though none come anew");
    assert_eq!(stage.number(ORPHANS).await, Some(0));
    follower.stop().await;
}

/// The whole chain with its traces on tape.
async fn record(stage: &Stage) -> Tape {
    let end = stage.head().await.0 + 1;
    let mut tape = stage.record(end).await;
    for number in 0..end {
        tape.record(stage.chain.rpc(), "trace_block", json!([format!("{number:#x}")])).await.unwrap();
    }
    tape
}

/// A fault of the answers about block 1, which deploys the contracts of the traffic.
fn about_block_1(times: usize, fault: Fault) -> FaultRule {
    FaultRule { params: Some(json!(["0x1"])), ..FaultRule::new("trace_block", times, fault) }
}

#[tokio::test]
async fn untrue_traces_are_refused_and_another_node_is_asked() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let tape = record(&stage).await;
    let (liar, honest) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    let mut untrue = stage.chain.call("trace_block", json!(["0x1"])).await.unwrap();
    untrue[0]["action"]["value"] = json!("0x1");
    liar.inject(about_block_1(usize::MAX, Fault::Result(untrue)));
    let follower = stage.follow_at(&format!("{},{}", liar.url(), honest.url()), &json!({ "traces": "trace_block" }));
    stage.caught_up().await;
    follower.stop().await;
    assert!(liar.calls().contains(&("trace_block".to_owned(), json!(["0x1"]))), "it was asked, and not believed");
    stage.assert_equals_chain(0).await;
    assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
}

#[tokio::test]
async fn traces_that_are_not_there_yet_are_waited_for_and_never_left_out() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let node = TapeServer::start(record(&stage).await).await.unwrap();
    node.inject(about_block_1(3, Fault::NullResult));
    let follower = stage.follow_at(node.url(), &json!({ "traces": "trace_block" }));
    stage.caught_up().await;
    follower.stop().await;
    assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
}

#[tokio::test]
async fn a_block_is_not_asked_for_again_because_its_traces_could_not_be_had() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let node = TapeServer::start(record(&stage).await).await.unwrap();
    // Once more than it is asked before the round is given up.
    let busy = Fault::Error { code: -32_000, message: "execution took too long".to_owned() };
    node.inject(about_block_1(7, busy));
    let follower = stage.follow_at(node.url(), &json!({ "traces": "trace_block" }));
    stage.caught_up().await;
    follower.stop().await;
    assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
    let calls = node.calls();
    let asked = |method: &str, params: Value| {
        let call = (method.to_owned(), params);
        calls.iter().filter(|made| **made == call).count()
    };
    assert_eq!(asked("eth_getBlockByNumber", json!(["0x1", true])), 1);
    assert_eq!(asked("trace_block", json!(["0x1"])), 8);
}

#[tokio::test]
async fn blocks_that_have_lost_their_place_before_their_traces_came_are_asked_for_anew() {
    let mut stage = Stage::new().await;
    stage.mine(4).await;
    let newest = json!([format!("{:#x}", stage.head().await.0), false]);
    let other = stage.chain.call("eth_getBlockByNumber", newest.clone()).await.unwrap();
    stage.chain.reorg(1, &[]).await.unwrap();
    assert_ne!(json!(stage.head().await.1), other["hash"]);
    let node = TapeServer::start(record(&stage).await).await.unwrap();
    let busy = Fault::Error { code: -32_000, message: "execution took too long".to_owned() };
    node.inject(about_block_1(7, busy));
    // What is at the newest block's place by the time of its traces.
    let params = Some(newest);
    node.inject(FaultRule { params, ..FaultRule::new("eth_getBlockByNumber", usize::MAX, Fault::Result(other)) });
    let follower = stage.follow_at(node.url(), &json!({ "traces": "trace_block" }));
    stage.caught_up().await;
    follower.stop().await;
    assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
    let asked = ("eth_getBlockByNumber".to_owned(), json!(["0x1", true]));
    assert_eq!(node.calls().iter().filter(|call| **call == asked).count(), 2);
}

#[tokio::test]
async fn blocks_that_have_their_traces_are_stored_without_waiting_for_one_that_has_not() {
    let mut stage = Stage::new().await;
    stage.mine(3).await;
    mine_a_transfer(&mut stage).await;
    let (late, _) = stage.head().await;
    stage.mine(2).await;
    let node = TapeServer::start(record(&stage).await).await.unwrap();
    let params = Some(json!([format!("{late:#x}")]));
    node.inject(FaultRule { params, ..FaultRule::new("trace_block", usize::MAX, Fault::NullResult) });
    let follower = stage.follow_at(node.url(), &json!({ "traces": "trace_block" }));
    let is_waiting = async || stage.tip().await.is_some_and(|(number, _)| number == late - 1);
    eventually("the block before it to be stored", is_waiting).await.unwrap();
    assert_eq!(found(&stage).await, [], "each has its traces");
    node.heal();
    stage.caught_up().await;
    follower.stop().await;
    assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
}

/// What is wrong with stored blocks, by number, the highest first.
async fn found(stage: &Stage) -> Vec<(u64, GapKind)> {
    let mut conn = stage.database.connect().await.unwrap();
    let blocks = gaps::hot_blocks(&mut conn, ChainId(CHAIN_ID), None).await.unwrap().unwrap();
    let page = gaps::look(&mut conn, ChainId(CHAIN_ID), blocks, None).await.unwrap();
    page.gaps.into_iter().map(|gap| (gap.number.0, gap.kind)).collect()
}

async fn execute(stage: &Stage, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&stage.pool).await.unwrap();
}

#[tokio::test]
async fn traces_that_are_missing_are_fetched_and_written_anew() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let traced = json!({ "traces": "trace_block" });
    let follower = stage.follow(&traced);
    stage.caught_up().await;
    follower.stop().await;
    assert_eq!(found(&stage).await, []);
    // Block 1 deploys the contracts of the traffic.
    for damage in [
        "DELETE FROM hot.traces WHERE block_number = 1",
        "DELETE FROM hot.traces WHERE block_number = 1 AND trace_index = 0",
        "UPDATE hot.traces SET block_hash = sha256(block_hash) WHERE block_number = 1",
    ] {
        execute(&stage, damage).await;
        assert_eq!(found(&stage).await, [(1, GapKind::Traces)], "{damage}");
        let follower = stage.follow(&traced);
        eventually(damage, async || found(&stage).await.is_empty()).await.unwrap();
        follower.stop().await;
        assert_traces_equal_chain(&stage, 0, TracedBy::TraceBlock).await;
        assert_eq!(stage.number(FIRST_TRACED).await, Some(0), "{damage}");
    }
}

#[tokio::test]
async fn missing_traces_that_nobody_wants_any_more_are_given_up_and_halt_nobody() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let follower = stage.follow(&json!({ "traces": "trace_block" }));
    stage.caught_up().await;
    follower.stop().await;
    execute(&stage, "DELETE FROM hot.traces WHERE block_number = 1").await;
    let follower = stage.follow(&json!({}));
    eventually("the traces to be given up", async || stage.number(FIRST_TRACED).await == Some(2)).await.unwrap();
    assert_eq!(found(&stage).await, []);
    follower.stop().await;
    stage.assert_equals_chain(0).await;
}
