//! Real chain data, kept beside the repository (`../shared/fixtures`): what a node served is what its hashes say, and
//! what is written into the columns is enough to compute those hashes again.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use chrono::DateTime;
use isotherm_chain::block::read_block;
use isotherm_chain::verify::{check_header_hash, check_senders, check_transactions, verify};
use isotherm_chain::{FetchedBlock, Verdict, VerifiedBlock, columns};
use isotherm_types::{ChainId, Dataset};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::verdicts::assert_holds;

/// The folder of the fixtures. Fails in CI if it is missing; elsewhere it says that nothing was checked.
pub(crate) fn fixtures(name: &str) -> Option<PathBuf> {
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

pub(crate) fn unpack(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[derive(Deserialize)]
struct Line {
    method: String,
    result: Box<RawValue>,
}

/// The recorded chain: blocks as read, and as JSON.
pub(crate) fn recorded_chain(folder: &Path) -> (Vec<FetchedBlock>, Vec<(Value, Value)>) {
    let text = unpack(&folder.join("rpc.jsonl.gz"));
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |method: &str| -> Vec<&RawValue> {
        lines.iter().filter(|line| line.method == method).map(|line| &*line.result).collect()
    };
    let pairs: Vec<_> = of("eth_getBlockByNumber").into_iter().zip(of("eth_getBlockReceipts")).collect();
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).unwrap();
    let blocks = pairs.iter().map(|(block, receipts)| read_block(block, receipts, DateTime::UNIX_EPOCH).unwrap());
    (blocks.collect(), pairs.iter().map(|(block, receipts)| (value(block), value(receipts))).collect())
}

pub(crate) fn batch(encoded: &[(Dataset, RecordBatch)], dataset: Dataset) -> &RecordBatch {
    &encoded.iter().find(|(found, _)| *found == dataset).unwrap().1
}

#[test]
fn the_columns_of_a_recorded_chain_give_every_hash_and_root_back() {
    let Some(folder) = fixtures("anvil-cryo-oracle") else { return };
    let (blocks, json) = recorded_chain(&folder);
    assert_eq!(blocks.len(), 61);
    let verified: Vec<VerifiedBlock> = verify(blocks).unwrap();
    verified.iter().for_each(assert_holds);
    let encoded = columns::encode(ChainId(143), &verified).unwrap();
    let (blocks, transactions, logs) =
        (batch(&encoded, Dataset::Blocks), batch(&encoded, Dataset::Transactions), batch(&encoded, Dataset::Logs));
    let summed = |field: &str| json.iter().map(|(block, _)| block[field].as_array().unwrap().len()).sum::<usize>();
    assert_eq!(transactions.num_rows(), summed("transactions"));

    let computed = crate::from_columns::recompute(blocks, transactions, logs);
    assert_eq!(computed.len(), 61);
    for (roots, (block, _)) in computed.iter().zip(&json) {
        assert_eq!(roots.header_hash.to_string(), block["hash"], "block {}", block["number"]);
        assert_eq!(roots.transactions_root.to_string(), block["transactionsRoot"], "block {}", block["number"]);
        assert_eq!(roots.receipts_root.to_string(), block["receiptsRoot"], "block {}", block["number"]);
    }
    crate::from_columns::compare_with_json(transactions, logs, &json);
}

#[test]
fn mainnet_blocks_of_every_fork_hash_to_their_hashes_and_were_signed_by_their_senders() {
    let Some(folder) = fixtures("mainnet-blocks") else { return };
    let mut checked = 0;
    let mut not_verifiable = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let raw: Box<RawValue> = serde_json::from_str(&unpack(&path)).unwrap();
        let no_receipts = serde_json::value::to_raw_value(&[0u8; 0]).unwrap();
        let block = read_block(&raw, &no_receipts, DateTime::UNIX_EPOCH).unwrap();
        for verdict in [check_header_hash(&block), check_transactions(&block), check_senders(&block)] {
            match verdict.unwrap_or_else(|bad| panic!("{bad}")) {
                Verdict::Ok => checked += 1,
                Verdict::NotVerifiable(reason) => not_verifiable.push((block.reference, reason)),
            }
        }
    }
    assert_eq!(not_verifiable, []);
    assert_eq!(checked, 3 * 43);
}
