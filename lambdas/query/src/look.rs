//! Everything but running SQL: queries of before, saved ones, datasets.

use isotherm_access::{Caller, Permission, authorise};
use isotherm_platform::database;
use isotherm_query::catalogue;
use isotherm_query::records::{self, CancelAsked, LOST, Page, QueryKey, QueryState, Record, RunMode};
use isotherm_query::results::Outcome;
use isotherm_query::saved::{self, NewSavedQuery, Saved, parameters_of_run};
use isotherm_types::{Clock as _, SystemClock};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::QueryFunction;
use crate::error::QueryFunctionError;
use crate::reply::Reply;
use crate::request::{Ask, Run};
use crate::route::Route;

impl QueryFunction {
    pub(crate) async fn list_queries(&self, caller: &Caller, page: Page) -> Result<Reply, QueryFunctionError> {
        let found = database::ask(&self.engine.pool, async |conn| {
            records::abandon_overdue(conn, caller.org).await?;
            records::list(conn, caller.org, page).await
        });
        let found = found.await??;
        let is_full = u32::try_from(found.len()).is_ok_and(|count| count == page.limit);
        let next = found.last().filter(|_| is_full).map(|record| record.id);
        let queries: Vec<Value> = found.iter().map(record_json).collect();
        Ok(Reply::new(200, json!({ "queries": queries, "next": next })))
    }

    pub(crate) async fn show_query(&self, caller: &Caller, id: Uuid) -> Result<Reply, QueryFunctionError> {
        let key = QueryKey { org: caller.org, id };
        let record = self.record(key).await?.ok_or(QueryFunctionError::UnknownQuery { id })?;
        Ok(Reply::new(200, self.status(key, &record).await?))
    }

    /// Anybody who may run queries ends their own; another's need more.
    pub(crate) async fn cancel_query(&self, caller: &Caller, id: Uuid) -> Result<Reply, QueryFunctionError> {
        let key = QueryKey { org: caller.org, id };
        let record = self.record(key).await?.ok_or(QueryFunctionError::UnknownQuery { id })?;
        let is_own = caller.user.is_some_and(|user| record.user_id == Some(user.0));
        let asked = database::ask(&self.engine.pool, async |conn| {
            if !is_own {
                authorise(conn, caller, Permission::CancelOthersQueries, Route::CancelQuery.key()).await?;
            }
            Ok::<_, QueryFunctionError>(records::ask_cancel(conn, key, &caller.name).await?)
        });
        let status = match asked.await?? {
            CancelAsked::Asked => 202,
            CancelAsked::Cancelled | CancelAsked::AlreadyOver(_) => 200,
            CancelAsked::Unknown => return Err(QueryFunctionError::UnknownQuery { id }),
        };
        let record = self.record(key).await?.ok_or(QueryFunctionError::UnknownQuery { id })?;
        Ok(Reply::new(status, self.status(key, &record).await?))
    }

    pub(crate) async fn list_datasets(&self, caller: &Caller) -> Result<Reply, QueryFunctionError> {
        let datasets = catalogue::datasets(&self.engine.pool, &caller.grants).await?;
        Ok(Reply::new(200, json!({ "datasets": datasets, "platform_tables": catalogue::tables() })))
    }

    pub(crate) async fn list_saved(&self, caller: &Caller) -> Result<Reply, QueryFunctionError> {
        let found = database::ask(&self.engine.pool, async |conn| saved::list(conn, caller.org).await).await??;
        Ok(Reply::new(200, json!({ "saved_queries": found })))
    }

    pub(crate) async fn show_saved(&self, caller: &Caller, name: String) -> Result<Reply, QueryFunctionError> {
        let found = database::ask(&self.engine.pool, async |conn| saved::read(conn, caller.org, &name).await).await??;
        let found = found.ok_or(QueryFunctionError::UnknownSaved { name })?;
        Ok(Reply::new(200, json!(found)))
    }

    pub(crate) async fn save_query(&self, caller: &Caller, query: &NewSavedQuery) -> Result<Reply, QueryFunctionError> {
        let done = database::ask(&self.engine.pool, async |conn| {
            let done = saved::save(conn, caller.org, query, &caller.name).await?;
            let stored = saved::read(conn, caller.org, &query.name).await?;
            Ok::<_, QueryFunctionError>((done, stored))
        });
        match done.await?? {
            (Saved::Created, stored) => Ok(Reply::new(201, json!(stored))),
            (Saved::Changed, stored) => Ok(Reply::new(200, json!(stored))),
            (Saved::TooMany, _) => Err(QueryFunctionError::TooManySaved),
            (Saved::TooLong, _) => Err(QueryFunctionError::SavedTooLong),
        }
    }

