//! Rules with SQL, asked by the running functions: by the API when one is tried, by the evaluator when it is due. Both ask the real
//! function `query`, which asks the real engine.

use isotherm_access::Role;
use isotherm_local_stack::names;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::stage::{CHAIN_NAME, FUNCTIONS, Stage};

/// A cold block and a hot one, each with three transactions.
const SQL: &str = "SELECT block_number AS alert_key, count(*) AS n FROM made.transactions\n\
                   WHERE block_number IN (5, 30) GROUP BY block_number ORDER BY block_number";
/// More pairs than a rule may have rows.
const TOO_MANY: &str = "SELECT a.block_number AS alert_key FROM made.blocks a CROSS JOIN made.blocks b";

/// The stack with a writer of `default`, and a channel to tell.
struct Scene {
    stage: Stage,
    conn: PgConnection,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::with(&[&FUNCTIONS[..], &["alert_evaluate"]].concat()).await;
        stage.add_user(stage.org, "ann", Role::Writer).await;
        let (conn, token) = (stage.database.connect().await.unwrap(), stage.token("ann"));
        let scene = Self { stage, conn, token };
        let ops = json!({ "name": "ops", "address": { "kind": "sms", "number": "+15551234567" } });
        let (status, made) = scene.call(Method::POST, "/v1/channels", &ops).await;
        assert_eq!(status, 201, "{made}");
        scene
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let call = Client::new().request(method, format!("{}{path}", self.stage.made.api_url));
        let call = call.bearer_auth(&self.token).header("content-type", "application/json").body(body.to_string());
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    /// Makes the rule, or gives it other SQL.
    async fn save(&self, sql: &str) {
        let (status, saved) = self.call(Method::PUT, "/v1/alerts/counted", &rule(sql)).await;
        assert!(status < 300, "{status}: {saved}");
    }

    async fn try_it(&self, body: &Value) -> (u16, Value) {
        self.call(Method::POST, "/v1/alerts/counted/test", body).await
    }

    /// What the clock does once a minute.
    async fn sweep(&self) {
        let event = json!({ "version": 1, "kind": "sweep" }).to_string().into_bytes();
        let call = self.stage.aws.lambda().invoke().function_name(names::function("alert_evaluate"));
        let answered = call.payload(event.into()).send().await.unwrap();
        assert!(answered.function_error().is_none(), "{answered:?}");
    }

    /// State and message of each alert.
    async fn alerts(&mut self) -> Vec<(String, String)> {
        sqlx::query_as("SELECT state, message FROM alerts.alert_events ORDER BY message")
            .fetch_all(&mut self.conn)
            .await
            .unwrap()
    }

    /// State of the rule, and why it is in quarantine.
    async fn standing(&mut self) -> (String, Option<String>) {
        sqlx::query_as("SELECT state, quarantine_code FROM alerts.rules WHERE name = 'counted'")
            .fetch_one(&mut self.conn)
            .await
            .unwrap()
    }

    async fn run(&mut self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.conn).await.unwrap();
    }
}

fn rule(sql: &str) -> Value {
    json!({
        "chain": CHAIN_NAME, "channels": ["ops"], "source": { "sql": sql, "every_seconds": 60 },
        "message": "{{ n }} in {{ alert_key }}",
    })
}

