//! Computes header hashes and roots from record batches alone, sharing no code with what filled them.

use alloy::consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy::consensus::{
    Eip658Value, EthereumTxEnvelope, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Signed, TxEip1559, TxEip2930,
    TxEip4844, TxEip7702, TxLegacy, TxType,
};
use alloy::eips::eip2930::AccessList;
use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::{Address, B64, B256, Bloom, Bytes, Log, LogData, Signature, TxKind, U256, logs_bloom};
use alloy::rlp::Decodable;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Float64Type, UInt32Type, UInt64Type};
use serde_json::Value;

pub(crate) struct Roots {
    pub(crate) header_hash: B256,
    pub(crate) transactions_root: B256,
    pub(crate) receipts_root: B256,
}

/// One row of a batch, its columns by name.
#[derive(Clone, Copy)]
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    fn array(self, name: &str) -> &'a dyn Array {
        &**self.batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"))
    }

    fn optional<T>(self, name: &str, read: impl FnOnce(&'a dyn Array) -> T) -> Option<T> {
        let array = self.array(name);
        (!array.is_null(self.row)).then(|| read(array))
    }

    fn u32(self, name: &str) -> u64 {
        u64::from(self.array(name).as_primitive::<UInt32Type>().value(self.row))
    }

    fn u64_opt(self, name: &str) -> Option<u64> {
        self.optional(name, |array| array.as_primitive::<UInt64Type>().value(self.row))
    }

    fn u64(self, name: &str) -> u64 {
        self.u64_opt(name).unwrap()
    }

    fn fixed_opt(self, name: &str) -> Option<&'a [u8]> {
        self.optional(name, |array| array.as_fixed_size_binary().value(self.row))
    }

    fn fixed(self, name: &str) -> &'a [u8] {
        self.fixed_opt(name).unwrap_or_else(|| panic!("{name} is absent"))
    }

    fn hash(self, name: &str) -> B256 {
        B256::from_slice(self.fixed(name))
    }

    fn bytes_opt(self, name: &str) -> Option<&'a [u8]> {
        self.optional(name, |array| array.as_binary::<i32>().value(self.row))
    }

    fn bytes(self, name: &str) -> Bytes {
        Bytes::copy_from_slice(self.bytes_opt(name).unwrap())
    }

    fn wei(self, name: &str) -> u128 {
        let value = self.optional(name, |array| array.as_primitive::<Decimal128Type>().value(self.row));
        u128::try_from(value.unwrap_or_else(|| panic!("{name} is absent"))).unwrap()
    }

    fn bool(self, name: &str) -> bool {
        self.array(name).as_boolean().value(self.row)
    }

    fn text(self, name: &str) -> &'a str {
        self.array(name).as_string::<i32>().value(self.row)
    }
}

fn rows(batch: &RecordBatch) -> impl Iterator<Item = Row<'_>> {
    (0..batch.num_rows()).map(move |row| Row { batch, row })
}

pub(crate) fn recompute(blocks: &RecordBatch, transactions: &RecordBatch, logs: &RecordBatch) -> Vec<Roots> {
    let of_block = |block: Row<'_>| {
        let number = block.u32("block_number");
        let transactions: Vec<_> = rows(transactions).filter(|row| row.u32("block_number") == number).collect();
        assert_eq!(transactions.len() as u64, block.u32("transaction_count"));
        let receipts: Vec<_> = transactions.iter().map(|row| receipt(*row, logs)).collect();
        let signed: Vec<_> = transactions.iter().map(|row| transaction(*row)).collect();
        Roots {
            header_hash: header(block).hash_slow(),
            transactions_root: calculate_transaction_root(&signed),
            receipts_root: calculate_receipt_root(&receipts),
        }
    };
    rows(blocks).map(of_block).collect()
}

