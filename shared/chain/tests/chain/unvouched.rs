//! What no root of a block commits to follows from what one does, or is not stored; and no number ends in an error of
//! the columns.

use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::primitives::{Address, B256, U256};
use isotherm_chain::block::Transaction;
use isotherm_chain::verify::{check_senders, verify, verify_as_far_as};
use isotherm_chain::{Check, Checks, FetchedBlock, UnknownFormats, Verdict, columns};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_types::{BlockNumber, ChainId};
use serde_json::json;

use crate::verdicts::fetch;

/// A block with transactions of the types 0, 1 and 2, a creation that emits a log and one that fails.
async fn block() -> FetchedBlock {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let accounts = chain.call("eth_accounts", json!([])).await.unwrap();
    let (from, to) = (&accounts[0], &accounts[1]);
    let transactions = [
        json!({"from": from, "to": to, "value": "0x1", "gasPrice": "0x77359400", "type": "0x0"}),
        json!({"from": from, "to": to, "value": "0x2", "gasPrice": "0x77359400", "gas": "0x20000", "type": "0x1",
            "accessList": [{"address": to, "storageKeys": []}]}),
        json!({"from": from, "to": to, "value": "0x3"}),
        json!({"from": from, "data": "0x60206000a0", "gas": "0x100000"}),
        json!({"from": from, "data": "0xfe", "gas": "0x100000"}),
    ];
    for transaction in transactions {
        chain.call("eth_sendTransaction", json!([transaction])).await.unwrap();
    }
    chain.mine(1).await.unwrap();
    let block = fetch(&chain, 1, 2).await.remove(0);
    let types: Vec<u8> = block.transactions.iter().map(Transaction::type_number).collect();
    assert_eq!(types, [0, 1, 2, 2, 2]);
    let statuses: Vec<_> = block.receipts.iter().map(|receipt| receipt.status).collect();
    assert_eq!(statuses, [Some(1), Some(1), Some(1), Some(1), Some(0)]);
    block
}

type Alter = fn(&mut FetchedBlock);

/// The code of what is untrue about the block when it is altered.
fn code(block: &FetchedBlock, alter: Alter, checks: &Checks) -> &'static str {
    let mut altered = block.clone();
    alter(&mut altered);
    let bad = verify_as_far_as(vec![altered], checks).expect_err("it is untrue");
    assert!(bad.to_string().contains(&bad.block().hash.to_string()), "{bad}");
    bad.code()
}

#[tokio::test]
async fn an_untruth_that_no_root_covers_is_found_and_named() {
    let block = block().await;
    let cases: &[(&str, Alter)] = &[
        ("chain.bad_sender", |block| block.transactions[0].from = Address::ZERO),
        ("chain.bad_sender", |block| block.transactions[3].from = Address::ZERO),
        ("chain.bad_effective_gas_price", |block| block.receipts[0].effective_gas_price = Some(1)),
        ("chain.bad_effective_gas_price", |block| block.receipts[1].effective_gas_price = Some(u128::MAX)),
        ("chain.bad_effective_gas_price", |block| {
            let price = block.receipts[2].effective_gas_price.unwrap();
            block.receipts[2].effective_gas_price = Some(price + 1);
        }),
        ("chain.bad_effective_gas_price", |block| {
            block.receipts[2].effective_gas_price = None;
            block.transactions[2].gas_price = Some(1);
        }),
        ("chain.bad_missing_field", |block| {
            block.receipts[2].effective_gas_price = None;
            block.transactions[2].gas_price = None;
        }),
        ("chain.bad_contract_address", |block| block.receipts[0].contract_address = Some(Address::ZERO)),
        ("chain.bad_contract_address", |block| block.receipts[3].contract_address = None),
        ("chain.bad_contract_address", |block| block.receipts[3].contract_address = Some(Address::ZERO)),
        ("chain.bad_contract_address", |block| block.receipts[4].contract_address = Some(Address::ZERO)),
        ("chain.bad_parity", |block| block.transactions[1].v = block.transactions[1].v.map(|v| 1 - v)),
        ("chain.bad_parity", |block| {
            let is_odd = block.transactions[0].parity().unwrap();
            block.transactions[0].y_parity = Some(u8::from(!is_odd));
        }),
    ];
    for (place, (expected, alter)) in cases.iter().enumerate() {
        assert_eq!(code(&block, *alter, &Checks::ALL), *expected, "case {place}");
    }
    let rootless = Checks { transactions_root: Check::Never, ..Checks::ALL };
    assert_eq!(code(&block, |block| block.transactions[1].r = U256::ZERO, &rootless), "chain.bad_signature");
}

#[tokio::test]
async fn what_nodes_may_leave_out_is_not_called_bad() {
    let block = block().await;
    let honest = columns::encode(ChainId(31_337), &verify(vec![block.clone()]).unwrap()).unwrap();

    // As before London. What was offered is what was paid.
    let mut unpriced = block.clone();
    unpriced.receipts[0].effective_gas_price = None;
    unpriced.receipts[1].effective_gas_price = None;
    let verified = verify(vec![unpriced]).unwrap();
    assert_eq!(verified[0].verdicts().effective_gas_price, Verdict::Ok);
    assert_eq!(columns::encode(ChainId(31_337), &verified).unwrap(), honest);

    // As some nodes have it.
    let mut unnamed = block.clone();
    unnamed.receipts[4].contract_address = None;
    assert_eq!(verify(vec![unnamed]).unwrap()[0].verdicts().contract_address, Verdict::Ok);

    // Before Homestead a signature could be turned round: the other s, and the other parity (EIP-2).
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse::<U256>().unwrap();
    let mut turned = block;
    let transaction = &mut turned.transactions[1];
    let is_odd = transaction.parity().unwrap();
    (transaction.v, transaction.y_parity) = (Some(u128::from(!is_odd)), Some(u8::from(!is_odd)));
    transaction.s = order - transaction.s;
    assert_eq!(check_senders(&turned).unwrap(), Verdict::Ok);
}

