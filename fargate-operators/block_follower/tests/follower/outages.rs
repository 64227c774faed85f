//! A database that does not answer: how long it is waited for, and what it makes of a follower that is cut off.

use std::time::{Duration, Instant};

use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::shared;
use isotherm_lab::process::eventually;
use isotherm_types::Disposition;
use serde_json::json;
use sqlx::Connection as _;

use crate::stage::Stage;

/// The follower's sessions that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
      WHERE NOT l.granted AND a.datname = current_database() AND a.application_name = 'block_follower'";
/// The follower's sessions that have begun a transaction and ask for nothing.
const LEFT_OPEN: &str = "SELECT count(*) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'block_follower' AND state = 'idle in transaction'";
/// Postgres ends a transaction of the follower that has been idle for 5 s; one of another operator may be idle for 60 s.
const SOON: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_database_that_does_not_answer_at_the_start_fails_the_attempt() {
    let stage = Stage::new().await;
    let mut holder = stage.database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE hot.cursors IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let fault = stage.follow(&json!({})).failure().await;
    assert_eq!((fault.code(), fault.disposition()), ("follower.database", Disposition::Retry));
    assert!(fault.is_database_away(), "{fault}");
}

#[tokio::test]
async fn a_follower_that_is_cut_off_in_a_transaction_holds_its_locks_for_seconds_only() {
    let mut stage = Stage::new().await;
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", shared().await.unwrap().port())).await.unwrap();
    stage.mine(3).await;
    let follower = stage.follow_through(&proxy, &json!({}));
    stage.caught_up().await;
    let mut holder = stage.database.connect().await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM hot.cursors FOR UPDATE").execute(&mut *held).await.unwrap();
    stage.mine(1).await;
    eventually("a transaction that waits", async || stage.number(WAITING).await != Some(0)).await.unwrap();

    // The server does not learn either that the follower is gone.
    proxy.switch(Mode::Blackhole);
    held.rollback().await.unwrap();
    eventually("a transaction left open", async || stage.number(LEFT_OPEN).await == Some(1)).await.unwrap();
    let since = Instant::now();
    eventually("the end of it", async || stage.number(LEFT_OPEN).await == Some(0)).await.unwrap();
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    proxy.switch(Mode::Pass);
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    follower.stop().await;
}
