//! Hot rows that are cold: when they go, what keeps them, and that no query counts another number of rows for it.

use std::time::Duration;

use isotherm_cold_store::catalog;
use isotherm_control::tasks;
use isotherm_hot_store::cleanup::{self, Leaf, LeafState, Removal};
use isotherm_hot_store::rows;
use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{BlockNumber, BlockRange, Classified as _, Dataset};
use operator_parquet_compact::Step;
use sqlx::PgConnection;

use crate::rows::range;
use crate::world::{DATASETS, PARTITION_BLOCKS, World};

const HALF_AN_HOUR: Duration = Duration::from_secs(1_800);
const TIP: u64 = 59;

/// Blocks 0 to 59 in hot storage, final up to `finalized`, of which `start..end` became cold an hour ago.
async fn world(finalized: u64, cold: BlockRange) -> World {
    let world = World::create(range(0, TIP + 1), finalized).await;
    world.compact(cold).await.unwrap();
    world.let_an_hour_pass().await;
    world
}

/// A task that finds nothing to move. How many leaves it dropped.
async fn clean(world: &World, grace: Duration) -> u64 {
    let spec = world.claim().await;
    let mut compactor = world.compactor((spec.task_id, spec.fence), None);
    compactor.drop_hot_after = Some(grace);
    let OperatorEnd::Completed(output) = compactor.run(&DATASETS, range(0, 10)).await.unwrap() else {
        panic!("it was released")
    };
    output["dropped_hot_partitions"].as_u64().unwrap()
}

async fn leaves(world: &World) -> Vec<Leaf> {
    cleanup::leaves(&mut *world.connect().await, world.chain.chain_id, PARTITION_BLOCKS).await.unwrap()
}

/// First blocks of the leaves of a dataset.
async fn starts(world: &World, dataset: Dataset) -> Vec<u64> {
    let leaves = leaves(world).await;
    leaves.iter().filter(|leaf| leaf.dataset == dataset).map(|leaf| leaf.blocks.start().0).collect()
}

/// Rows of each dataset as a query counts them in the snapshot of `conn`: those of the listed files, and those in hot
/// storage above the watermark.
async fn counted(world: &World, conn: &mut PgConnection) -> Vec<u64> {
    let (chain_id, mut counts) = (world.chain.chain_id, Vec::new());
    for dataset in DATASETS {
        let head = catalog::head(conn, chain_id, dataset).await.unwrap();
        let files = catalog::partitions(conn, chain_id, dataset).await.unwrap();
        let first = head.map_or(BlockNumber(0), |head| head.watermark.next());
        let hot = BlockRange::inclusive(first, BlockNumber(TIP)).unwrap();
        let hot_rows = rows::count(conn, chain_id, dataset, hot).await.unwrap();
        counts.push(files.iter().map(|file| file.row_count).sum::<u64>() + hot_rows);
    }
    counts
}

fn all_rows(world: &World) -> Vec<u64> {
    DATASETS.map(|dataset| world.chain.rows_per_block(dataset, range(0, TIP + 1)).iter().sum::<u64>()).into()
}

async fn hot_blocks(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM hot.blocks").fetch_one(conn).await.unwrap()
}

async fn check(world: &World, first_leaf: u64) {
    for dataset in Dataset::ALL {
        assert_eq!(starts(world, dataset).await.first(), Some(&first_leaf), "{dataset}");
    }
    assert_eq!(counted(world, &mut *world.connect().await).await, all_rows(world));
}

#[tokio::test]
async fn rows_that_are_cold_for_long_enough_go_and_a_query_counts_what_it_counted() {
    let world = world(TIP, range(0, 30)).await;
    check(&world, 0).await;
    assert_eq!(clean(&world, HALF_AN_HOUR).await, 3 * 4);
    assert_eq!(starts(&world, Dataset::Logs).await, [30, 40, 50, 60]);
    check(&world, 30).await;
    assert_eq!(hot_blocks(&mut *world.connect().await).await, 30);
    assert_eq!(clean(&world, HALF_AN_HOUR).await, 0);

    // Compaction goes on.
    world.compact(range(30, 40)).await.unwrap();
    check(&world, 30).await;
    world.let_an_hour_pass().await;
    assert_eq!(clean(&world, HALF_AN_HOUR).await, 4);
    check(&world, 40).await;

    // What the rules keep is needed: without them a query loses rows.
    let undue = leaves(&world).await.into_iter().find(|leaf| leaf.dataset == Dataset::Logs).unwrap();
    for leaf in [undue, Leaf { state: LeafState::Detached, ..undue }] {
        cleanup::remove(&mut world.database.connect().await.unwrap(), world.chain.chain_id, &leaf).await.unwrap();
    }
    let lost: u64 = world.chain.rows_per_block(Dataset::Logs, range(40, 50)).iter().sum();
    let counts = counted(&world, &mut *world.connect().await).await;
    assert_eq!(counts[2], all_rows(&world)[2] - lost);
}

#[tokio::test]
async fn a_task_that_was_taken_away_drops_nothing() {
    let world = world(TIP, range(0, 30)).await;
    let spec = world.claim().await;
    tasks::cancel(&mut *world.connect().await, spec.task_id, "test", "taken away").await.unwrap();
    let mut compactor = world.compactor((spec.task_id, spec.fence), None);
    compactor.drop_hot_after = Some(HALF_AN_HOUR);
    let refused = compactor.run(&DATASETS, range(0, 10)).await.unwrap_err();
    assert_eq!(refused.code(), "control.stale_fence");
    check(&world, 0).await;
}

