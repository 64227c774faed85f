//! The chain crate against a real node, a server that misbehaves, and recorded data.

mod client;
mod fixtures;
mod forgeries;
mod from_columns;
mod generated;
mod misbehaviour;
mod pool;
mod rates;
mod traces;
mod unvouched;
mod verdicts;
