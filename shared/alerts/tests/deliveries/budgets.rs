use std::collections::BTreeMap;
use std::time::Instant;

use isotherm_alerts::budgets::{self, Bucket, Lane, Rate, Scope};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{ChannelId, OrgId};
use sqlx::{Connection, PgConnection};

const CHANNEL: Bucket = (Scope::Channel(ChannelId(1)), Lane::First);
const ORG: Bucket = (Scope::Org(OrgId(1)), Lane::First);

/// Takes up to `wanted` tokens of both buckets, as a claim does.
async fn take(conn: &mut PgConnection, wanted: u32) -> u32 {
    let rates = BTreeMap::from([(CHANNEL, Rate::of(400)), (ORG, Rate::of(4000))]);
    let mut db_tx = conn.begin().await.unwrap();
    let tokens = budgets::refill(&mut db_tx, &rates).await.unwrap();
    let granted = tokens[&CHANNEL].min(tokens[&ORG]).min(wanted);
    budgets::spend(&mut db_tx, &BTreeMap::from([(CHANNEL, granted), (ORG, granted)])).await.unwrap();
    db_tx.commit().await.unwrap();
    granted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_that_ask_at_once_get_what_the_bucket_holds_and_no_more() {
    let database = TestDatabase::migrated().await.unwrap();
    let began = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut conn = database.connect().await.unwrap();
        asking.spawn(async move {
            let mut granted = 0;
            for _ in 0..4 {
                granted += take(&mut conn, 3).await;
            }
            granted
        });
    }
    let granted: u32 = asking.join_all().await.into_iter().sum();
    let rate = Rate::of(400);
    let most = rate.burst + rate.per_minute / 60.0 * began.elapsed().as_secs_f64();
    assert!(granted >= 100, "600 were asked for, 100 are there: {granted}");
    assert!(f64::from(granted) <= most, "{granted}, but {most} at most");
}

#[tokio::test]
async fn an_organisation_may_be_given_another_limit_and_it_stays() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    take(&mut conn, 1).await;
    let raised = "UPDATE alerts.budgets SET per_minute = 60000, burst = 1500, tokens = 1500 WHERE scope = 'org'";
    sqlx::query(raised).execute(&mut conn).await.unwrap();
    let mut db_tx = conn.begin().await.unwrap();
    let tokens = budgets::refill(&mut db_tx, &BTreeMap::from([(ORG, Rate::of(4000))])).await.unwrap();
    assert_eq!(tokens[&ORG], 1500);
}

#[tokio::test]
async fn a_channels_bucket_follows_its_limit() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    take(&mut conn, 1).await;
    let mut db_tx = conn.begin().await.unwrap();
    let lowered = budgets::refill(&mut db_tx, &BTreeMap::from([(CHANNEL, Rate::of(8))])).await.unwrap();
    assert_eq!(lowered[&CHANNEL], 2, "what is above the new burst is gone");
}

#[tokio::test]
async fn a_bucket_cannot_be_overdrawn() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    take(&mut conn, 1).await;
    assert!(budgets::spend(&mut conn, &BTreeMap::from([(CHANNEL, 1000)])).await.is_err());
}
