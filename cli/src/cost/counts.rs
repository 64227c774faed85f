//! Measured and assumed counts: `counts.yaml`, which says of each where it comes from.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const FILE: &str = include_str!("counts.yaml");

/// A count with its unit and its origin.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Count {
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) from: String,
}

/// The values. Units and origins are in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) logs_per_transaction: f64,
    pub(crate) cold_bytes_per_block: f64,
    pub(crate) cold_bytes_per_transaction: f64,
    pub(crate) cold_bytes_per_log: f64,
    pub(crate) hot_bytes_per_transaction: f64,
    pub(crate) hot_bytes_per_block: f64,
    pub(crate) hot_table_factor: f64,
    pub(crate) rpc_bytes_per_transaction: f64,
    pub(crate) rpc_gzip_of_blocks: f64,
    pub(crate) rpc_gzip_of_headers: f64,
    pub(crate) rpc_headers_per_poll: f64,
    pub(crate) rpc_bytes_per_header: f64,
    pub(crate) rpc_bytes_per_hash: f64,
    pub(crate) follower_cpu_us_per_transaction: f64,
    pub(crate) gunzip_cpu_us_per_transaction: f64,
    pub(crate) postgres_cpu_us_per_transaction: f64,
    pub(crate) postgres_cpu_us_per_block: f64,
    pub(crate) compact_us_per_transaction: f64,
    pub(crate) check_us_per_transaction: f64,
    pub(crate) checks_per_day: f64,
    pub(crate) cpu_part_used: f64,
    pub(crate) disk_part_used: f64,
    pub(crate) task_start_seconds: f64,
    pub(crate) task_idle_seconds: f64,
    pub(crate) deploys_per_month: f64,
    pub(crate) errands_per_deploy: f64,
    pub(crate) errand_seconds: f64,
    pub(crate) datasets: f64,
    pub(crate) puts_per_file: f64,
    pub(crate) gets_per_file: f64,
    pub(crate) queue_wait_seconds: f64,
    pub(crate) queue_pollers: f64,
    pub(crate) short_seconds: f64,
    pub(crate) evaluate_seconds: f64,
    pub(crate) evaluate_us_per_log: f64,
    pub(crate) deliver_seconds: f64,
    pub(crate) alerts_per_rule_per_day: f64,
    pub(crate) query_seconds: f64,
    pub(crate) query_gets: f64,
    pub(crate) batch_part_of_queries: f64,
    pub(crate) batch_seconds: f64,
    pub(crate) batch_result_mb: f64,
    pub(crate) api_calls_per_day: f64,
    pub(crate) webhooks_per_day: f64,
    pub(crate) bytes_per_request: f64,
    pub(crate) log_bytes_per_invocation: f64,
    pub(crate) log_bytes_per_block: f64,
    pub(crate) log_bytes_per_task: f64,
    pub(crate) custom_metrics: f64,
    pub(crate) names_per_second: f64,
    pub(crate) zone_crossing_part: f64,
    pub(crate) artifacts_gb: f64,
    pub(crate) images_gb: f64,
    pub(crate) secrets_by_name: f64,
}

/// All counts by name, for people.
pub(crate) fn listed() -> anyhow::Result<BTreeMap<String, Count>> {
    serde_yaml_ng::from_str(FILE).context("could not read cli/src/cost/counts.yaml")
}

/// Their values.
pub(crate) fn read() -> anyhow::Result<Counts> {
    let values: Map<String, Value> = listed()?.into_iter().map(|(name, count)| (name, json!(count.value))).collect();
    serde_json::from_value(Value::Object(values)).context("could not read cli/src/cost/counts.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_used_and_says_where_it_comes_from() {
        read().unwrap();
        let listed = listed().unwrap();
        assert!(listed.len() > 40, "the file was read");
        for (name, count) in listed {
            let origin = count.from.split([':', ' ']).next().unwrap();
            assert!(["measured", "code", "assumed"].contains(&origin), "{name} is from {:?}", count.from);
            assert!(count.value.is_finite() && count.value > 0.0, "{name}");
        }
    }

    #[test]
    fn what_was_measured_names_a_benchmark_that_is_described() {
        let page = include_str!("../../../docs/benchmarks.md");
        for (name, count) in listed().unwrap().into_iter().filter(|(_, count)| count.from.starts_with("measured")) {
            let named: Vec<&str> = count.from.split("benchmark ").skip(1).collect();
            assert!(!named.is_empty(), "{name} names no benchmark");
            for text in named {
                let benchmark = text.split([',', ' ']).next().unwrap();
                assert!(page.contains(&format!("## Benchmark `{benchmark}`")), "{name} names {benchmark}");
            }
        }
    }
}
