//! What the server answers.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Code of a query that somebody has ended.
pub(super) const CANCELLED: &str = "query.cancelled";

/// Any answer to a question or to a look at one.
#[derive(Debug)]
pub(super) enum Reply {
    /// Rows, or the file that has them.
    Answered(Box<Answer>),
    /// It waits or runs, in this state.
    Pending(String),
    /// It was refused, failed or was cancelled.
    Refused(QueryFault),
}

/// Rows, their columns, and the chain state that they were read from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<AnswerColumn>,
    pub(crate) rows: Vec<Vec<Value>>,
    /// The rows in the place of `rows`, if CSV was asked for.
    pub(super) csv: Option<String>,
    pub(super) row_count: u64,
    pub(super) truncated: bool,
    pub(crate) state: Vec<ChainState>,
    pub(super) duration_ms: Option<u64>,
    pub(super) query_id: Option<String>,
    pub(super) result: Option<StoredResult>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AnswerColumn {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(super) sql_type: String,
}

/// The one state of a chain that an answer was read from.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ChainState {
    pub(crate) chain: String,
    pub(crate) tip_number: Option<u64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A file with the rows, behind an address that is good for a while and gives it to whoever has it.
#[derive(Clone, Deserialize)]
pub(super) struct StoredResult {
    pub(super) format: String,
    pub(super) url: String,
    pub(super) bytes: u64,
    pub(super) row_count: u64,
    pub(super) sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct QueryFault {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) detail: Option<String>,
    /// Byte of the SQL, from 0.
    pub(super) position: Option<u64>,
}

/// A query that somebody has given a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct SavedQuery {
    pub(super) name: String,
    pub(super) sql: String,
}

/// The saved queries, or why they are not told.
///
/// # Errors
/// If it is neither.
pub(super) fn saved(payload: &[u8]) -> serde_json::Result<Result<Vec<SavedQuery>, QueryFault>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Fault { error: QueryFault },
        List { saved_queries: Vec<SavedQuery> },
    }
    serde_json::from_slice(payload).map(|said| match said {
        Said::Fault { error } => Err(error),
        Said::List { saved_queries } => Ok(saved_queries),
    })
}

impl Reply {
    /// Tells the answers apart: only faults have `error`, and only of a query that is not at its end, or that ran on
    /// its own, is `state` a word.
    ///
    /// # Errors
    /// If it is none of them.
    pub(super) fn parse(payload: &[u8]) -> serde_json::Result<Self> {
        let mut reply: Map<String, Value> = serde_json::from_slice(payload)?;
        if let Some(fault) = reply.remove("error").filter(|fault| !fault.is_null()) {
            return serde_json::from_value(fault).map(Self::Refused);
        }
        let Some(Value::String(state)) = reply.get("state").cloned() else {
            return answered(reply);
        };
        match state.as_str() {
            "completed" | "succeeded" => {
                reply.remove("state");
                answered(reply)
            }
            "cancelled" | "failed" => Ok(Self::Refused(QueryFault {
                code: format!("query.{state}"),
                message: format!("the query is {state}"),
                detail: None,
                position: None,
            })),
            _ => Ok(Self::Pending(state)),
        }
    }
}

/// The answer itself, or what stands under `answer` of a look at a query.
fn answered(mut reply: Map<String, Value>) -> serde_json::Result<Reply> {
    let answer = match reply.remove("answer") {
        Some(Value::Object(answer)) => answer,
        _ => reply,
    };
    // A field that is there and null is as one that is absent.
    let answer: Map<String, Value> = answer.into_iter().filter(|(_, value)| !value.is_null()).collect();
    serde_json::from_value(Value::Object(answer)).map(|answer| Reply::Answered(Box::new(answer)))
}

impl Answer {
    /// The whole answer for programs, fields that this program does not know included.
    pub(super) fn to_json(&self) -> Value {
        let columns: Vec<Value> =
            self.columns.iter().map(|column| json!({ "name": column.name, "type": column.sql_type })).collect();
        let state: Vec<Value> = self.state.iter().map(ChainState::to_json).collect();
        let mut whole = self.rest.clone();
        for (key, value) in [
            ("columns", json!(columns)),
            ("rows", json!(self.rows)),
            ("row_count", json!(self.row_count)),
            ("truncated", json!(self.truncated)),
            ("state", json!(state)),
            ("duration_ms", json!(self.duration_ms)),
            ("query_id", json!(self.query_id)),
        ] {
            whole.insert(key.to_owned(), value);
        }
        Value::Object(whole)
    }
}

