//! Calls about rules, what they have found, and messages of it, parsed strictly. Pure.

use isotherm_alerts::definition::{Definition, FieldError, FieldErrors};
use isotherm_alerts::listing::{AlertFilter, Place, STATES};
use isotherm_platform::lambda::http::HttpCall;
use isotherm_types::{BlockNumber, BlockRange, RuleId};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{body, limit};
use crate::error::ApiError;
use crate::route::Route;

/// Longest time for which a rule is muted: a month.
const MOST_MUTED_SECONDS: u32 = 2_592_000;

/// States of deliveries, as they are stored and asked for.
const DELIVERY_STATES: [&str; 6] = ["queued", "sending", "delivered", "folded", "failed", "cancelled"];

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertRequest {
    /// Rules, the newest first.
    ListRules {
        /// Only those before this one.
        before: Option<RuleId>,
        /// At most so many.
        limit: u32,
    },
    /// A new rule.
    CreateRule(Box<Definition>),
    /// One rule.
    ShowRule {
        /// Its name.
        name: String,
    },
    /// A rule, new or in the place of the one of its name.
    SaveRule(Box<Definition>),
    /// A rule is to go.
    DeleteRule {
        /// Its name.
        name: String,
    },
    /// What a rule would have found.
    TestRule(TestOrder),
    /// A rule is to look no further.
    PauseRule {
        /// Its name.
        name: String,
    },
    /// A rule is to go on.
    ResumeRule {
        /// Its name.
        name: String,
    },
    /// Nobody is to be told of what a rule finds.
    MuteRule {
        /// Its name.
        name: String,
        /// For how long; 0: they are told again.
        seconds: u32,
    },
    /// What rules have found, the newest first.
    ListEvents(AlertFilter),
    /// One thing that a rule has found.
    ShowEvent {
        /// Its id.
        id: Uuid,
    },
    /// Messages, the newest first.
    ListDeliveries(DeliveryPage),
    /// A message is to be sent once more.
    Replay {
        /// Its id.
        id: Uuid,
    },
}

/// A rule to be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct TestOrder {
    /// Its name.
    pub name: String,
    /// The blocks that it is tried on; `None`: none is named, and SQL is asked of the newest.
    pub blocks: Option<BlockRange>,
    /// A rule that is not saved, in the place of the one of this name.
    pub definition: Option<Box<Definition>>,
}

