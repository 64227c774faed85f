//! Running SQL: within the call while there is a place, else as a task.
//!
//! A query is recorded before it runs and its end after it, whatever the end is. While it runs, its record is looked at
//! for the wish that it end; then the engine's future is dropped, which ends the sandbox.

use std::time::{Duration, Instant};

use isotherm_access::Caller;
use isotherm_cold_store::Sha256Digest;
use isotherm_cold_store::objects::ObjectError;
use isotherm_platform::{Fault, database, metrics, outbox_publisher};
use isotherm_query::answer::AnswerSummary;
use isotherm_query::batch::{self, StoredRequest};
use isotherm_query::engine::AnswerLimits;
use isotherm_query::records::{self, Asked, End, NewQuery, Place, QueryKey, RunMode};
use isotherm_query::results::{Gathered, Gatherer, Outcome, StoredResult, describe};
use isotherm_query::{QueryError, QueryRequest};
use isotherm_types::{Clock as _, SystemClock};
use serde_json::json;
use uuid::Uuid;

use crate::QueryFunction;
use crate::error::QueryFunctionError;
use crate::reply::Reply;
use crate::request::{Ask, Mode};

/// Between two looks for the wish that a query end.
const CANCEL_POLL: Duration = Duration::from_millis(250);

/// Between two looks for a free place.
const PLACE_POLL: Duration = Duration::from_millis(200);

/// What it may take to write a file into the bucket and the end into the record, once the query is over.
const AFTER_THE_QUERY: Duration = Duration::from_secs(30);

/// The file's own limit is what bounds an answer.
const UNBOUNDED: AnswerLimits = AnswerLimits { max_rows: 1 << 40, max_bytes: 1 << 40 };

/// An answer and what the record is to say of it.
struct Answered {
    reply: Reply,
    summary: AnswerSummary,
    result: Option<StoredResult>,
}

impl QueryFunction {
    /// Runs `ask` for `caller`.
    pub(crate) async fn ask(&self, caller: &Caller, ask: &Ask) -> Result<Reply, QueryFunctionError> {
        let id = ask.run.query_id.unwrap_or_else(Uuid::now_v7);
        let query = NewQuery {
            key: QueryKey { org: caller.org, id },
            user: caller.user,
            actor: &caller.name,
            sql_sha256: Sha256Digest::of(ask.sql.as_bytes()),
            format: ask.run.format,
            timeout: ask.run.timeout,
        };
        match ask.run.first_mode() {
            RunMode::Batch => self.queue(ask, &query).await,
            RunMode::Interactive => {
                let began = Instant::now();
                let answered = self.interactive(caller, ask, &query, began).await;
                tell(began.elapsed(), &answered);
                answered
            }
        }
    }

    /// Runs `ask` within the call that came at `began`. The wait for a place is part of the time that the caller gave.
    async fn interactive(
        &self,
        caller: &Caller,
        ask: &Ask,
        query: &NewQuery<'_>,
        began: Instant,
    ) -> Result<Reply, QueryFunctionError> {
        let limit = query.timeout;
        let lease = limit + AFTER_THE_QUERY;
        let asked = database::ask(&self.engine.pool, async |conn| records::ask(conn, query, lease).await).await??;
        if asked == Asked::IdTaken {
            return Err(QueryFunctionError::IdTaken { id: query.key.id });
        }
        match self.place(query.key, began + self.place_wait.min(limit)).await {
            Ok(Place::Taken) => {}
            Ok(Place::Full) if ask.run.mode == Mode::Auto => return self.queue_instead(ask, query).await,
            Ok(Place::Full) => return Err(self.ended(query.key, QueryFunctionError::Busy).await),
            Ok(Place::NotWanted) => return Err(self.ended(query.key, QueryFunctionError::Cancelled).await),
            Err(error) => return Err(self.ended(query.key, error).await),
        }
        let left = limit.saturating_sub(began.elapsed());
        let answered = if left.is_zero() {
            Err(QueryError::Timeout { limit }.into())
        } else {
            self.run(caller, ask, query.key, left).await
        };
        match answered {
            Ok(Answered { reply, summary, result }) => {
                self.note(query.key, End::Completed { summary: &summary, result: result.as_ref() }).await;
                Ok(reply)
            }
            // The caller knows of the time that they gave, not of what was left of it.
            Err(QueryFunctionError::Query(QueryError::Timeout { .. })) => {
                Err(self.ended(query.key, QueryError::Timeout { limit }.into()).await)
            }
            Err(error) => Err(self.ended(query.key, error).await),
        }
    }

    /// Waits for a place until `deadline`.
    async fn place(&self, key: QueryKey, deadline: Instant) -> Result<Place, QueryFunctionError> {
        loop {
            let (pool, places) = (&self.engine.pool, self.places);
            let look = database::ask(pool, async |conn| records::take_place(conn, key, places).await);
            match look.await?? {
                Place::Full if Instant::now() < deadline => tokio::time::sleep(PLACE_POLL).await,
                place => return Ok(place),
            }
        }
    }

    /// Runs the query until its end or somebody's wish.
    async fn run(
        &self,
        caller: &Caller,
        ask: &Ask,
        key: QueryKey,
        timeout: Duration,
    ) -> Result<Answered, QueryFunctionError> {
        let request = QueryRequest {
            parameters: ask.values.clone(),
            as_of: ask.run.as_of.clone(),
            grants: caller.grants.clone(),
            org: Some(caller.org),
            ..QueryRequest::new(ask.sql.clone(), timeout)
        };
        let folder = self.engine.sandbox.spill_folder.clone();
        let mut gatherer = Gatherer::new(ask.run.format, self.inline, folder, self.max_file_bytes);
        let summary = tokio::select! {
            summary = self.engine.run_into(request, UNBOUNDED, &mut gatherer) => summary?,
            () = self.wished_away(key) => return Err(QueryFunctionError::Cancelled),
        };
        self.answer(ask, key, summary, gatherer).await
    }