fn messages(trial: &Value) -> Vec<&str> {
    trial["matches"].as_array().unwrap().iter().map(|found| found["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_a_trial_shows_is_what_the_evaluator_finds_and_a_trial_writes_nothing() {
    let mut scene = Scene::new().await;
    scene.save(SQL).await;
    let (status, now) = scene.try_it(&json!({})).await;
    assert_eq!((status, &now["told_count"], &now["from"]), (200, &json!(2), &json!(34)), "of the newest block: {now}");
    assert_eq!(messages(&now), ["3 in 5", "3 in 30"]);
    let (status, then) = scene.try_it(&json!({ "from": 0, "to": 20 })).await;
    assert_eq!((status, messages(&then), &then["to"]), (200, vec!["3 in 5"], &json!(20)), "as of block 19: {then}");
    let (status, other) = scene.try_it(&json!({ "definition": rule("SELECT 7 AS n, 1 AS alert_key") })).await;
    assert_eq!((status, messages(&other)), (200, vec!["7 in 1"]), "one that is not saved: {other}");
    assert_eq!(scene.alerts().await, []);

    scene.sweep().await;
    let expected = ["3 in 30", "3 in 5"].map(|message| ("confirmed".to_owned(), message.to_owned()));
    assert_eq!(scene.alerts().await, expected);
    let asked: Vec<(String, String)> =
        sqlx::query_as("SELECT DISTINCT state, mode FROM query.queries").fetch_all(&mut scene.conn).await.unwrap();
    assert_eq!(asked, [("completed".to_owned(), "interactive".to_owned())]);
    // Asked again, it says the same, and nobody is told twice.
    scene.run("UPDATE alerts.rules SET next_run_at = now()").await;
    scene.sweep().await;
    let messages: i64 = sqlx::query_scalar("SELECT count(*) FROM alerts.deliveries WHERE kind = 'fired'")
        .fetch_one(&mut scene.conn)
        .await
        .unwrap();
    assert_eq!((scene.alerts().await.len(), messages), (2, 2));
    let queries: i64 =
        sqlx::query_scalar("SELECT count(*) FROM query.queries").fetch_one(&mut scene.conn).await.unwrap();
    assert_eq!(queries, 5, "three trials, and two sweeps");
}

#[tokio::test]
async fn what_a_trial_refuses_takes_the_rule_out_of_work() {
    let mut scene = Scene::new().await;
    for (sql, code, line) in [
        ("SELECT 1 AS n\n, , 2", "query.syntax", Some(2)),
        ("SELECT block_number AS alert_key\nFROM made.block", "query.refused", Some(2)),
        (TOO_MANY, "alerts.too_many_rows", None),
    ] {
        scene.save(sql).await;
        let (status, refused) = scene.try_it(&json!({})).await;
        assert_eq!((status, &refused["code"]), (422, &json!(code)), "{refused}");
        let fault = &refused["faults"][0];
        assert_eq!(fault["field"], json!("source.sql"), "{refused}");
        assert_eq!(fault["position"]["line"].as_u64(), line, "{refused}");
        assert_eq!(scene.standing().await, ("active".to_owned(), None), "a trial changes nothing");
        scene.run("UPDATE alerts.rules SET next_run_at = now()").await;
        scene.sweep().await;
        assert_eq!(scene.standing().await, ("quarantined".to_owned(), Some(code.to_owned())));
    }
    let (status, ahead) = scene.try_it(&json!({ "from": 0, "to": 1000, "definition": rule(SQL) })).await;
    assert_eq!(
        (status, &ahead["code"], &ahead["faults"][0]["field"]),
        (422, &json!("query.as_of_ahead"), &json!("to"))
    );
    assert_eq!(scene.alerts().await, []);
}

#[tokio::test]
async fn a_trial_takes_one_of_its_organisations_places_and_neither_it_nor_the_rule_is_blamed_for_having_none() {
    let mut scene = Scene::new().await;
    scene.save(SQL).await;
    scene
        .run(
            "INSERT INTO query.queries (org_id, id, actor, sql_sha256, mode, format, timeout_seconds, state, started_at, lease_expires_at)
             SELECT o.id, gen_random_uuid(), 'test', sha256('x'), 'interactive', 'json', 60, 'running', now(), now() + interval '1 hour'
               FROM control.orgs o, generate_series(1, 4) WHERE o.name = 'default'",
        )
        .await;
    let (status, busy) = scene.try_it(&json!({})).await;
    assert_eq!((status, &busy["code"]), (429, &json!("query.busy")), "{busy}");
    scene.sweep().await;
    assert_eq!((scene.standing().await, scene.alerts().await), (("active".to_owned(), None), Vec::new()));
    scene.run("UPDATE query.queries SET lease_expires_at = now() WHERE state = 'running'").await;
    assert_eq!(scene.try_it(&json!({})).await.0, 200, "places of those who are gone are free again");
}
