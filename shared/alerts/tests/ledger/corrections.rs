//! Who is told that an alert has moved, or is gone.

use super::*;

/// What each state of the first message makes of each correction.
#[tokio::test]
async fn only_those_are_corrected_who_may_have_been_told() {
    let cases: [(&'static str, &str, [&[&str]; 2]); 12] = [
        ("SELECT 1", "webhook", [&["fired cancelled"], &["fired queued"]]),
        (
            "UPDATE alerts.deliveries SET attempts = 1",
            "webhook",
            [&["fired queued", "retracted queued"], &["fired queued", "moved queued"]],
        ),
        (
            "UPDATE alerts.deliveries SET state = 'sending', attempts = 1, lease_expires_at = now()",
            "webhook",
            [&["fired sending", "retracted queued"], &["fired sending", "moved queued"]],
        ),
        (
            "UPDATE alerts.deliveries SET state = 'delivered', attempts = 1, finished_at = now()",
            "sms",
            [&["fired delivered", "retracted queued"], &["fired delivered", "moved queued"]],
        ),
        (
            "UPDATE alerts.deliveries SET state = 'failed', attempts = 9, finished_at = now()",
            "webhook",
            [&["fired failed", "retracted queued"], &["fired failed", "moved queued"]],
        ),
        (
            "UPDATE alerts.deliveries SET state = 'failed', attempts = 9, finished_at = now()",
            "sms",
            [&["fired failed"], &["fired failed"]],
        ),
        // It was delivered; sent again by hand, it failed.
        (
            "UPDATE alerts.deliveries SET state = 'failed', attempts = 2, may_have_arrived = true, finished_at = now();
             INSERT INTO alerts.delivery_attempts (org_id, delivery_id, attempt, started_at, duration_ms, error_code)
             SELECT org_id, id, attempt, now(), 5, code
               FROM alerts.deliveries, (VALUES (1, NULL), (2, 'x')) AS a (attempt, code)",
            "sms",
            [&["fired failed", "retracted queued"], &["fired failed", "moved queued"]],
        ),
        // It was delivered; sent again by hand, it was cancelled with its channel.
        (
            "UPDATE alerts.deliveries
                SET state = 'cancelled', attempts = 1, may_have_arrived = true, finished_at = now();
             INSERT INTO alerts.delivery_attempts (org_id, delivery_id, attempt, started_at, duration_ms)
             SELECT org_id, id, 1, now(), 5 FROM alerts.deliveries",
            "sms",
            [&["fired cancelled", "retracted queued"], &["fired cancelled", "moved queued"]],
        ),
        // An attempt was not answered, and the next one cancelled with the channel.
        (
            "UPDATE alerts.deliveries
                SET state = 'cancelled', attempts = 1, may_have_arrived = true, finished_at = now();
             INSERT INTO alerts.delivery_attempts (org_id, delivery_id, attempt, started_at, duration_ms, error_code)
             SELECT org_id, id, 1, now(), 5, 'x' FROM alerts.deliveries",
            "webhook",
            [&["fired cancelled", "retracted queued"], &["fired cancelled", "moved queued"]],
        ),
        (
            "UPDATE alerts.deliveries
                SET state = 'cancelled', attempts = 1, may_have_arrived = true, finished_at = now()",
            "sms",
            [&["fired cancelled"], &["fired cancelled"]],
        ),
        (
            "UPDATE alerts.deliveries SET state = 'cancelled', attempts = 1, finished_at = now()",
            "webhook",
            [&["fired cancelled"], &["fired cancelled"]],
        ),
        (
            "UPDATE alerts.channels SET deleted_at = now(), sealed_address = NULL",
            "webhook",
            [&["fired cancelled"], &["fired queued"]],
        ),
    ];
    for (before, kind, after) in cases {
        for (message, expected) in [Message::Retracted, Message::Moved].into_iter().zip(after) {
            let mut stage = Stage::new(&[kind]).await;
            let found = stage.found(5, 0);
            let alert_id = stage.put(&found, AlertState::Sent).await;
            stage.run(before).await;
            enqueue::corrections(&mut stage.conn, stage.org, message, &[alert_id]).await.unwrap();
            assert_eq!(stage.messages().await, expected, "{before}, {kind}, {message:?}");
        }
    }
}