#[tokio::test]
async fn a_field_that_its_type_does_not_sign_is_not_stored() {
    let block = block().await;
    let honest = columns::encode(ChainId(31_337), &verify(vec![block.clone()]).unwrap()).unwrap();
    let mut altered = block;
    let access_list = || Some(AccessList(vec![AccessListItem { address: Address::ZERO, storage_keys: Vec::new() }]));
    for (place, transaction) in altered.transactions.iter_mut().enumerate() {
        if place == 0 {
            transaction.access_list = access_list();
            transaction.chain_id = Some(7);
        }
        if place < 2 {
            transaction.max_fee_per_gas = Some(u128::MAX);
            transaction.max_priority_fee_per_gas = Some(1);
        }
        transaction.max_fee_per_blob_gas = Some(u128::MAX);
        transaction.blob_versioned_hashes = Some(vec![B256::ZERO]);
        transaction.authorization_list = Some(Vec::new());
    }
    let verified = verify(vec![altered]).unwrap();
    assert_eq!(columns::encode(ChainId(31_337), &verified).unwrap(), honest);
    let legacy = &verified[0].block().transactions[0];
    assert_eq!(legacy.chain_id, legacy.signed_chain_id());
}

/// Nothing that a profile can leave out.
const NOTHING: Checks = Checks {
    header_hash: Check::Never,
    parent_hash: Check::Never,
    transactions_root: Check::Never,
    receipts_root: Check::Never,
    logs_bloom: Check::Never,
    gas_used: Check::Never,
    sender: Check::Never,
    effective_gas_price: Check::Never,
    contract_address: Check::Never,
    unknown_formats: UnknownFormats::Accept,
};

fn long(value: u128) -> u64 {
    u64::try_from(value).unwrap()
}

type Set = fn(&mut FetchedBlock, u128);

#[tokio::test]
async fn a_number_that_no_column_holds_is_untrue_whatever_is_checked() {
    const WORD: u128 = u32::MAX as u128;
    const LONG: u128 = i64::MAX.unsigned_abs() as u128;
    const DECIMAL: u128 = 10u128.pow(38) - 1;
    let block = block().await;
    let cases: &[(&str, u128, Set)] = &[
        ("number", WORD, |block, value| block.reference.number = BlockNumber(long(value))),
        ("timestamp", WORD, |block, value| block.header.timestamp = long(value)),
        ("gasLimit", LONG, |block, value| block.header.gas_limit = long(value)),
        ("gasUsed", LONG, |block, value| block.header.gas_used = long(value)),
        ("baseFeePerGas", LONG, |block, value| block.header.base_fee_per_gas = Some(long(value))),
        ("blobGasUsed", LONG, |block, value| block.header.blob_gas_used = Some(long(value))),
        ("excessBlobGas", LONG, |block, value| block.header.excess_blob_gas = Some(long(value))),
        ("slotNumber", LONG, |block, value| block.header.slot_number = Some(long(value))),
        ("nonce", LONG, |block, value| block.transactions[1].nonce = long(value)),
        ("gas", LONG, |block, value| block.transactions[1].gas = long(value)),
        ("chainId", LONG, |block, value| block.transactions[1].chain_id = Some(long(value))),
        ("chainId", LONG, |block, value| block.transactions[0].v = Some(35 + 2 * value)),
        ("maxFeePerGas", DECIMAL, |block, value| block.transactions[2].max_fee_per_gas = Some(value)),
        ("maxPriorityFeePerGas", DECIMAL, |block, value| block.transactions[2].max_priority_fee_per_gas = Some(value)),
        ("maxFeePerBlobGas", DECIMAL, |block, value| {
            block.transactions[2].transaction_type = Some(3);
            block.transactions[2].max_fee_per_blob_gas = Some(value);
        }),
        ("effectiveGasPrice", DECIMAL, |block, value| block.receipts[2].effective_gas_price = Some(value)),
        ("effectiveGasPrice", DECIMAL, |block, value| {
            block.receipts[0].effective_gas_price = None;
            block.transactions[0].gas_price = Some(value);
        }),
        ("gasUsed", LONG, |block, value| block.receipts[2].gas_used = long(value)),
        ("cumulativeGasUsed", LONG, |block, value| block.receipts[2].cumulative_gas_used = long(value)),
        ("number of topics", 4, |block, value| {
            block.receipts[3].logs[0].topics.resize(usize::try_from(value).unwrap(), B256::ZERO);
        }),
    ];
    for (field, most, set) in cases {
        let verified = |value: u128| {
            let mut altered = block.clone();
            set(&mut altered, value);
            verify_as_far_as(vec![altered], &NOTHING)
        };
        let largest = verified(*most).unwrap_or_else(|bad| panic!("{field}: {bad}"));
        columns::encode(ChainId(31_337), &largest).unwrap_or_else(|error| panic!("{field}: {error}"));
        let bad = verified(most + 1).expect_err(field);
        assert_eq!(bad.code(), "chain.bad_value_too_large", "{field}: {bad}");
        let text = bad.to_string();
        assert!(text.contains(&format!("the {field} {}", most + 1)), "{text}");
    }
}
