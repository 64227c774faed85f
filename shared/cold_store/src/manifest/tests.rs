//! Tests of the manifest's rules and of its format.

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use super::*;

const SCHEMA: &str = include_str!("../../../../docs/manifest.schema.json");
const GOLDEN: &str = include_str!("../../../../events-fixtures/manifest/v1.json");

fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

fn partition(blocks: BlockRange) -> Partition {
    Partition { chain_id: ChainId(143), chain: ChainName::new("monad").unwrap(), dataset: Dataset::Logs, blocks }
}

fn file(start: u64, end: u64) -> DataFile {
    let blocks = range(start, end);
    DataFile {
        key: partition(blocks).object_key(),
        blocks,
        row_count: 10 * blocks.block_count(),
        size_bytes: 4_096 + start,
        sha256: Sha256Digest::of(&start.to_be_bytes()),
        first_block_hash: B256::with_last_byte(u8::try_from(start).unwrap()),
        last_block_hash: B256::with_last_byte(u8::try_from(end - 1).unwrap()),
        schema_version: 1,
        writer_version: "isotherm 0.1.0".to_owned(),
        roots: RootVerdicts {
            header_hash: RootVerdict::Ok,
            transactions_root: RootVerdict::NotVerifiable { reason: "not recomputed".to_owned() },
            receipts_root: RootVerdict::Bad,
        },
    }
}

fn two_versions() -> (Manifest, Manifest) {
    let first = Manifest::first(&partition(range(37, 100)), file(37, 100)).unwrap();
    let sha256 = Sha256Digest::of(&first.to_bytes().unwrap());
    let second = first.successor(sha256, file(100, 200)).unwrap();
    (first, second)
}

#[test]
fn the_format_is_the_golden_file() {
    let (_, second) = two_versions();
    let text = String::from_utf8(second.to_bytes().unwrap()).unwrap();
    assert_eq!(text, GOLDEN, "the manifest's format changed; it needs a new version and a new golden file");
    assert_eq!(Manifest::parse(GOLDEN.as_bytes()).unwrap(), second);
}

#[test]
fn an_unknown_field_or_format_is_refused() {
    let with_field = GOLDEN.replacen("\"chain_id\"", "\"colour\": 1, \"chain_id\"", 1);
    assert!(matches!(Manifest::parse(with_field.as_bytes()), Err(ManifestError::Json { .. })));
    let newer = GOLDEN.replacen("\"format_version\": 1", "\"format_version\": 2, \"news\": true", 1);
    assert!(matches!(Manifest::parse(newer.as_bytes()), Err(ManifestError::Format { found: 2 })));
    for cut in 0..GOLDEN.trim_end().len() {
        assert!(Manifest::parse(&GOLDEN.as_bytes()[..cut]).is_err(), "cut at byte {cut}");
    }
}

#[test]
fn each_rule_is_kept() {
    type Break = fn(&mut Manifest);
    let table: &[(&str, Break)] = &[
        ("version 0", |manifest| manifest.manifest_version = 0),
        ("a first manifest with one before it", |manifest| manifest.manifest_version = 1),
        ("a second manifest with none before it", |manifest| manifest.previous_manifest_sha256 = None),
        ("no files", |manifest| manifest.files.clear()),
        ("another chain's key", |manifest| manifest.files[0].key = file(37, 100).key.replace("monad", "other")),
        ("another range's key", |manifest| manifest.files[1].key = file(100, 250).key),
        ("out of order", |manifest| manifest.files.reverse()),
        ("twice the same", |manifest| manifest.files[1] = file(37, 100)),
        ("a gap", |manifest| manifest.files[1] = file(101, 200)),
        ("an overlap", |manifest| manifest.files[1] = file(99, 200)),
    ];
    for (rule, break_it) in table {
        let (_, mut manifest) = two_versions();
        manifest.validate().unwrap();
        break_it(&mut manifest);
        assert!(manifest.validate().is_err(), "{rule}");
    }
}

#[test]
fn a_file_that_leaves_a_gap_cannot_be_added() {
    let (first, _) = two_versions();
    let found = first.successor(Sha256Digest::of(b""), file(101, 200));
    assert!(matches!(found, Err(ManifestError::Gap { .. })));
}

