//! The ends of the chain: `latest`, `safe` and `finalized`.

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRef};
use serde::{Deserialize, Serialize};

use crate::block::HeaderRef;

/// How a chain says which blocks are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Finality {
    /// The node answers the block tags `safe` and `finalized`.
    Tags {},
    /// A block counts as final when this many blocks are above it.
    Depth {
        /// Blocks above it.
        blocks: u64,
    },
}

impl Finality {
    /// The block that is final by depth when `latest` is the newest; `None` while the chain is too short.
    pub fn final_by_depth(latest: BlockNumber, blocks: u64) -> Option<BlockNumber> {
        latest.0.checked_sub(blocks).map(BlockNumber)
    }
}

/// The ends of the chain, as one endpoint saw them at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The newest block.
    pub latest: HeaderRef,
    /// The newest block that is unlikely to be replaced, if the chain has one.
    pub safe: Option<BlockRef>,
    /// The newest block that cannot be replaced, if the chain has one.
    pub finalized: Option<BlockRef>,
    /// When the answer arrived.
    pub served_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finality_is_read_strictly() {
        let read = |text| serde_json::from_str::<Finality>(text);
        assert_eq!(read(r#"{"kind":"tags"}"#).unwrap(), Finality::Tags {});
        assert_eq!(read(r#"{"kind":"depth","blocks":64}"#).unwrap(), Finality::Depth { blocks: 64 });
        assert!(read(r#"{"kind":"depth"}"#).is_err());
        assert!(read(r#"{"kind":"tags","blocks":1}"#).is_err());
    }

    #[test]
    fn a_short_chain_has_no_final_block_by_depth() {
        assert_eq!(Finality::final_by_depth(BlockNumber(3), 4), None);
        assert_eq!(Finality::final_by_depth(BlockNumber(4), 4), Some(BlockNumber(0)));
    }
}
