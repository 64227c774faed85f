//! A profile as serde reads it, with the defaults of what is left out. What it reads has been held against `keys`.

use isotherm_types::ChainId;
use serde::{Deserialize, Deserializer};

use super::{ChainProfile, defaults};
use crate::heads::Finality;
use crate::traces::TraceMethod;
use crate::verify::Checks;

/// The keys of a [`ChainProfile`]. Serde's own reading of it knows no bounds, so it goes by another name.
#[derive(Deserialize)]
#[serde(remote = "ChainProfile", deny_unknown_fields)]
struct Fields {
    chain_id: ChainId,
    name: String,
    block_time_ms: u64,
    finality: Finality,
    #[serde(default = "defaults::max_reorg_depth")]
    max_reorg_depth: u64,
    #[serde(default = "defaults::partition_blocks")]
    partition_blocks: u64,
    #[serde(default = "defaults::batch_calls")]
    batch_calls: u32,
    #[serde(default = "defaults::answer_bytes")]
    answer_bytes: u32,
    #[serde(default = "defaults::log_range_blocks")]
    log_range_blocks: u64,
    #[serde(default)]
    trace_method: TraceMethod,
    #[serde(default)]
    checks: Checks,
}

/// Reads a profile without looking at its bounds: [`super::json`] has.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChainProfile, D::Error> {
    Fields::deserialize(deserializer)
}
