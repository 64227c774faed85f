//! Requests as they come in by either door, parsed strictly.

use std::time::Duration;

use isotherm_platform::lambda::http::HttpCall;
use isotherm_query::as_of::AsOf;
use isotherm_query::batch::MAX_TIMEOUT as MAX_BATCH_TIMEOUT;
use isotherm_query::parameters::Parameters;
use isotherm_query::records::{Page, RunMode};
use isotherm_query::results::ResultFormat;
use isotherm_query::saved::{
    MAX_DESCRIPTION, MAX_PARAMETERS_BYTES, MAX_SQL_BYTES as MAX_SAVED_SQL_BYTES, NewSavedQuery, is_name,
};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::error::{MalformedRequest, QueryFunctionError};
use crate::fields::Fields;
use crate::route::Route;

/// Organisation of a direct invocation that names none.
const DEFAULT_ORG: &str = "default";

/// A longer body is refused.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// Longest text.
const MAX_SQL_BYTES: usize = 256 << 10;

/// Time of an interactive query that names none. **Source**: API Gateway gives up after 30 s.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(25);

/// Longest time of an interactive query; the function's own time-out, less what it takes to say so.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(50);

/// Time of a batch query that names none.
const DEFAULT_BATCH_TIMEOUT: Duration = Duration::from_secs(900);

/// Queries on a page if nobody says another number, and at most.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Run SQL.
    Ask(Ask),
    /// List the organisation's queries.
    ListQueries(Page),
    /// Show one.
    ShowQuery(Uuid),
    /// Have one end.
    CancelQuery(Uuid),
    /// List datasets.
    ListDatasets,
    /// List saved queries.
    ListSaved,
    /// Show one.
    ShowSaved(String),
    /// Save one.
    SaveQuery(NewSavedQuery),
    /// Delete one.
    DeleteSaved(String),
    /// Run one.
    RunSaved {
        /// Its name.
        name: String,
        /// The parameters that the run says; null for none.
        parameters: Value,
        /// All else.
        run: Run,
    },
}

/// SQL to run.
#[derive(Clone, PartialEq)]
pub struct Ask {
    /// One SELECT.
    pub sql: String,
    /// Its parameters as they were written.
    pub parameters: Value,
    /// The same, read.
    pub values: Parameters,
    /// All else.
    pub run: Run,
}

/// How something is to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// How rows are written.
    pub format: ResultFormat,
    /// Where it runs, as far as that is fixed.
    pub mode: Mode,
    /// How long it may run, as an interactive query.
    pub timeout: Duration,
    /// How long it may run, as a batch query.
    pub batch_timeout: Duration,
    /// The block above which nothing is seen.
    pub as_of: Option<AsOf>,
    /// The id that the caller has chosen.
    pub query_id: Option<Uuid>,
}

/// Where a query is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Within the call, but as a task if the call would have to wait or is too short.
    #[default]
    Auto,
    /// Within the call.
    Interactive,
    /// As a task.
    Batch,
}

impl Request {
    /// What the request is about.
    pub fn route(&self) -> Route {
        match self {
            Self::Ask(_) => Route::Ask,
            Self::ListQueries(_) => Route::ListQueries,
            Self::ShowQuery(_) => Route::ShowQuery,
            Self::CancelQuery(_) => Route::CancelQuery,
            Self::ListDatasets => Route::ListDatasets,
            Self::ListSaved => Route::ListSaved,
            Self::ShowSaved(_) => Route::ShowSaved,
            Self::SaveQuery(_) => Route::SaveQuery,
            Self::DeleteSaved(_) => Route::DeleteSaved,
            Self::RunSaved { .. } => Route::RunSaved,
        }
    }

    /// Reads a call of a route.
    ///
    /// # Errors
    /// [`MalformedRequest`], and a body that is not what API Gateway says.
    pub fn of_http(route: Route, call: &HttpCall) -> Result<Self, QueryFunctionError> {
        if call.body_bytes() > MAX_BODY_BYTES {
            return Err(MalformedRequest::TooLong { what: "the body", limit_bytes: MAX_BODY_BYTES }.into());
        }
        let bytes = call.body()?;
        let body = if bytes.iter().all(u8::is_ascii_whitespace) {
            Value::Object(serde_json::Map::new())
        } else {
            serde_json::from_slice(&bytes).map_err(MalformedRequest::Json)?
        };
        let mut fields = Fields::of(body)?;
        let place = Place {
            id: call.path_parameter("id").map(str::to_owned),
            name: call.path_parameter("name").map(str::to_owned),
            limit: call.query_parameter("limit").map(str::to_owned),
            before: call.query_parameter("before").map(str::to_owned),
        };
        let request = Self::read(route, place, &mut fields)?;
        fields.finish()?;
        Ok(request)
    }

