//! The only place where users' SQL runs: DuckDB in a process of its own.
//!
//! A parent (`isotherm-query`) starts the program `isotherm-sql-sandbox`, one process a query, with an empty
//! environment, and talks to it in frames over its standard input and output ([`isotherm_types::sandbox`]). The sandbox parses the
//! text and returns the tree; the parent checks the tree. It plans the checked tree over empty stubs and says what the
//! query reads; the parent fetches that. It then runs the checked tree over hot rows (Arrow batches from the parent)
//! and cold files (served by the parent on this machine, read through `httpfs`), streams the answer as Arrow IPC and ends.
//!
//! It must never hold a credential, open a database connection, know an object store's API, read its environment, or
//! write users' SQL to a log. Its dependency tree has no database driver and no AWS SDK.

pub mod confine;
pub mod engine;
pub mod error;
pub mod frames;
pub mod functions;
pub mod limits;
pub mod plan;
mod relations;
mod row_frames;
pub mod run;
pub mod session;
pub mod sources;

pub use error::SandboxError;
