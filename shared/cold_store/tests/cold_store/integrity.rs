//! Cold storage that is sound, and cold storage that somebody has tampered with: what a check says of each.

use std::path::Path;

use isotherm_cold_store::integrity::{Fault, Finding, Level, Plan, Report, Sampling, check};
use isotherm_cold_store::{ChainName, ObjectStore, Sha256Digest};
use isotherm_types::{BlockRange, Classified, Dataset, Disposition};

use crate::rows::range;

mod manifests;
mod rows;
pub(crate) mod sealed;

use sealed::{BLOCKS, World, files_of};

const TWO_LEVELS: [Level; 2] = [Level::File, Level::Chain];

/// The one finding of a report, which names what it must and has words.
fn one(report: &Report, object: &str, fault: Fault) -> Finding {
    let [finding] = report.findings.as_slice() else { panic!("one finding: {report:#?}") };
    assert_eq!((finding.object.as_str(), finding.fault), (object, fault), "{finding:?}");
    assert!(finding.message.contains(' ') && !report.is_sound());
    finding.clone()
}

fn unverifiable(report: &Report) -> Vec<(Dataset, BlockRange)> {
    report.unverifiable.iter().map(|told| (told.dataset, told.blocks)).collect()
}

#[tokio::test]
async fn sound_storage_has_no_finding_and_everything_was_looked_at() {
    let world = World::whole().await;
    let files = world.newest.values().flat_map(|manifest| &manifest.files);
    let bytes: u64 = files.map(|file| file.size_bytes).sum();
    for level in Level::ALL {
        let report = world.check(level).await;
        assert_eq!(report.findings, [], "{level}");
        assert_eq!(report.unverifiable, [], "{level}");
        assert_eq!((report.level, report.manifests, report.files, report.bytes), (level, 15, 15, bytes));
        assert_eq!(report.blocks, if level == Level::File { 0 } else { BLOCKS });
    }
}

#[tokio::test]
async fn memory_for_few_rows_is_enough() {
    let world = World::whole().await;
    let report = world.check_as(Level::Chain, |plan| plan.at_most_bytes = 1).await;
    assert_eq!((report.findings, report.unverifiable, report.blocks), (vec![], vec![], BLOCKS));
}

#[tokio::test]
async fn a_catalogue_is_not_needed() {
    let world = World::whole().await;
    let report = world.check_as(Level::Chain, |plan| plan.heads.clear()).await;
    assert_eq!((report.findings, report.manifests, report.blocks), (vec![], 15, BLOCKS));
}

#[tokio::test]
async fn only_what_has_the_blocks_that_are_asked_for_is_read() {
    let world = World::whole().await;
    let report = world.check_as(Level::Chain, |plan| plan.blocks = Some(range(12, 14))).await;
    assert_eq!((report.findings, report.unverifiable), (vec![], vec![]));
    assert_eq!((report.files, report.blocks), (4, 2));
    let report = world.check_as(Level::Chain, |plan| plan.datasets = vec![Dataset::Traces]).await;
    assert_eq!((report.findings, report.unverifiable), (vec![], vec![]));
    assert_eq!((report.files, report.blocks), (8, BLOCKS));
    let report = world.check_as(Level::File, |plan| plan.datasets = vec![Dataset::Logs]).await;
    assert_eq!((report.findings, report.manifests, report.files), (vec![], 4, 4));
}

#[tokio::test]
async fn nothing_cold_is_nothing_wrong() {
    let world = World::empty().await;
    let report = world.check(Level::Chain).await;
    assert_eq!((report.findings, report.unverifiable, report.manifests), (vec![], vec![], 0));
}

#[tokio::test]
async fn a_byte_that_was_flipped_is_found_wherever_it_is() {
    let world = World::whole().await;
    for dataset in Dataset::ALL {
        let file = &world.newest[&dataset].files[1];
        let sound = world.read(&file.key).await;
        for place in [0, sound.len() / 2, sound.len() - 1] {
            let mut bytes = sound.clone();
            bytes[place] ^= 1;
            world.bucket.overwrite(&file.key, &bytes).await;
            for level in TWO_LEVELS {
                let finding = one(&world.check(level).await, &file.key, Fault::DigestDiffers);
                assert_eq!((finding.dataset, finding.blocks), (dataset, Some(file.blocks)), "byte {place}");
                assert!(finding.message.contains(&file.sha256.to_string()), "{}", finding.message);
                let found = Sha256Digest::of(&bytes).to_string();
                assert!(finding.message.contains(&found), "{}", finding.message);
            }
        }
        world.bucket.overwrite(&file.key, &sound).await;
    }
    assert!(world.check(Level::Chain).await.is_sound());
}

