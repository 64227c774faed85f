//! Why a delivery leads to no firing, and what its sender is told.

use isotherm_control::ControlError;
use isotherm_control::webhook::Refusal;
use isotherm_platform::Fault;
use isotherm_platform::lambda::http::{HttpAnswer, NotBase64};
use isotherm_platform::secrets::SecretError;
use isotherm_types::disposition::error_chain;
use isotherm_types::{Classified, EventId};
use serde_json::json;

/// Why a delivery leads to no firing.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// No such organisation, no such trigger, one of another kind, or one that is not active.
    #[error("there is no webhook here")]
    NotFound,
    /// The delivery is not genuine, or of no use.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The body is not what API Gateway says that it is.
    #[error(transparent)]
    NotBase64(#[from] NotBase64),
    /// It was taken before.
    #[error("this delivery was taken before")]
    Replayed {
        /// The event that it led to then.
        event_id: Option<EventId>,
    },
    /// The platform could not take it.
    #[error("{0}")]
    Failed(Fault),
}

impl NotTaken {
    /// Stable name for the sender and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "webhook.not_found",
            Self::Replayed { .. } => "webhook.replayed",
            Self::Refused(refusal) => refusal.code(),
            Self::NotBase64(error) => error.code(),
            Self::Failed(fault) => fault.code(),
        }
    }

    /// What the sender is told.
    pub(crate) fn answer(&self) -> HttpAnswer {
        match self {
            Self::NotFound => HttpAnswer::error(404, self.code(), &self.to_string()),
            Self::Refused(refusal) => HttpAnswer::error(status(refusal), self.code(), &error_chain(refusal)),
            Self::NotBase64(error) => HttpAnswer::error(400, self.code(), &error_chain(error)),
            Self::Replayed { event_id } => {
                let mut answer = HttpAnswer::error(409, self.code(), &self.to_string());
                answer.body["event_id"] = json!(event_id);
                answer
            }
            Self::Failed(fault) => HttpAnswer::of_fault(fault),
        }
    }

    /// A sender's mistakes are no concern of whoever watches for errors.
    pub(crate) fn log(&self) {
        match self {
            Self::Failed(fault) => tracing::error!(
                error.code = fault.code(),
                error.message = fault.message(),
                "a delivery could not be taken"
            ),
            Self::NotFound | Self::Refused(_) | Self::NotBase64(_) | Self::Replayed { .. } => {
                tracing::info!(error.code = self.code(), "a delivery was not taken");
            }
        }
    }
}

fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::TooLarge { .. } => 413,
        Refusal::MissingHeader { .. } | Refusal::StaleTimestamp { .. } | Refusal::BadSignature => 401,
        Refusal::BadDeliveryId | Refusal::NotJson { .. } => 400,
        Refusal::MissingParameter { .. } => 422,
    }
}

impl From<ControlError> for NotTaken {
    fn from(error: ControlError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SecretError> for NotTaken {
    fn from(error: SecretError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Fault> for NotTaken {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
