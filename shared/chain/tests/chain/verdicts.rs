//! Every check has a block that fails it: a real block, altered in one place.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes};
use isotherm_chain::verify::{Verdicts, check_gas_used, verify, verify_as_far_as};
use isotherm_chain::{
    Answer, ChainClient, Check, Checks, FetchedBlock, Limits, RpcUrl, UnknownFormats, Verdict, VerifiedBlock,
};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_types::{BlockNumber, BlockRange, ChainId, SystemClock};
use serde_json::json;

/// Two blocks: the first with two transfers and two creations that emit logs.
async fn run() -> Vec<FetchedBlock> {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let accounts = chain.call("eth_accounts", json!([])).await.unwrap();
    let (from, to) = (&accounts[0], &accounts[1]);
    for data in ["0x", "0x60206000600060206000a060206000a0", "0x", "0x60206000a0"] {
        let transaction = match data {
            "0x" => json!({"from": from, "to": to, "value": "0x1"}),
            code => json!({"from": from, "data": code, "gas": "0x100000"}),
        };
        chain.call("eth_sendTransaction", json!([transaction])).await.unwrap();
    }
    chain.mine(2).await.unwrap();
    fetch(&chain, 1, 3).await
}

/// Every check of the block was made, and held.
pub(crate) fn assert_holds(block: &VerifiedBlock) {
    let Verdicts {
        header_hash,
        transactions_root,
        receipts_root,
        gas_used,
        sender,
        effective_gas_price,
        contract_address,
    } = block.verdicts();
    let of_header = [header_hash, transactions_root, receipts_root, gas_used];
    for verdict in of_header.into_iter().chain([sender, effective_gas_price, contract_address]) {
        assert_eq!(*verdict, Verdict::Ok, "{}", block.block().reference);
    }
}

/// The blocks from `start` to before `end`.
pub(crate) async fn fetch(chain: &Anvil, start: u64, end: u64) -> Vec<FetchedBlock> {
    let urls = RpcUrl::parse_list(&chain.rpc_url()).unwrap();
    let chain_id = ChainId(chain.chain_id());
    let client = ChainClient::connect(urls, chain_id, Limits::default(), Arc::new(SystemClock)).await.unwrap();
    match client.fetch(BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()).await {
        Answer::Present(blocks) => blocks.iter().map(|block| block.block().clone()).collect(),
        other => panic!("{other:?}"),
    }
}

/// Puts the hash of the altered header in all the places that name it, so that only a later check can see the change.
fn rehash(run: &mut [FetchedBlock]) {
    let block = &mut run[0];
    block.reference.hash = block.header.hash_slow();
    for transaction in &mut block.transactions {
        transaction.block_hash = Some(block.reference.hash);
    }
    for receipt in &mut block.receipts {
        receipt.block_hash = block.reference.hash;
    }
    let parent_hash = run[0].reference.hash;
    run[1].header.parent_hash = parent_hash;
    run[1].reference.hash = run[1].header.hash_slow();
}

type Alter = fn(&mut Vec<FetchedBlock>);

