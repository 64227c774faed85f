//! The job's settings, read strictly: a misspelt key is an error, not a default.

use std::time::Duration;

use isotherm_chain::Finality;
use isotherm_types::{BlockNumber, ChainId};
use serde::Deserialize;

/// `config` of a `block_follower` job.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowerConfig {
    /// The chain; every endpoint must serve it.
    pub chain_id: ChainId,
    /// Its name in object keys and in SQL.
    pub chain: String,
    /// Where to begin. A stored tip always wins.
    pub start: Start,
    /// Pause between two questions for the newest block, while nothing is new.
    #[serde(default = "default_poll_interval_ms")]
    poll_interval_ms: u64,
    /// Blocks in each partition, hot and cold. Cannot be changed later.
    pub partition_blocks: u64,
    /// Most stored blocks that a reorg may replace; a deeper one halts the chain.
    #[serde(default = "default_max_reorg_depth")]
    pub max_reorg_depth: u64,
    /// How the chain says what is final.
    pub finality: Finality,
    /// Bytes of JSON that one fetch aims at and one transaction stores, at least one block.
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes: usize,
    /// A transaction that takes longer has lost its database, and is tried again on another connection.
    #[serde(default = "default_transaction_timeout_ms")]
    transaction_timeout_ms: u64,
}

impl FollowerConfig {
    /// Pause between two questions for the newest block; at least 1 ms.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.max(1))
    }

    /// How long one transaction may take.
    pub fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.transaction_timeout_ms)
    }
}

fn default_poll_interval_ms() -> u64 {
    100
}

fn default_max_reorg_depth() -> u64 {
    64
}

fn default_batch_bytes() -> usize {
    8 << 20
}

/// A batch of [`default_batch_bytes`] takes well under a second.
fn default_transaction_timeout_ms() -> u64 {
    8_000
}

/// Where a chain without a stored tip begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "StartField")]
pub enum Start {
    /// At the finalized block, but at most `max_reorg_depth` blocks below the newest one.
    Latest,
    /// Only where it stopped: without a stored tip the follower fails.
    Stored,
    /// At this block.
    At(BlockNumber),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`start` is \"latest\", \"stored\" or a block number")]
enum StartField {
    Word(StartWord),
    Number(u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StartWord {
    Latest,
    Stored,
}

impl From<StartField> for Start {
    fn from(field: StartField) -> Self {
        match field {
            StartField::Word(StartWord::Latest) => Self::Latest,
            StartField::Word(StartWord::Stored) => Self::Stored,
            StartField::Number(number) => Self::At(BlockNumber(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"chain_id":31337,"chain":"demo","start":"latest","poll_interval_ms":100,"partition_blocks":100,
        "max_reorg_depth":64,"finality":{"kind":"tags"},"batch_bytes":8388608,"transaction_timeout_ms":8000}"#;

    #[test]
    fn the_documented_config_is_read_and_a_misspelt_key_is_not() {
        let config: FollowerConfig = serde_json::from_str(FULL).unwrap();
        assert_eq!((config.chain_id, config.start), (ChainId(31337), Start::Latest));
        let misspelt = FULL.replace("batch_bytes", "batch_byte");
        assert!(serde_json::from_str::<FollowerConfig>(&misspelt).unwrap_err().to_string().contains("batch_byte"));
    }

    #[test]
    fn a_chain_starts_at_a_word_or_a_number_and_nothing_else() {
        let read = |text| serde_json::from_str::<Start>(text);
        assert_eq!(read("0").unwrap(), Start::At(BlockNumber(0)));
        assert_eq!(read(r#""stored""#).unwrap(), Start::Stored);
        for wrong in [r#""earliest""#, "-1", "null"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(r#""latest", "stored" or a block number"#), "{error}");
        }
    }
}
