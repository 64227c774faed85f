//! Calls as they come in, parsed strictly: what is asked for. Pure; who asks is found out elsewhere.

use isotherm_access::users::UserChange;
use isotherm_access::{AccessError, Role, UserId};
use isotherm_control::task::TaskState;
use isotherm_control::tasks::TaskPage;
use isotherm_platform::lambda::http::HttpCall;
use isotherm_types::TaskId;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::route::Route;

mod alerts;
mod channels;

pub use alerts::{AlertRequest, DeliveryPage, TestOrder};
pub(crate) use channels::bad as bad_channel;
pub use channels::{ChannelRequest, WantedChannel};

/// Version of the direct invocations that this function knows.
const VERSION: u32 = 1;

/// A longer body is refused.
const MAX_BODY_BYTES: u64 = 256 << 10;

/// Entries of a page, if the caller does not say, and at most.
const PAGE: (u32, u32) = (50, 200);

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Who am I?
    WhoAmI,
    /// Users, the newest first.
    ListUsers {
        /// Only those before this row.
        before: Option<i64>,
        /// At most so many.
        limit: u32,
    },
    /// A new user.
    AddUser(AddUser),
    /// Another role for a user, or none any more.
    ChangeUser {
        /// Which one.
        user: UserId,
        /// What is to change.
        change: UserChange,
    },
    /// Tasks, the newest first.
    ListTasks(TaskPage),
    /// A firing by hand.
    Fire(Order),
    /// Something about rules, what they found, or messages.
    Alerts(AlertRequest),
    /// Something about channels.
    Channels(ChannelRequest),
}

/// A user to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddUser {
    /// Issuer of their tokens; the first of the configuration if absent.
    pub issuer: Option<String>,
    /// `sub` of their tokens.
    pub subject: String,
    /// What they are called; as the subject if absent.
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
}

