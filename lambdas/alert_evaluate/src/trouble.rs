//! What the evaluator meets and copes with: it is logged.

use isotherm_types::{BlockNumber, BlockRef, Classified, Disposition};

/// Something that keeps rules from being held against rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The evaluator was away for longer than hot rows are kept.
    #[error(
        "rows from block {from} on left hot storage before rules were held against them: alerts about them are lost"
    )]
    RowsGone { from: BlockNumber },
    /// The follower will mend it.
    #[error("block {number} is missing in hot storage; rules wait for it to be mended")]
    Gap { number: BlockNumber },
    /// Somebody has changed hot storage.
    #[error(
        "{block} was looked at last and is none of the chain, though no reorg says so; what may be gone is looked at again"
    )]
    CursorOffChain { block: BlockRef },
}

impl Classified for Trouble {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Gap { .. } => Disposition::Retry,
            Self::RowsGone { .. } | Self::CursorOffChain { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::RowsGone { .. } => "alerts.rows_gone",
            Self::Gap { .. } => "alerts.gap",
            Self::CursorOffChain { .. } => "alerts.cursor_off_chain",
        }
    }
}
