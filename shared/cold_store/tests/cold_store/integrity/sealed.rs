//! A chain whose headers commit to its rows, as the laboratory makes them, and cold storage that holds it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, RecordBatch,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, UInt32Type, UInt64Type};
use isotherm_chain::block::read_block;
use isotherm_chain::columns;
use isotherm_chain::verify::verify;
use isotherm_cold_store::integrity::{Level, ManifestHead, Plan, Report, Sampling, check_by};
use isotherm_cold_store::layout::Object;
use isotherm_cold_store::{
    ChainName, DataFile, Manifest, Partition, PartitionBlocks, PartitionWriter, Sha256Digest, StagedFile,
};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Commitments, Dataset};
use serde_json::value::RawValue;
use sqlx::types::chrono::DateTime;

use crate::bucket::{Bucket, partition, verdicts};
use crate::rows::{MadeChain, range};

pub(crate) const CHAIN_ID: ChainId = ChainId(143);
pub(crate) const BLOCKS: u64 = 40;

/// Blocks `0..BLOCKS`, with some transactions and logs each.
pub(crate) struct SealedChain {
    rows: HashMap<Dataset, RecordBatch>,
}

impl SealedChain {
    pub(crate) fn new(seed: u64) -> Self {
        let chain = GeneratedChain::new(&ChainPlan {
            seed,
            chain_id: CHAIN_ID.0,
            first_number: 0,
            block_count: usize::try_from(BLOCKS).unwrap(),
            transactions_per_block: 5,
            body_count: 3,
            first_timestamp: 1_750_000_000,
            block_time_ms: 300,
        });
        let fetched = (0..chain.len()).map(|place| {
            let block = raw(|out| chain.write_block(place, true, out));
            let receipts = raw(|out| chain.write_receipts(place, out));
            read_block(&block, &receipts, DateTime::UNIX_EPOCH).unwrap()
        });
        let verified = verify(fetched.collect()).unwrap();
        let rows = columns::encode(CHAIN_ID, &verified).unwrap().into_iter().collect();
        Self { rows }.with_traces()
    }

    /// Traces are committed to by nobody: made-up ones will do, if they name their blocks.
    fn with_traces(mut self) -> Self {
        let traces = MadeChain::new(CHAIN_ID.0).rows(Dataset::Traces, range(0, BLOCKS));
        let numbers = traces.column_by_name("block_number").unwrap().as_primitive::<UInt32Type>();
        let hashes = numbers.values().iter().map(|number| self.hash(u64::from(*number)).0);
        let hashes: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(hashes).unwrap());
        let traces = with_column(&traces, "block_hash", hashes);
        self.rows.insert(Dataset::Traces, traces);
        self
    }

    pub(crate) fn hash(&self, block: u64) -> B256 {
        let hashes = self.rows[&Dataset::Blocks].column_by_name("block_hash").unwrap().as_fixed_size_binary();
        B256::from_slice(hashes.value(usize::try_from(block).unwrap()))
    }

    pub(crate) fn rows(&self, dataset: Dataset, blocks: BlockRange) -> RecordBatch {
        let rows = &self.rows[&dataset];
        let numbers = rows.column_by_name("block_number").unwrap().as_primitive::<UInt32Type>().values();
        let place = |block: BlockNumber| numbers.partition_point(|number| u64::from(*number) < block.0);
        let (first, end) = (place(blocks.start()), place(blocks.end()));
        rows.slice(first, end - first)
    }

    /// The file of a range.
    pub(crate) fn staged(&self, dataset: Dataset, blocks: BlockRange) -> StagedFile {
        self.staged_as(dataset, blocks, &self.rows(dataset, blocks))
    }

    /// The file of a range, if its rows were `rows`.
    pub(crate) fn staged_as(&self, dataset: Dataset, blocks: BlockRange, rows: &RecordBatch) -> StagedFile {
        let mut headers = PartitionBlocks::builder(blocks);
        headers.push(&self.rows(Dataset::Blocks, blocks)).unwrap();
        let partition = partition(MadeChain::new(CHAIN_ID.0), dataset, blocks);
        let scratch = std::env::temp_dir();
        let mut writer = PartitionWriter::create(partition, headers.finish().unwrap(), None, &scratch).unwrap();
        writer.write(rows).unwrap();
        writer.finish(verdicts()).unwrap()
    }
}

fn raw(write: impl FnOnce(&mut Vec<u8>)) -> Box<RawValue> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    RawValue::from_string(String::from_utf8(bytes).unwrap()).unwrap()
}

fn with_column(rows: &RecordBatch, name: &str, array: ArrayRef) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns[rows.schema().index_of(name).unwrap()] = array;
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// The same rows, but with another value in one cell.
pub(crate) fn altered(rows: &RecordBatch, name: &str, row: usize) -> RecordBatch {
    let column = rows.column_by_name(name).unwrap();
    let is_it = |index: usize| index == row;
    let array: ArrayRef = match column.data_type() {
        DataType::UInt32 => {
            let values = column.as_primitive::<UInt32Type>().iter().enumerate();
            let values = values.map(|(index, value)| value.map(|value| value + u32::from(is_it(index))));
            Arc::new(values.collect::<UInt32Array>())
        }
        DataType::UInt64 => {
            let values = column.as_primitive::<UInt64Type>().iter().enumerate();
            let values = values.map(|(index, value)| value.map(|value| value + u64::from(is_it(index))));
            Arc::new(values.collect::<UInt64Array>())
        }
        DataType::Decimal128(precision, scale) => {
            let values = column.as_primitive::<Decimal128Type>().iter().enumerate();
            let values = values.map(|(index, value)| value.map(|value| value + i128::from(is_it(index))));
            let array = values.collect::<Decimal128Array>();
            Arc::new(array.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Boolean => {
            let values = column.as_boolean().iter().enumerate();
            Arc::new(values.map(|(index, value)| value.map(|value| value ^ is_it(index))).collect::<BooleanArray>())
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>().iter().enumerate();
            let longer = |(index, value): (usize, Option<&[u8]>)| {
                value.map(|value| [value, if is_it(index) { &[7][..] } else { &[] }].concat())
            };
            Arc::new(values.map(longer).collect::<BinaryArray>())
        }
        DataType::FixedSizeBinary(length) => {
            let values = column.as_fixed_size_binary().iter().enumerate();
            let flipped = |(index, value): (usize, Option<&[u8]>)| {
                let mut value = value?.to_vec();
                value[0] ^= u8::from(is_it(index));
                Some(value)
            };
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.map(flipped), *length).unwrap())
        }
        other => panic!("no other value of type {other} is known"),
    };
    let altered = with_column(rows, name, array);
    assert_ne!(&altered, rows, "{name} has a value in row {row}");
    altered
}

