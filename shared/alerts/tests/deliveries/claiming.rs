use std::collections::BTreeSet;
use std::time::Duration;

use isotherm_alerts::deliveries::replay::replay;
use isotherm_alerts::deliveries::{
    self, Capacity, Claim, DeliveryError, DeliveryFault, DeliveryId, Kind, Verdict, listing,
};
use isotherm_alerts::message::Message;
use isotherm_alerts::schedule::wait_after;
use isotherm_types::{ChannelId, OrgId};
use uuid::Uuid;

use crate::stage::{LEASE, Stage, accepted, capacity};

const REFUSED: Verdict = Verdict::Failed(DeliveryFault::Refused { status: 500, asked: None });

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn senders_at_once_never_get_one_message_twice() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 6000).await;
    stage.fire(200, &[channel]).await;
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut conn = stage.database.connect().await.unwrap();
        senders.spawn(async move {
            let (mut taken, capacity) = (Vec::new(), Capacity { room: 10, ..capacity() });
            loop {
                let claim = deliveries::claim(&mut conn, &capacity).await.unwrap();
                if claim.messages.is_empty() {
                    return taken;
                }
                taken.extend(claim.messages.into_iter().map(|claimed| claimed.id));
            }
        });
    }
    let taken: Vec<DeliveryId> = senders.join_all().await.into_iter().flatten().collect();
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (200, 200));
    assert_eq!(stage.count("SELECT count(*) FROM alerts.deliveries WHERE attempts <> 1").await, 0);
}

#[tokio::test]
async fn a_message_has_what_its_alert_says() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let claimed = stage.claim_one().await;
    assert_eq!(
        (claimed.kind, claimed.attempt, claimed.channel, claimed.thread.as_deref()),
        (Kind::Fired, 1, channel, None)
    );
    let Message::Alert(alert) = claimed.message else { panic!("{:?}", claimed.message) };
    assert_eq!((alert.alert_id, alert.rule.as_str(), alert.chain.as_str()), (alerts[0], "large", "demo"));
    assert_eq!((alert.chain_id, alert.block_number, alert.title.as_str()), (7, 1, "title 1"));
    assert!(alert.block_hash.starts_with("0x") && alert.block_hash.len() == 66, "{}", alert.block_hash);
    assert_eq!(alert.transaction_hash.map(|hash| hash.len()), Some(66));
}

#[tokio::test]
async fn a_stale_sender_writes_nothing() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 60).await;
    stage.fire(1, &[channel]).await;
    let first = stage.claim_one().await;
    assert_eq!(deliveries::take_back(&mut stage.conn, LEASE).await.unwrap(), 0, "its lease is not over");
    stage.pass(61).await;
    assert_eq!(deliveries::take_back(&mut stage.conn, LEASE).await.unwrap(), 1);
    let second = stage.claim_one().await;
    assert_eq!((second.id, second.attempt), (first.id, 2));
    assert!(!stage.end(&first, accepted("late")).await);
    assert_eq!(stage.states("fired").await, [("sending".to_owned(), Some("alerts.sender_lost".to_owned()))]);
    assert!(stage.end(&second, REFUSED).await);
    assert!(!stage.end(&second, accepted("twice")).await, "an attempt ends once");

    let filter = listing::Filter { channel: Some(channel), limit: 10, ..listing::Filter::default() };
    let listed = listing::list(&mut stage.conn, OrgId(1), &filter).await.unwrap();
    assert_eq!((listed.len(), listed[0].state.as_str(), listed[0].last_status), (1, "queued", Some(500)));
    let attempts = listing::attempts(&mut stage.conn, OrgId(1), first.id).await.unwrap();
    let told: Vec<_> = attempts.iter().map(|attempt| (attempt.attempt, attempt.error_code.as_deref())).collect();
    assert_eq!(told, [(1, Some("alerts.sender_lost")), (2, Some("alerts.receiver_refused"))]);
    assert_eq!(listing::attempts(&mut stage.conn, OrgId(2), first.id).await.unwrap(), []);
}

