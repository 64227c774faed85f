//! What every Lambda does the same way: telemetry, a context built once, strict events, one log line an error.
//!
//! A handler never sees the runtime; it is an `async fn(&Context, Event) -> Result<Answer, Error>`, so tests call it
//! directly.

pub mod batch_or_sweep;
pub mod fifo_batch;
pub mod http;
pub mod identity;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use isotherm_types::{Classified, Disposition};

use crate::config::Environment;
use crate::crash_points;
use crate::fault::Fault;
use crate::telemetry;

/// An event that is none of those the function accepts.
#[derive(Debug, thiserror::Error)]
#[error("the event is none that this function accepts")]
pub struct MalformedEvent {
    /// What serde reports.
    #[source]
    source: serde_json::Error,
}

impl Classified for MalformedEvent {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "event.malformed"
    }
}

/// The runtime's own trouble, at its start or at its end.
#[derive(Debug, thiserror::Error)]
#[error("the Lambda runtime ended")]
pub struct RuntimeEnded {
    #[source]
    source: lambda_runtime::Error,
}

/// What Lambda says of one invocation, beside its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its id, which AWS's trail of data events names beside the principal that invoked.
    pub request_id: String,
}

/// As [`run_with_invocation`], for a function that needs to know nothing but the event.
///
/// # Errors
/// As [`run_with_invocation`].
pub async fn run<C, E, R, F, G>(
    name: &'static str,
    connect: impl AsyncFn(Environment) -> Result<C, G>,
    handle: impl AsyncFn(&C, E) -> Result<R, F>,
) -> Result<(), RuntimeEnded>
where
    E: DeserializeOwned,
    R: Serialize,
    F: Into<Fault>,
    G: Into<Fault>,
{
    run_with_invocation(name, connect, async |context: &C, event, _invocation| handle(context, event).await).await
}

/// Serves invocations until the process is stopped.
///
/// `connect` builds the context at the start; if it fails, it is tried again at each invocation, whose answer is then
/// its error. Errors are answered as `{"errorType": code, "errorMessage": message and causes}` and logged once, here.
///
/// # Errors
/// [`RuntimeEnded`], if Lambda's runtime interface cannot be reached.
pub async fn run_with_invocation<C, E, R, F, G>(
    name: &'static str,
    connect: impl AsyncFn(Environment) -> Result<C, G>,
    handle: impl AsyncFn(&C, E, Invocation) -> Result<R, F>,
) -> Result<(), RuntimeEnded>
where
    E: DeserializeOwned,
    R: Serialize,
    F: Into<Fault>,
    G: Into<Fault>,
{
    telemetry::init(name);
    crash_points::arm_as_told();
    let cell = OnceCell::new();
    let context = async || -> Result<&C, Fault> {
        // On the heap, as the handler below: AWS clients' futures inside one another are deeper than the compiler goes.
        cell.get_or_try_init(|| async { Box::pin(connect(Environment::of_process())).await.map_err(Into::into) }).await
    };
    if let Err(fault) = context().await {
        log(name, &fault, "the function is not ready; each invocation tries again");
    }
    let serve = async |event: LambdaEvent<Value>| -> Result<Value, Fault> {
        let invocation = Invocation { request_id: event.context.request_id };
        let event = event_of(event.payload)?;
        let answer = Box::pin(handle(context().await?, event, invocation)).await.map_err(Into::into)?;
        Ok(serde_json::to_value(answer).map_err(|source| UnserialisableAnswer { source })?)
    };
    let served = lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        serve(event).await.map_err(|fault| {
            log(name, &fault, "the invocation failed");
            Diagnostic { error_type: fault.code().to_owned(), error_message: fault.message() }
        })
    }));
    served.await.map_err(|source| RuntimeEnded { source })
}

/// The event that `payload` is.
///
/// # Errors
/// [`MalformedEvent`] if it is none that the function accepts.
pub fn event_of<E: DeserializeOwned>(payload: Value) -> Result<E, MalformedEvent> {
    serde_json::from_value(payload).map_err(|source| MalformedEvent { source })
}

/// An answer that is no JSON; a mistake in the function.
#[derive(Debug, thiserror::Error)]
#[error("the answer cannot be written as JSON")]
struct UnserialisableAnswer {
    #[source]
    source: serde_json::Error,
}

impl Classified for UnserialisableAnswer {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "lambda.answer_not_json"
    }
}

fn log(name: &'static str, fault: &Fault, what: &'static str) {
    tracing::error!(service.name = name, error.code = fault.code(), error.message = fault.message(), "{what}");
}
