//! Which checks are made on a chain, and from which block on.
//!
//! What is not made is said, with its reason; it is never called good.

use isotherm_types::{BlockNumber, BlockRef, Commitments, Since};
use serde::{Deserialize, Serialize};

use super::{BadBlock, Verdict};

/// From which block on a check is made. As JSON: the block's number, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CheckField", into = "CheckField")]
pub enum Check {
    /// From this one.
    From(BlockNumber),
    /// It never is.
    Never,
}

impl Check {
    /// It is made on every block.
    pub const ALWAYS: Self = Self::From(BlockNumber(0));

    /// Whether it is made on the block at `number`.
    pub fn is_made_at(self, number: BlockNumber) -> bool {
        Since::from(self).holds_at(number)
    }

    /// The verdict on the block at `number` if the check, that of `what`, is not made on it.
    pub(super) fn why_not(self, what: &str, number: BlockNumber) -> Option<Verdict> {
        Since::from(self).why_not(what, number).map(Verdict::NotVerifiable)
    }

    /// The verdict of `check`, that of `what`, or why it is not made.
    pub(super) fn make(
        self,
        what: &str,
        number: BlockNumber,
        check: impl FnOnce() -> Result<Verdict, BadBlock>,
    ) -> Result<Verdict, BadBlock> {
        match self.why_not(what, number) {
            Some(why_not) => Ok(why_not),
            None => check(),
        }
    }
}

impl From<Check> for Since {
    fn from(check: Check) -> Self {
        match check {
            Check::From(first) => Self::Block(first),
            Check::Never => Self::Never,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a check is \"never\" or the number of the first block that it is made on")]
enum CheckField {
    Word(CheckWord),
    Number(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CheckWord {
    Never,
}

impl From<CheckField> for Check {
    fn from(field: CheckField) -> Self {
        match field {
            CheckField::Word(CheckWord::Never) => Self::Never,
            CheckField::Number(number) => Self::From(BlockNumber(number)),
        }
    }
}

impl From<Check> for CheckField {
    fn from(check: Check) -> Self {
        match check {
            Check::Never => Self::Word(CheckWord::Never),
            Check::From(BlockNumber(number)) => Self::Number(number),
        }
    }
}

/// What becomes of a block with a header field or a transaction type that is not known here. One such would otherwise
/// excuse whatever else its block says. As JSON: `"refuse"` or `"accept"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownFormats {
    /// It is untrue, as far as the check needs what is not known.
    #[default]
    Refuse,
    /// It is not verifiable.
    Accept,
}

impl UnknownFormats {
    /// The verdict on `block`, in which `what` is not known.
    pub(super) fn judge(self, block: BlockRef, what: String) -> Result<Verdict, BadBlock> {
        match self {
            Self::Refuse => Err(BadBlock::UnknownFormat { block, what }),
            Self::Accept => Ok(Verdict::NotVerifiable(what)),
        }
    }
}

/// The checks of a chain. Those that are not named are made on every block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// Keccak-256 of the RLP header is the block's hash.
    pub header_hash: Check,
    /// A block names the one before it as its parent.
    pub parent_hash: Check,
    /// The transactions, and their hashes, are those of the header.
    pub transactions_root: Check,
    /// The receipts are those of the header.
    pub receipts_root: Check,
    /// The logs' Bloom filter is that of the header.
    pub logs_bloom: Check,
    /// The receipts' gas is that of the header.
    pub gas_used: Check,
    /// Each transaction's sender is the account that signed it.
    pub sender: Check,
    /// Each receipt's effective gas price is what its transaction pays.
    pub effective_gas_price: Check,
    /// Each receipt names the contract that its transaction creates, and no other.
    pub contract_address: Check,
    /// What becomes of what is not known here.
    pub unknown_formats: UnknownFormats,
}

impl Checks {
    /// All of them, on every block, and nothing that is not known here.
    pub const ALL: Self = Self {
        header_hash: Check::ALWAYS,
        parent_hash: Check::ALWAYS,
        transactions_root: Check::ALWAYS,
        receipts_root: Check::ALWAYS,
        logs_bloom: Check::ALWAYS,
        gas_used: Check::ALWAYS,
        sender: Check::ALWAYS,
        effective_gas_price: Check::ALWAYS,
        contract_address: Check::ALWAYS,
        unknown_formats: UnknownFormats::Refuse,
    };

    /// Those of them that rows can be held against when they lie in files.
    pub fn commitments(&self) -> Commitments {
        Commitments {
            header_hash: self.header_hash.into(),
            parent_hash: self.parent_hash.into(),
            transactions_root: self.transactions_root.into(),
            receipts_root: self.receipts_root.into(),
            logs_bloom: self.logs_bloom.into(),
            gas_used: self.gas_used.into(),
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_strictly_and_what_is_not_named_is_made() {
        let read = |text| serde_json::from_str::<Checks>(text);
        let checks = read(r#"{"receipts_root":500,"gas_used":"never","unknown_formats":"accept"}"#).unwrap();
        let expected = Checks {
            receipts_root: Check::From(BlockNumber(500)),
            gas_used: Check::Never,
            unknown_formats: UnknownFormats::Accept,
            ..Checks::ALL
        };
        assert_eq!(checks, expected);
        let written = serde_json::to_string(&checks).unwrap();
        assert_eq!(read(&written).unwrap(), checks);
        assert_eq!(read("{}").unwrap(), Checks::ALL);
        for wrong in [
            r#"{"gas":0}"#,
            r#"{"gas_used":"always"}"#,
            r#"{"gas_used":-1}"#,
            r#"{"gas_used":null}"#,
            r#"{"unknown_formats":"never"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_checked_of_a_block_is_not_checked_of_its_rows() {
        assert_eq!(Checks::ALL.commitments(), Commitments::ALL);
        let checks = Checks { receipts_root: Check::From(BlockNumber(5)), gas_used: Check::Never, ..Checks::ALL };
        let expected =
            Commitments { receipts_root: Since::Block(BlockNumber(5)), gas_used: Since::Never, ..Commitments::ALL };
        assert_eq!(checks.commitments(), expected);
    }

    #[test]
    fn a_check_that_is_not_made_says_so() {
        let number = BlockNumber(7);
        let never_asked = || -> Result<Verdict, BadBlock> { panic!("the check is not made") };
        let reason = |check: Check| match check.make("receipts root", number, never_asked) {
            Ok(Verdict::NotVerifiable(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(Check::Never), "the chain's profile has the receipts root never checked");
        assert_eq!(
            reason(Check::From(BlockNumber(8))),
            "the chain's profile has the receipts root checked from block 8 on"
        );
        for check in [Check::ALWAYS, Check::From(number)] {
            assert_eq!(check.make("receipts root", number, || Ok(Verdict::Ok)).unwrap(), Verdict::Ok);
        }
    }
}
