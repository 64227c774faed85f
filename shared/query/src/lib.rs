//! One SQL over hot and cold storage: what stands between a user's text and the process that runs it.
//!
//! A query's way: [`literals`] puts bare `0x…` as bytes, the sandbox parses the text, [`gate`] puts constants in the
//! place of [`parameters`] and of the present and checks the tree, the sandbox plans it, [`plan`] reads from the plan
//! which columns and blocks are needed, [`scope`] reads which chains there are for the asker, [`as_of`] pins one to a
//! block if that was asked for, [`boundary`] reads in the same snapshot which blocks are hot and which cold, hot rows are
//! copied out in it, cold files are looked up and lent to the sandbox ([`cold_server`]), which runs the checked tree, and
//! its rows are handed on ([`answer`]) or written ([`render`]). [`engine`] strings these together. The platform's own tables are relations too
//! ([`platform_tables`]); their rows are read as the asker's organisation, in that snapshot ([`platform_rows`]).
//!
//! Invariant: an answer is of one state of each chain, and of nothing that its asker may not read. Every row is counted
//! once, whatever compaction, cleanup and reorgs do meanwhile, and a cold file that is missing or altered fails the
//! query: it never has fewer rows.
//!
//! [`waiting_sandbox`] opens the next query's sandbox beforehand. [`sandbox_memory`] says what the sandbox may hold meanwhile, and [`sandbox_process`] ends it when it holds more.
//!
//! Around a query: [`records`] keeps who asked what and how it ended, and holds the places of each organisation; [`batch`]
//! makes a task of a query that is not to be waited for; [`results`] writes large answers to files; [`saved`] and
//! [`catalogue`] are what people choose from.
//!
//! It must never link DuckDB, never run a tree that the gate has not passed, and never log a user's SQL.

pub mod answer;
pub mod as_of;
pub mod batch;
pub mod boundary;
pub mod catalogue;
mod cold_files;
pub mod cold_server;
mod conversation;
pub mod engine;
pub mod error;
pub mod gate;
pub mod hot_rows;
pub mod literals;
mod memory_watch;
pub mod parameters;
pub mod plan;
pub mod platform_rows;
pub mod platform_tables;
pub mod records;
pub mod relation;
pub mod render;
pub mod results;
pub mod sandbox_memory;
pub mod sandbox_process;
pub mod saved;
pub mod scope;
pub mod shield;
pub mod waiting_sandbox;

pub use answer::{AnswerSummary, QueryAnswer, RowSink};
pub use as_of::{AsOf, AsOfBlock};
pub use cold_server::ColdServer;
pub use engine::{AnswerLimits, QueryEngine, QueryRequest};
pub use error::QueryError;
pub use sandbox_memory::SandboxMemory;
pub use waiting_sandbox::WaitingSandbox;
