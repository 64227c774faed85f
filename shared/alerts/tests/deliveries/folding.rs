use isotherm_alerts::deliveries::{Kind, Verdict};
use isotherm_alerts::digest::DigestOf;
use isotherm_alerts::message::Message;

use crate::stage::{Stage, accepted};

/// First messages that are neither delivered nor in a digest that was.
const UNACCOUNTED: &str = "
    SELECT count(*) FROM alerts.deliveries d LEFT JOIN alerts.deliveries g ON g.id = d.digest_id
     WHERE d.kind <> 'digest' AND coalesce(g.state, d.state) <> 'delivered'";

async fn deliver_all(stage: &mut Stage) -> Vec<(Kind, Option<u64>)> {
    let claim = stage.claim().await;
    let mut sent = Vec::new();
    for claimed in claim.messages {
        let count = match &claimed.message {
            Message::Digest { content, .. } => content.count,
            _ => None,
        };
        sent.push((claimed.kind, count));
        assert!(stage.end(&claimed, accepted("m")).await);
    }
    sent
}

#[tokio::test]
async fn one_digest_carries_what_the_limit_holds_back_and_every_message_is_accounted_for() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 10).await;
    stage.fire(1_000, &[channel]).await;
    assert_eq!(deliver_all(&mut stage).await, [(Kind::Fired, None); 2], "the burst of a limit of ten");
    assert_eq!(stage.count("SELECT count(*) FROM alerts.deliveries WHERE state = 'folded'").await, 998);
    assert!(deliver_all(&mut stage).await.is_empty(), "no token is left");
    stage.fire(3, &[channel]).await;
    assert!(deliver_all(&mut stage).await.is_empty());
    assert_eq!(stage.count("SELECT count(*) FROM alerts.deliveries WHERE state = 'folded'").await, 1_001);
    stage.pass(8).await;
    assert_eq!(deliver_all(&mut stage).await, [(Kind::Digest, Some(1_001))]);
    assert_eq!(stage.count(UNACCOUNTED).await, 0);
    assert_eq!(stage.count("SELECT count(*) FROM alerts.deliveries WHERE kind = 'digest'").await, 1);
}

#[tokio::test]
async fn a_digest_that_was_tried_takes_nothing_in() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 10).await;
    stage.fire(20, &[channel]).await;
    assert_eq!(deliver_all(&mut stage).await.len(), 2);
    stage.pass(8).await;
    let digest = stage.claim_one().await;
    stage.end(&digest, Verdict::Failed(isotherm_alerts::deliveries::DeliveryFault::NoAnswer)).await;
    stage.fire(9, &[channel]).await;
    stage.claim().await;
    let content = "SELECT (content ->> 'count')::bigint FROM alerts.deliveries WHERE kind = 'digest' AND attempts = 1";
    assert_eq!(stage.count(content).await, 18);
    let inside =
        "SELECT count(*) FROM alerts.deliveries d JOIN alerts.deliveries g ON g.id = d.digest_id AND g.attempts = 1";
    assert_eq!(stage.count(inside).await, 18);
}

#[tokio::test]
async fn a_few_wait_for_their_tokens() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 10).await;
    stage.fire(7, &[channel]).await;
    assert_eq!(deliver_all(&mut stage).await.len(), 2);
    for _ in 0..5 {
        stage.pass(8).await;
        assert_eq!(deliver_all(&mut stage).await, [(Kind::Fired, None)]);
    }
    assert_eq!(stage.count(UNACCOUNTED).await, 0);
    assert_eq!(stage.count("SELECT count(*) FROM alerts.deliveries WHERE kind = 'digest'").await, 0);
}

#[tokio::test]
async fn a_flood_of_corrections_is_folded_in_its_own_lane() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 10).await;
    let alerts = stage.fire(30, &[channel]).await;
    assert_eq!(deliver_all(&mut stage).await.len(), 2);
    stage.deliver(&alerts, channel, "retracted").await;
    // The two that were delivered may be corrected at once; the others are in a digest that was not sent.
    assert_eq!(
        deliver_all(&mut stage).await,
        [(Kind::Retracted, None)],
        "a limit of ten lets one correction through at once"
    );
    stage.pass(8).await;
    assert!(deliver_all(&mut stage).await.contains(&(Kind::Digest, Some(28))));
    stage.pass(60).await;
    assert_eq!(deliver_all(&mut stage).await, [(Kind::Retracted, None)], "28 others are folded");
    stage.pass(60).await;
    let digest = stage.claim_one().await;
    let Message::Digest { content, .. } = &digest.message else { panic!("{digest:?}") };
    assert_eq!((content.of, content.count), (DigestOf::Corrections, Some(28)));
    assert_eq!(content.groups[0].kind, "retracted");
    assert!(stage.end(&digest, accepted("m")).await);
    assert_eq!(stage.count(UNACCOUNTED).await, 0);
}

#[tokio::test]
async fn corrections_of_text_messages_that_failed_when_they_were_sent_again_are_folded_too() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("sms", 10).await;
    let alerts = stage.fire(30, &[channel]).await;
    stage
        .run(
            "UPDATE alerts.deliveries SET state = 'failed', attempts = 2, may_have_arrived = true, finished_at = now();
             INSERT INTO alerts.delivery_attempts (org_id, delivery_id, attempt, started_at, duration_ms)
             SELECT org_id, id, 1, now(), 5 FROM alerts.deliveries",
        )
        .await;
    stage.deliver(&alerts, channel, "retracted").await;
    let claim = stage.claim().await;
    let kinds: Vec<Kind> = claim.messages.iter().map(|claimed| claimed.kind).collect();
    assert_eq!((kinds.as_slice(), claim.folded, claim.cancelled), (&[Kind::Retracted][..], 29, 0));
}

#[tokio::test]
async fn a_digest_of_which_everything_was_taken_back_is_not_sent() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 10).await;
    stage.fire(20, &[channel]).await;
    assert_eq!(deliver_all(&mut stage).await.len(), 2);
    stage.run("UPDATE alerts.deliveries SET state = 'cancelled', digest_id = NULL, finished_at = now() WHERE state = 'folded'").await;
    stage.pass(8).await;
    assert!(deliver_all(&mut stage).await.is_empty());
    assert_eq!(stage.states("digest").await, [("cancelled".to_owned(), Some("alerts.nothing_to_correct".to_owned()))]);
}