#[test]
fn only_the_files_of_the_one_before_and_one_more_follow_it() {
    let (first, second) = two_versions();
    let sha256 = Sha256Digest::of(&first.to_bytes().unwrap());
    assert_eq!(first.check_follows(None).unwrap(), Change::Last);
    assert_eq!(second.check_follows(Some((&first, sha256))).unwrap(), Change::Last);

    second.check_follows(None).unwrap_err();
    first.check_follows(Some((&first, sha256))).unwrap_err();
    second.check_follows(Some((&first, Sha256Digest::of(b"other")))).unwrap_err();
    let mut other_history = second.clone();
    other_history.files[0].row_count += 1;
    other_history.check_follows(Some((&first, sha256))).unwrap_err();
    let mut two_more = second.clone();
    two_more.files.push(file(200, 255));
    two_more.check_follows(Some((&first, sha256))).unwrap_err();
    let mut other_chain = second;
    other_chain.chain_id = ChainId(1);
    other_chain.check_follows(Some((&first, sha256))).unwrap_err();
}

#[test]
fn a_file_before_the_first_follows_too_and_nowhere_else() {
    let (first, second) = two_versions();
    let digest_of = |manifest: &Manifest| Sha256Digest::of(&manifest.to_bytes().unwrap());
    let lower = second.successor(digest_of(&second), file(30, 37)).unwrap();
    let starts: Vec<u64> = lower.files.iter().map(|file| file.blocks.start().0).collect();
    assert_eq!(starts, [30, 37, 100]);
    assert_eq!(lower.first_block(), Some(BlockNumber(30)));
    assert_eq!(Manifest::parse(&lower.to_bytes().unwrap()).unwrap(), lower);
    assert_eq!(lower.check_follows(Some((&second, digest_of(&second)))).unwrap(), Change::First);

    // One more at each end, or none at all, is no next version.
    lower.check_follows(Some((&first, digest_of(&first)))).unwrap_err();
    let mut both = Manifest { manifest_version: 2, previous_manifest_sha256: Some(digest_of(&first)), ..lower };
    both.validate().unwrap();
    both.check_follows(Some((&first, digest_of(&first)))).unwrap_err();
    both.files = first.files.clone();
    both.check_follows(Some((&first, digest_of(&first)))).unwrap_err();

    for (start, end) in [(29, 36), (30, 38), (0, 30), (37, 100), (99, 200)] {
        let found = second.successor(digest_of(&second), file(start, end));
        assert!(matches!(found, Err(ManifestError::Gap { .. })), "{start}..{end}");
    }
}

/// A manifest of four files, its digest, and what merging the second and third of them makes.
fn with_a_run() -> (Manifest, Sha256Digest, DataFile) {
    let files = [(0, 10), (10, 14), (14, 20), (20, 30)].map(|(start, end)| file(start, end));
    let manifest = Manifest {
        manifest_version: 4,
        previous_manifest_sha256: Some(Sha256Digest::of(b"before")),
        files: files.into(),
        ..two_versions().1
    };
    let sha256 = Sha256Digest::of(&manifest.to_bytes().unwrap());
    (manifest, sha256, file(10, 20))
}

#[test]
fn a_merged_file_takes_the_place_of_those_whose_blocks_it_has() {
    let (before, sha256, merged) = with_a_run();
    let next = before.successor_merged(sha256, merged).unwrap();
    let ranges: Vec<BlockRange> = next.files.iter().map(|file| file.blocks).collect();
    assert_eq!(ranges, [range(0, 10), range(10, 20), range(20, 30)]);
    assert_eq!((&next.files[0], &next.files[2]), (&before.files[0], &before.files[3]));
    let change = next.check_follows(Some((&before, sha256))).unwrap();
    assert_eq!((change, change.is_growth()), (Change::Replaced { index: 1, file_count: 2 }, false));
    assert_eq!(Manifest::parse(&next.to_bytes().unwrap()).unwrap(), next);

    // All of them, and the first or last ones, as well.
    for (start, end, expected) in [
        (0, 30, Change::Replaced { index: 0, file_count: 4 }),
        (0, 14, Change::Replaced { index: 0, file_count: 2 }),
        (14, 30, Change::Replaced { index: 2, file_count: 2 }),
    ] {
        let next = before.successor_merged(sha256, file(start, end)).unwrap();
        assert_eq!(next.check_follows(Some((&before, sha256))).unwrap(), expected);
    }
}

