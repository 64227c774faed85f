//! What the node says of each cell of blocks, transactions and logs.

use std::ops::Range;

use isotherm_lab::rpc::Rpc;
use serde_json::{Value, json};

use super::{NOTHING, Row, Rows, keyed};

mod columns;
mod forms;

use columns::{BLOCKS, Cell, LOGS, Of, TRANSACTIONS};
pub(super) use forms::nearest_double;

/// Blocks that are asked for in one batch.
const BATCH: usize = 50;
static ABSENT: Value = Value::Null;

/// What the node says of one row.
#[derive(Clone, Copy)]
struct Said<'a> {
    block: &'a Value,
    transaction: &'a Value,
    receipt: &'a Value,
    log: &'a Value,
}

/// The rows of the blocks at `numbers`.
pub(super) async fn rows(rpc: &Rpc, numbers: Range<i64>) -> Rows {
    let numbers: Vec<String> = numbers.map(|number| format!("{number:#x}")).collect();
    let mut rows = Rows::new();
    for numbers in numbers.chunks(BATCH) {
        let with_transactions: Vec<Value> = numbers.iter().map(|number| json!([number, true])).collect();
        let by_number: Vec<Value> = numbers.iter().map(|number| json!([number])).collect();
        let blocks = rpc.batch("eth_getBlockByNumber", &with_transactions).await.unwrap();
        let receipts = rpc.batch("eth_getBlockReceipts", &by_number).await.unwrap();
        for (block, receipts) in blocks.iter().zip(&receipts) {
            say_block(block, receipts, &mut rows);
        }
    }
    rows
}

fn say_block(block: &Value, receipts: &Value, rows: &mut Rows) {
    let of_block = Said { block, transaction: &ABSENT, receipt: &ABSENT, log: &ABSENT };
    let mut say = |dataset, cells: &[Cell], said: Said<'_>| {
        let (key, row) = keyed(dataset, said_row(cells, said));
        assert!(rows.insert(key, row).is_none(), "the node tells {key:?} twice");
    };
    say("blocks", BLOCKS, of_block);
    let (transactions, receipts) = (block["transactions"].as_array().unwrap(), receipts.as_array().unwrap());
    assert_eq!(transactions.len(), receipts.len(), "the node is honest");
    for (transaction, receipt) in transactions.iter().zip(receipts) {
        say("transactions", TRANSACTIONS, Said { transaction, receipt, ..of_block });
        for log in receipt["logs"].as_array().unwrap() {
            say("logs", LOGS, Said { transaction, receipt, log, ..of_block });
        }
    }
}

fn said_row(cells: &[Cell], said: Said<'_>) -> Row {
    let text = |of: &Of, pointer: &str, form: fn(&Value) -> String| {
        let object = match of {
            Of::Block => said.block,
            Of::Transaction => said.transaction,
            Of::Receipt => said.receipt,
            Of::Log => said.log,
        };
        match object.pointer(pointer) {
            None | Some(Value::Null) => NOTHING.to_owned(),
            Some(value) => form(value),
        }
    };
    cells.iter().map(|(column, of, pointer, form)| ((*column).to_owned(), text(of, pointer, *form))).collect()
}

#[test]
fn a_row_has_what_its_objects_say() {
    const CELLS: &[Cell] = &[
        ("gas_used", Of::Receipt, "/gasUsed", forms::number),
        ("difficulty", Of::Block, "/difficulty", forms::word),
        ("to_address", Of::Transaction, "/to", forms::bytes),
        ("topic1", Of::Log, "/topics/1", forms::bytes),
        ("topic2", Of::Log, "/topics/2", forms::bytes),
    ];
    let block = json!({ "difficulty": "0x1f" });
    let (transaction, log) = (json!({ "to": null }), json!({ "topics": ["0x01", "0xAB"] }));
    let receipt = json!({ "gasUsed": "0x5208" });
    let row = said_row(CELLS, Said { block: &block, transaction: &transaction, receipt: &receipt, log: &log });
    let difficulty = format!("0x{:0>64}", "1f");
    let expected = [
        ("difficulty", difficulty.as_str()),
        ("gas_used", "21000"),
        ("to_address", NOTHING),
        ("topic1", "0xab"),
        ("topic2", NOTHING),
    ];
    assert_eq!(row, Row::from(expected.map(|(column, text)| (column.to_owned(), text.to_owned()))));
}
