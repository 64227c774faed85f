//! Configuration of the function, and the function made of it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use isotherm_cold_store::ObjectStore;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::lambda::identity;
use isotherm_platform::{Environment, Fault};
use isotherm_query::engine::{AnswerLimits, SandboxConfig};
use isotherm_query::results::{InlineLimits, ResultStore};
use isotherm_query::{ColdServer, QueryEngine, SandboxMemory, WaitingSandbox};
use isotherm_types::sandbox::MAX_ROWS_FRAME_BYTES;

use crate::QueryFunction;
use crate::request::MAX_TIMEOUT;

/// Memory of the function if Lambda does not say it, as outside of Lambda.
const DEFAULT_MEMORY_MB: u64 = 2048;

/// Code, clients, pools, the tree of a statement, and hot rows on their way to the sandbox.
const OWN_BYTES: u64 = 192 << 20;

/// The longest frame of rows and the same rows as text, which are some nine times as much until they are in a file. As
/// columns of a Parquet file they are less.
const FRAME_BYTES: u64 = 10 * MAX_ROWS_FRAME_BYTES as u64;

/// Memory that is this process's own, beside the sandbox, with kept cold files and the rows of an inline answer.
const PARENT_BYTES: u64 = OWN_BYTES + FRAME_BYTES + INLINE_BYTES + COLD_BYTES;

/// Room on disk for what does not fit in memory; half of the function's own.
const SPILL_BYTES: u64 = 1 << 30;

/// Rows of an inline answer.
const INLINE_ROWS: u64 = 100_000;

/// Arrow bytes of an inline answer; as text it must be smaller still.
const INLINE_BYTES: u64 = 32 << 20;

/// Bytes of a file; with what is spilled it stays within the function's disk.
const MAX_FILE_BYTES: u64 = 768 << 20;

/// Interactive queries of one organisation that run at one time; half of what the function can run.
const PLACES: u32 = 4;

/// How long a query waits for one of them: with the usual time-out it stays within API Gateway's 30 s.
const PLACE_WAIT: Duration = Duration::from_secs(3);

/// Cold files that are kept in memory from one query to the next.
const COLD_BYTES: u64 = 128 << 20;

/// Reads `ISOTHERM_SECRET_DATABASE_ARN`, `ISOTHERM_BUCKET_COLD`, `ISOTHERM_BUCKET_RESULTS`, the queues of events,
/// `ISOTHERM_TOKEN_ISSUERS`, `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` (set by Lambda), and optionally `ISOTHERM_QUERY_PLACES`,
/// `ISOTHERM_SANDBOX_BIN` and `ISOTHERM_HTTPFS_EXTENSION`; connects.
pub(crate) async fn function(mut environment: Environment) -> Result<QueryFunction, Fault> {
    let secret_arn = environment.database_secret_arn();
    let cold = environment.bucket("cold");
    let results = environment.bucket("results");
    let event_queues = environment.event_queues();
    let issuers = environment.token_issuers();
    let usual = FunctionMemory::of(DEFAULT_MEMORY_MB).expect("the usual memory is enough");
    let memory =
        environment.parsed_or("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "a number of megabytes, 1280 at least", usual);
    let places = environment.parsed_or("ISOTHERM_QUERY_PLACES", "a number of queries", PLACES);
    let program = environment.optional_text("ISOTHERM_SANDBOX_BIN");
    let httpfs = environment.optional_text("ISOTHERM_HTTPFS_EXTENSION");
    let checked = environment.check()?;

    let clients = Clients::load().await;
    let options = PoolOptions { statement_timeout: Some(Duration::from_secs(60)), ..PoolOptions::lambda("query") };
    let pool = database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
    let objects = ObjectStore::new(clients.s3().clone(), cold.open(&checked));
    let given = |path: Option<String>, name: &str| path.map_or_else(|| beside_this_program(name), PathBuf::from);
    let sandbox = SandboxConfig {
        program: given(program.open(&checked), "isotherm-sql-sandbox"),
        httpfs: Some(given(httpfs.open(&checked), "extensions/httpfs.duckdb_extension")),
        memory: memory.open(&checked).0,
        threads: std::thread::available_parallelism().map_or(1, |threads| u32::try_from(threads.get()).unwrap_or(1)),
        spill_bytes: SPILL_BYTES,
        spill_folder: std::env::temp_dir(),
    };
    let limits = AnswerLimits { max_rows: INLINE_ROWS, max_bytes: INLINE_BYTES };
    let (cold, waiting) = (ColdServer::keeping(COLD_BYTES), WaitingSandbox::default());
    let engine = QueryEngine { pool, objects, cold, sandbox, limits, waiting };
    engine.keep_a_sandbox_waiting(MAX_TIMEOUT).await;
    Ok(QueryFunction {
        engine,
        results: ResultStore::new(clients.s3().clone(), results.open(&checked)),
        authenticator: identity::authenticator(issuers.open(&checked))?,
        clients,
        event_queues: event_queues.open(&checked),
        inline: InlineLimits { max_rows: INLINE_ROWS, max_bytes: INLINE_BYTES },
        max_file_bytes: MAX_FILE_BYTES,
        places: places.open(&checked),
        place_wait: PLACE_WAIT,
    })
}

/// What the function's memory leaves to a sandbox; parsed from megabytes.
struct FunctionMemory(SandboxMemory);

impl FunctionMemory {
    /// `None` if it is too little for both.
    fn of(memory_mb: u64) -> Option<Self> {
        SandboxMemory::on_machine(memory_mb.checked_mul(1 << 20)?, PARENT_BYTES).map(Self)
    }
}

impl FromStr for FunctionMemory {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse::<u64>().ok().and_then(Self::of).ok_or(())
    }
}

/// In the function's zip everything lies beside `bootstrap`.
fn beside_this_program(name: &str) -> PathBuf {
    let program = std::env::current_exe().ok();
    program.as_deref().and_then(Path::parent).unwrap_or(Path::new("/var/task")).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the stack file gives the function.
    fn memory_of_the_stack() -> &'static str {
        let stack = include_str!("../../../terraform/stack.yaml");
        let (_, function) = stack.split_once("\n  query:\n").unwrap();
        let (_, memory) = function.split_once("memory_mb: ").unwrap();
        memory.split_whitespace().next().unwrap()
    }

    #[test]
    fn the_function_holds_itself_and_a_sandbox() {
        assert_eq!(PARENT_BYTES >> 20, 512, "as ADR 26 and the README say");
        for (megabytes, duckdb_mib) in [(memory_of_the_stack(), 1856), ("2048", 896), ("8192", 5324)] {
            let FunctionMemory(memory) = megabytes.parse().unwrap();
            let machine_bytes = megabytes.parse::<u64>().unwrap() << 20;
            assert_eq!(memory.duckdb_bytes >> 20, duckdb_mib, "{megabytes}");
            assert!(PARENT_BYTES + memory.most_bytes() <= machine_bytes, "{megabytes}: {memory:?}");
        }
    }

    #[test]
    fn a_function_that_cannot_hold_both_does_not_start() {
        for wrong in ["1279", "0", "-1", "3 GB", "18446744073709551615"] {
            assert!(wrong.parse::<FunctionMemory>().is_err(), "{wrong}");
        }
        assert!("1280".parse::<FunctionMemory>().is_ok());
    }
}
