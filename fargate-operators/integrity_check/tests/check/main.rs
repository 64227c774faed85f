//! From what is stored to what people are told: rows, events, refused queries, the program's lines.

mod alerting;
mod anchoring;
mod finding;
mod process;
mod refusing;
mod world;
