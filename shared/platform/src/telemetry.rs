//! Logs: one JSON object a line on standard error, values as dotted fields.
//!
//! What a line follows from is its field `trace.id`, in the line itself or in the span of the task that it belongs to.
//! Standard output is never used: it belongs to the operator protocol. It must never log a secret, users' SQL, or a
//! whole payload; so what libraries say at `trace` is left out, whatever level is asked for.

use std::future::Future;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use isotherm_types::{TaskId, TraceId};
use serde_json::Value;
use tracing::instrument::WithSubscriber as _;
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::Environment;

/// What is logged when nothing is asked for: our `info`, and only warnings of the libraries.
const DEFAULT_FILTER: &str =
    "info,aws_config=warn,aws_smithy_runtime=warn,hyper=warn,sqlx=warn,lambda_runtime=warn,Lambda runtime invoke=warn";

/// Tells an operator the trace of its task. Set by the worker.
pub(crate) const TRACE_VARIABLE: &str = "ISOTHERM_TRACE_ID";

/// Starts logging for the part called `name`. `ISOTHERM_LOG`, else `RUST_LOG`, sets the level.
///
/// A second call changes nothing, so tests may call it. A filter that cannot be read is reported and replaced.
pub fn init(name: &'static str) {
    let mut environment = Environment::of_process();
    let wished = ["ISOTHERM_LOG", "RUST_LOG"].into_iter().find_map(|variable| {
        let checked = environment.check().ok()?;
        Some((variable, environment.optional_text(variable).open(&checked)?))
    });
    let (filter, unreadable) = match &wished {
        None => (EnvFilter::new(DEFAULT_FILTER), None),
        Some((variable, text)) => match EnvFilter::try_new(text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some((variable, error))),
        },
    };
    if tracing::subscriber::set_global_default(subscriber(std::io::stderr, filter)).is_err() {
        return;
    }
    tracing::debug!(service.name = name, "telemetry started");
    if let Some((variable, error)) = unreadable {
        tracing::warn!(
            config.variable = %variable,
            error.message = %error,
            "the log filter cannot be read; the default is used"
        );
    }
}

fn subscriber<W>(writer: W, filter: EnvFilter) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer)
        .with_env_filter(filter)
        .finish();
    lines.with(filter_fn(may_be_told))
}

/// Whether a line or span is told if the filter asks for it. At `trace`, libraries tell whole events, requests and answers: the AWS SDK
/// to whom an email goes, Lambda's runtime the token of a call.
fn may_be_told(metadata: &Metadata<'_>) -> bool {
    *metadata.level() != Level::TRACE || is_ours(metadata.target())
}

/// Whether a target is a module of this workspace.
fn is_ours(target: &str) -> bool {
    ["isotherm", "operator_"].iter().any(|prefix| target.starts_with(prefix))
        || (target.starts_with("lambda_") && !target.starts_with("lambda_runtime"))
}

/// The span of a task that an operator works on, with the trace that its worker names.
pub(crate) fn task_span(environment: &Environment, task_id: TaskId) -> Span {
    let trace_id = environment.select(|name| name == TRACE_VARIABLE).into_values().next();
    let trace_id = trace_id.and_then(|text| text.parse::<TraceId>().ok()).map(String::from);
    tracing::info_span!("task", task.id = task_id.0, trace.id = trace_id.as_deref())
}

/// Lines that `work` logs, kept instead of written: so a test holds a real part to what it says. Lines of tasks that `work`
/// spawns are not among them.
///
/// # Panics
/// If a line is no JSON.
pub async fn logged<T>(work: impl Future<Output = T>) -> (T, Vec<Value>) {
    let kept = Kept::default();
    let writer = kept.clone();
    let output = work.with_subscriber(subscriber(move || writer.clone(), EnvFilter::new(DEFAULT_FILTER))).await;
    let text = std::mem::take(&mut *kept.0.lock().unwrap_or_else(PoisonError::into_inner));
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    (output, lines.map(|line| serde_json::from_slice(line).expect("a line of the log is JSON")).collect())
}

/// Where [`logged`] keeps lines.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::Instrument as _;

    use super::*;

    #[test]
    fn what_libraries_say_at_trace_is_never_told() {
        let kept = Kept::default();
        let writer = kept.clone();
        tracing::subscriber::with_default(subscriber(move || writer.clone(), EnvFilter::new("trace")), || {
            tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "whole request");
            tracing::trace!(target: "lambda_runtime::layers::api_response", "whole event");
            tracing::debug!(target: "aws_smithy_runtime::client::orchestrator", "1");
            tracing::trace!(target: "isotherm_chain::pool", "2");
            tracing::trace!(target: "operator_worker", "3");
            tracing::trace!(target: "lambda_api::route", "4");
        });
        let text = String::from_utf8(std::mem::take(&mut *kept.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].clone());
        assert_eq!(lines.collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    }

    #[tokio::test]
    async fn lines_of_a_task_name_the_trace_that_its_worker_told() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (told, expected) in [(trace, Value::from(trace)), ("4bf9", Value::Null)] {
            let environment = Environment::from_pairs([(TRACE_VARIABLE, told)]);
            let work = async {
                let span = task_span(&environment, TaskId(7));
                async { tracing::info!(block.number = 5, "stored") }.instrument(span).await;
            };
            let ((), lines) = logged(work).await;
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert_eq!((&lines[0]["message"], &lines[0]["block.number"]), (&Value::from("stored"), &Value::from(5)));
            assert_eq!((&lines[0]["span"]["task.id"], &lines[0]["span"]["trace.id"]), (&Value::from(7), &expected));
        }
    }
}
