//! Much at once: no statement writes all of it, and the order stays.

use isotherm_alerts::deliveries::enqueue::PAGE_ALERTS;

use super::*;

/// Notes how many rows each statement that inserts messages has.
const NOTE: &str = "
CREATE TABLE lab_statements (row_count bigint);
CREATE FUNCTION lab_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO lab_statements SELECT count(*) FROM new_rows; RETURN NULL; END $$;
CREATE TRIGGER lab_note AFTER INSERT ON alerts.deliveries REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
EXECUTE FUNCTION lab_note()";

async fn largest_statement(stage: &mut Stage) -> usize {
    let largest: i64 =
        sqlx::query_scalar("SELECT max(row_count) FROM lab_statements").fetch_one(&mut stage.conn).await.unwrap();
    usize::try_from(largest).unwrap()
}

#[tokio::test]
async fn messages_of_a_large_run_are_written_page_by_page_and_due_in_order() {
    let mut stage = Stage::new(&["webhook", "email"]).await;
    stage.run(NOTE).await;
    let count = u32::try_from(2 * PAGE_ALERTS + 1).unwrap();
    let found: Vec<Match> = (0..count).map(|rank| stage.found(5, rank)).collect();
    let found: Vec<&Match> = found.iter().collect();
    let fired: Vec<Uuid> = found.iter().map(|found| found.identity.alert_id()).collect();
    let new = (0..found.len()).map(|place| (place, AlertState::Sent)).collect();
    let changes = Changes { new, fired: fired.clone(), ..Changes::default() };
    let written = alert_events::write(&mut stage.conn, stage.org, CHAIN, &found, |_| 1, &changes).await.unwrap();
    assert_eq!(written, 2 * u64::from(count));
    assert_eq!(largest_statement(&mut stage).await, 2 * PAGE_ALERTS);
    // As in a turn: in one transaction `now()` stands still.
    let mut db_tx = stage.conn.begin().await.unwrap();
    sqlx::query("DELETE FROM alerts.deliveries").execute(&mut *db_tx).await.unwrap();
    enqueue::fired(&mut db_tx, stage.org, &fired).await.unwrap();
    let due: Vec<Uuid> = sqlx::query_scalar(
        "SELECT d.alert_id FROM alerts.deliveries d JOIN alerts.channels c ON c.id = d.channel_id AND c.kind = 'webhook'
          ORDER BY d.not_before",
    )
    .fetch_all(&mut *db_tx)
    .await
    .unwrap();
    assert_eq!(due, fired);
    db_tx.commit().await.unwrap();

    stage.run("UPDATE alerts.deliveries SET state = 'delivered', attempts = 1, finished_at = now()").await;
    stage.run("TRUNCATE lab_statements").await;
    let (org, message) = (stage.org, Message::Retracted);
    assert_eq!(enqueue::corrections(&mut stage.conn, org, message, &fired).await.unwrap(), 2 * u64::from(count));
    assert_eq!(largest_statement(&mut stage).await, 2 * PAGE_ALERTS);
}

#[tokio::test]
async fn what_a_reorg_may_have_taken_is_read_page_by_page_and_each_row_once() {
    let mut stage = Stage::new(&[]).await;
    let count = alert_events::PAGE_ROWS + 500;
    let found: Vec<Match> = (0..count)
        .map(|rank| stage.found(10 + u64::try_from(rank % 7).unwrap(), u32::try_from(rank).unwrap()))
        .collect();
    let found: Vec<&Match> = found.iter().collect();
    let states = [AlertState::Sent, AlertState::Suppressed(isotherm_alerts::ledger::Suppression::Muted)];
    let new = (0..count).map(|place| (place, states[place % 2])).collect();
    let changes = Changes { new, ..Changes::default() };
    alert_events::write(&mut stage.conn, stage.org, CHAIN, &found, |_| 1, &changes).await.unwrap();

    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = alert_events::suspects(&mut stage.conn, stage.org, CHAIN, BlockNumber(11), last.as_ref()).await;
        let page = page.unwrap();
        assert!(page.len() <= alert_events::PAGE_ROWS);
        let Some(of_page) = page.last().cloned() else { break };
        seen.extend(page.iter().map(|known| known.alert_id));
        last = Some(of_page);
    }
    let mut expected: Vec<Uuid> = found
        .iter()
        .filter(|found| found.block.number >= BlockNumber(11))
        .map(|found| found.identity.alert_id())
        .collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected);
}