#[tokio::test]
async fn a_failure_is_tried_again_on_schedule_and_not_before() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 6000).await;
    stage.fire(1, &[channel]).await;
    let mut claimed = stage.claim_one().await;
    for attempt in 1..=10 {
        assert_eq!(claimed.attempt, attempt);
        assert!(stage.end(&claimed, REFUSED).await);
        let Some(wait) = wait_after(claimed.id, attempt, None) else { break };
        let query = "SELECT extract(epoch FROM not_before - now())::double precision FROM alerts.deliveries";
        let stored: f64 = sqlx::query_scalar(query).fetch_one(&mut stage.conn).await.unwrap();
        assert!((wait.as_secs_f64() - stored).abs() < 5.0, "attempt {attempt}: {wait:?}, but {stored} s");
        assert!(stage.claim().await.messages.is_empty(), "it is not due");
        stage.pass(u32::try_from(wait.as_secs()).unwrap() + 1).await;
        claimed = stage.claim_one().await;
    }
    assert_eq!(stage.states("fired").await, [("failed".to_owned(), Some("alerts.receiver_refused".to_owned()))]);
    assert_eq!(claimed.attempt, 10);
}

#[tokio::test]
async fn a_wait_that_was_asked_for_is_kept() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 60).await;
    stage.fire(1, &[channel]).await;
    let claimed = stage.claim_one().await;
    let asked = Some(Duration::from_secs(120));
    stage.end(&claimed, Verdict::Failed(DeliveryFault::Refused { status: 429, asked })).await;
    stage.pass(60).await;
    assert!(stage.claim().await.messages.is_empty());
    stage.pass(61).await;
    assert_eq!(stage.claim_one().await.attempt, 2);
}

#[tokio::test]
async fn places_of_a_channel_are_kept_and_a_doubtful_one_has_fewer() {
    let mut stage = Stage::new().await;
    let (good, failing) = (stage.channel("webhook", 6000).await, stage.channel("webhook", 6000).await);
    let unknown = stage.channel("webhook", 6000).await;
    stage.run(format!("UPDATE alerts.channels SET failing_since = now() WHERE id = {}", failing.0)).await;
    stage.fire(20, &[good, failing, unknown]).await;
    let mut capacity = Capacity { per_channel: 8, per_doubtful_channel: 2, ..capacity() };
    capacity.on_the_way.insert(good, 3);
    capacity.proven.extend([good, failing]);
    let claim = deliveries::claim(&mut stage.conn, &capacity).await.unwrap();
    let count = |channel| claim.messages.iter().filter(|claimed| claimed.channel == channel).count();
    assert_eq!((count(good), count(failing), count(unknown)), (5, 2, 2));
    assert_eq!(claim.folded, 0, "they have tokens, only no places");
    assert!(claim.messages.iter().all(|claimed| claimed.is_failing == (claimed.channel == failing)));
}

#[tokio::test]
async fn what_hangs_gets_nothing_while_its_places_are_taken_and_the_rest_when_one_is_free() {
    let mut stage = Stage::new().await;
    let (hanging, other) = (stage.channel("webhook", 6000).await, stage.channel("webhook", 6000).await);
    let elsewhere = stage.channel_of_another_org("webhook", 6000).await;
    stage.fire(3, &[hanging, other]).await;
    stage.test_message(elsewhere).await;
    let mut capacity = Capacity { per_channel: 8, per_doubtful_channel: 1, per_org: 6, ..capacity() };
    let count = |claim: &Claim, channel| claim.messages.iter().filter(|claimed| claimed.channel == channel).count();
    capacity.on_the_way.insert(hanging, 1);
    capacity.on_the_way_of.insert(OrgId(1), 6);
    let none_of_the_first = deliveries::claim(&mut stage.conn, &capacity).await.unwrap();
    assert_eq!([hanging, other, elsewhere].map(|channel| count(&none_of_the_first, channel)), [0, 0, 1]);
    capacity.on_the_way_of.insert(OrgId(1), 1);
    let of_the_other = deliveries::claim(&mut stage.conn, &capacity).await.unwrap();
    assert_eq!([hanging, other].map(|channel| count(&of_the_other, channel)), [0, 1]);
    capacity.proven.insert(hanging);
    let of_both = deliveries::claim(&mut stage.conn, &capacity).await.unwrap();
    assert_eq!([hanging, other].map(|channel| count(&of_both, channel)), [3, 1], "one has accepted something");
}

