//! What belongs to an answer beside its rows, and how it is kept for those who ask later.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::AnswerSummary;
use crate::as_of::AsOf;
use crate::error::ErrorAnswer;

/// How a query has ended, in words: a document beside its file. The record has only what quotes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As [`describe`] says.
    Answer(Value),
    /// An [`ErrorAnswer`].
    Error(Value),
}

impl Outcome {
    /// The outcome of a query that has no answer.
    pub fn of_error(error: &ErrorAnswer) -> Self {
        Self::Error(json!(error))
    }

    /// Name of the document of an attempt.
    pub fn document_name(attempt: i64) -> String {
        format!("outcome-{attempt}.json")
    }
}

/// Everything of an answer but its rows, as its asker sees it.
pub fn describe(summary: &AnswerSummary, query_id: Uuid, as_of: Option<&AsOf>) -> Value {
    let columns: Vec<Value> =
        summary.columns.iter().map(|column| json!({ "name": column.name, "type": column.sql_type })).collect();
    json!({
        "query_id": query_id,
        "columns": columns,
        "row_count": summary.row_count,
        "bytes": summary.bytes,
        "duration_ms": u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
        "cold_files": summary.cold_files,
        "cold_bytes": summary.cold_bytes,
        "as_of": as_of,
        "state": summary.state,
    })
}
