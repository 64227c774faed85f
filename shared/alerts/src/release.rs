//! When a finding is sent: as soon as its block has reached what its rule asks for. Pure.

use isotherm_types::BlockNumber;

/// What a rule asks of a block before people are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// To be on the chain.
    Latest,
    /// To be safe. Hot storage notes only what is final, which is the next that is safe for certain.
    Safe,
    /// To be final.
    Finalized,
    /// To have so many blocks from itself on: 1 is the latest block.
    Confirmations(u64),
}

/// How far a chain has got, in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Last block stored.
    pub tip: BlockNumber,
    /// Last final block; `None` if none is known.
    pub finalized: Option<BlockNumber>,
}

impl Reach {
    /// The last block that has reached `release`; `None` if none has.
    pub fn up_to(self, release: Release) -> Option<BlockNumber> {
        match release {
            Release::Latest => Some(self.tip),
            Release::Safe | Release::Finalized => self.finalized,
            Release::Confirmations(blocks) => {
                // What is final needs no further confirmation: a chain may halt below it.
                let confirmed = (self.tip.0 + 1).checked_sub(blocks.max(1)).map(BlockNumber);
                confirmed.max(self.finalized)
            }
        }
    }

    /// Whether `block` has reached `release`.
    pub fn releases(self, block: BlockNumber, release: Release) -> bool {
        self.up_to(release).is_some_and(|last| block <= last)
    }

    /// Whether `block` is final.
    pub fn is_final(self, block: BlockNumber) -> bool {
        self.finalized.is_some_and(|last| block <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_released_when_it_has_got_as_far_as_its_rule_asks() {
        let reach = Reach { tip: BlockNumber(100), finalized: Some(BlockNumber(90)) };
        let last = |release| reach.up_to(release).map(|block| block.0);
        assert_eq!(last(Release::Latest), Some(100));
        assert_eq!(last(Release::Safe), Some(90));
        assert_eq!(last(Release::Finalized), Some(90));
        assert_eq!(last(Release::Confirmations(1)), Some(100));
        assert_eq!(last(Release::Confirmations(3)), Some(98));
        assert_eq!(last(Release::Confirmations(50)), Some(90), "what is final is confirmed");
        assert!(reach.releases(BlockNumber(98), Release::Confirmations(3)));
        assert!(!reach.releases(BlockNumber(99), Release::Confirmations(3)));
    }

    #[test]
    fn nothing_is_final_before_anything_is_known_to_be() {
        let reach = Reach { tip: BlockNumber(1), finalized: None };
        assert_eq!(reach.up_to(Release::Finalized), None);
        assert_eq!(reach.up_to(Release::Confirmations(3)), None);
        assert_eq!(reach.up_to(Release::Confirmations(2)), Some(BlockNumber(0)), "block 0 is a block");
        assert!(!reach.is_final(BlockNumber(0)));
    }
}
