//! The job's settings, read strictly: a misspelt key is an error, not a default.

use std::num::NonZeroUsize;

use isotherm_chain::{ChainProfile, Finality};
use isotherm_cold_store::ChainName;
use isotherm_cold_store::integrity::{Level, Sampling};
use isotherm_types::{BlockRange, ChainId, Commitments, Dataset, TaskId};
use serde::Deserialize;

/// Blocks that endpoints are asked about if the job does not say.
const DEFAULT_SAMPLE: NonZeroUsize = NonZeroUsize::new(100).expect("it is not 0");

/// `config` of an `integrity_check` job.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "JobConfig")]
pub struct CheckConfig {
    /// The chain.
    pub chain_id: ChainId,
    /// Its name, as in object keys.
    pub chain: ChainName,
    /// What to check; `None` for everything that is cold.
    pub datasets: Option<Vec<Dataset>>,
    /// How deep to look.
    pub level: Level,
    /// Only files with some of these blocks; `None` for all.
    pub blocks: Option<BlockRange>,
    /// What rows are held against from level chain on, as the chain's profile has it.
    pub commitments: Commitments,
    /// Whom to believe; there is one exactly at level anchor.
    pub anchors: Option<AnchorConfig>,
}

/// How hashes are compared with what endpoints say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorConfig {
    /// Which blocks.
    pub sample: Sample,
    /// Endpoints that must say the same; `None` for more than half of them.
    pub agree: Option<NonZeroUsize>,
    /// How the chain says what is final.
    pub finality: Finality,
    /// What is peculiar to the chain.
    pub profile: ChainProfile,
}

/// Which blocks endpoints are asked about: `"all"`, or a number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenSample")]
pub enum Sample {
    /// All that are checked.
    All,
    /// So many; always the first and the last.
    Some(NonZeroUsize),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "sample must be \"all\" or a whole number from 1")]
enum WrittenSample {
    Word(AllWord),
    Number(NonZeroUsize),
}

#[derive(Deserialize)]
enum AllWord {
    #[serde(rename = "all")]
    All,
}

/// The settings as the job has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobConfig {
    chain_id: ChainId,
    chain: ChainName,
    datasets: Option<Vec<Dataset>>,
    #[serde(default = "default_level")]
    level: Level,
    blocks: Option<BlockRange>,
    sample: Option<Sample>,
    agree: Option<NonZeroUsize>,
    finality: Option<Finality>,
    profile: Option<ChainProfile>,
}

/// Settings that do not fit each other.
#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error("the job is for chain {chain_id}, but its profile is that of chain {profile}")]
    OtherProfile { chain_id: ChainId, profile: ChainId },
    #[error("no profile of chain {chain_id} is built in, so level anchor needs `finality` or a `profile`")]
    NoProfile { chain_id: ChainId },
    #[error("{key} is of use at level anchor only; the job's level is {level}")]
    NotAnchored { key: &'static str, level: Level },
    #[error("datasets is empty; leave it out to check everything that is cold")]
    NoDatasets,
    #[error("datasets names {dataset} twice")]
    Twice { dataset: Dataset },
}

impl TryFrom<JobConfig> for CheckConfig {
    type Error = ConfigError;

    fn try_from(job: JobConfig) -> Result<Self, ConfigError> {
        check_datasets(job.datasets.as_deref())?;
        let profile = profile(&job)?;
        let commitments = profile.as_ref().map_or(Commitments::ALL, |profile| profile.checks.commitments());
        let anchors = match job.level {
            Level::Anchor => Some(anchors(&job, profile)?),
            level @ (Level::File | Level::Chain) => {
                let unused = [("sample", job.sample.is_some()), ("agree", job.agree.is_some())];
                if let Some((key, _)) = unused.into_iter().find(|(_, is_there)| *is_there) {
                    return Err(ConfigError::NotAnchored { key, level });
                }
                None
            }
        };
        let JobConfig { chain_id, chain, datasets, level, blocks, .. } = job;
        Ok(Self { chain_id, chain, datasets, level, blocks, commitments, anchors })
    }
}

