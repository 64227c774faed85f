//! Why a delivery is not taken. A sender is told all of it, so it says nothing that would help to forge one.

use isotherm_types::{Classified, Disposition};

/// Why a delivery is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is longer than the trigger allows.
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLarge {
        /// What is allowed.
        limit_bytes: u64,
    },
    /// A header of the scheme is not there.
    #[error("the header {name} is missing")]
    MissingHeader {
        /// Which one.
        name: &'static str,
    },
    /// The delivery's name cannot be one.
    #[error("webhook-id is not 1 to 128 letters, digits, hyphens, underscores and colons")]
    BadDeliveryId,
    /// The delivery was sent too long ago, or by a clock that goes wrong, or its timestamp is no number.
    #[error("webhook-timestamp is not within {tolerance_seconds} s of now, in seconds since 1970")]
    StaleTimestamp {
        /// What is allowed.
        tolerance_seconds: u64,
    },
    /// No signature was made with the trigger's key.
    #[error("webhook-signature has no valid signature")]
    BadSignature,
    /// The body is genuine, but no JSON.
    #[error("the body is no JSON")]
    NotJson {
        /// Where it ceases to be.
        #[source]
        source: serde_json::Error,
    },
    /// The body has no value for one of the task's parameters.
    #[error("the body has nothing at {pointer:?}, where the parameter {parameter} is taken from")]
    MissingParameter {
        /// The parameter.
        parameter: String,
        /// JSON pointer into the body.
        pointer: String,
    },
}

impl Classified for Refusal {
    fn disposition(&self) -> Disposition {
        match self {
            Self::TooLarge { .. }
            | Self::MissingHeader { .. }
            | Self::BadDeliveryId
            | Self::StaleTimestamp { .. }
            | Self::BadSignature
            | Self::NotJson { .. }
            | Self::MissingParameter { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "webhook.too_large",
            Self::MissingHeader { .. } => "webhook.missing_header",
            Self::BadDeliveryId => "webhook.bad_delivery_id",
            Self::StaleTimestamp { .. } => "webhook.stale_timestamp",
            Self::BadSignature => "webhook.bad_signature",
            Self::NotJson { .. } => "webhook.not_json",
            Self::MissingParameter { .. } => "webhook.missing_parameter",
        }
    }
}
