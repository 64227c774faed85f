//! Runs one query from text to rows, under one deadline.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use isotherm_cold_store::ObjectStore;
use isotherm_types::{Clock as _, Dataset, SystemClock};
use sqlx::PgPool;

use crate::boundary::{self, ChainState};
use crate::cold_files::{self, SignedFiles};
use crate::error::QueryError;
use crate::gate::{self, CheckedTree, Given, RELATIONS};
use crate::hot_rows;
use crate::literals::{self, Rewritten};
use crate::parameters::Parameters;
use crate::plan::{self, Need, Needs};
use crate::sandbox_process::{Rows, SandboxProcess, Step, StepError};
use isotherm_types::sandbox::{
    Failure, FailureReason, Limits, Relation, RelationColumn, Request, Response, Source, Spill,
};

/// Between the interrupt inside the sandbox and its end by force.
const HARD_KILL_AFTER: Duration = Duration::from_millis(500);

/// Address space for what is not DuckDB's buffers: libraries, threads' stacks, the allocator's reserves.
const ADDRESS_SPACE_SLACK: u64 = 2 << 30;

/// How much longer than the query a presigned URL lives.
const URL_SLACK: Duration = Duration::from_secs(60);

/// Where sandboxes come from and what they may use.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The program `isotherm-sql-sandbox`.
    pub program: PathBuf,
    /// The `httpfs` extension of the same version; without it cold files cannot be read.
    pub httpfs: Option<PathBuf>,
    /// Certificate authorities for cold files behind `https`, PEM.
    pub ca_bundle: Option<PathBuf>,
    /// Memory of DuckDB's buffers, about two thirds of the machine's.
    pub memory_bytes: u64,
    /// Threads that run a query.
    pub threads: u32,
    /// Room on disk for what does not fit in memory; 0 means none.
    pub spill_bytes: u64,
    /// Folder in which each sandbox gets a folder of its own to spill to.
    pub spill_folder: PathBuf,
}

/// Limits of an answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// Rows at most.
    pub max_rows: u64,
    /// Bytes of Arrow at most.
    pub max_bytes: u64,
}

/// A query.
#[derive(Clone)]
pub struct QueryRequest {
    /// The user's text.
    pub sql: String,
    /// Values of its parameters.
    pub parameters: Parameters,
    /// Time from now to the answer.
    pub timeout: Duration,
}

/// The rows of a query and the state that they are of.
#[derive(Debug)]
pub struct QueryAnswer {
    /// Names and DuckDB types of the columns.
    pub columns: Vec<RelationColumn>,
    /// The rows, in order.
    pub batches: Vec<arrow::array::RecordBatch>,
    /// The state of every chain at the one instant that the rows are of.
    pub state: Vec<ChainState>,
    /// Time from the request to the last row.
    pub duration: Duration,
    /// Hot rows that were fetched.
    pub hot_rows_fetched: u64,
    /// Cold files that the query could read.
    pub cold_files: usize,
}

/// Runs queries.
#[derive(Clone, Debug)]
pub struct QueryEngine {
    /// Hot storage and the catalogue.
    pub pool: PgPool,
    /// Cold storage.
    pub objects: ObjectStore,
    /// The sandboxes.
    pub sandbox: SandboxConfig,
    /// Limits of every answer.
    pub limits: AnswerLimits,
}

impl QueryEngine {
    /// Runs `request` and returns its rows.
    ///
    /// # Errors
    /// [`QueryError`]; a query that takes too long is [`QueryError::Timeout`], wherever the time went.
    pub async fn run(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let started = Instant::now();
        let limit = request.timeout;
        match tokio::time::timeout(limit + HARD_KILL_AFTER, self.run_unhurried(&request, started)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(QueryError::Timeout { limit }),
        }
    }

