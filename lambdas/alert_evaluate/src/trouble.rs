//! What the evaluator meets and copes with: it is logged, and of a rule's own doing the rule is told.

use isotherm_types::{BlockNumber, BlockRef, Classified, Disposition};

/// Something that keeps rules from being held against rows, or their SQL from being answered.
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
    /// An answer that nobody wants to be told of row by row.
    #[error("its SQL has more than {most} rows; let it select what people are to be told of")]
    TooManyRows { most: usize },
    /// Nobody answers SQL.
    #[error("the function that answers SQL could not be invoked")]
    QueryUnavailable,
    /// The function answered, and nobody knows what.
    #[error("what the function that answers SQL said cannot be read")]
    BadAnswer,
}

impl Classified for Trouble {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Gap { .. } | Self::QueryUnavailable | Self::BadAnswer => Disposition::Retry,
            Self::RowsGone { .. } | Self::CursorOffChain { .. } | Self::TooManyRows { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::RowsGone { .. } => "alerts.rows_gone",
            Self::Gap { .. } => "alerts.gap",
            Self::CursorOffChain { .. } => "alerts.cursor_off_chain",
            Self::TooManyRows { .. } => "alerts.too_many_rows",
            Self::QueryUnavailable => "alerts.query_unavailable",
            Self::BadAnswer => "alerts.bad_answer",
        }
    }
}
