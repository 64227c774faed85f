use isotherm_types::disposition::{Classified as _, Disposition};
use isotherm_types::schema::SCHEMA_VERSION;
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};

use super::*;
use crate::digest::Sha256Digest;
use crate::layout::ChainName;
use crate::manifest::{RootVerdict, RootVerdicts};
use crate::parquet_file::WRITER_VERSION;

fn partition(start: u64, end: u64) -> Partition {
    Partition {
        chain_id: ChainId(1),
        chain: ChainName::new("made").unwrap(),
        dataset: Dataset::Logs,
        blocks: BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap(),
    }
}

fn file(start: u64, end: u64) -> DataFile {
    let partition = partition(start, end);
    DataFile {
        key: partition.object_key(),
        blocks: partition.blocks,
        row_count: 7,
        size_bytes: 70,
        sha256: Sha256Digest::of(b"rows"),
        first_block_hash: B256::repeat_byte(1),
        last_block_hash: B256::repeat_byte(2),
        schema_version: SCHEMA_VERSION,
        writer_version: WRITER_VERSION.to_owned(),
        roots: RootVerdicts::all(&RootVerdict::Ok),
    }
}

fn row(file: &DataFile) -> DataPartition {
    DataPartition {
        blocks: file.blocks,
        object_key: file.key.clone(),
        row_count: file.row_count,
        size_bytes: file.size_bytes,
        sha256: file.sha256,
        first_block_hash: file.first_block_hash,
        last_block_hash: file.last_block_hash,
        schema_version: file.schema_version,
        manifest_version: 1,
    }
}

/// A manifest that lists blocks 0 to 20 in two files.
fn manifest() -> Manifest {
    let first = Manifest::first(&partition(0, 10), file(0, 10)).unwrap();
    let sha256 = Sha256Digest::of(&first.to_bytes().unwrap());
    first.successor(sha256, file(10, 20)).unwrap()
}

#[test]
fn a_file_is_restored_if_manifest_and_catalogue_list_exactly_it() {
    let rows = [row(&file(0, 10)), row(&file(10, 20))];
    assert_eq!(listed(Some(&manifest()), &rows, &partition(10, 20)), Ok(file(10, 20)));

    // It was merged with others, say, or the job calls the chain by another name.
    let refused = listed(Some(&manifest()), &rows, &partition(0, 20)).unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("cold_store.not_listed", Disposition::GiveUp));
    let message = refused.to_string();
    assert!(message.contains(&file(0, 10).key) && message.contains(&file(10, 20).key), "{message}");
    let other = Partition { chain: ChainName::new("other").unwrap(), ..partition(0, 10) };
    assert_eq!(listed(Some(&manifest()), &rows, &other).unwrap_err().code(), "cold_store.not_listed");
    let nothing = listed(None, &[], &partition(0, 10)).unwrap_err();
    assert!(nothing.to_string().ends_with("listed: none"), "{nothing}");
}

#[test]
fn a_file_that_the_catalogue_lists_otherwise_is_left_alone() {
    type Change = fn(&mut DataPartition);
    let changes: [Change; 6] = [
        |row| row.row_count += 1,
        |row| row.size_bytes += 1,
        |row| row.sha256 = Sha256Digest::of(b"other"),
        |row| row.first_block_hash = B256::ZERO,
        |row| row.last_block_hash = B256::ZERO,
        |row| row.schema_version += 1,
    ];
    for change in changes {
        let mut changed = row(&file(0, 10));
        change(&mut changed);
        let refused = listed(Some(&manifest()), std::slice::from_ref(&changed), &partition(0, 10)).unwrap_err();
        assert_eq!((refused.code(), refused.disposition()), ("cold_store.listed_otherwise", Disposition::GiveUp));
    }
    assert_eq!(listed(Some(&manifest()), &[], &partition(0, 10)).unwrap_err().code(), "cold_store.listed_otherwise");
}

#[test]
fn where_a_difference_comes_from_is_told() {
    let listed = file(0, 10);
    assert_eq!(NotReproducible::between(&listed, &listed), None);
    let worse = DataFile {
        roots: RootVerdicts::all(&RootVerdict::NotVerifiable { reason: "made up".to_owned() }),
        writer_version: "isotherm 0.0.0".to_owned(),
        ..file(0, 10)
    };
    assert_eq!(NotReproducible::between(&listed, &worse), None, "only bytes count");

    let made = DataFile { sha256: Sha256Digest::of(b"other"), ..file(0, 10) };
    let of = |listed: &DataFile, made: &DataFile| NotReproducible::between(listed, made).unwrap().difference;
    assert_eq!(of(&listed, &made), Difference::Rows);
    assert_eq!(of(&worse, &made), Difference::Writer);
    for ends in [
        DataFile { first_block_hash: B256::ZERO, ..made.clone() },
        DataFile { last_block_hash: B256::ZERO, ..made.clone() },
    ] {
        assert_eq!(of(&worse, &ends), Difference::Blocks);
    }
    let message = NotReproducible::between(&worse, &made).unwrap().to_string();
    let digests = [made.sha256.to_string(), listed.sha256.to_string()];
    for part in digests.iter().map(String::as_str).chain(["isotherm 0.0.0", WRITER_VERSION]) {
        assert!(message.contains(part), "{message}");
    }
}
