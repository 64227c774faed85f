//! Who counts as asking a chain's endpoints, and how long.

use isotherm_control::rate_shares::{self, Others, Purpose};
use isotherm_types::ChainId;
use sqlx::PgConnection;

use crate::stage::Stage;

const CHAIN: ChainId = ChainId(143);

async fn renew(conn: &mut PgConnection, holder: &str, purpose: Purpose) -> Others {
    rate_shares::renew(conn, CHAIN, holder, purpose).await.unwrap()
}

#[tokio::test]
async fn others_of_the_same_chain_count_until_they_leave_or_fall_silent() {
    let mut stage = Stage::new().await;
    let conn = &mut stage.conn;
    let alone = renew(conn, "1:1", Purpose::Tip).await;
    assert_eq!((alone.tips, alone.backfills, alone.oldest_seen_at), (0, 0, None));
    rate_shares::renew(conn, ChainId(1), "9:1", Purpose::Backfill).await.unwrap();
    let first = renew(conn, "2:1", Purpose::Backfill).await;
    assert_eq!((first.tips, first.backfills), (1, 0));
    let second = renew(conn, "3:1", Purpose::Backfill).await;
    assert_eq!((second.tips, second.backfills), (1, 1));

    // Only who has renewed since knows of the second one.
    assert!(!second.have_all_looked_since(second.asked_at));
    renew(conn, "1:1", Purpose::Tip).await;
    assert!(!renew(conn, "3:1", Purpose::Backfill).await.have_all_looked_since(second.asked_at));
    renew(conn, "2:1", Purpose::Backfill).await;
    assert!(renew(conn, "3:1", Purpose::Backfill).await.have_all_looked_since(second.asked_at));

    rate_shares::leave(conn, CHAIN, "2:1").await.unwrap();
    assert_eq!(renew(conn, "3:1", Purpose::Backfill).await.backfills, 0);
    sqlx::query("UPDATE control.rate_shares SET seen_at = now() - interval '1 minute' WHERE holder = '1:1'")
        .execute(&mut *conn)
        .await
        .unwrap();
    let rest = renew(conn, "3:1", Purpose::Backfill).await;
    assert_eq!((rest.tips, rest.oldest_seen_at), (0, None));
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM control.rate_shares WHERE chain_id = 143")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(rows, 1, "rows that have expired go");
}