#[tokio::test]
async fn the_check_goes_on_beside_a_broken_file_and_says_what_it_left_out() {
    let world = World::whole().await;
    let expected = |dataset| match dataset {
        // Headers without which nothing can be held against anything; the links go on after them.
        Dataset::Blocks => (30, Dataset::ALL.map(|dataset| (dataset, range(10, 20))).to_vec()),
        Dataset::Transactions => {
            (40, [Dataset::Transactions, Dataset::Logs].map(|dataset| (dataset, range(15, 30))).to_vec())
        }
        Dataset::Logs => (40, [Dataset::Transactions, Dataset::Logs].map(|dataset| (dataset, range(10, 20))).to_vec()),
        Dataset::Traces => (40, vec![(Dataset::Traces, range(10, 20))]),
    };
    for dataset in Dataset::ALL {
        let file = &world.newest[&dataset].files[1];
        let sound = world.read(&file.key).await;
        world.bucket.delete(&file.key).await;
        let report = world.check(Level::Chain).await;
        let finding = one(&report, &file.key, Fault::ObjectMissing);
        assert_eq!((finding.dataset, finding.blocks), (dataset, Some(file.blocks)));
        assert_eq!((report.blocks, unverifiable(&report)), expected(dataset), "{dataset}");
        one(&world.check(Level::File).await, &file.key, Fault::ObjectMissing);
        world.bucket.overwrite(&file.key, &sound).await;
    }
}

#[tokio::test]
async fn files_that_changed_places_are_both_found() {
    let world = World::whole().await;
    for dataset in Dataset::ALL {
        let files = &world.newest[&dataset].files;
        let (left, right) = (&files[0].key, &files[1].key);
        let (left_bytes, right_bytes) = (world.read(left).await, world.read(right).await);
        world.bucket.overwrite(left, &right_bytes).await;
        world.bucket.overwrite(right, &left_bytes).await;
        for level in TWO_LEVELS {
            let report = world.check(level).await;
            let found: Vec<_> = report.findings.iter().map(|finding| finding.object.as_str()).collect();
            assert_eq!(found, [left, right], "{dataset} at level {level}");
        }
        world.bucket.overwrite(left, &left_bytes).await;
        world.bucket.overwrite(right, &right_bytes).await;
    }
}

#[tokio::test]
async fn a_valid_file_that_is_not_the_listed_one_is_found() {
    let world = World::whole().await;
    let file = &world.newest[&Dataset::Logs].files[1];
    let other = sealed::SealedChain::new(8).staged(Dataset::Logs, file.blocks);
    assert_eq!(&other.file().key, &file.key);
    world.bucket.overwrite(&file.key, &std::fs::read(other.path()).unwrap()).await;
    let report = world.check(Level::File).await;
    let [finding] = report.findings.as_slice() else { panic!("{report:#?}") };
    assert_eq!(finding.object, file.key);
    assert!(matches!(finding.fault, Fault::SizeDiffers | Fault::DigestDiffers), "{finding:?}");

    let mut longer = world.read(&file.key).await;
    longer.resize(usize::try_from(file.size_bytes).unwrap() + 1, 0);
    world.bucket.overwrite(&file.key, &longer).await;
    let finding = one(&world.check(Level::File).await, &file.key, Fault::SizeDiffers);
    assert!(finding.message.contains(&longer.len().to_string()), "{}", finding.message);
}

#[tokio::test]
async fn a_dataset_that_has_not_come_as_far_leaves_blocks_open() {
    let mut world = World::empty().await;
    for dataset in [Dataset::Blocks, Dataset::Transactions, Dataset::Logs] {
        let count = if dataset == Dataset::Logs { 2 } else { files_of(dataset).len() };
        for blocks in files_of(dataset).into_iter().take(count) {
            world.add(&world.chain.staged(dataset, blocks)).await;
        }
    }
    let report = world.check(Level::Chain).await;
    assert_eq!((&report.findings, report.blocks), (&vec![], BLOCKS));
    let open = [(Dataset::Transactions, range(20, 40)), (Dataset::Logs, range(20, 40))];
    assert_eq!(unverifiable(&report), open);
    assert!(report.unverifiable[0].reason.contains("no file of logs"), "{:?}", report.unverifiable);
}

#[tokio::test]
async fn storage_that_cannot_be_asked_is_an_error_and_no_finding() {
    let mut world = World::whole().await;
    let (chain, datasets) = (ChainName::new("made").unwrap(), Dataset::ALL.to_vec());
    let config = world.bucket.client.config().to_builder().endpoint_url("http://127.0.0.1:1").build();
    let heads = world.heads();
    let plan = |objects, scratch| Plan {
        objects,
        chain: &chain,
        datasets: datasets.clone(),
        heads: heads.clone(),
        blocks: None,
        level: Level::File,
        anchor: None,
        sampling: Sampling::None,
        scratch,
        at_most_bytes: 1 << 20,
    };
    let nowhere = Path::new("/nonexistent");
    let sound = world.bucket.objects.clone();
    let refused = check(&plan(&sound, nowhere), &mut |_| {}).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("cold_store.staged_file", Disposition::Retry));

    world.bucket.objects = ObjectStore::new(aws_sdk_s3::Client::from_conf(config), "cold");
    let away = check(&plan(&world.bucket.objects, nowhere), &mut |_| {}).await;
    assert_eq!(away.unwrap_err().disposition(), Disposition::Retry);
}