/// A firing by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What is to be fired.
    pub action: Action,
    /// The task's input, an object.
    pub input: Value,
    /// Names the call, if the caller wants to be able to repeat it.
    pub idempotency_key: Option<String>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fire a trigger.
    FireTrigger {
        /// Its name.
        trigger: String,
    },
    /// Run a job.
    RunJob {
        /// Its name.
        job: String,
    },
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Direct {
    FireTrigger {
        version: u32,
        org: String,
        trigger: String,
        input: Option<Map<String, Value>>,
        idempotency_key: Option<String>,
    },
    RunJob {
        version: u32,
        org: String,
        job: String,
        input: Option<Map<String, Value>>,
        idempotency_key: Option<String>,
    },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FireBody {
    input: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddUserBody {
    issuer: Option<String>,
    subject: String,
    name: Option<String>,
    role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeUserBody {
    role: Option<String>,
    active: Option<bool>,
}

impl Request {
    /// Reads a direct invocation: what is asked for, and the name of the organisation.
    ///
    /// # Errors
    /// [`ApiError::Malformed`], [`ApiError::UnknownVersion`].
    pub fn of_direct(event: Value) -> Result<(Self, String), ApiError> {
        let direct = serde_json::from_value(event).map_err(|source| ApiError::Malformed { source })?;
        let (version, org, action, input, idempotency_key) = match direct {
            Direct::FireTrigger { version, org, trigger, input, idempotency_key } => {
                (version, org, Action::FireTrigger { trigger }, input, idempotency_key)
            }
            Direct::RunJob { version, org, job, input, idempotency_key } => {
                (version, org, Action::RunJob { job }, input, idempotency_key)
            }
        };
        if version != VERSION {
            return Err(ApiError::UnknownVersion { version });
        }
        Ok((Self::Fire(Order { action, input: object(input), idempotency_key }), org))
    }

    /// Reads a call of `route`.
    ///
    /// # Errors
    /// [`ApiError::NoRoute`] if a part of the path is missing, [`ApiError::BadParameter`] for what follows the `?`;
    /// [`ApiError::TooLarge`], [`ApiError::NotBase64`], [`ApiError::Malformed`] for the body, [`ApiError::NotRight`] for a
    /// rule or channel in it.
    pub fn of_http(route: Route, call: &HttpCall) -> Result<Self, ApiError> {
        let named = |name| call.path_parameter(name).map(str::to_owned).ok_or(ApiError::NoRoute);
        match route {
            Route::WhoAmI => Ok(Self::WhoAmI),
            Route::ListUsers => Ok(Self::ListUsers { before: before(call)?, limit: limit(call)? }),
            Route::ListTasks => {
                let page = TaskPage { state: state(call)?, before: before(call)?.map(TaskId), limit: limit(call)? };
                Ok(Self::ListTasks(page))
            }
            Route::AddUser => {
                let AddUserBody { issuer, subject, name, role } = body(call)?;
                Ok(Self::AddUser(AddUser { issuer, subject, name, role: self::role(&role)? }))
            }
            Route::ChangeUser => {
                let bad = ApiError::BadParameter { name: "id", expected: "the number of a user" };
                let user = UserId(named("id")?.parse().map_err(|_| bad)?);
                let ChangeUserBody { role, active } = body(call)?;
                let role = role.as_deref().map(self::role).transpose()?;
                Ok(Self::ChangeUser { user, change: UserChange { role, active } })
            }
            Route::FireTrigger => order(call, Action::FireTrigger { trigger: named("trigger")? }),
            Route::RunJob => order(call, Action::RunJob { job: named("job")? }),
            other => match AlertRequest::of_http(other, call)? {
                Some(request) => Ok(Self::Alerts(request)),
                None => ChannelRequest::of_http(other, call)?.map(Self::Channels).ok_or(ApiError::NoRoute),
            },
        }
    }

    /// The route by which this comes in, whose permission it needs.
    pub fn route(&self) -> Route {
        match self {
            Self::WhoAmI => Route::WhoAmI,
            Self::ListUsers { .. } => Route::ListUsers,
            Self::AddUser(_) => Route::AddUser,
            Self::ChangeUser { .. } => Route::ChangeUser,
            Self::ListTasks(_) => Route::ListTasks,
            Self::Fire(Order { action: Action::FireTrigger { .. }, .. }) => Route::FireTrigger,
            Self::Fire(Order { action: Action::RunJob { .. }, .. }) => Route::RunJob,
            Self::Alerts(request) => request.route(),
            Self::Channels(request) => request.route(),
        }
    }
}

fn order(call: &HttpCall, action: Action) -> Result<Request, ApiError> {
    let FireBody { input } = if call.body_bytes() == 0 { FireBody::default() } else { body(call)? };
    let idempotency_key = call.header("idempotency-key").map(str::to_owned);
    Ok(Request::Fire(Order { action, input: object(input), idempotency_key }))
}

fn object(input: Option<Map<String, Value>>) -> Value {
    Value::Object(input.unwrap_or_default())
}

fn body<T: DeserializeOwned>(call: &HttpCall) -> Result<T, ApiError> {
    if call.body_bytes() > MAX_BODY_BYTES {
        return Err(ApiError::TooLarge { limit_bytes: MAX_BODY_BYTES });
    }
    let bytes = call.body()?;
    let malformed = |source| ApiError::Malformed { source };
    let read = serde_json::from_slice(&bytes).map_err(malformed)?;
    // Serde takes a list for an object as well, field by field.
    if bytes.trim_ascii_start().starts_with(b"{") {
        Ok(read)
    } else {
        Err(malformed(serde_json::Error::custom("the body is not a JSON object")))
    }
}

fn role(word: &str) -> Result<Role, ApiError> {
    let bad = AccessError::BadField { field: "role", expected: "reader, writer or admin" };
    word.parse().map_err(|_| bad.into())
}

fn before(call: &HttpCall) -> Result<Option<i64>, ApiError> {
    let Some(text) = call.query_parameter("before") else { return Ok(None) };
    let row = text.parse::<i64>().ok().filter(|row| *row >= 1);
    let bad = ApiError::BadParameter { name: "before", expected: "the `next` of the page before" };
    row.map(Some).ok_or(bad)
}

fn limit(call: &HttpCall) -> Result<u32, ApiError> {
    let (usual, most) = PAGE;
    let Some(text) = call.query_parameter("limit") else { return Ok(usual) };
    let limit = text.parse::<u32>().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or(ApiError::BadParameter { name: "limit", expected: "a number from 1 to 200" })
}

fn state(call: &HttpCall) -> Result<Option<TaskState>, ApiError> {
    let state = call.query_parameter("state").map(str::parse::<TaskState>).transpose();
    let expected = "queued, running, completed, failed or cancelled";
    state.map_err(|_| ApiError::BadParameter { name: "state", expected })
}
