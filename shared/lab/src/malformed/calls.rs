//! Calls of a function that is reached by API Gateway and directly, and that keeps what it takes in Postgres.

use serde_json::Value;
use sqlx::PgPool;

use super::{Judge, Verdict};

/// What stands around calls of one function.
#[derive(Clone, Copy, Debug)]
pub struct Calls<'a> {
    /// The function's database.
    pub pool: &'a PgPool,
    /// SQL that counts, as one BIGINT, the rows that calls make.
    pub stored: &'static str,
    /// The switch `size`: a body becomes a tree of values before anybody has looked at its length.
    pub reads_first: bool,
}

impl Calls<'_> {
    /// Hands the event to `door`, and sees to it that nothing is stored when it is refused.
    ///
    /// # Panics
    /// If the rows cannot be counted.
    pub async fn watch(&self, judge: &mut Judge, event: Value, door: impl AsyncFnOnce(Value) -> Verdict) {
        let text = event.to_string();
        let shown = &text.as_bytes()[..text.len().min(2_000)];
        let before = self.count().await;
        let mut is_refused = false;
        let watched = async {
            if self.reads_first
                && let Some(body) = event["body"].as_str()
            {
                let _ = std::hint::black_box(serde_json::from_str::<Value>(body));
            }
            let verdict = door(event).await;
            is_refused = matches!(verdict, Verdict::Refused { .. });
            verdict
        };
        judge.watch_async(shown, watched).await;
        if is_refused && self.count().await != before {
            judge.break_rule(shown, "it is refused, and something is stored");
        }
    }

    async fn count(&self) -> i64 {
        sqlx::query_scalar(self.stored).fetch_one(self.pool).await.expect("rows can be counted")
    }
}

impl Verdict {
    /// What a function's answer says: API Gateway's has a status, a direct one an `error` or none.
    pub fn of_answer(answer: &Value) -> Self {
        let (status, body) = match answer["statusCode"].as_u64() {
            Some(status) => {
                (status, serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or(Value::Null))
            }
            None if answer["error"].is_object() => (400, answer["error"].clone()),
            None => (200, Value::Null),
        };
        // A direct answer has no status: what is the platform's own trouble says so by its code, or in its words.
        let is_ours = |code: &str| {
            code.ends_with(".database") || body["message"].as_str().unwrap_or_default().starts_with("the platform")
        };
        match (status, body["code"].as_str()) {
            (200..=399, _) => Self::Taken,
            (400..=499, Some(code)) if !is_ours(code) => Self::refused(code),
            (status, code) => Self::Broken(format!("it is answered with {status} and {code:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::malformed::Refusals;
    use crate::postgres::TestDatabase;

    use super::*;

    #[test]
    fn an_answer_that_blames_the_platform_is_no_refusal_by_either_door() {
        let by_gateway = |status: u16, body: &str| Verdict::of_answer(&json!({ "statusCode": status, "body": body }));
        assert_eq!(by_gateway(202, "{}"), Verdict::Taken);
        assert_eq!(by_gateway(422, r#"{"code":"alert.condition"}"#), Verdict::refused("alert.condition"));
        for (status, body) in [
            (500, r#"{"code":"internal"}"#),
            (503, r#"{"code":"control.database"}"#),
            (404, "not found"),
            (400, r#"{"message":"no code"}"#),
        ] {
            assert!(matches!(by_gateway(status, body), Verdict::Broken(_)), "{status} {body}");
        }
        let directly = |error: Value| Verdict::of_answer(&json!({ "error": error }));
        assert_eq!(Verdict::of_answer(&json!({ "rows": [] })), Verdict::Taken);
        assert_eq!(
            directly(json!({ "code": "query.sql", "message": "no such column" })),
            Verdict::refused("query.sql")
        );
        for error in [
            json!({ "code": "access.database", "message": "gone" }),
            json!({ "code": "query.unavailable", "message": "the platform cannot reach its database" }),
        ] {
            assert!(matches!(directly(error.clone()), Verdict::Broken(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refusal_that_leaves_a_row_is_a_breach() {
        let database = TestDatabase::migrated().await.unwrap();
        let pool = PgPool::connect(&database.url).await.unwrap();
        let orgs = "SELECT count(*) FROM control.orgs";
        let calls = Calls { pool: &pool, stored: orgs, reads_first: false };
        let mut judge = Judge::new(Refusals::Final);
        let refused = async |_event| Verdict::refused("alerts.invalid_rule");
        calls.watch(&mut judge, json!({}), refused).await;
        assert_eq!((judge.refused["alerts.invalid_rule"], judge.broken), (1, 0));
        let taken = async |event: Value| {
            sqlx::query("INSERT INTO control.orgs (name) VALUES ($1)")
                .bind(event["body"].as_str())
                .execute(&pool)
                .await
                .unwrap();
            Verdict::Taken
        };
        calls.watch(&mut judge, json!({ "body": "one" }), taken).await;
        assert_eq!((judge.taken, judge.broken), (1, 0));
        let half_refused = async |event| {
            taken(event).await;
            Verdict::refused("alerts.invalid_rule")
        };
        calls.watch(&mut judge, json!({ "body": "two" }), half_refused).await;
        assert_eq!((judge.refused["alerts.invalid_rule"], judge.broken), (2, 1));
    }
}
