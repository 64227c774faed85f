//! Objects that nothing names are found, and only those; only old ones go.

use std::time::Duration;

use isotherm_cold_store::ChainName;
use isotherm_cold_store::garbage::{self, Fate, Garbage};
use isotherm_types::{BlockRange, Classified};

use crate::bucket::partition;
use crate::growth::{compacted, record, settle};
use crate::merging::{self, with_short_files};
use crate::rows::range;
use crate::write_protocol::{self, Cold, DATASET, chain};

const DAY: Duration = Duration::from_secs(86_400);

async fn look(cold: &Cold) -> Garbage {
    let name = ChainName::new("made").unwrap();
    let mut conn = cold.connect().await;
    garbage::orphans(&mut conn, &cold.bucket.objects, chain().chain_id, &name).await.unwrap()
}

/// The same, a day later.
async fn look_a_day_later(cold: &Cold) -> Garbage {
    let garbage = look(cold).await;
    Garbage { looked_at: garbage.looked_at + DAY + Duration::from_secs(60), ..garbage }
}

fn key(blocks: BlockRange) -> String {
    partition(chain(), DATASET, blocks).object_key()
}

fn keys(garbage: &Garbage) -> Vec<&str> {
    garbage.orphans.iter().map(|orphan| orphan.key.as_str()).collect()
}

async fn delete_all(cold: &Cold, garbage: &Garbage) -> Vec<Fate> {
    let mut conn = cold.connect().await;
    let mut fates = Vec::new();
    for orphan in &garbage.orphans {
        fates.push(garbage::delete(&mut conn, &cold.bucket.objects, garbage, orphan, DAY).await.unwrap());
    }
    fates
}

#[tokio::test]
async fn a_file_that_nothing_names_is_found_and_one_that_waits_or_is_listed_is_not() {
    let cold = compacted(range(20, 30)).await;
    record(&cold, &cold.store(range(0, 10)).await).await;
    cold.store(range(40, 50)).await;
    let garbage = look(&cold).await;
    assert_eq!(keys(&garbage), [key(range(40, 50))]);
    let orphan = &garbage.orphans[0];
    let stored = cold.bucket.objects.size_bytes(&orphan.key).await.unwrap();
    assert_eq!((Some(orphan.size_bytes), orphan.modified_at.is_some()), (stored, true));
    // Three data files and a manifest.
    assert_eq!((garbage.object_count, garbage.strangers.len()), (4, 0));
}

#[tokio::test]
async fn an_old_orphan_goes_and_everything_else_stays() {
    let cold = compacted(range(20, 30)).await;
    record(&cold, &cold.store(range(0, 10)).await).await;
    cold.store(range(40, 50)).await;
    let mut left = cold.bucket.keys().await;
    left.retain(|stored| *stored != key(range(40, 50)));

    assert_eq!(delete_all(&cold, &look_a_day_later(&cold).await).await, [Fate::Deleted]);
    assert_eq!(cold.bucket.keys().await, left);
    assert_eq!(look(&cold).await.orphans, []);
    cold.check(&[range(20, 30)]).await;
}

#[tokio::test]
async fn a_young_orphan_stays() {
    let cold = compacted(range(20, 30)).await;
    cold.store(range(40, 50)).await;
    assert_eq!(delete_all(&cold, &look(&cold).await).await, [Fate::TooYoung]);
    assert_eq!(keys(&look(&cold).await), [key(range(40, 50))]);
}

#[tokio::test]
async fn an_orphan_that_begins_to_wait_after_the_look_stays() {
    let cold = compacted(range(20, 30)).await;
    let stored = cold.store(range(10, 20)).await;
    let garbage = look_a_day_later(&cold).await;
    record(&cold, &stored).await;
    assert_eq!(delete_all(&cold, &garbage).await, [Fate::Named]);
    settle(&cold).await.unwrap();
    // Nor does one go that was committed meanwhile.
    assert_eq!(delete_all(&cold, &garbage).await, [Fate::Named]);
    cold.check(&[range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn files_of_old_manifests_and_of_uncommitted_ones_stay_and_so_do_manifests() {
    let cold = with_short_files().await;
    merging::merge_once(&cold, DATASET, merging::Step::Committed).await.unwrap();
    // The short files are listed by versions 1 to 3 only, those after them by no committed one.
    cold.run(range(20, 30), write_protocol::Step::Listed).await.unwrap();
    let before = cold.bucket.keys().await;
    let garbage = look_a_day_later(&cold).await;
    assert_eq!((garbage.orphans, garbage.strangers), (Vec::new(), Vec::new()));
    assert_eq!(garbage.object_count, before.len() as u64);
    cold.check_history(&[range(0, 10), range(10, 20)], 4).await;

    cold.store(range(50, 60)).await;
    let garbage = look_a_day_later(&cold).await;
    assert_eq!(delete_all(&cold, &garbage).await, [Fate::Deleted]);
    assert_eq!(cold.bucket.keys().await, before);
}

#[tokio::test]
async fn nothing_is_called_garbage_while_a_manifest_is_missing_or_altered() {
    let cold = with_short_files().await;
    merging::merge_once(&cold, DATASET, merging::Step::Committed).await.unwrap();
    let name = ChainName::new("made").unwrap();
    let mut conn = cold.connect().await;
    let second = isotherm_cold_store::layout::manifest_key(&name, DATASET, 2);
    let bytes = cold.bucket.objects.read(&second, 1 << 20).await.unwrap().unwrap();
    cold.store(range(50, 60)).await;

    cold.bucket.overwrite(&second, &[&bytes[..], b"\n"].concat()).await;
    let refused = garbage::orphans(&mut conn, &cold.bucket.objects, chain().chain_id, &name).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.object_altered");
    cold.bucket.delete(&second).await;
    let refused = garbage::orphans(&mut conn, &cold.bucket.objects, chain().chain_id, &name).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.object_missing");
    cold.bucket.overwrite(&second, &bytes).await;
    assert_eq!(keys(&look(&cold).await), [key(range(50, 60))]);
}

#[tokio::test]
async fn what_is_not_of_cold_storage_is_told_and_left() {
    let cold = compacted(range(20, 30)).await;
    cold.bucket.overwrite("cold/made/transactions/notes.txt", b"mine").await;
    cold.bucket.overwrite("cold/made-too/transactions/notes.txt", b"another chain's").await;
    let garbage = look_a_day_later(&cold).await;
    assert_eq!(garbage.orphans, []);
    let strangers: Vec<&str> = garbage.strangers.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(strangers, ["cold/made/transactions/notes.txt"]);
    let mut conn = cold.connect().await;
    let fate = garbage::delete(&mut conn, &cold.bucket.objects, &garbage, &garbage.strangers[0], DAY).await.unwrap();
    assert_eq!(fate, Fate::Named);
}
