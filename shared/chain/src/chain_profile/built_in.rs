//! The chains that are known here. `docs/examples/chains.yaml` says the same; a test compares the two.

use isotherm_types::ChainId;

use super::ChainProfile;
use crate::heads::Finality;
use crate::traces::TraceMethod;

/// Their profiles.
pub(super) fn all() -> Vec<ChainProfile> {
    let known = |chain_id, name: &str, block_time_ms, trace_method| ChainProfile {
        block_time_ms,
        trace_method,
        ..ChainProfile::unknown(ChainId(chain_id), name.to_owned(), Finality::Tags {})
    };
    vec![
        // Source: docs.monad.xyz. Blocks of 300 ms are since round 89,758,000; answers of a node are 25 MB at most.
        known(143, "monad", 300, TraceMethod::DebugTraceBlock),
        known(10_143, "monad-testnet", 400, TraceMethod::DebugTraceBlock),
        // Source: consensus-specs, SECONDS_PER_SLOT; go-ethereum limits the answer to a batch to 25 MB.
        known(1, "ethereum", 12_000, TraceMethod::TraceBlock),
        ChainProfile {
            partition_blocks: 100,
            answer_bytes: 256 << 20,
            log_range_blocks: 10_000,
            ..known(31_337, "anvil", 1000, TraceMethod::TraceBlock)
        },
    ]
}