impl ChainState {
    fn to_json(&self) -> Value {
        let mut whole = self.rest.clone();
        whole.insert("chain".to_owned(), json!(self.chain));
        whole.insert("tip_number".to_owned(), json!(self.tip_number));
        Value::Object(whole)
    }

    /// A field that only some answers have.
    pub(super) fn field(&self, name: &str) -> &Value {
        self.rest.get(name).unwrap_or(&Value::Null)
    }
}

/// Leaves the address out: who has it has the rows.
impl std::fmt::Debug for StoredResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { format, bytes, row_count, sha256, .. } = self;
        write!(f, "StoredResult {{ format: {format:?}, bytes: {bytes}, row_count: {row_count}, sha256: {sha256:?} }}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What `Reply::parse` makes of `json`, which must be an answer.
    pub(in crate::query) fn answer(json: &Value) -> Answer {
        match Reply::parse(json.to_string().as_bytes()).unwrap() {
            Reply::Answered(answer) => *answer,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::query) fn rows() -> Value {
        json!({
            "columns": [{ "name": "n", "type": "BIGINT" }], "rows": [[7], [null]], "row_count": 2, "bytes": 16,
            "truncated": false, "duration_ms": 12, "query_id": "00000000-0000-0000-0000-000000000000",
            "state": [{ "chain": "demo", "chain_id": 1, "tip_number": 9 }],
        })
    }

    #[test]
    fn an_answer_keeps_what_this_program_does_not_know() {
        assert_eq!(answer(&rows()).to_json(), rows());
    }

    #[test]
    fn a_file_stands_in_the_place_of_rows() {
        let mut reply = rows();
        reply["rows"] = Value::Null;
        reply["result"] = json!({
            "format": "parquet", "url": "http://secret", "bytes": 3, "row_count": 2, "sha256": "00", "expires_at": "x",
        });
        let answer = answer(&reply);
        assert!(answer.rows.is_empty() && answer.result.as_ref().unwrap().bytes == 3);
        assert!(!format!("{answer:?}").contains("secret"));
    }

    #[test]
    fn saved_queries_have_a_name_and_their_sql() {
        let list = json!({ "saved_queries": [{ "name": "n", "sql": "select 1", "description": "" }] });
        let query = SavedQuery { name: "n".to_owned(), sql: "select 1".to_owned() };
        assert_eq!(saved(list.to_string().as_bytes()).unwrap(), Ok(vec![query]));
        let fault = json!({ "error": { "code": "access.forbidden", "message": "no" } });
        assert_eq!(saved(fault.to_string().as_bytes()).unwrap().unwrap_err().code, "access.forbidden");
        assert!(saved(b"{}").is_err());
    }

    #[test]
    fn states_and_faults_are_told_from_answers() {
        let parse = |json: Value| Reply::parse(json.to_string().as_bytes());
        for state in ["queued", "running"] {
            let reply = parse(json!({ "query_id": "x", "state": state })).unwrap();
            assert!(matches!(&reply, Reply::Pending(found) if found == state), "{reply:?}");
        }
        let done = parse(json!({ "state": "completed", "error": null, "row_count": 4 })).unwrap();
        assert!(matches!(&done, Reply::Answered(answer) if answer.row_count == 4), "{done:?}");
        let done = parse(json!({ "state": "completed", "answer": rows() })).unwrap();
        assert!(matches!(&done, Reply::Answered(answer) if answer.state.len() == 1), "{done:?}");
        let fault = json!({ "code": "query.syntax", "message": "no", "detail": null, "position": 3 });
        let failed = parse(json!({ "state": "failed", "error": fault })).unwrap();
        assert!(matches!(&failed, Reply::Refused(fault) if fault.position == Some(3)), "{failed:?}");
        let gone = parse(json!({ "state": "cancelled" })).unwrap();
        assert!(matches!(&gone, Reply::Refused(fault) if fault.code == CANCELLED), "{gone:?}");
        assert!(parse(json!([1])).is_err() && parse(json!({ "rows": 1 })).is_err());
    }
}
