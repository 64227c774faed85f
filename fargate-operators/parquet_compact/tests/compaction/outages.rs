//! A database that does not answer: no step of a compaction waits for it without an end, and the next attempt does the rest.

use isotherm_platform::Fault;
use isotherm_platform::database::PATIENCE;
use sqlx::AssertSqlSafe;

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
