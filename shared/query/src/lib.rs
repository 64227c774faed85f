//! One SQL over hot and cold storage: what stands between a user's text and the process that runs it.
//!
//! A query's way: [`literals`] puts bare `0x…` as bytes, the sandbox parses the text, [`gate`] puts constants in the
//! place of [`parameters`] and of the present and checks the tree, the sandbox plans it, [`plan`] reads from the
//! plan which columns and blocks are needed, [`boundary`] reads in one snapshot which of them are hot and which cold,
//! hot rows are copied out in that same snapshot, cold files are looked up and presigned, the sandbox runs the checked
//! tree, and [`render`] writes the rows. [`engine`] strings these together.
//!
//! Invariant: an answer is of one state of each chain. Every row is counted once, whatever compaction, cleanup and
//! reorgs do meanwhile, and a cold file that is missing or altered fails the query: it never has fewer rows.
//!
//! It must never link DuckDB, never run a tree that the gate has not passed, and never log a user's SQL.

pub mod boundary;
pub mod cold_files;
pub mod engine;
pub mod error;
pub mod gate;
pub mod hot_rows;
pub mod literals;
pub mod parameters;
pub mod plan;
pub mod render;
pub mod sandbox_process;
pub mod shield;

pub use engine::{QueryAnswer, QueryEngine, QueryRequest};
pub use error::QueryError;
