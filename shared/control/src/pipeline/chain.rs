//! The pipeline of one chain, built in code: follow it, compact what is final, backfill what is asked for, check once a day
//! what is cold, and beat once a minute.
//!
//! `docs/examples/demo-pipeline.yaml` is the same as a file; a test compares the two.

use std::collections::BTreeMap;

use isotherm_types::{ChainId, Dataset};
use serde_json::{Value, json};

use super::{JobDefinition, PIPELINE_VERSION, Pipeline, TriggerDefinition, defaults};
use crate::jobs::{DatasetName, Strategy};
use crate::triggers::{CronConfig, Measure, ThresholdConfig};

/// What differs from chain to chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSettings {
    /// The chain.
    pub chain_id: ChainId,
    /// Its name: a part of job names, of object keys and of the secret's name.
    pub chain: String,
    /// Where to begin if nothing is stored.
    pub start: StartBlock,
    /// How often the node is asked for its head.
    pub poll_interval_ms: u64,
    /// Blocks of one hot partition and of one cold file.
    pub partition_blocks: u64,
    /// Deepest reorg that is followed without a person.
    pub max_reorg_depth: u64,
    /// What counts as final.
    pub finality: Finality,
    /// Most bytes of rows that are collected before they are written.
    pub batch_bytes: u64,
    /// What else is peculiar to the chain, an entry of a chains file as JSON; the one that is built in if absent.
    pub profile: Option<Value>,
}

/// Where a follower begins if nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartBlock {
    /// At the chain's head.
    Latest,
    /// At this number.
    Number(u64),
    /// Only where it left off.
    Stored,
}

/// What counts as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The node's `finalized` tag.
    Tags,
    /// So many blocks below the head.
    Depth {
        /// How many.
        blocks: u64,
    },
}

impl ChainSettings {
    /// Settings for a chain of this id and name that suit a chain with blocks under a second.
    pub fn new(chain_id: ChainId, chain: impl Into<String>) -> Self {
        Self {
            chain_id,
            chain: chain.into(),
            start: StartBlock::Latest,
            poll_interval_ms: 100,
            partition_blocks: 100,
            max_reorg_depth: 64,
            finality: Finality::Tags,
            batch_bytes: 8 * 1024 * 1024,
            profile: None,
        }
    }

    /// Name of the secret that holds the chain's endpoint addresses.
    pub fn rpc_secret(&self) -> String {
        format!("isotherm/rpc/{}", self.chain)
    }

    fn follower_config(&self) -> Value {
        let start = match self.start {
            StartBlock::Latest => json!("latest"),
            StartBlock::Number(number) => json!(number),
            StartBlock::Stored => json!("stored"),
        };
        self.with_profile(json!({
            "chain_id": self.chain_id,
            "chain": self.chain,
            "start": start,
            "poll_interval_ms": self.poll_interval_ms,
            "partition_blocks": self.partition_blocks,
            "max_reorg_depth": self.max_reorg_depth,
            "finality": self.finality(),
            "batch_bytes": self.batch_bytes,
        }))
    }

    fn backfill_config(&self) -> Value {
        self.with_profile(json!({
            "chain_id": self.chain_id,
            "chain": self.chain,
            "datasets": FOLLOWED,
            "partition_blocks": self.partition_blocks,
            "finality": self.finality(),
            "batch_bytes": self.batch_bytes,
        }))
    }

    fn finality(&self) -> Value {
        match self.finality {
            Finality::Tags => json!({ "kind": "tags" }),
            Finality::Depth { blocks } => json!({ "kind": "depth", "blocks": blocks }),
        }
    }

    fn with_profile(&self, mut config: Value) -> Value {
        if let Some(profile) = &self.profile {
            config["profile"] = profile.clone();
        }
        config
    }
}

/// Name of the secret that holds the database's address.
const DATABASE_SECRET: &str = "isotherm/database";

/// Datasets that the follower writes, compaction moves and a backfill fetches.
const FOLLOWED: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];

