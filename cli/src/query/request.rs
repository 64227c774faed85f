//! What is asked of the server.

use serde_json::{Value, json};
use uuid::Uuid;

use super::as_of::AsOf;
use super::parameters::Parameters;
use crate::args::{Format, Mode, QueryArguments};

/// Seconds to an answer that comes with the call, if nobody says another number.
const TIMEOUT_SECONDS: u64 = 30;

/// How statements are asked and their answers written.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) parameters: Parameters,
    pub(super) as_of: Option<AsOf>,
    pub(super) format: Format,
    pub(super) mode: Mode,
    pub(super) timeout_seconds: Option<u64>,
    /// Only rows.
    pub(super) quiet: bool,
}

impl Settings {
    /// As the command's options say.
    pub(super) fn of(arguments: &QueryArguments) -> Self {
        Self {
            parameters: arguments.parameters.iter().cloned().collect(),
            as_of: arguments.as_of.clone(),
            format: arguments.format,
            mode: arguments.mode,
            timeout_seconds: arguments.timeout_seconds,
            quiet: arguments.quiet,
        }
    }

    /// The same for one of several statements: each is given the parameters that it has.
    pub(super) fn for_one_of_many(&self, sql: &str) -> Self {
        Self { parameters: self.parameters.used_in(sql), ..self.clone() }
    }

    /// The request that asks `sql` under the name `query_id`.
    ///
    /// # Errors
    /// If the parameters do not go together.
    pub(super) fn request(&self, sql: &str, query_id: Uuid) -> anyhow::Result<Value> {
        let mut request = json!({
            "sql": sql, "format": wire_format(self.format), "mode": self.mode.as_str(), "query_id": query_id,
        });
        if let Some(parameters) = self.parameters.to_json()? {
            request["parameters"] = parameters;
        }
        if let Some(as_of) = &self.as_of {
            request["as_of_block"] = as_of.to_json();
        }
        let usual = (self.mode != Mode::Batch).then_some(TIMEOUT_SECONDS);
        if let Some(seconds) = self.timeout_seconds.or(usual) {
            request["timeout_seconds"] = json!(seconds);
        }
        Ok(request)
    }
}

/// The format that the server is to write.
fn wire_format(format: Format) -> &'static str {
    match format {
        Format::Table | Format::Expanded | Format::Json => "json",
        Format::Csv => "csv",
        Format::Parquet => "parquet",
    }
}

/// Asks how the query is.
pub(super) fn status(query_id: Uuid) -> Value {
    json!({ "action": "query_status", "query_id": query_id })
}

/// Has the query stopped.
pub(super) fn cancel(query_id: Uuid) -> Value {
    json!({ "action": "cancel_query", "query_id": query_id })
}

/// Asks which queries are saved.
pub(super) fn saved() -> Value {
    json!({ "action": "list_saved_queries" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Parameter;

    fn settings() -> Settings {
        Settings {
            parameters: Parameters::default(),
            as_of: None,
            format: Format::Table,
            mode: Mode::Auto,
            timeout_seconds: None,
            quiet: false,
        }
    }

    #[test]
    fn a_request_names_what_was_asked_for_and_nothing_else() {
        let id = Uuid::nil();
        let plain = json!({
            "sql": "select 1", "format": "json", "mode": "auto", "query_id": "00000000-0000-0000-0000-000000000000",
            "timeout_seconds": 30,
        });
        assert_eq!(settings().request("select 1", id).unwrap(), plain);
        let parameters = ["a=1", "b=0x2"].into_iter().map(|text| text.parse::<Parameter>().unwrap()).collect();
        let full = Settings {
            parameters,
            as_of: Some("monad:7".parse().unwrap()),
            format: Format::Csv,
            mode: Mode::Interactive,
            timeout_seconds: Some(5),
            quiet: true,
        };
        let request = full.request("select $a", id).unwrap();
        assert_eq!(request["parameters"], json!({ "a": 1, "b": "0x2" }));
        assert_eq!(request["as_of_block"], json!({ "chain": "monad", "block": 7 }));
        assert_eq!(request["timeout_seconds"], json!(5));
        assert_eq!((&request["format"], &request["mode"]), (&json!("csv"), &json!("interactive")));
    }

    #[test]
    fn a_batch_has_the_time_that_the_server_gives_it() {
        let batch = Settings { mode: Mode::Batch, format: Format::Parquet, ..settings() };
        let request = batch.request("select 1", Uuid::nil()).unwrap();
        assert!(request.get("timeout_seconds").is_none() && request["format"] == "parquet", "{request}");
    }
}
