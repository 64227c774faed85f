//! From verified blocks to the record batches of `isotherm_types::schema`.
//!
//! Each column is named where it is filled, and the batch is put together in the schema's order. Never lets a number
//! wrap, and never leaves a value out silently: what has no place in its column is an error, save `value`, whose exact
//! text stands beside it. No endpoint can bring that error about: a verified block has no such value
//! (`crate::verify` refuses it as untrue), so it means a fault of this program.

use arrow::array::RecordBatch;
use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{ChainId, Dataset};

use crate::verify::VerifiedBlock;

mod batch;
mod blocks;
mod logs;
mod traces;
mod transactions;

/// A value that has no place in its column. Verification lets none through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} does not fit into column {column} of {dataset}")]
pub struct ColumnError {
    /// The dataset.
    pub dataset: Dataset,
    /// The column.
    pub column: &'static str,
    /// The value, in words or digits.
    pub value: String,
}

impl Classified for ColumnError {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "chain.column_overflow"
    }
}

/// The rows of `blocks`, `transactions` and `logs`, and of `traces` if the blocks have theirs, sorted by block and
/// place. Blocks must be in ascending order.
///
/// # Errors
/// [`ColumnError`] if a value does not fit, or a required one is not there.
///
/// # Panics
/// If some of the blocks have traces and others were not asked for theirs: a fault of this program.
pub fn encode(chain_id: ChainId, blocks: &[VerifiedBlock]) -> Result<Vec<(Dataset, RecordBatch)>, ColumnError> {
    let mut rows = vec![
        (Dataset::Blocks, blocks::encode(chain_id, blocks)?),
        (Dataset::Transactions, transactions::encode(chain_id, blocks)?),
        (Dataset::Logs, logs::encode(chain_id, blocks)?),
    ];
    let traced = blocks.iter().filter(|block| block.traces().is_some()).count();
    if traced > 0 {
        assert_eq!(traced, blocks.len(), "a run has all of its traces or none");
        rows.push((Dataset::Traces, traces::encode(chain_id, blocks)?));
    }
    Ok(rows)
}
