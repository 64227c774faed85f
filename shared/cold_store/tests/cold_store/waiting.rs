//! Files that wait: none twice, none that is cold, none whose object has gone, none before a parent that nobody knows.

use std::cell::Cell;

use isotherm_cold_store::CurrentManifest;
use isotherm_cold_store::catalog::pending::{self, RecordOutcome};
use isotherm_cold_store::catalog::{self, CommitOutcome};
use isotherm_types::{BlockRange, Classified, Dataset, Disposition};
use sqlx::{Connection, PgConnection};

use crate::bucket::staged;
use crate::growth::{TASK, backfill, compacted, record, settle, waiting};
use crate::rows::{MadeChain, range};
use crate::write_protocol::{Cold, DATASET, chain};

/// Cold storage from before parents were kept.
async fn compacted_long_ago(blocks: BlockRange) -> Cold {
    let cold = compacted(blocks).await;
    let mut conn = cold.connect().await;
    sqlx::raw_sql("UPDATE cold.datasets SET first_parent_hash = NULL").execute(&mut conn).await.unwrap();
    cold
}

/// Makes `blocks` of the dataset `blocks` the first of it that are cold.
async fn compact_headers(cold: &Cold, blocks: BlockRange) {
    let objects = &cold.bucket.objects;
    let stored = staged(chain(), Dataset::Blocks, blocks).store(objects).await.unwrap();
    let listing = stored.list(objects, &CurrentManifest::none()).await.unwrap();
    assert_eq!(cold.commit(listing.manifest()).await, CommitOutcome::Committed);
}

async fn is_anybody_blocked(conn: &mut PgConnection) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity
                               WHERE datname = current_database() AND wait_event_type = 'Lock')";
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn a_block_waits_once_and_not_at_all_if_it_is_cold() {
    let cold = compacted(range(20, 30)).await;
    let lower = cold.store(range(0, 10)).await;
    let (left, right) = tokio::join!(record(&cold, &lower), record(&cold, &lower));
    let mut outcomes = [left, right];
    outcomes.sort_by_key(|outcome| *outcome != RecordOutcome::Recorded);
    assert_eq!(outcomes, [RecordOutcome::Recorded, RecordOutcome::AlreadyRecorded]);
    assert_eq!(record(&cold, &cold.store(range(20, 30)).await).await, RecordOutcome::AlreadyCommitted);

    let mut conn = cold.connect().await;
    for blocks in [range(5, 12), range(0, 12), range(9, 10), range(10, 21), range(29, 40), range(15, 40)] {
        let stored = cold.store(blocks).await;
        let mut db_tx = conn.begin().await.unwrap();
        let refused = pending::record(&mut db_tx, &stored, None).await.unwrap_err();
        assert_eq!((refused.code(), refused.disposition()), ("cold_store.overlap", Disposition::GiveUp), "{blocks}");
        db_tx.rollback().await.unwrap();
    }

    let files = pending::list(&mut conn, chain().chain_id, DATASET).await.unwrap();
    let [file] = files.as_slice() else { panic!("one file waits: {files:?}") };
    assert_eq!((&file.partition, &file.file), (lower.partition(), lower.file()));
    assert_eq!((file.parent_hash, file.task_id), (chain().parent_hash(0), Some(TASK)));
    let forget =
        async |conn: &mut PgConnection| pending::forget(conn, chain().chain_id, DATASET, range(0, 10)).await.unwrap();
    assert_eq!(forget(&mut conn).await, Some(chain().parent_hash(0)));
    assert_eq!(forget(&mut conn).await, None);
    assert_eq!(waiting(&cold).await, []);
}

