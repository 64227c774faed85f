//! The rows that the follower writes, in the transactions in which it writes them.

use std::ops::Range;

use arrow::array::RecordBatch;
use isotherm_chain::block::read_block;
use isotherm_chain::columns;
use isotherm_chain::verify::verify;
use isotherm_lab::tape::generate::GeneratedChain;
use isotherm_types::{ChainId, Clock as _, Dataset, SystemClock};
use serde_json::value::RawValue;

use crate::stage::Stage;

/// The rows of one transaction.
pub(crate) struct Group(pub(crate) Vec<(Dataset, RecordBatch)>);

impl Group {
    pub(crate) fn row_count(&self) -> usize {
        self.0.iter().map(|(_, batch)| batch.num_rows()).sum()
    }
}

/// The blocks of each transaction of the follower, by their numbers, as its events tell.
pub(crate) async fn boundaries(stage: &Stage) -> Vec<Range<u64>> {
    let sql = "SELECT (body #>> '{blocks,start}')::bigint, (body #>> '{blocks,end}')::bigint
                 FROM control.events WHERE body ->> 'kind' = 'dataset_advanced' ORDER BY id";
    let rows: Vec<(i64, i64)> =
        sqlx::query_as(sql).fetch_all(&mut stage.connect().await).await.expect("the events are there");
    rows.into_iter().map(|(start, end)| start.unsigned_abs()..end.unsigned_abs()).collect()
}

/// The rows of `boundaries`, made as the follower makes them.
pub(crate) fn groups(chain: &GeneratedChain, boundaries: &[Range<u64>]) -> Vec<Group> {
    let place = |number: u64| chain.place_of_number(number).expect("the block is of the chain");
    let group = |blocks: &Range<u64>| {
        let read = blocks.clone().map(|number| {
            let block = answer(|out| chain.write_block(place(number), true, out));
            let receipts = answer(|out| chain.write_receipts(place(number), out));
            read_block(&block, &receipts, SystemClock.now()).expect("the answers hold a block")
        });
        let verified = verify(read.collect()).expect("the blocks are true");
        let mut rows = columns::encode(ChainId(chain.chain_id()), &verified).expect("the values fit");
        rows.retain(|(_, batch)| batch.num_rows() > 0);
        Group(rows)
    };
    boundaries.iter().map(group).collect()
}

fn answer(write: impl FnOnce(&mut Vec<u8>)) -> Box<RawValue> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    RawValue::from_string(String::from_utf8(bytes).expect("JSON is text")).expect("an answer is JSON")
}
