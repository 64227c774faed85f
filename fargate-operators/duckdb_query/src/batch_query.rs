//! One task's work: begin, run, upload, end.

use std::time::{Duration, Instant};

use isotherm_access::callers;
use isotherm_platform::Stop;
use isotherm_platform::metrics::{QUERY_DURATION_MS, emit};
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_query::answer::AnswerSummary;
use isotherm_query::batch::{self, Begun, REQUEST, StoredRequest, TaskInput};
use isotherm_query::engine::AnswerLimits;
use isotherm_query::error::Blame;
use isotherm_query::parameters::Parameters;
use isotherm_query::records::{self, End, QueryKey};
use isotherm_query::results::{FinishedFile, Gathered, Gatherer, Outcome, ResultStore, describe};
use isotherm_query::{QueryEngine, QueryError, QueryRequest};
use isotherm_types::{Classified as _, DatasetGrants, Fence, TaskId};
use serde::Deserialize as _;
use serde_json::{Value, json};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

use crate::config::BatchConfig;
use crate::error::BatchError;

/// Between two looks for the wish that the query end.
const CANCEL_POLL: Duration = Duration::from_millis(250);

/// The file's own limit is what bounds a result.
const UNBOUNDED: AnswerLimits = AnswerLimits { max_rows: 1 << 50, max_bytes: 1 << 50 };

/// Runs the query of one task.
pub struct BatchQuery {
    /// Runs SQL.
    pub engine: QueryEngine,
    /// The request and the result.
    pub results: ResultStore,
    /// The job's settings.
    pub config: BatchConfig,
    /// The claim under which it runs.
    pub task: (TaskId, Fence),
    /// Says how many rows there are.
    pub progress: Progress,
    /// Wished when the work is to end.
    pub stop: Stop,
}

/// What a run came to.
enum Ran {
    /// The whole answer is in a file.
    Answered(AnswerSummary, FinishedFile),
    /// The query is at fault.
    Refused(QueryError),
    /// Somebody wants it to end.
    Cancelled,
    /// The worker is to stop.
    Stopped,
}

impl BatchQuery {
    /// Runs the query that `input` names.
    ///
    /// # Errors
    /// [`BatchError`]; the record stays running, for the next attempt.
    pub async fn run(&self, input: TaskInput) -> Result<OperatorEnd, BatchError> {
        let began = Instant::now();
        let mut conn = self.connection().await?;
        let begun = batch::begin(&mut conn, self.task, input.query_id).await?;
        let Begun::Running { key, org_name, actor } = begun else {
            return Ok(OperatorEnd::Completed(json!({ "state": "over" })));
        };
        // What may be read is decided now, not when the query was asked.
        let grants = callers::of_direct_invocation(&mut conn, &org_name, actor).await?.grants;
        drop(conn);
        let request: StoredRequest = self.results.document(key, REQUEST).await?.ok_or(BatchError::NoRequest)?;
        match self.answer(key, &request, grants).await? {
            Ran::Stopped => Ok(OperatorEnd::Released),
            Ran::Answered(summary, file) => self.complete(key, &request, &summary, &file, began).await,
            Ran::Cancelled => {
                self.end(key, End::Cancelled, began).await?;
                Ok(OperatorEnd::Completed(json!({ "state": "cancelled" })))
            }
            Ran::Refused(error) => {
                self.tell(key, &Outcome::of_error(&error.answer())).await?;
                self.end(key, End::Failed { code: error.code() }, began).await?;
                Ok(OperatorEnd::Completed(json!({ "state": "failed", "error_code": error.code() })))
            }
        }
    }

