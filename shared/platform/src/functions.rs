//! Asking another function, and waiting for its answer.

use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use isotherm_types::{Classified, Disposition};
use serde_json::Value;

use crate::aws::Clients;

/// Why a function has not answered.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// Lambda did not answer, or refused the call.
    #[error("function {function} could not be invoked")]
    Unavailable {
        /// Its name.
        function: String,
        /// What the SDK reports.
        #[source]
        source: Box<SdkError<InvokeError>>,
    },
    /// It broke off: it ran out of time or memory, or could not be started.
    #[error("function {function} ended without an answer ({reason})")]
    Failed {
        /// Its name.
        function: String,
        /// Lambda's word for it.
        reason: String,
    },
}

impl Classified for FunctionError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } | Self::Failed { .. } => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "function.unavailable",
            Self::Failed { .. } => "function.failed",
        }
    }
}

/// What `function` answers to `question`, byte for byte.
///
/// # Errors
/// [`FunctionError`].
pub async fn invoke(clients: &Clients, function: &str, question: &Value) -> Result<Vec<u8>, FunctionError> {
    let call = clients.lambda().invoke().function_name(function).payload(Blob::new(question.to_string()));
    let answer = call
        .send()
        .await
        .map_err(|source| FunctionError::Unavailable { function: function.to_owned(), source: Box::new(source) })?;
    match answer.function_error() {
        Some(reason) => Err(FunctionError::Failed { function: function.to_owned(), reason: reason.to_owned() }),
        None => Ok(answer.payload.map(Blob::into_inner).unwrap_or_default()),
    }
}
