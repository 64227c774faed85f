use isotherm_control::task::TaskState;
use isotherm_types::TaskId;
use serde_json::json;

use super::*;

pub(in crate::backfill) fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

pub(in crate::backfill) fn task(key: &str, state: TaskState, blocks: BlockRange) -> BriefTask {
    BriefTask {
        task_id: TaskId(1),
        idempotency_key: key.to_owned(),
        state,
        input: json!({ "blocks": blocks }),
        progress_done: None,
        error: None,
    }
}

fn size() -> NonZeroU64 {
    NonZeroU64::new(100).unwrap()
}

fn held(cold: Option<BlockRange>, waiting: Vec<BlockRange>, hot: Option<u64>) -> Held {
    Held { cold, waiting, hot_first_block: hot.map(BlockNumber) }
}

fn piece(start: u64, end: u64, fetched: u64) -> Piece {
    Piece { blocks: range(start, end), partitions: (end - start).div_ceil(100), fetched }
}

#[test]
fn a_range_is_whole_or_told_how_it_would_be() {
    assert_eq!(whole(0, 200, size(), false).unwrap(), range(0, 200));
    assert_eq!(whole(150, 300, size(), true).unwrap(), range(150, 300));
    let refused = |from, to| whole(from, to, size(), false).unwrap_err().to_string();
    assert!(refused(150, 250).contains("--from 100 --to 300"), "{}", refused(150, 250));
    assert!(refused(0, 50).contains("--from 0 --to 100"), "{}", refused(0, 50));
    for (from, to) in [(100, 100), (200, 100)] {
        assert!(refused(from, to).contains("has no block"), "{}", refused(from, to));
    }
}

#[test]
fn what_is_not_final_is_refused_with_what_is() {
    let check = |blocks, finalized: Option<u64>| {
        check_final(blocks, finalized.map(BlockNumber), size()).map_err(|error| error.to_string())
    };
    assert_eq!(check(range(0, 200), Some(199)), Ok(()));
    assert!(check(range(0, 300), Some(250)).unwrap_err().contains("use --to 200"));
    assert!(check(range(0, 300), Some(298)).unwrap_err().contains("use --to 200"));
    assert!(check(range(100, 200), Some(150)).unwrap_err().contains("ask for them when they are"));
    assert!(check(range(100, 200), None).unwrap_err().contains("no block final yet"));
}

#[test]
fn what_is_there_or_asked_for_is_not_asked_for_again() {
    let of_blocks = held(Some(range(300, 400)), vec![range(100, 200)], Some(500));
    let of_logs = held(Some(range(350, 400)), vec![range(100, 200)], Some(500));
    let held = [(Dataset::Blocks, of_blocks), (Dataset::Logs, of_logs)];
    let tasks = [
        task("live", TaskState::Queued, range(0, 100)),
        task("over", TaskState::Failed, range(200, 300)),
        task("part", TaskState::Running, range(400, 450)),
    ];
    let split = split(range(0, 600), size(), &held, &tasks);
    // Of 300..400 only the logs of the first half are missing; 500..600 is left to compaction.
    let lacking = vec![piece(200, 300, 100), piece(300, 400, 50), piece(400, 500, 100)];
    assert_eq!(split, Split { lacking, held: 100, hot: 100, asked: 100 });
}

#[test]
fn a_dataset_that_hot_storage_lacks_is_fetched_beside_others_that_it_has() {
    let of = |hot| held(None, Vec::new(), hot);
    let datasets = [(Dataset::Blocks, of(Some(0))), (Dataset::Traces, of(None))];
    assert_eq!(split(range(0, 100), size(), &datasets, &[]).lacking, [piece(0, 100, 100)]);
    assert_eq!(split(range(0, 100), size(), &datasets[..1], &[]).hot, 100);
}

#[test]
fn the_partition_in_which_hot_storage_begins_is_fetched_up_to_there() {
    let datasets = [(Dataset::Blocks, held(None, Vec::new(), Some(130)))];
    let found = split(range(0, 300), size(), &datasets, &[]);
    assert_eq!((found.lacking, found.hot), (vec![piece(0, 100, 100), piece(100, 200, 30)], 100));
}

#[test]
fn many_partitions_make_few_tasks_and_holes_part_them() {
    let partitions = |from: u64, to: u64| (from..to).map(|index| piece(index * 100, (index + 1) * 100, 100));
    let lacking: Vec<Piece> = partitions(0, 300).chain(partitions(310, 800)).collect();
    let pieces = pieces(&lacking, None);
    assert!(pieces.len() as u64 <= MOST_TASKS + 1, "{}", pieces.len());
    assert_eq!(pieces.iter().map(|piece| piece.partitions).sum::<u64>(), 790);
    assert_eq!(pieces.iter().map(|piece| piece.fetched).sum::<u64>(), 79_000);
    assert!(pieces.iter().all(|piece| piece.blocks.intersection(range(30_000, 31_000)).is_none()));
    assert!(pieces.windows(2).all(|pair| pair[0].blocks.end() <= pair[1].blocks.start()));
    assert_eq!(super::pieces(&[], None), []);
}

#[test]
fn what_adjoins_cold_storage_comes_first() {
    let lacking = [piece(0, 100, 100), piece(100, 200, 100), piece(400, 500, 100), piece(600, 700, 100)];
    let order: Vec<u64> = pieces(&lacking, Some(range(200, 400))).iter().map(|piece| piece.blocks.start().0).collect();
    assert_eq!(order, [100, 400, 0, 600]);
}

#[test]
fn a_range_is_fired_once_until_its_tasks_have_ended() {
    let key = |tasks: &[BriefTask]| firing_key(range(0, 100), tasks);
    let (live, other) = (task("a", TaskState::Running, range(0, 100)), task("b", TaskState::Failed, range(0, 200)));
    assert_eq!(key(&[]), "backfill-0-100-0");
    assert_eq!(key(&[live, other]), "backfill-0-100-0");
    let over = task("a", TaskState::Cancelled, range(0, 100));
    assert_eq!(key(&[over]), "backfill-0-100-1");
}

#[test]
fn a_task_is_watched_while_it_is_live_and_about_the_range() {
    let about = |state, blocks| is_about(&task("a", state, blocks), range(0, 100));
    assert!(about(TaskState::Queued, range(50, 200)) && about(TaskState::Running, range(0, 10)));
    assert!(!about(TaskState::Failed, range(0, 100)) && !about(TaskState::Queued, range(100, 200)));
    let strange = BriefTask { input: json!({ "x": 1 }), ..task("a", TaskState::Queued, range(0, 1)) };
    assert!(!is_about(&strange, range(0, 100)));
}
