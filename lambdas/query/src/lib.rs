//! The shell of `query`: an event in, rows, a file or an error out.
//!
//! Two doors, one answer: a direct invocation, guarded by AWS IAM, and routes of API Gateway, whose callers show a token.
//! What can be asked, and what it needs, is one table (`route`). A query that fails is an answer too. The rules are in
//! `isotherm_query` and `isotherm_access`: this shell parses, asks and replies. It must never log a user's SQL, and never
//! take a caller's word for who they are or whose.

mod ask;
mod config;
mod error;
mod fields;
mod look;
mod reply;
mod request;
mod route;

use isotherm_access::{Authenticator, Caller, authorise, callers};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database;
use isotherm_platform::lambda::Invocation;
use isotherm_platform::lambda::http::{self, HttpCall};
use isotherm_platform::{Environment, Fault};
use isotherm_query::QueryEngine;
use isotherm_query::results::{InlineLimits, ResultStore};
use serde_json::Value;

pub use error::{MalformedRequest, QueryFunctionError};
use reply::Reply;
pub use request::{Ask, Mode, Request, Run};
pub use route::Route;

/// The function with its connections.
pub struct QueryFunction {
    /// Runs the queries.
    pub engine: QueryEngine,
    /// Where large answers go.
    pub results: ResultStore,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// AWS.
    pub clients: Clients,
    /// Where the dispatcher is told of batch queries.
    pub event_queues: EventQueues,
    /// What an inline answer may hold.
    pub inline: InlineLimits,
    /// Bytes of a file that an interactive query may write, at most.
    pub max_file_bytes: u64,
    /// Interactive queries of one organisation that may run at one time.
    pub places: u32,
    /// How long a query waits for a free place.
    pub place_wait: std::time::Duration,
}

impl QueryFunction {
    /// Reads the configuration and connects.
    ///
    /// # Errors
    /// One error that names every bad variable; a secret or a database that is not to be had.
    pub async fn connect(environment: Environment) -> Result<Self, Fault> {
        config::function(environment).await
    }

    /// Answers one event. What cannot be done is an answer too.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Value {
        let is_http = http::is_http(&event);
        let outcome = if is_http { self.called(event).await } else { self.invoked(event, invocation).await };
        let reply = outcome.unwrap_or_else(|error| {
            error.log();
            Reply::of_error(&error)
        });
        self.clients.s3_requests().tell();
        if is_http { reply.into_http_response() } else { reply.into_payload() }
    }

    /// The caller is known before anything else of the call is looked at.
    async fn called(&self, event: Value) -> Result<Reply, QueryFunctionError> {
        let call = HttpCall::of(event)?;
        let route = Route::of_key(&call.route_key).ok_or(QueryFunctionError::NoRoute)?;
        let asked = database::ask(&self.engine.pool, async |conn| {
            let caller = self.authenticator.caller(conn, call.authorization()).await?;
            authorise(conn, &caller, route.permission(), route.key()).await?;
            Ok::<_, QueryFunctionError>(caller)
        });
        let caller = asked.await??;
        self.perform(&caller, Request::of_http(route, &call)?).await
    }

    /// Lambda tells a function nothing of who invokes it: the invocation's id leads to them, through AWS's trail of data
    /// events.
    async fn invoked(&self, event: Value, invocation: &Invocation) -> Result<Reply, QueryFunctionError> {
        let (request, org) = Request::of_direct(event)?;
        let route = request.route();
        let name = format!("direct invoke {}", invocation.request_id);
        let asked = database::ask(&self.engine.pool, async |conn| {
            let caller = callers::of_direct_invocation(conn, &org, name).await?;
            authorise(conn, &caller, route.permission(), route.key()).await?;
            Ok::<_, QueryFunctionError>(caller)
        });
        let caller = asked.await??;
        self.perform(&caller, request).await
    }

    async fn perform(&self, caller: &Caller, request: Request) -> Result<Reply, QueryFunctionError> {
        match request {
            // On the heap: what an engine's run takes is deep.
            Request::Ask(ask) => Box::pin(self.ask(caller, &ask)).await,
            Request::RunSaved { name, parameters, run } => {
                let ask = self.saved_ask(caller, name, parameters, run).await?;
                Box::pin(self.ask(caller, &ask)).await
            }
            Request::ListQueries(page) => self.list_queries(caller, page).await,
            Request::ShowQuery(id) => self.show_query(caller, id).await,
            Request::CancelQuery(id) => self.cancel_query(caller, id).await,
            Request::ListDatasets => self.list_datasets(caller).await,
            Request::ListSaved => self.list_saved(caller).await,
            Request::ShowSaved(name) => self.show_saved(caller, name).await,
            Request::SaveQuery(query) => self.save_query(caller, &query).await,
            Request::DeleteSaved(name) => self.delete_saved(caller, name).await,
        }
    }
}
