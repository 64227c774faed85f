//! Deliveries of webhooks: whether one is genuine, and what a task is told of it. Pure.
//!
//! The scheme is Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): three headers, and an HMAC-SHA256 over
//! `id.timestamp.body`. [`judge`] says whether a delivery comes from somebody who holds the key; [`task_input`] takes the
//! task's parameters from its body. What has happened before is in `control.trigger_fires`, by
//! [`Accepted::fire_key`].
//!
//! It must never read a clock, and never put a part of a body, a signature or a key into an error.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

mod parameters;
mod refusal;
mod signature;

pub use parameters::task_input;
pub use refusal::Refusal;
pub use signature::SigningKey;

/// Names the delivery, the same for each time that it is sent. **Source**: Standard Webhooks, "Webhook headers".
pub const ID_HEADER: &str = "webhook-id";
/// Seconds since the Unix epoch at which it was sent. **Source**: as [`ID_HEADER`].
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Signatures, separated by spaces. **Source**: as [`ID_HEADER`].
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// A longer body is refused whatever the trigger allows: in base64 it would not fit into a Lambda's request.
/// **Source**: Lambda quotas, "6 MB each for request and response (synchronous)".
pub const MAX_BODY_BYTES: u64 = 4 << 20;

/// Longest name of a delivery, in bytes.
pub const MAX_DELIVERY_ID_BYTES: usize = 128;

/// Most digits of a timestamp; more are no time that a clock shows.
const MAX_TIMESTAMP_DIGITS: usize = 12;

/// A delivery as it came in.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// Its headers; names in any case.
    pub headers: &'a BTreeMap<String, String>,
    /// Its body, byte for byte.
    pub body: &'a [u8],
}

/// A delivery from somebody who holds the key, sent a short while ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name: 1 to [`MAX_DELIVERY_ID_BYTES`] of `A-Z`, `a-z`, `0-9`, `_`, `-` and `:`.
    pub delivery_id: String,
    /// When it was sent.
    pub timestamp: DateTime<Utc>,
}

impl Accepted {
    /// Names the firing: a second delivery with this id is the same firing.
    pub fn fire_key(&self) -> String {
        format!("delivery-{}", self.delivery_id)
    }
}

/// Whether `delivery` is genuine and fresh at the instant `now`.
///
/// # Errors
/// The first [`Refusal`] in this order: a header that is missing, an id that is none, a timestamp further from `now` than
/// `tolerance_seconds`, no signature made with `key`.
pub fn judge(
    delivery: Delivery<'_>,
    key: &SigningKey,
    tolerance_seconds: u64,
    now: DateTime<Utc>,
) -> Result<Accepted, Refusal> {
    let delivery_id = header(delivery.headers, ID_HEADER)?;
    let sent = header(delivery.headers, TIMESTAMP_HEADER)?;
    let signatures = header(delivery.headers, SIGNATURE_HEADER)?;
    if !is_delivery_id(delivery_id) {
        return Err(Refusal::BadDeliveryId);
    }
    let timestamp = instant(sent)
        .filter(|timestamp| now.timestamp().abs_diff(timestamp.timestamp()) <= tolerance_seconds)
        .ok_or(Refusal::StaleTimestamp { tolerance_seconds })?;
    if !key.has_signed(delivery_id, sent, delivery.body, signatures) {
        return Err(Refusal::BadSignature);
    }
    Ok(Accepted { delivery_id: delivery_id.to_owned(), timestamp })
}

fn header<'a>(headers: &'a BTreeMap<String, String>, name: &'static str) -> Result<&'a str, Refusal> {
    let found = headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str()).ok_or(Refusal::MissingHeader { name })
}

/// A full stop is not allowed: with one, id, timestamp and body could be cut in two ways, and both be signed.
fn is_delivery_id(text: &str) -> bool {
    (1..=MAX_DELIVERY_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':'))
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    let is_number = (1..=MAX_TIMESTAMP_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { DateTime::from_timestamp(text.parse().ok()?, 0) } else { None }
}

#[cfg(test)]
mod tests;
