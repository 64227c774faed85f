use isotherm_alerts::channels;
use isotherm_alerts::deliveries::finish::healths;
use isotherm_alerts::deliveries::{Blame, Claimed, DeliveryFault, Kind, Verdict, health};
use isotherm_alerts::message::{Message, NoticeContent};
use isotherm_types::{ChannelId, Classified as _, OrgId};

use crate::stage::{Stage, accepted, ended};

const REFUSED: Verdict = Verdict::Failed(DeliveryFault::Refused { status: 500, asked: None });

/// Writes the end of an attempt down, and how its channel does; returns the channels that were disabled.
async fn note(stage: &mut Stage, claimed: &Claimed, verdict: Verdict) -> Vec<ChannelId> {
    assert!(stage.end(claimed, verdict.clone()).await);
    health::note(&mut stage.conn, &healths(&[ended(claimed, verdict)], false)).await.unwrap()
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_disabled_at_once_and_its_owner_told_by_email() {
    let mut stage = Stage::new().await;
    let (gone, email) = (stage.channel("webhook", 4).await, stage.channel("email", 60).await);
    stage.fire(3, &[gone]).await;
    let claimed = stage.claim_one().await;
    assert_eq!(note(&mut stage, &claimed, Verdict::Failed(DeliveryFault::Gone { status: 410 })).await, [gone]);

    let claim = stage.claim().await;
    assert_eq!((claim.cancelled, claim.messages.len()), (2, 1));
    let cancelled = ("cancelled".to_owned(), Some("alerts.channel_disabled".to_owned()));
    assert_eq!(
        stage.states("fired").await.iter().filter(|state| **state == cancelled).count(),
        2,
        "nothing is dropped silently"
    );
    let notice = &claim.messages[0];
    assert_eq!((notice.kind, notice.channel), (Kind::Notice, email));
    let expected = NoticeContent::ChannelDisabled {
        channel: "c0".to_owned(),
        channel_kind: "webhook".to_owned(),
        code: "alerts.receiver_gone".to_owned(),
    };
    assert_eq!(notice.message, Message::Notice(expected));
}

/// A stage with so many messages on their way to one channel.
async fn on_the_way(count: i32) -> (Stage, Vec<Claimed>) {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 6000).await;
    stage.fire(count, &[channel]).await;
    let claimed = stage.claim().await.messages;
    (stage, claimed)
}

async fn disabled_reason(stage: &mut Stage) -> Option<String> {
    sqlx::query_scalar("SELECT disabled_reason FROM alerts.channels").fetch_one(&mut stage.conn).await.unwrap()
}

#[tokio::test]
async fn days_of_nothing_but_failures_disable_a_channel_and_one_success_forgives_them() {
    for forgiven in [true, false] {
        let (mut stage, claimed) = on_the_way(7).await;
        for (day, message) in claimed.iter().enumerate().take(6) {
            let verdict = if forgiven && day == 2 { accepted("m") } else { REFUSED };
            let message = Claimed { is_failing: day > 0, ..message.clone() };
            let disabled = note(&mut stage, &message, verdict).await;
            assert_eq!(disabled.len(), usize::from(day == 5 && !forgiven), "day {day}, forgiven: {forgiven}");
            stage.pass(86_400).await;
        }
        let reason = disabled_reason(&mut stage).await;
        assert_eq!(reason.as_deref(), (!forgiven).then_some("alerts.failed_for_days"));
    }
}

#[tokio::test]
async fn one_failure_long_ago_and_one_now_disable_nothing() {
    let (mut stage, claimed) = on_the_way(2).await;
    assert!(note(&mut stage, &claimed[0], REFUSED).await.is_empty());
    stage.pass(30 * 86_400).await;
    let again = Claimed { is_failing: true, ..claimed[1].clone() };
    assert!(note(&mut stage, &again, REFUSED).await.is_empty(), "nothing was tried in between");
    assert_eq!(disabled_reason(&mut stage).await, None);
}

#[tokio::test]
async fn what_is_our_own_fault_never_disables_a_channel() {
    let code = "alerts.no_email_sender";
    for fault in [
        DeliveryFault::NotSent { code, blame: Blame::Platform },
        DeliveryFault::NotSent { code: "outbound.unresolved", blame: Blame::Unclear },
        DeliveryFault::NotPermitted { status: Some(403) },
        DeliveryFault::ServiceSilent,
    ] {
        let (mut stage, claimed) = on_the_way(7).await;
        for message in &claimed {
            assert!(note(&mut stage, message, Verdict::Failed(fault)).await.is_empty(), "{fault:?}");
            stage.pass(86_400).await;
        }
        let failing = "SELECT count(*) FROM alerts.channels WHERE failing_since IS NOT NULL OR failed_for_ms > 0";
        assert_eq!(stage.count(failing).await, 0, "{fault:?}");
    }
}

