//! What the parent and the sandbox say to each other.
//!
//! A frame is a little-endian `u32` length, one byte for the kind, and the payload; the length counts the payload only.
//! Kind `J` holds one JSON message, kind `A` a piece of Arrow IPC. A session is: `open`, `parse`, `plan`, `prepare`,
//! any number of `rows` (each followed by one `A` frame), `run`. Every message but `rows` is answered by one `J`
//! frame, `run` by `columns`, any number of `A` frames that together are one IPC stream, and `done`. `failed` may stand
//! in the place of any answer, and ends the session.
//!
//! It is here, below both ends, because the parent must not link DuckDB.

use serde::{Deserialize, Serialize};

/// Kind of a frame that holds one JSON message.
pub const KIND_JSON: u8 = b'J';

/// Kind of a frame that holds Arrow IPC bytes.
pub const KIND_ARROW: u8 = b'A';

/// Bytes before the payload: length and kind.
pub const FRAME_HEADER_BYTES: usize = 5;

/// Largest payload that either end accepts; a longer one means that the two ends have lost each other.
pub const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;

/// Largest payload of kind [`KIND_ARROW`] in an answer, and so the largest row: the parent writes the rows of a frame
/// as text at once, which takes some nine times their bytes.
pub const MAX_ROWS_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The version of DuckDB that library, crate and extension are pinned to.
pub const DUCKDB_VERSION: &str = "v1.5.5";

/// The only variable in a sandbox's environment: DuckDB's allocator gives back at once what is freed, so that a limit on
/// memory meets what is in use and not what was.
///
/// **Source**: jemalloc(3), `opt.retain`, `opt.dirty_decay_ms`, `opt.muzzy_decay_ms`; DuckDB's copy reads them from this
/// name. A DuckDB that was built without that allocator does not look.
pub const ALLOCATOR_SETTINGS: (&str, &str) =
    ("DUCKDB_JE_MALLOC_CONF", "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0");

/// A column of this name is shown as the constant of the chain, and read from nowhere.
pub const CHAIN_ID: &str = "chain_id";

/// A column of this name holds seconds since 1970-01-01 UTC. Its relation also shows [`BLOCK_TIME`].
pub const TIMESTAMP: &str = "timestamp";

/// The last column of a relation that has [`TIMESTAMP`]: the same as a `TIMESTAMP`.
pub const BLOCK_TIME: &str = "block_time";

/// Schema of the relations over the platform's own tables. No chain is called so: its relations would be in it.
pub const PLATFORM_SCHEMA: &str = "isotherm";

/// A message of the parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Starts the session: the process limits itself and opens DuckDB.
    Open(Limits),
    /// Asks for the tree of a text.
    Parse {
        /// The user's text.
        sql: String,
    },
    /// Asks what a checked tree reads.
    Plan {
        /// A tree from `parsed` that the gate has passed.
        tree: String,
        /// The relations that it names.
        relations: Vec<Relation>,
    },
    /// Makes the relations: empty hot tables, and views over them and the cold files.
    Prepare {
        /// The relations that the query names, each with its parts.
        sources: Vec<Source>,
    },
    /// Announces hot rows, or rows of the platform's own tables; the next frame is of kind `A` and holds a whole IPC stream.
    Rows {
        /// The table of [`Part`] that the rows belong to.
        hot_table: String,
    },
    /// Locks the engine and runs a checked tree.
    Run {
        /// A tree from `parsed` that the gate has passed.
        tree: String,
        /// Rows after which the answer is cut off.
        max_rows: u64,
        /// Bytes of Arrow IPC after which the answer is cut off.
        max_bytes: u64,
        /// Milliseconds after which the query is interrupted and the process ends.
        timeout_ms: u64,
    },
}

/// What the process may use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of DuckDB's buffers.
    pub memory_bytes: u64,
    /// Memory that the process may write to (`RLIMIT_DATA`): what holds when DuckDB does not count what it takes.
    pub writable_bytes: u64,
    /// Address space of the process (`RLIMIT_AS`), with what is only reserved or read.
    pub address_space_bytes: u64,
    /// Processor time of the process, all threads together (`RLIMIT_CPU`).
    pub cpu_seconds: u64,
    /// Threads that run a query.
    pub threads: u32,
    /// Where and how much may be spilled to disk; absent means nothing.
    pub spill: Option<Spill>,
    /// Path of the `httpfs` extension; absent means that no cold file can be read.
    pub httpfs: Option<String>,
    /// TCP ports that it may connect to: the one at which its parent serves cold files.
    pub ports: Vec<u16>,
}

/// Room on disk for what does not fit in memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spill {
    /// An existing folder that belongs to this process alone.
    pub folder: String,
    /// Bytes at most.
    pub bytes: u64,
}

/// A relation that SQL can name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// The schema that it is in, the name of a chain or [`PLATFORM_SCHEMA`]: lower-case letters, digits, `_` and `-`.
    /// Absent for a relation over all chains.
    pub schema: Option<String>,
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// Its stored columns, in order; those that are computed are not among them.
    pub columns: Vec<RelationColumn>,
}

