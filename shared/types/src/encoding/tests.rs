//! The encodings, held against alloy's.

use alloy::consensus::{
    EthereumTxEnvelope, Receipt, ReceiptEnvelope, ReceiptWithBloom, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxLegacy,
};
use alloy::eips::Encodable2718;
use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::eips::eip7702::{Authorization, SignedAuthorization};
use alloy::primitives::{Bytes, Log, LogData, Signature};

use super::*;

/// What differs from case to case; everything else follows from it.
#[derive(Clone, Copy)]
struct Case {
    number: u64,
    input_length: usize,
    to: Option<Address>,
    chain_id: Option<u64>,
    y_parity: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, input_length) in [(0, 0), (1, 1), (127, 55), (128, 56), (u64::MAX, 300), (1 << 40, 70_000)] {
        for to in [None, Some(Address::repeat_byte(0x11))] {
            for chain_id in [None, Some(0), Some(143), Some(u64::MAX)] {
                let y_parity = number.is_multiple_of(2);
                cases.push(Case { number, input_length, to, chain_id, y_parity });
            }
        }
    }
    cases
}

struct Parts {
    input: Bytes,
    access_list: AccessList,
    hashes: Vec<B256>,
    authorizations: Vec<SignedAuthorization>,
}

impl Parts {
    fn of(case: Case) -> Self {
        let count = usize::try_from(case.number % 4).unwrap();
        let hashes = vec![B256::repeat_byte(3); count];
        let item = AccessListItem { address: Address::repeat_byte(5), storage_keys: hashes.clone() };
        let authorization =
            Authorization { chain_id: U256::from(case.number), address: Address::repeat_byte(6), nonce: case.number };
        let authorization = SignedAuthorization::new_unchecked(authorization, 1, U256::from(7), U256::MAX);
        Self {
            input: vec![0x7f; case.input_length].into(),
            access_list: AccessList(vec![item; count]),
            hashes,
            authorizations: vec![authorization; count],
        }
    }
}

fn ours<'a>(case: Case, transaction_type: u8, parts: &'a Parts) -> SignedTransaction<'a> {
    let wei = u128::from(case.number) << 50;
    SignedTransaction {
        transaction_type,
        chain_id: case.chain_id,
        nonce: case.number,
        gas_price: Some(wei),
        max_priority_fee_per_gas: Some(wei + 1),
        max_fee_per_gas: Some(wei + 2),
        max_fee_per_blob_gas: Some(wei + 3),
        gas_limit: case.number / 2,
        to: case.to,
        value: U256::from(case.number) << 100usize,
        input: &parts.input,
        access_list: Some(&parts.access_list),
        blob_versioned_hashes: Some(&parts.hashes),
        authorization_list: Some(&parts.authorizations),
        y_parity: Some(case.y_parity),
        r: U256::from(case.number) << 190usize,
        s: U256::MAX >> case.input_length.min(255),
    }
}

/// The same as alloy has it; `None` if the type cannot be so.
fn theirs(case: Case, transaction_type: u8, parts: &Parts) -> Option<EthereumTxEnvelope<TxEip4844>> {
    let SignedTransaction { nonce, gas_limit, value, y_parity, r, s, .. } = ours(case, transaction_type, parts);
    let wei = u128::from(case.number) << 50;
    let (gas_price, max_priority_fee_per_gas, max_fee_per_gas) = (wei, wei + 1, wei + 2);
    let signature = Signature::new(r, s, y_parity?);
    let to = case.to.map_or(TxKind::Create, TxKind::Call);
    let Parts { input, access_list, hashes, authorizations } = parts;
    let (input, access_list) = (input.clone(), access_list.clone());
    if transaction_type == 0 {
        let inner = TxLegacy { chain_id: case.chain_id, nonce, gas_price, gas_limit, to, value, input };
        return Some(EthereumTxEnvelope::Legacy(Signed::new_unhashed(inner, signature)));
    }
    let chain_id = case.chain_id?;
    if transaction_type == 1 {
        let inner = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
        return Some(EthereumTxEnvelope::Eip2930(Signed::new_unhashed(inner, signature)));
    }
    if transaction_type == 2 {
        let inner = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            input,
        };
        return Some(EthereumTxEnvelope::Eip1559(Signed::new_unhashed(inner, signature)));
    }
    let to = case.to?;
    if transaction_type == 3 {
        let inner = TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            blob_versioned_hashes: hashes.clone(),
            max_fee_per_blob_gas: wei + 3,
            input,
        };
        return Some(EthereumTxEnvelope::Eip4844(Signed::new_unhashed(inner, signature)));
    }
    let inner = TxEip7702 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to,
        value,
        access_list,
        authorization_list: authorizations.clone(),
        input,
    };
    Some(EthereumTxEnvelope::Eip7702(Signed::new_unhashed(inner, signature)))
}