#[tokio::test]
async fn rows_stay_for_as_long_as_they_may_be_read_or_are_not_all_cold() {
    // The grace period is not over.
    let young = world(TIP, range(0, 30)).await;
    assert_eq!(clean(&young, 3 * HALF_AN_HOUR).await, 0);
    check(&young, 0).await;
    // Unless the job asks for it, nothing ever goes.
    young.compact(range(0, 10)).await.unwrap();
    check(&young, 0).await;

    // The logs of 10..30 are not cold yet, and need the blocks and transactions to become it.
    let half = world(TIP, range(0, 10)).await;
    let spec = half.claim().await;
    let compactor = half.compactor((spec.task_id, spec.fence), None);
    compactor.run(&[Dataset::Blocks, Dataset::Transactions], range(10, 30)).await.unwrap();
    half.let_an_hour_pass().await;
    assert_eq!(clean(&half, HALF_AN_HOUR).await, 4);
    check(&half, 10).await;

    // One partition below the finalized block stays.
    let recent = world(39, range(0, 30)).await;
    assert_eq!(clean(&recent, HALF_AN_HOUR).await, 2 * 4);
    check(&recent, 20).await;

    // Traces that are there and not cold keep their blocks.
    let traced = world(TIP, range(0, 30)).await;
    traced.execute("UPDATE hot.cursors SET first_traced_block = 10").await;
    assert_eq!(clean(&traced, HALF_AN_HOUR).await, 4);
    check(&traced, 10).await;

    // A person may want to look at a chain that is halted.
    let halted = world(TIP, range(0, 30)).await;
    halted.execute("UPDATE hot.cursors SET state = 'halted', halt_code = 'test', halt_message = 'test'").await;
    assert_eq!(clean(&halted, HALF_AN_HOUR).await, 0);
    check(&halted, 0).await;
}

#[tokio::test]
async fn a_query_that_is_open_keeps_its_rows_and_nobody_waits_for_it() {
    let world = world(TIP, range(0, 30)).await;
    let mut reader = world.database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut reader).await.unwrap();
    let before = counted(&world, &mut reader).await;
    // It uses three of the four tables.
    assert_eq!(clean(&world, HALF_AN_HOUR).await, 1);
    let states: Vec<LeafState> = leaves(&world).await.iter().take(3).map(|leaf| leaf.state).collect();
    assert_eq!(states, [LeafState::Detaching; 3]);
    assert_eq!(hot_blocks(&mut reader).await, 60);
    assert_eq!(counted(&world, &mut reader).await, before);
    // Other queries go on, and neither wait nor see them.
    let mut other = world.connect().await;
    assert_eq!(hot_blocks(&mut other).await, 50);
    assert_eq!(counted(&world, &mut other).await, before);
    drop(other);

    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    assert_eq!(clean(&world, HALF_AN_HOUR).await, 3 * 4 - 1);
    check(&world, 30).await;
}

#[tokio::test]
async fn a_cleanup_that_breaks_off_after_any_step_is_completed_by_the_next_task() {
    let world = world(TIP, range(0, 40)).await;
    for (index, (step, nth)) in (1..).zip([(Step::Detached, 1), (Step::Dropped, 1), (Step::Detached, 3)]) {
        let spec = world.claim().await;
        let mut compactor = world.compactor((spec.task_id, spec.fence), Some((step, nth)));
        compactor.drop_hot_after = Some(HALF_AN_HOUR);
        // Only the lowest partition may go in this round.
        let finalized = format!("UPDATE hot.cursors SET finalized_number = {}", (index + 1) * PARTITION_BLOCKS);
        sqlx::raw_sql(sqlx::AssertSqlSafe(finalized)).execute(&world.pool).await.unwrap();
        assert_eq!(compactor.run(&DATASETS, range(0, 10)).await.unwrap(), OperatorEnd::Released, "{step:?}");
        assert_eq!(counted(&world, &mut *world.connect().await).await, all_rows(&world), "{step:?}");
        clean(&world, HALF_AN_HOUR).await;
        check(&world, index * PARTITION_BLOCKS).await;
    }
}

#[tokio::test]
async fn a_leaf_is_removed_once_and_is_gone_for_the_next() {
    let world = world(TIP, range(0, 30)).await;
    let chain_id = world.chain.chain_id;
    let leaf = leaves(&world).await[0];
    let detached = Leaf { state: LeafState::Detached, ..leaf };
    let mut conn = world.database.connect().await.unwrap();
    assert_eq!(cleanup::remove(&mut conn, chain_id, &leaf).await.unwrap(), Removal::Detached);
    assert_eq!(leaves(&world).await[0], detached);
    // Whoever had planned the same finds that it was done.
    assert_eq!(cleanup::remove(&mut conn, chain_id, &leaf).await.unwrap(), Removal::Busy);
    assert_eq!(cleanup::remove(&mut conn, chain_id, &detached).await.unwrap(), Removal::Gone);
    assert_eq!(cleanup::remove(&mut conn, chain_id, &detached).await.unwrap(), Removal::Gone);
    assert_eq!(cleanup::remove(&mut conn, chain_id, &leaf).await.unwrap(), Removal::Busy);
}
