//! Alerts: rules over rows, the ledger of what they found, and who is told when.
//!
//! Everything that decides is pure: whether a definition is right, what a row makes of it, how a finding may change, when a message
//! is due and what it says. Statements are on the tables of schema `alerts` only. Reading the chain's rows, sending and the clock are
//! the callers'.

pub mod alert_events;
mod audit;
pub mod budgets;
pub mod channel;
pub mod channels;
pub mod condition;
pub mod cursors;
pub mod daily;
pub mod definition;
pub mod deliveries;
pub mod digest;
mod facts;
pub mod identity;
pub mod index;
pub mod ledger;
pub mod listing;
pub mod live_rules;
pub mod message;
pub mod release;
pub mod rules;
pub mod schedule;
pub mod seal;
pub mod signature;
mod source;
pub mod sql_answer;
pub mod sql_runs;
pub mod template;
pub mod turn;
