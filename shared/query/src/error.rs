//! What can go wrong with a query, what it is called, and what its asker is told.

use std::time::Duration;

use isotherm_cold_store::Sha256Digest;
use isotherm_types::sandbox::MAX_ROWS_FRAME_BYTES;
use isotherm_types::{B256, BlockNumber, ChainId, Classified, Disposition};
use serde::Serialize;

use crate::gate::Refusal;
use crate::platform_rows::MAX_BYTES;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text does not parse.
    #[error("{message}")]
    Syntax {
        /// DuckDB's words.
        message: String,
        /// Byte of the text, from 0.
        position: Option<u64>,
    },
    /// The gate does not let it run.
    #[error("{0}")]
    Refused(#[source] Refusal),
    /// The text is no SELECT.
    #[error("{message}")]
    NotAQuery {
        /// DuckDB's words.
        message: String,
    },
    /// A name or a type in it does not fit.
    #[error("{message}")]
    Invalid {
        /// DuckDB's words.
        message: String,
        /// Byte of the text, from 0.
        position: Option<u64>,
    },
    /// A relation that is not there, or that its asker may not read: which of the two is not told.
    #[error("there is no relation {name:?}, or none that you may read; correct the name or ask an admin for a grant")]
    UnknownRelation {
        /// Its name.
        name: String,
        /// Byte of the text, from 0.
        position: Option<u64>,
    },
    /// Rows of one of the platform's own tables are more than one query may have fetched.
    #[error(
        "the rows of {table} that the query needs are more than {} MiB; name fewer columns{}, \
         or list them through the API",
        MAX_BYTES >> 20, or_bound(*.key)
    )]
    PlatformRowsTooLarge {
        /// The table at which it was too much.
        table: String,
        /// The column by whose bounds less is fetched; `None` if there is none.
        key: Option<&'static str>,
    },
    /// A relation whose rows nobody collects.
    #[error("the rows of {name} are not collected: the chain's jobs leave them out")]
    NotCollected {
        /// Its name.
        name: String,
        /// Byte of the text, from 0.
        position: Option<u64>,
    },
    /// The block that the answer is to be pinned to could be one of several chains.
    #[error(
        "as_of has to say which chain it means, as in {{\"chain\": \"…\", \"block\": …}}; the query reads {}",
        in_words(.chains)
    )]
    AsOfChainMissing {
        /// Names of the chains that the query reads.
        chains: Vec<String>,
    },
    /// The block's chain is not there, or its asker may not read it: which of the two is not told.
    #[error("as_of names the chain {chain:?}, which is not there, or which you may not read")]
    AsOfChainUnknown {
        /// Its name as given.
        chain: String,
    },
    /// The block is still to come.
    #[error("as_of names block {number} of {chain}, of which {}", up_to(*.last))]
    AsOfAhead {
        /// Name of the chain.
        chain: String,
        /// The block.
        number: BlockNumber,
        /// The chain's last block; `None` if nothing is stored.
        last: Option<BlockNumber>,
    },
    /// The block's hash is that of no block that can be found by its hash.
    #[error("as_of names {hash}, which is no block of {chain} in hot storage; name an older block by its number")]
    AsOfUnknown {
        /// Name of the chain.
        chain: String,
        /// The hash.
        hash: B256,
    },
    /// It took too long.
    #[error("the query was stopped after {} s", .limit.as_secs_f64())]
    Timeout {
        /// The time it had.
        limit: Duration,
    },
    /// Its answer is too large.
    #[error("the answer is larger than {limit}; add a LIMIT or aggregate")]
    TooLarge {
        /// The limit, with its unit.
        limit: String,
    },
    /// A row of its answer is too large to be handed on.
    #[error(
        "a row of the answer is larger than {} MiB; name fewer columns or shorten its values",
        MAX_ROWS_FRAME_BYTES >> 20
    )]
    RowTooLarge,
    /// It needs more memory than it may use.
    #[error("the query needs more memory than it may use: {message}")]
    OutOfMemory {
        /// DuckDB's words, or what its process held.
        message: String,
    },
    /// It failed while running.
    #[error("{message}")]
    Failed {
        /// DuckDB's words.
        message: String,
    },
    /// A file of cold storage is not there.
    #[error("the cold file {key} is missing")]
    ColdFileMissing {
        /// Its key.
        key: String,
    },
    /// A file of cold storage has other bytes than were committed.
    #[error("the cold file {key} has {found_bytes} bytes, not {expected_bytes}")]
    ColdFileAltered {
        /// Its key.
        key: String,
        /// Length that was committed.
        expected_bytes: u64,
        /// Length that it has.
        found_bytes: u64,
    },
    /// A file of cold storage has other bytes of the same length.
    #[error("the cold file {key} has the SHA-256 {found}, not {expected}")]
    ColdFileReplaced {
        /// Its key.
        key: String,
        /// Digest that was committed.
        expected: Sha256Digest,
        /// Digest that S3 has for what is there.
        found: Sha256Digest,
    },
    /// What is at the key of a file was not put there by us, who say its digest.
    #[error(
        "S3 has no SHA-256 of the cold file {key}, so something else was put in its place: what is written here has one"
    )]
    ColdFileUnproven {
        /// Its key.
        key: String,
    },
    /// A file of cold storage could not be read.
    #[error("the cold file {key} could not be read")]
    ColdFileUnread {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: Box<isotherm_cold_store::objects::ObjectError>,
    },
    /// A file of cold storage could not be read while the query ran, by the words of the engine.
    #[error("a cold file could not be read: {message}")]
    ColdFileUnreadable {
        /// DuckDB's words; keys in the place of URLs.
        message: String,
    },
    /// A check found a file of cold storage to be other than committed, and none since found it mended.
    #[error("a check found the cold file {key} not to be what was committed ({fault})")]
    ColdFileUnsound {
        /// Its key.
        key: String,
        /// Stable name of what is wrong.
        fault: String,
    },
    /// Cold storage holds a chain that hot storage does not know.
    #[error("cold storage holds blocks up to {watermark} of chain {chain_id}, which has no cursor")]
    UnknownChain {
        /// The chain.
        chain_id: ChainId,
        /// Its watermark.
        watermark: BlockNumber,
    },
    /// Postgres refused or did not answer.
    #[error("the snapshot could not be read")]
    Database(#[from] sqlx::Error),
    /// Hot rows could not be read.
    #[error("hot rows could not be read")]
    HotStore(#[from] isotherm_hot_store::HotStoreError),
    /// Rows of the platform's own tables could not be read.
    #[error("rows of the platform's own tables could not be read")]
    PlatformRows(#[source] isotherm_hot_store::HotStoreError),
    /// The catalogue of cold storage could not be read.
    #[error("the catalogue of cold storage could not be read")]
    Catalog(#[from] isotherm_cold_store::catalog::CatalogError),
    /// The object store could not be asked.
    #[error("cold storage could not be asked")]
    Objects(#[from] isotherm_cold_store::objects::ObjectError),
    /// Cold files could not be served to the sandbox.
    #[error("cold files could not be served on this machine")]
    ColdServer(#[source] std::io::Error),
    /// The sandbox did not start, or the stream to it broke.
    #[error("the sandbox could not be {action}")]
    Sandbox {
        /// What was being done with it.
        action: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The sandbox ended, or said something that it should not.
    #[error("the sandbox failed: {message}")]
    SandboxProtocol {
        /// What it said or did.
        message: String,
    },
    /// A file of rows could not be made on the local disk.
    #[error("the file of the answer could not be {action}")]
    ResultFile {
        /// What was being done with it.
        action: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The bucket of results could not be written or read.
    #[error("the bucket of results could not be used")]
    ResultStore(#[source] isotherm_cold_store::objects::ObjectError),
    /// A document in the bucket of results is none that this program writes.
    #[error("the document {key} cannot be written or read")]
    ResultDocument {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Rows could not be passed as Arrow.
    #[error("rows could not be read or written as arrow")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// What the asker is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorAnswer {
    /// Stable name.
    pub code: &'static str,
    /// What is wrong, for the asker.
    pub message: String,
    /// What helps, or what stands behind it; null if there is nothing to add.
    pub detail: Option<String>,
    /// Byte of the asker's text, from 0; null if there is no one place.
    pub position: Option<u64>,
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The text must change.
    Asker,
    /// The answer must become smaller.
    Size,
    /// It needs more time.
    Time,
    /// The platform's.
    Platform,
}

impl QueryError {
    /// Whose doing it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Syntax { .. }
            | Self::Refused(_)
            | Self::NotAQuery { .. }
            | Self::Invalid { .. }
            | Self::UnknownRelation { .. }
            | Self::NotCollected { .. }
            | Self::AsOfChainMissing { .. }
            | Self::AsOfChainUnknown { .. }
            | Self::AsOfAhead { .. }
            | Self::AsOfUnknown { .. }
            | Self::Failed { .. }
            | Self::OutOfMemory { .. } => Blame::Asker,
            Self::TooLarge { .. } | Self::RowTooLarge | Self::PlatformRowsTooLarge { .. } => Blame::Size,
            Self::Timeout { .. } => Blame::Time,
            Self::ColdFileMissing { .. }
            | Self::ColdFileAltered { .. }
            | Self::ColdFileReplaced { .. }
            | Self::ColdFileUnproven { .. }
            | Self::ColdFileUnread { .. }
            | Self::ColdFileUnreadable { .. }
            | Self::ColdFileUnsound { .. }
            | Self::UnknownChain { .. }
            | Self::Database(_)
            | Self::HotStore(_)
            | Self::PlatformRows(_)
            | Self::Catalog(_)
            | Self::Objects(_)
            | Self::ColdServer(_)
            | Self::Sandbox { .. }
            | Self::SandboxProtocol { .. }
            | Self::ResultFile { .. }
            | Self::ResultStore(_)
            | Self::ResultDocument { .. }
            | Self::Arrow(_) => Blame::Platform,
        }
    }

    /// What the asker is told: the causes of the platform's own failures stay in its log.
    pub fn answer(&self) -> ErrorAnswer {
        let (detail, position) = match self {
            Self::Syntax { position, .. }
            | Self::Invalid { position, .. }
            | Self::UnknownRelation { position, .. }
            | Self::NotCollected { position, .. } => (None, *position),
            Self::Refused(refusal) => (None, refusal.position()),
            Self::NotAQuery { .. } => (Some("only SELECT can be run".to_owned()), None),
            Self::ColdFileMissing { .. }
            | Self::ColdFileAltered { .. }
            | Self::ColdFileReplaced { .. }
            | Self::ColdFileUnproven { .. }
            | Self::ColdFileUnread { .. }
            | Self::ColdFileUnreadable { .. }
            | Self::ColdFileUnsound { .. } => {
                (Some("no answer is given rather than one with fewer rows".to_owned()), None)
            }
            _ => (None, None),
        };
        ErrorAnswer { code: self.code(), message: self.to_string(), detail, position }
    }
}

impl Classified for QueryError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Database(_)
            | Self::ColdServer(_)
            | Self::Sandbox { .. }
            | Self::ColdFileUnreadable { .. }
            | Self::ResultFile { .. } => Disposition::Retry,
            Self::ResultStore(error) => error.disposition(),
            Self::HotStore(error) | Self::PlatformRows(error) => error.disposition(),
            Self::Catalog(error) => error.disposition(),
            Self::Objects(error) => error.disposition(),
            Self::ColdFileUnread { source, .. } => source.disposition(),
            Self::Syntax { .. }
            | Self::Refused(_)
            | Self::NotAQuery { .. }
            | Self::Invalid { .. }
            | Self::UnknownRelation { .. }
            | Self::NotCollected { .. }
            | Self::AsOfChainMissing { .. }
            | Self::AsOfChainUnknown { .. }
            | Self::AsOfAhead { .. }
            | Self::AsOfUnknown { .. }
            | Self::Timeout { .. }
            | Self::TooLarge { .. }
            | Self::RowTooLarge
            | Self::PlatformRowsTooLarge { .. }
            | Self::OutOfMemory { .. }
            | Self::Failed { .. }
            | Self::ColdFileMissing { .. }
            | Self::ColdFileAltered { .. }
            | Self::ColdFileReplaced { .. }
            | Self::ColdFileUnproven { .. }
            | Self::ColdFileUnsound { .. }
            | Self::UnknownChain { .. }
            | Self::SandboxProtocol { .. }
            | Self::ResultDocument { .. }
            | Self::Arrow(_) => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "query.syntax",
            Self::Refused(_) | Self::NotAQuery { .. } => "query.refused",
            Self::Invalid { .. } => "query.invalid",
            Self::UnknownRelation { .. } => "query.unknown_relation",
            Self::NotCollected { .. } => "query.not_collected",
            Self::AsOfChainMissing { .. } | Self::AsOfChainUnknown { .. } => "query.as_of_chain",
            Self::AsOfAhead { .. } => "query.as_of_ahead",
            Self::AsOfUnknown { .. } => "query.as_of_unknown",
            Self::Timeout { .. } => "query.timeout",
            Self::TooLarge { .. } | Self::RowTooLarge => "query.too_large",
            Self::PlatformRowsTooLarge { .. } => "query.platform_rows_too_large",
            Self::OutOfMemory { .. } => "query.out_of_memory",
            Self::Failed { .. } => "query.failed",
            Self::ColdFileMissing { .. } => "query.cold_file_missing",
            Self::ColdFileAltered { .. } | Self::ColdFileReplaced { .. } | Self::ColdFileUnproven { .. } => {
                "query.cold_file_altered"
            }
            Self::ColdFileUnread { .. } | Self::ColdFileUnreadable { .. } => "query.cold_file_unreadable",
            Self::ColdFileUnsound { .. } => "query.cold_file_unsound",
            Self::UnknownChain { .. } => "query.unknown_chain",
            Self::Database(_) => "query.database",
            Self::HotStore(_) => "query.hot_store",
            Self::PlatformRows(_) => "query.platform_rows",
            Self::Catalog(_) => "query.catalog",
            Self::Objects(_) => "query.object_store",
            Self::ColdServer(_) => "query.cold_server",
            Self::Sandbox { .. } | Self::SandboxProtocol { .. } => "query.sandbox",
            Self::ResultFile { .. } => "query.result_file",
            Self::ResultStore(_) => "query.result_store",
            Self::ResultDocument { .. } => "query.result_document",
            Self::Arrow(_) => "query.arrow",
        }
    }
}

fn in_words(chains: &[String]) -> String {
    if chains.is_empty() { "none".to_owned() } else { chains.join(", ") }
}

fn or_bound(key: Option<&'static str>) -> String {
    key.map_or_else(String::new, |key| format!(", or compare {key} with constants"))
}

fn up_to(last: Option<BlockNumber>) -> String {
    last.map_or_else(|| "nothing is stored yet".to_owned(), |last| format!("the last stored block is {last}"))
}
