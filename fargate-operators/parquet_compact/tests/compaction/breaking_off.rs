//! A task that ends after any step, and two at once: the next one completes the work, and nothing is done twice.

use isotherm_control::tasks;
use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{Classified, Dataset};
use operator_parquet_compact::Step;

use crate::rows::range;
use crate::world::{DATASETS, World, partitions_of};

#[tokio::test]
async fn a_task_that_breaks_off_after_any_step_is_completed_by_the_next() {
    let world = World::create(range(0, 50), 49).await;
    let steps = [Step::Staged, Step::Stored, Step::Listed, Step::Committed];
    for (index, step) in (0..).zip(steps) {
        let end = (index + 1) * 10;
        let spec = world.claim().await;
        // In the middle: the second dataset is the one that breaks off.
        let compactor = world.compactor((spec.task_id, spec.fence), Some((step, 2)));
        let ended = compactor.run(&DATASETS, range(index * 10, end)).await.unwrap();
        assert_eq!(ended, OperatorEnd::Released, "{step:?}");
        let cold = u64::try_from(world.partitions(Dataset::Transactions).await.len()).unwrap();
        assert_eq!(cold, index + u64::from(step == Step::Committed), "{step:?}");
        world.compact(range(index * 10, end)).await.unwrap();
        world.check(&partitions_of(0, end)).await;
    }
    // Nothing was written twice or left over.
    assert_eq!(world.keys().await.len(), 3 * 2 * 4);
}

#[tokio::test]
async fn two_compactors_at_once_make_one_history() {
    let world = World::create(range(0, 40), 39).await;
    let (left, right) = tokio::join!(world.compact(range(0, 40)), world.compact(range(0, 40)));
    let overtaken = |error: &dyn Classified| error.code() == "compact.overtaken";
    for ended in [left, right] {
        assert!(ended.as_ref().err().is_none_or(|error| overtaken(error)), "{ended:?}");
    }
    world.compact(range(0, 40)).await.unwrap();
    world.check(&partitions_of(0, 40)).await;
}

#[tokio::test]
async fn a_task_that_was_taken_away_cannot_commit() {
    let world = World::create(range(0, 10), 9).await;
    let spec = world.claim().await;
    tasks::cancel(&mut *world.connect().await, spec.task_id, "test", "taken away").await.unwrap();
    let compactor = world.compactor((spec.task_id, spec.fence), None);
    let refused = compactor.run(&DATASETS, range(0, 10)).await.unwrap_err();
    assert_eq!(refused.code(), "control.stale_fence");
    world.check(&[]).await;
    // What it had written by then is found and taken on.
    assert_eq!(world.keys().await.len(), 2);
    world.compact(range(0, 10)).await.unwrap();
    world.check(&partitions_of(0, 10)).await;
}

#[tokio::test]
async fn an_interrupted_read_leaves_no_file_behind() {
    let world = World::create(range(0, 10), 9).await;
    let scratch = tempfile::tempdir().unwrap();
    let spec = world.claim().await;
    let mut compactor = world.compactor((spec.task_id, spec.fence), Some((Step::Staged, 1)));
    compactor.scratch = scratch.path().to_path_buf();
    assert_eq!(compactor.run(&DATASETS, range(0, 10)).await.unwrap(), OperatorEnd::Released);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert_eq!(world.keys().await, Vec::<String>::new());
}
