//! Configuration of the function, and the engine made of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use isotherm_cold_store::ObjectStore;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::{Environment, Fault};
use isotherm_query::QueryEngine;
use isotherm_query::engine::{AnswerLimits, SandboxConfig};

/// Memory of the function if Lambda does not say it, as outside of Lambda.
const DEFAULT_MEMORY_MB: u64 = 2048;

/// Part of the function's memory that DuckDB's buffers may take; the rest is for the parent and the libraries.
const MEMORY_PERCENT: u64 = 65;

/// Room on disk for what does not fit in memory; half of the function's own.
const SPILL_BYTES: u64 = 1 << 30;

/// Rows of an inline answer.
const MAX_ROWS: u64 = 100_000;

/// Arrow bytes of an inline answer; as text it must be smaller still.
const MAX_ARROW_BYTES: u64 = 32 << 20;

/// Certificate authorities: Amazon Linux, then Debian.
const CA_BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// Reads `ISOTHERM_SECRET_DATABASE_ARN`, `ISOTHERM_BUCKET_COLD`, `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` (set by Lambda), and
/// optionally `ISOTHERM_SANDBOX_BIN` and `ISOTHERM_HTTPFS_EXTENSION`; connects.
pub(crate) async fn engine(mut environment: Environment) -> Result<QueryEngine, Fault> {
    let secret_arn = environment.database_secret_arn();
    let bucket = environment.bucket("cold");
    let memory_mb =
        environment.parsed_or("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "a number of megabytes", DEFAULT_MEMORY_MB);
    let program = environment.optional_text("ISOTHERM_SANDBOX_BIN");
    let httpfs = environment.optional_text("ISOTHERM_HTTPFS_EXTENSION");
    let checked = environment.check()?;

    let clients = Clients::load().await;
    let options = PoolOptions { statement_timeout: Some(Duration::from_secs(60)), ..PoolOptions::lambda("query") };
    let pool = database::connect_with_secret(clients.secrets_manager(), &secret_arn.open(&checked), options).await?;
    let objects = ObjectStore::new(clients.s3().clone(), bucket.open(&checked));
    let given = |path: Option<String>, name: &str| path.map_or_else(|| beside_this_program(name), PathBuf::from);
    let sandbox = SandboxConfig {
        program: given(program.open(&checked), "isotherm-sql-sandbox"),
        httpfs: Some(given(httpfs.open(&checked), "extensions/httpfs.duckdb_extension")),
        ca_bundle: CA_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()),
        memory_bytes: memory_mb.open(&checked) * 1024 * 1024 * MEMORY_PERCENT / 100,
        threads: std::thread::available_parallelism().map_or(1, |threads| u32::try_from(threads.get()).unwrap_or(1)),
        spill_bytes: SPILL_BYTES,
        spill_folder: std::env::temp_dir(),
    };
    let limits = AnswerLimits { max_rows: MAX_ROWS, max_bytes: MAX_ARROW_BYTES };
    Ok(QueryEngine { pool, objects, sandbox, limits })
}

/// In the function's zip everything lies beside `bootstrap`.
fn beside_this_program(name: &str) -> PathBuf {
    let program = std::env::current_exe().ok();
    program.as_deref().and_then(Path::parent).unwrap_or(Path::new("/var/task")).join(name)
}