    async fn run_unhurried(&self, request: &QueryRequest, started: Instant) -> Result<QueryAnswer, QueryError> {
        let clock = Clock { started, limit: request.timeout };
        let no_files = SignedFiles::default();
        let spill = self.spill_folder()?;
        let mut sandbox = SandboxProcess::start(&self.sandbox.program)?;
        let explain = |error| explain(error, None, &no_files, clock);
        open(&mut sandbox, self.limits_of(spill.as_ref(), request.timeout)).await.map_err(explain)?;
        let statement = literals::rewrite(&request.sql)?;
        let text = parse(&mut sandbox, &statement).await.map_err(explain)?;
        let given = Given { statement: &statement, parameters: &request.parameters, now: SystemClock.now() };
        let tree = gate::check(text, &given).map_err(QueryError::Refused)?;
        let explain = |error, files: &SignedFiles| self::explain(error, Some(&tree), files, clock);
        let needs = needs(&mut sandbox, &tree).await.map_err(|error| explain(error, &no_files))?;

        let mut snapshot = boundary::open_snapshot(&self.pool).await?;
        let found = boundary::read(&mut snapshot, &needs).await?;
        let files = cold_files::sign(&self.objects, &found.cold, request.timeout + URL_SLACK).await?;
        prepare(&mut sandbox, &needs, &files).await.map_err(|error| explain(error, &files))?;
        let sent = hot_rows::send(&mut snapshot, &found.hot, &needs, &mut sandbox).await;
        let hot_rows_fetched = sent.map_err(|error| explain(error, &files))?;
        // Every row is out: the snapshot has done its work.
        snapshot.rollback().await?;

        let rows = self.answer(&mut sandbox, &tree, clock.left()).await.map_err(|error| explain(error, &files))?;
        if rows.truncated {
            return Err(QueryError::TooLarge { limit: self.limits.in_words() });
        }
        let duration = started.elapsed();
        tracing::info!(
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            hot.rows = hot_rows_fetched,
            cold.files = found.cold.len(),
            "a query was answered"
        );
        Ok(QueryAnswer {
            columns: rows.columns,
            batches: rows.batches,
            state: found.chains,
            duration,
            hot_rows_fetched,
            cold_files: found.cold.len(),
        })
    }

    async fn answer(&self, sandbox: &mut SandboxProcess, tree: &CheckedTree, left: Duration) -> Step<Rows> {
        let run = Request::Run {
            tree: tree.text().to_owned(),
            max_rows: self.limits.max_rows,
            max_bytes: self.limits.max_bytes,
            timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        };
        sandbox.run(&run).await
    }

