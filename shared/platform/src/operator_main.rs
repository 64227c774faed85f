//! The frame of every operator: reads the task from standard input, runs the operator's own function, answers on
//! standard output.
//!
//! The other end is [`crate::worker`]; the lines are those of `isotherm_types::operator`. Standard output carries
//! nothing else, so an operator must never `println!`.

mod progress;

use std::future::Future;
use std::io::{BufRead, Write};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use futures::FutureExt;
use isotherm_types::operator::{EXIT_FAILED, EXIT_NO_READER, EXIT_OK, OPERATOR_PROTOCOL};
use isotherm_types::{Classified, Disposition, OperatorLine, OperatorResult, TaskSpec};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Instrument as _;

use crate::config::Environment;
use crate::crash_points;
use crate::fault::Fault;
use crate::stop::Stop;
use crate::telemetry;

pub use progress::Progress;

/// What an operator is given beside its task.
#[derive(Debug)]
pub struct Context {
    /// Its variables: the job's secrets, `ISOTHERM_BUCKET_*` and `AWS_*`.
    pub environment: Environment,
    /// Wished when the worker is told to stop: end at a safe point and return [`OperatorEnd::Released`].
    pub stop: Stop,
    /// Says how far the work has come.
    pub progress: Progress,
}

/// How an operator's function ends well.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorEnd {
    /// The work is done; the value is kept in the task's row.
    Completed(Value),
    /// Asked to stop, it stopped at a safe point.
    Released,
}

/// Why an operator cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// Standard input does not hold a task.
    #[error("no task could be read from standard input")]
    NoTask {
        /// What the system reports.
        #[source]
        source: std::io::Error,
    },
    /// The line is not a task of this protocol.
    #[error("the line on standard input is not a task")]
    Malformed {
        /// What serde reports.
        #[source]
        source: serde_json::Error,
    },
    /// The worker speaks a newer protocol.
    #[error("the task is of protocol {found}, this operator speaks {OPERATOR_PROTOCOL}")]
    Protocol {
        /// The task's version.
        found: u32,
    },
    /// The job's settings are not this operator's.
    #[error("the config of job {job} is not valid")]
    BadConfig {
        /// The job.
        job: String,
        /// What serde reports.
        #[source]
        source: serde_json::Error,
    },
    /// The task's input is not this operator's.
    #[error("the input of {task} is not valid")]
    BadInput {
        /// The task.
        task: String,
        /// What serde reports.
        #[source]
        source: serde_json::Error,
    },
    /// The signal handlers could not be installed.
    #[error("the signal handlers could not be installed")]
    Signals {
        /// What the system reports.
        #[source]
        source: std::io::Error,
    },
}

impl Classified for TaskError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NoTask { .. } | Self::Signals { .. } => Disposition::Retry,
            Self::Malformed { .. } | Self::Protocol { .. } | Self::BadConfig { .. } | Self::BadInput { .. } => {
                Disposition::GiveUp
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoTask { .. } => "operator.no_task",
            Self::Malformed { .. } => "operator.task_malformed",
            Self::Protocol { .. } => "operator.protocol",
            Self::BadConfig { .. } => "job.config_invalid",
            Self::BadInput { .. } => "task.input_invalid",
            Self::Signals { .. } => "operator.signals",
        }
    }
}

/// The job's settings, strictly: give `T` `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// [`TaskError::BadConfig`], code `job.config_invalid`.
pub fn config<T: DeserializeOwned>(spec: &TaskSpec) -> Result<T, TaskError> {
    T::deserialize(&spec.config).map_err(|source| TaskError::BadConfig { job: spec.job.clone(), source })
}

/// The task's input, strictly: give `T` `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// [`TaskError::BadInput`], code `task.input_invalid`.
pub fn input<T: DeserializeOwned>(spec: &TaskSpec) -> Result<T, TaskError> {
    T::deserialize(&spec.input).map_err(|source| TaskError::BadInput { task: spec.task_id.to_string(), source })
}

