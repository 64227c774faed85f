//! The way of a file into cold storage, broken off after every step, run twice at once, and tampered with.

use isotherm_cold_store::catalog::{self, CommitOutcome};
use isotherm_cold_store::{ColdStoreError, CommittedManifest, CurrentManifest, Listing, StoredFile};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{BlockNumber, BlockRange, Classified, Dataset};
use sqlx::{Connection, PgConnection};

use crate::bucket::{Bucket, staged};
use crate::rows::{MadeChain, range};

pub(crate) const DATASET: Dataset = Dataset::Transactions;

pub(crate) fn chain() -> MadeChain {
    MadeChain::new(143)
}

pub(crate) struct Cold {
    pub(crate) bucket: Bucket,
    database: TestDatabase,
}

/// Steps after which a run can break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Staged,
    Stored,
    Listed,
    Committed,
}

impl Cold {
    pub(crate) async fn create() -> Self {
        Self { bucket: Bucket::create().await, database: TestDatabase::migrated().await.unwrap() }
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    pub(crate) async fn current(&self) -> CurrentManifest {
        let mut conn = self.connect().await;
        let head = catalog::head(&mut conn, chain().chain_id, DATASET).await.unwrap();
        CurrentManifest::load(&self.bucket.objects, head.as_ref()).await.unwrap()
    }

    pub(crate) async fn store(&self, blocks: BlockRange) -> StoredFile {
        staged(chain(), DATASET, blocks).store(&self.bucket.objects).await.unwrap()
    }

    pub(crate) async fn commit(&self, manifest: &CommittedManifest) -> CommitOutcome {
        let mut conn = self.connect().await;
        let mut db_tx = conn.begin().await.unwrap();
        let outcome = catalog::commit(&mut db_tx, manifest).await.unwrap();
        db_tx.commit().await.unwrap();
        outcome
    }

    /// Runs the protocol for one partition as a compactor does, up to and with `last`; others' work is adopted.
    pub(crate) async fn run(&self, blocks: BlockRange, last: Step) -> Result<(), ColdStoreError> {
        let objects = &self.bucket.objects;
        let file = staged(chain(), DATASET, blocks);
        if last == Step::Staged {
            return Ok(());
        }
        let mut stored = file.store(objects).await?;
        if last == Step::Stored {
            return Ok(());
        }
        loop {
            let current = self.current().await;
            if current.last_block() >= Some(blocks.last()) {
                return Ok(());
            }
            match stored.list(objects, &current).await? {
                Listing::Ours(_) if last == Step::Listed => return Ok(()),
                Listing::Ours(manifest) => {
                    self.commit(&manifest).await;
                    return Ok(());
                }
                Listing::Theirs { manifest, ours } => {
                    self.commit(&manifest).await;
                    stored = *ours;
                }
            }
        }
    }

    /// Checks the history from the newest manifest to the first, each with one file more, and that Postgres says the
    /// same.
    pub(crate) async fn check(&self, expected: &[BlockRange]) {
        self.check_history(expected, expected.len() as u64).await;
    }

    /// The same of a history whose newest manifest is of version `manifest_version`.
    pub(crate) async fn check_history(&self, expected: &[BlockRange], manifest_version: u64) {
        let mut conn = self.connect().await;
        let head = catalog::head(&mut conn, chain().chain_id, DATASET).await.unwrap();
        let partitions = catalog::partitions(&mut conn, chain().chain_id, DATASET).await.unwrap();
        let listed: Vec<BlockRange> = partitions.iter().map(|partition| partition.blocks).collect();
        assert_eq!(listed, expected);
        let Some(head) = head else {
            assert!(expected.is_empty());
            return;
        };
        assert_eq!(Some(head.watermark), expected.last().map(|blocks| blocks.last()));
        assert_eq!(Some(head.first_block), expected.first().map(|blocks| blocks.start()));
        let first_parent_hash = expected.first().map(|blocks| chain().parent_hash(blocks.start().0));
        assert_eq!(head.first_parent_hash, first_parent_hash);
        assert_eq!(head.manifest_version, manifest_version);

        let current = CurrentManifest::load(&self.bucket.objects, Some(&head)).await.unwrap();
        let mut manifest = current.manifest().unwrap().clone();
        assert_eq!(manifest.key(), head.manifest_key);
        for (file, partition) in manifest.files.iter().zip(&partitions) {
            self.bucket.objects.verify(&file.key, &file.digest()).await.unwrap();
            assert_eq!((&file.key, file.row_count), (&partition.object_key, partition.row_count));
            assert_eq!((file.sha256, file.size_bytes), (partition.sha256, partition.size_bytes));
            let hashes = (partition.first_block_hash, partition.last_block_hash);
            assert_eq!((file.first_block_hash, file.last_block_hash), hashes);
        }
        while let Some(sha256) = manifest.previous_manifest_sha256 {
            let key = isotherm_cold_store::layout::manifest_key(
                &manifest.chain,
                manifest.dataset,
                manifest.manifest_version - 1,
            );
            let bytes = self.bucket.objects.read(&key, 1 << 20).await.unwrap().unwrap();
            assert_eq!(isotherm_cold_store::Sha256Digest::of(&bytes), sha256);
            let before = isotherm_cold_store::Manifest::parse(&bytes).unwrap();
            manifest.check_follows(Some((&before, sha256))).unwrap();
            manifest = before;
        }
        assert_eq!(manifest.manifest_version, 1);
    }
}

#[tokio::test]
async fn nothing_is_cold_at_first_and_block_0_is_a_block() {
    let cold = Cold::create().await;
    let mut conn = cold.connect().await;
    assert_eq!(catalog::watermark(&mut conn, chain().chain_id, DATASET).await.unwrap(), None);
    assert_eq!(catalog::datasets(&mut conn).await.unwrap(), []);
    cold.check(&[]).await;
    cold.run(range(0, 1), Step::Committed).await.unwrap();
    assert_eq!(catalog::watermark(&mut conn, chain().chain_id, DATASET).await.unwrap(), Some(BlockNumber(0)));
    assert_eq!(catalog::datasets(&mut conn).await.unwrap().len(), 1);
    cold.check(&[range(0, 1)]).await;
}

#[tokio::test]
async fn a_run_that_breaks_off_after_any_step_is_completed_by_the_next() {
    let cold = Cold::create().await;
    let mut done = Vec::new();
    for (index, last) in (0..).zip([Step::Staged, Step::Stored, Step::Listed, Step::Committed]) {
        let blocks = range(index * 10, (index + 1) * 10);
        cold.run(blocks, last).await.unwrap();
        if last == Step::Committed {
            done.push(blocks);
        }
        cold.check(&done).await;
        cold.run(blocks, Step::Committed).await.unwrap();
        if last != Step::Committed {
            done.push(blocks);
        }
        cold.check(&done).await;
    }
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_nothing_committed() {
    let cold = Cold::create().await;
    let listing = cold.store(range(0, 10)).await.list(&cold.bucket.objects, &CurrentManifest::none()).await.unwrap();
    let Listing::Ours(manifest) = listing else { panic!("nobody else writes here") };
    let mut conn = cold.connect().await;
    let mut db_tx = conn.begin().await.unwrap();
    assert_eq!(catalog::commit(&mut db_tx, &manifest).await.unwrap(), CommitOutcome::Committed);
    db_tx.rollback().await.unwrap();
    cold.check(&[]).await;
    assert_eq!(cold.commit(&manifest).await, CommitOutcome::Committed);
    assert_eq!(cold.commit(&manifest).await, CommitOutcome::AlreadyCommitted);
    cold.check(&[range(0, 10)]).await;
}

#[tokio::test]
async fn two_compactors_at_once_make_one_commit_and_one_history() {
    let cold = Cold::create().await;
    for index in 0..3 {
        let blocks = range(index * 10, (index + 1) * 10);
        let current = cold.current().await;
        let (left, right) = tokio::join!(cold.store(blocks), cold.store(blocks));
        let objects = &cold.bucket.objects;
        let (left, right) = tokio::join!(left.list(objects, &current), right.list(objects, &current));
        let (Listing::Ours(left), Listing::Ours(right)) = (left.unwrap(), right.unwrap()) else {
            panic!("the same file makes the same manifest");
        };
        assert_eq!(left, right);
        let (left, right) = tokio::join!(cold.commit(&left), cold.commit(&right));
        let committed = [&left, &right].iter().filter(|outcome| ***outcome == CommitOutcome::Committed).count();
        let already = [&left, &right].iter().filter(|outcome| ***outcome == CommitOutcome::AlreadyCommitted).count();
        assert_eq!((committed, already), (1, 1));
    }
    cold.check(&[range(0, 10), range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn a_manifest_that_another_run_left_is_adopted_and_ours_comes_after_it() {
    let cold = Cold::create().await;
    cold.run(range(0, 10), Step::Committed).await.unwrap();
    // Another compactor, set to smaller partitions, died before its commit.
    cold.run(range(10, 15), Step::Listed).await.unwrap();
    let stored = cold.store(range(10, 20)).await;
    let listing = stored.list(&cold.bucket.objects, &cold.current().await).await.unwrap();
    let Listing::Theirs { manifest, ours } = listing else { panic!("their manifest is there already") };
    assert_eq!(cold.commit(&manifest).await, CommitOutcome::Committed);
    // Our file overlaps theirs now: it is refused, and the plan is made anew.
    let refused = ours.list(&cold.bucket.objects, &cold.current().await).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.manifest_invalid");
    cold.run(range(15, 20), Step::Committed).await.unwrap();
    cold.check(&[range(0, 10), range(10, 15), range(15, 20)]).await;
}

#[tokio::test]
async fn a_manifest_whose_file_is_gone_or_that_does_not_follow_is_not_adopted() {
    let cold = Cold::create().await;
    cold.run(range(0, 10), Step::Committed).await.unwrap();
    cold.run(range(10, 15), Step::Listed).await.unwrap();
    let current = cold.current().await;
    let theirs = cold.store(range(10, 15)).await.file().key.clone();
    cold.bucket.delete(&theirs).await;
    let refused = cold.store(range(10, 20)).await.list(&cold.bucket.objects, &current).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.object_missing");

    let second = "cold/made/transactions/manifests/0000000002.json";
    let bytes = cold.bucket.objects.read(second, 1 << 20).await.unwrap().unwrap();
    let sha256 = current.manifest().map(|manifest| manifest.to_bytes().unwrap()).unwrap();
    let sha256 = isotherm_cold_store::Sha256Digest::of(&sha256).to_string();
    let other_history = String::from_utf8(bytes.to_vec()).unwrap().replace(&sha256, &"0".repeat(64));
    cold.bucket.overwrite(second, other_history.as_bytes()).await;
    let refused = cold.store(range(10, 20)).await.list(&cold.bucket.objects, &current).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.manifest_conflict");
    cold.check(&[range(0, 10)]).await;
}

#[tokio::test]
async fn a_stale_compactor_commits_nothing() {
    let cold = Cold::create().await;
    cold.run(range(0, 10), Step::Committed).await.unwrap();
    let stale = cold.current().await;
    let late = cold.store(range(10, 20)).await;
    cold.run(range(10, 15), Step::Committed).await.unwrap();
    cold.run(range(15, 20), Step::Committed).await.unwrap();
    let Listing::Theirs { manifest, .. } = late.list(&cold.bucket.objects, &stale).await.unwrap() else {
        panic!("version 2 is taken")
    };
    assert_eq!(cold.commit(&manifest).await, CommitOutcome::AlreadyCommitted);
    cold.check(&[range(0, 10), range(10, 15), range(15, 20)]).await;

    // The catalogue itself refuses a manifest that does not follow, were one ever to reach it.
    let mut conn = cold.connect().await;
    sqlx::query("DELETE FROM cold.data_partitions WHERE start_block >= 10").execute(&mut conn).await.unwrap();
    let CommitOutcome::Stale { head: Some(head) } = cold.commit(&manifest).await else { panic!("it was taken") };
    assert_eq!(head.manifest_version, 3);
}

#[tokio::test]
async fn an_altered_object_stops_the_next_commit() {
    let cold = Cold::create().await;
    cold.run(range(0, 10), Step::Committed).await.unwrap();

    // A file that is there with other bytes is never overwritten and never listed.
    let key = staged(chain(), DATASET, range(10, 20)).file().key.clone();
    cold.bucket.overwrite(&key, b"not ours").await;
    let refused = cold.run(range(10, 20), Step::Committed).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.object_conflict");
    assert_eq!(cold.bucket.objects.read(&key, 100).await.unwrap().unwrap(), "not ours".as_bytes());
    cold.bucket.delete(&key).await;

    // Nor is a manifest built upon one that is not the committed one.
    let first = "cold/made/transactions/manifests/0000000001.json";
    let bytes = cold.bucket.objects.read(first, 1 << 20).await.unwrap().unwrap();
    let mut altered = bytes.to_vec();
    altered.push(b' ');
    cold.bucket.overwrite(first, &altered).await;
    let mut conn = cold.connect().await;
    let head = catalog::head(&mut conn, chain().chain_id, DATASET).await.unwrap();
    let refused = CurrentManifest::load(&cold.bucket.objects, head.as_ref()).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.object_altered");
}

#[tokio::test]
async fn a_partition_of_another_branch_does_not_follow() {
    let cold = Cold::create().await;
    cold.run(range(0, 10), Step::Committed).await.unwrap();
    let branch = MadeChain { seed: 1, ..chain() };
    let stored = staged(branch, DATASET, range(10, 20)).store(&cold.bucket.objects).await.unwrap();
    let refused = stored.list(&cold.bucket.objects, &cold.current().await).await.unwrap_err();
    assert_eq!(refused.code(), "cold_store.broken_chain");
    assert_eq!(cold.bucket.keys().await.iter().filter(|key| key.ends_with(".json")).count(), 1);
}
