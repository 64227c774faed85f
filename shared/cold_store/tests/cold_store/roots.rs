//! Real blocks, from rows alone: what their headers commit to is there, and any other cell is found.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use isotherm_chain::block::read_block;
use isotherm_chain::columns;
use isotherm_chain::verify::{Check, Checks, verify, verify_as_far_as};
use isotherm_chain::{FetchedBlock, VerifiedBlock};
use isotherm_cold_store::roots::{BlockRows, RootFault, check_block};
use isotherm_types::{ChainId, Dataset};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use sqlx::types::chrono::DateTime;

use crate::integrity::sealed::altered;

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

fn unpack(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// Rows of the three datasets, in the order of [`BlockRows`].
type Rows = [RecordBatch; 3];

fn rows_of(blocks: &[VerifiedBlock]) -> Rows {
    let encoded = columns::encode(ChainId(143), blocks).unwrap();
    let of = |dataset| encoded.iter().find(|(found, _)| *found == dataset).unwrap().1.clone();
    [of(Dataset::Blocks), of(Dataset::Transactions), of(Dataset::Logs)]
}

/// The rows that are of the block at `row` of the first batch.
fn rows_of_block(batch: &RecordBatch, number: u32) -> RecordBatch {
    let numbers = batch.column_by_name("block_number").unwrap().as_primitive::<UInt32Type>().values();
    let (first, end) =
        (numbers.partition_point(|found| *found < number), numbers.partition_point(|found| *found <= number));
    batch.slice(first, end - first)
}

fn check([blocks, transactions, logs]: &Rows, row: usize) -> Result<(), RootFault> {
    let number = blocks.column_by_name("block_number").unwrap().as_primitive::<UInt32Type>().value(row);
    // In pieces, as row groups may cut a block anywhere.
    let pieces = |batch: &RecordBatch| {
        let rows = rows_of_block(batch, number);
        let half = rows.num_rows() / 2;
        [rows.slice(0, half), rows.slice(half, rows.num_rows() - half)]
    };
    let (transactions, logs) = (pieces(transactions), pieces(logs));
    check_block(&BlockRows { header: (blocks, row), transactions: &transactions, logs: &logs })
}

/// The recorded chain, with transactions of types 0, 1, 2 and 4.
fn recorded_chain() -> Option<Rows> {
    let text = unpack(&fixtures("anvil-cryo-oracle")?.join("rpc.jsonl.gz"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |method: &str| -> Vec<Box<RawValue>> {
        let of_method = lines.iter().filter(|line| line["method"] == method);
        of_method.map(|line| to_raw_value(&line["result"]).unwrap()).collect()
    };
    let pairs = of("eth_getBlockByNumber").into_iter().zip(of("eth_getBlockReceipts"));
    let read = pairs.map(|(block, receipts)| read_block(&block, &receipts, DateTime::UNIX_EPOCH).unwrap());
    Some(rows_of(&verify(read.collect()).unwrap()))
}

#[test]
fn every_block_of_a_recorded_chain_is_what_its_header_commits_to() {
    let Some(rows) = recorded_chain() else { return };
    assert_eq!(rows[0].num_rows(), 61);
    for row in 0..rows[0].num_rows() {
        assert_eq!(check(&rows, row), Ok(()), "row {row}");
    }
}

/// The first row of a dataset whose cell in `column` has a value, and the block that it is of.
fn row_with(batch: &RecordBatch, column: &str) -> (usize, u32) {
    let array = batch.column_by_name(column).unwrap();
    let row = (0..batch.num_rows()).find(|row| array.is_valid(*row)).unwrap_or_else(|| panic!("no {column}"));
    (row, batch.column_by_name("block_number").unwrap().as_primitive::<UInt32Type>().value(row))
}

#[test]
fn any_other_cell_that_a_header_commits_to_is_found_and_named() {
    let Some(rows) = recorded_chain() else { return };
    let covered = [
        (
            0,
            "header",
            &["parent_hash", "uncles_hash", "author", "state_root", "transactions_root", "receipts_root"][..],
        ),
        (0, "header", &["logs_bloom", "difficulty", "gas_limit", "gas_used", "timestamp", "extra_data", "mix_hash"]),
        (0, "header", &["nonce", "base_fee_per_gas", "withdrawals_root", "blob_gas_used", "excess_blob_gas"]),
        (0, "header", &["parent_beacon_block_root", "requests_hash", "block_hash"]),
        (0, "header has", &["transaction_count"]),
        (
            1,
            "have the root",
            &["nonce", "value_binary", "input", "gas_limit", "to_address", "signature_r", "signature_s"],
        ),
        (1, "have the root", &["signature_y_parity", "signed_chain_id"]),
        (1, "root", &["max_fee_per_gas", "max_priority_fee_per_gas"]),
        (1, "access_list", &["access_list"]),
        (1, "authorization_list", &["authorization_list"]),
        (1, "hashes to", &["transaction_hash"]),
        (1, "stands where", &["transaction_index"]),
        (1, "receipts have", &["success", "cumulative_gas_used"]),
        (1, "gas", &["gas_used"]),
        (1, "logs", &["log_count"]),
        (2, "Bloom", &["address", "topic0", "topic1", "topic2", "topic3"]),
        (2, "receipts have", &["data"]),
        (2, "log", &["log_index", "transaction_index", "transaction_hash"]),
    ];
    for (dataset, named, columns) in covered {
        for column in columns {
            let (row, number) = row_with(&rows[dataset], column);
            let mut others = rows.clone();
            others[dataset] = altered(&rows[dataset], column, row);
            let place = usize::try_from(number).unwrap();
            let fault = check(&others, place).expect_err(column).to_string();
            assert!(fault.contains(named), "{column}: {fault}");
            assert_eq!(check(&rows, place), Ok(()), "{column}: it is the cell");
        }
    }
}

#[test]
fn a_row_too_few_or_too_many_is_found() {
    let Some(rows) = recorded_chain() else { return };
    let (_, number) = row_with(&rows[2], "topic0");
    let place = usize::try_from(number).unwrap();
    for dataset in [1, 2] {
        let of_block = rows_of_block(&rows[dataset], number);
        let mut less = rows.clone();
        less[dataset] = of_block.slice(0, of_block.num_rows() - 1);
        check(&less, place).expect_err("one row is missing");
        let mut more = rows.clone();
        let last = of_block.slice(of_block.num_rows() - 1, 1);
        more[dataset] = arrow::compute::concat_batches(&of_block.schema(), [&of_block, &last]).unwrap();
        check(&more, place).expect_err("one row is there twice");
    }
}

#[test]
fn a_transaction_of_an_unknown_type_is_told_and_not_blamed() {
    let Some(rows) = recorded_chain() else { return };
    let (row, number) = row_with(&rows[1], "nonce");
    let mut others = rows.clone();
    for _ in 0..9 {
        others[1] = altered(&others[1], "transaction_type", row);
    }
    let fault = check(&others, usize::try_from(number).unwrap()).unwrap_err();
    assert!(matches!(&fault, RootFault::Unverifiable { reason } if reason.contains("type 0x")), "{fault}");
}

/// A block of mainnet, whose receipts nobody has kept: made-up ones stand for them.
fn without_its_receipts(path: &Path) -> FetchedBlock {
    let raw: Box<RawValue> = serde_json::from_str(&unpack(path)).unwrap();
    let block: Value = serde_json::from_str(raw.get()).unwrap();
    let receipt = |(index, transaction): (usize, &Value)| {
        json!({ "transactionHash": transaction["hash"], "transactionIndex": format!("{index:#x}"),
                "blockHash": block["hash"], "cumulativeGasUsed": format!("{:#x}", 21_000 * (index + 1)),
                "gasUsed": "0x5208", "status": "0x1", "logs": [], "effectiveGasPrice": transaction["gasPrice"], "type": transaction["type"],
                "contractAddress": null })
    };
    let receipts: Vec<Value> = block["transactions"].as_array().unwrap().iter().enumerate().map(receipt).collect();
    read_block(&raw, &to_raw_value(&receipts).unwrap(), DateTime::UNIX_EPOCH).unwrap()
}

#[test]
fn headers_and_transactions_of_every_fork_of_mainnet_are_encoded_as_they_were() {
    let Some(folder) = fixtures("mainnet-blocks") else { return };
    let as_far_as = Checks {
        receipts_root: Check::Never,
        logs_bloom: Check::Never,
        gas_used: Check::Never,
        effective_gas_price: Check::Never,
        contract_address: Check::Never,
        ..Checks::ALL
    };
    let (mut checked, mut of_blobs) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let verified = verify_as_far_as(vec![without_its_receipts(&path)], &as_far_as).unwrap();
        let rows = rows_of(&verified);
        // The made-up receipts are what is found, if there are any, and nothing before them.
        let found = check(&rows, 0);
        let is_of_receipts = match &found {
            Ok(()) => rows[1].num_rows() == 0,
            Err(fault) => matches!(fault, RootFault::LogsBloom {} | RootFault::ReceiptsRoot { .. }),
        };
        assert!(is_of_receipts, "{}: {found:?}", path.display());
        checked += 1;
        let types = rows[1].column_by_name("transaction_type").unwrap().as_primitive::<UInt32Type>();
        of_blobs += types.values().iter().filter(|number| **number == 3).count();
    }
    assert_eq!(checked, 43);
    assert!(of_blobs > 0, "one of them has blobs");
}
