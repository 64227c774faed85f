//! Rules by the API: made, changed, tried, held back, deleted; what they have found, and its messages.

use isotherm_access::Role;
use isotherm_control::jobs;
use lambda_api::Route;
use serde_json::{Value, json};

use crate::access::call;
use crate::alert_scene::{self, ALERT, DELIVERY, full};
use crate::stage::Stage;

/// The stage, and the header of a writer of `default`.
async fn stage() -> (Stage, String) {
    let stage = Stage::new().await;
    let mut conn = stage.pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    drop(conn);
    let (owner, writer) = stage.logged_in(org, "writer", Role::Writer).await;
    alert_scene::chain(&stage).await;
    alert_scene::put_back(&stage, org, Some(owner.0)).await;
    (stage, writer)
}

/// Status and answer of a call about the rule `name`.
async fn about(stage: &Stage, who: &str, route: Route, name: &str, body: &Value) -> (u64, Value) {
    let mut event = call(route, Some(who), body, 0);
    event["pathParameters"]["name"] = json!(name);
    stage.http(event).await
}

/// Field, line and column, message.
type Fault = (String, Option<(u64, u64)>, String);

/// What is wrong by the answer.
fn faults(answer: &Value) -> Vec<Fault> {
    let of = |fault: &Value| {
        let position = &fault["position"];
        let position = position["line"].as_u64().zip(position["column"].as_u64());
        (fault["field"].as_str().unwrap().to_owned(), position, fault["message"].as_str().unwrap().to_owned())
    };
    answer["faults"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().map(of).collect()
}

async fn count(stage: &Stage, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&stage.pool).await.unwrap()
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_told_with_field_and_place_and_nothing_is_stored() {
    let (stage, writer) = stage().await;
    let before = count(&stage, "alerts.rules").await;
    let changed = |pointer: &str, value: Value| {
        let mut rule = full("bad");
        *rule.pointer_mut(pointer).unwrap() = value;
        rule
    };
    let event = |event: &str| changed("/source", json!({ "event": event }));
    // The part of the answer that is looked for: field, whether it has a place, a piece of the message.
    let table = [
        (changed("/condition", json!("gas_used >\n  nothing")), "condition", true, "nothing"),
        (changed("/condition", json!("gas_used > ")), "condition", true, ""),
        (changed("/condition", json!("gas_used + 1")), "condition", true, "true or false"),
        (event("Transfer(address indexed from, address to, uint257 value)"), "source.event", false, ""),
        (event("Transfer(address"), "source.event", false, ""),
        (changed("/channels", json!(["kept", "nobody"])), "channels[1]", false, "nobody"),
        (changed("/chain", json!("elsewhere")), "chain", false, "demo"),
        (changed("/source", json!({ "dataset": "blocks", "address": ["0x12"] })), "source.address", false, ""),
        (changed("/name", json!("Not a name")), "name", false, "a-z"),
    ];
    for (rule, field, has_place, piece) in table {
        let (status, answer) = about(&stage, &writer, Route::CreateRule, "", &rule).await;
        assert_eq!((status, &answer["code"]), (422, &json!("alerts.invalid_rule")), "{rule}: {answer}");
        let faults = faults(&answer);
        let found = faults.iter().find(|(at, _, _)| at.starts_with(field));
        let (_, place, message) = found.unwrap_or_else(|| panic!("{rule}: {answer}"));
        assert!(message.contains(piece), "{rule}: {answer}");
        assert!(place.is_some() || !has_place, "{rule}: {answer}");
    }
    let (_, answer) =
        about(&stage, &writer, Route::CreateRule, "", &changed("/condition", json!("gas_used >\n  nothing"))).await;
    assert_eq!(faults(&answer)[0].1, Some((2, 3)), "line and column in the text: {answer}");

    let (status, answer) = about(&stage, &writer, Route::SaveRule, "other", &full("bad")).await;
    assert_eq!((status, faults(&answer)[0].0.as_str()), (422, "name"));
    let mut unknown = full("bad");
    unknown["chanels"] = json!(["kept"]);
    let (status, answer) = about(&stage, &writer, Route::CreateRule, "", &unknown).await;
    assert_eq!((status, faults(&answer)[0].0.as_str()), (422, "chanels"));
    assert_eq!(count(&stage, "alerts.rules").await, before);
}

#[tokio::test]
async fn a_rule_is_made_once_saved_again_and_again_and_changed_step_by_step() {
    let (stage, writer) = stage().await;
    let ask = async |route, name: &str, body: Value| about(&stage, &writer, route, name, &body).await;

    let (status, made) = ask(Route::CreateRule, "", full("much")).await;
    assert_eq!((status, &made["state"], &made["version"]), (201, &json!("active"), &json!(1)), "{made}");
    assert_eq!((&made["first_block"], &made["chain_id"]), (&json!(20), &json!(31_337)), "blocks from now on: {made}");
    let (status, refused) = ask(Route::CreateRule, "", full("much")).await;
    assert_eq!((status, &refused["code"]), (409, &json!("alerts.rule_exists")));

    let (status, same) = ask(Route::SaveRule, "much", full("much")).await;
    assert_eq!((status, &same["version"]), (200, &json!(1)), "the same is no change");
    let mut nameless = full("much");
    nameless.as_object_mut().unwrap().remove("name");
    nameless["condition"] = json!("gas_used >= 16");
    let (status, changed) = ask(Route::SaveRule, "much", nameless).await;
    assert_eq!((status, &changed["version"]), (200, &json!(2)));
    assert_eq!(changed["definition"]["condition"], json!("gas_used >= 16"));

    assert_eq!(ask(Route::PauseRule, "much", Value::Null).await.1["state"], json!("paused"));
    assert_eq!(ask(Route::ResumeRule, "much", Value::Null).await.1["state"], json!("active"));
    assert!(ask(Route::MuteRule, "much", json!({ "seconds": 60 })).await.1["muted_until"].is_string());
    assert!(ask(Route::MuteRule, "much", json!({ "seconds": 0 })).await.1["muted_until"].is_null());
    assert_eq!(ask(Route::MuteRule, "much", json!({ "seconds": 2_592_001 })).await.0, 422);
    let failed =
        "UPDATE alerts.rules SET state = 'quarantined', quarantine_code = 'alerts.x', quarantine_message = 'm',
                         quarantined_at = now() WHERE name = 'much'";
    sqlx::query(failed).execute(&stage.pool).await.unwrap();
    let (_, shown) = ask(Route::ShowRule, "much", Value::Null).await;
    assert_eq!((&shown["state"], &shown["quarantine"]["code"]), (&json!("quarantined"), &json!("alerts.x")));
    assert_eq!(ask(Route::ResumeRule, "much", Value::Null).await.1["state"], json!("active"));

    assert_eq!(ask(Route::DeleteRule, "much", Value::Null).await.0, 200);
    let (status, gone) = ask(Route::ShowRule, "much", Value::Null).await;
    assert_eq!((status, &gone["code"]), (404, &json!("alerts.unknown_rule")));
    assert_eq!(ask(Route::CreateRule, "", full("much")).await.0, 201, "the name is free again");

    let mut page = call(Route::ListRules, Some(&writer), &Value::Null, 0);
    page["queryStringParameters"] = json!({ "limit": "1" });
    let (_, first) = stage.http(page.clone()).await;
    assert_eq!(first["alerts"][0]["name"], json!("much"));
    page["queryStringParameters"] = json!({ "limit": "1", "before": first["next"].to_string() });
    let (_, second) = stage.http(page).await;
    assert_eq!(second["alerts"][0]["name"], json!("full"));
}

#[tokio::test]
async fn a_test_shows_what_would_have_been_told_and_tells_nobody() {
    let (stage, writer) = stage().await;
    let tables =
        ["alerts.alert_events", "alerts.deliveries", "alerts.alert_history", "control.outbox", "control.events"];
    let mut before = Vec::new();
    for table in tables {
        before.push(count(&stage, table).await);
    }
    let ask = async |body: Value| about(&stage, &writer, Route::TestRule, "full", &body).await;

    let (status, all) = ask(json!({ "from": 0, "to": 20 })).await;
    assert_eq!(status, 200, "{all}");
    let counts = |answer: &Value| (answer["match_count"].as_u64().unwrap(), answer["told_count"].as_u64().unwrap());
    assert_eq!((counts(&all), &all["row_count"], &all["next"]), ((5, 5), &json!(20), &Value::Null));
    let blocks: Vec<_> = all["matches"].as_array().unwrap().iter().map(|found| found["block_number"].clone()).collect();
    assert_eq!(blocks, [15, 16, 17, 18, 19]);

    let mut cooling = full("full");
    cooling["cooldown_seconds"] = json!(2);
    let (_, cooled) = ask(json!({ "from": 0, "to": 20, "definition": cooling })).await;
    assert_eq!(counts(&cooled), (5, 3), "{cooled}");
    let reasons: Vec<_> = cooled["matches"].as_array().unwrap().iter().map(|found| found["reason"].clone()).collect();
    assert_eq!(reasons, [json!(null), json!("cooldown"), json!(null), json!("cooldown"), json!(null)]);

    let (_, beyond) = ask(json!({ "from": 18, "to": 50 })).await;
    assert_eq!((counts(&beyond), &beyond["next"]), ((2, 2), &json!(20)), "as far as there are blocks: {beyond}");
    for (body, field) in [
        (json!({ "from": 20, "to": 50 }), "from"),
        (json!({ "from": 5, "to": 5 }), "to"),
        (json!({ "from": 0, "to": 20, "definition": { "condition": "gas_used >" } }), "chain"),
    ] {
        let (status, answer) = ask(body.clone()).await;
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(faults(&answer).iter().any(|(at, _, _)| at == field), "{body}: {answer}");
    }
    sqlx::query("DELETE FROM hot.blocks WHERE block_number = 10").execute(&stage.pool).await.unwrap();
    let (_, before_gap) = ask(json!({ "from": 0, "to": 20 })).await;
    assert_eq!((&before_gap["to"], &before_gap["next"]), (&json!(10), &json!(10)), "{before_gap}");
    let (status, in_gap) = ask(json!({ "from": 10, "to": 20 })).await;
    assert!(status == 422 && faults(&in_gap)[0].2.contains("the first one above it is 11"), "{in_gap}");

    for (table, before) in tables.iter().zip(before) {
        assert_eq!(count(&stage, table).await, before, "{table}");
    }
}

#[tokio::test]
async fn a_rule_over_rows_is_tried_on_blocks_and_one_with_sql_by_a_function_that_has_to_answer() {
    let (stage, writer) = stage().await;
    let ask = async |body: Value| about(&stage, &writer, Route::TestRule, "full", &body).await;
    let (status, answer) = ask(json!({})).await;
    assert_eq!((status, faults(&answer)[0].0.as_str()), (422, "from"), "{answer}");
    for (body, field) in [(json!({ "from": 1 }), "to"), (json!({ "to": 1 }), "from")] {
        let (status, answer) = ask(body).await;
        assert_eq!((status, faults(&answer)[0].0.as_str()), (422, field), "{answer}");
    }
    let source = json!({ "sql": "SELECT 1 AS n", "every_seconds": 60 });
    let asked = json!({ "definition": { "chain": "demo", "channels": ["kept"], "source": source } });
    let (status, answer) = ask(asked).await;
    assert_eq!((status, &answer["code"]), (503, &json!("alerts.query_unavailable")), "nobody is there: {answer}");
}

#[tokio::test]
async fn alerts_come_with_their_history_and_messages_and_a_message_that_is_over_is_sent_again() {
    let (stage, writer) = stage().await;
    let list = async |route, query: Value| {
        let mut event = call(route, Some(&writer), &Value::Null, 0);
        event["queryStringParameters"] = query;
        stage.http(event).await
    };
    let (status, found) = list(Route::ListAlertEvents, json!({ "rule": "full", "state": "sent" })).await;
    assert_eq!(
        (status, &found["alert_events"][0]["id"], &found["next"]),
        (200, &json!(ALERT), &Value::Null),
        "{found}"
    );
    assert_eq!(list(Route::ListAlertEvents, json!({ "state": "retracted" })).await.1["alert_events"], json!([]));
    assert_eq!(list(Route::ListAlertEvents, json!({ "rule": "other" })).await.1["alert_events"], json!([]));
    for query in [json!({ "state": "lost" }), json!({ "before": "7" }), json!({ "rule": "A" }), json!({ "limit": "0" })]
    {
        let (status, refused) = list(Route::ListAlertEvents, query.clone()).await;
        assert_eq!((status, &refused["code"]), (400, &json!("api.bad_parameter")), "{query}");
    }

    let more = "INSERT INTO alerts.alert_events (id, org_id, rule_id, rule_version, chain_id, identity, block_number, block_hash,
                                                 block_time, state, severity, title, message, facts, matched_at)
                SELECT gen_random_uuid(), org_id, rule_id, 1, chain_id, sha256(n::text::bytea), n, block_hash, now(), 'pending',
                       severity, title, message, facts, matched_at
                  FROM alerts.alert_events, generate_series(100, 102) AS n";
    sqlx::query(more).execute(&stage.pool).await.unwrap();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let mut query = json!({ "limit": "2" });
        if let Some(before) = &before {
            query["before"] = json!(before);
        }
        let (_, page) = list(Route::ListAlertEvents, query).await;
        seen.extend(page["alert_events"].as_array().unwrap().iter().map(|alert| alert["id"].to_string()));
        before = page["next"].as_str().map(str::to_owned);
        if before.is_none() {
            break;
        }
    }
    let once: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), once.len()), (4, 4), "each once, though all were found at one time: {seen:?}");

    let (_, shown) = stage.http(call(Route::ShowAlertEvent, Some(&writer), &Value::Null, 0)).await;
    assert_eq!((&shown["rule"], &shown["history"][0]["to_state"]), (&json!("full"), &json!("pending")), "{shown}");
    assert_eq!((&shown["deliveries"][0]["id"], &shown["deliveries"][0]["channel"]), (&json!(DELIVERY), &json!("kept")));
    assert!(!shown.to_string().contains("kept@example.org"), "no address: {shown}");

    let (_, failed) = list(Route::ListDeliveries, json!({ "channel": "kept", "state": "failed" })).await;
    assert_eq!(failed["deliveries"][0]["id"], json!(DELIVERY), "{failed}");
    assert_eq!(list(Route::ListDeliveries, json!({ "channel": "nobody" })).await.0, 404);
    let replay = async || stage.http(call(Route::ReplayDelivery, Some(&writer), &Value::Null, 0)).await;
    assert_eq!(replay().await, (202, json!({ "delivery_id": DELIVERY })));
    let (status, refused) = replay().await;
    assert_eq!((status, &refused["code"]), (409, &json!("alerts.delivery_not_over")), "it is on its way");
    let told: i64 = sqlx::query_scalar("SELECT count(*) FROM control.events WHERE kind = 'alerts_recorded'")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!((told, count(&stage, "control.outbox").await), (1, 0), "the sender is told at once");
    assert_eq!(stage.last_actor("channel").await, "user:writer", "the trail says who sent it again");
}

