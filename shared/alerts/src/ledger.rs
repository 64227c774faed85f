//! How what a rule found may change: one `match` over its states, and what people are told of each change.
//!
//! A row of `alerts.alert_events` is one finding at one place, whatever becomes of it: it is never deleted and never sent as new
//! twice. Its state follows the chain. Pure; [`crate::alert_events`] writes down what is decided here.
//!
//! It must never take a confirmed alert back: the block is final, and what a person accepts below the finalized block is told by
//! other means.

use isotherm_types::BlockRef;

mod error;

pub use error::LedgerError;

/// Where a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertState {
    /// It is to be sent once its block has reached what the rule asks for.
    Pending,
    /// It was handed to the channels.
    Sent,
    /// It was sent, and its block is final.
    Confirmed,
    /// It was sent, and then its block was replaced by a branch that does not have it.
    Retracted,
    /// It was sent, and is in another block now.
    Moved,
    /// It went before it was sent.
    Cancelled,
    /// It is there, and nobody is told.
    Suppressed(Suppression),
}

/// Why nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suppression {
    /// Another alert of its group came shortly before it.
    Cooldown,
    /// A person has muted the rule.
    Muted,
    /// Its block was old when it was found.
    TooOld,
}

impl AlertState {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Confirmed => "confirmed",
            Self::Retracted => "retracted",
            Self::Moved => "moved",
            Self::Cancelled => "cancelled",
            Self::Suppressed(_) => "suppressed",
        }
    }

    /// Why it is suppressed, as it is stored.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Suppressed(why) => Some(why.as_str()),
            Self::Pending | Self::Sent | Self::Confirmed | Self::Retracted | Self::Moved | Self::Cancelled => None,
        }
    }

    /// The state that is stored so; `None` if this program does not know it.
    pub fn of_stored(state: &str, reason: Option<&str>) -> Option<Self> {
        Some(match (state, reason) {
            ("pending", None) => Self::Pending,
            ("sent", None) => Self::Sent,
            ("confirmed", None) => Self::Confirmed,
            ("retracted", None) => Self::Retracted,
            ("moved", None) => Self::Moved,
            ("cancelled", None) => Self::Cancelled,
            ("suppressed", Some(reason)) => {
                Self::Suppressed(Suppression::ALL.into_iter().find(|why| why.as_str() == reason)?)
            }
            _ => return None,
        })
    }

    /// Whether others of its group are kept back by it for the rule's cooldown.
    pub fn holds_its_group(self) -> bool {
        match self {
            Self::Pending | Self::Sent | Self::Confirmed | Self::Moved => true,
            Self::Retracted | Self::Cancelled | Self::Suppressed(_) => false,
        }
    }
}

impl Suppression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cooldown, Self::Muted, Self::TooOld];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cooldown => "cooldown",
            Self::Muted => "muted",
            Self::TooOld => "too_old",
        }
    }
}

/// Whether what is found is to be sent, as far as the rule's terms and the others of its group say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Send,
    /// It is not.
    Suppress(Suppression),
}

impl Verdict {
    /// The state of what is found for the first time, or judged anew.
    pub fn state(self) -> AlertState {
        match self {
            Self::Send => AlertState::Pending,
            Self::Suppress(why) => AlertState::Suppressed(why),
        }
    }
}

/// What a turn of the evaluator learns about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertEvent {
    /// The rule finds it in this block, which is canonical.
    Found {
        /// The block.
        block: BlockRef,
        /// Counts where it is judged anew.
        verdict: Verdict,
    },
    /// Its block is not canonical any more, and all of the new branch was looked through without finding it.
    Orphaned,
    /// Its block has reached what its rule asks for before it is sent.
    Released,
    /// Its block is final.
    Finalized,
    /// Its rule was deleted.
    RuleDeleted,
}

/// What the channels are told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The alert.
    Fired,
    /// That it is in another block, or on the chain again.
    Moved,
    /// That it is not on the chain any more.
    Retracted,
}

/// A finding: its state, and the block that it is in or was in last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its state.
    pub state: AlertState,
    /// Its block.
    pub block: BlockRef,
}

