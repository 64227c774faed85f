//! Runs one query from text to rows, under one deadline.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use isotherm_cold_store::ObjectStore;
use isotherm_types::sandbox::{Failure, FailureReason, Request};
use isotherm_types::{Clock as _, DatasetGrants, OrgId, SystemClock};
use sqlx::{PgConnection, PgPool};

use crate::answer::{AnswerSummary, Gathered, QueryAnswer, RowSink};
use crate::as_of::{self, AsOf};
use crate::boundary::{self, Boundary};
use crate::cold_files::{self, LentFiles};
use crate::cold_server::ColdServer;
use crate::conversation::{self, Planned};
use crate::error::QueryError;
use crate::gate::{self, CheckedTree, Given};
use crate::parameters::Parameters;
use crate::plan::{self, Needs};
use crate::sandbox_memory::SandboxMemory;
use crate::sandbox_process::{HandedOn, SandboxProcess, Step, StepError};
use crate::scope::{ChainScope, Scope};
use crate::waiting_sandbox::WaitingSandbox;
use crate::{hot_rows, literals, platform_rows};

/// Between the interrupt inside the sandbox and its end by force. A query is answered 500 ms after its limit at most:
/// what is left of that is for a machine on which others compute too.
const HARD_KILL_AFTER: Duration = Duration::from_millis(300);

/// Where sandboxes come from and what they may use.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The program `isotherm-sql-sandbox`.
    pub program: PathBuf,
    /// The `httpfs` extension of the same version; without it cold files cannot be read.
    pub httpfs: Option<PathBuf>,
    /// What each may hold.
    pub memory: SandboxMemory,
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
    /// The block above which nothing is seen; `None` for the newest state.
    pub as_of: Option<AsOf>,
    /// What the asker may read of chains. All else is not there.
    pub grants: DatasetGrants,
    /// Whose rows of the platform's own tables are seen; `None`: these tables are not there.
    pub org: Option<OrgId>,
}

impl QueryRequest {
    /// A query without parameters, of the newest state, that may read every chain and is of no organisation.
    pub fn new(sql: impl Into<String>, timeout: Duration) -> Self {
        let (parameters, grants) = (Parameters::default(), DatasetGrants::everything());
        Self { sql: sql.into(), parameters, timeout, as_of: None, grants, org: None }
    }
}

/// Runs queries.
#[derive(Clone, Debug)]
pub struct QueryEngine {
    /// Hot storage and the catalogue.
    pub pool: PgPool,
    /// Cold storage.
    pub objects: ObjectStore,
    /// What serves its files to the sandboxes.
    pub cold: ColdServer,
    /// The sandboxes.
    pub sandbox: SandboxConfig,
    /// Limits of an answer that is gathered in memory.
    pub limits: AnswerLimits,
    /// The sandbox of the next query, if one waits.
    pub waiting: WaitingSandbox,
}

impl QueryEngine {
    /// Has a sandbox wait for the next query from now on, opened beforehand: for whoever answers one query after the other
    /// and keeps nobody's memory meanwhile. A query of more than `longest` gets one of its own.
    pub async fn keep_a_sandbox_waiting(&self, longest: Duration) {
        match self.cold.port().await {
            Ok(port) => self.waiting.keep(longest, &self.sandbox, vec![port]),
            // One without a port would serve no query that has one.
            Err(error) => tracing::warn!(%error, "no sandbox waits for the next query"),
        }
    }

    /// Ends when the sandbox of the next query is open; at once if none is kept.
    pub async fn until_a_sandbox_waits(&self) {
        self.waiting.until_open().await;
    }

    /// The number of the process that waits for the next query.
    pub fn waiting_process(&self) -> Option<u32> {
        self.waiting.process_id()
    }

    /// Runs `request` and returns its rows, within the engine's limits.
    ///
    /// # Errors
    /// [`QueryError`]; a query that takes too long is [`QueryError::Timeout`], wherever the time went.
    pub async fn run(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let mut gathered = Gathered::default();
        let summary = self.run_into(request, self.limits, &mut gathered).await?;
        Ok(QueryAnswer { summary, batches: gathered.batches })
    }

    /// Runs `request` and hands its rows to `sink` as they come; memory does not grow with them.
    ///
    /// Dropping the future ends the sandbox and with it the query.
    ///
    /// # Errors
    /// As [`QueryEngine::run`], and what `sink` says. The rows that were handed on before are no answer then, also if
    /// there were more of them than `limits` allow ([`QueryError::TooLarge`]).
    pub async fn run_into(
        &self,
        request: QueryRequest,
        limits: AnswerLimits,
        sink: &mut (dyn RowSink + Send),
    ) -> Result<AnswerSummary, QueryError> {
        let clock = Clock { started: Instant::now(), limit: request.timeout };
        let patience = clock.limit + HARD_KILL_AFTER;
        let outcome = tokio::time::timeout(patience, self.run_unhurried(&request, clock, limits, sink)).await;
        // Its sandbox is gone by now.
        self.waiting.refill(&self.sandbox);
        outcome.unwrap_or(Err(QueryError::Timeout { limit: clock.limit }))
    }

