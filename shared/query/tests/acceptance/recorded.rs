//! A recorded chain (`../shared/fixtures`): what a node served of blocks 0 to 60, every call frame included.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use chrono::DateTime;
use isotherm_chain::block::read_block;
use isotherm_chain::verify::verify;
use isotherm_chain::{TraceMethod, VerifiedBlock, columns, traces};
use isotherm_hot_store::BlockBatch;
use isotherm_types::{BlockRange, ChainId, Dataset};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) const CHAIN: ChainId = ChainId(143);
pub(crate) const BLOCKS: u64 = 61;

/// All rows of the chain, as the follower stores them.
pub(crate) struct Recorded {
    pub(crate) batch: BlockBatch,
}

impl Recorded {
    /// `None` where the fixtures are not there.
    pub(crate) fn read() -> Option<Self> {
        let blocks = traced(&fixtures("anvil-cryo-oracle")?.join("rpc.jsonl.gz"));
        let (first, last) = (blocks[0].block(), blocks[blocks.len() - 1].block());
        let batch = BlockBatch {
            blocks: BlockRange::inclusive(first.reference.number, last.reference.number).unwrap(),
            parent_hash: first.header.parent_hash,
            tip: last.reference,
            rows: columns::encode(CHAIN, &blocks).unwrap(),
            served_at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(batch.blocks.block_count(), BLOCKS);
        Some(Self { batch })
    }

    /// The rows of a run of blocks.
    pub(crate) fn rows(&self, dataset: Dataset, blocks: BlockRange) -> RecordBatch {
        let (_, rows) = self.batch.rows.iter().find(|(found, _)| *found == dataset).unwrap();
        let numbers = rows.column_by_name("block_number").unwrap().as_primitive::<UInt32Type>().values();
        let place = |block: u64| numbers.partition_point(|number| u64::from(*number) < block);
        let (first, end) = (place(blocks.start().0), place(blocks.end().0));
        rows.slice(first, end - first)
    }
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

#[derive(Deserialize)]
struct Line {
    method: String,
    params: Vec<Value>,
    result: Box<RawValue>,
}

/// The blocks of a recording with their traces.
fn traced(path: &Path) -> Vec<VerifiedBlock> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |method: &str| -> Vec<&RawValue> {
        lines.iter().filter(|line| line.method == method).map(|line| &*line.result).collect()
    };
    let pairs = of("eth_getBlockByNumber").into_iter().zip(of("eth_getBlockReceipts"));
    let read = pairs.map(|(block, receipts)| read_block(block, receipts, DateTime::UNIX_EPOCH).unwrap());
    let blocks = verify(read.collect()).unwrap();

    let answers: HashMap<&str, &RawValue> = lines
        .iter()
        .filter(|line| line.method == "trace_block")
        .map(|line| (line.params[0].as_str().unwrap(), &*line.result))
        .collect();
    let nothing: Box<RawValue> = serde_json::from_str("[]").unwrap();
    let attach = |block: VerifiedBlock| {
        let number = format!("{:#x}", block.block().reference.number.0);
        // The genesis block has no transaction.
        let answer = answers.get(number.as_str()).copied().unwrap_or(&*nothing);
        let traces = traces::read(block.block(), &block.verdicts().sender, TraceMethod::TraceBlock, answer);
        block.with_traces(traces.unwrap())
    };
    blocks.into_iter().map(attach).collect()
}