#[tokio::test]
async fn a_rule_is_about_what_its_organisation_may_read() {
    let (stage, writer) = stage().await;
    let before = count(&stage, "alerts.rules").await;
    for (grants, field, piece) in [
        ("UPDATE access.dataset_grants SET dataset = 'traces'", "source", "may not read"),
        ("DELETE FROM access.dataset_grants", "chain", "none is"),
    ] {
        sqlx::query(grants).execute(&stage.pool).await.unwrap();
        for (route, name) in [(Route::CreateRule, ""), (Route::SaveRule, "one")] {
            let (status, answer) = about(&stage, &writer, route, name, &full("one")).await;
            assert_eq!(status, 422, "{answer}");
            let (at, _, message) = &faults(&answer)[0];
            assert_eq!(at, field, "{answer}");
            assert!(message.contains(piece), "{answer}");
        }
    }
    assert_eq!(count(&stage, "alerts.rules").await, before);
}

/// Under policies that show nobody anything nothing is there, whatever conditions the statements have: so every look at alerts is taken
/// under the organisation's role.
#[tokio::test]
async fn every_look_at_alerts_is_taken_under_row_security() {
    let (stage, writer) = stage().await;
    for table in [
        "channels",
        "rules",
        "rule_channels",
        "cursors",
        "alert_events",
        "alert_history",
        "deliveries",
        "delivery_attempts",
    ] {
        let closed = format!("ALTER POLICY tenant ON alerts.{table} USING (false)");
        sqlx::query(sqlx::AssertSqlSafe(closed)).execute(&stage.pool).await.unwrap();
    }
    for (route, member) in [
        (Route::ListRules, "alerts"),
        (Route::ListAlertEvents, "alert_events"),
        (Route::ListChannels, "channels"),
        (Route::ListDeliveries, "deliveries"),
    ] {
        let (status, answer) = about(&stage, &writer, route, "", &Value::Null).await;
        assert_eq!((status, &answer[member]), (200, &json!([])), "{}: {answer}", route.key());
    }
    let email = json!({ "address": { "kind": "email", "to": "ann@example.org" } });
    let looks = [
        (Route::ShowRule, "full", Value::Null, 404),
        (Route::DeleteRule, "full", Value::Null, 404),
        (Route::PauseRule, "full", Value::Null, 404),
        (Route::ResumeRule, "full", Value::Null, 404),
        (Route::MuteRule, "full", json!({ "seconds": 60 }), 404),
        (Route::TestRule, "full", json!({ "from": 0, "to": 20 }), 404),
        (Route::ShowAlertEvent, "", Value::Null, 404),
        (Route::ShowChannel, "kept", Value::Null, 404),
        (Route::DeleteChannel, "hooks", Value::Null, 404),
        (Route::TestChannel, "kept", Value::Null, 404),
        (Route::EnableChannel, "kept", Value::Null, 404),
        (Route::ConfirmChannel, "kept", Value::Null, 404),
        // What is not seen is made, and then its name is taken.
        (Route::SaveRule, "full", full("full"), 409),
        (Route::SaveChannel, "kept", email, 409),
    ];
    for (route, name, body, expected) in looks {
        let (status, answer) = about(&stage, &writer, route, name, &body).await;
        assert_eq!(status, expected, "{}: {answer}", route.key());
    }
}
