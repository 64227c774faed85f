//! Why a call was not carried out, and what its caller is told.

use isotherm_access::AccessError;
use isotherm_alerts::channels::ChannelError;
use isotherm_alerts::definition::{FieldError, FieldErrors};
use isotherm_alerts::deliveries::DeliveryError;
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::rules::RuleError;
use isotherm_control::ControlError;
use isotherm_hot_store::HotStoreError;
use isotherm_platform::Fault;
use isotherm_platform::lambda::MalformedEvent;
use isotherm_platform::lambda::http::{HttpAnswer, NotBase64};
use isotherm_types::Classified;
use isotherm_types::disposition::error_chain;
use serde_json::json;
use uuid::Uuid;

use crate::sql_trial::NotAnswered;

/// Seconds after which a query may find a place.
const RETRY_AFTER_SECONDS: u32 = 5;

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
    /// A rule or a channel is read, and is not right.
    #[error("{message}")]
    NotRight {
        /// Stable name.
        code: &'static str,
        /// All of it as one sentence.
        message: String,
        /// One by one.
        faults: Vec<FieldError>,
    },
    /// The organisation has no such rule.
    #[error("your organisation has no rule called {name:?}")]
    NoSuchRule {
        /// What was asked for.
        name: String,
    },
    /// The organisation has no such channel.
    #[error("your organisation has no channel called {name:?}")]
    NoSuchChannel {
        /// What was asked for.
        name: String,
    },
    /// Nothing is sent to a channel that is disabled.
    #[error("the channel {name:?} is disabled; enable it first")]
    ChannelDisabled {
        /// Its name.
        name: String,
    },
    /// Nothing but a code is sent to a channel that is not confirmed.
    #[error("the channel {name:?} is not confirmed; confirm it with the code that was sent to it")]
    ChannelUnconfirmed {
        /// Its name.
        name: String,
    },
    /// The organisation has no such alert.
    #[error("your organisation has no alert {id}")]
    NoSuchAlert {
        /// What was asked for.
        id: Uuid,
    },
    /// The caller is not known, or may not do this.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The control plane refused, or could not be asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Rules could not be read or changed.
    #[error(transparent)]
    Rule(RuleError),
    /// Channels could not be read or changed.
    #[error(transparent)]
    Channel(ChannelError),
    /// Messages could not be read or changed.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// What rules have found could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The chain's rows could not be read.
    #[error(transparent)]
    HotStore(#[from] HotStoreError),
    /// The organisation runs as many queries as it may: a rule's SQL is one of them.
    #[error("your organisation runs as many queries as it may at one time; try again")]
    QueryBusy,
    /// A rule's SQL could not be asked.
    #[error(transparent)]
    NotAnswered(#[from] NotAnswered),
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
            Self::NotRight { code, .. } => code,
            Self::NoSuchRule { .. } => "alerts.unknown_rule",
            Self::NoSuchChannel { .. } => "alerts.no_such_channel",
            Self::ChannelDisabled { .. } => "alerts.channel_not_active",
            Self::ChannelUnconfirmed { .. } => "alerts.channel_unconfirmed",
            Self::NoSuchAlert { .. } => "alerts.no_such_alert",
            Self::Access(error) => error.code(),
            Self::MalformedEvent(error) => error.code(),
            Self::NotBase64(error) => error.code(),
            Self::Control(error) => error.code(),
            Self::Rule(error) => error.code(),
            Self::Channel(error) => error.code(),
            Self::Delivery(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::HotStore(error) => error.code(),
            Self::QueryBusy => "query.busy",
            Self::NotAnswered(error) => error.code(),
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
            Self::NoRoute | Self::NoSuchRule { .. } | Self::NoSuchChannel { .. } | Self::NoSuchAlert { .. } => {
                Some(404)
            }
            Self::ChannelDisabled { .. } | Self::ChannelUnconfirmed { .. } => Some(409),
            Self::TooLarge { .. } => Some(413),
            Self::NotRight { .. } => Some(422),
            Self::QueryBusy => Some(429),
            Self::Control(error) => control_status(error),
            Self::Rule(error) => rule_status(error),
            Self::Channel(error) => Some(error.http_status()).filter(|status| *status < 500),
            Self::Delivery(error) => delivery_status(error),
            Self::Ledger(_) | Self::HotStore(_) | Self::NotAnswered(_) | Self::Failed(_) => None,
        }
    }

    /// A channel has this fault.
    pub(crate) fn bad_channel(code: &'static str, fault: FieldError) -> Self {
        Self::NotRight { code, message: format!("the channel is not right: {fault}"), faults: vec![fault] }
    }

    /// What the caller is told.
    pub(crate) fn answer(self) -> HttpAnswer {
        match (self.status(), self) {
            (_, Self::Access(error)) => HttpAnswer::of_denial(&error),
            (_, Self::NotRight { code, message, faults }) => {
                HttpAnswer::new(422, json!({ "code": code, "message": message, "faults": faults }))
            }
            (Some(status), error @ Self::QueryBusy) => HttpAnswer {
                retry_after_seconds: Some(RETRY_AFTER_SECONDS),
                ..HttpAnswer::error(status, error.code(), &error.to_string())
            },
            (Some(status), error) => HttpAnswer::error(status, error.code(), &error_chain(&error)),
            (None, Self::Failed(fault)) => HttpAnswer::of_fault(&fault),
            (None, Self::Control(error)) => HttpAnswer::of_fault(&error.into()),
            (None, Self::Rule(error)) => HttpAnswer::of_fault(&error.into()),
            (None, Self::Channel(error)) => HttpAnswer::of_fault(&error.into()),
            (None, Self::Delivery(error)) => HttpAnswer::of_fault(&error.into()),
            (None, Self::Ledger(error)) => HttpAnswer::of_fault(&error.into()),
            (None, Self::HotStore(error)) => HttpAnswer::of_fault(&error.into()),
            (None, Self::NotAnswered(error)) => HttpAnswer::of_fault(&error.into()),
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

fn rule_status(error: &RuleError) -> Option<u16> {
    match error {
        RuleError::Unknown { .. } => Some(404),
        RuleError::NameTaken { .. } | RuleError::TooMany | RuleError::TooManyUnindexed | RuleError::TooManySql => {
            Some(409)
        }
        RuleError::Invalid(_) => Some(422),
        RuleError::Database { .. } => None,
    }
}

fn delivery_status(error: &DeliveryError) -> Option<u16> {
    match error {
        DeliveryError::NoSuchDelivery { .. } => Some(404),
        DeliveryError::NotOver { .. } | DeliveryError::ChannelNotActive { .. } | DeliveryError::CarriesCode { .. } => {
            Some(409)
        }
        _ => None,
    }
}

impl From<FieldErrors> for ApiError {
    fn from(errors: FieldErrors) -> Self {
        Self::NotRight { code: errors.code(), message: errors.to_string(), faults: errors.errors }
    }
}

impl From<RuleError> for ApiError {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Invalid(errors) => errors.into(),
            error => Self::Rule(error),
        }
    }
}

impl From<ChannelError> for ApiError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::BadField { field, expected } => {
                Self::bad_channel(error.code(), FieldError::new(field, format!("it has to be {expected}")))
            }
            error @ ChannelError::WrongCode { .. } => {
                Self::bad_channel(error.code(), FieldError::new("code", error.to_string()))
            }
            error => Self::Channel(error),
        }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
