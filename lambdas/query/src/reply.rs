//! Answers as they go out: as a payload, or as a response of API Gateway.

use arrow::array::RecordBatch;
use isotherm_platform::lambda::http::HttpAnswer;
use isotherm_query::error::ErrorAnswer;
use isotherm_query::results::{ResultFormat, SignedResult};
use isotherm_query::{QueryError, render};
use isotherm_types::sandbox::RelationColumn;
use serde_json::{Value, json};

use crate::error::QueryFunctionError;

/// Rows as text, at most, before quotes and the like are escaped.
const MAX_ROWS_BYTES: usize = 4 << 20;

/// An answer as it goes out, at most. **Source**: Lambda quotas, "6 MB each for request and response (synchronous)".
const MAX_ANSWER_BYTES: usize = 6_000_000;

/// Seconds after which a caller may try again.
const RETRY_AFTER_SECONDS: u32 = 5;

/// An answer on its way out.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    body: Body,
    retry_after_seconds: Option<u32>,
    challenge: Option<&'static str>,
}

#[derive(Debug)]
enum Body {
    Json(Value),
    /// Rows as CSV, and what belongs to them.
    Csv {
        text: String,
        about: Value,
    },
    Error(ErrorAnswer),
}

impl Reply {
    /// `body` under `status`.
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, body: Body::Json(body), retry_after_seconds: None, challenge: None }
    }

    /// Whether it says no more than that a task will answer.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status == 202
    }

    /// The rows themselves; `None` if they are too long as text, or are to be a file.
    ///
    /// # Errors
    /// A value that cannot be written.
    pub(crate) fn of_rows(
        about: &Value,
        columns: &[RelationColumn],
        batches: &[RecordBatch],
        format: ResultFormat,
    ) -> Result<Option<Self>, QueryError> {
        let mut about = about.clone();
        let body = match format {
            ResultFormat::Json => match fitting(render::json_rows(columns, batches, MAX_ROWS_BYTES))? {
                Some(rows) => {
                    about["rows"] = json!(rows);
                    Body::Json(about)
                }
                None => return Ok(None),
            },
            ResultFormat::Csv => match fitting(render::csv(columns, batches, MAX_ROWS_BYTES))? {
                Some(text) => Body::Csv { text, about },
                None => return Ok(None),
            },
            ResultFormat::Parquet => return Ok(None),
        };
        let reply = Self { status: 200, body, retry_after_seconds: None, challenge: None };
        Ok(reply.fits().then_some(reply))
    }

    /// The file that has the rows, in the place of rows.
    pub(crate) fn of_file(about: &Value, result: &SignedResult) -> Self {
        let mut about = about.clone();
        about["result"] = json!(result);
        Self::new(200, about)
    }

    pub(crate) fn of_error(error: &QueryFunctionError) -> Self {
        let status = error.status();
        let challenge = match error {
            QueryFunctionError::Access(denied) => HttpAnswer::of_denial(denied).challenge,
            _ => None,
        };
        let retry_after_seconds = matches!(status, 429 | 503).then_some(RETRY_AFTER_SECONDS);
        Self { status, body: Body::Error(error.answer()), retry_after_seconds, challenge }
    }

    /// Whether Lambda would carry it by either door: text full of quotes grows when it is escaped, and a body is escaped
    /// twice.
    fn fits(&self) -> bool {
        let text = match &self.body {
            Body::Json(answer) => answer.to_string(),
            Body::Csv { text, .. } => text.clone(),
            Body::Error(_) => return true,
        };
        Value::from(text).to_string().len() <= MAX_ANSWER_BYTES
    }

    /// For a direct invocation: CSV stands in the field `csv`, an error in the field `error`.
    pub(crate) fn into_payload(self) -> Value {
        match self.body {
            Body::Json(answer) => answer,
            Body::Csv { text, mut about } => {
                about["csv"] = json!(text);
                about
            }
            Body::Error(error) => json!({ "error": error }),
        }
    }

    /// For API Gateway: the answer is the body; CSV comes alone, its state and its query's id in headers.
    pub(crate) fn into_http_response(self) -> Value {
        let mut headers = json!({ "content-type": "application/json" });
        let body = match self.body {
            Body::Json(answer) => answer.to_string(),
            Body::Csv { text, about } => {
                headers["content-type"] = json!("text/csv; charset=utf-8");
                headers["x-isotherm-state"] = json!(about["state"].to_string());
                headers["x-isotherm-query-id"] = about["query_id"].clone();
                text
            }
            Body::Error(error) => json!(error).to_string(),
        };
        if let Some(seconds) = self.retry_after_seconds {
            headers["retry-after"] = json!(seconds.to_string());
        }
        if let Some(challenge) = self.challenge {
            headers["www-authenticate"] = json!(challenge);
        }
        json!({ "statusCode": self.status, "headers": headers, "body": body, "isBase64Encoded": false })
    }
}

