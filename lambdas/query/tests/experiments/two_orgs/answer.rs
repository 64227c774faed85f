//! An answer of the function, and what in it may differ from one time to the next.

use std::time::Duration;

use serde_json::{Value, json};

use super::party::{Mark, plain};

/// Refused like a relation that never was.
const UNKNOWN_RELATION: &str = "query.unknown_relation";
/// The words of an error at run time quote whichever value came first.
const FAILED: &str = "query.failed";

/// An answer.
pub(crate) struct Answer {
    status: u64,
    /// JSON, or the text of a CSV file.
    body: Value,
    /// All of the response, headers too.
    text: String,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn of(response: &Value, took: Duration) -> Self {
        let body = response["body"].as_str().expect("a response has a body");
        Self {
            status: response["statusCode"].as_u64().expect("a response has a status"),
            body: serde_json::from_str(body).unwrap_or_else(|_| json!(body)),
            text: plain(&response.to_string()),
            took,
        }
    }

    pub(crate) fn status(&self) -> u64 {
        self.status
    }

    /// The error's stable name; `None` if it is an answer with rows.
    pub(crate) fn code(&self) -> Option<&str> {
        self.body["code"].as_str()
    }

    pub(crate) fn is_of_an_unknown_relation(&self) -> bool {
        self.code() == Some(UNKNOWN_RELATION)
    }

    /// The canaries of `mark` that stand in it and not in what its asker wrote.
    pub(crate) fn revealed(&self, mark: Mark, asked: &str) -> Vec<String> {
        let asked = plain(asked);
        let stands = |canary: &String| self.text.contains(canary) && !asked.contains(canary);
        mark.canaries().into_iter().filter(stands).collect()
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// What must be the same each time the same is asked of the same state: rows in any order.
    pub(crate) fn lasting(&self) -> String {
        let mut body = self.body.clone();
        match &mut body {
            Value::Object(fields) => {
                for varying in ["query_id", "duration_ms", "bytes"] {
                    fields.remove(varying);
                }
                if fields.get("code") == Some(&json!(FAILED)) {
                    fields.remove("message");
                }
                if let Some(Value::Array(rows)) = fields.get_mut("rows") {
                    rows.sort_by_key(Value::to_string);
                }
            }
            Value::String(csv) => {
                let mut lines: Vec<&str> = csv.lines().collect();
                lines.sort_unstable();
                *csv = lines.join("\n");
            }
            _ => {}
        }
        format!("{} {body}", self.status)
    }

    /// The same, with one name for whatever is the mark's.
    pub(crate) fn lasting_without(&self, mark: Mark) -> String {
        let canaries = mark.canaries().into_iter().enumerate();
        canaries.fold(plain(&self.lasting()), |text, (i, canary)| text.replace(&canary, &format!("<{i}>")))
    }
}

/// The share of pairs, in points of a hundred off the half, in which the first one took longer than the second. Zero
/// without pairs. By chance alone it is within three times `50 / sqrt(pairs)` nearly always.
pub(crate) fn lean(pairs: &[(Duration, Duration)]) -> f64 {
    let longer = pairs.iter().filter(|(first, second)| first > second).count();
    let as_long = pairs.iter().filter(|(first, second)| first == second).count();
    let share = (longer as f64 + as_long as f64 / 2.0) / pairs.len().max(1) as f64;
    if pairs.is_empty() { 0.0 } else { (share - 0.5).abs() * 100.0 }
}

#[test]
fn what_takes_longer_each_time_leans_and_what_does_not_does_not() {
    let ms = Duration::from_millis;
    let evens: Vec<_> = (0..100).map(|i| if i % 2 == 0 { (ms(5), ms(6)) } else { (ms(6), ms(5)) }).collect();
    let slower: Vec<_> = (0..100).map(|i| (ms(i + 1), ms(i))).collect();
    assert!(lean(&evens) < 0.1 && lean(&[]) < 0.1 && lean(&[(ms(1), ms(1))]) < 0.1);
    assert!((lean(&slower) - 50.0).abs() < 0.1);
}

#[test]
fn rows_of_somebody_else_are_found_and_an_order_is_no_difference() {
    let [own, other] = [0, 1].map(|party: usize| super::party::PARTIES[party].mark);
    let answer = |rows: Value| {
        let body = json!({ "query_id": "x", "duration_ms": 3, "rows": rows }).to_string();
        Answer::of(&json!({ "statusCode": 200, "headers": {}, "body": body }), Duration::ZERO)
    };
    let two = answer(json!([[other.number], ["a"]]));
    assert_eq!(two.revealed(other, "select 1").len(), 1);
    assert!(two.revealed(own, "select 1").is_empty());
    assert!(two.revealed(other, &other.number.to_string()).is_empty(), "its asker knew it");
    assert_eq!(two.lasting(), answer(json!([["a"], [other.number]])).lasting());
    assert_ne!(two.lasting(), answer(json!([["a"]])).lasting());
    assert_eq!(answer(json!([["wryneck"]])).lasting_without(other), r#"200 {"rows":[["<0>"]]}"#);
}
