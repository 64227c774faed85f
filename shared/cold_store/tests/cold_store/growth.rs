//! Cold storage that grows at both ends: in any order, by two writers at once, broken off after every step.

use isotherm_cold_store::catalog::CommitOutcome;
use isotherm_cold_store::catalog::pending::{self, RecordOutcome};
use isotherm_cold_store::{Change, ColdStoreError, Listing, StoredFile};
use isotherm_types::{BlockNumber, BlockRange, Classified, TaskId};
use sqlx::Connection;

use crate::bucket::staged;
use crate::rows::{MadeChain, range};
use crate::write_protocol::{self, Cold, DATASET, chain};

pub(crate) const TASK: TaskId = TaskId(7);

pub(crate) async fn record(cold: &Cold, stored: &StoredFile) -> RecordOutcome {
    let mut conn = cold.connect().await;
    let mut db_tx = conn.begin().await.unwrap();
    let outcome = pending::record(&mut db_tx, stored, Some(TASK)).await.unwrap();
    db_tx.commit().await.unwrap();
    outcome
}

/// Lists and commits what adjoins, as whoever has finished a file does.
pub(crate) async fn settle(cold: &Cold) -> Result<(), ColdStoreError> {
    let mut conn = cold.connect().await;
    while let Some(next) = pending::next_adjacent(&mut conn, chain().chain_id, DATASET, None).await? {
        let listing = next.list(&cold.bucket.objects).await?;
        cold.commit(listing.manifest()).await;
    }
    Ok(())
}

/// The whole way of one file.
pub(crate) async fn backfill(cold: &Cold, blocks: BlockRange) {
    record(cold, &cold.store(blocks).await).await;
    settle(cold).await.unwrap();
}

pub(crate) async fn waiting(cold: &Cold) -> Vec<BlockRange> {
    let mut conn = cold.connect().await;
    let files = pending::list(&mut conn, chain().chain_id, DATASET).await.unwrap();
    files.iter().map(|file| file.partition.blocks).collect()
}

/// Cold storage that a compactor has filled with `blocks`.
pub(crate) async fn compacted(blocks: BlockRange) -> Cold {
    let cold = Cold::create().await;
    cold.run(blocks, write_protocol::Step::Committed).await.unwrap();
    cold
}

/// The files of ten blocks that make up `start..end`.
fn tens(start: u64, end: u64) -> Vec<BlockRange> {
    (start / 10..end / 10).map(|index| range(index * 10, (index + 1) * 10)).collect()
}

/// Steps after which a backfill can break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Stored,
    Recorded,
    Listed,
    /// All statements were made, but the transaction is not committed.
    Committing,
    Committed,
}

/// The way of one file, up to and with `last`.
async fn break_off(cold: &Cold, blocks: BlockRange, last: Step) {
    let stored = cold.store(blocks).await;
    if last == Step::Stored {
        return;
    }
    record(cold, &stored).await;
    if last == Step::Recorded {
        return;
    }
    let mut conn = cold.connect().await;
    let next = pending::next_adjacent(&mut conn, chain().chain_id, DATASET, None).await.unwrap().unwrap();
    let listing = next.list(&cold.bucket.objects).await.unwrap();
    if last == Step::Listed {
        return;
    }
    let mut db_tx = conn.begin().await.unwrap();
    let outcome = isotherm_cold_store::catalog::commit(&mut db_tx, listing.manifest()).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
    if last == Step::Committing {
        return db_tx.rollback().await.unwrap();
    }
    db_tx.commit().await.unwrap();
}

#[tokio::test]
async fn history_is_added_before_the_first_file_and_compaction_goes_on_after_the_last() {
    let cold = compacted(range(20, 30)).await;
    backfill(&cold, range(10, 20)).await;
    cold.check(&tens(10, 30)).await;
    cold.run(range(30, 40), write_protocol::Step::Committed).await.unwrap();
    backfill(&cold, range(0, 10)).await;
    cold.check(&tens(0, 40)).await;
    backfill(&cold, range(40, 50)).await;
    cold.check(&tens(0, 50)).await;
    assert_eq!(waiting(&cold).await, []);
}

#[tokio::test]
async fn files_that_are_finished_out_of_order_wait_for_their_neighbours() {
    let cold = compacted(range(40, 50)).await;
    for start in [10, 70, 20, 0, 60] {
        backfill(&cold, range(start, start + 10)).await;
        cold.check(&[range(40, 50)]).await;
    }
    assert_eq!(waiting(&cold).await, [tens(0, 30), tens(60, 80)].concat());
    backfill(&cold, range(50, 60)).await;
    cold.check(&tens(40, 80)).await;
    assert_eq!(waiting(&cold).await, tens(0, 30));
    backfill(&cold, range(30, 40)).await;
    cold.check(&tens(0, 80)).await;
    assert_eq!(waiting(&cold).await, []);
}

#[tokio::test]
async fn two_writers_at_both_ends_at_once_make_one_history() {
    let cold = compacted(range(40, 50)).await;
    let lower = async {
        for start in [20, 30, 0, 10] {
            backfill(&cold, range(start, start + 10)).await;
        }
    };
    let upper = async {
        for start in [50, 70, 60, 80] {
            backfill(&cold, range(start, start + 10)).await;
        }
    };
    tokio::join!(lower, upper);
    cold.check(&tens(0, 90)).await;
    assert_eq!(waiting(&cold).await, []);
}

