//! Cold storage: final blocks as immutable Parquet files on S3, listed by a chain of manifests.
//!
//! A partition's way: rows that were read in one snapshot are checked and encoded ([`parquet_file`]), the file is
//! written to its one key and read back, a manifest that lists it is written to the next version's key ([`commit`]),
//! and the watermark moves in one transaction of Postgres ([`catalog`]). Every step is conditional and repeatable, so
//! that a crash between any two leaves a state that the next run completes, and two runs at once leave one history.
//!
//! A dataset grows at either end, one file a manifest: compaction adds final blocks at the end, backfill history at
//! the beginning. Files that are finished before their neighbours wait in Postgres ([`catalog::pending`], [`growth`]).
//! Short files that make up a partition between them are merged into one ([`merge`]); the objects of the short ones
//! stay.
//!
//! Whether all of this still is what was put there is found out by [`integrity`], from the objects alone. A data file
//! that is not is put back with the same bytes by [`restore`].
//!
//! Compactor, backfill and checker share this crate, so that they agree on every byte. It reads no environment, never
//! overwrites none but a damaged object whose bytes it has kept ([`restore`]), and never decides what is final: the
//! caller says so. Only [`garbage::delete`] deletes an object: one that nothing has ever named and that is old enough.

pub mod blocks;
pub mod catalog;
pub mod commit;
pub mod compaction;
mod decoder_bounds;
pub mod digest;
pub mod error;
pub mod garbage;
pub mod growth;
pub mod integrity;
pub mod layout;
pub mod manifest;
pub mod merge;
pub mod objects;
pub mod parquet_file;
pub mod restore;
pub mod roots;

mod scratch_file;

pub use blocks::PartitionBlocks;
pub use commit::{CommittedManifest, CurrentManifest, Listing, StagedFile, StoredFile};
pub use digest::{ObjectDigest, Sha256Digest};
pub use error::ColdStoreError;
pub use layout::{ChainName, Partition};
pub use manifest::{Change, DataFile, Manifest, RootVerdict, RootVerdicts};
pub use objects::{ObjectHead, ObjectStore};
pub use parquet_file::PartitionWriter;
