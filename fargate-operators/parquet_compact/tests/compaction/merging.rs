//! Short files that a backfill has completed to a partition: merged by the next task, whatever breaks it off.

use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{BlockRange, Dataset};
use operator_parquet_compact::Step;

use crate::rows::range;
use crate::world::{DATASETS, World};

/// Cold in 0..5, 5..10 and 10..20, every dataset.
async fn world() -> World {
    let world = World::create(range(5, 40), 39).await;
    world.compact(range(5, 20)).await.unwrap();
    world.backfill(range(0, 5)).await;
    world
}

async fn cold(world: &World, dataset: Dataset) -> Vec<BlockRange> {
    world.partitions(dataset).await.iter().map(|file| file.blocks).collect()
}

#[tokio::test]
async fn short_files_are_merged_into_the_file_that_one_writer_makes_and_nobody_is_told() {
    let world = world().await;
    let before = world.keys().await;
    let told = world.told(Dataset::Logs).await;
    let OperatorEnd::Completed(output) = world.compact(range(10, 20)).await.unwrap() else { panic!("it was released") };
    for (index, dataset) in DATASETS.into_iter().enumerate() {
        assert_eq!(output["datasets"][index]["merged_count"], 1);
        assert_eq!(output["datasets"][index]["partition_count"], 0);
        assert_eq!(cold(&world, dataset).await, [range(0, 10), range(10, 20)], "{dataset}");
        let merged = &world.partitions(dataset).await[0];
        assert_eq!(merged.sha256, world.staged(dataset, range(0, 10)).file().sha256, "{dataset}");
        assert_eq!(world.cold_rows(dataset, &merged.object_key).await, world.chain.rows(dataset, range(0, 10)));
    }
    assert_eq!(world.told(Dataset::Logs).await, told);
    // A file and a manifest more of each; what was there stays for queries that have begun.
    let after = world.keys().await;
    assert_eq!(after.len(), before.len() + 2 * DATASETS.len());
    assert!(before.iter().all(|key| after.contains(key)));

    let OperatorEnd::Completed(output) = world.compact(range(20, 30)).await.unwrap() else { panic!("it was released") };
    assert_eq!(output["datasets"][0]["merged_count"], 0);
    assert_eq!(cold(&world, Dataset::Logs).await, [range(0, 10), range(10, 20), range(20, 30)]);
}

#[tokio::test]
async fn a_merge_that_breaks_off_after_any_step_is_completed_by_the_next_task() {
    for step in [Step::MergeStaged, Step::MergeStored, Step::MergeListed, Step::MergeCommitted] {
        let world = world().await;
        let spec = world.claim().await;
        // In the middle: the second dataset is the one that breaks off.
        let compactor = world.compactor((spec.task_id, spec.fence), Some((step, 2)));
        assert_eq!(compactor.run(&DATASETS, range(10, 20)).await.unwrap(), OperatorEnd::Released, "{step:?}");
        assert_eq!(cold(&world, Dataset::Blocks).await.len(), 2, "{step:?}");
        let transactions = if step == Step::MergeCommitted { 2 } else { 3 };
        assert_eq!(cold(&world, Dataset::Transactions).await.len(), transactions, "{step:?}");
        assert_eq!(cold(&world, Dataset::Logs).await.len(), 3, "{step:?}");
        // The next one also has a partition to move: it takes the merge's manifest on.
        world.compact(range(20, 30)).await.unwrap();
        for dataset in DATASETS {
            assert_eq!(cold(&world, dataset).await, [range(0, 10), range(10, 20), range(20, 30)], "{step:?} {dataset}");
        }
    }
}

#[tokio::test]
async fn a_job_may_leave_short_files_as_they_are() {
    let world = world().await;
    let spec = world.claim().await;
    let mut compactor = world.compactor((spec.task_id, spec.fence), None);
    compactor.merge = false;
    compactor.run(&DATASETS, range(10, 20)).await.unwrap();
    assert_eq!(cold(&world, Dataset::Logs).await, [range(0, 5), range(5, 10), range(10, 20)]);
}
