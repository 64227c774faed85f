//! The chain crate against a real node, a server that misbehaves, and recorded data.

mod absence;
mod client;
mod compressed;
mod fixtures;
mod forgeries;
mod from_columns;
mod generated;
mod memory;
mod misbehaviour;
mod passing;
mod pool;
mod rates;
mod traces;
mod unvouched;
mod verdicts;
mod wake_up;
