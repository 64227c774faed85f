//! A task that ends after any step, or whose claim is gone: the next one completes the work, and fetches nothing twice
//! that was finished.

use isotherm_control::tasks;
use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{BlockNumber, Classified, Dataset};
use operator_cryo_ingest::{Input, Step};
use serde_json::json;

use crate::world::{World, range, recorded_chain};

#[tokio::test]
async fn a_task_that_breaks_off_after_any_step_is_completed_by_the_next() {
    let tape = recorded_chain(11).await;
    // The step, when it is done for the how manyth time, and the files that Postgres knows by then.
    for (step, nth, known) in [
        (Step::Staged, 2, 4),
        (Step::Stored, 1, 0),
        (Step::Stored, 6, 5),
        (Step::Pending, 3, 3),
        (Step::Pending, 7, 7),
        (Step::Listed, 2, 4),
        (Step::Listed, 6, 8),
        (Step::Committed, 3, 4),
        (Step::Committed, 8, 8),
    ] {
        let world = World::create(tape.clone()).await;
        let spec = world.claim().await;
        let input = Input { blocks: range(0, 20), may_begin_inside: false };
        let backfill = world.backfill((spec.task_id, spec.fence), &json!({}), Some((step, nth))).await;
        assert_eq!(backfill.run(input).await.unwrap(), OperatorEnd::Released, "{step:?} {nth}");
        let mut found = 0;
        let mut finished = vec![range(0, 10), range(10, 20)];
        for dataset in Dataset::ALL {
            let cold = world.partitions(dataset).await.into_iter().map(|partition| partition.blocks);
            let files: Vec<_> = cold.chain(world.waiting(dataset).await).collect();
            found += files.len();
            finished.retain(|blocks| files.contains(blocks));
        }
        assert_eq!(found, known, "{step:?} {nth}");

        let fetched_before = world.fetched().len();
        world.ingest(range(0, 20), &json!({})).await.unwrap();
        world.check(&[range(0, 10), range(10, 20)]).await;
        // Nothing was written twice or left over.
        assert_eq!(world.keys().await.len(), 4 * 2 * 2, "{step:?} {nth}");
        let again = &world.fetched()[fetched_before..];
        let is_finished = |number: &u64| finished.iter().any(|blocks| blocks.contains(BlockNumber(*number)));
        assert!(!again.iter().any(is_finished), "{step:?} {nth}: {again:?}");
    }
}

#[tokio::test]
async fn a_task_that_was_taken_away_records_and_commits_nothing() {
    let world = World::create(recorded_chain(11).await).await;
    let spec = world.claim().await;
    tasks::cancel(&mut world.pool.acquire().await.unwrap(), spec.task_id, "test", "taken away").await.unwrap();
    let backfill = world.backfill((spec.task_id, spec.fence), &json!({}), None).await;
    let refused = backfill.run(Input { blocks: range(0, 10), may_begin_inside: false }).await.unwrap_err();
    assert_eq!(refused.code(), "control.stale_fence");
    world.check(&[]).await;
    // What it had stored by then is found by its key, and is the same.
    assert_eq!(world.keys().await.len(), 1);
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    world.check(&[range(0, 10)]).await;
}

#[tokio::test]
async fn tasks_at_once_make_one_history() {
    let world = World::create(recorded_chain(11).await).await;
    let nothing = json!({});
    let (lower, middle, upper) = tokio::join!(
        world.ingest(range(0, 10), &nothing),
        world.ingest(range(10, 20), &nothing),
        world.ingest(range(20, 30), &nothing),
    );
    for ended in [lower, middle, upper] {
        assert!(matches!(ended.unwrap(), OperatorEnd::Completed(_)));
    }
    world.check(&[range(0, 10), range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn a_broken_off_task_leaves_no_file_on_disk() {
    let world = World::create(recorded_chain(11).await).await;
    let scratch = tempfile::tempdir().unwrap();
    let spec = world.claim().await;
    let mut backfill = world.backfill((spec.task_id, spec.fence), &json!({}), Some((Step::Staged, 1))).await;
    backfill.scratch = scratch.path().to_path_buf();
    let input = Input { blocks: range(0, 10), may_begin_inside: false };
    assert_eq!(backfill.run(input).await.unwrap(), OperatorEnd::Released);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert_eq!(world.keys().await, Vec::<String>::new());
}
