//! One set of transactions with their receipts: encodings, roots, and JSON that lacks only the block's hash, number and
//! time.

use alloy::consensus::proofs::ordered_trie_root_encoded;
use alloy::consensus::{
    Eip658Value, EthereumTxEnvelope, Receipt, ReceiptEnvelope, ReceiptWithBloom, SignableTransaction, Signed,
    TxEip1559, TxEip4844, TxLegacy,
};
use alloy::eips::Encodable2718;
use alloy::eips::eip2930::AccessList;
use alloy::primitives::{Address, B256, Bloom, Bytes, Log, Signature, TxKind, U256, logs_bloom};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::template::{HASH, NUMBER, TIMESTAMP, Template};

/// Wei per gas that every transaction pays.
const GAS_PRICE_WEI: u128 = 52_000_000_000;

/// A kind of transaction: what it carries, and what it leaves behind.
#[derive(Clone, Copy, Debug)]
struct Kind {
    input_words: usize,
    logs: u64,
    gas_used: u64,
}

/// Sends the chain's own money.
const TRANSFER: Kind = Kind { input_words: 0, logs: 0, gas_used: 21_000 };
/// Sends a token.
const TOKEN_TRANSFER: Kind = Kind { input_words: 2, logs: 1, gas_used: 52_000 };
/// Changes one token for another.
const SWAP: Kind = Kind { input_words: 8, logs: 4, gas_used: 160_000 };

impl Kind {
    /// Two transfers and five token transfers to each swap: 1.125 logs a transaction.
    fn draw(random: &mut ChaCha8Rng) -> Self {
        match random.random_range(0..8u8) {
            0 | 1 => TRANSFER,
            2..=6 => TOKEN_TRANSFER,
            _ => SWAP,
        }
    }
}

/// Transactions and receipts of a block.
#[derive(Clone, Debug)]
pub struct Body {
    pub(super) transactions_root: B256,
    pub(super) receipts_root: B256,
    pub(super) logs_bloom: Bloom,
    pub(super) gas_used: u64,
    /// Logs of its receipts.
    pub log_count: u64,
    /// JSON arrays.
    pub(super) transactions: Template,
    pub(super) transaction_hashes: String,
    pub(super) receipts: Template,
    encoded_transactions: Vec<Vec<u8>>,
    encoded_receipts: Vec<Vec<u8>>,
}

impl Body {
    /// The EIP-2718 encodings over which the transactions root is made.
    pub fn encoded_transactions(&self) -> &[Vec<u8>] {
        &self.encoded_transactions
    }

    /// The EIP-2718 encodings over which the receipts root is made.
    pub fn encoded_receipts(&self) -> &[Vec<u8>] {
        &self.encoded_receipts
    }

    /// Draws `count` transactions, each signed by an account of its own.
    pub(super) fn draw(random: &mut ChaCha8Rng, chain_id: u64, count: usize) -> Self {
        let (mut gas_used, mut log_count, mut all_logs) = (0, 0, Bloom::ZERO);
        let (mut transactions, mut hashes, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut encoded_transactions, mut encoded_receipts) = (Vec::new(), Vec::new());
        for index in 0..count {
            let kind = Kind::draw(random);
            let (key, to) = (key(random), address(random));
            let signed = transaction(random, chain_id, kind, to, &key);
            let place = Place { index, hash: *signed.tx_hash(), from: key.address(), to };
            let logs: Vec<Log> = (0..kind.logs).map(|_| log(random)).collect();
            let bloom = logs_bloom(&logs);
            let outcome = Outcome { kind, gas_before: gas_used, logs_before: log_count, bloom, logs };
            gas_used += kind.gas_used;
            log_count += kind.logs;
            all_logs.accrue_bloom(&outcome.bloom);
            transactions.push(transaction_json(&signed, &place));
            receipts.push(receipt_json(&signed, &place, &outcome));
            hashes.push(json!(place.hash));
            encoded_transactions.push(signed.encoded_2718());
            encoded_receipts.push(outcome.encode(&signed));
        }
        Self {
            transactions_root: ordered_trie_root_encoded(&encoded_transactions),
            receipts_root: ordered_trie_root_encoded(&encoded_receipts),
            logs_bloom: all_logs,
            gas_used,
            log_count,
            transactions: Template::parse(&Value::Array(transactions).to_string()),
            transaction_hashes: Value::Array(hashes).to_string(),
            receipts: Template::parse(&Value::Array(receipts).to_string()),
            encoded_transactions,
            encoded_receipts,
        }
    }
}

/// Where a transaction stands, and between whom.
struct Place {
    index: usize,
    hash: B256,
    from: Address,
    to: Address,
}

/// What a transaction leaves behind.
struct Outcome {
    kind: Kind,
    /// Gas and logs of the transactions before it.
    gas_before: u64,
    logs_before: u64,
    bloom: Bloom,
    logs: Vec<Log>,
}

impl Outcome {
    fn cumulative_gas_used(&self) -> u64 {
        self.gas_before + self.kind.gas_used
    }

