//! What is said of each stored manifest.

use isotherm_types::{B256, BlockNumber, BlockRange, ChainId};

use super::*;
use crate::layout::Partition;
use crate::manifest::{RootVerdict, RootVerdicts};

const DATASET: Dataset = Dataset::Logs;

fn chain() -> ChainName {
    ChainName::new("monad").unwrap()
}

fn file(start: u64) -> DataFile {
    let blocks = BlockRange::new(BlockNumber(start), BlockNumber(start + 10)).unwrap();
    DataFile {
        key: layout::data_key(&chain(), DATASET, blocks),
        blocks,
        row_count: 10,
        size_bytes: 4_096,
        sha256: Sha256Digest::of(&start.to_be_bytes()),
        first_block_hash: B256::ZERO,
        last_block_hash: B256::ZERO,
        schema_version: 1,
        writer_version: "isotherm 0.1.0".to_owned(),
        roots: RootVerdicts::all(&RootVerdict::Ok),
    }
}

fn versions() -> (Manifest, Manifest) {
    let first_file = file(0);
    let partition = Partition { chain_id: ChainId(143), chain: chain(), dataset: DATASET, blocks: first_file.blocks };
    let first = Manifest::first(&partition, first_file).unwrap();
    let second = first.successor(Sha256Digest::of(&first.to_bytes().unwrap()), file(10)).unwrap();
    (first, second)
}

fn judged(
    version: u64,
    sha256: Option<Sha256Digest>,
    known: Option<&[DataFile]>,
    bytes: Option<&[u8]>,
) -> Result<Manifest, Problem> {
    let chain = chain();
    judge(&Expected { chain: &chain, dataset: DATASET, version, sha256, is_newest: version == 2, known }, bytes)
}

fn fault(judged: Result<Manifest, Problem>) -> Fault {
    judged.unwrap_err().fault
}

#[test]
fn the_manifest_that_is_named_is_sound() {
    let (first, second) = versions();
    for (version, manifest) in [(1, &first), (2, &second)] {
        let bytes = manifest.to_bytes().unwrap();
        let sha256 = Sha256Digest::of(&bytes);
        assert_eq!(judged(version, Some(sha256), None, Some(&bytes)).as_ref(), Ok(manifest));
        assert_eq!(judged(version, None, None, Some(&bytes)).as_ref(), Ok(manifest));
    }
}

#[test]
fn a_manifest_that_is_not_the_named_one_is_told_apart_by_what_it_is() {
    let (first, second) = versions();
    let (first, second) = (first.to_bytes().unwrap(), second.to_bytes().unwrap());
    let named = Some(Sha256Digest::of(&second));
    assert_eq!(fault(judged(2, named, None, None)), Fault::ManifestMissing);
    assert_eq!(fault(judged(2, named, None, Some(&first))), Fault::ManifestRolledBack);
    let with_space = [second.as_slice(), b" "].concat();
    assert_eq!(fault(judged(2, named, None, Some(&with_space))), Fault::ManifestAltered);
    assert_eq!(fault(judged(2, named, None, Some(b"{}"))), Fault::ManifestAltered);
    // Below the newest one only the version after it can say which it was.
    assert_eq!(fault(judged(1, named, None, Some(&first))), Fault::ManifestAltered);
}

#[test]
fn a_named_manifest_that_cannot_be_true_is_malformed_or_torn() {
    let (_, second) = versions();
    let mut torn = second.clone();
    torn.files[1] = file(20);
    let torn = torn.to_bytes().unwrap();
    assert_eq!(fault(judged(2, Some(Sha256Digest::of(&torn)), None, Some(&torn))), Fault::RangesTorn);
    assert_eq!(fault(judged(2, Some(Sha256Digest::of(b"{}")), None, Some(b"{}"))), Fault::ManifestMalformed);
    let second = second.to_bytes().unwrap();
    assert_eq!(fault(judged(3, Some(Sha256Digest::of(&second)), None, Some(&second))), Fault::ManifestMalformed);
}

#[test]
fn a_manifest_that_nobody_names_is_held_against_what_is_known_of_its_files() {
    let (first, second) = versions();
    let known = Some(second.files.as_slice());
    let bytes = first.to_bytes().unwrap();
    assert_eq!(judged(1, None, known, Some(&bytes)).unwrap(), first);
    let with_space = [bytes.as_slice(), b"\n"].concat();
    assert_eq!(fault(judged(1, None, known, Some(&with_space))), Fault::ManifestAltered);
    let mut other = first;
    other.files[0].row_count += 1;
    assert_eq!(fault(judged(1, None, known, Some(&other.to_bytes().unwrap()))), Fault::ManifestAltered);
}