#[tokio::test]
async fn each_untruth_is_found_and_named() {
    let run = run().await;
    verify(run.clone()).unwrap();
    let cases: &[(&str, Alter)] = &[
        ("chain.bad_number", |run| run[1].reference.number = BlockNumber(7)),
        ("chain.bad_parent_hash", |run| run[1].header.parent_hash = B256::ZERO),
        ("chain.bad_header_hash", |run| run[1].header.extra_data = Bytes::from_static(b"x")),
        ("chain.bad_header_hash", |run| run[1].header.timestamp += 1),
        ("chain.bad_transactions_root", |run| run[0].transactions[1].nonce += 1),
        ("chain.bad_transactions_root", |run| run[0].transactions.swap(0, 1)),
        ("chain.bad_transactions_root", |run| drop(run[0].transactions.pop())),
        ("chain.bad_transaction_hash", |run| run[0].transactions[1].hash = B256::ZERO),
        ("chain.bad_transaction_block", |run| run[0].transactions[1].block_hash = Some(B256::ZERO)),
        ("chain.bad_receipt_count", |run| drop(run[0].receipts.pop())),
        ("chain.bad_receipt_count", |run| run[0].receipts.clear()),
        ("chain.bad_receipt_place", |run| run[0].receipts.swap(0, 1)),
        ("chain.bad_receipt_place", |run| run[0].receipts[1].block_hash = B256::ZERO),
        ("chain.bad_receipts_root", |run| run[0].receipts[1].status = Some(0)),
        ("chain.bad_log_index", |run| run[0].receipts[1].logs[0].log_index = 5),
        ("chain.bad_log_index", |run| drop(run[0].receipts[1].logs.remove(0))),
        ("chain.bad_logs_bloom", |run| drop(run[0].receipts[3].logs.pop())),
        ("chain.bad_receipts_root", |run| run[0].receipts[1].logs[0].data = Bytes::from_static(b"other")),
        ("chain.bad_missing_field", |run| run[0].transactions[1].chain_id = None),
        ("chain.bad_missing_field", |run| run[0].transactions[1].access_list = None),
        ("chain.bad_missing_field", |run| {
            let transaction = &mut run[0].transactions[1];
            (transaction.v, transaction.y_parity) = (None, None);
        }),
        ("chain.bad_missing_field", |run| run[0].receipts[1].status = None),
        ("chain.bad_receipt_gas", |run| run[0].receipts[1].gas_used += 1),
        ("chain.bad_gas_used", |run| {
            run[0].header.gas_used += 1;
            rehash(run);
        }),
    ];
    for (place, (code, alter)) in cases.iter().enumerate() {
        let mut altered = run.clone();
        alter(&mut altered);
        let bad = verify(altered).expect_err(code);
        assert_eq!(bad.code(), *code, "case {place}: {bad}");
        assert!(bad.to_string().contains(&bad.block().hash.to_string()), "{bad}");
    }
}

/// A field of a header that is not known, and a transaction of a type that is not.
fn unknown(run: &[FetchedBlock]) -> [Vec<FetchedBlock>; 2] {
    let (mut header, mut transaction) = (run.to_vec(), run.to_vec());
    header[1].header.timestamp += 1;
    header[1].unknown_fields = ["extDataHash"].into_iter().collect();
    transaction[0].transactions[0].transaction_type = Some(0x7e);
    [header, transaction]
}

#[tokio::test]
async fn what_is_not_known_excuses_nothing() {
    let [mut header, transaction] = unknown(&run().await);
    for (unknown, what) in [(header.clone(), "extDataHash"), (transaction, "0x7e")] {
        let bad = verify(unknown).expect_err(what);
        assert_eq!(bad.code(), "chain.bad_unknown_format");
        let text = bad.to_string();
        assert!(text.contains(what) && text.contains("checks.unknown_formats: accept"), "{text}");
    }
    header[1].header.timestamp -= 1;
    assert!(verify(header).unwrap()[1].verdicts().header_hash.is_ok(), "it is no part of a header whose hash fits");
}

#[tokio::test]
async fn what_is_not_known_and_accepted_is_not_called_bad() {
    let accepting = Checks { unknown_formats: UnknownFormats::Accept, ..Checks::ALL };
    let [header, mut transaction] = unknown(&run().await);
    let verified = verify_as_far_as(header, &accepting).unwrap();
    let Verdict::NotVerifiable(reason) = &verified[1].verdicts().header_hash else { panic!("verified") };
    assert!(reason.contains("extDataHash"), "{reason}");

    let verified = verify_as_far_as(transaction.clone(), &accepting).unwrap();
    let found = verified[0].verdicts();
    for verdict in [&found.transactions_root, &found.sender, &found.effective_gas_price, &found.contract_address] {
        let Verdict::NotVerifiable(reason) = verdict else { panic!("verified") };
        assert!(reason.contains("0x7e"), "{reason}");
    }
    assert!(!found.receipts_root.is_ok() && found.gas_used.is_ok());

    // The other transactions of the block are looked at all the same, and every row has a parity.
    let first = &mut transaction[0].transactions[0];
    (first.v, first.y_parity) = (None, None);
    let bad = verify_as_far_as(transaction.clone(), &accepting).expect_err("no parity");
    assert_eq!(bad.code(), "chain.bad_missing_field");
    transaction[0].transactions[2].from = Address::ZERO;
    let bad = verify_as_far_as(transaction, &accepting).expect_err("another sender");
    assert_eq!(bad.code(), "chain.bad_sender");
}

