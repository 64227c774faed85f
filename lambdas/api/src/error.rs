//! Why a call was not carried out, and what its caller is told.

use isotherm_access::AccessError;
use isotherm_control::ControlError;
use isotherm_platform::Fault;
use isotherm_platform::lambda::MalformedEvent;
use isotherm_platform::lambda::http::{HttpAnswer, NotBase64};
use isotherm_types::Classified;
use isotherm_types::disposition::error_chain;

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The call, or its body, is of no known shape.
    #[error("the request is not understood")]
    Malformed {
        /// What serde reports.
        #[source]
        source: serde_json::Error,
    },
    /// The event is none of API Gateway's.
    #[error(transparent)]
    MalformedEvent(#[from] MalformedEvent),
    /// The body is not what API Gateway says that it is.
    #[error(transparent)]
    NotBase64(#[from] NotBase64),
    /// A version that this function does not know.
    #[error("version {version} is not known; this function knows 1")]
    UnknownVersion {
        /// Which one.
        version: u32,
    },
    /// The body is too long.
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLarge {
        /// What is allowed.
        limit_bytes: u64,
    },
    /// The function was called by a route that it does not serve.
    #[error("there is nothing here")]
    NoRoute,
    /// Something behind the `?`, or of the path.
    #[error("the parameter {name} is not {expected}")]
    BadParameter {
        /// Its name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The caller is not known, or may not do this.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The control plane refused, or could not be asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The platform's own failure.
    #[error("{0}")]
    Failed(Fault),
}

impl ApiError {
    /// Stable name for the caller and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "api.malformed_request",
            Self::UnknownVersion { .. } => "api.unknown_version",
            Self::TooLarge { .. } => "api.too_large",
            Self::NoRoute => "api.no_route",
            Self::BadParameter { .. } => "api.bad_parameter",
            Self::Access(error) => error.code(),
            Self::MalformedEvent(error) => error.code(),
            Self::NotBase64(error) => error.code(),
            Self::Control(error) => error.code(),
            Self::Failed(fault) => fault.code(),
        }
    }

    /// HTTP status; `None` for the platform's own failures.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Malformed { .. }
            | Self::MalformedEvent(_)
            | Self::NotBase64(_)
            | Self::UnknownVersion { .. }
            | Self::BadParameter { .. } => Some(400),
            Self::Access(error) => Some(error.http_status()).filter(|status| *status < 500),
            Self::NoRoute => Some(404),
            Self::TooLarge { .. } => Some(413),
            Self::Control(error) => control_status(error),
            Self::Failed(_) => None,
        }
    }

    /// What the caller is told.
    pub(crate) fn answer(self) -> HttpAnswer {
        match (self.status(), self) {
            (_, Self::Access(error)) => HttpAnswer::of_denial(&error),
            (Some(status), error) => HttpAnswer::error(status, error.code(), &error_chain(&error)),
            (None, Self::Failed(fault)) => HttpAnswer::of_fault(&fault),
            (None, Self::Control(error)) => HttpAnswer::of_fault(&error.into()),
            (None, error) => HttpAnswer::error(500, error.code(), "the platform failed; its log says why"),
        }
    }

    /// A caller's mistakes are no concern of whoever watches for errors.
    pub(crate) fn log(&self) {
        if self.status().is_some() {
            tracing::info!(error.code = self.code(), "a call was not carried out");
        } else {
            tracing::error!(error.code = self.code(), error.message = error_chain(self), "a call failed");
        }
    }
}

fn control_status(error: &ControlError) -> Option<u16> {
    match error {
        ControlError::UnknownOrg { .. }
        | ControlError::UnknownTriggerName { .. }
        | ControlError::UnknownJobName { .. } => Some(404),
        ControlError::BadIdempotencyKey => Some(400),
        ControlError::IdempotencyConflict { .. } => Some(409),
        ControlError::AlwaysOn { .. } => Some(422),
        _ => None,
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
