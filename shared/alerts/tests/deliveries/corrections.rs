use isotherm_alerts::deliveries::replay::replay;
use isotherm_alerts::deliveries::{DeliveryFault, Kind, Verdict};
use isotherm_alerts::message::{Change, Message, NoticeContent, Retraction};
use isotherm_types::OrgId;

use crate::stage::{Stage, accepted};

const REJECTED: Verdict = Verdict::Failed(DeliveryFault::Rejected { status: Some(400) });

/// The correction's state once its original has ended with `verdict` at its last attempt.
async fn after(channel_kind: &str, verdict: Verdict) -> (Vec<Kind>, Vec<(String, Option<String>)>) {
    let mut stage = Stage::new().await;
    let channel = stage.channel(channel_kind, 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let first = stage.claim_one().await;
    stage.deliver(&alerts, channel, "retracted").await;
    assert!(stage.claim().await.messages.is_empty(), "a correction waits until its original has ended");
    stage.end(&first, verdict).await;
    stage.run("UPDATE alerts.deliveries SET state = 'failed', finished_at = now() WHERE kind = 'fired' AND state = 'queued'").await;
    let claim = stage.claim().await;
    let kinds = claim.messages.iter().map(|claimed| claimed.kind).collect();
    (kinds, stage.states("retracted").await)
}

#[tokio::test]
async fn a_correction_goes_to_whoever_has_the_original_or_may_have_it() {
    let cancelled = [("cancelled".to_owned(), Some("alerts.nothing_to_correct".to_owned()))];
    for kind in ["webhook", "slack", "email", "sms"] {
        let (claimed, _) = after(kind, accepted("m")).await;
        assert_eq!(claimed, [Kind::Retracted], "{kind}: it was delivered");
        let (claimed, states) = after(kind, REJECTED).await;
        assert_eq!((claimed.len(), states.as_slice()), (0, &cancelled[..]), "{kind}: it never got there");
    }
    let unanswered = || Verdict::Failed(DeliveryFault::NoAnswer);
    for kind in ["webhook", "slack", "email"] {
        let (claimed, _) = after(kind, unanswered()).await;
        assert_eq!(claimed, [Kind::Retracted], "{kind}: it may have got there");
    }
    let (claimed, states) = after("sms", unanswered()).await;
    assert_eq!(
        (claimed.len(), states.as_slice()),
        (0, &cancelled[..]),
        "a text message corrects what was delivered only"
    );
}

#[tokio::test]
async fn a_text_message_that_was_delivered_is_corrected_though_it_failed_when_it_was_sent_again() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("sms", 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let first = stage.claim_one().await;
    stage.end(&first, accepted("m")).await;
    replay(&mut stage.conn, OrgId(1), first.id, "ann").await.unwrap();
    let again = stage.claim_one().await;
    assert_eq!((again.id, again.attempt), (first.id, 2));
    stage.deliver(&alerts, channel, "retracted").await;
    assert!(stage.claim().await.messages.is_empty(), "the correction waits until the repetition has ended");
    stage.end(&again, REJECTED).await;
    assert_eq!(stage.claim_one().await.kind, Kind::Retracted);
}

#[tokio::test]
async fn a_correction_answers_to_what_the_provider_calls_the_original() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("slack", 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let first = stage.claim_one().await;
    stage.end(&first, accepted("1503435956.000247")).await;
    stage.deliver(&alerts, channel, "moved").await;
    stage.run("UPDATE alerts.alert_events SET state = 'moved', block_number = 9").await;
    let correction = stage.claim_one().await;
    assert_eq!((correction.kind, correction.thread.as_deref()), (Kind::Moved, Some("1503435956.000247")));
    assert_ne!(correction.id, first.id);
    let Message::Alert(alert) = correction.message else { panic!("{:?}", correction.message) };
    assert_eq!((alert.block_number, alert.state.as_str()), (9, "moved"), "it says what the ledger says now");
}

#[tokio::test]
async fn corrections_of_one_alert_keep_their_order() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let first = stage.claim_one().await;
    stage.end(&first, accepted("m")).await;
    stage.deliver(&alerts, channel, "moved").await;
    stage.deliver(&alerts, channel, "retracted").await;
    let moved = stage.claim_one().await;
    assert_eq!(moved.kind, Kind::Moved);
    assert!(stage.claim().await.messages.is_empty());
    stage.end(&moved, accepted("n")).await;
    assert_eq!(stage.claim_one().await.kind, Kind::Retracted);
}

#[tokio::test]
async fn corrections_do_not_take_the_tokens_of_new_alerts() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 4).await;
    let alerts = stage.fire(1, &[channel]).await;
    let first = stage.claim_one().await;
    stage.end(&first, accepted("m")).await;
    stage.deliver(&alerts, channel, "retracted").await;
    stage.fire(1, &[channel]).await;
    let claim = stage.claim().await;
    let kinds: Vec<Kind> = claim.messages.iter().map(|claimed| claimed.kind).collect();
    assert_eq!(kinds, [Kind::Retracted], "the one token for first messages is spent, that for corrections is not");
}

#[tokio::test]
async fn a_retraction_says_whether_its_rule_has_looked() {
    for (reason, version, expected) in [
        ("NULL", 1, Retraction::Orphaned),
        ("NULL", 2, Retraction::RuleChanged),
        ("'rule_not_at_work'", 1, Retraction::RuleNotAtWork),
        // What the evaluator has written counts, whatever becomes of the rule before it is sent.
        ("'orphaned'", 2, Retraction::Orphaned),
        ("'rule_changed'", 1, Retraction::RuleChanged),
    ] {
        let mut stage = Stage::new().await;
        let channel = stage.channel("webhook", 60).await;
        let alerts = stage.fire(1, &[channel]).await;
        let first = stage.claim_one().await;
        stage.end(&first, accepted("m")).await;
        // What an earlier retraction was for does not count.
        for reason in ["'an_earlier_one'", reason] {
            stage
                .run(format!(
                    "INSERT INTO alerts.alert_history (org_id, alert_id, from_state, to_state, block_number, block_hash, reason)
                     SELECT org_id, id, 'sent', 'retracted', block_number, block_hash, {reason} FROM alerts.alert_events"
                ))
                .await;
        }
        stage.run(format!("UPDATE alerts.rules SET version = {version}")).await;
        stage.deliver(&alerts, channel, "retracted").await;
        let Message::Alert(alert) = stage.claim_one().await.message else { panic!("{reason}: a retraction") };
        assert_eq!(alert.change, Change::Retracted(expected), "{reason}, version {version}");
    }
}

#[tokio::test]
async fn a_notice_about_a_rule_names_it() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("email", 60).await;
    stage
        .run(format!(
            "INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content)
             SELECT gen_random_uuid(), org_id, {}, 'notice',
                    jsonb_build_object('type', 'rule.quarantined', 'rule_id', id, 'code', 'alerts.x', 'message', 'm')
               FROM alerts.rules",
            channel.0
        ))
        .await;
    let Message::Notice(NoticeContent::RuleQuarantined { rule, .. }) = stage.claim_one().await.message else {
        panic!("a notice about a rule")
    };
    assert_eq!(rule.as_deref(), Some("large"));
}