    fn spill_folder(&self) -> Result<Option<tempfile::TempDir>, QueryError> {
        if self.sandbox.spill_bytes == 0 {
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("isotherm-query-").tempdir_in(&self.sandbox.spill_folder);
        folder.map(Some).map_err(|source| QueryError::Sandbox { action: "given a folder to spill to", source })
    }

    fn limits_of(&self, spill: Option<&tempfile::TempDir>, timeout: Duration) -> Limits {
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let config = &self.sandbox;
        Limits {
            memory_bytes: config.memory_bytes,
            address_space_bytes: config.memory_bytes.saturating_add(ADDRESS_SPACE_SLACK),
            cpu_seconds: (timeout.as_secs() + 1) * u64::from(config.threads.max(1)) + 5,
            threads: config.threads,
            spill: spill.map(|folder| Spill { folder: text(folder.path()), bytes: config.spill_bytes }),
            httpfs: config.httpfs.as_deref().map(text),
            ca_bundle: config.ca_bundle.as_deref().map(text),
        }
    }
}

/// The time of one query.
#[derive(Clone, Copy)]
struct Clock {
    started: Instant,
    limit: Duration,
}

impl Clock {
    fn left(self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }
}

/// Turns a failed step into the error that the asker gets.
fn explain(error: StepError, tree: Option<&CheckedTree>, files: &SignedFiles, clock: Clock) -> QueryError {
    let Failure { reason, message, position, near } = match error {
        StepError::Failure(failure) => failure,
        // A sandbox whose interrupt does not land ends itself.
        StepError::Broken(QueryError::Sandbox { .. }) if clock.left().is_zero() => {
            return QueryError::Timeout { limit: clock.limit };
        }
        StepError::Broken(error) => return error,
    };
    let message = files.hide_urls(&message);
    let position = position.or_else(|| tree?.position_of(near.as_deref()?));
    match reason {
        FailureReason::Syntax => QueryError::Syntax { message, position },
        FailureReason::NotAQuery => QueryError::NotAQuery { message },
        FailureReason::Bind => QueryError::Invalid { message, position },
        FailureReason::Timeout => QueryError::Timeout { limit: clock.limit },
        FailureReason::OutOfMemory => QueryError::OutOfMemory { message },
        FailureReason::Read => QueryError::ColdFileUnreadable { message },
        FailureReason::Execution => QueryError::Failed { message },
        FailureReason::Protocol | FailureReason::Engine => QueryError::SandboxProtocol { message },
    }
}

impl AnswerLimits {
    fn in_words(self) -> String {
        format!("{} rows or {} MiB", self.max_rows, self.max_bytes >> 20)
    }
}

async fn open(sandbox: &mut SandboxProcess, limits: Limits) -> Step<()> {
    match sandbox.ask(&Request::Open(limits)).await? {
        Response::Opened { .. } => Ok(()),
        _ => Err(wrong_answer("open")),
    }
}

/// Asks for the tree; the place of a syntax error is moved to the user's own text.
async fn parse(sandbox: &mut SandboxProcess, statement: &Rewritten<'_>) -> Step<String> {
    match sandbox.ask(&Request::Parse { sql: statement.text().to_owned() }).await {
        Ok(Response::Parsed { tree }) => Ok(tree),
        Ok(_) => Err(wrong_answer("parse")),
        Err(StepError::Failure(failure)) => {
            let position = failure.position.map(|position| statement.original_position(position));
            Err(StepError::Failure(Failure { position, ..failure }))
        }
        Err(error) => Err(error),
    }
}

/// Asks for the plan. Where the tree still names the clock, the plan is only used to find errors: DuckDB folds
/// `localtime` to a constant when it plans and to a later one when it runs, so a filter of the first says nothing
/// about the second.
async fn needs(sandbox: &mut SandboxProcess, tree: &CheckedTree) -> Step<Needs> {
    let relations = RELATIONS.into_iter().map(relation).collect();
    match sandbox.ask(&Request::Plan { tree: tree.text().to_owned(), relations }).await? {
        Response::Planned { .. } if tree.reads_the_clock() => Ok(plan::everything(tree.relations().iter().copied())),
        Response::Planned { scans } => Ok(plan::needs(&scans)),
        _ => Err(wrong_answer("plan")),
    }
}

async fn prepare(sandbox: &mut SandboxProcess, needs: &Needs, files: &SignedFiles) -> Step<()> {
    let none = Need { columns: vec!["block_number"], bounds: plan::BlockBounds::ALL };
    let sources = RELATIONS.into_iter().map(|dataset| {
        let need = needs.get(&dataset).unwrap_or(&none);
        Source {
            relation: relation(dataset),
            hot_columns: need.columns.iter().map(|&name| name.to_owned()).collect(),
            cold: files.groups(dataset),
        }
    });
    match sandbox.ask(&Request::Prepare { sources: sources.collect() }).await? {
        Response::Prepared {} => Ok(()),
        _ => Err(wrong_answer("prepare")),
    }
}

fn relation(dataset: Dataset) -> Relation {
    let columns = dataset
        .columns()
        .iter()
        .map(|column| RelationColumn { name: column.name.to_owned(), sql_type: column.column_type.sql().to_owned() });
    Relation { name: dataset.as_str().to_owned(), columns: columns.collect() }
}

fn wrong_answer(question: &str) -> StepError {
    StepError::Broken(QueryError::SandboxProtocol { message: format!("its answer to {question} is none") })
}
