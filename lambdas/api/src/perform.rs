//! What is asked for, done for whoever asks. Every statement is about the caller's own organisation, and what is read about alerts is
//! read under its role ([`tenant`]), so that Postgres leaves out all others' rows.

use isotherm_access::issuer::AWS_IAM;
use isotherm_access::users::{self, NewUser, User};
use isotherm_access::{
    AccessError, Caller, Issuers, Permission, VerifiedToken, authorise, callers, grants, row_security,
};
use isotherm_alerts::channels::{self as stored_channels, Channel};
use isotherm_alerts::seal::Keyring;
use isotherm_control::tasks::{self, OrgTask, TaskPage};
use isotherm_control::triggers::{self, FiredByHand};
use isotherm_outbound::Client;
use isotherm_platform::lambda::http::HttpAnswer;
use isotherm_types::OrgId;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use crate::error::ApiError;
use crate::request::{Action, AddUser, AlertRequest, Order, Request};
use crate::route::Route;
use crate::sql_trial::SqlTrial;

mod alert_events;
mod alert_rules;
mod channels;

pub use channels::check_address;

/// Who asks, as the door says.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// A genuine token.
    Token(VerifiedToken),
    /// An AWS principal whose signature API Gateway has checked.
    AwsPrincipal(String),
    /// A direct invocation, which AWS IAM let through: for this organisation, under this name in the trail.
    Direct { org: String, name: String },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Done {
    /// A firing, which is to be published.
    Fired(FiredByHand),
    /// An answer under its HTTP status; events that belong to it are to be published.
    Recorded(u16, Value),
    /// An answer under its HTTP status.
    Answered(u16, Value),
}

impl Done {
    pub(crate) fn http_answer(self) -> HttpAnswer {
        match self {
            Self::Fired(fired) => HttpAnswer::new(if fired.is_new { 202 } else { 200 }, fired_json(fired)),
            Self::Recorded(status, body) | Self::Answered(status, body) => HttpAnswer::new(status, body),
        }
    }

    pub(crate) fn is_to_be_published(&self) -> bool {
        match self {
            Self::Fired(_) | Self::Recorded(..) => true,
            Self::Answered(..) => false,
        }
    }

    pub(crate) fn body(self) -> Value {
        match self {
            Self::Fired(fired) => fired_json(fired),
            Self::Recorded(_, body) | Self::Answered(_, body) => body,
        }
    }
}

/// How far a call has got with the database alone.
pub(crate) enum Performed {
    /// To its end.
    Done(Done),
    /// A rule's SQL is to be asked, without a connection meanwhile.
    ToAsk(Box<SqlTrial>),
}

/// What doing it may need beside the database.
pub(crate) struct Tools<'a> {
    /// Whose tokens are accepted.
    pub(crate) issuers: &'a Issuers,
    /// What seals addresses, for routes that are about them ([`crate::Route`]).
    pub(crate) ring: Option<&'a Keyring>,
    /// Looks where URLs lead.
    pub(crate) outbound: &'a Client,
}

impl<'a> Tools<'a> {
    /// What seals addresses.
    fn ring(&self) -> &'a Keyring {
        self.ring.expect("a route that seals or opens addresses is said to be about them")
    }
}

/// Finds the caller, asks whether they may, then reads what they ask for, and does it.
pub(crate) async fn perform(
    conn: &mut PgConnection,
    who: &Who,
    route: Route,
    request: impl FnOnce() -> Result<Request, ApiError>,
    tools: &Tools<'_>,
) -> Result<Performed, ApiError> {
    let caller = match who {
        Who::Token(token) => callers::of_token(conn, token).await?,
        Who::AwsPrincipal(arn) => callers::of_aws_principal(conn, arn).await?,
        Who::Direct { org, name } => callers::of_direct_invocation(conn, org, name.clone()).await?,
    };
    if let Some(permission) = route.permission() {
        authorise(conn, &caller, permission, route.key()).await?;
    }
    match request()? {
        Request::Alerts(AlertRequest::TestRule(order)) => alert_rules::test(conn, &caller, &order).await,
        request => Ok(Performed::Done(done(conn, &caller, who, request, tools).await?)),
    }
}

/// Does what a caller may do that takes the database alone.
async fn done(
    conn: &mut PgConnection,
    caller: &Caller,
    who: &Who,
    request: Request,
    tools: &Tools<'_>,
) -> Result<Done, ApiError> {
    match request {
        Request::WhoAmI => who_am_i(conn, caller, who).await,
        Request::ListUsers { before, limit } => {
            let found = users::list(conn, caller.org, before, limit).await?;
            let next = next(found.len(), limit, found.last().map(|user| user.id.0));
            let users: Vec<_> = found.iter().map(user_json).collect();
            Ok(Done::Answered(200, json!({ "users": users, "next": next })))
        }
        Request::AddUser(wanted) => {
            let new = new_user(&wanted, tools.issuers)?;
            let user = users::add(conn, caller.org, &new, &caller.name).await?;
            Ok(Done::Answered(201, user_json(&user)))
        }
        Request::ChangeUser { user, change } => {
            let by = (caller.name.as_str(), caller.user);
            let user = users::change(conn, caller.org, user, change, by).await?;
            Ok(Done::Answered(200, user_json(&user)))
        }
        Request::ListTasks(page) => list_tasks(conn, caller, page).await,
        Request::Fire(order) => fire(conn, caller, &order).await,
        Request::Channels(request) => channels::perform(conn, caller, &request, tools).await,
        Request::Alerts(request) => alerts(conn, caller, &request).await,
    }
}