#[tokio::test]
async fn what_waits_for_a_deleted_channel_is_cancelled() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 60).await;
    stage.fire(2, &[channel]).await;
    stage.run("UPDATE alerts.channels SET deleted_at = now(), sealed_address = NULL").await;
    let claim = stage.claim().await;
    assert_eq!((claim.cancelled, claim.messages.len()), (2, 0));
    let cancelled = ("cancelled".to_owned(), Some("alerts.channel_deleted".to_owned()));
    assert!(stage.states("fired").await.iter().all(|state| *state == cancelled));
}

#[tokio::test]
async fn how_a_channel_does_is_written_down_while_an_evaluator_keeps_it_from_being_deleted() {
    let (mut stage, claimed) = on_the_way(2).await;
    let mut evaluator = stage.database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM alerts.channels FOR KEY SHARE").execute(&mut evaluator).await.unwrap();
    stage.run("SET lock_timeout = '50ms'").await;
    assert!(note(&mut stage, &claimed[0], REFUSED).await.is_empty());
    let failing = "SELECT count(*) FROM alerts.channels WHERE failing_since IS NOT NULL";
    assert_eq!(stage.count(failing).await, 1);
    let again = Claimed { is_failing: true, ..claimed[1].clone() };
    assert!(note(&mut stage, &again, accepted("m")).await.is_empty());
    assert_eq!(stage.count(failing).await, 0);
}

#[tokio::test]
async fn a_channel_is_disabled_and_used_again_while_an_evaluator_keeps_it_from_being_deleted() {
    let (mut stage, claimed) = on_the_way(1).await;
    let (org, channel) = (OrgId(1), claimed[0].channel);
    let mut evaluator = stage.database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM alerts.channels FOR KEY SHARE").execute(&mut evaluator).await.unwrap();
    stage.run("SET lock_timeout = '50ms'").await;
    let gone = Verdict::Failed(DeliveryFault::Gone { status: 410 });
    assert_eq!(note(&mut stage, &claimed[0], gone).await, [channel]);
    assert_eq!(disabled_reason(&mut stage).await.as_deref(), Some("alerts.receiver_gone"));
    assert!(!channels::disable(&mut stage.conn, org, channel, "by_person", "ann").await.unwrap(), "it is already");
    for expected in [true, false] {
        assert_eq!(channels::enable(&mut stage.conn, org, channel, "ann").await.unwrap(), expected);
        assert_eq!(disabled_reason(&mut stage).await, None);
    }
    let busy = channels::delete(&mut stage.conn, org, channel, "ann").await.unwrap_err();
    assert_eq!(busy.code(), "alerts.channel_database", "whoever deletes it waits");
    let stranger = channels::disable(&mut stage.conn, OrgId(2), channel, "by_person", "ann").await.unwrap_err();
    assert_eq!(stranger.code(), "alerts.no_such_channel");
}

#[tokio::test]
async fn what_a_disabled_channel_leaves_behind_is_cancelled_page_by_page_and_holds_nobody_up() {
    let mut stage = Stage::new().await;
    let (off, on) = (stage.channel("webhook", 60).await, stage.channel("webhook", 60).await);
    stage.fire(10_001, &[off]).await;
    stage.fire(1, &[on]).await;
    stage
        .run(format!("UPDATE alerts.channels SET state = 'disabled', disabled_reason = 'x' WHERE id = {}", off.0))
        .await;
    let mut evaluator = stage.database.connect().await.unwrap();
    let correcting = format!("BEGIN; SELECT FROM alerts.deliveries WHERE channel_id = {} LIMIT 1 FOR UPDATE", off.0);
    sqlx::raw_sql(sqlx::AssertSqlSafe(correcting)).execute(&mut evaluator).await.unwrap();
    stage.run("SET lock_timeout = '50ms'").await;
    let claim = stage.claim().await;
    assert_eq!(claim.cancelled, 10_000, "what an evaluator is looking at is not waited for");
    let channels: Vec<ChannelId> = claim.messages.iter().map(|claimed| claimed.channel).collect();
    assert_eq!(channels, [on]);
    assert_eq!(stage.claim().await.cancelled, 0);
    sqlx::raw_sql("ROLLBACK").execute(&mut evaluator).await.unwrap();
    assert_eq!(stage.claim().await.cancelled, 1);
}
