//! The API of the control plane: who am I, the organisation's users and tasks, triggers and jobs fired by hand; rules of alerts, what
//! they have found, channels and messages.
//!
//! Two doors, one answer: a direct invocation, guarded by AWS IAM, and routes of API Gateway, whose callers show a token or
//! are named by API Gateway. What the API looks like is told to everybody (`description`). Who may do what is in
//! `isotherm_access`, the rules of firing in `isotherm_control::triggers`, all about alerts in `isotherm_alerts`; this shell parses,
//! asks, publishes and replies. It must never take a caller's word for who he is or whose he is, and never log where a channel
//! leads.

use isotherm_access::Authenticator;
use isotherm_control::ControlError;
use isotherm_outbound::{Client, Options};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{self, OnDemandPool, PoolOptions};
use isotherm_platform::lambda::Invocation;
use isotherm_platform::lambda::http::{self, HttpCall};
use isotherm_platform::lambda::identity;
use isotherm_platform::{Environment, Fault, outbox_publisher};
use serde_json::{Value, json};
use sqlx::PgPool;

pub mod description;
mod error;
mod keyring;
mod perform;
mod request;
mod route;
pub mod rules;
mod sql_trial;
pub mod trial;

pub use description::Description;
pub use error::ApiError;
pub use keyring::SealingKeys;
pub use perform::check_address;
use perform::{Done, Performed, Tools, Who, perform};
pub use request::{
    Action, AddUser, AlertRequest, ChannelRequest, DeliveryPage, Order, Request, TestOrder, WantedChannel,
};
pub use route::Route;
pub use sql_trial::NotAnswered;

/// What the function keeps between invocations.
pub struct Api {
    /// The database.
    pub database: OnDemandPool,
    /// AWS.
    pub clients: Clients,
    /// Where firings are published.
    pub event_queues: EventQueues,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// What the API looks like.
    pub description: Description,
    /// What seals channels' addresses.
    pub sealing_keys: SealingKeys,
    /// Looks where URLs of channels lead.
    pub outbound: Client,
    /// The function that answers SQL.
    pub query_function: String,
}

impl Api {
    /// Reads the environment. The database is asked at the first call, so that its absence can be answered.
    ///
    /// # Errors
    /// A bad environment.
    pub async fn connect(mut environment: Environment) -> Result<Self, Fault> {
        let event_queues = environment.event_queues();
        let secret_arn = environment.database_secret_arn();
        let issuers = environment.token_issuers();
        let keys_secret_arn = environment.text("ISOTHERM_SECRET_ALERTS_ARN");
        let query_function = environment.function("query");
        let loopback = environment.parsed_or("ISOTHERM_OUTBOUND_LOOPBACK", "true or false", false);
        let checked = environment.check()?;
        Ok(Self {
            database: OnDemandPool::new(secret_arn.open(&checked), PoolOptions::lambda("api")),
            clients: Clients::load().await,
            event_queues: event_queues.open(&checked),
            authenticator: identity::authenticator(issuers.open(&checked))?,
            description: Description::default(),
            sealing_keys: SealingKeys::new(keys_secret_arn.open(&checked)),
            outbound: Client::new(Options { allow_loopback_http: loopback.open(&checked), ..Options::default() })?,
            query_function: query_function.open(&checked),
        })
    }

    /// Answers one event. What cannot be done is an answer too.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Value {
        if http::is_http(&event) {
            let response = self.called(event).await.inspect_err(ApiError::log);
            response.unwrap_or_else(|error| error.answer().into_response())
        } else {
            direct_answer(self.invoked(event, invocation).await.inspect_err(ApiError::log))
        }
    }

    /// The response to a call. The caller is known, and may do this, before anything else of the call is looked at.
    async fn called(&self, event: Value) -> Result<Value, ApiError> {
        let call = HttpCall::of(event)?;
        if call.route_key == description::ROUTE {
            return Ok(self.description.response(call.header("if-none-match")));
        }
        let route = Route::of(&call.route_key).ok_or(ApiError::NoRoute)?;
        let who = match &call.caller_arn {
            Some(arn) => Who::AwsPrincipal(arn.clone()),
            None => Who::Token(self.authenticator.verify(call.authorization()).await?),
        };
        let done = self.carry_out(&who, route, || Request::of_http(route, &call)).await?;
        Ok(done.http_answer().into_response())
    }

    /// Lambda tells a function nothing of who invokes it: the invocation's id leads to them, through AWS's trail of data
    /// events.
    async fn invoked(&self, event: Value, invocation: &Invocation) -> Result<Done, ApiError> {
        let (request, org) = Request::of_direct(event)?;
        let who = Who::Direct { org, name: format!("direct invoke {}", invocation.request_id) };
        self.carry_out(&who, request.route(), || Ok(request)).await
    }

    async fn carry_out(
        &self,
        who: &Who,
        route: Route,
        request: impl FnOnce() -> Result<Request, ApiError>,
    ) -> Result<Done, ApiError> {
        let pool = self.database.get(self.clients.secrets_manager()).await?;
        // No connection is held while Secrets Manager is asked.
        let ring = if route.is_about_addresses() { Some(self.sealing_keys.get(&self.clients).await?) } else { None };
        let tools = Tools { issuers: self.authenticator.issuers(), ring: ring.as_ref(), outbound: &self.outbound };
        let asked = database::ask(pool, async |conn| perform(conn, who, route, request, &tools).await).await;
        let done = match asked.map_err(ControlError::from)?? {
            Performed::Done(done) => done,
            // On the heap: what the SDK's clients take is deep.
            Performed::ToAsk(trial) => {
                Done::Answered(200, Box::pin(trial.ask(&self.clients, &self.query_function)).await?)
            }
        };
        if done.is_to_be_published() {
            self.publish(pool).await;
        }
        Ok(done)
    }

    /// What is to be told is recorded: what is not published now, the dispatcher's sweep publishes.
    async fn publish(&self, pool: &PgPool) {
        if let Err(error) = outbox_publisher::publish_pending(pool, self.clients.sqs(), &self.event_queues).await {
            let fault = Fault::from(error);
            tracing::warn!(
                error.code = fault.code(),
                error.message = fault.message(),
                "an event is recorded and not published yet"
            );
        }
    }
}

fn direct_answer(outcome: Result<Done, ApiError>) -> Value {
    match outcome {
        Ok(done) => done.body(),
        Err(error) => json!({ "error": error.answer().body }),
    }
}

#[cfg(test)]
mod tests;