fn header(row: Row<'_>) -> Header {
    Header {
        parent_hash: row.hash("parent_hash"),
        ommers_hash: row.hash("uncles_hash"),
        beneficiary: Address::from_slice(row.fixed("author")),
        state_root: row.hash("state_root"),
        transactions_root: row.hash("transactions_root"),
        receipts_root: row.hash("receipts_root"),
        logs_bloom: Bloom::from_slice(row.fixed("logs_bloom")),
        difficulty: U256::from_be_slice(row.fixed("difficulty")),
        number: row.u32("block_number"),
        gas_limit: row.u64("gas_limit"),
        gas_used: row.u64("gas_used"),
        timestamp: row.u32("timestamp"),
        extra_data: row.bytes("extra_data"),
        mix_hash: row.hash("mix_hash"),
        nonce: B64::from_slice(row.fixed("nonce")),
        base_fee_per_gas: row.u64_opt("base_fee_per_gas"),
        withdrawals_root: row.fixed_opt("withdrawals_root").map(B256::from_slice),
        blob_gas_used: row.u64_opt("blob_gas_used"),
        excess_blob_gas: row.u64_opt("excess_blob_gas"),
        parent_beacon_block_root: row.fixed_opt("parent_beacon_block_root").map(B256::from_slice),
        requests_hash: row.fixed_opt("requests_hash").map(B256::from_slice),
        block_access_list_hash: row.fixed_opt("block_access_list_hash").map(B256::from_slice),
        slot_number: row.u64_opt("slot_number"),
    }
}

fn access_list(row: Row<'_>) -> AccessList {
    AccessList::decode(&mut row.bytes_opt("access_list").unwrap()).unwrap()
}

fn transaction(row: Row<'_>) -> EthereumTxEnvelope<TxEip4844> {
    let signature = Signature::new(
        U256::from_be_slice(row.fixed("signature_r")),
        U256::from_be_slice(row.fixed("signature_s")),
        row.bool("signature_y_parity"),
    );
    let hash = row.hash("transaction_hash");
    let (nonce, gas_limit, input) = (row.u64("nonce"), row.u64("gas_limit"), row.bytes("input"));
    let value = U256::from_be_slice(row.fixed("value_binary"));
    let recipient = row.fixed_opt("to_address").map(Address::from_slice);
    let to = recipient.map_or(TxKind::Create, TxKind::Call);
    let chain_id = row.u64_opt("signed_chain_id");
    let max_fee_per_gas = || row.wei("max_fee_per_gas");
    let max_priority_fee_per_gas = || row.wei("max_priority_fee_per_gas");
    match row.u32("transaction_type") {
        0 => {
            let inner = TxLegacy { chain_id, nonce, gas_price: row.wei("gas_price"), gas_limit, to, value, input };
            EthereumTxEnvelope::Legacy(Signed::new_unchecked(inner, signature, hash))
        }
        1 => {
            let (chain_id, access_list, gas_price) = (chain_id.unwrap(), access_list(row), row.wei("gas_price"));
            let inner = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
            EthereumTxEnvelope::Eip2930(Signed::new_unchecked(inner, signature, hash))
        }
        2 => {
            let inner = TxEip1559 {
                chain_id: chain_id.unwrap(),
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee_per_gas(),
                max_priority_fee_per_gas: max_priority_fee_per_gas(),
                to,
                value,
                access_list: access_list(row),
                input,
            };
            EthereumTxEnvelope::Eip1559(Signed::new_unchecked(inner, signature, hash))
        }
        4 => {
            let mut authorizations = row.bytes_opt("authorization_list").unwrap();
            let inner = TxEip7702 {
                chain_id: chain_id.unwrap(),
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee_per_gas(),
                max_priority_fee_per_gas: max_priority_fee_per_gas(),
                to: recipient.unwrap(),
                value,
                access_list: access_list(row),
                authorization_list: Vec::<SignedAuthorization>::decode(&mut authorizations).unwrap(),
                input,
            };
            EthereumTxEnvelope::Eip7702(Signed::new_unchecked(inner, signature, hash))
        }
        other => panic!("type {other} is not in the recorded chain"),
    }
}

