//! Metrics as lines of CloudWatch's embedded metric format: a JSON line on standard error that CloudWatch Logs turns
//! into a metric, and that `isotherm status` reads on one machine.
//!
//! [`CATALOGUE`] has all of them; tests keep it, the table of `docs/operations.md` and what Terraform watches equal. A line names no
//! secret: of an address no more than its host.
//!
//! **Source**: Amazon CloudWatch User Guide, "Specification: Embedded metric format".

mod growth;
mod recorded;

use chrono::{DateTime, Utc};
use isotherm_types::{Clock, SystemClock};
use serde_json::{Map, Value, json};

pub use growth::{Counts, Growth, Telling};
pub use recorded::recorded;

/// Namespace of all metrics of the platform.
pub const NAMESPACE: &str = "Isotherm";

/// A metric of the platform, defined once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name in CloudWatch.
    pub name: &'static str,
    /// Unit in CloudWatch.
    pub unit: Unit,
    /// What its values are told apart by.
    pub dimensions: &'static [&'static str],
    /// When a value is written, and what it is; as in `docs/operations.md`.
    pub meaning: &'static str,
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
    ($($(#[doc = $doc:literal])+ $constant:ident = $name:literal, $unit:ident, [$($dimension:literal),*];)*) => {
        $(
            $(#[doc = $doc])+
            pub const $constant: Metric = Metric {
                name: $name,
                unit: Unit::$unit,
                dimensions: &[$($dimension),*],
                meaning: concat!($($doc),+),
            };
        )*

        /// Every metric of the platform.
        pub const CATALOGUE: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    /// the newest block was stored, or a look showed nothing new, at most every 10 s: the newest block's age, in whole seconds
    INGEST_LAG_SECONDS = "ingest_lag_seconds", Seconds, ["chain"];
    /// requests to the chain's endpoints ended, told once a minute and at the end; a batch is one. Outcomes: `answered`, `limited`,
    /// `unreachable`, `failed`
    RPC_REQUESTS_TOTAL = "rpc_requests_total", Count, ["chain", "endpoint", "outcome"];
    /// bytes were committed: to `cold` storage with each file, to `hot` storage, as COPY sends them, told once a minute
    BYTES_WRITTEN = "bytes_written", Bytes, ["chain", "store"];
    /// requests to S3 ended, told once a minute and at the end of a task or invocation; each try is one. Outcomes: `ok`, `refused`
    /// (4xx), `failed`. What a query reads is among them: its sandbox reads through the function or operator
    S3_REQUESTS_TOTAL = "s3_requests_total", Count, ["operation", "outcome"];
    /// a check of cold storage ended: findings that are open then
    INTEGRITY_FINDINGS = "integrity_findings", Count, ["chain"];
    /// a query ended, the wait for its place included. Modes: `interactive`, `batch`; outcomes: `completed`, `failed`, `cancelled`
    QUERY_DURATION_MS = "query_duration_ms", Milliseconds, ["mode", "outcome"];
    /// messages about new alerts were accepted: the time since the block's, of the slowest of a batch
    ALERT_DELIVERY_LAG_SECONDS = "alert_delivery_lag_seconds", Seconds, [];
    /// an attempt ended: 1 or 0; the average is the rate
    TASK_SUCCESS_RATE = "task_success_rate", Count, ["operator"];
    /// an attempt ended
    TASK_DURATION_SECONDS = "task_duration_seconds", Seconds, ["operator"];
    /// a failed attempt is tried again
    TASK_RETRIES_TOTAL = "task_retries_total", Count, ["operator"];
    /// a sweep found ticks of a cron trigger that were too old to be made up for
    TICKS_MISSED_TOTAL = "ticks_missed_total", Count, ["trigger"];
    /// each minute, by the dispatcher's sweep: messages that the queue holds, hidden ones included
    QUEUE_DEPTH = "queue_depth", Count, ["queue"];
    /// a function received messages: the age of the oldest; of the queues that wake workers each minute, by the dispatcher's sweep: for
    /// how long the task that waits longest has been due, 0 if none waits
    QUEUE_AGE_SECONDS = "queue_age_seconds", Seconds, ["queue"];
    /// each minute, by the dispatcher's sweep: messages that nobody could handle, and in `dead_letters` tasks that failed for good
    DLQ_DEPTH = "dlq_depth", Count, ["queue"];
    /// each minute, by the dispatcher's sweep, after it has published: events of which a queue has not been told
    OUTBOX_PENDING = "outbox_pending", Count, [];
}

/// Writes `value` of `metric`, told apart by `dimensions`, which are those of the catalogue, with the present time.
///
/// A metric that cannot be written is lost; nothing fails for it.
pub fn emit(metric: Metric, value: f64, dimensions: &[(&str, &str)]) {
    emit_about(metric, value, dimensions, &[]);
}

/// As [`emit`], with members that say what the value is about. They are in the line alone: CloudWatch tells no values apart by
/// them, so that they may be as many as there are tasks.
pub fn emit_about(metric: Metric, value: f64, dimensions: &[(&str, &str)], about: &[(&str, Value)]) {
    debug_assert!(
        dimensions.iter().map(|(name, _)| *name).eq(metric.dimensions.iter().copied()),
        "{} is told apart by other dimensions than the catalogue says",
        metric.name
    );
    recorded::write(&embedded_line(metric, value, dimensions, about, SystemClock.now()));
}

/// The line, without its line feed.
///
/// A dimension called like the metric is left out, for both would be the same member of the object; of what it is `about`, a member
/// that is called like another one.
pub fn embedded_line(
    metric: Metric,
    value: f64,
    dimensions: &[(&str, &str)],
    about: &[(&str, Value)],
    at: DateTime<Utc>,
) -> String {
    let dimensions: Vec<_> = dimensions.iter().filter(|(name, _)| *name != metric.name && *name != "_aws").collect();
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut members: Map<String, Value> =
        about.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
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
        let line = embedded_line(INGEST_LAG_SECONDS, 1.5, &[("chain", "demo")], &[], at);
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
        let line = embedded_line(OUTBOX_PENDING, 0.0, &[], &[], DateTime::UNIX_EPOCH);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
        assert_eq!(line["outbox_pending"], json!(0.0));
    }

    #[test]
    fn what_a_value_is_about_tells_no_values_apart() {
        let about = [("task.id", json!(7)), ("operator", json!("other")), ("task_success_rate", json!(0))];
        let line = embedded_line(TASK_SUCCESS_RATE, 1.0, &[("operator", "noop")], &about, DateTime::UNIX_EPOCH);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["operator"]]));
        let members = (&line["task.id"], &line["operator"], &line["task_success_rate"]);
        assert_eq!(members, (&json!(7), &json!("noop"), &json!(1.0)));
    }

    /// The table of `docs/operations.md`, a row a metric.
    fn rows(document: &str) -> Vec<String> {
        let begin = document.find("<!-- metrics -->").expect("the table has a beginning");
        let end = document.find("<!-- end of metrics -->").expect("the table has an end");
        document[begin..end].lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect()
    }

    fn row(metric: &Metric) -> String {
        let dimensions: Vec<String> = metric.dimensions.iter().map(|name| format!("`{name}`")).collect();
        format!(
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.unit.as_str(),
            dimensions.join(", "),
            metric.meaning.trim()
        )
    }

    #[test]
    fn the_manual_has_every_metric_as_the_catalogue_has_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let written = rows(&std::fs::read_to_string(path).unwrap());
        assert_eq!(written, CATALOGUE.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn no_two_metrics_share_a_name() {
        let mut names: Vec<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CATALOGUE.len());
    }

    #[tokio::test]
    async fn what_is_recorded_is_what_was_emitted() {
        let ((), lines) = recorded(async { emit(TASK_RETRIES_TOTAL, 1.0, &[("operator", "noop")]) }).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((&lines[0]["operator"], &lines[0]["task_retries_total"]), (&json!("noop"), &json!(1.0)));
    }
}
