//! Alerts: rules over rows, the ledger of what they found, and who is told when.
//!
//! Everything that decides is pure: whether a definition is right, what a row makes of it, how a finding may change, when a message
//! is due and what it says. Statements are on the tables of schema `alerts` only. Reading the chain's rows, sending and the clock are
//! the callers'.

pub mod listing;
