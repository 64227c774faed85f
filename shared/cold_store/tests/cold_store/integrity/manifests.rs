//! Manifests that were deleted, altered, exchanged or rolled back.

use isotherm_cold_store::integrity::{Fault, Level};
use isotherm_cold_store::layout::manifest_key;
use isotherm_cold_store::{ChainName, Sha256Digest};
use isotherm_types::Dataset;

use super::one;
use super::sealed::World;

const DATASET: Dataset = Dataset::Logs;
/// Version of its newest manifest.
const NEWEST: u64 = 4;

fn key(version: u64) -> String {
    manifest_key(&ChainName::new("made").unwrap(), DATASET, version)
}

/// What is found, by key and fault, in the order of versions.
async fn found(world: &World) -> Vec<(String, Fault)> {
    let report = world.check(Level::File).await;
    assert!(report.findings.iter().all(|finding| finding.dataset == DATASET && finding.message.contains(' ')));
    let mut found: Vec<_> = report.findings.into_iter().map(|finding| (finding.object, finding.fault)).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_manifest_that_is_gone_is_found_and_the_files_are_checked_all_the_same() {
    let world = World::whole().await;
    let broken = &world.newest[&DATASET].files[0].key;
    let bytes = world.read(broken).await;
    for version in 1..=NEWEST {
        let manifest = world.read(&key(version)).await;
        world.bucket.delete(&key(version)).await;
        assert_eq!(found(&world).await, [(key(version), Fault::ManifestMissing)]);
        world.bucket.delete(broken).await;
        let expected = [(broken.clone(), Fault::ObjectMissing), (key(version), Fault::ManifestMissing)];
        assert_eq!(found(&world).await, expected);
        world.bucket.overwrite(broken, &bytes).await;
        world.bucket.overwrite(&key(version), &manifest).await;
    }
    assert_eq!(found(&world).await, []);
}

#[tokio::test]
async fn a_manifest_that_was_altered_is_found_whatever_was_altered() {
    let world = World::whole().await;
    for version in 1..=NEWEST {
        let manifest = world.read(&key(version)).await;
        for place in [0, manifest.len() / 3, manifest.len() / 2, manifest.len() - 2] {
            let mut bytes = manifest.clone();
            bytes[place] ^= 1;
            world.bucket.overwrite(&key(version), &bytes).await;
            assert_eq!(found(&world).await, [(key(version), Fault::ManifestAltered)], "byte {place}");
        }
        world.bucket.overwrite(&key(version), &manifest).await;
    }
}

#[tokio::test]
async fn manifests_that_changed_places_are_both_found() {
    let world = World::whole().await;
    for (left, right) in [(1, 2), (1, 3), (2, 3)] {
        let (left_bytes, right_bytes) = (world.read(&key(left)).await, world.read(&key(right)).await);
        world.bucket.overwrite(&key(left), &right_bytes).await;
        world.bucket.overwrite(&key(right), &left_bytes).await;
        let found: Vec<_> = found(&world).await.into_iter().map(|(object, _)| object).collect();
        assert_eq!(found, [key(left), key(right)]);
        world.bucket.overwrite(&key(left), &left_bytes).await;
        world.bucket.overwrite(&key(right), &right_bytes).await;
    }
}

#[tokio::test]
async fn a_newest_manifest_that_was_rolled_back_is_found() {
    let world = World::whole().await;
    for older in 1..NEWEST {
        let (newest, bytes) = (world.read(&key(NEWEST)).await, world.read(&key(older)).await);
        world.bucket.overwrite(&key(NEWEST), &bytes).await;
        let finding = one(&world.check(Level::File).await, &key(NEWEST), Fault::ManifestRolledBack);
        assert!(finding.message.contains(&format!("is version {older}")), "{}", finding.message);
        world.bucket.overwrite(&key(NEWEST), &newest).await;
    }
}

#[tokio::test]
async fn a_history_that_leaves_a_file_out_is_found_though_every_digest_fits() {
    let mut world = World::whole().await;
    // Version 4 names version 3, but lists other files than 3 and one more.
    let mut newest = world.newest[&DATASET].clone();
    newest.files.pop();
    world.bucket.overwrite(&newest.key(), &newest.to_bytes().unwrap()).await;
    world.newest.insert(DATASET, newest);
    assert_eq!(found(&world).await, [(key(NEWEST), Fault::ManifestMalformed)]);

    let mut torn = world.newest[&DATASET].clone();
    torn.files.remove(1);
    world.bucket.overwrite(&torn.key(), &torn.to_bytes().unwrap()).await;
    world.newest.insert(DATASET, torn);
    assert_eq!(found(&world).await, [(key(NEWEST), Fault::RangesTorn)]);
}

#[tokio::test]
async fn a_forged_history_with_digests_that_fit_is_not_the_one_that_the_catalogue_names() {
    let world = World::whole().await;
    let heads = world.heads();
    let mut forged = world.newest[&DATASET].clone();
    forged.files[3].row_count += 1;
    let bytes = forged.to_bytes().unwrap();
    world.bucket.overwrite(&forged.key(), &bytes).await;
    let report = world.check_as(Level::File, |plan| plan.heads = heads).await;
    let finding = one(&report, &forged.key(), Fault::ManifestAltered);
    assert!(finding.message.contains(&Sha256Digest::of(&bytes).to_string()), "{}", finding.message);
}