impl Relation {
    /// Its name with its schema, as [`Scan`] writes it: `monad.logs`, or `logs` over all chains.
    pub fn full_name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationColumn {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// Its DuckDB type.
    pub sql_type: String,
}

/// A relation and where its rows are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What SQL sees.
    pub relation: Relation,
    /// Its rows, one part a chain, or one part of those that no chain gives; without any it is empty.
    pub parts: Vec<Part>,
}

/// Rows of a relation: those that one chain gives it, or those of one of the platform's own tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The chain: the constant shown as [`CHAIN_ID`]. Absent if each row says it itself, or is of no chain.
    pub chain_id: Option<u64>,
    /// Table of its hot rows: lower-case letters, digits and `_`. Relations that show the same rows share one.
    pub hot_table: String,
    /// Columns of the hot batches, in their order. A query that reads another column of a hot row fails.
    pub hot_columns: Vec<String>,
    /// Cold files, in groups of neighbouring ones.
    pub cold: Vec<ColdGroup>,
}

/// Cold files that lie next to each other, read as one branch of the view.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColdGroup {
    /// First block of the first file.
    pub first_block: u64,
    /// Last block of the last file that may be seen, included.
    pub last_block: u64,
    /// Addresses at which the parent serves them to this process; nothing else becomes readable.
    pub urls: Vec<String>,
}

/// An answer of the sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Response {
    /// The engine is open.
    Opened {
        /// Its version; [`DUCKDB_VERSION`].
        version: String,
        /// What the process could not shut itself off from; empty where the system offers all of it.
        open_doors: Vec<OpenDoor>,
    },
    /// The text is one or more SELECT-like statements.
    Parsed {
        /// DuckDB's `json_serialize_sql` of the text.
        tree: String,
    },
    /// The tree binds.
    Planned {
        /// Every scan of a relation in the plan.
        scans: Vec<Scan>,
    },
    /// The relations are there.
    Prepared {},
    /// The query runs; its rows follow.
    Columns {
        /// The answer's columns.
        columns: Vec<RelationColumn>,
    },
    /// All rows were sent.
    Done {
        /// Rows sent.
        rows: u64,
        /// Whether there were more.
        truncated: bool,
    },
    /// The session is over.
    Failed(Failure),
}

/// The TCP port of an `http` or `https` URL; `None` if it is neither, or names none that there is.
pub fn port_of(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // Past the brackets of an IPv6 address, in which colons are no mark of a port.
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    match after_host.split_once(':') {
        None => Some(usual),
        Some((_, port)) => port.parse().ok(),
    }
}

/// What a process could not shut itself off from, as its system does not let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenDoor {
    /// Every file that its user may read or write.
    Files,
    /// Every address that its network reaches by TCP.
    Connections,
    /// Signals to its user's processes, and their abstract sockets.
    Processes,
    /// Sockets in the file system.
    UnixSockets,
}

/// One scan of a relation in a query's plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// The relation's [full name](Relation::full_name).
    pub relation: String,
    /// Columns that leave the scan. A column used only by a filter is not among them.
    pub columns: Vec<String>,
    /// Filters inside the scan as DuckDB prints them, such as `block_number>=5 AND block_number<=10`.
    pub filters: Vec<String>,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What kind of failure it is.
    pub reason: FailureReason,
    /// DuckDB's words, without the quoted line.
    pub message: String,
    /// Byte in the user's text, from 0.
    pub position: Option<u64>,
    /// The name that the message is about; the tree says where it stands.
    pub near: Option<String>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The text does not parse.
    Syntax,
    /// The text parses, but is not a SELECT.
    NotAQuery,
    /// A name or a type does not fit.
    Bind,
    /// The query was interrupted at its time-out.
    Timeout,
    /// The query needs more memory or disk than it may use.
    OutOfMemory,
    /// A row of the answer is longer than [`MAX_ROWS_FRAME_BYTES`].
    RowTooLarge,
    /// A file could not be read, or access to it was refused.
    Read,
    /// The engine failed while running, such as by a conversion or a division.
    Execution,
    /// A message was out of turn or not understood.
    Protocol,
    /// The sandbox itself could not do its work.
    Engine,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_url_is_read() {
        let table = [
            ("https://bucket.s3.eu-central-1.amazonaws.com/a/b.parquet?X-Amz-Expires=60&x=a:1", Some(443)),
            ("http://127.0.0.1:4566/b/k", Some(4566)),
            ("http://host", Some(80)),
            ("http://[::1]:90/x", Some(90)),
            ("https://[2001:db8::1]/x", Some(443)),
            ("http://host:0x50/", None),
            ("http://host:99999/", None),
            ("s3://bucket/key", None),
            ("/etc/passwd", None),
            ("", None),
        ];
        for (url, expected) in table {
            assert_eq!(port_of(url), expected, "{url}");
        }
    }
}