/// Which messages are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeliveryPage {
    /// To the channel of this name.
    pub channel: Option<String>,
    /// About this alert.
    pub alert: Option<Uuid>,
    /// In this state.
    pub state: Option<&'static str>,
    /// Before this one, the last of the page before.
    pub before: Option<Place>,
    /// How many at most.
    pub limit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestBody {
    from: Option<u64>,
    to: Option<u64>,
    definition: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MuteBody {
    seconds: u32,
}

impl AlertRequest {
    /// Reads a call of `route`; `None` if the route is about something else.
    ///
    /// # Errors
    /// As [`super::Request::of_http`]; [`ApiError::NotRight`] for a rule that has a fault.
    pub(super) fn of_http(route: Route, call: &HttpCall) -> Result<Option<Self>, ApiError> {
        let name = || call.path_parameter("name").map(str::to_owned).ok_or(ApiError::NoRoute);
        Ok(Some(match route {
            Route::ListRules => Self::ListRules { before: super::before(call)?.map(RuleId), limit: limit(call)? },
            Route::CreateRule => Self::CreateRule(definition(body(call)?, None)?),
            Route::ShowRule => Self::ShowRule { name: name()? },
            Route::SaveRule => Self::SaveRule(definition(body(call)?, Some(&name()?))?),
            Route::DeleteRule => Self::DeleteRule { name: name()? },
            Route::TestRule => Self::TestRule(test_order(name()?, body(call)?)?),
            Route::PauseRule => Self::PauseRule { name: name()? },
            Route::ResumeRule => Self::ResumeRule { name: name()? },
            Route::MuteRule => Self::MuteRule { name: name()?, seconds: mute_seconds(&body(call)?)? },
            Route::ListAlertEvents => Self::ListEvents(AlertFilter {
                rule: text(call, "rule")?,
                state: state(call, &STATES, "a state of alerts, such as sent")?,
                before: before(call)?,
                limit: limit(call)?,
            }),
            Route::ShowAlertEvent => Self::ShowEvent { id: path_id(call)? },
            Route::ListDeliveries => Self::ListDeliveries(DeliveryPage {
                channel: text(call, "channel")?,
                alert: alert(call)?,
                state: state(call, &DELIVERY_STATES, "queued, sending, delivered, folded, failed or cancelled")?,
                before: before(call)?,
                limit: limit(call)?,
            }),
            Route::ReplayDelivery => Self::Replay { id: path_id(call)? },
            _ => return Ok(None),
        }))
    }

    /// The route by which this comes in.
    pub fn route(&self) -> Route {
        match self {
            Self::ListRules { .. } => Route::ListRules,
            Self::CreateRule(_) => Route::CreateRule,
            Self::ShowRule { .. } => Route::ShowRule,
            Self::SaveRule(_) => Route::SaveRule,
            Self::DeleteRule { .. } => Route::DeleteRule,
            Self::TestRule(_) => Route::TestRule,
            Self::PauseRule { .. } => Route::PauseRule,
            Self::ResumeRule { .. } => Route::ResumeRule,
            Self::MuteRule { .. } => Route::MuteRule,
            Self::ListEvents(_) => Route::ListAlertEvents,
            Self::ShowEvent { .. } => Route::ShowAlertEvent,
            Self::ListDeliveries(_) => Route::ListDeliveries,
            Self::Replay { .. } => Route::ReplayDelivery,
        }
    }
}

/// The rule that a body is. One that comes under a name needs none of its own, and may have no other.
fn definition(mut fields: Map<String, Value>, name: Option<&str>) -> Result<Box<Definition>, ApiError> {
    if let Some(name) = name {
        let given = fields.entry("name").or_insert_with(|| Value::from(name));
        if given != name {
            return Err(not_right("name", format!("it has to be {name:?}, as in the path, or left out")));
        }
    }
    Ok(Box::new(Definition::parse(&Value::Object(fields))?))
}

fn test_order(name: String, body: TestBody) -> Result<TestOrder, ApiError> {
    let TestBody { from, to, definition: given } = body;
    let blocks = match (from, to) {
        (Some(from), Some(to)) => Some(blocks(from, to)?),
        (Some(_), None) => return Err(not_right("to", "it is missing beside `from`: the block after the last one")),
        (None, Some(_)) => return Err(not_right("from", "it is missing beside `to`: the first block")),
        (None, None) => None,
    };
    let definition = given.map(|fields| definition(fields, Some(&name))).transpose()?;
    Ok(TestOrder { name, blocks, definition })
}

fn blocks(from: u64, to: u64) -> Result<BlockRange, ApiError> {
    let named = BlockRange::new(BlockNumber(from), BlockNumber(to)).ok().filter(|_| i64::try_from(to).is_ok());
    named.ok_or_else(|| not_right("to", "it has to be above `from`, and a block: it is the one after the last"))
}

fn mute_seconds(body: &MuteBody) -> Result<u32, ApiError> {
    if body.seconds > MOST_MUTED_SECONDS {
        return Err(not_right("seconds", format!("it has to be from 0 to {MOST_MUTED_SECONDS}")));
    }
    Ok(body.seconds)
}

fn not_right(field: &str, message: impl Into<String>) -> ApiError {
    FieldErrors::from(FieldError::new(field, message)).into()
}

fn path_id(call: &HttpCall) -> Result<Uuid, ApiError> {
    let bad = ApiError::BadParameter { name: "id", expected: "a UUID" };
    call.path_parameter("id").ok_or(ApiError::NoRoute)?.parse().map_err(|_| bad)
}

/// A name behind the `?`. What is no name names nothing, and Postgres holds no NUL character.
fn text(call: &HttpCall, name: &'static str) -> Result<Option<String>, ApiError> {
    match call.query_parameter(name) {
        Some(text) if !isotherm_alerts::definition::is_name(text) => {
            Err(ApiError::BadParameter { name, expected: "a name of a-z, 0-9, _ and -" })
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn alert(call: &HttpCall) -> Result<Option<Uuid>, ApiError> {
    let id = call.query_parameter("alert").map(str::parse::<Uuid>).transpose();
    id.map_err(|_| ApiError::BadParameter { name: "alert", expected: "a UUID" })
}

fn before(call: &HttpCall) -> Result<Option<Place>, ApiError> {
    let place = call.query_parameter("before").map(str::parse::<Place>).transpose();
    place.map_err(|_| ApiError::BadParameter { name: "before", expected: "the `next` of the page before" })
}

fn state(call: &HttpCall, known: &[&'static str], expected: &'static str) -> Result<Option<&'static str>, ApiError> {
    let Some(word) = call.query_parameter("state") else { return Ok(None) };
    let state = known.iter().find(|state| **state == word).copied();
    state.map(Some).ok_or(ApiError::BadParameter { name: "state", expected })
}