fn check_datasets(datasets: Option<&[Dataset]>) -> Result<(), ConfigError> {
    let Some(datasets) = datasets else { return Ok(()) };
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

/// The profile of the chain: the job's own, else the built-in one.
fn profile(job: &JobConfig) -> Result<Option<ChainProfile>, ConfigError> {
    let chain_id = job.chain_id;
    match &job.profile {
        Some(own) if own.chain_id != chain_id => Err(ConfigError::OtherProfile { chain_id, profile: own.chain_id }),
        Some(own) => Ok(Some(own.clone())),
        None => Ok(ChainProfile::built_in(chain_id)),
    }
}

/// What the job does not say is as the chain's `profile` has it.
fn anchors(job: &JobConfig, profile: Option<ChainProfile>) -> Result<AnchorConfig, ConfigError> {
    let chain_id = job.chain_id;
    let profile = match (profile, job.finality) {
        (Some(profile), _) => profile,
        (None, Some(finality)) => ChainProfile::unknown(chain_id, job.chain.to_string(), finality),
        (None, None) => return Err(ConfigError::NoProfile { chain_id }),
    };
    Ok(AnchorConfig {
        sample: job.sample.unwrap_or(Sample::Some(DEFAULT_SAMPLE)),
        agree: job.agree,
        finality: job.finality.unwrap_or(profile.finality),
        profile,
    })
}

impl Sample {
    /// The same for the check. Each task asks about other blocks, each attempt at it about the same.
    pub(crate) fn sampling(self, task_id: TaskId) -> Sampling {
        match self {
            Self::All => Sampling::Every,
            Self::Some(count) => Sampling::Some { count: count.get(), seed: task_id.0.cast_unsigned() },
        }
    }
}

impl From<WrittenSample> for Sample {
    fn from(written: WrittenSample) -> Self {
        match written {
            WrittenSample::Word(AllWord::All) => Self::All,
            WrittenSample::Number(count) => Self::Some(count),
        }
    }
}

fn default_level() -> Level {
    Level::Chain
}

#[cfg(test)]
mod tests {
    use isotherm_types::{BlockNumber, Since};

    use super::*;

    const FULL: &str = r#"{"chain_id":31337,"chain":"demo","datasets":["blocks","logs"],"level":"anchor","sample":7,
        "agree":2,"blocks":{"start":0,"end":100},"finality":{"kind":"tags"}}"#;

    fn read(text: &str) -> CheckConfig {
        serde_json::from_str(text).unwrap()
    }

    fn error(text: &str) -> String {
        serde_json::from_str::<CheckConfig>(text).unwrap_err().to_string()
    }

    #[test]
    fn the_documented_config_is_read_and_a_misspelt_key_is_not() {
        let config = read(FULL);
        assert_eq!(config.datasets.as_deref(), Some([Dataset::Blocks, Dataset::Logs].as_slice()));
        assert_eq!((config.level, config.blocks.map(BlockRange::block_count)), (Level::Anchor, Some(100)));
        let anchors = config.anchors.unwrap();
        assert_eq!((anchors.agree, anchors.finality), (NonZeroUsize::new(2), Finality::Tags {}));
        let sampling = anchors.sample.sampling(TaskId(5));
        assert_eq!(sampling, Sampling::Some { count: 7, seed: 5 });
        assert!(error(&FULL.replace("agree", "agrees")).contains("agrees"));
        assert!(error(&FULL.replace("demo", "../demo")).contains("../demo"));
    }

    #[test]
    fn little_needs_to_be_said() {
        let config = read(r#"{"chain_id":5,"chain":"five"}"#);
        assert_eq!((config.level, config.datasets, config.blocks, config.anchors), (Level::Chain, None, None, None));
        let anchors = read(r#"{"chain_id":143,"chain":"monad","level":"anchor"}"#).anchors.unwrap();
        assert_eq!((anchors.sample, anchors.agree), (Sample::Some(DEFAULT_SAMPLE), None));
        assert_eq!(anchors.profile, ChainProfile::built_in(ChainId(143)).unwrap());
    }

    #[test]
    fn what_the_chains_profile_excepts_is_excepted_at_each_level() {
        assert_eq!(read(r#"{"chain_id":5,"chain":"five"}"#).commitments, Commitments::ALL);
        let excepting = r#"{"chain_id":5,"name":"five","block_time_ms":300,"finality":{"kind":"tags"},
            "checks":{"receipts_root":100,"sender":"never"}}"#;
        let expected = Commitments { receipts_root: Since::Block(BlockNumber(100)), ..Commitments::ALL };
        for level in ["file", "chain", "anchor"] {
            let job = format!(r#"{{"chain_id":5,"chain":"five","level":"{level}","profile":{excepting}}}"#);
            assert_eq!(read(&job).commitments, expected, "{level}");
            assert!(error(&job.replacen("5", "6", 1)).contains("that of chain 5"), "{level}");
        }
    }

    #[test]
    fn a_sample_is_a_number_of_blocks_or_all() {
        let sampled = |sample: &str| FULL.replace(r#""sample":7"#, &format!(r#""sample":{sample}"#));
        assert_eq!(read(&sampled(r#""all""#)).anchors.unwrap().sample.sampling(TaskId(1)), Sampling::Every);
        for wrong in ["0", "-1", "1.5", r#""some""#] {
            assert!(error(&sampled(wrong)).contains("sample must be"), "{wrong}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert!(error(&FULL.replace("anchor", "chain")).contains("sample is of use at level anchor only"));
        let unknown = FULL.replace("31337", "5").replace(r#","finality":{"kind":"tags"}"#, "");
        assert!(error(&unknown).contains("needs `finality`"));
        let monad = r#""profile":{"chain_id":143,"name":"monad","block_time_ms":300,"finality":{"kind":"tags"}}"#;
        assert!(error(&FULL.replace(r#""finality":{"kind":"tags"}"#, monad)).contains("that of chain 143"));
        assert!(error(&FULL.replace(r#""blocks","logs""#, "")).contains("datasets is empty"));
        assert!(error(&FULL.replace(r#""blocks","logs""#, r#""logs","logs""#)).contains("names logs twice"));
    }
}