type Read = fn(&Verdicts) -> &Verdict;

#[tokio::test]
async fn a_check_that_is_left_out_is_told_with_its_reason_and_the_others_are_made() {
    let run = run().await;
    let (never, later) = (Check::Never, Check::From(BlockNumber(2)));
    let cases: &[(Checks, Alter, Read)] = &[
        (Checks { header_hash: never, ..Checks::ALL }, |run| run[0].header.timestamp += 1, |found| &found.header_hash),
        (
            Checks { transactions_root: later, sender: later, contract_address: later, ..Checks::ALL },
            |run| run[0].transactions[1].nonce += 1,
            |found| &found.transactions_root,
        ),
        (
            Checks { receipts_root: later, ..Checks::ALL },
            |run| run[0].receipts[1].status = Some(0),
            |found| &found.receipts_root,
        ),
        (
            Checks { receipts_root: later, logs_bloom: never, ..Checks::ALL },
            |run| drop(run[0].receipts[3].logs.pop()),
            |found| &found.receipts_root,
        ),
        (Checks { gas_used: later, ..Checks::ALL }, |run| run[0].receipts[1].gas_used += 1, |found| &found.gas_used),
        (
            Checks { sender: never, ..Checks::ALL },
            |run| run[0].transactions[0].from = Address::ZERO,
            |found| &found.sender,
        ),
        (
            Checks { effective_gas_price: later, ..Checks::ALL },
            |run| run[0].receipts[0].effective_gas_price = Some(7),
            |found| &found.effective_gas_price,
        ),
        (
            Checks { contract_address: never, ..Checks::ALL },
            |run| run[0].receipts[1].contract_address = None,
            |found| &found.contract_address,
        ),
    ];
    for (place, (checks, alter, read)) in cases.iter().enumerate() {
        let mut altered = run.clone();
        alter(&mut altered);
        assert!(verify(altered.clone()).is_err(), "case {place}");
        let verified = verify_as_far_as(altered, checks).unwrap_or_else(|bad| panic!("case {place}: {bad}"));
        let Verdict::NotVerifiable(reason) = read(verified[0].verdicts()) else { panic!("case {place}") };
        assert!(reason.contains("profile"), "case {place}: {reason}");
        let others = verified[1].verdicts();
        assert!(others.transactions_root.is_ok() && others.receipts_root.is_ok());
    }

    // Without the Bloom filter the root still tells, and the other way round.
    let mut altered = run.clone();
    altered[0].receipts[3].logs.pop();
    let bad = |checks: Checks| verify_as_far_as(altered.clone(), &checks).expect_err("a log is missing").code();
    assert_eq!(bad(Checks { logs_bloom: never, ..Checks::ALL }), "chain.bad_receipts_root");
    assert_eq!(bad(Checks { receipts_root: never, ..Checks::ALL }), "chain.bad_logs_bloom");
    // A receipt that lacks what its encoding must have excuses no log.
    altered[0].receipts[1].status = None;
    let rootless = Checks { receipts_root: never, ..Checks::ALL };
    let found = verify_as_far_as(altered, &rootless).expect_err("a log is missing");
    assert_eq!(found.code(), "chain.bad_logs_bloom");
    // Number and place are checked on every chain.
    let mut shuffled = run;
    shuffled[0].receipts.swap(0, 1);
    let nothing = Checks { receipts_root: never, logs_bloom: never, ..Checks::ALL };
    assert_eq!(verify_as_far_as(shuffled, &nothing).expect_err("out of place").code(), "chain.bad_receipt_place");
}

#[tokio::test]
async fn a_header_that_counts_gas_before_refunds_excuses_no_receipt() {
    let mut block = run().await.remove(0);
    block.header.block_access_list_hash = Some(B256::ZERO);
    block.header.gas_used += 1;
    let Verdict::NotVerifiable(reason) = check_gas_used(&block).unwrap() else { panic!("it was compared") };
    assert!(reason.contains("EIP-7778"), "{reason}");
    block.receipts[1].gas_used += 1;
    assert_eq!(check_gas_used(&block).expect_err("no step of the total").code(), "chain.bad_receipt_gas");
}
