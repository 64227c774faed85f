//! A recorded chain (`../shared/fixtures`) that cryo itself has extracted: every cell that it wrote is equal here.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, UInt32Type, UInt64Type};
use isotherm_lab::tape::Tape;
use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{ChainId, Dataset};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use serde_json::{Value, json};

use crate::world::{World, range};

/// Blocks of the recorded chain.
const BLOCKS: u64 = 61;
/// Most that is read of an object.
const OBJECT_BYTES: u64 = 64 << 20;

/// A row as texts: bytes in hexadecimal, `None` where nothing is.
type Row = Vec<Option<String>>;

fn cell(array: &dyn Array, row: usize) -> Option<String> {
    let value = || match array.data_type() {
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, 0) => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Binary => hex::encode(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex::encode(array.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(_) => hex::encode(array.as_fixed_size_binary().value(row)),
        other => panic!("{other}"),
    };
    (!array.is_null(row)).then(value)
}

fn rows_of(batch: &RecordBatch, columns: &[String]) -> Vec<Row> {
    let column = |name: &String| &**batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    let arrays: Vec<&dyn Array> = columns.iter().map(column).collect();
    (0..batch.num_rows()).map(|row| arrays.iter().map(|array| cell(*array, row)).collect()).collect()
}

/// The batches of a Parquet file.
fn batches(file: impl ChunkReader + 'static) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// The names of cryo's columns and its rows, as it wrote them to its files.
fn rows_of_cryo(folder: &Path, dataset: Dataset) -> (Vec<String>, Vec<Row>) {
    let entries = std::fs::read_dir(folder.join("cryo")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().contains(&format!("__{dataset}__")));
    files.sort();
    let (mut columns, mut found) = (Vec::new(), Vec::new());
    for batch in files.into_iter().flat_map(|file| batches(File::open(file).unwrap())) {
        columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        found.extend(rows_of(&batch, &columns));
    }
    (columns, found)
}

/// The folder of the fixtures. Fails in CI if it is missing; elsewhere it says that nothing was checked.
fn fixtures(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures").join(name);
    if path.exists() {
        return Some(path);
    }
    #[expect(clippy::disallowed_methods, reason = "a test asks whether it runs in CI")]
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!is_ci, "the fixtures {} are not there, and CI must not skip them", path.display());
    eprintln!("NOT RUN: the fixtures {} are not there", path.display());
    None
}

/// The recording with what was not asked when it was made: the chain's id, and its ends.
async fn tape(folder: &Path) -> Tape {
    let mut tape = Tape::read(&folder.join("rpc.jsonl.gz")).unwrap();
    let recorded = isotherm_lab::tape::TapeServer::start(tape.clone()).await.unwrap();
    let last = format!("{:#x}", BLOCKS - 1);
    let rpc = isotherm_lab::rpc::Rpc::new(recorded.url());
    let mut header = rpc.call("eth_getBlockByNumber", json!([last, true])).await.unwrap();
    let transactions = header["transactions"].as_array().unwrap();
    let hashes: Vec<Value> = transactions.iter().map(|transaction| transaction["hash"].clone()).collect();
    header["transactions"] = hashes.into();
    for block in ["latest", "safe", "finalized", &last] {
        tape.set("eth_getBlockByNumber", &json!([block, false]), header.clone());
    }
    tape.set("eth_chainId", &json!([]), json!("0x8f"));
    tape
}

#[tokio::test]
async fn every_cell_that_cryo_wrote_of_a_recorded_chain_is_equal() {
    let Some(folder) = fixtures("anvil-cryo-oracle") else { return };
    let world = World::create_of(ChainId(143), tape(&folder).await).await;
    let changes = json!({ "chain_id": 143, "partition_blocks": BLOCKS });
    let end = world.ingest(range(0, BLOCKS), &changes).await.unwrap();
    assert!(matches!(end, OperatorEnd::Completed(_)));
    world.check(&[range(0, BLOCKS)]).await;

    let mut cells = 0;
    for dataset in Dataset::ALL {
        let (columns, expected) = rows_of_cryo(&folder, dataset);
        let ours: Vec<&str> = dataset.columns().iter().map(|column| column.name).collect();
        assert_eq!(columns, ours[..columns.len()], "cryo's columns come first, in its order");
        assert!(!expected.is_empty(), "{dataset}");

        let partitions = world.partitions(dataset).await;
        let [partition] = partitions.as_slice() else { panic!("{dataset} is one file") };
        let bytes = world.objects.read(&partition.object_key, OBJECT_BYTES).await.unwrap().unwrap();
        let found: Vec<Row> = batches(bytes).iter().flat_map(|batch| rows_of(batch, &columns)).collect();
        assert_eq!(found.len(), expected.len(), "{dataset}");
        for (found, expected) in found.iter().zip(&expected) {
            for ((column, found), expected) in columns.iter().zip(found).zip(expected) {
                assert_eq!(found, expected, "{dataset}.{column}");
                cells += 1;
            }
        }
    }
    assert!(cells > 50_000, "{cells} cells were compared");
}
