//! A generated chain in cold storage, in a folder of the benchmark's own.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use isotherm_chain::FetchedBlock;
use isotherm_chain::block::read_block;
use isotherm_chain::columns;
use isotherm_chain::verify::verify;
use isotherm_cold_store::integrity::ManifestHead;
use isotherm_cold_store::{
    ChainName, Manifest, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts, Sha256Digest,
    StagedFile,
};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use serde_json::value::RawValue;
use sqlx::types::chrono::DateTime;
use tempfile::TempDir;

pub(crate) const SEED: u64 = 1;
pub(crate) const CHAIN: &str = "generated";
/// 10,000 transactions a second in blocks of 300 ms.
pub(crate) const TRANSACTIONS_PER_BLOCK: usize = 3_000;
pub(crate) const BLOCKS: usize = 32;
pub(crate) const BLOCKS_PER_FILE: usize = 8;
/// Sets of transactions, which the blocks take in turn.
const BODIES: usize = 8;
const CHAIN_ID: ChainId = ChainId(143);

/// Cold storage, and what its headers commit to.
pub(crate) struct Stored {
    folder: TempDir,
    pub(crate) chain: GeneratedChain,
    /// Data files.
    pub(crate) files: Vec<PathBuf>,
    /// Length of all of them.
    pub(crate) size_bytes: u64,
    pub(crate) heads: HashMap<Dataset, ManifestHead>,
}

impl Stored {
    /// Writes `blocks`, `transactions` and `logs` as compaction does.
    pub(crate) fn new() -> Self {
        let chain = GeneratedChain::new(&ChainPlan {
            seed: SEED,
            chain_id: CHAIN_ID.0,
            first_number: 0,
            block_count: BLOCKS,
            transactions_per_block: TRANSACTIONS_PER_BLOCK,
            body_count: BODIES,
            first_timestamp: 1_750_000_000,
            block_time_ms: 300,
        });
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (mut files, mut size_bytes) = (Vec::new(), 0);
        let mut newest: HashMap<Dataset, Manifest> = HashMap::new();
        for first in (0..BLOCKS).step_by(BLOCKS_PER_FILE) {
            let end = first + BLOCKS_PER_FILE;
            let rows = rows(&chain, first..end);
            let blocks = BlockRange::new(BlockNumber(first as u64), BlockNumber(end as u64));
            let blocks = blocks.expect("a file has blocks");
            for (dataset, batch) in &rows {
                let partition = Partition {
                    chain_id: CHAIN_ID,
                    chain: ChainName::new(CHAIN).expect("the name may stand in keys"),
                    dataset: *dataset,
                    blocks,
                };
                let staged = stage(partition.clone(), &rows, batch, folder.path());
                let file = staged.file().clone();
                files.push(put(folder.path(), &file.key, &fs::read(staged.path()).expect("the file was written")));
                size_bytes += file.size_bytes;
                let next = match newest.remove(dataset) {
                    None => Manifest::first(&partition, file),
                    Some(newest) => newest.successor(Sha256Digest::of(&bytes_of(&newest)), file),
                };
                let next = next.expect("the file follows the one before");
                put(folder.path(), &next.key(), &bytes_of(&next));
                newest.insert(*dataset, next);
            }
        }
        let head = |(dataset, manifest): (Dataset, Manifest)| {
            let sha256 = Sha256Digest::of(&bytes_of(&manifest));
            (dataset, ManifestHead { version: manifest.manifest_version, sha256 })
        };
        let heads = newest.into_iter().map(head).collect();
        Self { folder, chain, files, size_bytes, heads }
    }

    /// The folder that stands for the bucket.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }
}

/// Rows of the blocks at these places, `blocks` first.
fn rows(chain: &GeneratedChain, places: std::ops::Range<usize>) -> Vec<(Dataset, RecordBatch)> {
    let fetched: Vec<FetchedBlock> = places
        .map(|place| {
            let block = raw(|out| chain.write_block(place, true, out));
            let receipts = raw(|out| chain.write_receipts(place, out));
            read_block(&block, &receipts, DateTime::UNIX_EPOCH).expect("the answers hold a block")
        })
        .collect();
    let verified = verify(fetched).expect("the chain is true");
    columns::encode(CHAIN_ID, &verified).expect("the blocks have columns")
}

fn raw(write: impl FnOnce(&mut Vec<u8>)) -> Box<RawValue> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    RawValue::from_string(String::from_utf8(bytes).expect("JSON is text")).expect("an answer is JSON")
}

/// The data file of `batch`; `rows` hold its blocks.
fn stage(partition: Partition, rows: &[(Dataset, RecordBatch)], batch: &RecordBatch, scratch: &Path) -> StagedFile {
    let headers = rows.iter().find(|(dataset, _)| *dataset == Dataset::Blocks);
    let (_, headers) = headers.expect("rows have their blocks");
    let mut linked = PartitionBlocks::builder(partition.blocks);
    linked.push(headers).expect("the blocks are linked");
    let linked = linked.finish().expect("the blocks are all there");
    let mut writer = PartitionWriter::create(partition, linked, None, scratch).expect("a file can be made");
    writer.write(batch).expect("the rows are in order");
    writer.finish(RootVerdicts::all(&RootVerdict::Ok)).expect("the file can be written")
}

fn bytes_of(manifest: &Manifest) -> Vec<u8> {
    manifest.to_bytes().expect("a manifest is JSON")
}

fn put(root: &Path, key: &str, bytes: &[u8]) -> PathBuf {
    let path = root.join(key);
    fs::create_dir_all(path.parent().expect("a key has folders")).expect("a folder can be made");
    fs::write(&path, bytes).expect("a file can be written");
    path
}