#[tokio::test]
async fn a_manifest_that_grew_at_the_other_end_is_adopted_for_what_it_is() {
    let cold = compacted(range(20, 30)).await;
    let (objects, current) = (&cold.bucket.objects, cold.current().await);
    // A backfill died after its manifest.
    record(&cold, &cold.store(range(10, 20)).await).await;
    let Listing::Ours(left) = cold.store(range(10, 20)).await.list(objects, &current).await.unwrap() else {
        panic!("nobody else has written")
    };
    assert_eq!((left.change(), left.newest_file().blocks), (Change::First, range(10, 20)));

    let listing = cold.store(range(30, 40)).await.list(objects, &current).await.unwrap();
    let Listing::Theirs { manifest, ours } = listing else { panic!("version 2 is taken") };
    assert_eq!((manifest.change(), manifest.newest_file().blocks), (Change::First, range(10, 20)));
    assert_eq!(cold.commit(&manifest).await, CommitOutcome::Committed);
    // It waits no longer, and the parent that it waited with is kept.
    cold.check(&tens(10, 30)).await;
    assert_eq!(waiting(&cold).await, []);
    assert_eq!(cold.commit(&left).await, CommitOutcome::AlreadyCommitted);

    let listing = ours.list(objects, &cold.current().await).await.unwrap();
    assert_eq!(listing.manifest().change(), Change::Last);
    assert_eq!(cold.commit(listing.manifest()).await, CommitOutcome::Committed);
    cold.check(&tens(10, 40)).await;
}

#[tokio::test]
async fn a_backfill_that_breaks_off_after_any_step_is_completed_by_the_next() {
    let cold = compacted(range(200, 210)).await;
    let (mut start, mut end) = (200, 210);
    for last in [Step::Stored, Step::Recorded, Step::Listed, Step::Committing, Step::Committed] {
        for is_lower in [true, false] {
            let blocks = if is_lower { range(start - 10, start) } else { range(end, end + 10) };
            break_off(&cold, blocks, last).await;
            if last != Step::Committed {
                cold.check(&tens(start, end)).await;
                let waits = if last == Step::Stored { Vec::new() } else { vec![blocks] };
                assert_eq!(waiting(&cold).await, waits, "{last:?}");
            }
            (start, end) = if is_lower { (start - 10, end) } else { (start, end + 10) };
            // What was recorded is completed by whoever comes next, what was not by the task's next attempt.
            match last {
                Step::Stored => backfill(&cold, blocks).await,
                _ => settle(&cold).await.unwrap(),
            }
            cold.check(&tens(start, end)).await;
            // An attempt that knows nothing of it does no harm.
            assert_eq!(record(&cold, &cold.store(blocks).await).await, RecordOutcome::AlreadyCommitted, "{last:?}");
            assert_eq!(waiting(&cold).await, []);
        }
    }
}

#[tokio::test]
async fn a_file_of_another_branch_is_listed_at_neither_end() {
    let cold = compacted(range(20, 30)).await;
    let branch = MadeChain { seed: 1, ..chain() };
    for blocks in [range(10, 20), range(30, 40)] {
        let stored = staged(branch, DATASET, blocks).store(&cold.bucket.objects).await.unwrap();
        record(&cold, &stored).await;
        assert_eq!(settle(&cold).await.unwrap_err().code(), "cold_store.broken_chain", "{blocks}");
        cold.check(&[range(20, 30)]).await;
        assert_eq!(waiting(&cold).await, [blocks]);
        let mut conn = cold.connect().await;
        pending::forget(&mut conn, chain().chain_id, DATASET, blocks).await.unwrap();
    }
    assert_eq!(cold.bucket.keys().await.iter().filter(|key| key.ends_with(".json")).count(), 1);
}

#[tokio::test]
async fn a_manifest_with_a_lower_file_of_another_branch_is_not_adopted() {
    let cold = compacted(range(20, 30)).await;
    let objects = &cold.bucket.objects;
    let branch = MadeChain { seed: 1, ..chain() };
    let mut conn = cold.connect().await;
    // Whoever wrote it was told that the first block is of the branch.
    for (hash, is_told_wrong) in [(branch.hash(19), true), (chain().hash(19), false)] {
        sqlx::query("UPDATE cold.datasets SET first_parent_hash = $1")
            .bind(hash.as_slice())
            .execute(&mut conn)
            .await
            .unwrap();
        if is_told_wrong {
            let stored = staged(branch, DATASET, range(10, 20)).store(objects).await.unwrap();
            stored.list(objects, &cold.current().await).await.unwrap();
        }
    }
    let refused = cold.store(range(30, 40)).await.list(objects, &cold.current().await).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.broken_chain");
    cold.check(&[range(20, 30)]).await;
}

#[tokio::test]
async fn the_first_file_of_all_leaves_no_hole_before_hot_storage() {
    let cold = Cold::create().await;
    let hot = Some(BlockNumber(30));
    let mut conn = cold.connect().await;
    for blocks in tens(0, 20) {
        record(&cold, &cold.store(blocks).await).await;
        assert_eq!(pending::next_adjacent(&mut conn, chain().chain_id, DATASET, hot).await.unwrap(), None);
    }
    record(&cold, &cold.store(range(20, 30)).await).await;
    let next = pending::next_adjacent(&mut conn, chain().chain_id, DATASET, hot).await.unwrap().unwrap();
    assert_eq!((next.head.as_ref(), next.file.partition.blocks), (None, range(20, 30)));
    let listing = next.list(&cold.bucket.objects).await.unwrap();
    assert_eq!(cold.commit(listing.manifest()).await, CommitOutcome::Committed);
    cold.check(&[range(20, 30)]).await;
    settle(&cold).await.unwrap();
    cold.check(&tens(0, 30)).await;
    cold.run(range(30, 40), write_protocol::Step::Committed).await.unwrap();
    cold.check(&tens(0, 40)).await;
}
