//! A rule's SQL as the function `query` is asked it, and what that function answers. Pure: whoever asks brings the bytes.
//!
//! The evaluator asks when a rule is due, the API and the command line when one is tried. All ask alike, and blame the rule for the same
//! answers.

use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, Classified, Disposition};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Time that an answer has; whoever waits for the function waits a little longer.
pub const TIMEOUT_SECONDS: u64 = 20;
/// Rows above which an answer is a mistake of its rule.
pub const MOST_ROWS: usize = 1_000;
/// What an answer has if the rule's text, or its size, is at fault: asking again says the same.
const OF_THE_RULE: [&str; 11] = [
    "query.syntax",
    "query.refused",
    "query.invalid",
    "query.unknown_relation",
    "query.not_collected",
    "query.failed",
    "query.out_of_memory",
    "query.timeout",
    "query.too_large",
    "query.platform_rows_too_large",
    "query.malformed_request",
];

/// An answer of no use.
#[derive(Debug, thiserror::Error)]
enum BadAnswer {
    /// One that nobody wants to be told of row by row.
    #[error("its SQL has more than {MOST_ROWS} rows; let it select what people are to be told of")]
    TooManyRows,
    /// The function answered, and nobody knows what.
    #[error("what the function that answers SQL said cannot be read")]
    Unreadable,
}

impl Classified for BadAnswer {
    fn disposition(&self) -> Disposition {
        match self {
            Self::TooManyRows => Disposition::GiveUp,
            Self::Unreadable => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooManyRows => "alerts.too_many_rows",
            Self::Unreadable => "alerts.bad_answer",
        }
    }
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Rows, and the block up to which they are true.
    Rows(Vec<Map<String, Value>>, BlockRef),
    /// The rule is at fault.
    RuleFault(SqlFault),
    /// Nobody could answer: another time may do better.
    Nothing {
        /// Stable name of why.
        code: String,
        /// In words.
        message: String,
    },
}

/// Why a rule's SQL has no answer that is of use, and will have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFault {
    /// Stable name.
    pub code: &'static str,
    /// In words.
    pub message: String,
    /// The byte of the SQL that it is about; `None` if there is no one place.
    pub byte: Option<usize>,
}

/// What `query` is asked, for the organisation `org`; as of a block of a chain, or else as everything is now.
pub fn question(sql: &str, org: &str, as_of: Option<(&str, BlockNumber)>) -> Value {
    let mut question = json!({ "sql": sql, "org": org, "mode": "interactive", "timeout_seconds": TIMEOUT_SECONDS });
    if let Some((chain, block)) = as_of {
        question["as_of_block"] = json!({ "chain": chain, "block": block });
    }
    question
}

#[derive(Deserialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Option<Vec<Vec<Value>>>,
    state: Vec<ChainState>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

#[derive(Deserialize)]
struct ChainState {
    chain_id: ChainId,
    tip_number: Option<BlockNumber>,
    tip_hash: Option<B256>,
}

/// Reads what `query` answered about `chain_id`.
pub fn said(payload: &[u8], chain_id: ChainId) -> Said {
    let Ok(answer) = serde_json::from_slice::<Value>(payload) else { return unreadable() };
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        return refused(error);
    }
    let Ok(answer) = serde_json::from_value::<Answer>(answer) else { return unreadable() };
    // An answer that is too long comes as a file.
    let Some(rows) = answer.rows.filter(|rows| rows.len() <= MOST_ROWS) else {
        let trouble = BadAnswer::TooManyRows;
        return Said::RuleFault(SqlFault { code: trouble.code(), message: trouble.to_string(), byte: None });
    };
    // Of SQL that reads no chain there is no state.
    let state = answer.state.into_iter().find(|state| state.chain_id == chain_id);
    let tip = state.and_then(|state| Some(BlockRef { number: state.tip_number?, hash: state.tip_hash? }));
    let block = tip.unwrap_or(BlockRef { number: BlockNumber(0), hash: B256::ZERO });
    let names = || answer.columns.iter().map(|column| column.name.clone());
    Said::Rows(rows.into_iter().map(|row| names().zip(row).collect()).collect(), block)
}

