//! What differs from chain to chain: pace, finality, limits, traces, and which checks can be made.
//!
//! [`ChainProfile::built_in`] has the chains that are known here; [`parse`] reads a file of others, and of changes
//! (`docs/examples/chains.yaml`, explained in `docs/operations.md`, `docs/chains.schema.json` is for editors), and
//! [`misfits`] judges a single one that is written as JSON. The readers, the schema and the defaults follow from the
//! tables of `keys`.
//!
//! Never asks a node what chain it is, and never guesses at what a file means.

use std::time::Duration;

use isotherm_types::ChainId;
use serde::Serialize;

use crate::client::Limits;
use crate::heads::Finality;
use crate::traces::TraceMethod;
use crate::verify::Checks;

mod built_in;
mod fit;
mod json;
mod keys;
mod of_job;
mod read;
mod schema;
mod tree;
mod written;
mod yaml;

pub use json::{Misfit, misfits};
pub use of_job::JobProfileError;
pub use read::{Fault, MAX_FILE_BYTES, ProfilesError, parse, parse_bytes};
pub use schema::json_schema;

/// Format of the file.
pub const PROFILES_VERSION: u64 = 1;

/// Most blocks in one partition: far more than is of use, and few enough that no partition's end overflows.
pub const MOST_PARTITION_BLOCKS: u64 = 10_000_000;

/// Shortest and longest time that an endpoint is given to show its head while another one could be asked.
const FAILOVER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// Shortest and longest pause between two questions for the newest block.
const POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// What is peculiar to one chain. As JSON it is read only if it is within the bounds of `keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainProfile {
    /// The chain.
    pub chain_id: ChainId,
    /// What it is called.
    pub name: String,
    /// Time from one block to the next, in milliseconds.
    pub block_time_ms: u64,
    /// How it says what is final.
    pub finality: Finality,
    /// Most blocks that a reorg may replace without a person's leave.
    pub max_reorg_depth: u64,
    /// Blocks in each partition, hot and cold.
    pub partition_blocks: u64,
    /// Calls in one batch, at most.
    pub batch_calls: u32,
    /// Longest answer that is read, in bytes.
    pub answer_bytes: u32,
    /// Blocks in one `eth_getLogs`, at most.
    pub log_range_blocks: u64,
    /// How its nodes are asked for traces, if they have any.
    pub trace_method: TraceMethod,
    /// Which checks are made, and from which block on.
    pub checks: Checks,
}

impl ChainProfile {
    /// The profile of a chain that is known here.
    pub fn built_in(chain_id: ChainId) -> Option<Self> {
        built_in::all().into_iter().find(|profile| profile.chain_id == chain_id)
    }

    /// The profiles of all chains that are known here.
    pub fn all_built_in() -> Vec<Self> {
        built_in::all()
    }

    /// A profile of a chain of which only these are known: everything that has a default has it.
    pub fn unknown(chain_id: ChainId, name: String, finality: Finality) -> Self {
        Self {
            chain_id,
            name,
            block_time_ms: 1000,
            finality,
            max_reorg_depth: defaults::max_reorg_depth(),
            partition_blocks: defaults::partition_blocks(),
            batch_calls: defaults::batch_calls(),
            answer_bytes: defaults::answer_bytes(),
            log_range_blocks: defaults::log_range_blocks(),
            trace_method: TraceMethod::None,
            checks: Checks::ALL,
        }
    }

    /// Time from one block to the next.
    pub fn block_time(&self) -> Duration {
        Duration::from_millis(self.block_time_ms)
    }

    /// Pause between two questions for the newest block: a quarter of the time that a block takes, within bounds.
    pub fn poll_interval(&self) -> Duration {
        (self.block_time() / 4).clamp(POLL.0, POLL.1)
    }

    /// What a client of this chain keeps to.
    pub fn limits(&self) -> Limits {
        Limits {
            batch_calls: usize::try_from(self.batch_calls).unwrap_or(usize::MAX),
            answer_bytes: usize::try_from(self.answer_bytes).unwrap_or(usize::MAX),
            failover_timeout: (self.block_time() * 2).clamp(FAILOVER.0, FAILOVER.1),
            block_time: self.block_time(),
            checks: self.checks,
            ..Limits::default()
        }
    }
}

/// What a file need not say.
mod defaults {
    pub(super) fn max_reorg_depth() -> u64 {
        64
    }
    pub(super) fn partition_blocks() -> u64 {
        10_000
    }
    pub(super) fn batch_calls() -> u32 {
        100
    }
    pub(super) fn answer_bytes() -> u32 {
        32 << 20
    }
    pub(super) fn log_range_blocks() -> u64 {
        1000
    }
}

#[cfg(test)]
mod tests;
