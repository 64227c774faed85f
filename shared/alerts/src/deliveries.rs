//! One message to one channel, from its row to its receiver. Table `alerts.deliveries`.
//!
//! A sender *claims* what is due and permitted ([`claim()`]), sends it, and writes down how that went ([`finish()`]). Its fence is the number
//! of the attempt: what was given to another sender meanwhile is not touched. A sender that is lost leaves a lease behind; when that is
//! over the message goes back ([`take_back()`]) and is sent again under the same id. So a message may arrive twice, and never be lost.
//!
//! Due times and leases are the database's clock's: a test that lets time pass moves the rows, not the clock.

use uuid::Uuid;

pub mod claim;
pub mod enqueue;
pub mod error;
pub mod fault;
pub mod finish;
pub mod health;
pub mod listing;
pub mod replay;
pub mod slack_answer;
mod take_back;

pub use claim::{Capacity, Claim, Claimed, claim};
pub use error::DeliveryError;
pub use fault::{Blame, DeliveryFault, Verdict};
pub use finish::{Ended, finish};
pub use take_back::{is_due_within, take_back};

/// Row of `alerts.deliveries`; the same for every attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub Uuid);

impl std::fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "delivery {}", self.0)
    }
}

/// What a delivery is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A new alert.
    Fired,
    /// What it said is not on the chain any more.
    Retracted,
    /// It is in another block now.
    Moved,
    /// Many of the others in one.
    Digest,
    /// A person wants to see whether the channel works.
    Test,
    /// Something about the organisation's alerts themselves.
    Notice,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Fired, Self::Retracted, Self::Moved, Self::Digest, Self::Test, Self::Notice];

    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Retracted => "retracted",
            Self::Moved => "moved",
            Self::Digest => "digest",
            Self::Test => "test",
            Self::Notice => "notice",
        }
    }

    /// Whether many of them may be folded into one digest.
    pub fn is_foldable(self) -> bool {
        match self {
            Self::Fired | Self::Retracted | Self::Moved => true,
            Self::Digest | Self::Test | Self::Notice => false,
        }
    }

    /// Reads the word of a row.
    ///
    /// # Errors
    /// [`DeliveryError::BadRow`] for a word that this program does not know.
    pub(crate) fn of_word(id: DeliveryId, word: &str) -> Result<Self, DeliveryError> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        known.ok_or(DeliveryError::BadRow { id, problem: "its kind is not one that this program knows" })
    }
}
