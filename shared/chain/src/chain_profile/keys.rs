//! The keys of the file, each with its form, its default and its meaning.

/// A mapping whose keys are known.
#[derive(Debug)]
pub(super) struct Table {
    /// What it is called in the schema.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    pub(super) shape: Shape,
    /// With its unit.
    pub(super) about: &'static str,
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// Absent is the same as this, which is JSON.
    Default(&'static str),
    /// With some values of another key only; `fit` knows which.
    Sometimes,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// A whole number from `least` to `most`.
    Whole {
        least: u64,
        most: u64,
    },
    /// A chain's name, as it stands in object keys.
    Name,
    /// One of a closed list of words, each with its meaning.
    Word(&'static [(&'static str, &'static str)]),
    /// A block number, or the word `never`.
    Check,
    Table(&'static Table),
    /// A list of such mappings.
    List(&'static Table),
}

/// Longest name of a chain: with `backfill-` before it, it still fits a job's name of 63 characters.
pub(super) const MAX_NAME: usize = 54;

/// Largest number of a block, a chain or a span that Postgres can hold.
const MOST: u64 = i64::MAX.unsigned_abs();

use Presence::{Default, Required, Sometimes};

const fn key(name: &'static str, presence: Presence, shape: Shape, about: &'static str) -> Key {
    Key { name, presence, shape, about }
}

const fn whole(least: u64, most: u64) -> Shape {
    Shape::Whole { least, most }
}

/// The whole file.
pub(super) static FILE: Table = Table {
    name: "chains",
    about: "What differs from chain to chain.",
    keys: &[
        key("version", Required, whole(super::PROFILES_VERSION, super::PROFILES_VERSION), "Format of the file."),
        key("chains", Required, Shape::List(&CHAIN), "The chains; no two of one chain id or one name."),
    ],
};

/// A chain.
pub(super) static CHAIN: Table = Table {
    name: "chain",
    about: "One chain.",
    keys: &[
        key("chain_id", Required, whole(1, MOST), "Its id, as of EIP-155."),
        key("name", Required, Shape::Name, "What it is called."),
        key("block_time_ms", Required, whole(1, 3_600_000), "Milliseconds from one block to the next."),
        key("finality", Required, Shape::Table(&FINALITY), "How it says which blocks are final."),
        key(
            "max_reorg_depth",
            Default("64"),
            whole(1, MOST),
            "Blocks that a reorg may replace without a person's leave, at most.",
        ),
        key(
            "partition_blocks",
            Default("10000"),
            whole(1, super::MOST_PARTITION_BLOCKS),
            "Blocks in each partition, hot and cold.",
        ),
        key("batch_calls", Default("100"), whole(1, 10_000), "Calls in one JSON-RPC batch, at most."),
        key("answer_bytes", Default("33554432"), whole(1024, 1 << 30), "Bytes of one answer, at most."),
        key("log_range_blocks", Default("1000"), whole(1, 1_000_000), "Blocks in one `eth_getLogs`, at most."),
        key(
            "trace_method",
            Default("\"none\""),
            Shape::Word(&[
                ("trace_block", "`trace_block`, as of Erigon, Nethermind and Reth"),
                ("debug_trace_block", "`debug_traceBlockByHash` with `callTracer`, as of go-ethereum and Monad"),
                ("none", "not at all"),
            ]),
            "How its nodes can be asked for traces.",
        ),
        key("checks", Default("{}"), Shape::Table(&CHECKS), "Which checks are made on its blocks."),
    ],
};

/// How a chain says what is final.
pub(super) static FINALITY: Table = Table {
    name: "finality",
    about: "How a chain says which blocks are final.",
    keys: &[
        key(
            "kind",
            Required,
            Shape::Word(&[
                ("tags", "its nodes know the block tags `safe` and `finalized`"),
                ("depth", "a block with so many `blocks` above it counts as final"),
            ]),
            "By which sign.",
        ),
        key("blocks", Sometimes, whole(1, MOST), "With `kind: depth`, and only with it: blocks above a final one."),
    ],
};

/// Checks of a chain's blocks.
static CHECKS: Table = Table {
    name: "checks",
    about: "From which block on a check is made, or `never`. What is not made is said to be not verifiable.",
    keys: &[
        key("header_hash", Default("0"), Shape::Check, "The header hashes to the block's hash."),
        key("parent_hash", Default("0"), Shape::Check, "A block names the one before it as its parent."),
        key("transactions_root", Default("0"), Shape::Check, "The transactions are those of the header."),
        key("receipts_root", Default("0"), Shape::Check, "The receipts are those of the header."),
        key("logs_bloom", Default("0"), Shape::Check, "The logs' Bloom filter is that of the header."),
        key("gas_used", Default("0"), Shape::Check, "The receipts' gas is that of the header."),
        key("sender", Default("0"), Shape::Check, "Each transaction's sender is the account that signed it."),
        key(
            "effective_gas_price",
            Default("0"),
            Shape::Check,
            "Each receipt's effective gas price is what its transaction pays (EIP-1559).",
        ),
        key(
            "contract_address",
            Default("0"),
            Shape::Check,
            "Each receipt names the contract that its transaction creates, and no other.",
        ),
        key(
            "unknown_formats",
            Default("\"refuse\""),
            Shape::Word(&[
                ("refuse", "it is untrue, so that nobody can excuse an untrue block with it"),
                ("accept", "what cannot be checked for its sake is not verifiable"),
            ]),
            "What becomes of a block with a header field or a transaction type that Isotherm does not know.",
        ),
    ],
};
