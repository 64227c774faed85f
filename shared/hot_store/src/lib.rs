//! Hot storage: the recent blocks of each chain in Postgres, canonical rows only.
//!
//! `block_follower` appends blocks and takes them back after a reorg; `parquet_compact` and the query engine read
//! row ranges inside their own snapshot. Every function takes a connection, so that the caller owns the database
//! transaction: rows, cursor, events and invalidations of one step become visible together or not at all.
//!
//! Nothing here decides what is canonical, and nothing here touches cold storage. Rows that have long been cold go by
//! whole leaves ([`cleanup`]).
//!
//! Invariants: the rows of a chain are exactly those of the blocks `first_block..=tip`, minus leaves that went because
//! they are cold; each block's parent is the block stored before it; a block at or below the finalized one is never
//! taken back, unless a person has accepted that.

pub mod append;
pub mod cleanup;
pub mod copy;
pub mod cursor;
pub mod disputed_reorg;
mod error;
pub mod evidence;
pub mod follower_status;
pub mod gaps;
pub mod lag;
mod partitions;
pub mod reorg;
pub mod rows;
pub mod whole_blocks;

pub use append::{Appended, BlockBatch, append};
pub use cursor::Cursor;
pub use error::HotStoreError;
pub use reorg::{known_hash, stored_hash, stored_number, take_back};
