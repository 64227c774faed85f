//! Jobs and triggers as a YAML file, and putting them into effect.
//!
//! [`parse`] reads and checks a file, and reports each fault with its line and column; [`for_chain`] builds the file's
//! value for one chain in code; [`plan()`] says what differs from what is stored; [`apply()`] makes the tables agree.
//! Nothing is applied of a file that has a fault.
//!
//! Reading goes text → `tree` with places → checked against the tables of `shape`, against itself (`check`) and by
//! those who know an operator's settings (`judge`) → the structs below, by serde. `docs/pipeline.md` explains the file,
//! `docs/pipeline.schema.json` is for editors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::jobs::{DatasetName, Runtime, Strategy};
use crate::triggers::{CronConfig, ThresholdConfig, TriggerConfig, WebhookConfig};

mod apply;
mod chain;
mod check;
mod cycle;
mod fit;
mod judge;
mod plan;
mod read;
mod schema;
mod shape;
mod stored;
pub mod tree;

pub use apply::{Applied, AppliedJob, AppliedTrigger, apply, hold_schedules};
pub use chain::{ChainSettings, Finality, StartBlock, for_chain};
pub use judge::{ConfigFault, ConfigJudge};
pub use plan::{ChangeKind, FieldChange, Plan, PlannedJob, PlannedTrigger, plan};
pub use read::{Fault, MAX_FILE_BYTES, PipelineError, parse, parse_bytes, parse_judged};
pub use schema::json_schema;
pub use stored::{Stored, StoredJob, StoredTrigger, stored};

/// Format of the file.
pub const PIPELINE_VERSION: u32 = 1;

/// What a pipeline file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// [`PIPELINE_VERSION`].
    pub version: u32,
    /// Definitions of work.
    pub jobs: Vec<JobDefinition>,
    /// Causes of tasks.
    #[serde(default)]
    pub triggers: Vec<TriggerDefinition>,
}

/// A definition of work, as the file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobDefinition {
    /// Unique among the jobs.
    pub name: String,
    /// The program that does the work.
    pub operator: String,
    /// Where it runs; `fargate` if absent.
    #[serde(default = "defaults::runtime")]
    pub runtime: Runtime,
    /// How events become tasks; `per_update` if absent.
    #[serde(default = "defaults::strategy")]
    pub strategy: Strategy,
    /// Whether exactly one task of it is to be alive at all times.
    #[serde(default)]
    pub always_on: bool,
    /// Settings for the operator.
    #[serde(default = "defaults::object")]
    pub config: Value,
    /// Environment variable of the operator → name of the secret that fills it.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Datasets whose events make tasks.
    #[serde(default)]
    pub input_datasets: Vec<DatasetName>,
    /// Datasets that it writes.
    #[serde(default)]
    pub output_datasets: Vec<DatasetName>,
    /// Tries before a task fails; 3 if absent. Not counted for a source.
    #[serde(default = "defaults::max_attempts")]
    pub max_attempts: u32,
    /// Tasks that may run at one time; 1 if absent.
    #[serde(default = "defaults::max_concurrency")]
    pub max_concurrency: u32,
    /// A worker that says nothing for so long is lost; 30 if absent.
    #[serde(default = "defaults::heartbeat_timeout_seconds")]
    pub heartbeat_timeout_seconds: f64,
    /// Longest run of one attempt; unlimited if absent.
    #[serde(default)]
    pub run_timeout_seconds: Option<f64>,
    /// An attempt whose progress stands still for so long is ended; progress is not watched if absent.
    #[serde(default)]
    pub stall_timeout_seconds: Option<f64>,
    /// From -1000 to 1000: among due tasks the higher goes first; 0 if absent.
    #[serde(default)]
    pub priority: i32,
    /// `per_partition` only: events are split at multiples of so many blocks; taken as they are if absent.
    #[serde(default)]
    pub partition_blocks: Option<u64>,
}

/// A cause of tasks, as the file has it: exactly one of `cron`, `webhook` and `threshold`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerDefinition {
    /// Unique among the triggers.
    pub name: String,
    /// Name of the job that it fires.
    pub job: String,
    /// Fires at the ticks of a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<CronConfig>,
    /// Fires when somebody calls its path with a valid signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookConfig>,
    /// Fires when a chain has got so much further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdConfig>,
    /// Given to every task.
    #[serde(default = "defaults::object")]
    pub input: Value,
}

impl TriggerDefinition {
    /// When it fires; `None` unless exactly one kind is given.
    pub fn config(&self) -> Option<TriggerConfig> {
        match (&self.cron, &self.webhook, &self.threshold) {
            (Some(cron), None, None) => Some(TriggerConfig::Cron(cron.clone())),
            (None, Some(webhook), None) => Some(TriggerConfig::Webhook(webhook.clone())),
            (None, None, Some(threshold)) => Some(TriggerConfig::Threshold(threshold.clone())),
            _ => None,
        }
    }
}

/// What a file need not say.
mod defaults {
    use super::{Runtime, Strategy, Value};

    pub(super) fn runtime() -> Runtime {
        Runtime::Fargate
    }
    pub(super) fn strategy() -> Strategy {
        Strategy::PerUpdate
    }
    pub(super) fn object() -> Value {
        Value::Object(serde_json::Map::new())
    }
    pub(super) fn max_attempts() -> u32 {
        3
    }
    pub(super) fn max_concurrency() -> u32 {
        1
    }
    pub(super) fn heartbeat_timeout_seconds() -> f64 {
        30.0
    }
}

/// SHA-256 of a definition as JSON with sorted keys: the same for the same meaning, however the file was laid out.
pub(crate) fn config_hash(definition: &Value) -> [u8; 32] {
    let mut text = String::new();
    write_sorted(definition, &mut text);
    Sha256::digest(text).into()
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            text.push('{');
            for (name, field) in sorted {
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write_sorted(field, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_does_not_depend_on_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"b":[1,{"y":2,"x":1}],"a":"t"}"#).unwrap();
        let same: Value = serde_json::from_str(r#"{"a":"t","b":[1,{"x":1,"y":2}]}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":"t","b":[{"x":1,"y":2},1]}"#).unwrap();
        assert_eq!(config_hash(&one), config_hash(&same));
        assert_ne!(config_hash(&one), config_hash(&other));
    }
}