    /// Where a sandbox may connect to.
    async fn ports(&self) -> Vec<u16> {
        // Without it no cold file can be read, and the first query of one says why.
        self.cold.port().await.into_iter().collect()
    }

    async fn run_unhurried(
        &self,
        request: &QueryRequest,
        clock: Clock,
        limits: AnswerLimits,
        sink: &mut (dyn RowSink + Send),
    ) -> Result<AnswerSummary, QueryError> {
        let no_files = LentFiles::default();
        let explain = |error| explain(error, None, &no_files, clock);
        let ports = self.ports().await;
        let mut open = self.waiting.take(request.timeout, &self.sandbox, &ports).await.map_err(explain)?;
        let sandbox = &mut open.process;
        let statement = literals::rewrite(&request.sql)?;
        let text = conversation::parse(sandbox, &statement).await.map_err(explain)?;
        let given = Given { statement: &statement, parameters: &request.parameters, now: SystemClock.now() };
        let tree = gate::check(text, &given).map_err(QueryError::Refused)?;
        let explain = |error, files: &LentFiles| self::explain(error, Some(&tree), files, clock);
        let planned = conversation::plan(sandbox, &tree).await.map_err(|error| explain(error, &no_files))?;

        let mut lent = boundary::Lent::of(&self.pool).await?;
        let mut snapshot = lent.snapshot().await?;
        let found = self.find(&mut snapshot, sandbox, request, (&tree, &planned), clock).await;
        let Found { boundary, needs, files } = match found {
            Ok(found) => found,
            Err(error) => {
                // No row was asked for: the connection is as good as before, if its snapshot can be ended.
                if snapshot.rollback().await.is_ok() {
                    lent.give_back();
                }
                return Err(error);
            }
        };
        // Before the hot rows: behind it the snapshot is the owner's again.
        let sent = match request.org {
            Some(org) => platform_rows::send(&mut snapshot, org, &planned.platform, sandbox).await,
            None => Ok(0),
        };
        let platform_rows_fetched = sent.map_err(|error| explain(error, &files))?;
        let sent = hot_rows::send(&mut snapshot, &boundary.hot, &needs, sandbox).await;
        let hot_rows_fetched = sent.map_err(|error| explain(error, &files))?;
        // Every row is out: the snapshot has done its work.
        snapshot.rollback().await?;
        lent.give_back();

        let handed_on = answer(sandbox, &tree, limits, clock.left(), sink).await;
        let HandedOn { columns, row_count, bytes, truncated } = handed_on.map_err(|error| explain(error, &files))?;
        if truncated {
            return Err(limits.exceeded());
        }
        let duration = clock.started.elapsed();
        let cold_bytes: u64 = boundary.cold.iter().map(|file| file.size_bytes).sum();
        tracing::info!(
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            hot.rows = hot_rows_fetched,
            platform.rows = platform_rows_fetched,
            cold.files = boundary.cold.len(),
            cold.bytes = cold_bytes,
            "a query was answered"
        );
        let (state, cold_files) = (boundary.chains, boundary.cold.len());
        Ok(AnswerSummary { columns, row_count, bytes, state, duration, hot_rows_fetched, cold_files, cold_bytes })
    }

    /// Looks up in `snapshot` where the rows are, and has the relations made. Asks for no row yet.
    async fn find(
        &self,
        snapshot: &mut PgConnection,
        sandbox: &mut SandboxProcess,
        request: &QueryRequest,
        (tree, planned): (&CheckedTree, &Planned),
        clock: Clock,
    ) -> Result<Found, QueryError> {
        let mut scope = Scope::read(snapshot, &request.grants).await?;
        scope.check(tree.relations())?;
        platform_rows::check(tree.tables(), request.org)?;
        if let Some(as_of) = &request.as_of {
            as_of::pin(snapshot, &mut scope, tree.relations(), as_of).await?;
        }
        let needs = plan::needs(&planned.reads, |relation| scope.behind(relation).map(ChainScope::id).collect());
        let mut boundary = boundary::read(snapshot, &scope, &needs).await?;
        boundary.chains.retain(|chain| scope.tells(chain.chain_id, tree.named()));
        if let Some(org) = request.org {
            platform_rows::check_size(snapshot, org, &planned.platform).await?;
        }
        let files = cold_files::lend(&self.cold, &self.objects, &boundary.cold).await?;
        let prepared = conversation::prepare(sandbox, tree, &scope, &needs, &files, &planned.platform).await;
        prepared.map_err(|error| explain(error, Some(tree), &files, clock))?;
        Ok(Found { boundary, needs, files })
    }
}

