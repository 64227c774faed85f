//! What is decoded: blocks from a seed, as large as those of a chain at ten thousand transactions a second, and the
//! recorded chain beside the repository.

use std::io::Read as _;
use std::path::Path;

use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub(crate) const SEED: u64 = 1;

/// 10,000 transactions a second in blocks of 300 ms.
const TRANSACTIONS_PER_BLOCK: usize = 3_000;
const BLOCKS: usize = 8;

/// Bytes that a leg reads in a round, at least.
const BYTES_PER_ROUND: usize = 64 << 20;

/// HTTP bodies: each a batch of blocks with their receipts, in ascending order.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) blocks: usize,
    pub(crate) transactions: usize,
    /// How often a leg reads them in a round.
    pub(crate) passes: usize,
}

impl Input {
    fn new(name: &'static str, bodies: Vec<Vec<u8>>, blocks: usize, transactions: usize) -> Self {
        let bytes: usize = bodies.iter().map(Vec::len).sum();
        Self { name, bodies, blocks, transactions, passes: BYTES_PER_ROUND.div_ceil(bytes) }
    }

    /// One body a block, as the follower asks at the tip of a chain.
    pub(crate) fn generated() -> Self {
        let chain = GeneratedChain::new(&ChainPlan {
            seed: SEED,
            chain_id: crate::legs::CHAIN_ID.0,
            first_number: 1_000_000,
            block_count: BLOCKS,
            transactions_per_block: TRANSACTIONS_PER_BLOCK,
            body_count: BLOCKS,
            first_timestamp: 1_750_000_000,
            block_time_ms: 300,
        });
        let bodies = (0..BLOCKS).map(|place| chain.batch_answer(place..place + 1)).collect();
        Self::new("generated", bodies, BLOCKS, BLOCKS * TRANSACTIONS_PER_BLOCK)
    }

    /// The whole chain in one body, as the follower asks while it catches up; `None` if it is not there.
    pub(crate) fn recorded() -> Option<Self> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/anvil-cryo-oracle/rpc.jsonl.gz");
        let Ok(file) = std::fs::File::open(&path) else {
            eprintln!("not measured: the recorded chain, for {} is not there", path.display());
            return None;
        };
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the recorded chain can be unpacked");
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).expect("a recorded call")).collect();
        let of = |method: &'static str| lines.iter().filter(move |line| line.method == method).map(|line| &line.result);
        let pairs: Vec<_> = of("eth_getBlockByNumber").zip(of("eth_getBlockReceipts")).collect();
        let answers = pairs.iter().flat_map(|(block, receipts)| [block.get(), receipts.get()]);
        let answers: Vec<String> = (0..)
            .zip(answers)
            .map(|(id, result): (usize, &str)| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
            .collect();
        let transactions = pairs.iter().map(|(_, receipts)| length(receipts)).sum();
        let body = format!("[{}]", answers.join(",")).into_bytes();
        Some(Self::new("recorded", vec![body], pairs.len(), transactions))
    }

    /// Length of the bodies, read once.
    pub(crate) fn bytes(&self) -> usize {
        self.bodies.iter().map(Vec::len).sum()
    }
}

fn length(list: &RawValue) -> usize {
    serde_json::from_str::<Vec<IgnoredAny>>(list.get()).expect("receipts are a list").len()
}

#[derive(Deserialize)]
struct Line {
    method: String,
    result: Box<RawValue>,
}