async fn alerts(conn: &mut PgConnection, caller: &Caller, request: &AlertRequest) -> Result<Done, ApiError> {
    match request {
        AlertRequest::ListEvents(filter) => alert_events::list(conn, caller, filter).await,
        AlertRequest::ShowEvent { id } => alert_events::show(conn, caller, *id).await,
        AlertRequest::ListDeliveries(page) => alert_events::list_deliveries(conn, caller, page).await,
        AlertRequest::Replay { id } => alert_events::replay(conn, caller, *id).await,
        about_rules => alert_rules::perform(conn, caller, about_rules).await,
    }
}

/// A transaction that sees rows of `org` only and changes nothing. What is read in it is not committed: it is rolled back.
async fn tenant(conn: &mut PgConnection, org: OrgId) -> Result<Transaction<'_, Postgres>, AccessError> {
    let mut db_tx = conn.begin().await?;
    row_security::as_tenant(&mut db_tx, org).await?;
    Ok(db_tx)
}

/// The organisation's channel of this name; `None` if it has none.
async fn maybe_channel(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Option<Channel>, ApiError> {
    let mut db_tx = tenant(conn, org).await?;
    let found = stored_channels::named(&mut db_tx, org, name).await?;
    db_tx.rollback().await.map_err(AccessError::from)?;
    Ok(found)
}

/// The organisation's channel of this name.
async fn named_channel(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Channel, ApiError> {
    let found = maybe_channel(conn, org, name).await?;
    found.ok_or_else(|| ApiError::NoSuchChannel { name: name.to_owned() })
}

async fn who_am_i(conn: &mut PgConnection, caller: &Caller, who: &Who) -> Result<Done, ApiError> {
    let granted = grants::list(conn, caller.org).await?;
    let granted: Vec<_> =
        granted.iter().map(|(chain, dataset)| json!({ "chain_id": chain, "dataset": dataset })).collect();
    let permissions = Permission::ALL.into_iter().filter(|permission| caller.role.may(*permission));
    let permissions: Vec<_> = permissions.map(Permission::as_str).collect();
    let token = match who {
        Who::Token(token) => Some(token),
        Who::AwsPrincipal(_) | Who::Direct { .. } => None,
    };
    let body = json!({
        "org": caller.org_name,
        "user_id": caller.user.map(|user| user.0),
        "user": caller.plain_name(),
        "role": caller.role.as_str(),
        "permissions": permissions,
        "grants": granted,
        "issuer": token.map(|token| &token.issuer),
        "subject": token.map(|token| &token.subject),
        "expires_at": token.map(|token| token.expires_at),
    });
    Ok(Done::Answered(200, body))
}

fn new_user(wanted: &AddUser, issuers: &Issuers) -> Result<NewUser, AccessError> {
    let issuer = wanted.issuer.as_ref().unwrap_or(&issuers.first().name);
    if issuer != AWS_IAM && issuers.named(issuer).is_none() {
        let expected = "one of those whose tokens are accepted here, or aws_iam";
        return Err(AccessError::BadField { field: "issuer", expected });
    }
    Ok(NewUser {
        issuer: issuer.clone(),
        subject: wanted.subject.clone(),
        name: wanted.name.as_ref().unwrap_or(&wanted.subject).clone(),
        role: wanted.role,
    })
}

async fn list_tasks(conn: &mut PgConnection, caller: &Caller, page: TaskPage) -> Result<Done, ApiError> {
    let mut db_tx = tenant(conn, caller.org).await?;
    let found = tasks::of_org(&mut db_tx, caller.org, page).await?;
    db_tx.rollback().await.map_err(AccessError::from)?;
    let next = next(found.len(), page.limit, found.last().map(|task| task.task_id.0));
    let tasks: Vec<_> = found.iter().map(task_json).collect();
    Ok(Done::Answered(200, json!({ "tasks": tasks, "next": next })))
}

async fn fire(conn: &mut PgConnection, caller: &Caller, order: &Order) -> Result<Done, ApiError> {
    let key = order.idempotency_key.as_deref();
    let (org, input, actor) = (caller.org, &order.input, &caller.name);
    let fired = match &order.action {
        Action::FireTrigger { trigger } => triggers::fire_by_hand(conn, org, trigger, key, input, actor).await?,
        Action::RunJob { job } => triggers::run_job(conn, org, job, key, input, actor).await?,
    };
    tracing::info!(
        event.id = fired.event_id.0,
        fire.new = fired.is_new,
        trace.id = fired.trace_id.map(String::from).as_deref(),
        caller.name = actor.as_str(),
        "fired by hand"
    );
    Ok(Done::Fired(fired))
}

/// Where the next page begins; `None` if this was the last.
fn next(found: usize, limit: u32, last: Option<i64>) -> Option<i64> {
    if is_last(found, limit) { None } else { last }
}

/// Whether a page of so many entries is the last one.
fn is_last(found: usize, limit: u32) -> bool {
    u32::try_from(found).is_ok_and(|found| found < limit)
}

fn fired_json(fired: FiredByHand) -> Value {
    json!({ "event_id": fired.event_id, "new": fired.is_new })
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id.0,
        "issuer": user.issuer,
        "subject": user.subject,
        "name": user.name,
        "role": user.role.as_str(),
        "active": user.active,
        "created_at": user.created_at,
        "last_seen_at": user.last_seen_at,
    })
}

fn task_json(task: &OrgTask) -> Value {
    let (done, total, message) = &task.progress;
    json!({
        "id": task.task_id.0,
        "job": task.job,
        "operator": task.operator,
        "state": task.state.as_str(),
        "attempts_left": task.attempts_left,
        "progress": { "done": done, "total": total, "message": message },
        "error": task.error.as_ref().map(|(code, message)| json!({ "code": code, "message": message })),
        "created_at": task.created_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
    })
}