/// `None` for what is too long; other errors stay errors.
fn fitting<T>(written: Result<T, QueryError>) -> Result<Option<T>, QueryError> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(QueryError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use isotherm_access::token::TokenFault;

    use super::*;

    fn reply(format: ResultFormat, array: ArrayRef) -> Option<Reply> {
        let columns = [RelationColumn { name: "n".to_owned(), sql_type: "BIGINT".to_owned() }];
        let batch = RecordBatch::try_from_iter([("c0", array)]).unwrap();
        let about = json!({ "query_id": "q", "row_count": 1, "state": [] });
        Reply::of_rows(&about, &columns, &[batch], format).unwrap()
    }

    fn seven() -> ArrayRef {
        Arc::new(Int64Array::from(vec![7]))
    }

    #[test]
    fn both_doors_give_the_same_answer() {
        let expected = json!({ "query_id": "q", "row_count": 1, "state": [], "rows": [[7]] });
        assert_eq!(reply(ResultFormat::Json, seven()).unwrap().into_payload(), expected);
        let response = reply(ResultFormat::Json, seven()).unwrap().into_http_response();
        assert_eq!(response["statusCode"], json!(200));
        assert_eq!(serde_json::from_str::<Value>(response["body"].as_str().unwrap()).unwrap(), expected);
    }

    #[test]
    fn csv_is_the_body_itself() {
        assert_eq!(reply(ResultFormat::Csv, seven()).unwrap().into_payload()["csv"], json!("n\n7\n"));
        let response = reply(ResultFormat::Csv, seven()).unwrap().into_http_response();
        assert_eq!(response["body"], json!("n\n7\n"));
        let headers = json!({
            "content-type": "text/csv; charset=utf-8", "x-isotherm-state": "[]", "x-isotherm-query-id": "q",
        });
        assert_eq!(response["headers"], headers);
    }

    #[test]
    fn what_no_door_could_carry_is_to_be_a_file() {
        assert!(reply(ResultFormat::Parquet, seven()).is_none());
        // Within the limit of rows, but every quote is escaped twice on the way.
        let quotes: ArrayRef = Arc::new(StringArray::from(vec!["\"".repeat(3 << 20)]));
        assert!(reply(ResultFormat::Json, Arc::clone(&quotes)).is_none());
        let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(MAX_ROWS_BYTES)]));
        for format in [ResultFormat::Json, ResultFormat::Csv] {
            assert!(reply(format, Arc::clone(&long)).is_none(), "{format:?}");
        }
    }

    #[test]
    fn errors_have_a_status_and_keep_causes_to_themselves() {
        let limit = Duration::from_secs(1);
        let syntax = || QueryError::Syntax { message: "no".to_owned(), position: Some(3) };
        let table: [(QueryFunctionError, u16, &str); 8] = [
            (syntax().into(), 400, "query.syntax"),
            (QueryError::TooLarge { limit: "1 row".to_owned() }.into(), 413, "query.too_large"),
            (QueryError::Timeout { limit }.into(), 504, "query.timeout"),
            (QueryError::ColdFileMissing { key: "k".to_owned() }.into(), 500, "query.cold_file_missing"),
            (QueryFunctionError::Busy, 429, "query.busy"),
            (QueryFunctionError::Cancelled, 409, "query.cancelled"),
            (sqlx::Error::PoolTimedOut.into(), 503, "query.records"),
            (QueryFunctionError::Access(TokenFault::Missing.into()), 401, "access.unauthenticated"),
        ];
        for (error, status, code) in table {
            let response = Reply::of_error(&error).into_http_response();
            assert_eq!(response["statusCode"], json!(status), "{code}");
            assert_eq!(response["headers"]["retry-after"].is_string(), matches!(status, 429 | 503), "{code}");
            assert_eq!(response["headers"]["www-authenticate"].is_string(), status == 401, "{code}");
            let payload = Reply::of_error(&error).into_payload();
            assert_eq!(payload["error"]["code"], json!(code));
            assert!(!payload.to_string().contains("pool timed out"), "{payload}");
        }
        let expected = json!({"error": {"code": "query.syntax", "message": "no", "detail": null, "position": 3}});
        assert_eq!(Reply::of_error(&syntax().into()).into_payload(), expected);
    }
}
