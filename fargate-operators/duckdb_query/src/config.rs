//! The job's settings, read strictly: a misspelt key is an error, not a default.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use isotherm_query::SandboxMemory;
use isotherm_query::engine::SandboxConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// What `terraform/stack.yaml` gives the operator's task.
const TASK_MB: u64 = 8192;

/// What worker and operator need of it.
const BESIDE_MB: u64 = 512;

/// Most memory of DuckDB's buffers: the sandbox may hold 640 MiB more, and the task has to have all of it.
const MOST_MEMORY_MB: u64 = TASK_MB - BESIDE_MB - (SandboxMemory::around(0).most_bytes() >> 20);

/// Memory of DuckDB's buffers if the job does not say; about two thirds of the task's.
const MEMORY_MB: NonZeroU64 = NonZeroU64::new(5120).expect("it is not 0");

/// Room on disk for what does not fit in memory. Beside the longest result it stays within Fargate's 20 GiB.
const SPILL_MB: u64 = 6144;

/// Longest result.
const MAX_RESULT_BYTES: NonZeroU64 = NonZeroU64::new(10 << 30).expect("it is not 0");

/// Longest time of a query; more than one may ask for is of no use.
const MAX_TIMEOUT_SECONDS: NonZeroU64 = NonZeroU64::new(3600).expect("it is not 0");

/// `config` of a `duckdb_query` job; all of it may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// Bytes of the file that a query may write.
    pub max_result_bytes: NonZeroU64,
    /// Time that a query has, whatever it asks for.
    pub max_timeout_seconds: NonZeroU64,
    /// Memory of DuckDB's buffers.
    #[serde(deserialize_with = "memory_mb")]
    pub memory_mb: NonZeroU64,
    /// Room on disk for what does not fit in memory; 0 means none.
    pub spill_mb: u64,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            max_result_bytes: MAX_RESULT_BYTES,
            max_timeout_seconds: MAX_TIMEOUT_SECONDS,
            memory_mb: MEMORY_MB,
            spill_mb: SPILL_MB,
        }
    }
}

/// No more than the task has: the system would end it, worker and all, when the query fills what it was promised.
fn memory_mb<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU64, D::Error> {
    let given = NonZeroU64::deserialize(deserializer)?;
    if given.get() <= MOST_MEMORY_MB {
        return Ok(given);
    }
    let rest = TASK_MB - MOST_MEMORY_MB;
    Err(D::Error::custom(format!(
        "memory_mb is {given}, above {MOST_MEMORY_MB}: the task has {TASK_MB} MiB, and {rest} of them are for all else"
    )))
}

impl BatchConfig {
    /// The sandbox, whose files lie in the folder `bundle`, else beside this program as in its image.
    pub(crate) fn sandbox(&self, bundle: Option<String>, scratch: PathBuf) -> SandboxConfig {
        let bundle = bundle.map_or_else(beside_this_program, PathBuf::from);
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        SandboxConfig {
            program: bundle.join("isotherm-sql-sandbox"),
            httpfs: Some(bundle.join("extensions/httpfs.duckdb_extension")),
            memory: SandboxMemory::around(self.memory_mb.get().saturating_mul(1 << 20)),
            threads: u32::try_from(threads).unwrap_or(1),
            spill_bytes: self.spill_mb.saturating_mul(1 << 20),
            spill_folder: scratch,
        }
    }
}

fn beside_this_program() -> PathBuf {
    let program = std::env::current_exe().ok();
    program.as_deref().and_then(Path::parent).unwrap_or(Path::new("/app")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BatchConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn nothing_needs_to_be_said_and_a_misspelt_key_is_an_error() {
        assert_eq!(read("{}").unwrap(), BatchConfig::default());
        assert_eq!(read(r#"{"max_result_bytes": 5}"#).unwrap().max_result_bytes.get(), 5);
        for wrong in [r#"{"max_result_byte": 5}"#, r#"{"memory_mb": 0}"#, r#"{"spill_mb": -1}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_cannot_be_promised_more_memory_than_its_task_has() {
        let of = |memory_mb: u64| read(&format!(r#"{{"memory_mb": {memory_mb}}}"#));
        let most = of(7040).unwrap().sandbox(None, PathBuf::new()).memory;
        assert_eq!((BESIDE_MB << 20) + most.most_bytes(), TASK_MB << 20, "{most:?}");
        for memory_mb in [7041, 100_000, u64::MAX] {
            let error = of(memory_mb).unwrap_err().to_string();
            let told = format!("memory_mb is {memory_mb}, above 7040: the task has 8192 MiB, and 1152 of them");
            assert!(error.starts_with(&told), "{error}");
        }
    }

    #[test]
    fn the_bundle_is_where_it_is_said_to_be() {
        let sandbox = BatchConfig::default().sandbox(Some("/b".to_owned()), PathBuf::from("/s"));
        assert_eq!(sandbox.program, Path::new("/b/isotherm-sql-sandbox"));
        assert_eq!(sandbox.httpfs.as_deref(), Some(Path::new("/b/extensions/httpfs.duckdb_extension")));
        assert_eq!((sandbox.memory.duckdb_bytes, sandbox.spill_folder), (5120 << 20, PathBuf::from("/s")));
    }

    #[test]
    fn the_task_has_what_the_stack_gives_it() {
        let stack = include_str!("../../../terraform/stack.yaml");
        let (_, operator) = stack.split_once("\n  duckdb_query:\n").unwrap();
        let (_, memory) = operator.split_once("memory_mb: ").unwrap();
        assert_eq!(memory.split_whitespace().next(), Some(TASK_MB.to_string().as_str()));
        assert!(BatchConfig::default().memory_mb.get() <= MOST_MEMORY_MB);
    }
}