fn receipt(row: Row<'_>, logs: &RecordBatch) -> ReceiptEnvelope {
    let place = |row: Row<'_>| (row.u32("block_number"), row.hash("transaction_hash"));
    let logs: Vec<Log> = rows(logs)
        .filter(|log| place(*log) == place(row))
        .map(|log| {
            assert_eq!(log.u32("transaction_index"), row.u64("transaction_index"));
            let topics = ["topic0", "topic1", "topic2", "topic3"].map(|name| log.fixed_opt(name).map(B256::from_slice));
            let data = LogData::new_unchecked(topics.into_iter().flatten().collect(), log.bytes("data"));
            Log { address: Address::from_slice(log.fixed("address")), data }
        })
        .collect();
    assert_eq!(logs.len() as u64, row.u32("log_count"));
    let status = match row.fixed_opt("post_state_root") {
        Some(root) => Eip658Value::PostState(B256::from_slice(root)),
        None => Eip658Value::Eip658(row.bool("success")),
    };
    let logs_bloom = logs_bloom(&logs);
    let receipt = Receipt { status, cumulative_gas_used: row.u64("cumulative_gas_used"), logs };
    let transaction_type = TxType::try_from(u8::try_from(row.u32("transaction_type")).unwrap()).unwrap();
    ReceiptEnvelope::from_typed(transaction_type, ReceiptWithBloom { receipt, logs_bloom })
}

fn quantity(value: &Value) -> u128 {
    u128::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn shown(bytes: &[u8]) -> Value {
    Value::String(Bytes::copy_from_slice(bytes).to_string())
}

/// Compares columns that no root covers with what the node said, row by row.
pub(crate) fn compare_with_json(transactions: &RecordBatch, logs: &RecordBatch, json: &[(Value, Value)]) {
    let mut row = rows(transactions);
    let mut log_row = rows(logs);
    for (block, receipts) in json {
        let pairs = block["transactions"].as_array().unwrap().iter().zip(receipts.as_array().unwrap());
        for (transaction, receipt) in pairs {
            let row = row.next().unwrap();
            assert_eq!(shown(row.fixed("transaction_hash")), transaction["hash"]);
            assert_eq!(shown(row.fixed("from_address")), transaction["from"]);
            assert_eq!(shown(row.fixed("block_hash")), block["hash"]);
            assert_eq!(u128::from(row.u32("timestamp")), quantity(&block["timestamp"]));
            assert_eq!(row.u64("chain_id"), 143);
            assert_eq!(u128::from(row.u64("transaction_index")), quantity(&transaction["transactionIndex"]));
            assert_eq!(row.fixed_opt("to_address").map_or(Value::Null, shown), transaction["to"]);
            let value = quantity(&transaction["value"]);
            assert_eq!((row.text("value_string"), row.wei("value")), (value.to_string().as_str(), value));
            let nearest = row.array("value_f64").as_primitive::<Float64Type>().value(row.row);
            assert_eq!(nearest, value.to_string().parse::<f64>().unwrap());
            assert_eq!(row.wei("gas_price"), quantity(&receipt["effectiveGasPrice"]));
            assert_eq!(u128::from(row.u64("gas_used")), quantity(&receipt["gasUsed"]));
            assert_eq!(row.bool("success"), receipt["status"] == "0x1");
            let contract = row.fixed_opt("contract_address").map_or(Value::Null, shown);
            assert_eq!(contract, receipt["contractAddress"]);
            let input = row.bytes("input");
            let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
            assert_eq!(row.u32("n_input_bytes"), input.len() as u64);
            assert_eq!(row.u32("n_input_zero_bytes"), zeros);
            assert_eq!(row.u32("n_input_nonzero_bytes"), input.len() as u64 - zeros);
            for log in receipt["logs"].as_array().unwrap() {
                let row = log_row.next().unwrap();
                assert_eq!(shown(row.fixed("transaction_hash")), log["transactionHash"]);
                assert_eq!(shown(row.fixed("block_hash")), log["blockHash"]);
                assert_eq!(u128::from(row.u32("log_index")), quantity(&log["logIndex"]));
                assert_eq!(u128::from(row.u32("transaction_index")), quantity(&log["transactionIndex"]));
                assert_eq!(u128::from(row.u32("timestamp")), quantity(&block["timestamp"]));
                assert_eq!(row.u64("chain_id"), 143);
            }
        }
    }
    assert!(row.next().is_none() && log_row.next().is_none());
}