#[tokio::test]
async fn a_file_that_is_just_being_committed_does_not_begin_to_wait() {
    let cold = compacted(range(20, 30)).await;
    let stored = cold.store(range(10, 20)).await;
    record(&cold, &stored).await;
    let (mut conn, mut late, mut watcher) = (cold.connect().await, cold.connect().await, cold.connect().await);
    let next = pending::next_adjacent(&mut conn, chain().chain_id, DATASET, None).await.unwrap().unwrap();
    let listing = next.list(&cold.bucket.objects).await.unwrap();
    let mut db_tx = conn.begin().await.unwrap();
    assert_eq!(catalog::commit(&mut db_tx, listing.manifest()).await.unwrap(), CommitOutcome::Committed);

    let is_recorded = Cell::new(false);
    let recording = async {
        let mut db_tx = late.begin().await.unwrap();
        let outcome = pending::record(&mut db_tx, &stored, None).await.unwrap();
        db_tx.commit().await.unwrap();
        is_recorded.set(true);
        outcome
    };
    let committing = async {
        while !is_recorded.get() && !is_anybody_blocked(&mut watcher).await {}
        db_tx.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(recording, committing);
    assert_eq!(outcome, RecordOutcome::AlreadyCommitted);
    assert_eq!(waiting(&cold).await, []);
    cold.check(&[range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn a_file_whose_object_has_gone_meanwhile_is_not_listed() {
    let cold = compacted(range(20, 30)).await;
    let stored = cold.store(range(10, 20)).await;
    record(&cold, &stored).await;
    let key = &stored.file().key;
    cold.bucket.delete(key).await;
    assert_eq!(settle(&cold).await.unwrap_err().code(), "cold_store.object_missing");
    cold.bucket.overwrite(key, b"not ours").await;
    assert_eq!(settle(&cold).await.unwrap_err().code(), "cold_store.object_altered");
    cold.check(&[range(20, 30)]).await;

    cold.bucket.delete(key).await;
    backfill(&cold, range(10, 20)).await;
    cold.check(&[range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn a_row_that_says_otherwise_than_its_file_is_not_used() {
    let cold = compacted(range(20, 30)).await;
    record(&cold, &cold.store(range(0, 10)).await).await;
    let mut conn = cold.connect().await;
    sqlx::raw_sql("UPDATE cold.pending_files SET start_block = 10, end_block = 20").execute(&mut conn).await.unwrap();
    assert_eq!(settle(&cold).await.unwrap_err().code(), "cold_store.catalog_corrupt");
    cold.check(&[range(20, 30)]).await;
}

#[tokio::test]
async fn a_file_that_was_exchanged_meanwhile_is_not_listed() {
    let cold = compacted(range(20, 30)).await;
    let file = staged(chain(), DATASET, range(10, 20));
    record(&cold, &cold.store(range(10, 20)).await).await;
    let whole = std::fs::read(file.path()).unwrap();
    let mut other = whole.clone();
    other[100] ^= 1;
    cold.bucket.overwrite(&file.file().key, &other).await;
    assert_eq!(settle(&cold).await.unwrap_err().code(), "cold_store.object_altered");
    assert_eq!(waiting(&cold).await, [range(10, 20)]);
    // Nobody vouches for what is put back, so it is read.
    cold.bucket.overwrite(&file.file().key, &whole).await;
    settle(&cold).await.unwrap();
    cold.check(&[range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn what_became_cold_before_parents_were_kept_is_grown_by_its_header() {
    let cold = compacted_long_ago(range(20, 30)).await;
    compact_headers(&cold, range(15, 30)).await;
    let branch = MadeChain { seed: 1, ..chain() };
    let stored = staged(branch, DATASET, range(10, 20)).store(&cold.bucket.objects).await.unwrap();
    record(&cold, &stored).await;
    assert_eq!(settle(&cold).await.unwrap_err().code(), "cold_store.broken_chain");

    cold.bucket.delete(&stored.file().key).await;
    let mut conn = cold.connect().await;
    pending::forget(&mut conn, chain().chain_id, DATASET, range(10, 20)).await.unwrap();
    backfill(&cold, range(10, 20)).await;
    cold.check(&[range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn a_header_that_was_altered_proves_nothing() {
    let cold = compacted_long_ago(range(20, 30)).await;
    compact_headers(&cold, range(20, 30)).await;
    record(&cold, &cold.store(range(10, 20)).await).await;
    let headers = staged(chain(), Dataset::Blocks, range(20, 30));
    let mut altered = std::fs::read(headers.path()).unwrap();
    altered[100] ^= 1;
    cold.bucket.overwrite(&headers.file().key, &altered).await;
    assert_eq!(settle(&cold).await.unwrap_err().code(), "cold_store.object_altered");
    assert_eq!(waiting(&cold).await, [range(10, 20)]);
}

#[tokio::test]
async fn nothing_is_added_before_a_block_whose_parent_nobody_knows() {
    let cold = compacted_long_ago(range(20, 30)).await;
    record(&cold, &cold.store(range(10, 20)).await).await;
    let refused = settle(&cold).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("cold_store.first_parent_unknown", Disposition::Retry));
    assert_eq!(waiting(&cold).await, [range(10, 20)]);
    // It is known as soon as the headers are cold.
    compact_headers(&cold, range(20, 30)).await;
    settle(&cold).await.unwrap();
    cold.check(&[range(10, 20), range(20, 30)]).await;
}
