//! Events and the outbox: together with their cause, in order, and never two publishers on one group.

use std::time::Duration;

use isotherm_control::ControlError;
use isotherm_control::{events, outbox};
use isotherm_types::{
    B256, BlockNumber, BlockRange, BlockRef, ChainId, Classified, Dataset, EventBody, EventId, Queue,
};
use sqlx::Connection;

use crate::stage::Stage;

pub(crate) fn invalidated(chain: u64) -> EventBody {
    EventBody::DatasetInvalidated {
        chain_id: ChainId(chain),
        datasets: vec![Dataset::Logs],
        blocks: BlockRange::new(BlockNumber(5), BlockNumber(7)).unwrap(),
        common_ancestor: BlockRef { number: BlockNumber(4), hash: B256::repeat_byte(4) },
    }
}

fn committed(chain: u64, start: u64) -> EventBody {
    EventBody::PartitionCommitted {
        chain_id: ChainId(chain),
        dataset: Dataset::Logs,
        blocks: BlockRange::new(BlockNumber(start), BlockNumber(start + 100)).unwrap(),
        manifest_version: 1,
    }
}

#[tokio::test]
async fn an_event_is_told_to_each_of_its_queues_and_read_back_as_it_was() {
    let mut stage = Stage::new().await;
    let event_id = events::record(&mut stage.conn, &invalidated(143)).await.unwrap();
    assert_eq!(events::read(&mut stage.conn, event_id).await.unwrap().body, invalidated(143));
    let mut db_tx = stage.conn.begin().await.unwrap();
    let messages = outbox::take(&mut db_tx, &Queue::ALL, 10).await.unwrap();
    let mut queues: Vec<Queue> = messages.iter().map(|message| message.queue).collect();
    queues.sort_by_key(|queue| queue.as_str());
    assert_eq!(queues, [Queue::Alerts, Queue::Events, Queue::Thresholds]);
    assert_eq!(messages[0].message_group, "chain-143");
    assert_eq!(messages[0].wake().event_id, event_id);
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
    assert_eq!(outbox::delete(&mut db_tx, &ids).await.unwrap(), 3);
    db_tx.commit().await.unwrap();
    let pending = outbox::pending(&mut stage.conn).await.unwrap();
    assert_eq!((pending.row_count, pending.oldest_age), (0, None));
}

#[tokio::test]
async fn events_recorded_at_once_are_the_same_as_one_by_one_and_in_their_order() {
    let bodies = [committed(2, 0), invalidated(143), committed(1, 100), committed(1, 0), invalidated(7)];
    let (mut one, mut many) = (Stage::new().await, Stage::new().await);
    let mut ids = Vec::new();
    for body in &bodies {
        ids.push(events::record(&mut one.conn, body).await.unwrap());
    }
    let at_once = events::record_many(&mut many.conn, &bodies).await.unwrap();
    assert_eq!(ids, at_once);
    for (event_id, body) in at_once.iter().zip(&bodies) {
        assert_eq!(events::read(&mut many.conn, *event_id).await.unwrap().body, *body);
    }
    let mut taken = Vec::new();
    for stage in [&mut one, &mut many] {
        let mut db_tx = stage.conn.begin().await.unwrap();
        let messages = outbox::take(&mut db_tx, &Queue::ALL, 100).await.unwrap();
        let told =
            messages.into_iter().map(|message| (message.event_id, message.queue.as_str(), message.message_group));
        taken.push(told.collect::<Vec<_>>());
        db_tx.rollback().await.unwrap();
    }
    assert_eq!(taken[0], taken[1]);
    assert_eq!(taken[0].len(), 9, "an invalidation is told to three queues");
    assert!(events::record_many(&mut many.conn, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_event_disappears_with_the_transaction_of_its_cause() {
    let mut stage = Stage::new().await;
    let mut db_tx = stage.conn.begin().await.unwrap();
    let event_id = events::record(&mut db_tx, &committed(1, 0)).await.unwrap();
    db_tx.rollback().await.unwrap();
    let gone = events::read(&mut stage.conn, event_id).await.unwrap_err();
    assert_eq!(gone.code(), "control.unknown_event");
    assert_eq!(outbox::pending(&mut stage.conn).await.unwrap().row_count, 0);
}

#[tokio::test]
async fn two_publishers_never_hold_one_group_and_neither_waits() {
    let mut stage = Stage::new().await;
    for (chain, start) in [(1, 0), (2, 0), (1, 100), (1, 200)] {
        events::record(&mut stage.conn, &committed(chain, start)).await.unwrap();
    }
    let mut first = stage.connect().await;
    let mut held = first.begin().await.unwrap();
    let taken = outbox::take(&mut held, &Queue::ALL, 1).await.unwrap();
    assert_eq!(taken[0].message_group, "chain-1-logs");

    let mut second = stage.connect().await;
    let mut other = second.begin().await.unwrap();
    let rest =
        tokio::time::timeout(Duration::from_secs(5), outbox::take(&mut other, &Queue::ALL, 10)).await.unwrap().unwrap();
    let groups: Vec<&str> = rest.iter().map(|message| message.message_group.as_str()).collect();
    assert_eq!(groups, ["chain-2-logs"], "a later event of a held group would overtake");
    other.rollback().await.unwrap();
    held.rollback().await.unwrap();

    let mut again = first.begin().await.unwrap();
    let all = outbox::take(&mut again, &Queue::ALL, 10).await.unwrap();
    let ids: Vec<i64> = all.iter().map(|message| message.event_id.0).collect();
    assert!(ids.is_sorted() && ids.len() == 4, "{ids:?}");
    again.rollback().await.unwrap();
    assert!(outbox::pending(&mut stage.conn).await.unwrap().oldest_age.is_some());
}

#[tokio::test]
async fn an_event_of_an_unknown_shape_is_an_error_with_a_name() {
    let mut stage = Stage::new().await;
    let row: (i64,) = sqlx::query_as(
        r#"INSERT INTO control.events (kind, body) VALUES ('star_exploded', '{"kind": "star_exploded"}') RETURNING id"#,
    )
    .fetch_one(&mut stage.conn)
    .await
    .unwrap();
    let error = events::read(&mut stage.conn, EventId(row.0)).await.unwrap_err();
    assert!(matches!(error, ControlError::BadRow { .. }), "{error}");
}