#[test]
fn transactions_of_every_type_are_encoded_and_signed_as_alloy_has_it() {
    let mut compared = [0; 5];
    for case in cases() {
        let parts = Parts::of(case);
        for transaction_type in 0..5u8 {
            let ours = ours(case, transaction_type, &parts);
            let mut encoded = Vec::new();
            let outcome = ours.encode(&mut encoded);
            let Some(theirs) = theirs(case, transaction_type, &parts) else {
                let field = if case.chain_id.is_none() { "chainId" } else { "to" };
                let missing = NotEncodable::MissingField { transaction_type, field };
                assert_eq!((outcome, encoded), (Err(missing.clone()), vec![]));
                assert_eq!(ours.signature_hash(), Err(missing));
                continue;
            };
            assert_eq!((outcome, encoded), (Ok(()), theirs.encoded_2718()), "type {transaction_type}");
            assert_eq!(ours.signature_hash(), Ok(theirs.signature_hash()), "type {transaction_type}");
            compared[usize::from(transaction_type)] += 1;
        }
    }
    // Six inputs; all, those with a chain id, and of these those with a recipient.
    assert_eq!(compared, [48, 36, 36, 18, 18]);
}

#[test]
fn receipts_of_every_type_are_encoded_as_alloy_has_it() {
    let log = |topics: usize, data: usize| Log {
        address: Address::repeat_byte(9),
        data: LogData::new_unchecked(vec![B256::repeat_byte(1); topics], vec![2; data].into()),
    };
    let (succeeded, failed) = (Eip658Value::Eip658(true), Eip658Value::Eip658(false));
    let statuses = [succeeded, failed, Eip658Value::PostState(B256::repeat_byte(4))];
    for logs in [vec![], vec![log(0, 0)], vec![log(1, 1), log(4, 31), log(2, 600)]] {
        for status in statuses {
            for transaction_type in 0..5u8 {
                let receipt = Receipt { status, cumulative_gas_used: 21_000, logs: logs.clone() };
                let logs_bloom = Bloom::repeat_byte(0x44);
                let known = TxType::try_from(transaction_type).unwrap();
                let theirs = ReceiptEnvelope::from_typed(known, ReceiptWithBloom { receipt, logs_bloom });

                let mut joined = Vec::new();
                logs.iter().for_each(|log| write_log(log.address, log.data.topics(), &log.data.data, &mut joined));
                let (status, logs) = (Some(status), Items(&joined));
                let ours = EncodableReceipt {
                    transaction_type,
                    status,
                    cumulative_gas_used: 21_000,
                    logs_bloom: &logs_bloom,
                    logs,
                };
                let mut encoded = Vec::new();
                ours.encode(&mut encoded).unwrap();
                assert_eq!(encoded, theirs.encoded_2718(), "type {transaction_type}");
            }
        }
    }
}

#[test]
fn an_unknown_type_is_never_guessed_at() {
    let case = Case { number: 5, input_length: 3, to: None, chain_id: None, y_parity: true };
    let parts = Parts::of(case);
    let transaction = ours(case, 0x7e, &parts);
    let mut out = Vec::new();
    assert_eq!(transaction.encode(&mut out), Err(NotEncodable::UnknownType(0x7e)));
    assert_eq!(transaction.signature_hash(), Err(NotEncodable::UnknownType(0x7e)));
    let receipt = EncodableReceipt {
        transaction_type: 0x7e,
        status: None,
        cumulative_gas_used: 0,
        logs_bloom: &Bloom::ZERO,
        logs: Items(&[]),
    };
    assert_eq!(receipt.encode(&mut out), Err(NotEncodable::UnknownType(0x7e)));
    assert!(out.is_empty());
    assert_eq!(NotEncodable::UnknownType(0x7e).to_string(), "transaction type 0x7e is not known");
}