    /// Reads a direct invocation, and for which organisation it is.
    ///
    /// # Errors
    /// [`MalformedRequest`].
    pub fn of_direct(event: Value) -> Result<(Self, String), QueryFunctionError> {
        let mut fields = Fields::of(event)?;
        let org = fields.optional("org", "the name of an organisation")?.unwrap_or_else(|| DEFAULT_ORG.to_owned());
        let route = match fields.optional::<String>("action", "a text")? {
            None => Route::Ask,
            Some(action) => Route::of_action(&action).ok_or(MalformedRequest::Action { action })?,
        };
        let is_about = |routes: &[Route]| routes.contains(&route);
        let mut place = Place::default();
        if is_about(&[Route::ShowQuery, Route::CancelQuery]) {
            place.id = Some(fields.required("query_id", "the id of a query")?);
        }
        if is_about(&[Route::ShowSaved, Route::SaveQuery, Route::DeleteSaved, Route::RunSaved]) {
            place.name = Some(fields.required("name", "the name of a saved query")?);
        }
        if is_about(&[Route::ListQueries]) {
            place.limit = fields.optional::<u32>("limit", "a whole number")?.map(|limit| limit.to_string());
            place.before = fields.optional("before", "the id of a query")?;
        }
        let request = Self::read(route, place, &mut fields)?;
        fields.finish()?;
        Ok((request, org))
    }

    fn read(route: Route, place: Place, fields: &mut Fields) -> Result<Self, MalformedRequest> {
        Ok(match route {
            Route::Ask => {
                let sql = fields.required("sql", "a text")?;
                let parameters = fields.raw("parameters");
                Self::Ask(Ask::new(sql, parameters, Run::read(fields)?)?)
            }
            Route::ListQueries => Self::ListQueries(place.page()?),
            Route::ShowQuery => Self::ShowQuery(place.id()?),
            Route::CancelQuery => Self::CancelQuery(place.id()?),
            Route::ListDatasets => Self::ListDatasets,
            Route::ListSaved => Self::ListSaved,
            Route::ShowSaved => Self::ShowSaved(place.name()?),
            Route::DeleteSaved => Self::DeleteSaved(place.name()?),
            Route::SaveQuery => Self::SaveQuery(saved(place.name()?, fields)?),
            Route::RunSaved => {
                let (name, parameters) = (place.name()?, fields.raw("parameters"));
                Self::RunSaved { name, parameters, run: Run::read(fields)? }
            }
        })
    }
}

impl Ask {
    /// SQL with its parameters.
    ///
    /// # Errors
    /// [`MalformedRequest`] for parameters that are none, and for a text that is too long or holds nothing.
    pub fn new(sql: String, parameters: Value, run: Run) -> Result<Self, MalformedRequest> {
        // A batch query would be accepted, and fail later.
        if is_blank(&sql) {
            return Err(MalformedRequest::NoStatement);
        }
        if sql.len() > MAX_SQL_BYTES {
            return Err(MalformedRequest::TooLong { what: "the field `sql`", limit_bytes: MAX_SQL_BYTES as u64 });
        }
        // DuckDB's parser would read up to there and leave the rest out.
        if sql.contains('\0') {
            return Err(MalformedRequest::Nul);
        }
        Ok(Self { sql, values: values(&parameters)?, parameters, run })
    }
}

