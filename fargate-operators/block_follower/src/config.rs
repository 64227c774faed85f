//! The job's settings, read strictly: a misspelt key is an error, not a default.

use std::time::Duration;

use isotherm_chain::chain_profile::{JobProfileError, MOST_PARTITION_BLOCKS};
use isotherm_chain::{ChainProfile, Finality, TraceMethod};
use isotherm_types::{BlockNumber, ChainId};
use serde::Deserialize;

/// `config` of a `block_follower` job. What it does not say is as the chain's profile has it: the job's own, else the
/// built-in one of its chain id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "JobConfig")]
pub struct FollowerConfig {
    /// The chain; every endpoint must serve it.
    pub chain_id: ChainId,
    /// Its name in object keys and in SQL.
    pub chain: String,
    /// Where to begin. A stored tip always wins.
    pub start: Start,
    /// Pause between two questions for the newest block, while nothing is new and none is announced.
    poll_interval: Duration,
    /// Blocks in each partition, hot and cold. Cannot be changed later.
    pub partition_blocks: u64,
    /// Most stored blocks that a reorg may replace; a deeper one halts the chain.
    pub max_reorg_depth: u64,
    /// How the chain says what is final.
    pub finality: Finality,
    /// How traces are asked for. Those of blocks that were stored without them are not fetched later.
    pub traces: TraceMethod,
    /// Bytes of JSON that one fetch aims at and one transaction stores, at least one block.
    pub batch_bytes: usize,
    /// A transaction that takes longer has lost its database, and is tried again on another connection.
    transaction_timeout_ms: u64,
    /// What is peculiar to the chain.
    pub profile: ChainProfile,
}

impl FollowerConfig {
    /// Pause between two questions for the newest block; at least 1 ms.
    pub fn poll_interval(&self) -> Duration {
        self.poll_interval.max(Duration::from_millis(1))
    }

    /// How long one transaction may take.
    pub fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.transaction_timeout_ms)
    }
}

/// The settings as the job has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobConfig {
    chain_id: ChainId,
    chain: String,
    start: Start,
    poll_interval_ms: Option<u64>,
    partition_blocks: Option<u64>,
    max_reorg_depth: Option<u64>,
    finality: Option<Finality>,
    /// Not the profile's: a job collects traces only if it says so.
    #[serde(default)]
    traces: TraceMethod,
    #[serde(default = "default_batch_bytes")]
    batch_bytes: usize,
    #[serde(default = "default_transaction_timeout_ms")]
    transaction_timeout_ms: u64,
    profile: Option<ChainProfile>,
}

/// Settings that do not fit each other.
#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error(transparent)]
    Profile(#[from] JobProfileError),
    #[error("partition_blocks is {given}; it must be a whole number from 1 to {MOST_PARTITION_BLOCKS}")]
    Partition { given: u64 },
}

impl TryFrom<JobConfig> for FollowerConfig {
    type Error = ConfigError;

    fn try_from(job: JobConfig) -> Result<Self, ConfigError> {
        let profile =
            ChainProfile::of_job(job.chain_id, &job.chain, job.profile.as_ref(), job.finality, job.partition_blocks)?;
        let partition_blocks = job.partition_blocks.unwrap_or(profile.partition_blocks);
        if !(1..=MOST_PARTITION_BLOCKS).contains(&partition_blocks) {
            return Err(ConfigError::Partition { given: partition_blocks });
        }
        Ok(Self {
            chain_id: job.chain_id,
            chain: job.chain,
            start: job.start,
            poll_interval: job.poll_interval_ms.map_or(profile.poll_interval(), Duration::from_millis),
            partition_blocks,
            max_reorg_depth: job.max_reorg_depth.unwrap_or(profile.max_reorg_depth),
            finality: job.finality.unwrap_or(profile.finality),
            traces: job.traces,
            batch_bytes: job.batch_bytes,
            transaction_timeout_ms: job.transaction_timeout_ms,
            profile,
        })
    }
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
    use isotherm_platform::operator_main;
    use isotherm_types::operator::OPERATOR_PROTOCOL;
    use isotherm_types::{Classified as _, Fence, TaskId, TaskSpec};
    use serde_json::json;

    use super::*;

