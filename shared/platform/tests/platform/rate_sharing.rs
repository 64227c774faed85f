//! Processes that ask the same endpoints: never more than the whole together, half of it the tip's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_platform::Secret;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::rate_share::RateShareKeeper;
use isotherm_types::{ChainId, TaskId};
use sqlx::PgPool;

const CHAIN: ChainId = ChainId(143);

/// A process's part, as it was told last; the whole at first.
fn part() -> (Arc<AtomicU16>, impl Fn(u16) + Send + Sync + 'static) {
    let part = Arc::new(AtomicU16::new(1000));
    let set = Arc::clone(&part);
    (part, move |thousandths| set.store(thousandths, Ordering::SeqCst))
}

async fn pool(database: &TestDatabase) -> PgPool {
    database::connect(&Secret::new(database.url.clone()), PoolOptions::operator("test")).await.unwrap()
}

#[tokio::test]
async fn a_backfill_begins_when_everybody_has_made_room_and_leaves_the_tip_its_half() {
    let database = TestDatabase::migrated().await.unwrap();
    let pool = pool(&database).await;
    let (tip, set_tip) = part();
    let follower = RateShareKeeper::for_tip(pool.clone(), CHAIN, TaskId(1), set_tip);
    eventually("the follower to be known", async || {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM control.rate_shares").fetch_one(&pool).await.unwrap() == 1
    })
    .await
    .unwrap();
    assert_eq!(tip.load(Ordering::SeqCst), 1000);

    let (first, set_first) = part();
    let first_backfill = RateShareKeeper::for_backfill(pool.clone(), CHAIN, TaskId(2), set_first).await;
    assert_eq!([&tip, &first].map(|part| part.load(Ordering::SeqCst)), [500, 500]);
    let (second, set_second) = part();
    let second_backfill = RateShareKeeper::for_backfill(pool.clone(), CHAIN, TaskId(3), set_second).await;
    assert_eq!([&tip, &first, &second].map(|part| part.load(Ordering::SeqCst)), [500, 250, 250]);

    first_backfill.leave().await;
    eventually("the other backfill to have the half", async || second.load(Ordering::SeqCst) == 500).await.unwrap();
    second_backfill.leave().await;
    eventually("the tip to have the whole again", async || tip.load(Ordering::SeqCst) == 1000).await.unwrap();
    follower.leave().await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM control.rate_shares").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_database_that_is_away_keeps_nobody_from_beginning() {
    let database = TestDatabase::migrated().await.unwrap();
    let pool = pool(&database).await;
    pool.close().await;
    let (part, set) = part();
    let backfill = RateShareKeeper::for_backfill(pool, CHAIN, TaskId(1), set).await;
    assert_eq!(part.load(Ordering::SeqCst), 1000);
    backfill.leave().await;
}