/// Cold storage, written as whoever may write to the bucket does.
pub(crate) struct World {
    pub(crate) bucket: Bucket,
    pub(crate) chain: SealedChain,
    pub(crate) newest: HashMap<Dataset, Manifest>,
}

impl World {
    /// Cold storage with nothing in it.
    pub(crate) async fn empty() -> Self {
        Self { bucket: Bucket::create().await, chain: SealedChain::new(7), newest: HashMap::new() }
    }

    /// All datasets in files of ten blocks, but for `transactions`, whose files have 15.
    pub(crate) async fn whole() -> Self {
        let mut world = Self::empty().await;
        for dataset in Dataset::ALL {
            for blocks in files_of(dataset) {
                world.add(&world.chain.staged(dataset, blocks)).await;
            }
        }
        world
    }

    /// The same, but for one file, whose manifest is made for it.
    pub(crate) async fn with(dataset: Dataset, blocks: BlockRange, file: impl Fn(&SealedChain) -> StagedFile) -> Self {
        let mut world = Self::empty().await;
        for each in Dataset::ALL {
            for listed in files_of(each) {
                let is_it = (each, listed) == (dataset, blocks);
                let staged = if is_it { file(&world.chain) } else { world.chain.staged(each, listed) };
                world.add(&staged).await;
            }
        }
        world
    }

    /// Stores a file, and lists it in the next manifest.
    pub(crate) async fn add(&mut self, staged: &StagedFile) {
        self.bucket.overwrite(&staged.file().key, &std::fs::read(staged.path()).unwrap()).await;
        self.list(staged.file().clone()).await;
    }

    pub(crate) async fn list(&mut self, file: DataFile) {
        let Object::Data { chain, dataset, blocks } = Object::parse(&file.key).unwrap() else {
            panic!("{} is a data file", file.key)
        };
        let next = match self.newest.remove(&dataset) {
            Some(newest) => newest.successor(Sha256Digest::of(&newest.to_bytes().unwrap()), file).unwrap(),
            None => Manifest::first(&Partition { chain_id: CHAIN_ID, chain, dataset, blocks }, file).unwrap(),
        };
        self.bucket.overwrite(&next.key(), &next.to_bytes().unwrap()).await;
        self.newest.insert(dataset, next);
    }

    /// What the catalogue says.
    pub(crate) fn heads(&self) -> HashMap<Dataset, ManifestHead> {
        let head = |manifest: &Manifest| ManifestHead {
            version: manifest.manifest_version,
            sha256: Sha256Digest::of(&manifest.to_bytes().unwrap()),
        };
        self.newest.iter().map(|(dataset, manifest)| (*dataset, head(manifest))).collect()
    }

    pub(crate) async fn check(&self, level: Level) -> Report {
        self.check_as(level, |_| {}).await
    }

    pub(crate) async fn check_as(&self, level: Level, change: impl FnOnce(&mut Plan<'_>)) -> Report {
        self.check_by(&Commitments::ALL, level, change).await
    }

    /// A check of a chain whose profile excepts something.
    pub(crate) async fn check_by(
        &self,
        commitments: &Commitments,
        level: Level,
        change: impl FnOnce(&mut Plan<'_>),
    ) -> Report {
        let (chain, scratch) = (ChainName::new("made").unwrap(), tempfile::tempdir().unwrap());
        let mut plan = Plan {
            objects: &self.bucket.objects,
            chain: &chain,
            datasets: Dataset::ALL.to_vec(),
            heads: self.heads(),
            blocks: None,
            level,
            anchor: None,
            sampling: Sampling::None,
            scratch: scratch.path(),
            at_most_bytes: 1 << 20,
        };
        change(&mut plan);
        let mut last = None;
        let report = check_by(&plan, commitments, &mut |progress| last = Some(progress)).await.unwrap();
        if let Some(last) = last {
            assert_eq!((last.files, last.bytes, last.blocks), (report.files, report.bytes, report.blocks));
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        report
    }

    pub(crate) async fn read(&self, key: &str) -> Vec<u8> {
        self.bucket.objects.read(key, 1 << 24).await.unwrap().unwrap().to_vec()
    }
}

/// The files of [`World::whole`].
pub(crate) fn files_of(dataset: Dataset) -> Vec<BlockRange> {
    match dataset {
        Dataset::Transactions => vec![range(0, 15), range(15, 30), range(30, 40)],
        Dataset::Blocks | Dataset::Logs | Dataset::Traces => {
            (0..4).map(|index| range(index * 10, index * 10 + 10)).collect()
        }
    }
}