#[test]
fn a_merged_file_that_is_not_exactly_its_parts_follows_nothing() {
    let (before, sha256, merged) = with_a_run();
    type Break = fn(&mut DataFile);
    let table: &[(&str, Break)] = &[
        ("a row more", |file| file.row_count += 1),
        ("a row less", |file| file.row_count -= 1),
        ("another first block", |file| file.first_block_hash = B256::ZERO),
        ("another last block", |file| file.last_block_hash = B256::ZERO),
        ("other columns", |file| file.schema_version += 1),
    ];
    for (what, break_it) in table {
        let mut broken = merged.clone();
        break_it(&mut broken);
        assert!(matches!(before.successor_merged(sha256, broken), Err(ManifestError::NotNext { .. })), "{what}");
    }
    // A part of a file, one whole file, and blocks that are not there: nothing is merged.
    for (start, end) in [(10, 19), (12, 20), (5, 20), (10, 14), (30, 40)] {
        before.successor_merged(sha256, file(start, end)).unwrap_err();
    }

    let next = before.successor_merged(sha256, merged).unwrap();
    let mut two_changes = next.clone();
    two_changes.files.push(file(30, 40));
    two_changes.validate().unwrap();
    two_changes.check_follows(Some((&before, sha256))).unwrap_err();
    let mut altered_beside = next.clone();
    altered_beside.files[2].size_bytes += 1;
    altered_beside.check_follows(Some((&before, sha256))).unwrap_err();
    let mut shortened = next;
    shortened.files.pop();
    shortened.check_follows(Some((&before, sha256))).unwrap_err();
    let mut without_the_last =
        Manifest { manifest_version: 5, previous_manifest_sha256: Some(sha256), ..before.clone() };
    without_the_last.files.pop();
    without_the_last.check_follows(Some((&before, sha256))).unwrap_err();
}

/// Whether the schema accepts a manifest, and whether the reader does.
fn judged(schemas: &Schemas, schema: boon::SchemaIndex, manifest: &Value) -> (bool, bool) {
    (schemas.validate(manifest, schema).is_ok(), Manifest::parse(manifest.to_string().as_bytes()).is_ok())
}

#[test]
fn the_schema_in_docs_and_the_reader_judge_alike() {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("manifest.schema.json", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let schema = compiler.compile("manifest.schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let first: Value = serde_json::to_value(two_versions().0).unwrap();
    for good in [&golden, &first] {
        assert_eq!(judged(&schemas, schema, good), (true, true), "{good}");
    }

    // Every field is needed, and none is there that they do not know.
    for object in ["", "/files/0", "/files/0/blocks", "/files/0/roots"] {
        for field in golden.pointer(object).unwrap().as_object().unwrap().keys() {
            let mut without = golden.clone();
            without.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(field);
            assert_eq!(judged(&schemas, schema, &without), (false, false), "without {field} in {object:?}");
        }
        let mut with = golden.clone();
        with.pointer_mut(object).unwrap()["colour"] = json!(1);
        assert_eq!(judged(&schemas, schema, &with), (false, false), "one more in {object:?}");
    }

    let changes = [
        ("/format_version", json!(2)),
        ("/manifest_version", json!(0)),
        ("/manifest_version", json!(1)),
        ("/manifest_version", json!("2")),
        ("/previous_manifest_sha256", json!(null)),
        ("/previous_manifest_sha256", json!("AB".repeat(32))),
        ("/chain_id", json!(-1)),
        ("/chain", json!("../monad")),
        ("/dataset", json!("uncles")),
        ("/files", json!([])),
        ("/files/0/key", json!("cold/monad/logs/logs_37_99.parquet")),
        ("/files/0/blocks/start", json!(-1)),
        ("/files/0/row_count", json!(1.5)),
        ("/files/0/size_bytes", json!(-1)),
        ("/files/0/sha256", json!("ab")),
        ("/files/0/first_block_hash", json!("0x00")),
        ("/files/0/schema_version", json!("1")),
        ("/files/0/writer_version", json!(1)),
        ("/files/0/roots/header_hash", json!("fine")),
        ("/files/0/roots/header_hash", json!({ "not_verifiable": {} })),
    ];
    for (place, value) in changes {
        let mut changed = golden.clone();
        *changed.pointer_mut(place).unwrap() = value;
        assert_eq!(judged(&schemas, schema, &changed), (false, false), "{place}: {}", changed.pointer(place).unwrap());
    }
}