    /// Ends when somebody wants the query to. A look that fails is no wish.
    async fn wished_away(&self, key: QueryKey) {
        loop {
            tokio::time::sleep(CANCEL_POLL).await;
            let look = database::ask(&self.engine.pool, async |conn| records::cancel_asked(conn, key).await);
            if matches!(look.await, Ok(Ok(true))) {
                return;
            }
        }
    }

    /// Rows inline if they fit, else a file in the bucket.
    async fn answer(
        &self,
        ask: &Ask,
        key: QueryKey,
        summary: AnswerSummary,
        gatherer: Gatherer,
    ) -> Result<Answered, QueryFunctionError> {
        let about = describe(&summary, key.id, ask.run.as_of.as_ref());
        if let Some((columns, batches)) = gatherer.in_memory()
            && let Some(reply) = Reply::of_rows(&about, columns, batches, ask.run.format)?
        {
            return Ok(Answered { reply, summary, result: None });
        }
        let file = match gatherer.in_memory() {
            Some(_) => gatherer.finish_as_file()?,
            None => match gatherer.finish()? {
                Gathered::File(file) => file,
                Gathered::Inline { .. } => {
                    let message = "rows were kept that were in a file".to_owned();
                    return Err(QueryError::SandboxProtocol { message }.into());
                }
            },
        };
        let stored = self.results.put(key, 0, &file).await?;
        self.results.put_document(key, &Outcome::document_name(0), &Outcome::Answer(about.clone())).await?;
        let signed = self.results.sign(&stored, SystemClock.now()).await?;
        Ok(Answered { reply: Reply::of_file(&about, &signed), summary, result: Some(stored) })
    }

    /// Has a query run as a task that found no place.
    async fn queue_instead(&self, ask: &Ask, query: &NewQuery<'_>) -> Result<Reply, QueryFunctionError> {
        match self.queue(ask, query).await {
            Ok(reply) => Ok(reply),
            // Its own record does not wait any more: somebody wants it to end.
            Err(QueryFunctionError::IdTaken { .. }) => Err(self.ended(query.key, QueryFunctionError::Cancelled).await),
            Err(error) => Err(self.ended(query.key, error).await),
        }
    }

    /// Has the query run as a task, also one that is recorded as interactive and waits.
    async fn queue(&self, ask: &Ask, query: &NewQuery<'_>) -> Result<Reply, QueryFunctionError> {
        let id = query.key.id;
        let query = NewQuery { timeout: ask.run.batch_timeout, ..query.clone() };
        let stored = StoredRequest {
            sql: ask.sql.clone(),
            parameters: ask.parameters.clone(),
            as_of_block: ask.run.as_of.clone(),
            format: ask.run.format,
            timeout_seconds: query.timeout.as_secs(),
        };
        match self.results.put_document(query.key, batch::REQUEST, &stored).await {
            // Another query of this id was there first.
            Err(QueryError::ResultStore(ObjectError::Conflict { .. })) => {
                return Err(QueryFunctionError::IdTaken { id });
            }
            put => put?,
        }
        let queued = database::ask(&self.engine.pool, async |conn| batch::queue(conn, &query).await).await??;
        if queued == Asked::IdTaken {
            return Err(QueryFunctionError::IdTaken { id });
        }
        self.publish().await;
        tracing::info!(query.id = %id, "a query waits for its task");
        Ok(Reply::new(202, json!({ "query_id": id, "state": "queued", "status_url": format!("/v1/queries/{id}") })))
    }

    /// The task is recorded: what is not published now, the dispatcher's sweep publishes.
    async fn publish(&self) {
        let (pool, sqs) = (&self.engine.pool, self.clients.sqs());
        if let Err(error) = outbox_publisher::publish_pending(pool, sqs, &self.event_queues).await {
            let fault = Fault::from(error);
            tracing::warn!(
                error.code = fault.code(),
                error.message = fault.message(),
                "a batch query is recorded and the dispatcher is not told yet"
            );
        }
    }

    /// Writes down that the query has ended by `error`, and hands it on.
    async fn ended(&self, key: QueryKey, error: QueryFunctionError) -> QueryFunctionError {
        let end = match &error {
            QueryFunctionError::Cancelled => End::Cancelled,
            _ => End::Failed { code: error.code() },
        };
        self.note(key, end).await;
        error
    }

    /// The caller gets their answer also if its end cannot be written down; the lease ends it then.
    async fn note(&self, key: QueryKey, end: End<'_>) {
        let noted = database::ask(&self.engine.pool, async |conn| records::finish(conn, key, end).await).await;
        if !matches!(noted, Ok(Ok(true))) {
            tracing::warn!(query.id = %key.id, error.code = "query.records", "the end of a query was not written down");
        }
    }
}

/// Tells how long an interactive query took, its wait for a place included. One that became a task tells itself.
fn tell(duration: Duration, answered: &Result<Reply, QueryFunctionError>) {
    let outcome = match answered {
        Ok(reply) if reply.is_accepted() => return,
        Ok(_) => "completed",
        Err(QueryFunctionError::Cancelled) => "cancelled",
        Err(_) => "failed",
    };
    let dimensions = [("mode", "interactive"), ("outcome", outcome)];
    metrics::emit(metrics::QUERY_DURATION_MS, duration.as_secs_f64() * 1000.0, &dimensions);
}
