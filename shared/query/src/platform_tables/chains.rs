//! Chains and their cold files, as far as they are granted.

use super::PlatformType::{Bytes, Double, Integer, Text, Time};
use super::{PlatformTable, optional, required};

pub(super) const PARTITIONS: PlatformTable = PlatformTable {
    name: "partitions",
    doc: "a cold file of a dataset that is granted to the organisation",
    columns: &[
        required("chain_id", Integer, "its chain"),
        required("chain", Text, "what the chain is called"),
        required("dataset", Text, "its dataset"),
        required("first_block", Integer, "its first block"),
        required("last_block", Integer, "its last block"),
        required("row_count", Integer, "its rows"),
        required("size_bytes", Integer, "its length"),
        required("object_key", Text, "its key in the bucket `cold`"),
        required("sha256", Bytes, "digest of its bytes"),
        required("first_block_hash", Bytes, "hash of its first block"),
        required("last_block_hash", Bytes, "hash of its last block"),
        required("manifest_version", Integer, "first version of the manifest that lists it"),
        required("committed_at", Time, "when its blocks became cold"),
    ],
    key: Some("chain_id"),
    select: include_str!("../../queries/platform/partitions.sql"),
};

pub(super) const CHAINS: PlatformTable = PlatformTable {
    name: "chains",
    doc: "a chain of which a dataset is granted to the organisation",
    columns: &[
        required("chain_id", Integer, "its id (EIP-155)"),
        required("chain", Text, "what it is called: the schema of its relations"),
        required("state", Text, "`following`, or `halted` until a person has decided"),
        optional("halt_code", Text, "stable name of why it is halted"),
        optional("first_block", Integer, "first block that was ever stored"),
        optional("tip_number", Integer, "last stored block"),
        optional("tip_hash", Bytes, "hash of that block"),
        optional("finalized_number", Integer, "highest stored block that is known to be final"),
        optional("watermark", Integer, "last block up to which every dataset that is granted and collected is cold"),
        optional("head_number", Integer, "the chain's newest block, as its follower last said"),
        optional("lag_blocks", Integer, "blocks from the last stored one to that"),
        optional(
            "lag_seconds",
            Double,
            "seconds from an endpoint's first answer with the last stored block to its commit",
        ),
        optional("blocks_per_second", Double, "blocks stored in a second lately"),
        optional("reported_at", Time, "when the follower said so"),
        required("updated_at", Time, "when tip, finalized block or state last changed"),
    ],
    key: Some("chain_id"),
    select: include_str!("../../queries/platform/chains.sql"),
};