    /// Runs until the end of the query, somebody's wish, or the worker's.
    async fn answer(&self, key: QueryKey, request: &StoredRequest, grants: DatasetGrants) -> Result<Ran, BatchError> {
        let timeout = Duration::from_secs(request.timeout_seconds.min(self.config.max_timeout_seconds.get()));
        // It was read when it was asked; a program of another version may read it otherwise.
        let parameters = match Parameters::deserialize(&request.parameters) {
            Ok(parameters) => parameters,
            Err(source) => {
                return Err(QueryError::ResultDocument { key: REQUEST.to_owned(), source }.into());
            }
        };
        let question = QueryRequest {
            parameters,
            as_of: request.as_of_block.clone(),
            grants,
            org: Some(key.org),
            ..QueryRequest::new(request.sql.clone(), timeout)
        };
        let progress = self.progress.clone();
        let on_rows = move |rows: u64| progress.report(rows, None, format!("{rows} rows"));
        let folder = self.engine.sandbox.spill_folder.clone();
        let max_bytes = self.config.max_result_bytes.get();
        let mut gatherer = Gatherer::to_file(request.format, folder, max_bytes, on_rows);
        let outcome = tokio::select! {
            biased;
            () = self.stop.requested() => return Ok(Ran::Stopped),
            () = self.wished_away(key) => return Ok(Ran::Cancelled),
            outcome = self.engine.run_into(question, UNBOUNDED, &mut gatherer) => outcome,
        };
        let gathered = outcome.and_then(|summary| Ok((summary, gatherer.finish()?)));
        match gathered {
            Ok((summary, Gathered::File(file))) => Ok(Ran::Answered(summary, file)),
            Ok((_, Gathered::Inline { .. })) => {
                let message = "rows were kept that were to be in a file".to_owned();
                Err(QueryError::SandboxProtocol { message }.into())
            }
            Err(error) if error.blame() == Blame::Platform => Err(error.into()),
            Err(error) => Ok(Ran::Refused(error)),
        }
    }

    /// Uploads under the attempt's own name, so that an attempt that was given up on is in nobody's way.
    async fn complete(
        &self,
        key: QueryKey,
        request: &StoredRequest,
        summary: &AnswerSummary,
        file: &FinishedFile,
        began: Instant,
    ) -> Result<OperatorEnd, BatchError> {
        let about: Value = describe(summary, key.id, request.as_of_block.as_ref());
        let uploading = async {
            let stored = self.results.put(key, self.task.1.0, file).await?;
            self.tell(key, &Outcome::Answer(about)).await?;
            Ok::<_, BatchError>(stored)
        };
        let stored = tokio::select! {
            biased;
            () = self.stop.requested() => return Ok(OperatorEnd::Released),
            stored = uploading => stored?,
        };
        self.end(key, End::Completed { summary, result: Some(&stored) }, began).await?;
        tracing::info!(
            query.id = %key.id, query.rows = summary.row_count, result.bytes = stored.digest.size_bytes,
            "a batch query was answered",
        );
        Ok(OperatorEnd::Completed(json!({
            "state": "completed",
            "row_count": summary.row_count,
            "result_bytes": stored.digest.size_bytes,
            "result_key": stored.key,
        })))
    }

    async fn tell(&self, key: QueryKey, outcome: &Outcome) -> Result<(), QueryError> {
        self.results.put_document(key, &Outcome::document_name(self.task.1.0), outcome).await
    }

    async fn end(&self, key: QueryKey, end: End<'_>, began: Instant) -> Result<(), BatchError> {
        let mut conn = self.connection().await?;
        if batch::end(&mut conn, self.task, key, end).await? {
            let dimensions = [("mode", "batch"), ("outcome", end.state().as_str())];
            emit(QUERY_DURATION_MS, began.elapsed().as_secs_f64() * 1000.0, &dimensions);
        } else {
            tracing::warn!(query.id = %key.id, "the query was over already");
        }
        Ok(())
    }

    /// Ends when somebody wants the query to. A look that fails is no wish.
    async fn wished_away(&self, key: QueryKey) {
        loop {
            tokio::time::sleep(CANCEL_POLL).await;
            let Ok(mut conn) = self.connection().await else { continue };
            if matches!(records::cancel_asked(&mut conn, key).await, Ok(true)) {
                return;
            }
        }
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, BatchError> {
        let pool: &PgPool = &self.engine.pool;
        pool.acquire().await.map_err(BatchError::Connection)
    }
}
