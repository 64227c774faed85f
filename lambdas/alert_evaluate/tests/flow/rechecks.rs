//! What a reorg took is looked for again in several turns, or in blocks whose rows are gone: nobody is told that
//! something did not happen if nobody has looked.

use isotherm_alerts::rules;
use isotherm_types::RuleId;
use serde_json::json;

use crate::TOKEN;
use crate::chain::Transaction;
use crate::stage::Stage;

/// A rule that has told of transaction 1 in block 1, the tip, and fails at an amount of 7; and another one of the
/// organisation, so that blocks are passed though the first one is not at work. Rows leave hot storage four blocks at a
/// time.
async fn scene() -> (Stage, i64) {
    let mut stage = Stage::new(&["ops"]).await;
    stage.run("UPDATE hot.cursors SET partition_blocks = 4").await;
    let rule = stage.transfers("any", TOKEN, &json!({ "condition": "args.value / (7 - args.value) > 0" })).await;
    stage.transfers("other", TOKEN + 1, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    stage.deliver().await;
    assert_eq!(stage.states(rule).await, ["sent"]);
    (stage, rule)
}

/// Takes block 3 out, so that a turn ends before it.
async fn begin_gap(stage: &mut Stage) {
    stage.run("CREATE TABLE lab_gap AS SELECT * FROM hot.blocks WHERE block_number = 3").await;
    stage.run("DELETE FROM hot.blocks WHERE block_number = 3").await;
}

async fn end_gap(stage: &mut Stage) {
    stage.run("INSERT INTO hot.blocks SELECT * FROM lab_gap").await;
}

#[tokio::test]
async fn what_a_rule_sent_that_was_out_of_work_for_some_of_the_new_blocks_is_not_said_not_to_have_happened() {
    for fails in [false, true] {
        let (mut stage, rule) = scene().await;
        let (org, rule_id) = (stage.org, RuleId(rule));
        let failing = if fails { vec![Transaction::of(2, TOKEN, 7)] } else { Vec::new() };
        let new = vec![failing, vec![Transaction::of(1, TOKEN, 5)], Vec::new(), Vec::new()];
        stage.chain.reorg(&mut stage.conn, 1, new).await;
        if !fails {
            assert!(rules::pause(&mut stage.conn, org, rule_id, "test").await.unwrap());
        }
        begin_gap(&mut stage).await;
        stage.sweep().await;
        // It is at work again before the tip is reached, and has not looked at block 2.
        let tip = Some(stage.chain.tip().number);
        let is_back = if fails {
            rules::unquarantine(&mut stage.conn, org, rule_id, tip, "test").await
        } else {
            rules::resume(&mut stage.conn, org, rule_id, tip, "test").await
        };
        assert!(is_back.unwrap(), "fails: {fails}");
        end_gap(&mut stage).await;
        stage.sweep().await;
        assert_eq!(stage.states(rule).await, ["retracted"], "fails: {fails}");
        assert_eq!(stage.reasons_of_retraction(rule).await, ["rule_not_at_work"], "fails: {fails}");
    }
}

#[tokio::test]
async fn what_was_looked_for_in_all_new_blocks_did_not_happen_however_many_turns_that_took() {
    let (mut stage, rule) = scene().await;
    stage.chain.reorg(&mut stage.conn, 1, vec![Vec::new(); 4]).await;
    begin_gap(&mut stage).await;
    stage.sweep().await;
    assert_eq!(stage.states(rule).await, ["sent"], "it may be in a later block");
    end_gap(&mut stage).await;
    stage.sweep().await;
    assert_eq!(stage.states(rule).await, ["retracted"]);
    assert_eq!(stage.reasons_of_retraction(rule).await, ["orphaned"]);
}

#[tokio::test]
async fn what_may_be_in_blocks_whose_rows_are_gone_is_not_said_not_to_have_happened() {
    for (place, expected) in [(5, "retracted"), (9, "moved")] {
        let (mut stage, rule) = scene().await;
        let block = |number| if number == place { vec![Transaction::of(1, TOKEN, 5)] } else { Vec::new() };
        stage.chain.reorg(&mut stage.conn, 1, (1..10).map(block).collect()).await;
        stage.run("DROP TABLE hot.blocks_31337_0000000004").await;
        stage.sweep().await;
        assert_eq!(stage.states(rule).await, [expected], "block {place}");
        assert_eq!(stage.reasons_of_retraction(rule).await, ["rule_not_at_work"], "block {place}");
    }
}
