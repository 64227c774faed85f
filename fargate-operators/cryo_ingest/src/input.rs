//! What a task is asked to do, read strictly.

use isotherm_types::{BlockRange, Dataset};
use serde::{Deserialize, Serialize};

/// What one task is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AnyInput")]
pub enum Request {
    /// History that cold storage lacks.
    Backfill(Input),
    /// A file of cold storage that is damaged or gone.
    Repair(Repair),
}

/// A run of blocks that is to be in cold storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Whole partitions. Where cold storage begins inside one, that one is fetched up to there.
    pub blocks: BlockRange,
    /// Whether the range may begin inside a partition: no older history is wanted, then or later.
    #[serde(default)]
    pub may_begin_inside: bool,
}

/// A file that the newest manifest lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// Its dataset.
    pub dataset: Dataset,
    /// All of its blocks.
    pub blocks: BlockRange,
}

/// The input as the task has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyInput {
    blocks: Option<BlockRange>,
    may_begin_inside: Option<bool>,
    repair: Option<Repair>,
}

/// An input that asks for nothing, or for two things.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("the input must have exactly one of `blocks`, which are to be backfilled, and `repair`, a file to restore")]
    NotOneThing,
    #[error("the input has `may_begin_inside` beside `repair`; it belongs to `blocks`: leave it out")]
    MayBeginInside,
}

impl TryFrom<AnyInput> for Request {
    type Error = InputError;

    fn try_from(input: AnyInput) -> Result<Self, InputError> {
        match (input.blocks, input.repair, input.may_begin_inside) {
            (Some(blocks), None, may_begin_inside) => {
                Ok(Self::Backfill(Input { blocks, may_begin_inside: may_begin_inside == Some(true) }))
            }
            (None, Some(repair), None) => Ok(Self::Repair(repair)),
            (None, Some(_), Some(_)) => Err(InputError::MayBeginInside),
            (Some(_), Some(_), _) | (None, None, _) => Err(InputError::NotOneThing),
        }
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::BlockNumber;

    use super::*;

    fn blocks() -> BlockRange {
        BlockRange::new(BlockNumber(0), BlockNumber(10)).unwrap()
    }

    fn error(text: &str) -> String {
        serde_json::from_str::<Request>(text).unwrap_err().to_string()
    }

    #[test]
    fn an_input_asks_for_a_backfill_or_for_a_repair() {
        let read = |text: &str| serde_json::from_str::<Request>(text).unwrap();
        let backfill = |may_begin_inside| Request::Backfill(Input { blocks: blocks(), may_begin_inside });
        assert_eq!(read(r#"{"blocks":{"start":0,"end":10}}"#), backfill(false));
        assert_eq!(read(r#"{"blocks":{"start":0,"end":10},"may_begin_inside":true}"#), backfill(true));
        let repair = read(r#"{"repair":{"dataset":"logs","blocks":{"start":0,"end":10}}}"#);
        assert_eq!(repair, Request::Repair(Repair { dataset: Dataset::Logs, blocks: blocks() }));
    }

    #[test]
    fn an_input_that_asks_for_nothing_for_two_things_or_for_something_unknown_is_refused() {
        let repair = r#""repair":{"dataset":"logs","blocks":{"start":0,"end":10}}"#;
        assert!(error("{}").contains("exactly one of `blocks`"));
        assert!(error(&format!(r#"{{"blocks":{{"start":0,"end":10}},{repair}}}"#)).contains("exactly one of `blocks`"));
        assert!(error(&format!(r#"{{"may_begin_inside":false,{repair}}}"#)).contains("leave it out"));
        assert!(error(&format!(r#"{{"colour":"blue",{repair}}}"#)).contains("colour"));
        assert!(error(&format!("{{{}}}", repair.replace("dataset", "datasets"))).contains("datasets"));
    }
}
