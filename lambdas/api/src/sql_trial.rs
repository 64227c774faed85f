//! A rule with SQL, tried: its SQL is asked once, by the function `query`, as the evaluator asks it. Each row of the answer is what the rule
//! would have found then. It must not hold a connection while it waits.

use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_alerts::definition::{FieldError, Position};
use isotherm_alerts::index::CompiledRule;
use isotherm_alerts::sql_answer::{self, Said, SqlFault};
use isotherm_platform::aws::Clients;
use isotherm_platform::functions::{self, FunctionError};
use isotherm_types::{B256, BlockNumber, BlockRef, Classified, Clock as _, Disposition, SystemClock};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::trial;

/// How long the function is waited for: what it gives its query, and what it may take to start. API Gateway gives up after 30 s.
const WAIT: Duration = Duration::from_secs(sql_answer::TIMEOUT_SECONDS + 6);

/// What `query` says of a block that there is none of, or no longer: the caller named it.
const OF_THE_BLOCK: [&str; 3] = ["query.as_of_ahead", "query.as_of_chain", "query.as_of_unknown"];

/// Why a rule's SQL was not answered, by no doing of the rule.
#[derive(Debug, thiserror::Error)]
pub enum NotAnswered {
    /// The function could not be asked, or broke off.
    #[error("the function that answers SQL could not be asked")]
    NotAsked(#[source] FunctionError),
    /// It took too long.
    #[error("the function that answers SQL has not answered within {} s", WAIT.as_secs())]
    NotInTime,
    /// It could not answer.
    #[error("the function that answers SQL could not answer: {message} ({code})")]
    Refused {
        /// Its stable name for why.
        code: String,
        /// In words.
        message: String,
    },
}

impl Classified for NotAnswered {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NotAsked(_) | Self::NotInTime | Self::Refused { .. } => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotAsked(_) | Self::NotInTime | Self::Refused { .. } => "alerts.query_unavailable",
        }
    }
}

/// What is to be asked, once the caller is known and the rule is checked.
#[derive(Debug)]
pub(crate) struct SqlTrial {
    /// The rule.
    pub(crate) rule: CompiledRule,
    /// Its SQL.
    pub(crate) sql: String,
    /// Name of the caller's organisation.
    pub(crate) org: String,
    /// The block that the answer is to be of; `None`: the newest.
    pub(crate) as_of: Option<BlockNumber>,
}

impl SqlTrial {
    /// Asks `function`; returns what the rule would have found.
    ///
    /// # Errors
    /// [`ApiError::NotRight`] for what would quarantine the rule, and for a block that is not there; [`ApiError::QueryBusy`];
    /// [`ApiError::NotAnswered`].
    pub(crate) async fn ask(&self, clients: &Clients, function: &str) -> Result<Value, ApiError> {
        let chain = self.rule.stored.definition.chain.as_str();
        let question = sql_answer::question(&self.sql, &self.org, self.as_of.map(|block| (chain, block)));
        let asked = tokio::time::timeout(WAIT, functions::invoke(clients, function, &question)).await;
        let payload = match asked {
            Ok(answered) => answered.map_err(NotAnswered::NotAsked)?,
            Err(_elapsed) => return Err(NotAnswered::NotInTime.into()),
        };
        self.shown(sql_answer::said(&payload, self.rule.stored.chain_id), SystemClock.now())
    }

    /// What is told of an answer that came at `now`. Pure.
    fn shown(&self, said: Said, now: DateTime<Utc>) -> Result<Value, ApiError> {
        match said {
            Said::Rows(rows, tip) => {
                let block = self.as_of.map_or(tip, |number| of_number(number, tip));
                let mut shown = trial::of_answer(&self.rule, &rows, block, now).to_json();
                shown["rule"] = json!(self.rule.stored.name);
                Ok(shown)
            }
            Said::RuleFault(SqlFault { code, message, byte }) => {
                let fault = match byte {
                    Some(byte) => FieldError::at("source.sql", Position::of(&self.sql, byte), message),
                    None => FieldError::new("source.sql", message),
                };
                Err(ApiError::NotRight {
                    code,
                    message: format!("the rule's SQL is not right: {fault}"),
                    faults: vec![fault],
                })
            }
            Said::Nothing { code, .. } if code == "query.busy" => Err(ApiError::QueryBusy),
            Said::Nothing { code, message } => {
                match OF_THE_BLOCK.into_iter().find(|of_the_block| code == *of_the_block) {
                    Some(code) => {
                        let fault = FieldError::new("to", message);
                        Err(ApiError::NotRight { code, message: fault.to_string(), faults: vec![fault] })
                    }
                    None => Err(NotAnswered::Refused { code, message }.into()),
                }
            }
        }
    }
}

