//! Chains that the laboratory makes from a seed hold what a real one's headers commit to: benchmarks on them measure the
//! whole work of verifying.

use chrono::DateTime;
use isotherm_chain::block::read_block;
use isotherm_chain::verify::{check_senders, verify};
use isotherm_chain::{FetchedBlock, columns};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_types::{ChainId, Dataset};
use serde_json::value::RawValue;

use crate::verdicts::assert_holds;

fn raw(write: impl FnOnce(&mut Vec<u8>)) -> Box<RawValue> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    RawValue::from_string(String::from_utf8(bytes).unwrap()).unwrap()
}

fn chain() -> GeneratedChain {
    GeneratedChain::new(&ChainPlan {
        seed: 7,
        chain_id: 143,
        first_number: 500,
        block_count: 5,
        transactions_per_block: 150,
        body_count: 2,
        first_timestamp: 1_750_000_000,
        block_time_ms: 300,
    })
}

fn read(chain: &GeneratedChain, place: usize) -> FetchedBlock {
    let block = raw(|out| chain.write_block(place, true, out));
    let receipts = raw(|out| chain.write_receipts(place, out));
    read_block(&block, &receipts, DateTime::UNIX_EPOCH).unwrap()
}

#[test]
fn a_generated_chain_passes_every_check_that_can_be_made() {
    let chain = chain();
    let blocks: Vec<FetchedBlock> = (0..chain.len()).map(|place| read(&chain, place)).collect();
    let verified = verify(blocks).unwrap();
    verified.iter().for_each(assert_holds);
    let rows = columns::encode(ChainId(143), &verified).unwrap();
    let count = |dataset| rows.iter().find(|(found, _)| *found == dataset).unwrap().1.num_rows() as u64;
    let counts = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs].map(count);
    assert_eq!(counts, [5, 750, chain.log_count()]);
}

#[test]
fn a_wrong_sender_is_found_and_placed_whichever_thread_looks_at_it() {
    let block = read(&chain(), 1);
    for index in [0, 63, 64, 75, 149] {
        let mut altered = block.clone();
        altered.transactions[index].from = block.transactions[(index + 1) % 150].from;
        let bad = check_senders(&altered).expect_err("another sender");
        assert_eq!(bad.code(), "chain.bad_sender");
        assert!(bad.to_string().starts_with(&format!("transaction {index} of ")), "{bad}");
    }
    // Of several, the first is told.
    let mut altered = block.clone();
    for index in [149, 70] {
        altered.transactions[index].from = block.transactions[0].from;
    }
    assert!(check_senders(&altered).expect_err("two of them").to_string().starts_with("transaction 70 of "));
}
