//! How long the store waits for a database that does not answer.

use std::time::Instant;

use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::{TestDatabase, shared};
use isotherm_platform::Secret;
use isotherm_platform::database::PoolOptions;

use super::*;

#[tokio::test]
async fn a_database_that_has_been_away_is_asked_with_little_patience() {
    let postgres = TestDatabase::migrated().await.unwrap();
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", shared().await.unwrap().port())).await.unwrap();
    let url = Secret::new(proxy.through(&postgres.url));
    let pool = database::connect(&url, PoolOptions::source("test")).await.unwrap();
    let patience = Duration::from_secs(3_600);
    let store =
        Store { pool, chain_id: ChainId(1), task_id: TaskId(1), fence: Fence(1), patience, written: Arc::default() };
    assert_eq!(store.stored_after_outage().await.unwrap(), None, "it answers");

    proxy.switch(Mode::Blackhole);
    let asked_at = Instant::now();
    let fault = store.stored_after_outage().await.unwrap_err();
    assert!(fault.is_database_away(), "{fault}");
    // The pool alone would wait for 5 s.
    assert!(asked_at.elapsed() < 2 * PROBE, "{:?}", asked_at.elapsed());
}