    /// The EIP-2718 encoding of the receipt of `signed`, which leaves this behind.
    fn encode(self, signed: &EthereumTxEnvelope<TxEip4844>) -> Vec<u8> {
        let cumulative_gas_used = self.cumulative_gas_used();
        let receipt = Receipt { status: Eip658Value::Eip658(true), cumulative_gas_used, logs: self.logs };
        let with_bloom = ReceiptWithBloom { receipt, logs_bloom: self.bloom };
        let envelope: ReceiptEnvelope = ReceiptEnvelope::from_typed(signed.tx_type(), with_bloom);
        envelope.encoded_2718()
    }
}

fn transaction(
    random: &mut ChaCha8Rng,
    chain_id: u64,
    kind: Kind,
    to: Address,
    key: &PrivateKeySigner,
) -> EthereumTxEnvelope<TxEip4844> {
    let nonce = random.random_range(0..10_000);
    let to = TxKind::Call(to);
    let value = U256::from(random.random_range(0..10u64.pow(18)));
    let input = call_data(random, kind.input_words);
    let gas_limit = kind.gas_used * 5 / 4;
    if random.random_ratio(1, 5) {
        let legacy =
            TxLegacy { chain_id: Some(chain_id), nonce, gas_price: GAS_PRICE_WEI, gas_limit, to, value, input };
        return EthereumTxEnvelope::Legacy(sign(legacy, key));
    }
    let dynamic_fee = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: 2 * GAS_PRICE_WEI,
        max_priority_fee_per_gas: 2_000_000_000,
        to,
        value,
        access_list: AccessList::default(),
        input,
    };
    EthereumTxEnvelope::Eip1559(sign(dynamic_fee, key))
}

fn sign<Unsigned: SignableTransaction<Signature>>(unsigned: Unsigned, key: &PrivateKeySigner) -> Signed<Unsigned> {
    let signature = key.sign_hash_sync(&unsigned.signature_hash()).expect("a local key signs any hash");
    unsigned.into_signed(signature)
}

/// Worthless on any chain but this one.
fn key(random: &mut ChaCha8Rng) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&word(random)).expect("a random number is below the curve's order")
}

fn word(random: &mut ChaCha8Rng) -> B256 {
    B256::from(random.random::<[u8; 32]>())
}

fn address(random: &mut ChaCha8Rng) -> Address {
    Address::from(random.random::<[u8; 20]>())
}

/// A selector and ABI words: addresses and amounts in turn, with the zeros before them that such words have.
fn call_data(random: &mut ChaCha8Rng, words: usize) -> Bytes {
    if words == 0 {
        return Bytes::new();
    }
    let mut data = random.random::<[u8; 4]>().to_vec();
    for place in 0..words {
        let word = if place % 2 == 0 { address(random).into_word() } else { amount(random) };
        data.extend_from_slice(word.as_slice());
    }
    Bytes::from(data)
}

fn amount(random: &mut ChaCha8Rng) -> B256 {
    B256::from(U256::from(random.random::<u64>()))
}

/// As ERC-20's `Transfer`.
fn log(random: &mut ChaCha8Rng) -> Log {
    let topics = vec![word(random), address(random).into_word(), address(random).into_word()];
    Log::new_unchecked(address(random), topics, amount(random).into())
}

/// The object that a block with full transactions holds. Source: Execution API, `TransactionInfo`.
fn transaction_json(signed: &EthereumTxEnvelope<TxEip4844>, place: &Place) -> Value {
    let mut object = serde_json::to_value(signed).expect("a transaction is JSON");
    object["blockHash"] = json!(HASH);
    object["blockNumber"] = json!(NUMBER);
    object["transactionIndex"] = json!(format!("{:#x}", place.index));
    object["from"] = json!(place.from);
    object["gasPrice"] = json!(format!("{GAS_PRICE_WEI:#x}"));
    object
}

/// The object of `eth_getBlockReceipts`. Source: Execution API, `ReceiptInfo`.
fn receipt_json(signed: &EthereumTxEnvelope<TxEip4844>, place: &Place, outcome: &Outcome) -> Value {
    let index = format!("{:#x}", place.index);
    let log_json = |(log_index, log): (u64, &Log)| {
        json!({
            "address": log.address,
            "topics": log.data.topics(),
            "data": log.data.data,
            "blockHash": HASH,
            "blockNumber": NUMBER,
            "blockTimestamp": TIMESTAMP,
            "transactionHash": place.hash,
            "transactionIndex": index,
            "logIndex": format!("{log_index:#x}"),
            "removed": false,
        })
    };
    let logs: Vec<Value> = (outcome.logs_before..).zip(&outcome.logs).map(log_json).collect();
    json!({
        "type": format!("{:#x}", u8::from(signed.tx_type())),
        "status": "0x1",
        "cumulativeGasUsed": format!("{:#x}", outcome.cumulative_gas_used()),
        "logs": logs,
        "logsBloom": outcome.bloom,
        "transactionHash": place.hash,
        "transactionIndex": index,
        "blockHash": HASH,
        "blockNumber": NUMBER,
        "gasUsed": format!("{:#x}", outcome.kind.gas_used),
        "effectiveGasPrice": format!("{GAS_PRICE_WEI:#x}"),
        "from": place.from,
        "to": place.to,
        "contractAddress": null,
    })
}
