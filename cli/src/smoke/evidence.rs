//! Where log lines and metrics are seen: files on one machine, CloudWatch on AWS, there by the AWS command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use isotherm_platform::metrics::{NAMESPACE, TASK_SUCCESS_RATE};
use isotherm_types::{Clock as _, SystemClock};
use serde_json::Value;
use tokio::time::Instant;

use crate::deploy::programs;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// The operator whose tasks are made.
const OPERATOR: &str = "noop";

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
        self.wait(patience, "no line of the task is there", async || match self {
            Self::Files { folder } => file_with(folder, &[nonce, "looked around"]),
            Self::CloudWatch { root, region } => {
                let group = format!("/isotherm/operators/isotherm-{OPERATOR}");
                let (start, filter) = (since.timestamp_millis().to_string(), format!("\"{nonce}\""));
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
                    &filter,
                ];
                let found = asked(&words, root).await?;
                let is_there = found["events"].as_array().is_some_and(|events| !events.is_empty());
                Ok(is_there.then(|| group.clone()))
            }
        })
        .await
    }

    /// Waits until the metric that every task makes is there, of a task that ended since.
    pub(super) async fn metric(&self, nonce: &str, since: DateTime<Utc>, patience: Duration) -> anyhow::Result<String> {
        let name = TASK_SUCCESS_RATE.name;
        self.wait(patience, &format!("no value of {name} is there"), async || match self {
            Self::Files { folder } => {
                Ok(file_with(folder, &[nonce, &format!("\"{name}\":1")])?.map(|_| name.to_owned()))
            }
            Self::CloudWatch { root, region } => {
                let (start, end) = (since.to_rfc3339(), SystemClock.now().to_rfc3339());
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
                    name,
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
                let found = asked(&words, root).await?;
                let is_there = found["Datapoints"].as_array().is_some_and(|points| !points.is_empty());
                Ok(is_there.then(|| format!("{NAMESPACE} {name}")))
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

async fn asked(words: &[&str], root: &Path) -> anyhow::Result<Value> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let printed = programs::output(&words, root).await?;
    serde_json::from_slice(&printed).context("the AWS command line prints no JSON")
}

/// The log of the worker that has all of `texts` in it; a worker that ended late writes on.
fn file_with(folder: &Path, texts: &[&str]) -> anyhow::Result<Option<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("could not read {}", folder.display()))?.path();
        let is_operators =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(OPERATOR));
        if !is_operators {
            continue;
        }
        let text = std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        if texts.iter().all(|wanted| text.contains(wanted)) {
            return Ok(Some(path.display().to_string()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_or_a_metric_that_is_not_there_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::Files { folder: folder.path().to_path_buf() };
        let (since, patience) = (DateTime::UNIX_EPOCH, Duration::from_millis(1));
        std::fs::write(folder.path().join("noop-1.log"), "{\"smoke.nonce\":\"ab\",\"message\":\"looked around\"}\n")
            .unwrap();
        std::fs::write(folder.path().join("other-1.log"), "cd looked around \"task_success_rate\":1.0\n").unwrap();
        assert!(evidence.line("ab", since, patience).await.unwrap().ends_with("noop-1.log"));
        let error = evidence.line("cd", since, patience).await.unwrap_err().to_string();
        assert!(error.starts_with("no line of the task is there"), "{error}");
        let error = evidence.metric("ab", since, patience).await.unwrap_err().to_string();
        assert!(error.starts_with("no value of task_success_rate is there"), "{error}");
        let line = isotherm_platform::metrics::embedded_line(TASK_SUCCESS_RATE, 1.0, &[("operator", "noop")], since);
        std::fs::write(folder.path().join("noop-1.log"), format!("ab\n{line}\n")).unwrap();
        assert_eq!(evidence.metric("ab", since, patience).await.unwrap(), "task_success_rate");
    }
}
