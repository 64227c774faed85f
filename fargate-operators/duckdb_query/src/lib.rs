//! Runs one batch query: a request in the bucket `results` becomes a file there.
//!
//! A task begins the query's record under its fence, runs the SQL in the sandbox with what the organisation may read at that
//! moment, writes the rows to a local file as they come, uploads it, and ends the record. A query that fails by its own
//! fault ends the record as failed and the task as completed: trying again cannot help. What the platform could not do is
//! the task's failure, and tried again.
//!
//! It must never log a user's SQL or a value, and never write to the record without its fence.

mod batch_query;
mod config;
mod error;

use std::sync::Arc;

use isotherm_cold_store::ObjectStore;
use isotherm_platform::Fault;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::metrics::Telling;
use isotherm_platform::operator_main::{self, Context, OperatorEnd};
use isotherm_query::batch::TaskInput;
use isotherm_query::engine::AnswerLimits;
use isotherm_query::results::ResultStore;
use isotherm_query::{ColdServer, QueryEngine, WaitingSandbox};
use isotherm_types::TaskSpec;

pub use batch_query::BatchQuery;
pub use config::BatchConfig;
pub use error::BatchError;

/// Cold files that are kept in memory while a query runs.
const COLD_BYTES: u64 = 64 << 20;

/// Runs one task.
///
/// # Errors
/// Bad settings, and what Postgres, S3 or the sandbox report; never what is wrong with the query.
pub async fn run(spec: TaskSpec, context: Context) -> Result<OperatorEnd, Fault> {
    let stop = context.stop.clone();
    // Until the end, when the rest of the counts is told.
    let (query, input, _s3_requests) = tokio::select! {
        biased;
        () = stop.requested() => return Ok(OperatorEnd::Released),
        prepared = prepare(&spec, context) => prepared?,
    };
    Ok(query.run(input).await?)
}

/// Reads the settings and connects to database and buckets.
async fn prepare(spec: &TaskSpec, context: Context) -> Result<(BatchQuery, TaskInput, Telling), Fault> {
    let config: BatchConfig = operator_main::config(spec)?;
    let input: TaskInput = operator_main::input(spec)?;
    let mut environment = context.environment;
    let database_url = environment.secret("DATABASE_URL");
    let (cold, results) = (environment.bucket("cold"), environment.bucket("results"));
    let bundle = environment.optional_text("ISOTHERM_BUNDLE");
    let checked = environment.check()?;

    let pool = database::connect(&database_url.open(&checked), PoolOptions::operator("duckdb_query")).await?;
    let clients = Clients::load().await;
    let s3_requests = Telling::start(Arc::clone(clients.s3_requests()));
    let engine = QueryEngine {
        pool,
        objects: ObjectStore::new(clients.s3().clone(), cold.open(&checked)),
        sandbox: config.sandbox(bundle.open(&checked), std::env::temp_dir()),
        // Rows are handed on, not gathered.
        limits: AnswerLimits { max_rows: 0, max_bytes: 0 },
        cold: ColdServer::keeping(COLD_BYTES),
        waiting: WaitingSandbox::default(),
    };
    let query = BatchQuery {
        engine,
        results: ResultStore::new(clients.s3().clone(), results.open(&checked)),
        config,
        task: (spec.task_id, spec.fence),
        progress: context.progress,
        stop: context.stop,
    };
    Ok((query, input, s3_requests))
}
