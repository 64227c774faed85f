//! Answers as they go out: as a payload, or as a response of API Gateway.

use isotherm_query::error::{Blame, ErrorAnswer};
use isotherm_query::{AnswerSummary, QueryAnswer, QueryError, render};
use isotherm_types::Classified;
use isotherm_types::disposition::error_chain;
use serde_json::{Value, json};

use crate::request::{Format, MalformedRequest};

/// Rows as text, at most, before quotes and the like are escaped.
const MAX_ROWS_BYTES: usize = 4 << 20;

/// An answer as it goes out, at most. **Source**: Lambda quotas, "6 MB each for request and response (synchronous)".
const MAX_ANSWER_BYTES: usize = 6_000_000;

/// Whether Lambda would carry `answer`: text full of quotes grows when it is escaped, and a body is escaped twice.
pub(crate) fn fits(answer: &Value) -> bool {
    answer.to_string().len() <= MAX_ANSWER_BYTES
}

/// The error in the place of an answer that does not fit.
pub(crate) fn too_large() -> QueryError {
    QueryError::TooLarge { limit: format!("{} MB", MAX_ANSWER_BYTES / 1_000_000) }
}

/// An answer on its way out.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Rows and what belongs to them.
    Rows(Value),
    /// Rows as CSV, and what belongs to them.
    Csv {
        text: String,
        about: Value,
    },
    Error(ErrorAnswer),
}

impl Reply {
    /// Writes the rows.
    ///
    /// # Errors
    /// [`QueryError::TooLarge`].
    pub(crate) fn of_answer(answer: QueryAnswer, format: Format) -> Result<Self, QueryError> {
        let QueryAnswer { summary, batches } = answer;
        let AnswerSummary { columns, row_count, state, duration, .. } = summary;
        let described: Vec<Value> =
            columns.iter().map(|column| json!({"name": column.name, "type": column.sql_type})).collect();
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut about =
            json!({"columns": described, "row_count": row_count, "state": state, "duration_ms": duration_ms});
        let body = match format {
            Format::Json => {
                about["rows"] = json!(render::json_rows(&columns, &batches, MAX_ROWS_BYTES)?);
                Body::Rows(about)
            }
            Format::Csv => Body::Csv { text: render::csv(&columns, &batches, MAX_ROWS_BYTES)?, about },
        };
        Ok(Self { status: 200, body })
    }

    pub(crate) fn of_error(error: &QueryError) -> Self {
        let status = match error.blame() {
            Blame::Asker => 400,
            Blame::Size => 413,
            Blame::Time => 504,
            Blame::Platform => 500,
        };
        Self { status, body: Body::Error(error.answer()) }
    }

    pub(crate) fn of_malformed(error: &MalformedRequest) -> Self {
        let answer = ErrorAnswer { code: error.code(), message: error_chain(error), detail: None, position: None };
        Self { status: 400, body: Body::Error(answer) }
    }

    /// For a direct invocation: CSV stands in the field `csv`, an error in the field `error`.
    pub(crate) fn into_payload(self) -> Value {
        match self.body {
            Body::Rows(answer) => answer,
            Body::Csv { text, mut about } => {
                about["csv"] = json!(text);
                about
            }
            Body::Error(error) => json!({ "error": error }),
        }
    }

    /// For API Gateway: the answer is the body; CSV comes alone, its state in a header.
    pub(crate) fn into_http_response(self) -> Value {
        let (content_type, state, body) = match self.body {
            Body::Rows(answer) => ("application/json", None, answer.to_string()),
            Body::Csv { text, about } => ("text/csv; charset=utf-8", Some(about["state"].to_string()), text),
            Body::Error(error) => ("application/json", None, json!(error).to_string()),
        };
        let mut headers = json!({ "content-type": content_type });
        if let Some(state) = state {
            headers["x-isotherm-state"] = json!(state);
        }
        json!({"statusCode": self.status, "headers": headers, "body": body, "isBase64Encoded": false})
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use isotherm_types::sandbox::RelationColumn;

    use super::*;

    fn answer() -> QueryAnswer {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let summary = AnswerSummary {
            columns: vec![RelationColumn { name: "n".to_owned(), sql_type: "BIGINT".to_owned() }],
            row_count: 1,
            bytes: 8,
            state: vec![],
            duration: Duration::from_millis(12),
            hot_rows_fetched: 0,
            cold_files: 0,
            cold_bytes: 0,
        };
        QueryAnswer { summary, batches: vec![RecordBatch::try_from_iter([("c0", values)]).unwrap()] }
    }

    #[test]
    fn both_doors_give_the_same_answer() {
        let expected = json!({
            "columns": [{"name": "n", "type": "BIGINT"}], "rows": [[7]], "row_count": 1, "state": [], "duration_ms": 12,
        });
        let reply = || Reply::of_answer(answer(), Format::Json).unwrap();
        assert_eq!(reply().into_payload(), expected);
        let response = reply().into_http_response();
        assert_eq!(response["statusCode"], json!(200));
        assert_eq!(serde_json::from_str::<Value>(response["body"].as_str().unwrap()).unwrap(), expected);
    }

    #[test]
    fn csv_is_the_body_itself() {
        let reply = || Reply::of_answer(answer(), Format::Csv).unwrap();
        assert_eq!(reply().into_payload()["csv"], json!("n\n7\n"));
        let response = reply().into_http_response();
        assert_eq!(response["body"], json!("n\n7\n"));
        assert_eq!(response["headers"], json!({"content-type": "text/csv; charset=utf-8", "x-isotherm-state": "[]"}));
    }

    #[test]
    fn errors_have_a_status_and_keep_causes_to_themselves() {
        let limit = Duration::from_secs(1);
        let table = [
            (QueryError::Syntax { message: "no".to_owned(), position: Some(3) }, 400, "query.syntax"),
            (QueryError::TooLarge { limit: "1 row".to_owned() }, 413, "query.too_large"),
            (QueryError::Timeout { limit }, 504, "query.timeout"),
            (QueryError::ColdFileMissing { key: "k".to_owned() }, 500, "query.cold_file_missing"),
        ];
        for (error, status, code) in table {
            assert_eq!(Reply::of_error(&error).into_http_response()["statusCode"], json!(status), "{code}");
            let payload = Reply::of_error(&error).into_payload();
            assert_eq!(payload["error"]["code"], json!(code));
        }
        let syntax = QueryError::Syntax { message: "no".to_owned(), position: Some(3) };
        let expected = json!({"error": {"code": "query.syntax", "message": "no", "detail": null, "position": 3}});
        assert_eq!(Reply::of_error(&syntax).into_payload(), expected);
    }
}
