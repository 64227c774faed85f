//! The shell of `query`: an event in, rows or an error out.
//!
//! Two doors, one answer: a direct invocation with the request itself, and `POST /v1/query` of API Gateway with the
//! request as body. A query that fails is an answer too; the invocation itself fails only for an event that is
//! neither. It must never log a user's SQL, and has no rule of its own: they are in `isotherm_query`.

mod config;
mod reply;
mod request;

use isotherm_platform::{Environment, Fault};
use isotherm_query::error::Blame;
use isotherm_query::{QueryEngine, QueryError, QueryRequest};
use isotherm_types::Classified;
use isotherm_types::disposition::error_chain;
use serde_json::Value;

pub use request::{Door, MalformedRequest, Request};

/// The function with its connections.
#[derive(Debug)]
pub struct QueryFunction {
    /// Runs the queries.
    pub engine: QueryEngine,
}

impl QueryFunction {
    /// Reads the configuration and connects.
    ///
    /// # Errors
    /// One error that names every bad variable; a secret or a database that is not to be had.
    pub async fn connect(environment: Environment) -> Result<Self, Fault> {
        Ok(Self { engine: config::engine(environment).await? })
    }

    /// Answers one event.
    ///
    /// # Errors
    /// [`MalformedRequest`] for an event of API Gateway that is not understood.
    pub async fn handle(&self, event: Value) -> Result<Value, Fault> {
        let door = Door::of(event)?;
        let reply = match door.request() {
            Ok(request) => self.answer(&request).await,
            Err(malformed) => reply::Reply::of_malformed(&malformed),
        };
        let write = |reply: reply::Reply| match &door {
            Door::Direct(_) => reply.into_payload(),
            Door::ApiGateway { .. } => reply.into_http_response(),
        };
        let answer = write(reply);
        Ok(if reply::fits(&answer) { answer } else { write(reply::Reply::of_error(&reply::too_large())) })
    }

    async fn answer(&self, request: &Request) -> reply::Reply {
        let outcome = self.engine.run(QueryRequest::new(request.sql.clone(), request.timeout())).await;
        let reply = outcome.and_then(|answer| reply::Reply::of_answer(answer, request.format));
        reply.unwrap_or_else(|error| {
            log(&error);
            reply::Reply::of_error(&error)
        })
    }
}

/// The asker's mistakes are no concern of the log; the platform's are, but never in words that may quote SQL.
fn log(error: &QueryError) {
    match error {
        _ if error.blame() != Blame::Platform => {
            tracing::info!(error.code = error.code(), "a query was not answered");
        }
        QueryError::SandboxProtocol { .. } | QueryError::ColdFileUnreadable { .. } => {
            tracing::error!(error.code = error.code(), "a query failed");
        }
        _ => tracing::error!(error.code = error.code(), error.message = error_chain(error), "a query failed"),
    }
}