fn refused(error: &Value) -> Said {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, message) = (text("code"), text("message"));
    match OF_THE_RULE.into_iter().find(|of_the_rule| code == *of_the_rule) {
        Some(code) => {
            let byte = error.get("position").and_then(Value::as_u64).and_then(|byte| usize::try_from(byte).ok());
            Said::RuleFault(SqlFault { code, message, byte })
        }
        None => Said::Nothing { code, message },
    }
}

fn unreadable() -> Said {
    let trouble = BadAnswer::Unreadable;
    Said::Nothing { code: trouble.code().to_owned(), message: trouble.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId(7);

    fn read(answer: &Value) -> Said {
        said(answer.to_string().as_bytes(), CHAIN)
    }

    #[test]
    fn a_question_is_of_an_organisation_and_of_now_or_of_a_block() {
        let now = json!({ "sql": "SELECT 1", "org": "acme", "mode": "interactive", "timeout_seconds": 20 });
        assert_eq!(question("SELECT 1", "acme", None), now);
        let then = question("SELECT 1", "acme", Some(("demo", BlockNumber(9))));
        assert_eq!(then["as_of_block"], json!({ "chain": "demo", "block": 9 }));
    }

    #[test]
    fn rows_are_named_values_as_of_the_chains_tip() {
        let hash = B256::repeat_byte(3);
        let answer = json!({
            "columns": [{ "name": "alert_key", "type": "VARCHAR" }, { "name": "n", "type": "BIGINT" }],
            "rows": [["a", 1], ["b", null]],
            "state": [
                { "chain_id": 8, "chain": "eight", "tip_number": 9, "tip_hash": B256::ZERO, "watermark": null },
                { "chain_id": 7, "chain": "seven", "tip_number": 5, "tip_hash": hash, "watermark": null },
            ],
        });
        let Said::Rows(rows, block) = read(&answer) else { panic!("no rows") };
        assert_eq!(json!(rows), json!([{ "alert_key": "a", "n": 1 }, { "alert_key": "b", "n": null }]));
        assert_eq!(block, BlockRef { number: BlockNumber(5), hash });
        let stateless = json!({ "columns": [], "rows": [], "state": [] });
        let nowhere = BlockRef { number: BlockNumber(0), hash: B256::ZERO };
        assert_eq!(read(&stateless), Said::Rows(Vec::new(), nowhere));
    }

    #[test]
    fn a_rule_is_at_fault_for_its_text_and_its_size_and_for_nothing_else() {
        let error =
            |code: &str| read(&json!({ "error": { "code": code, "message": "no", "detail": null, "position": 4 } }));
        for code in OF_THE_RULE {
            let fault = SqlFault { code, message: "no".to_owned(), byte: Some(4) };
            assert_eq!(error(code), Said::RuleFault(fault));
        }
        let nothing = |code: &str, message: &str| Said::Nothing { code: code.to_owned(), message: message.to_owned() };
        for code in ["query.busy", "query.cold_file_missing", "query.database", "access.forbidden", "query.as_of_ahead"]
        {
            assert_eq!(error(code), nothing(code, "no"));
        }
        let long = json!({ "columns": [], "rows": vec![json!([]); MOST_ROWS + 1], "state": [] });
        let as_file = json!({ "columns": [], "result": { "url": "https://x" }, "state": [] });
        for answer in [long, as_file] {
            let said = read(&answer);
            assert!(matches!(&said, Said::RuleFault(fault) if fault.code == "alerts.too_many_rows"), "{said:?}");
        }
        let most = json!({ "columns": [], "rows": vec![json!([]); MOST_ROWS], "state": [] });
        assert!(matches!(read(&most), Said::Rows(rows, _) if rows.len() == MOST_ROWS));
        for unreadable in ["oops", r#"{ "rows": 7 }"#] {
            let said = said(unreadable.as_bytes(), CHAIN);
            assert!(matches!(&said, Said::Nothing { code, .. } if code == "alerts.bad_answer"), "{said:?}");
        }
    }
}
