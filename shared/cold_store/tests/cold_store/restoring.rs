//! A damaged or missing file is put back with the bytes that are listed, and what was there is kept.

use isotherm_cold_store::restore::{Difference, Unsound};
use isotherm_cold_store::{ColdStoreError, DataFile, StagedFile, layout};
use isotherm_types::{Classified, Dataset, Disposition};

use crate::bucket::{Bucket, partition, staged};
use crate::rows::{MadeChain, range};

const LIMIT_BYTES: u64 = 1 << 20;

fn chain() -> MadeChain {
    MadeChain::new(143)
}

/// The same file, made once more.
fn made(chain: MadeChain) -> StagedFile {
    staged(chain, Dataset::Logs, range(0, 20))
}

/// A stored file.
async fn stored(bucket: &Bucket) -> DataFile {
    made(chain()).store(&bucket.objects).await.unwrap().file().clone()
}

async fn look(bucket: &Bucket, file: &DataFile) -> Option<Unsound> {
    let partition = partition(chain(), Dataset::Logs, range(0, 20));
    Unsound::look(&bucket.objects, partition, file.clone(), &std::env::temp_dir()).await.unwrap()
}

/// The file's bytes with one bit of one of them changed.
async fn damage(bucket: &Bucket, file: &DataFile, place: usize) -> Vec<u8> {
    let mut bytes = bucket.objects.read(&file.key, LIMIT_BYTES).await.unwrap().unwrap().to_vec();
    bytes[place] ^= 1;
    bucket.overwrite(&file.key, &bytes).await;
    bytes
}

/// All steps, as an operator takes them.
async fn restore(bucket: &Bucket, file: &DataFile) -> Option<String> {
    let unsound = look(bucket, file).await.expect("it is damaged");
    let kept = unsound.reproduced(made(chain())).unwrap().keep(&bucket.objects).await.unwrap();
    let evidence = kept.evidence_key().map(str::to_owned);
    kept.store(&bucket.objects).await.unwrap();
    bucket.objects.verify(&file.key, &file.digest()).await.unwrap();
    assert!(look(bucket, file).await.is_none(), "it is sound again");
    evidence
}

#[tokio::test]
async fn a_damaged_file_is_overwritten_once_its_bytes_are_kept() {
    let bucket = Bucket::create().await;
    let file = stored(&bucket).await;
    assert!(look(&bucket, &file).await.is_none(), "what is sound is left alone");

    let damaged = damage(&bucket, &file, 100).await;
    let found = look(&bucket, &file).await.unwrap().found().unwrap();
    let evidence = restore(&bucket, &file).await.unwrap();
    let expected = layout::evidence_key(&partition(chain(), Dataset::Logs, range(0, 20)), found.sha256);
    assert_eq!(evidence, expected);
    assert_eq!(bucket.objects.read(&evidence, LIMIT_BYTES).await.unwrap().unwrap(), damaged);

    // The same damage again needs no other evidence; another one does.
    damage(&bucket, &file, 100).await;
    assert_eq!(restore(&bucket, &file).await, Some(evidence.clone()));
    damage(&bucket, &file, 101).await;
    assert_ne!(restore(&bucket, &file).await, Some(evidence));
    assert_eq!(bucket.keys().await.len(), 3);
}

#[tokio::test]
async fn a_missing_file_is_put_back_and_leaves_no_evidence() {
    let bucket = Bucket::create().await;
    let file = stored(&bucket).await;
    bucket.delete(&file.key).await;
    assert_eq!(look(&bucket, &file).await.unwrap().found(), None);
    assert_eq!(restore(&bucket, &file).await, None);
    assert_eq!(bucket.keys().await, [file.key]);
}

#[tokio::test]
async fn an_object_that_changes_meanwhile_is_left_alone() {
    let bucket = Bucket::create().await;
    let file = stored(&bucket).await;
    for is_there in [true, false] {
        if is_there {
            damage(&bucket, &file, 100).await;
        } else {
            bucket.delete(&file.key).await;
        }
        let reproduced = look(&bucket, &file).await.unwrap().reproduced(made(chain())).unwrap();
        let kept = reproduced.keep(&bucket.objects).await.unwrap();
        bucket.overwrite(&file.key, b"somebody else's").await;
        let refused: ColdStoreError = kept.store(&bucket.objects).await.unwrap_err();
        assert_eq!((refused.code(), refused.disposition()), ("cold_store.object_changed", Disposition::Retry));
        let left = bucket.objects.read(&file.key, LIMIT_BYTES).await.unwrap().unwrap();
        assert_eq!(left, b"somebody else's".as_slice());
        restore(&bucket, &file).await;
    }

    // It has gone, and somebody else has restored it: the one is tried again, the other is as good as done.
    for bytes in [None, Some(made(chain()))] {
        damage(&bucket, &file, 100).await;
        let reproduced = look(&bucket, &file).await.unwrap().reproduced(made(chain())).unwrap();
        let kept = reproduced.keep(&bucket.objects).await.unwrap();
        bucket.delete(&file.key).await;
        let is_restored = bytes.is_some();
        if let Some(bytes) = bytes {
            bytes.store(&bucket.objects).await.unwrap();
        }
        let code = kept.store(&bucket.objects).await.map_err(|error| error.code());
        assert_eq!(code, if is_restored { Ok(()) } else { Err("cold_store.object_changed") });
        made(chain()).store(&bucket.objects).await.unwrap();
    }
}

#[tokio::test]
async fn other_bytes_than_those_that_are_listed_are_put_nowhere() {
    let bucket = Bucket::create().await;
    let file = stored(&bucket).await;
    let damaged = damage(&bucket, &file, 100).await;
    let other = MadeChain { seed: 1, ..chain() };
    let refused = look(&bucket, &file).await.unwrap().reproduced(made(other)).unwrap_err();
    assert_eq!((refused.listed, refused.difference), (file.sha256, Difference::Blocks));
    assert_eq!(bucket.objects.read(&file.key, LIMIT_BYTES).await.unwrap().unwrap(), damaged);
    assert_eq!(bucket.keys().await, [file.key]);
}