/// Red switch: without either condition of the query, channels without a place are looked at in each claim.
#[tokio::test]
async fn channels_and_organisations_without_a_place_are_not_asked_for() {
    let mut stage = Stage::new().await;
    let (full, open) = (stage.channel("webhook", 6000).await, stage.channel("webhook", 6000).await);
    let elsewhere = stage.channel_of_another_org("webhook", 6000).await;
    stage.fire(1, &[full, open]).await;
    stage.test_message(elsewhere).await;
    for (channels, orgs, expected) in [
        (vec![], vec![], vec![full, open, elsewhere]),
        (vec![full.0], vec![], vec![open, elsewhere]),
        (vec![], vec![1_i64], vec![elsewhere]),
    ] {
        let due = sqlx::query_scalar(include_str!("../../queries/deliveries/due.sql")).bind(&channels).bind(&orgs);
        let due: Vec<i64> = due.fetch_all(&mut stage.conn).await.unwrap();
        assert_eq!(
            due,
            expected.iter().map(|channel: &ChannelId| channel.0).collect::<Vec<_>>(),
            "{channels:?} {orgs:?}"
        );
    }
    // Whoever is cut off is told so, with a place or without.
    stage
        .run(format!("UPDATE alerts.channels SET state = 'disabled', disabled_reason = 'x' WHERE id = {}", full.0))
        .await;
    let capacity = Capacity { on_the_way: [(full, 1)].into(), per_doubtful_channel: 1, ..capacity() };
    let claim = deliveries::claim(&mut stage.conn, &capacity).await.unwrap();
    assert_eq!((claim.cancelled, claim.messages.len()), (1, 2));
}

#[tokio::test]
async fn one_organisation_takes_no_more_than_its_places_and_another_one_gets_its_own() {
    let mut stage = Stage::new().await;
    let ours = [stage.channel("webhook", 6000).await, stage.channel("webhook", 6000).await];
    let theirs = stage.channel_of_another_org("webhook", 6000).await;
    stage.fire(20, &ours).await;
    stage.test_message(theirs).await;
    let mut capacity = Capacity { per_org: 10, room: 12, ..capacity() };
    capacity.on_the_way_of.insert(OrgId(1), 3);
    let claim = deliveries::claim(&mut stage.conn, &capacity).await.unwrap();
    let count = |channel| claim.messages.iter().filter(|claimed| claimed.channel == channel).count();
    assert_eq!((count(ours[0]) + count(ours[1]), count(theirs)), (7, 1), "three are on their way already");
    assert_eq!(claim.folded, 0, "they have tokens, only no places");
}

#[tokio::test]
async fn what_is_over_is_replayed_under_its_id_and_nothing_else_is() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 60).await;
    stage.fire(1, &[channel]).await;
    let claimed = stage.claim_one().await;
    let org = OrgId(1);
    let refused = replay(&mut stage.conn, org, claimed.id, "ann").await.unwrap_err();
    assert!(matches!(refused, DeliveryError::NotOver { .. }), "{refused:?}");
    stage.end(&claimed, Verdict::Failed(DeliveryFault::Rejected { status: Some(400) })).await;
    let foreign = replay(&mut stage.conn, OrgId(2), claimed.id, "ann").await.unwrap_err();
    assert!(matches!(foreign, DeliveryError::NoSuchDelivery { .. }), "{foreign:?}");
    let unknown = replay(&mut stage.conn, org, DeliveryId(Uuid::nil()), "ann").await.unwrap_err();
    assert!(matches!(unknown, DeliveryError::NoSuchDelivery { .. }), "{unknown:?}");
    replay(&mut stage.conn, org, claimed.id, "ann").await.unwrap();
    let again = stage.claim_one().await;
    assert_eq!((again.id, again.attempt), (claimed.id, 2));
    let trail: Vec<(String, String, i64, Option<String>)> =
        sqlx::query_as("SELECT actor, action, subject_id, reason FROM control.audit_log WHERE subject = 'channel'")
            .fetch_all(&mut stage.conn)
            .await
            .unwrap();
    let expected = ("ann".to_owned(), "replayed".to_owned(), channel.0, Some(claimed.id.to_string()));
    assert_eq!(trail, [expected], "what was refused is no replay");
}
