//! Where log lines and metrics are seen: files on one machine, CloudWatch on AWS, there by the AWS command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use isotherm_platform::metrics::{NAMESPACE, TASK_SUCCESS_RATE};
use serde_json::Value;
use tokio::time::Instant;

use crate::deploy::programs;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// The operator whose tasks are made.
const OPERATOR: &str = "noop";
/// What the task says when it has looked around.
const LOOKED: &str = "looked around";
/// Over which CloudWatch adds values up.
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Where to look.
pub(super) enum Evidence {
    /// Logs of workers, a file each, metrics among their lines.
    Files { folder: PathBuf },
    /// Log groups and metrics of an account.
    CloudWatch { root: PathBuf, region: String },
}

impl Evidence {
    /// Waits until the line that the task has written is where people would look for it.
    pub(super) async fn line(&self, nonce: &str, since: DateTime<Utc>, patience: Duration) -> anyhow::Result<String> {
        let has_both = |line: &str| line.contains(nonce) && line.contains(LOOKED);
        self.wait(patience, "no line of the task is there", async || match self {
            Self::Files { folder } => file_where(folder, |text| text.lines().any(has_both)),
            Self::CloudWatch { root, region } => {
                let lines = logged(region, root, since, &format!("\"{nonce}\" \"{LOOKED}\"")).await?;
                Ok(lines.iter().any(|line| has_both(line)).then(log_group))
            }
        })
        .await
    }

    /// Waits until the metric that every task makes is there of this task: its line among the logs, and on AWS the value that
    /// CloudWatch makes of it.
    pub(super) async fn metric(&self, task: i64, since: DateTime<Utc>, patience: Duration) -> anyhow::Result<String> {
        let name = TASK_SUCCESS_RATE.name;
        self.wait(patience, &format!("no value of {name} of task {task} is there"), async || match self {
            Self::Files { folder } => {
                let file = file_where(folder, |text| Minute::of(text.lines(), task).is_some())?;
                Ok(file.map(|_| format!("{name} of task {task}")))
            }
            Self::CloudWatch { root, region } => {
                // Of the whole minute, so that no value of another task is taken for this one's.
                let lines = logged(region, root, since - MINUTE, &format!("\"{name}\"")).await?;
                let Some(minute) = Minute::of(lines.iter().map(String::as_str), task) else { return Ok(None) };
                let counted = counted(region, root, minute.begin).await?;
                Ok((counted >= f64::from(minute.values)).then(|| format!("{NAMESPACE} {name} of task {task}")))
            }
        })
        .await
    }

    async fn wait(
        &self,
        patience: Duration,
        absent: &str,
        mut look: impl AsyncFnMut() -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<String> {
        let until = Instant::now() + patience;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if Instant::now() >= until {
                bail!("{absent} after {} s", patience.as_secs());
            }
            tokio::time::sleep(LOOK.min(patience)).await;
        }
    }
}

/// A minute of the metric, as the logs have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Minute {
    begin: DateTime<Utc>,
    /// Values of all tasks of the operator.
    values: u32,
}

impl Minute {
    /// The minute in which `task` has said that it succeeded; `None` if it has not. CloudWatch tells tasks apart no more: it has
    /// this task's value if it has as many as there are lines.
    fn of<'l>(lines: impl Iterator<Item = &'l str>, task: i64) -> Option<Self> {
        let values: Vec<Measured> = lines.filter_map(Measured::of).collect();
        let own = values.iter().find(|one| one.task == Some(task) && one.succeeded)?;
        let values = values.iter().filter(|one| one.begin == own.begin).count();
        Some(Self { begin: own.begin, values: u32::try_from(values).unwrap_or(u32::MAX) })
    }
}

/// One line of the metric.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Of its minute.
    begin: DateTime<Utc>,
    task: Option<i64>,
    succeeded: bool,
}

impl Measured {
    fn of(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let value = line[TASK_SUCCESS_RATE.name].as_f64()?;
        let at = DateTime::from_timestamp_millis(line["_aws"]["Timestamp"].as_i64()?)?;
        let begin = at.duration_trunc(MINUTE).ok()?;
        Some(Self { begin, task: line["task.id"].as_i64(), succeeded: value > 0.0 })
    }
}

fn log_group() -> String {
    format!("/isotherm/operators/isotherm-{OPERATOR}")
}