/// The pipeline of one chain.
pub fn for_chain(settings: &ChainSettings) -> Pipeline {
    let chain = &settings.chain;
    let database = ("DATABASE_URL".to_owned(), DATABASE_SECRET.to_owned());
    let follow = JobDefinition {
        always_on: true,
        config: settings.follower_config(),
        secrets: BTreeMap::from([database.clone(), ("RPC_URLS".to_owned(), settings.rpc_secret())]),
        heartbeat_timeout_seconds: 10.0,
        // Longer than an outage of its endpoint, during which it says nothing and then gives the attempt up itself (60 s).
        stall_timeout_seconds: Some(90.0),
        ..job(format!("follow-{chain}"), "block_follower")
    };
    let followed = FOLLOWED.map(|dataset| DatasetName { chain_id: Some(settings.chain_id), dataset }).to_vec();
    let compact = JobDefinition {
        strategy: Strategy::PerPartition,
        config: json!({ "chain_id": settings.chain_id, "chain": chain, "datasets": FOLLOWED }),
        secrets: BTreeMap::from([database.clone()]),
        output_datasets: followed.clone(),
        max_attempts: 5,
        // A busy chain's partition takes a quarter of it: 37.5 million transactions (Monad's most, 3,750 a block) of 19 µs, and
        // S3 besides.
        run_timeout_seconds: Some(3_600.0),
        ..job(format!("compact-{chain}"), "parquet_compact")
    };
    let backfill = JobDefinition {
        strategy: Strategy::PerPartition,
        config: settings.backfill_config(),
        secrets: BTreeMap::from([database.clone(), ("RPC_URLS".to_owned(), settings.rpc_secret())]),
        output_datasets: followed,
        max_attempts: 5,
        max_concurrency: 2,
        // As the follower's: an outage of the endpoint is waited for.
        stall_timeout_seconds: Some(90.0),
        ..job(format!("backfill-{chain}"), "cryo_ingest")
    };
    let check = JobDefinition {
        // What the chain's profile excepts is excepted here too.
        config: settings.with_profile(json!({ "chain_id": settings.chain_id, "chain": chain })),
        secrets: BTreeMap::from([database]),
        ..job(format!("check-{chain}"), "integrity_check")
    };
    let heartbeat = JobDefinition {
        config: json!({ "steps": 3, "step_ms": 100 }),
        run_timeout_seconds: Some(60.0),
        ..job("heartbeat".to_owned(), "noop")
    };
    let threshold = ThresholdConfig {
        chain_id: settings.chain_id,
        measure: Measure::FinalizedBlocks,
        dataset: None,
        every: settings.partition_blocks,
    };
    let triggers = vec![
        TriggerDefinition {
            name: "compact-when-final".to_owned(),
            job: compact.name.clone(),
            cron: None,
            webhook: None,
            threshold: Some(threshold),
            input: defaults::object(),
        },
        TriggerDefinition {
            name: "check-every-day".to_owned(),
            job: check.name.clone(),
            cron: Some(CronConfig::every("rate(1 day)")),
            webhook: None,
            threshold: None,
            input: defaults::object(),
        },
        TriggerDefinition {
            name: "heartbeat-every-minute".to_owned(),
            job: heartbeat.name.clone(),
            cron: Some(CronConfig::every("rate(1 minute)")),
            webhook: None,
            threshold: None,
            input: defaults::object(),
        },
    ];
    Pipeline { version: PIPELINE_VERSION, jobs: vec![follow, compact, backfill, check, heartbeat], triggers }
}

/// A job with everything that a file need not say.
fn job(name: String, operator: &str) -> JobDefinition {
    JobDefinition {
        name,
        operator: operator.to_owned(),
        runtime: defaults::runtime(),
        strategy: defaults::strategy(),
        always_on: false,
        config: defaults::object(),
        secrets: BTreeMap::new(),
        input_datasets: Vec::new(),
        output_datasets: Vec::new(),
        max_attempts: defaults::max_attempts(),
        max_concurrency: defaults::max_concurrency(),
        heartbeat_timeout_seconds: defaults::heartbeat_timeout_seconds(),
        run_timeout_seconds: None,
        stall_timeout_seconds: None,
        priority: 0,
        partition_blocks: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::parse;

    #[test]
    fn the_example_file_is_the_pipeline_of_the_demo_chain() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/demo-pipeline.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let read = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let built = for_chain(&ChainSettings::new(ChainId(31_337), "demo"));
        assert_eq!(read, built, "built, as a file:\n{}", serde_yaml_ng::to_string(&built).unwrap());
    }

    #[test]
    fn the_pipeline_of_any_chain_passes_its_own_checks() {
        let mut settings = ChainSettings::new(ChainId(143), "monad-mainnet");
        settings.start = StartBlock::Number(0);
        settings.finality = Finality::Depth { blocks: 64 };
        settings.profile = Some(json!({ "chain_id": 143, "checks": { "sender": "never" } }));
        let text = serde_yaml_ng::to_string(&for_chain(&settings)).unwrap();
        let read = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read, for_chain(&settings));
        for operator in ["block_follower", "cryo_ingest", "integrity_check"] {
            let job = read.jobs.iter().find(|job| job.operator == operator).unwrap();
            assert_eq!(job.config["profile"]["checks"]["sender"], "never", "{operator}");
        }
    }
}
