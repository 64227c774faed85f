//! Calls as they come in, parsed strictly: who asks for what.

use isotherm_control::jobs::DEFAULT_ORG;
use isotherm_platform::lambda::Invocation;
use isotherm_platform::lambda::http::HttpCall;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// Version of the direct invocations that this function knows.
const VERSION: u32 = 1;

/// Route that fires a trigger, as `terraform/stack.yaml` has it.
const FIRE_ROUTE: &str = "POST /v1/triggers/{trigger}/fire";
/// Route that runs a job.
const RUN_ROUTE: &str = "POST /v1/jobs/{job}/run";

/// A longer body is refused.
const MAX_BODY_BYTES: u64 = 256 << 10;

/// What is asked for, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Name of the organisation.
    pub org: String,
    /// What is to be done.
    pub action: Action,
    /// The task's input, an object.
    pub input: Value,
    /// Names the call, if the caller wants to be able to repeat it.
    pub idempotency_key: Option<String>,
    /// Who the audit trail names.
    pub actor: String,
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
struct Body {
    input: Option<Map<String, Value>>,
}

impl Order {
    /// Reads a direct invocation. Lambda tells a function nothing of its caller: the invocation's id leads to him, through AWS's trail
    /// of data events.
    ///
    /// # Errors
    /// [`ApiError::Malformed`], [`ApiError::UnknownVersion`].
    pub fn of_direct(event: Value, invocation: &Invocation) -> Result<Self, ApiError> {
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
        let actor = format!("direct invoke {}", invocation.request_id);
        Ok(Self { org, action, input: object(input), idempotency_key, actor })
    }

    /// Reads a call of a route. The organisation is the default one.
    ///
    /// # Errors
    /// [`ApiError::NoRoute`]; [`ApiError::Unauthenticated`] if API Gateway does not say who calls;
    /// [`ApiError::TooLarge`], [`ApiError::NotBase64`], [`ApiError::Malformed`] for the body.
    pub fn of_http(call: &HttpCall) -> Result<Self, ApiError> {
        let named = |name| call.path_parameter(name).map(str::to_owned).ok_or(ApiError::NoRoute);
        let action = match call.route_key.as_str() {
            FIRE_ROUTE => Action::FireTrigger { trigger: named("trigger")? },
            RUN_ROUTE => Action::RunJob { job: named("job")? },
            _ => return Err(ApiError::NoRoute),
        };
        let actor = call.caller_arn.clone().ok_or(ApiError::Unauthenticated)?;
        if call.body_bytes() > MAX_BODY_BYTES {
            return Err(ApiError::TooLarge { limit_bytes: MAX_BODY_BYTES });
        }
        let bytes = call.body()?;
        let body: Body = if bytes.is_empty() {
            Body::default()
        } else {
            serde_json::from_slice(&bytes).map_err(|source| ApiError::Malformed { source })?
        };
        let idempotency_key = call.header("idempotency-key").map(str::to_owned);
        Ok(Self { org: DEFAULT_ORG.to_owned(), action, input: object(body.input), idempotency_key, actor })
    }
}

fn object(input: Option<Map<String, Value>>) -> Value {
    Value::Object(input.unwrap_or_default())
}