/// Lines of the operator's log group that `filter` lets through.
async fn logged(region: &str, root: &Path, since: DateTime<Utc>, filter: &str) -> anyhow::Result<Vec<String>> {
    let (group, start) = (log_group(), since.timestamp_millis().to_string());
    let words = [
        "aws",
        "logs",
        "filter-log-events",
        "--region",
        region,
        "--output",
        "json",
        "--log-group-name",
        &group,
        "--start-time",
        &start,
        "--filter-pattern",
        filter,
    ];
    let found = asked(&words, root).await?;
    let events = found["events"].as_array().context("the AWS command line prints no events")?;
    Ok(events.iter().filter_map(|event| event["message"].as_str()).map(str::to_owned).collect())
}

/// How many values of the operator CloudWatch has of the minute from `begin` on.
async fn counted(region: &str, root: &Path, begin: DateTime<Utc>) -> anyhow::Result<f64> {
    let (start, end) = (begin.to_rfc3339(), (begin + MINUTE).to_rfc3339());
    let dimension = format!("Name=operator,Value={OPERATOR}");
    let words = [
        "aws",
        "cloudwatch",
        "get-metric-statistics",
        "--region",
        region,
        "--output",
        "json",
        "--namespace",
        NAMESPACE,
        "--metric-name",
        TASK_SUCCESS_RATE.name,
        "--dimensions",
        &dimension,
        "--start-time",
        &start,
        "--end-time",
        &end,
        "--period",
        "60",
        "--statistics",
        "SampleCount",
    ];
    Ok(samples(&asked(&words, root).await?))
}

/// The samples of all points that CloudWatch gives.
fn samples(statistics: &Value) -> f64 {
    let points = statistics["Datapoints"].as_array().into_iter().flatten();
    points.filter_map(|point| point["SampleCount"].as_f64()).sum()
}

async fn asked(words: &[&str], root: &Path) -> anyhow::Result<Value> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let printed = programs::output(&words, root).await?;
    serde_json::from_slice(&printed).context("the AWS command line prints no JSON")
}

/// The log of a worker of whose text `wanted` holds; a worker that ended late writes on.
fn file_where(folder: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Option<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("could not read {}", folder.display()))?.path();
        let is_operators =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(OPERATOR));
        if !is_operators {
            continue;
        }
        let text = std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        if wanted(&String::from_utf8_lossy(&text)) {
            return Ok(Some(path.display().to_string()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use isotherm_platform::metrics::embedded_line;
    use serde_json::json;

    use super::*;

    /// The line of a task's end at second `at`.
    fn line(task: i64, success: f64, at: i64) -> String {
        let at = DateTime::from_timestamp(at, 0).unwrap();
        embedded_line(TASK_SUCCESS_RATE, success, &[("operator", "noop")], &[("task.id", json!(task))], at)
    }

    #[tokio::test]
    async fn a_line_or_a_metric_that_is_not_there_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::Files { folder: folder.path().to_path_buf() };
        let (since, patience) = (DateTime::UNIX_EPOCH, Duration::from_millis(1));
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("noop-1.log", "{\"smoke.nonce\":\"ab\",\"message\":\"looked around\"}\ncd\n");
        write("other-1.log", &format!("cd looked around\n{}\n", line(7, 1.0, 0)));
        assert!(evidence.line("ab", since, patience).await.unwrap().ends_with("noop-1.log"));
        let error = evidence.line("cd", since, patience).await.unwrap_err().to_string();
        assert!(error.starts_with("no line of the task is there"), "{error}");

        let error = evidence.metric(7, since, patience).await.unwrap_err().to_string();
        assert!(error.starts_with("no value of task_success_rate of task 7 is there"), "{error}");
        write("noop-1.log", &format!("ab\n{}\n{}\n", line(8, 1.0, 0), line(7, 0.0, 0)));
        assert!(evidence.metric(7, since, patience).await.is_err(), "another task's, and a failure's");
        write("noop-1.log", &format!("ab\n{}\n{}\n", line(8, 1.0, 0), line(7, 1.0, 0)));
        assert_eq!(evidence.metric(7, since, patience).await.unwrap(), "task_success_rate of task 7");
    }

    #[test]
    fn another_tasks_value_is_not_taken_for_this_ones() {
        let lines =
            [line(8, 1.0, 119), line(7, 1.0, 120), line(8, 0.0, 179), line(9, 1.0, 180), "no metric".to_owned()];
        let of = |task| Minute::of(lines.iter().map(String::as_str), task);
        let begin = DateTime::from_timestamp(120, 0).unwrap();
        assert_eq!(of(7), Some(Minute { begin, values: 2 }), "so one value in CloudWatch may be the other's");
        assert_eq!(of(6), None);
        assert!(samples(&json!({ "Datapoints": [] })) < 1.0);
        assert!(samples(&json!({ "Datapoints": [{ "SampleCount": 2.0, "Unit": "Count" }] })) >= 2.0);
    }
}
