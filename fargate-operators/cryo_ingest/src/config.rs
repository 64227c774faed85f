//! The job's settings, read strictly: a misspelt key is an error, not a default.

use std::num::NonZeroU64;

use isotherm_chain::chain_profile::{JobProfileError, MOST_PARTITION_BLOCKS};
use isotherm_chain::{ChainProfile, Finality, TraceMethod};
use isotherm_cold_store::ChainName;
use isotherm_types::{ChainId, Dataset};
use serde::Deserialize;

/// `config` of a `cryo_ingest` job. What it does not say is as the chain's profile has it: the job's own, else the
/// built-in one of its chain id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "JobConfig")]
pub struct IngestConfig {
    /// The chain; every endpoint must serve it.
    pub chain_id: ChainId,
    /// Its name, as in object keys.
    pub chain: ChainName,
    /// What to write; never empty, none named twice.
    pub datasets: Vec<Dataset>,
    /// Blocks in each partition, hot and cold.
    pub partition_blocks: NonZeroU64,
    /// How the chain says what is final.
    pub finality: Finality,
    /// How traces are asked for; [`TraceMethod::None`] if they are none of the datasets.
    pub traces: TraceMethod,
    /// Bytes of JSON that one fetch aims at, at least one block. Two such are in memory: what is fetched, and what is
    /// encoded meanwhile.
    pub batch_bytes: usize,
    /// What is peculiar to the chain.
    pub profile: ChainProfile,
}

/// The settings as the job has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobConfig {
    chain_id: ChainId,
    chain: ChainName,
    datasets: Vec<Dataset>,
    partition_blocks: Option<u64>,
    finality: Option<Finality>,
    traces: Option<TraceMethod>,
    #[serde(default = "default_batch_bytes")]
    batch_bytes: usize,
    profile: Option<ChainProfile>,
}

/// Settings that do not fit each other.
#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error(transparent)]
    Profile(#[from] JobProfileError),
    #[error("partition_blocks is {given}; it must be a whole number from 1 to {MOST_PARTITION_BLOCKS}")]
    Partition { given: u64 },
    #[error("datasets is empty; name at least one of blocks, transactions, logs and traces")]
    NoDatasets,
    #[error("datasets names {dataset} twice")]
    Twice { dataset: Dataset },
    #[error("datasets names traces, but nothing says how chain {chain_id} is asked for them; set `traces` in the job")]
    NoTraceMethod { chain_id: ChainId },
}

impl TryFrom<JobConfig> for IngestConfig {
    type Error = ConfigError;

    fn try_from(job: JobConfig) -> Result<Self, ConfigError> {
        let profile = ChainProfile::of_job(
            job.chain_id,
            job.chain.as_str(),
            job.profile.as_ref(),
            job.finality,
            job.partition_blocks,
        )?;
        let given = job.partition_blocks.unwrap_or(profile.partition_blocks);
        let partition_blocks = NonZeroU64::new(given).filter(|blocks| blocks.get() <= MOST_PARTITION_BLOCKS);
        check_datasets(&job.datasets)?;
        let traces = match job.datasets.contains(&Dataset::Traces) {
            true => job.traces.unwrap_or(profile.trace_method),
            false => TraceMethod::None,
        };
        if job.datasets.contains(&Dataset::Traces) && traces == TraceMethod::None {
            return Err(ConfigError::NoTraceMethod { chain_id: job.chain_id });
        }
        Ok(Self {
            chain_id: job.chain_id,
            chain: job.chain,
            datasets: job.datasets,
            partition_blocks: partition_blocks.ok_or(ConfigError::Partition { given })?,
            finality: job.finality.unwrap_or(profile.finality),
            traces,
            batch_bytes: job.batch_bytes,
            profile,
        })
    }
}

fn check_datasets(datasets: &[Dataset]) -> Result<(), ConfigError> {
    if datasets.is_empty() {
        return Err(ConfigError::NoDatasets);
    }
    for (place, dataset) in datasets.iter().enumerate() {
        if datasets[..place].contains(dataset) {
            return Err(ConfigError::Twice { dataset: *dataset });
        }
    }
    Ok(())
}

fn default_batch_bytes() -> usize {
    8 << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"chain_id":31337,"chain":"demo","datasets":["blocks","traces"],"partition_blocks":100,
        "finality":{"kind":"tags"},"traces":"trace_block","batch_bytes":8388608}"#;

    fn error(text: &str) -> String {
        serde_json::from_str::<IngestConfig>(text).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_config_is_read_and_a_misspelt_key_is_not() {
        let config: IngestConfig = serde_json::from_str(FULL).unwrap();
        assert_eq!(config.datasets, [Dataset::Blocks, Dataset::Traces]);
        assert_eq!((config.partition_blocks.get(), config.batch_bytes), (100, 8 << 20));
        assert!(error(&FULL.replace("batch_bytes", "batch_byte")).contains("batch_byte"));
        assert!(error(&FULL.replace("demo", "../demo")).contains("../demo"));
    }

    #[test]
    fn traces_are_asked_for_if_they_are_wanted_and_by_a_method_that_somebody_names() {
        let read = |text: &str| serde_json::from_str::<IngestConfig>(text).unwrap().traces;
        assert_eq!(read(FULL), TraceMethod::TraceBlock);
        assert_eq!(read(&FULL.replace(r#","traces"]"#, "]")), TraceMethod::None);
        let monad = r#"{"chain_id":143,"chain":"monad","datasets":["traces"]}"#;
        assert_eq!(read(monad), ChainProfile::built_in(ChainId(143)).unwrap().trace_method);
        let unknown = FULL.replace("31337", "5");
        assert!(error(&unknown.replace(r#""traces":"trace_block","#, "")).contains("set `traces` in the job"));
        assert!(error(&FULL.replace("trace_block", "none")).contains("set `traces` in the job"));
    }

    #[test]
    fn datasets_are_named_once_each() {
        assert!(error(&FULL.replace(r#""blocks","traces""#, "")).contains("datasets is empty"));
        assert!(error(&FULL.replace(r#""blocks","traces""#, r#""blocks","blocks""#)).contains("names blocks twice"));
    }

    #[test]
    fn a_chain_that_nobody_knows_needs_to_be_described_in_bounds() {
        let start = r#"{"chain_id":5,"chain":"five","datasets":["blocks"]"#;
        let finality = r#","finality":{"kind":"tags"}"#;
        assert!(error(&format!("{start}}}")).contains("needs `finality`"));
        assert!(error(&format!("{start}{finality}}}")).contains("needs `partition_blocks`"));
        for given in [0, 10_000_001] {
            let text = format!(r#"{start}{finality},"partition_blocks":{given}}}"#);
            assert!(error(&text).contains(&format!("partition_blocks is {given}; it must be")));
        }
        let monad = r#","profile":{"chain_id":143,"name":"monad","block_time_ms":300,"finality":{"kind":"tags"}}"#;
        assert!(error(&format!("{start}{monad}}}")).contains("that of chain 143"));
    }
}
