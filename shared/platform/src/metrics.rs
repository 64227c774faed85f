//! Metrics as lines of CloudWatch's embedded metric format: a JSON line on standard error that CloudWatch Logs turns
//! into a metric, and that `isotherm status` reads on one machine.
//!
//! **Source**: Amazon CloudWatch User Guide, "Specification: Embedded metric format".

use std::io::Write;

use chrono::{DateTime, Utc};
use isotherm_types::{Clock, SystemClock};
use serde_json::{Map, Value, json};

/// Namespace of all metrics of the platform.
pub const NAMESPACE: &str = "Isotherm";

/// A metric of the platform: its name and its unit, defined once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name in CloudWatch.
    pub name: &'static str,
    /// Unit in CloudWatch.
    pub unit: Unit,
}

/// Units of CloudWatch that are in use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `Seconds`.
    Seconds,
    /// `Milliseconds`.
    Milliseconds,
    /// `Bytes`.
    Bytes,
    /// `Count`.
    Count,
}

impl Unit {
    /// CloudWatch's word for it. Source: `MetricDatum.Unit`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "Seconds",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
            Self::Count => "Count",
        }
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $unit:ident;)*) => {$(
        $(#[$doc])*
        pub const $constant: Metric = Metric { name: $name, unit: Unit::$unit };
    )*};
}

metrics! {
    /// Age of the newest stored block when it was stored.
    INGEST_LAG_SECONDS = "ingest_lag_seconds", Seconds;
    /// From the block's time to the delivery of its alert.
    ALERT_DELIVERY_LAG_SECONDS = "alert_delivery_lag_seconds", Seconds;
    /// 1 for a task that completed, 0 for one that failed; the average is the rate.
    TASK_SUCCESS_RATE = "task_success_rate", Count;
    /// How long one attempt at a task ran.
    TASK_DURATION_SECONDS = "task_duration_seconds", Seconds;
    /// Attempts that ended in a retry.
    TASK_RETRIES_TOTAL = "task_retries_total", Count;
    /// Ticks of a cron trigger that were found out too late to be made up for.
    TICKS_MISSED_TOTAL = "ticks_missed_total", Count;
    /// Messages in a dead-letter queue.
    DLQ_DEPTH = "dlq_depth", Count;
    /// Messages waiting in a queue.
    QUEUE_DEPTH = "queue_depth", Count;
    /// Age of the oldest message in a queue.
    QUEUE_AGE_SECONDS = "queue_age_seconds", Seconds;
    /// Events in the outbox that no queue has been told of.
    OUTBOX_PENDING = "outbox_pending", Count;
    /// Calls made to the chain's nodes.
    RPC_REQUESTS_TOTAL = "rpc_requests_total", Count;
    /// What is known to be wrong with cold storage after a check of it.
    INTEGRITY_FINDINGS = "integrity_findings", Count;
    /// Bytes written to cold storage.
    BYTES_WRITTEN = "bytes_written", Bytes;
    /// How long a query took.
    QUERY_DURATION_MS = "query_duration_ms", Milliseconds;
    /// Requests made to S3.
    S3_REQUESTS_TOTAL = "s3_requests_total", Count;
}

/// Writes `value` of `metric`, told apart by `dimensions`, with the present time.
///
/// A metric that cannot be written is lost; nothing fails for it.
pub fn emit(metric: Metric, value: f64, dimensions: &[(&str, &str)]) {
    let line = embedded_line(metric, value, dimensions, SystemClock.now());
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The line, without its line feed.
///
/// A dimension called like the metric is left out, for both would be the same member of the object.
pub fn embedded_line(metric: Metric, value: f64, dimensions: &[(&str, &str)], at: DateTime<Utc>) -> String {
    let dimensions: Vec<_> = dimensions.iter().filter(|(name, _)| *name != metric.name && *name != "_aws").collect();
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut members = Map::new();
    members.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": at.timestamp_millis(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [names],
                "Metrics": [{"Name": metric.name, "Unit": metric.unit.as_str()}],
            }],
        }),
    );
    for (name, text) in dimensions {
        members.insert((*name).to_owned(), Value::from(*text));
    }
    members.insert(metric.name.to_owned(), Value::from(value));
    Value::Object(members).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_every_part_that_the_specification_demands() {
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let line = embedded_line(INGEST_LAG_SECONDS, 1.5, &[("chain", "demo")], at);
        assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "_aws": {
                "Timestamp": 1_700_000_000_123_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "Isotherm",
                    "Dimensions": [["chain"]],
                    "Metrics": [{"Name": "ingest_lag_seconds", "Unit": "Seconds"}],
                }],
            },
            "chain": "demo",
            "ingest_lag_seconds": 1.5,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_metric_without_dimensions_has_one_empty_set() {
        let line = embedded_line(DLQ_DEPTH, 0.0, &[], DateTime::UNIX_EPOCH);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
        assert_eq!(line["dlq_depth"], json!(0.0));
    }
}