/// Where the rows of a query are.
struct Found {
    boundary: Boundary,
    needs: Needs,
    files: LentFiles,
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
fn explain(error: StepError, tree: Option<&CheckedTree>, files: &LentFiles, clock: Clock) -> QueryError {
    let Failure { reason, message, position, near } = match error {
        StepError::Failure(failure) => failure,
        // A sandbox whose interrupt does not land ends itself, and may do that badly.
        StepError::Broken(QueryError::Sandbox { .. } | QueryError::OutOfMemory { .. }) if clock.left().is_zero() => {
            return QueryError::Timeout { limit: clock.limit };
        }
        StepError::Broken(error) => return error,
    };
    // Where an answer broke off DuckDB has no kind of error for it, or an internal one.
    if matches!(reason, FailureReason::Read | FailureReason::Execution | FailureReason::Engine)
        && let Some(error) = files.failure()
    {
        return error;
    }
    let message = files.hide_urls(&message);
    let position = position.or_else(|| tree?.position_of(near.as_deref()?));
    match reason {
        FailureReason::Syntax => QueryError::Syntax { message, position },
        FailureReason::NotAQuery => QueryError::NotAQuery { message },
        FailureReason::Bind => QueryError::Invalid { message, position },
        FailureReason::Timeout => QueryError::Timeout { limit: clock.limit },
        FailureReason::OutOfMemory => QueryError::OutOfMemory { message },
        FailureReason::RowTooLarge => QueryError::RowTooLarge,
        FailureReason::Read => QueryError::ColdFileUnreadable { message },
        FailureReason::Execution => QueryError::Failed { message },
        FailureReason::Protocol | FailureReason::Engine => QueryError::SandboxProtocol { message },
    }
}

impl AnswerLimits {
    fn exceeded(self) -> QueryError {
        QueryError::TooLarge { limit: format!("{} rows or {} MiB", self.max_rows, self.max_bytes >> 20) }
    }
}

async fn answer(
    sandbox: &mut SandboxProcess,
    tree: &CheckedTree,
    limits: AnswerLimits,
    left: Duration,
    sink: &mut (dyn RowSink + Send),
) -> Step<HandedOn> {
    let run = Request::Run {
        tree: tree.text().to_owned(),
        max_rows: limits.max_rows,
        max_bytes: limits.max_bytes,
        timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
    };
    sandbox.run(&run, sink).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use isotherm_cold_store::Sha256Digest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::cold_server::{FileId, LentFile};

    /// Files of which one cannot be read, which somebody has tried.
    async fn unreadable() -> LentFiles {
        let id = FileId { sha256: Sha256Digest::of(b"a"), e_tag: "a".into() };
        let file = LentFile { key: "cold/a.parquet".to_owned(), size_bytes: 100, id };
        // Parts of a copy are not read.
        let objects = ObjectStore::folder("/nowhere");
        let lease = ColdServer::keeping(0).lend(&objects, vec![Arc::new(file)]).await.unwrap();
        let url = lease.url(0);
        let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        LentFiles::of(lease)
    }

    #[tokio::test]
    async fn what_failed_at_a_file_is_told_whatever_duckdb_calls_it() {
        let clock = Clock { started: Instant::now(), limit: Duration::from_secs(60) };
        let told = |reason, files: &LentFiles| {
            let failure = Failure { reason, message: "partial".to_owned(), position: None, near: None };
            explain(StepError::Failure(failure), None, files, clock)
        };
        for reason in [FailureReason::Read, FailureReason::Execution, FailureReason::Engine] {
            let files = unreadable().await;
            let QueryError::ColdFileUnread { key, .. } = told(reason, &files) else { panic!("{reason:?}") };
            assert_eq!(key, "cold/a.parquet");
            // Told once: what comes after it has another cause.
            assert!(!matches!(told(reason, &files), QueryError::ColdFileUnread { .. }), "{reason:?}");
        }
        // Who asked for what cannot be, or for too much, is told that.
        for reason in
            [FailureReason::Bind, FailureReason::Timeout, FailureReason::OutOfMemory, FailureReason::RowTooLarge]
        {
            assert!(!matches!(told(reason, &unreadable().await), QueryError::ColdFileUnread { .. }), "{reason:?}");
        }
    }
}
