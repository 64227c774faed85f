//! What a receiver answered.

use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

/// Most bytes of a body that are read; with the next one the connection is closed.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// What a receiver answered. A body that was cut short, by its length, by time or by a broken connection, is an answer all the same:
/// the receiver has said the status.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status. 3xx is one like others: no redirect is followed.
    pub status: u16,
    /// How long it asks to wait, unbounded.
    pub retry_after: Option<Duration>,
    /// At most the first [`MAX_BODY_BYTES`] of its body.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub is_complete: bool,
}

impl Answer {
    /// Whether the receiver has accepted the message. **Source**: Standard Webhooks, "Webhook attempts": a status of 2xx.
    pub fn is_accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Says nothing of the body: a receiver may send back what it was sent.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("body_bytes", &self.body.len())
            .field("is_complete", &self.is_complete)
            .finish()
    }
}

/// The body as far as it may be read until `deadline`, and whether that is all.
pub(crate) async fn read_body(mut response: Response, deadline: Instant) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = MAX_BODY_BYTES - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return (body, false);
                }
            }
            Ok(Ok(None)) => return (body, true),
            Ok(Err(_)) | Err(_) => return (body, false),
        }
    }
}