/// What an event does to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Stays,
    /// It becomes this, which is written to its history.
    Becomes {
        /// What it is now.
        alert: Alert,
        /// What the channels are told.
        message: Option<Message>,
    },
}

impl Alert {
    /// Applies `event`. Whatever may come twice, or late, changes nothing the second time.
    pub fn on(self, event: AlertEvent) -> Outcome {
        use AlertEvent::{Finalized, Found, Orphaned, Released, RuleDeleted};
        use AlertState::{Cancelled, Confirmed, Moved, Pending, Retracted, Sent, Suppressed};
        let becomes = |state, block, message| Outcome::Becomes { alert: Alert { state, block }, message };
        match (self.state, event) {
            // Judged anew: it was never sent, or yielded to another one that may be gone.
            (Cancelled, Found { block, verdict }) => becomes(verdict.state(), block, None),
            (Retracted, Found { block, .. }) => becomes(Moved, block, Some(Message::Moved)),
            (Pending | Sent | Moved | Confirmed | Suppressed(_), Found { block, .. }) if block == self.block => {
                Outcome::Stays
            }
            (Pending, Found { block, .. }) => becomes(Pending, block, None),
            (Sent | Moved, Found { block, .. }) => becomes(Moved, block, Some(Message::Moved)),
            (Suppressed(Suppression::Cooldown), Found { block, verdict }) => becomes(verdict.state(), block, None),
            (Suppressed(Suppression::Muted | Suppression::TooOld), Found { block, .. }) => {
                becomes(self.state, block, None)
            }

            (Pending | Suppressed(_), Orphaned) => becomes(Cancelled, self.block, None),
            (Sent | Moved, Orphaned) => becomes(Retracted, self.block, Some(Message::Retracted)),

            (Pending, Released) => becomes(Sent, self.block, Some(Message::Fired)),
            // A pending one is released first.
            (Sent | Moved, Finalized) => becomes(Confirmed, self.block, None),
            (Pending, RuleDeleted) => becomes(Cancelled, self.block, None),

            (Confirmed, Found { .. } | Orphaned | Released | Finalized | RuleDeleted)
            | (Retracted | Cancelled, Orphaned | Released | Finalized | RuleDeleted)
            | (Sent | Moved | Suppressed(_), Released | RuleDeleted)
            | (Pending | Suppressed(_), Finalized) => Outcome::Stays,
        }
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::{B256, BlockNumber};

    use super::AlertState::{Cancelled, Confirmed, Moved, Pending, Retracted, Sent, Suppressed};
    use super::Suppression::{Cooldown, Muted, TooOld};
    use super::*;

    const STATES: [AlertState; 9] = [
        Pending,
        Sent,
        Confirmed,
        Retracted,
        Moved,
        Cancelled,
        Suppressed(Cooldown),
        Suppressed(Muted),
        Suppressed(TooOld),
    ];

    fn block(number: u64, branch: u8) -> BlockRef {
        BlockRef { number: BlockNumber(number), hash: B256::repeat_byte(branch) }
    }

    /// What becomes of an alert in `block(7, 1)`: `None` if it stays, else its state, block and message.
    fn after(state: AlertState, event: AlertEvent) -> Option<(AlertState, BlockRef, Option<Message>)> {
        match (Alert { state, block: block(7, 1) }).on(event) {
            Outcome::Stays => None,
            Outcome::Becomes { alert, message } => Some((alert.state, alert.block, message)),
        }
    }

    #[test]
    fn every_state_is_stored_under_its_own_words() {
        for state in STATES {
            assert_eq!(AlertState::of_stored(state.as_str(), state.reason()), Some(state));
        }
        for (state, reason) in
            [("gone", None), ("sent", Some("muted")), ("suppressed", None), ("suppressed", Some("x"))]
        {
            assert_eq!(AlertState::of_stored(state, reason), None, "{state} {reason:?}");
        }
    }

    #[test]
    fn every_state_takes_every_event() {
        let send = |block| AlertEvent::Found { block, verdict: Verdict::Send };
        let yields = |block| AlertEvent::Found { block, verdict: Verdict::Suppress(Cooldown) };
        let (here, there) = (block(7, 1), block(9, 2));
        let fired = Some(Message::Fired);
        let (moved, retracted) = (Some(Message::Moved), Some(Message::Retracted));
        // State, then what comes of: found in its block, found in another one to be sent or not, orphaned, released, final,
        // rule deleted.
        type Row = (AlertState, [Option<(AlertState, BlockRef, Option<Message>)>; 7]);
        let table: [Row; 9] = [
            (
                Pending,
                [
                    None,
                    Some((Pending, there, None)),
                    Some((Pending, there, None)),
                    Some((Cancelled, here, None)),
                    Some((Sent, here, fired)),
                    None,
                    Some((Cancelled, here, None)),
                ],
            ),
            (
                Sent,
                [
                    None,
                    Some((Moved, there, moved)),
                    Some((Moved, there, moved)),
                    Some((Retracted, here, retracted)),
                    None,
                    Some((Confirmed, here, None)),
                    None,
                ],
            ),
            (Confirmed, [None; 7]),
            (
                Retracted,
                [
                    Some((Moved, here, moved)),
                    Some((Moved, there, moved)),
                    Some((Moved, there, moved)),
                    None,
                    None,
                    None,
                    None,
                ],
            ),
            (
                Moved,
                [
                    None,
                    Some((Moved, there, moved)),
                    Some((Moved, there, moved)),
                    Some((Retracted, here, retracted)),
                    None,
                    Some((Confirmed, here, None)),
                    None,
                ],
            ),
            (
                Cancelled,
                [
                    Some((Pending, here, None)),
                    Some((Pending, there, None)),
                    Some((Suppressed(Cooldown), there, None)),
                    None,
                    None,
                    None,
                    None,
                ],
            ),
            (
                Suppressed(Cooldown),
                [
                    None,
                    Some((Pending, there, None)),
                    Some((Suppressed(Cooldown), there, None)),
                    Some((Cancelled, here, None)),
                    None,
                    None,
                    None,
                ],
            ),
            (
                Suppressed(Muted),
                [
                    None,
                    Some((Suppressed(Muted), there, None)),
                    Some((Suppressed(Muted), there, None)),
                    Some((Cancelled, here, None)),
                    None,
                    None,
                    None,
                ],
            ),
            (
                Suppressed(TooOld),
                [
                    None,
                    Some((Suppressed(TooOld), there, None)),
                    Some((Suppressed(TooOld), there, None)),
                    Some((Cancelled, here, None)),
                    None,
                    None,
                    None,
                ],
            ),
        ];
        assert_eq!(table.map(|(state, _)| state), STATES);
        let events = [
            send(here),
            send(there),
            yields(there),
            AlertEvent::Orphaned,
            AlertEvent::Released,
            AlertEvent::Finalized,
            AlertEvent::RuleDeleted,
        ];
        for (state, outcomes) in table {
            for (event, expected) in events.into_iter().zip(outcomes) {
                assert_eq!(after(state, event), expected, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_block_of_the_same_number_on_another_branch_is_another_block() {
        let found = AlertEvent::Found { block: block(7, 2), verdict: Verdict::Send };
        assert_eq!(after(Sent, found), Some((Moved, block(7, 2), Some(Message::Moved))));
    }

    #[test]
    fn nothing_is_fired_but_what_was_pending_and_nothing_is_corrected_but_what_was_fired() {
        let events = [
            AlertEvent::Found { block: block(9, 2), verdict: Verdict::Send },
            AlertEvent::Orphaned,
            AlertEvent::Released,
            AlertEvent::Finalized,
            AlertEvent::RuleDeleted,
        ];
        for state in STATES {
            for event in events {
                let message = after(state, event).and_then(|(_, _, message)| message);
                match message {
                    Some(Message::Fired) => assert_eq!(state, Pending),
                    Some(Message::Moved) => assert!(matches!(state, Sent | Moved | Retracted)),
                    Some(Message::Retracted) => assert!(matches!(state, Sent | Moved)),
                    None => {}
                }
            }
        }
    }
}
