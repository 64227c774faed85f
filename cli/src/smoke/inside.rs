//! The tasks that the checks make, followed to their end by SQL.

use std::time::Duration;

use anyhow::{Context, bail};
use operator_noop::checks::Found;
use serde_json::Value;
use tokio::time::Instant;

use super::invoke;
use super::side::Side;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Waits for the task of `job` whose input holds `nonce`; returns its number and its output.
///
/// # Errors
/// If it does not come, fails, or does not end in time: with what is known of it.
pub(super) async fn task(side: &Side, job: &str, nonce: &str, patience: Duration) -> anyhow::Result<(i64, Value)> {
    let sql = format!(
        "select id, state, output, error_code, error_message from isotherm.tasks \
         where job_name = '{job}' and input like '%{nonce}%' order by id desc limit 1"
    );
    let until = Instant::now() + patience;
    let mut last = "no task was made of it".to_owned();
    loop {
        let rows = invoke::query(side, &sql).await.context("could not look for its task")?;
        if let Some(row) = rows.first() {
            let id = row[0].as_i64().or_else(|| row[0].as_str()?.parse().ok()).context("its task has no number")?;
            match row[1].as_str() {
                Some("completed") => {
                    let output = serde_json::from_str(row[2].as_str().unwrap_or("null"));
                    return Ok((id, output.context("its task's output is no JSON")?));
                }
                Some("failed" | "cancelled") => {
                    bail!("task {id} failed: {} ({})", words(&row[4]), words(&row[3]))
                }
                state => last = format!("task {id} is {}", state.unwrap_or("in no state")),
            }
        }
        if Instant::now() >= until {
            bail!("{last} after {} s", patience.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the task found inside.
pub(super) fn found(output: &Value) -> anyhow::Result<Vec<Found>> {
    serde_json::from_value(output["checks"].clone())
        .context("the task's output has no checks; is its image an older one?")
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or("no reason is known")
}