    const FULL: &str = r#"{"chain_id":31337,"chain":"demo","start":"latest","poll_interval_ms":100,"partition_blocks":100,
        "max_reorg_depth":64,"finality":{"kind":"tags"},"traces":"none","batch_bytes":8388608,
        "transaction_timeout_ms":8000}"#;

    #[test]
    fn the_documented_config_is_read_and_a_misspelt_key_is_not() {
        let config: FollowerConfig = serde_json::from_str(FULL).unwrap();
        assert_eq!((config.chain_id, config.start), (ChainId(31337), Start::Latest));
        let misspelt = FULL.replace("batch_bytes", "batch_byte");
        assert!(serde_json::from_str::<FollowerConfig>(&misspelt).unwrap_err().to_string().contains("batch_byte"));
    }

    #[test]
    fn traces_are_collected_only_if_the_job_names_a_method() {
        let traces = |text: &str| serde_json::from_str::<FollowerConfig>(text).map(|config| config.traces);
        assert_eq!(traces(&FULL.replace(r#""traces":"none","#, "")).unwrap(), TraceMethod::None);
        assert_eq!(traces(FULL).unwrap(), TraceMethod::None);
        assert_eq!(traces(&FULL.replace("none", "trace_block")).unwrap(), TraceMethod::TraceBlock);
        assert_eq!(traces(&FULL.replace("none", "debug_trace_block")).unwrap(), TraceMethod::DebugTraceBlock);
        assert!(traces(&FULL.replace("none", "debug_traceBlockByNumber")).is_err());
    }

    #[test]
    fn what_the_job_does_not_say_is_as_the_chains_profile_has_it() {
        let read = |text: &str| serde_json::from_str::<FollowerConfig>(text);
        let monad = read(r#"{"chain_id":143,"chain":"monad","start":"latest"}"#).unwrap();
        assert_eq!(monad.profile, ChainProfile::built_in(ChainId(143)).unwrap());
        assert_eq!((monad.finality, monad.partition_blocks, monad.max_reorg_depth), (Finality::Tags {}, 10_000, 64));
        assert_eq!(monad.poll_interval(), monad.profile.poll_interval());

        // The job's own keys win over its profile, and its profile over the built-in one.
        let own = r#"{"chain_id":143,"chain":"monad","start":0,"max_reorg_depth":7,"poll_interval_ms":5,
            "profile":{"chain_id":143,"name":"mine","block_time_ms":500,"finality":{"kind":"depth","blocks":9},
            "max_reorg_depth":20,"partition_blocks":50,"checks":{"receipts_root":"never"}}}"#;
        let own = read(own).unwrap();
        assert_eq!((own.finality, own.partition_blocks, own.max_reorg_depth), (Finality::Depth { blocks: 9 }, 50, 7));
        assert_eq!(own.poll_interval(), Duration::from_millis(5));
        assert_eq!(own.profile.limits().block_time, Duration::from_millis(500));
        assert!(!own.profile.checks.receipts_root.is_made_at(BlockNumber(0)));
    }

    #[test]
    fn a_chain_that_nobody_knows_needs_to_be_described() {
        let error = |text: &str| serde_json::from_str::<FollowerConfig>(text).unwrap_err().to_string();
        let start = r#"{"chain_id":5,"chain":"five","start":"latest""#;
        let finality = r#","finality":{"kind":"tags"}"#;
        assert!(error(&format!("{start}}}")).contains("needs `finality`"));
        assert!(error(&format!("{start}{finality}}}")).contains("needs `partition_blocks`"));
        let monad = r#","profile":{"chain_id":143,"name":"monad","block_time_ms":300,"finality":{"kind":"tags"}}"#;
        assert!(error(&format!("{start}{monad}}}")).contains("that of chain 143"));
        assert!(error(&format!(r#"{start}{finality},"profile":{{"chain_id":5}}}}"#)).contains("name"));
        let known = format!(r#"{start}{finality},"partition_blocks":9}}"#);
        assert_eq!(serde_json::from_str::<FollowerConfig>(&known).unwrap().profile.partition_blocks, 9);
    }

    #[test]
    fn a_partition_has_a_bounded_number_of_blocks() {
        let read = |blocks: u64| {
            let text = FULL.replace(r#""partition_blocks":100"#, &format!(r#""partition_blocks":{blocks}"#));
            serde_json::from_str::<FollowerConfig>(&text)
        };
        assert_eq!(read(10_000_000).unwrap().partition_blocks, 10_000_000);
        for given in [0, 10_000_001, 1 << 62] {
            let error = read(given).unwrap_err().to_string();
            let wanted = format!("partition_blocks is {given}; it must be a whole number from 1 to 10000000");
            assert!(error.contains(&wanted), "{error}");
        }
    }

    #[test]
    fn a_profile_out_of_the_bounds_of_a_chains_file_is_refused_at_the_start() {
        let spec = |block_time_ms: u64| TaskSpec {
            version: OPERATOR_PROTOCOL,
            task_id: TaskId(1),
            fence: Fence(1),
            attempt: 1,
            job: "follow-five".to_owned(),
            config: json!({
                "chain_id": 5, "chain": "five", "start": "latest",
                "profile": {
                    "chain_id": 5, "name": "five", "block_time_ms": block_time_ms, "finality": { "kind": "tags" },
                },
            }),
            input: json!({}),
        };
        let read = |block_time_ms| operator_main::config::<FollowerConfig>(&spec(block_time_ms));
        assert_eq!(read(250).unwrap().profile.block_time_ms, 250);
        let error = read(0).unwrap_err();
        assert_eq!(error.code(), "job.config_invalid");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "block_time_ms of the profile is 0; it must be a whole number from 1 to 3600000");
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