/// Runs `operate` on the task that stands on standard input, prints its result, and returns the exit code.
///
/// A panic of `operate` is answered as a failure with code `operator.panicked`, to be retried; its message goes to
/// standard error as usual. The process dies with the worker that started it.
pub async fn run<Fut, F>(name: &'static str, operate: impl FnOnce(TaskSpec, Context) -> Fut) -> ExitCode
where
    Fut: Future<Output = Result<OperatorEnd, F>>,
    F: Into<Fault>,
{
    telemetry::init(name);
    crash_points::arm_as_told();
    die_with_the_worker();
    let result = match prepare() {
        Ok((spec, stop)) => {
            let environment = Environment::of_process();
            let span = telemetry::task_span(&environment, spec.task_id);
            let run = async {
                tracing::info!(
                    service.name = name,
                    task.id = spec.task_id.0,
                    task.fence = spec.fence.0,
                    job.name = spec.job,
                    "the task starts"
                );
                let (progress, writer) = Progress::start();
                let context = Context { environment, stop, progress };
                // On the heap: an operator's future is as deep as all it calls.
                let result = guarded(Box::pin(operate(spec, context))).await;
                writer.finish().await;
                log_failure(name, &result);
                result
            };
            run.instrument(span).await
        }
        Err(error) => {
            let result = OperatorResult::failed(&error);
            log_failure(name, &result);
            result
        }
    };
    let code = if matches!(result, OperatorResult::Failed { .. }) { EXIT_FAILED } else { EXIT_OK };
    match print(&OperatorLine::Result(result)) {
        Ok(()) => exit_code(code),
        Err(error) => {
            tracing::error!(
                error.code = "operator.no_reader",
                error.message = %error,
                "the result could not be printed"
            );
            exit_code(EXIT_NO_READER)
        }
    }
}

fn log_failure(name: &'static str, result: &OperatorResult) {
    if let OperatorResult::Failed { code, message, .. } = result {
        tracing::error!(service.name = name, error.code = code, error.message = message, "the task failed");
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).expect("the exit codes of the protocol are 0 to 2"))
}

fn prepare() -> Result<(TaskSpec, Stop), TaskError> {
    let stop = Stop::on_signals().map_err(|source| TaskError::Signals { source })?;
    Ok((read_task(std::io::stdin().lock())?, stop))
}

fn read_task(mut from: impl BufRead) -> Result<TaskSpec, TaskError> {
    let mut line = String::new();
    let length = from.read_line(&mut line).map_err(|source| TaskError::NoTask { source })?;
    if length == 0 {
        return Err(TaskError::NoTask { source: std::io::ErrorKind::UnexpectedEof.into() });
    }
    let spec: TaskSpec = serde_json::from_str(&line).map_err(|source| TaskError::Malformed { source })?;
    if spec.version != OPERATOR_PROTOCOL {
        return Err(TaskError::Protocol { found: spec.version });
    }
    Ok(spec)
}

async fn guarded<F: Into<Fault>>(work: impl Future<Output = Result<OperatorEnd, F>>) -> OperatorResult {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(OperatorEnd::Completed(output))) => OperatorResult::Completed { output },
        Ok(Ok(OperatorEnd::Released)) => OperatorResult::Released,
        Ok(Err(error)) => error.into().to_operator_result(),
        Err(panic) => OperatorResult::Failed {
            code: "operator.panicked".to_owned(),
            message: format!("the operator panicked: {}", panic_message(&*panic)),
            disposition: Disposition::Retry,
        },
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Asks the kernel for SIGKILL when the worker dies, so that an orphan never writes beside its successor.
///
/// The signal comes when the *thread* that started us ends; the worker starts operators from its main thread.
fn die_with_the_worker() {
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        tracing::warn!(error.message = %error, "the operator may outlive its worker");
    }
}

/// Writes one line to standard output at once.
fn print(line: &OperatorLine) -> std::io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str =
        r#"{"version":1,"task_id":7,"fence":2,"attempt":1,"job":"heartbeat","config":{"steps":3},"input":{}}"#;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[expect(dead_code, reason = "only its key matters here")]
        wrong: u32,
    }

    #[test]
    fn a_task_is_one_line_of_json() {
        let spec = read_task(format!("{TASK}\nnot read").as_bytes()).unwrap();
        assert_eq!(spec.job, "heartbeat");
        assert_eq!(read_task("".as_bytes()).unwrap_err().code(), "operator.no_task");
        assert_eq!(read_task("{}\n".as_bytes()).unwrap_err().code(), "operator.task_malformed");
        let newer = TASK.replace("\"version\":1", "\"version\":9");
        assert_eq!(read_task(newer.as_bytes()).unwrap_err().code(), "operator.protocol");
    }

    #[test]
    fn an_unknown_key_in_a_config_is_named() {
        let spec = read_task(TASK.as_bytes()).unwrap();
        let fault = Fault::from(config::<Settings>(&spec).unwrap_err());
        assert_eq!(fault.code(), "job.config_invalid");
        assert!(fault.message().contains("heartbeat") && fault.message().contains("steps"), "{fault}");
        assert_eq!(Fault::from(input::<Settings>(&spec).unwrap_err()).code(), "task.input_invalid");
    }

    #[tokio::test]
    async fn a_panic_becomes_a_failure_to_be_retried() {
        let work = async { if true { panic!("boom") } else { Ok::<_, TaskError>(OperatorEnd::Released) } };
        let OperatorResult::Failed { code, message, disposition } = guarded(work).await else {
            panic!("it did not fail")
        };
        assert_eq!((code.as_str(), disposition), ("operator.panicked", Disposition::Retry));
        assert!(message.ends_with("boom"));
    }
}