/// The block of this number, as far as the answer has its hash.
fn of_number(number: BlockNumber, tip: BlockRef) -> BlockRef {
    let hash = if tip.number == number { tip.hash } else { B256::ZERO };
    BlockRef { number, hash }
}

#[cfg(test)]
mod tests {
    use isotherm_alerts::definition::Definition;
    use isotherm_alerts::rules::StoredRule;
    use isotherm_types::{ChainId, OrgId, RuleId};

    use super::*;

    const SQL: &str = "SELECT n\nFORM blocks";

    fn trial(as_of: Option<BlockNumber>) -> SqlTrial {
        let definition = json!({
            "name": "asked", "chain": "demo", "channels": ["ops"], "source": { "sql": SQL, "every_seconds": 60 },
            "message": "{{ n }}",
        });
        let definition = Definition::parse(&definition).unwrap();
        let rule = StoredRule {
            rule_id: RuleId(0),
            org_id: OrgId(1),
            chain_id: ChainId(7),
            name: definition.name.clone(),
            version: 1,
            definition,
            first_block: BlockNumber(0),
            muted_until: None,
        };
        let rule = CompiledRule::compile(rule).unwrap();
        SqlTrial { rule, sql: SQL.to_owned(), org: "acme".to_owned(), as_of }
    }

    fn shown(as_of: Option<BlockNumber>, answer: &Value) -> Result<Value, ApiError> {
        let said = sql_answer::said(answer.to_string().as_bytes(), ChainId(7));
        trial(as_of).shown(said, DateTime::UNIX_EPOCH)
    }

    fn refused(code: &str, position: &Value) -> (u16, Value) {
        let error = json!({ "code": code, "message": "no", "detail": null, "position": position });
        let answer = shown(Some(BlockNumber(9)), &json!({ "error": error })).unwrap_err().answer();
        (answer.status, answer.body)
    }

    #[test]
    fn rows_are_findings_of_the_newest_block_or_of_the_one_that_was_asked_for() {
        let hash = B256::repeat_byte(3);
        let state = json!([{ "chain_id": 7, "tip_number": 12, "tip_hash": hash }]);
        let answer = json!({ "columns": [{ "name": "n" }], "rows": [[1], [2]], "state": state });
        for (as_of, from, hash) in [(None, 12, hash), (Some(BlockNumber(9)), 9, B256::ZERO)] {
            let shown = shown(as_of, &answer).unwrap();
            assert_eq!(
                (&shown["rule"], &shown["match_count"], &shown["from"]),
                (&json!("asked"), &json!(2), &json!(from))
            );
            assert_eq!(
                (&shown["matches"][1]["message"], &shown["matches"][1]["block_hash"]),
                (&json!("2"), &json!(hash))
            );
        }
    }

    #[test]
    fn what_would_quarantine_the_rule_has_field_and_place_and_what_would_not_has_neither() {
        let (status, body) = refused("query.syntax", &json!(9));
        assert_eq!((status, &body["code"]), (422, &json!("query.syntax")), "{body}");
        let fault = json!({ "field": "source.sql", "position": { "line": 2, "column": 1 }, "message": "no" });
        assert_eq!(
            (&body["faults"], &body["message"]),
            (&json!([fault]), &json!("the rule's SQL is not right: source.sql at 2:1: no"))
        );
        let (status, body) = refused("query.timeout", &Value::Null);
        assert_eq!((status, &body["faults"]), (422, &json!([{ "field": "source.sql", "message": "no" }])));
        let (status, body) = refused("query.as_of_ahead", &Value::Null);
        assert_eq!((status, &body["faults"][0]["field"]), (422, &json!("to")));
        let (status, body) = refused("query.busy", &Value::Null);
        assert_eq!((status, &body["code"], &body["faults"]), (429, &json!("query.busy"), &Value::Null));
        let (status, body) = refused("query.database", &Value::Null);
        assert_eq!((status, &body["code"]), (503, &json!("alerts.query_unavailable")));
    }
}
