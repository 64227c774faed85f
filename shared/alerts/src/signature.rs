//! Signatures of outgoing webhooks. Source: Standard Webhooks 1.0.0, "Signature scheme", symmetric; made by the published library.
//!
//! A receiver that changes its key accepts two for a while: every key signs, newest first, and one signature that fits is enough. It
//! must never show a key.

use chrono::{DateTime, Utc};
use isotherm_types::{Classified, Disposition};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};

use crate::deliveries::DeliveryId;

/// A channel has no key that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel has no usable signing key; give it a new one")]
pub struct NoKey;

impl Classified for NoKey {
    fn disposition(&self) -> Disposition {
        // A person may give it one.
        Disposition::Retry
    }

    fn code(&self) -> &'static str {
        "alerts.no_signing_key"
    }
}

/// `webhook-id` of a delivery, the same for every attempt.
pub fn webhook_id(delivery: DeliveryId) -> String {
    format!("msg_{}", delivery.0.simple())
}

/// The three headers of one attempt, made at `at`. `keys` are texts `whsec_…`, newest first.
///
/// # Errors
/// [`NoKey`] if there is none, or one is not base64.
pub fn headers<'a>(
    delivery: DeliveryId,
    at: DateTime<Utc>,
    body: &str,
    keys: impl IntoIterator<Item = &'a str>,
) -> Result<[(&'static str, String); 3], NoKey> {
    let (id, timestamp) = (webhook_id(delivery), at.timestamp());
    let mut signatures = Vec::new();
    for key in keys {
        let webhook = Webhook::new(key).map_err(|_hidden| NoKey)?;
        signatures.push(webhook.sign(&id, timestamp, body.as_bytes()).map_err(|_hidden| NoKey)?);
    }
    if signatures.is_empty() {
        return Err(NoKey);
    }
    Ok([
        (HEADER_WEBHOOK_ID, id),
        (HEADER_WEBHOOK_TIMESTAMP, timestamp.to_string()),
        (HEADER_WEBHOOK_SIGNATURE, signatures.join(" ")),
    ])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ID: DeliveryId = DeliveryId(Uuid::from_u128(7));
    const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signed(keys: &[&str]) -> [(&'static str, String); 3] {
        headers(ID, DateTime::UNIX_EPOCH, "{}", keys.iter().copied()).unwrap()
    }

    #[test]
    fn each_key_signs_and_the_newest_comes_first() {
        let [id, timestamp, signature] = signed(&[NEW, OLD]);
        assert_eq!(id, ("webhook-id", "msg_00000000000000000000000000000007".to_owned()));
        assert_eq!(timestamp, ("webhook-timestamp", "0".to_owned()));
        let alone = |key| signed(&[key])[2].1.clone();
        assert_eq!(signature.1, format!("{} {}", alone(NEW), alone(OLD)));
        assert!(alone(NEW).starts_with("v1,"));
    }

    #[test]
    fn without_a_usable_key_nothing_is_signed() {
        assert_eq!(headers(ID, DateTime::UNIX_EPOCH, "{}", []), Err(NoKey));
        let error = headers(ID, DateTime::UNIX_EPOCH, "{}", [NEW, "whsec_hunter2!"]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
