//! A database that does not answer: no step of a compaction waits for it without an end, and the next attempt does the rest.

use std::pin::pin;

use isotherm_lab::process::eventually;
use isotherm_platform::Fault;
use isotherm_platform::database::PATIENCE;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};

use crate::rows::range;
use crate::world::{DATASETS, World, partitions_of};

#[tokio::test]
async fn a_database_that_does_not_answer_fails_the_attempt_and_the_next_completes_the_work() {
    let world = World::create(range(0, 10), 9).await;
    // What the first step reads, and what only the last one does.
    for (table, action) in [("hot.cursors", "say what is due"), ("control.tasks", "commit a partition")] {
        let spec = world.claim().await;
        let compactor = world.compactor((spec.task_id, spec.fence), None);
        let mut holder = world.database.connect().await.unwrap();
        let lock = AssertSqlSafe(format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
        let attempt = tokio::time::timeout(3 * PATIENCE, compactor.run(&DATASETS, range(0, 10))).await;
        let fault = Fault::from(attempt.expect("it ends").unwrap_err());
        assert_eq!(fault.code(), "compact.postgres");
        assert!(fault.is_database_away() && fault.message().contains(action), "{fault}");
    }
    world.compact(range(0, 10)).await.unwrap();
    world.check(&partitions_of(0, 10)).await;
}

/// Whether a COPY has run for longer than any statement of the pool may, which is 1 s.
const COPIES_FOR_LONG: &str = "
    SELECT count(*) > 0 FROM pg_stat_activity
     WHERE datname = current_database() AND query LIKE 'COPY%' AND state = 'active'
       AND clock_timestamp() - query_start > interval '1500 milliseconds'";

#[tokio::test]
async fn rows_may_take_longer_than_any_other_statement() {
    let world = World::create(range(0, 10), 9).await;
    let spec = world.claim().await;
    let mut compactor = world.compactor((spec.task_id, spec.fence), None);
    let options: PgConnectOptions = world.database.url.parse().unwrap();
    compactor.pool = PgPool::connect_with(options.options([("statement_timeout", "1000")])).await.unwrap();
    let mut holder = world.database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE hot.blocks IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let copies_for_long = async || sqlx::query_scalar(COPIES_FOR_LONG).fetch_one(&world.pool).await.unwrap();
    let mut running = pin!(compactor.run(&DATASETS, range(0, 10)));
    tokio::select! {
        ended = &mut running => panic!("it did not wait: {ended:?}"),
        waited = eventually("a COPY that has waited for longer than a statement may", copies_for_long) => waited.unwrap(),
    }
    drop(holder);
    running.await.unwrap();
    world.check(&partitions_of(0, 10)).await;
}
