//! The chain crate against a real node, a server that misbehaves, and recorded data.

mod client;
mod fixtures;
mod from_columns;
mod misbehaviour;
mod verdicts;
