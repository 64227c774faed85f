//! What a message of `thresholds.fifo` must be about.

use isotherm_types::{Classified, Disposition, EventId};

/// An event that tells nothing about a chain; it belongs on another queue.
#[derive(Debug, thiserror::Error)]
#[error("{event_id} is not about a chain")]
pub(crate) struct NotAboutAChain {
    /// The event.
    pub(crate) event_id: EventId,
}

impl Classified for NotAboutAChain {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "event.not_about_a_chain"
    }
}