    pub(crate) async fn delete_saved(&self, caller: &Caller, name: String) -> Result<Reply, QueryFunctionError> {
        let done = database::ask(&self.engine.pool, async |conn| saved::delete(conn, caller.org, &name).await);
        if done.await?? {
            Ok(Reply::new(200, json!({ "deleted": name })))
        } else {
            Err(QueryFunctionError::UnknownSaved { name })
        }
    }

    /// The SQL of a saved query, to be run as `run` says.
    pub(crate) async fn saved_ask(
        &self,
        caller: &Caller,
        name: String,
        parameters: Value,
        run: Run,
    ) -> Result<Ask, QueryFunctionError> {
        let found = database::ask(&self.engine.pool, async |conn| saved::read(conn, caller.org, &name).await).await??;
        let found = found.ok_or(QueryFunctionError::UnknownSaved { name })?;
        Ok(Ask::new(found.sql, parameters_of_run(found.parameters, parameters), run)?)
    }

    async fn record(&self, key: QueryKey) -> Result<Option<Record>, QueryFunctionError> {
        let look = database::ask(&self.engine.pool, async |conn| {
            records::abandon_overdue(conn, key.org).await?;
            records::show(conn, key).await
        });
        Ok(look.await??)
    }

    /// The record, with a fresh URL for its file and with what its documents say.
    async fn status(&self, key: QueryKey, record: &Record) -> Result<Value, QueryFunctionError> {
        let mut status = record_json(record);
        status["error"] = json!(self.error_of(key, record).await?);
        if let (QueryState::Completed, Some(result)) = (record.state, &record.result) {
            let signed = json!(self.results.sign(result, SystemClock.now()).await?);
            // The documents go with the file, after some days.
            if let Some(Outcome::Answer(mut answer)) = self.outcome(key, record).await? {
                answer["result"] = signed.clone();
                status["answer"] = answer;
                status["result"] = signed;
            }
        }
        Ok(status)
    }

    /// Why the query has no answer, in the words that it was told at its end if those were kept.
    async fn error_of(&self, key: QueryKey, record: &Record) -> Result<Option<Value>, QueryFunctionError> {
        match (record.state, record.error_code.as_deref()) {
            (QueryState::Cancelled, _) => Ok(Some(json!(QueryFunctionError::Cancelled.answer()))),
            (QueryState::Failed, Some(code)) => {
                if let (RunMode::Batch, Some(Outcome::Error(error))) = (record.mode, self.outcome(key, record).await?) {
                    return Ok(Some(error));
                }
                Ok(Some(error_without_words(code, record.mode)))
            }
            _ => Ok(None),
        }
    }

    async fn outcome(&self, key: QueryKey, record: &Record) -> Result<Option<Outcome>, QueryFunctionError> {
        Ok(self.results.document(key, &Outcome::document_name(record.attempt)).await?)
    }
}

/// The caller of an interactive query was told the words; here is only the code.
fn error_without_words(code: &str, mode: RunMode) -> Value {
    let known = match mode {
        _ if code == LOST => Some(QueryFunctionError::Lost),
        RunMode::Interactive if code == QueryFunctionError::Busy.code() => Some(QueryFunctionError::Busy),
        RunMode::Interactive => None,
        RunMode::Batch => Some(QueryFunctionError::TaskFailed),
    };
    let told = || "the query has failed; its caller was told how".to_owned();
    let message = known.map_or_else(told, |error| error.to_string());
    json!({ "code": code, "message": message, "detail": null, "position": null })
}

fn record_json(record: &Record) -> Value {
    json!({
        "query_id": record.id,
        "state": record.state,
        "mode": record.mode,
        "format": record.format,
        "asked_by": record.actor,
        "sql_sha256": record.sql_sha256,
        "timeout_seconds": record.timeout_seconds,
        "asked_at": record.asked_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "row_count": record.row_count,
        "bytes": record.bytes,
        "duration_ms": record.duration_ms,
        "cold_files": record.cold_files,
        "cold_bytes": record.cold_bytes,
        "error_code": record.error_code,
        "has_result": record.result.is_some(),
        "cancel_asked_at": record.cancel_asked_at,
        "cancel_asked_by": record.cancel_asked_by,
        "task_id": record.task_id,
    })
}
