use isotherm_alerts::deliveries::finish::healths;
use isotherm_alerts::deliveries::{Claimed, DeliveryFault, Kind, Verdict, health};
use isotherm_alerts::message::{Message, NoticeContent};
use isotherm_types::ChannelId;

use crate::stage::{Stage, accepted, ended};

const REFUSED: Verdict = Verdict::Failed(DeliveryFault::Refused { status: 500, asked: None });

/// Writes the end of an attempt down, and how its channel does; returns the channels that were disabled.
async fn note(stage: &mut Stage, claimed: &Claimed, verdict: Verdict) -> Vec<ChannelId> {
    assert!(stage.end(claimed, verdict.clone()).await);
    health::note(&mut stage.conn, &healths(&[ended(claimed, verdict)])).await.unwrap()
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

#[tokio::test]
async fn days_of_nothing_but_failures_disable_a_channel_and_one_success_forgives_them() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 6000).await;
    for forgiven in [true, false] {
        stage.fire(3, &[channel]).await;
        let claim = stage.claim().await;
        let [first, second, third] = <[Claimed; 3]>::try_from(claim.messages).unwrap();
        assert!(note(&mut stage, &first, REFUSED).await.is_empty());
        stage.pass(5 * 86_400 - 60).await;
        let verdict = if forgiven { accepted("m") } else { REFUSED };
        assert!(
            note(&mut stage, &Claimed { is_failing: true, ..second }, verdict).await.is_empty(),
            "not five days yet"
        );
        stage.pass(61).await;
        let disabled = note(&mut stage, &third, REFUSED).await;
        assert_eq!(disabled.is_empty(), forgiven, "{disabled:?}");
        stage
            .run(
                "UPDATE alerts.channels SET failing_since = NULL;
                 UPDATE alerts.deliveries SET state = 'failed', finished_at = now() WHERE state = 'queued'",
            )
            .await;
    }
    let reason: Option<String> =
        sqlx::query_scalar("SELECT disabled_reason FROM alerts.channels").fetch_one(&mut stage.conn).await.unwrap();
    assert_eq!(reason.as_deref(), Some("alerts.failed_for_days"));
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
