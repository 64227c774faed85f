//! An operator that moves no data: it counts steps, and can be told to fail in every way in which an operator fails.
//!
//! Used as a sign of life of the control plane (a cron trigger and this), by tests of the worker, and as the inner half of
//! `isotherm smoke` ([`checks`]). It must never need the database, the chain or a bucket, unless its job asks for checks.

use std::time::Duration;

use isotherm_platform::Fault;
use isotherm_platform::operator_main::{Context, OperatorEnd, config, input};
use isotherm_types::event::{TaskWake, WAKE_VERSION};
use isotherm_types::{Classified, Disposition, Fence, TaskSpec};
use serde::Deserialize;
use serde_json::json;

pub mod checks;

/// Settings of a noop job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoopConfig {
    /// Steps to count.
    pub steps: u64,
    /// How long each step takes, in milliseconds.
    pub step_ms: u64,
    /// After the steps, fail with an error of this code, to be retried.
    pub fail_with: Option<String>,
    /// After the steps, end with this exit code and without a result, as after a crash.
    pub exit: Option<u8>,
    /// After the steps, panic.
    pub panic: bool,
    /// Go on when asked to stop.
    pub ignore_stop: bool,
    /// After so many steps, stand still until asked to stop.
    pub stall_after: Option<u64>,
    /// While standing still, say that there is nothing to do.
    pub waiting: bool,
    /// After the steps, look around for `isotherm smoke` ([`checks`]); nobody else can have it done.
    pub check: bool,
}

/// The failure that a config asks for.
#[derive(Debug, thiserror::Error)]
#[error("the job is configured to fail with {code}")]
pub struct AskedToFail {
    code: String,
}

impl Classified for AskedToFail {
    fn disposition(&self) -> Disposition {
        Disposition::Retry
    }

    fn code(&self) -> &'static str {
        "noop.asked_to_fail"
    }
}

/// Counts the steps; the output says how many, and the names of the variables that the operator has.
///
/// # Errors
/// A config that cannot be read, [`AskedToFail`], and [`checks::NotAsked`].
///
/// # Panics
/// If the config asks for it.
pub async fn run(spec: TaskSpec, context: Context) -> Result<OperatorEnd, Fault> {
    let config: NoopConfig = config(&spec)?;
    for step in 1..=config.steps {
        if config.stall_after.is_some_and(|steps| step > steps) {
            stand_still(&config, &context).await;
            return Ok(OperatorEnd::Released);
        }
        tokio::select! {
            () = context.stop.requested(), if !config.ignore_stop => return Ok(OperatorEnd::Released),
            () = tokio::time::sleep(Duration::from_millis(config.step_ms)) => {}
        }
        context.progress.report(step, Some(config.steps), format!("step {step}"));
    }
    if let Some(code) = config.exit {
        tracing::warn!(process.exit_code = code, "the job is configured to crash");
        std::process::exit(i32::from(code));
    }
    assert!(!config.panic, "the job is configured to panic");
    if let Some(code) = config.fail_with {
        return Err(AskedToFail { code }.into());
    }
    let variables: Vec<String> = context.environment.select(|_| true).into_keys().collect();
    let mut output = json!({"steps": config.steps, "variables": variables});
    if config.check {
        let asked: checks::Asked = input(&spec)?;
        // As it was when the task was claimed.
        let fence = Fence(spec.fence.0.saturating_sub(1));
        let own = TaskWake { version: WAKE_VERSION, task_id: spec.task_id, fence };
        output["checks"] = json!(checks::all(&asked, own, &context.environment).await?);
    }
    Ok(OperatorEnd::Completed(output))
}

/// Stands still until asked to stop.
async fn stand_still(config: &NoopConfig, context: &Context) {
    let say_so = async {
        loop {
            if config.waiting {
                context.progress.waiting();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = context.stop.requested(), if !config.ignore_stop => {}
        () = say_so => {}
    }
}

#[cfg(test)]
mod tests {
    use isotherm_platform::operator_main::Progress;
    use isotherm_platform::{Environment, Stop};
    use isotherm_types::TaskId;

    use super::*;

    fn spec(config: serde_json::Value) -> TaskSpec {
        TaskSpec {
            version: 1,
            task_id: TaskId(1),
            fence: Fence(1),
            attempt: 1,
            job: "heartbeat".to_owned(),
            config,
            input: json!({}),
        }
    }

    fn context(stop: Stop) -> Context {
        Context { environment: Environment::from_pairs([("A", "1")]), stop, progress: Progress::unheard() }
    }

    #[tokio::test]
    async fn it_counts_its_steps() {
        let (_sender, stop) = Stop::pair();
        let end = run(spec(json!({"steps": 3})), context(stop)).await.unwrap();
        assert_eq!(end, OperatorEnd::Completed(json!({"steps": 3, "variables": ["A"]})));
    }

    #[tokio::test]
    async fn asked_to_stop_it_gives_the_task_back() {
        let (sender, stop) = Stop::pair();
        sender.request();
        let end = run(spec(json!({"steps": 1, "step_ms": 60_000})), context(stop)).await.unwrap();
        assert_eq!(end, OperatorEnd::Released);
    }

    #[tokio::test]
    async fn it_fails_as_told_and_refuses_unknown_keys() {
        let (_sender, stop) = Stop::pair();
        let fault = run(spec(json!({"fail_with": "x.y"})), context(stop.clone())).await.unwrap_err();
        assert_eq!((fault.code(), fault.disposition()), ("noop.asked_to_fail", Disposition::Retry));
        let fault = run(spec(json!({"step": 3})), context(stop)).await.unwrap_err();
        assert_eq!((fault.code(), fault.disposition()), ("job.config_invalid", Disposition::GiveUp));
    }
}