impl Run {
    fn read(fields: &mut Fields) -> Result<Self, MalformedRequest> {
        let format = fields.optional("format", "json, csv or parquet")?.unwrap_or_default();
        let mode: Mode = fields.optional("mode", "auto, interactive or batch")?.unwrap_or_default();
        let seconds: Option<u64> = fields.optional("timeout_seconds", "a whole number of seconds")?;
        let as_of = fields.optional("as_of_block", "a block's number or hash, or {\"chain\", \"block\"}")?;
        let query_id = fields.optional("query_id", "a UUID")?;
        let Some(given) = seconds else {
            let (timeout, batch_timeout) = (DEFAULT_TIMEOUT, DEFAULT_BATCH_TIMEOUT);
            return Ok(Self { format, mode, timeout, batch_timeout, as_of, query_id });
        };
        let most = if mode == Mode::Interactive { MAX_TIMEOUT } else { MAX_BATCH_TIMEOUT };
        if !(1..=most.as_secs()).contains(&given) {
            return Err(MalformedRequest::Timeout { given, most: most.as_secs() });
        }
        let asked = Duration::from_secs(given);
        // Who leaves the mode to us wants the answer more than within the call.
        let mode = if mode == Mode::Auto && asked > MAX_TIMEOUT { Mode::Batch } else { mode };
        let batch_timeout = if mode == Mode::Batch { asked } else { DEFAULT_BATCH_TIMEOUT.max(asked) };
        Ok(Self { format, mode, timeout: asked.min(MAX_TIMEOUT), batch_timeout, as_of, query_id })
    }

    /// Where it runs at first.
    pub fn first_mode(&self) -> RunMode {
        match self.mode {
            Mode::Auto | Mode::Interactive => RunMode::Interactive,
            Mode::Batch => RunMode::Batch,
        }
    }
}

/// What stands outside of the body, or beside it in a direct invocation.
#[derive(Default)]
struct Place {
    id: Option<String>,
    name: Option<String>,
    limit: Option<String>,
    before: Option<String>,
}

impl Place {
    fn id(&self) -> Result<Uuid, MalformedRequest> {
        uuid("query_id", self.id.as_deref())?.ok_or(MalformedRequest::Missing { field: "query_id" })
    }

    fn name(self) -> Result<String, MalformedRequest> {
        let name = self.name.ok_or(MalformedRequest::Missing { field: "name" })?;
        if is_name(&name) { Ok(name) } else { Err(MalformedRequest::Name) }
    }

    fn page(&self) -> Result<Page, MalformedRequest> {
        let limit = match self.limit.as_deref().map(str::parse::<u32>) {
            None => PAGE,
            Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
            Some(_) => return Err(MalformedRequest::Limit { most: MAX_PAGE }),
        };
        Ok(Page { limit, before: uuid("before", self.before.as_deref())? })
    }
}

fn uuid(field: &'static str, text: Option<&str>) -> Result<Option<Uuid>, MalformedRequest> {
    text.map(str::parse).transpose().map_err(|problem| MalformedRequest::Id { field, problem })
}

fn is_blank(sql: &str) -> bool {
    sql.trim().is_empty()
}

fn values(parameters: &Value) -> Result<Parameters, MalformedRequest> {
    let expected = "a list for $1 and ?, or an object for $name";
    let read = Parameters::deserialize(parameters);
    read.map_err(|problem| MalformedRequest::Field { field: "parameters", expected, problem })
}

fn saved(name: String, fields: &mut Fields) -> Result<NewSavedQuery, MalformedRequest> {
    let sql: String = fields.required("sql", "a text")?;
    let description: Option<String> = fields.optional("description", "a text")?;
    let description = description.unwrap_or_default();
    let parameters = fields.raw("parameters");
    values(&parameters)?;
    if is_blank(&sql) {
        return Err(MalformedRequest::NoStatement);
    }
    if sql.len() > MAX_SAVED_SQL_BYTES {
        let limit_bytes = MAX_SAVED_SQL_BYTES as u64;
        return Err(MalformedRequest::TooLong { what: "the field `sql` of a saved query", limit_bytes });
    }
    if description.chars().count() > MAX_DESCRIPTION {
        let limit_bytes = MAX_DESCRIPTION as u64;
        return Err(MalformedRequest::TooLong { what: "the field `description`", limit_bytes });
    }
    let parameters_text = parameters.to_string();
    if parameters_text.len() > MAX_PARAMETERS_BYTES {
        let limit_bytes = MAX_PARAMETERS_BYTES as u64;
        return Err(MalformedRequest::TooLong { what: "the field `parameters` of a saved query", limit_bytes });
    }
    if sql.contains('\0') || description.contains('\0') || parameters_text.contains("\\u0000") {
        return Err(MalformedRequest::Nul);
    }
    Ok(NewSavedQuery { name, description, sql, parameters: (!parameters.is_null()).then_some(parameters) })
}

/// Never shows the SQL or a value.
impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ask {{ sql: {} bytes, run: {:?} }}", self.sql.len(), self.run)
    }
}

#[cfg(test)]
mod tests;
