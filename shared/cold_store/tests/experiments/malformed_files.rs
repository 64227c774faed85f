//! Data files and manifests that are none, though their digests fit: flipped and missing bytes, footers and pages that say of
//! themselves to be gigabytes. Each is the file's fault, by its name, and costs no more than its length.
//!
//! The doors are the check of cold storage at level chain, over a real bucket, and [`Manifest::parse`].

use isotherm_cold_store::integrity::{Fault, Level};
use isotherm_cold_store::{DataFile, Manifest, ObjectDigest, StagedFile};
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Json, Judge, Refusals, Verdict};
use isotherm_types::{Classified as _, Dataset, Disposition};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::sealed::{World, files_of};

/// Length of a footer, and `PAR1`.
const TAIL_BYTES: usize = 8;

const WORDS: [&str; 12] = [
    "PAR1",
    "PARE",
    "\u{0}\u{0}\u{0}\u{0}",
    "\"files\":[",
    "\"key\":",
    "\"sha256\":",
    "\"manifest_version\":0",
    "\"first_block\":",
    "\"format_version\":2",
    "18446744073709551615",
    "isotherm.dataset",
    "\u{15}\u{2}\u{19}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_malformed_files() {
    let mut experiment = Experiment::begin("malformed_files", &["bounds"]);
    let is_bounded = !experiment.lacks("bounds");
    let mut world = World::empty().await;
    let blocks = files_of(Dataset::Blocks)[0];
    world.add(&world.chain.staged(Dataset::Blocks, blocks)).await;
    let staged = world.chain.staged(Dataset::Traces, files_of(Dataset::Traces)[0]);
    let good = std::fs::read(staged.path()).unwrap();
    put(&mut world, &staged, &good).await;
    assert_eq!(check(&world).await, Verdict::Taken);

    let manifest =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events-fixtures/manifest/v1.json")).unwrap();
    let shapes = Json::new([serde_json::from_slice::<Value>(&manifest).unwrap()]);
    let manifests = Bytes::new([manifest], &WORDS, 64 << 10);
    let (rows, footer) = good.split_at(footer_start(&good));
    let footers = Bytes::new([footer[..footer.len() - TAIL_BYTES].to_vec()], &WORDS, 64 << 10);
    let files = Bytes::new([good.clone()], &WORDS, 256 << 10);
    let mut random = experiment.random(1);
    let count = experiment.scaled(240, 10_000);
    let mut judge = Judge::new(Refusals::Final).knowing(Fault::ALL.map(Fault::name));
    for place in 0..count {
        match place % 4 {
            0 => {
                let bytes = manifests.draw(&mut random);
                judge.watch(&bytes, || parse(&bytes));
            }
            1 => {
                let text = shapes.draw_text(&mut random);
                judge.watch(text.as_bytes(), || parse(text.as_bytes()));
            }
            turn => {
                let bytes =
                    if turn == 2 { files.draw(&mut random) } else { with_footer(rows, &footers.draw(&mut random)) };
                put(&mut world, &staged, &bytes).await;
                judge.watch_async(&bytes, check(&world)).await;
            }
        }
    }
    let bombs = bombs(&good);
    for bytes in &bombs {
        put(&mut world, &staged, bytes).await;
        if is_bounded {
            judge.watch_async(bytes, check(&world)).await;
        } else {
            judge.watch(bytes, || read(bytes));
        }
    }
    judge.report(&mut experiment, i64::try_from(count + bombs.len()).unwrap());
    experiment.finish();
}

/// Where the footer of a file begins.
fn footer_start(file: &[u8]) -> usize {
    let tail = file.len() - TAIL_BYTES;
    let length = file[tail..].first_chunk::<4>().map(|length| u32::from_le_bytes(*length)).unwrap();
    tail - usize::try_from(length).unwrap()
}

/// A file of `rows` with another footer, whose length is right.
fn with_footer(rows: &[u8], footer: &[u8]) -> Vec<u8> {
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    [rows, footer, &length, b"PAR1"].concat()
}

/// Files whose footer says of its first list, the schema, that it has millions of elements. As many as there is memory for:
/// of more, the decoder would be ended.
fn bombs(good: &[u8]) -> Vec<Vec<u8>> {
    let (rows, footer) = good.split_at(footer_start(good));
    let footer = &footer[..footer.len() - TAIL_BYTES];
    // Source: Apache Thrift, compact protocol. Field 1 is a number of one byte, field 2 a list, of structs.
    assert_eq!((footer[0], footer[2], footer[3] & 0x0f), (0x15, 0x19, 0x0c), "a footer begins with version and schema");
    // What follows the count: behind the long form of it, one byte more of each that has its highest bit set.
    let is_long = footer[3] >> 4 == 15;
    let count_bytes = if is_long { footer[4..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1 } else { 0 };
    let rest = &footer[4 + count_bytes..];
    [8u32 << 20, 6 << 20]
        .map(|count| {
            let mut footer = footer[..3].to_vec();
            footer.push(0xfc);
            let mut left = count;
            while left >= 0x80 {
                footer.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
                left >>= 7;
            }
            footer.push(u8::try_from(left).unwrap());
            footer.extend_from_slice(rest);
            with_footer(rows, &footer)
        })
        .to_vec()
}

/// Stores `bytes` as the file, and lists them in the only manifest of its dataset.
async fn put(world: &mut World, staged: &StagedFile, bytes: &[u8]) {
    let ObjectDigest { size_bytes, sha256 } = ObjectDigest::of(bytes);
    let file = DataFile { size_bytes, sha256, ..staged.file().clone() };
    world.bucket.overwrite(&file.key, bytes).await;
    world.newest.remove(&Dataset::Traces);
    world.list(file).await;
}

async fn check(world: &World) -> Verdict {
    let report = world.check_as(Level::Chain, |plan| plan.datasets = vec![Dataset::Traces]).await;
    report.findings.first().map_or(Verdict::Taken, |finding| Verdict::refused(finding.fault.name()))
}

fn parse(bytes: &[u8]) -> Verdict {
    match Manifest::parse(bytes) {
        Ok(_) => Verdict::Taken,
        Err(error) => {
            let is_passing = error.disposition() != Disposition::GiveUp;
            Verdict::Refused { code: error.code().to_owned(), is_passing }
        }
    }
}

/// What a decoder does that believes what it reads.
fn read(bytes: &[u8]) -> Verdict {
    let file = bytes::Bytes::copy_from_slice(bytes);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
    match reader.map(|mut rows| rows.all(|batch| batch.is_ok())) {
        Ok(true) => Verdict::Taken,
        Ok(false) | Err(_) => Verdict::refused(Fault::NotParquet.name()),
    }
}
