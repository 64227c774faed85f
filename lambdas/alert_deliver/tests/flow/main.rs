//! The function against a real Postgres, an AWS emulator and receivers: what each kind of channel gets.

use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::SqsBatchResponse;
use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::{self, ConfirmationCode};
use isotherm_lab::http_faults::{HttpFaults, Reply, Verdict};
use isotherm_lab::webhook_zoo::{Behaviour, Received};
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::telemetry::logged;
use lambda_alert_deliver::{Answer, Worked};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

#[path = "../experiments/stage.rs"]
#[allow(dead_code, reason = "each target uses a part of it")]
mod stage;

use stage::{FROM, NEW_KEY, NO_SLACK, OLD_KEY, Stage};

const NUMBER: &str = "+15551230042";
const NEW_NUMBER: &str = "+15551230043";

fn headers(received: &Received) -> HeaderMap {
    let header = |(name, value): (&String, &String)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    received.headers.iter().filter_map(header).collect()
}

fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_verifies_with_the_new_key_and_the_old_and_its_correction_keeps_the_alerts_id() {
    let mut stage = Stage::new().await;
    let url = stage.zoo.url(Behaviour::Accept);
    let channel = stage.webhook(&url, 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let deliverer = stage.deliverer().await;
    assert_eq!(deliverer.work().await.unwrap().delivered, 1);
    stage.deliver(&alerts, channel, "retracted").await;
    assert_eq!(deliverer.work().await.unwrap().delivered, 1);

    let received = stage.zoo.received(&url);
    assert_eq!(received.len(), 2);
    for received in &received {
        for key in [NEW_KEY, OLD_KEY] {
            Webhook::new(key).unwrap().verify(&received.body, &headers(received)).unwrap();
        }
        assert!(Webhook::new("whsec_AAAA").unwrap().verify(&received.body, &headers(received)).is_err());
    }
    let (fired, retracted) = (body(&received[0]), body(&received[1]));
    assert_eq!((fired["type"].as_str(), retracted["type"].as_str()), (Some("alert.fired"), Some("alert.retracted")));
    assert_eq!(fired["data"]["alert_id"], alerts[0].to_string());
    assert_eq!(fired["data"]["alert_id"], retracted["data"]["alert_id"]);
    assert_ne!(received[0].header("webhook-id"), received[1].header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_names_the_cause_of_each_message_that_arrived_or_did_not() {
    let mut stage = Stage::new().await;
    let (good, bad) = (stage.zoo.url(Behaviour::Accept), stage.zoo.url(Behaviour::FailFirst(1)));
    for url in [&good, &bad] {
        let channel = stage.webhook(url, 60).await;
        stage.fire(1, &[channel]).await;
    }
    let deliverer = stage.deliverer().await;
    let (worked, lines) = logged(deliverer.work()).await;
    assert_eq!(worked.unwrap().attempts, 2);

    let rows: Vec<(String, String)> = sqlx::query_as("SELECT state, trace_id FROM alerts.deliveries ORDER BY state")
        .fetch_all(&deliverer.pool)
        .await
        .unwrap();
    let told = |message: &str| {
        let line = lines.iter().find(|line| line["message"] == message).expect("it was logged");
        line["trace.id"].as_str().expect("it names a trace").to_owned()
    };
    let expected = [
        ("delivered".to_owned(), told("a message was delivered")),
        ("queued".to_owned(), told("a message was not accepted")),
    ];
    assert_eq!(rows, expected);
    assert_ne!(rows[0].1, rows[1].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_has_the_same_id_and_body_and_a_fresh_signature() {
    let mut stage = Stage::new().await;
    let url = stage.zoo.url(Behaviour::FailFirst(1));
    let channel = stage.webhook(&url, 60).await;
    stage.fire(1, &[channel]).await;
    let deliverer = stage.deliverer().await;
    let worked = deliverer.work().await.unwrap();
    assert_eq!((worked.attempts, worked.delivered), (1, 0));
    assert_eq!(deliverer.work().await.unwrap(), Worked::default(), "it is not due");
    stage.pass(std::time::Duration::from_secs(6)).await;
    assert_eq!(deliverer.work().await.unwrap().delivered, 1);
    let received = stage.zoo.received(&url);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_email_arrives_as_text_and_html_and_its_correction_in_its_thread() {
    let mut stage = Stage::new().await;
    // What the emulator does not keep of an email is seen on the way.
    let seen = Arc::new(Mutex::new(Vec::<Value>::new()));
    let noting = Arc::clone(&seen);
    let proxy = HttpFaults::start(&stage.endpoint, move |call| {
        if call.path().ends_with("/outbound-emails") {
            noting.lock().unwrap().push(call.body.clone());
        }
        Verdict::Pass
    });
    let proxy = proxy.await.unwrap();
    let channel = stage.channel(Address::Email { to: "ann@example.org".to_owned() }, 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let deliverer = stage.deliverer_at(&proxy.endpoint_url(), NO_SLACK).await;
    assert_eq!(deliverer.work().await.unwrap().delivered, 1);
    stage.deliver(&alerts, channel, "retracted").await;
    assert_eq!(deliverer.work().await.unwrap().delivered, 1);

    let page = stage.inspect("ses/messages").await;
    let messages = page["messages"][&stage.account].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!((messages[0]["Source"].as_str(), &messages[0]["To"]), (Some(FROM), &json!(["ann@example.org"])));
    assert_eq!(messages[0]["Subject"], "[warning] large: Transfer 1");
    assert_eq!(messages[1]["Subject"], "Re: [warning] large: Transfer 1");
    assert!(messages[0]["BodyText"].as_str().unwrap().contains("of token 7"));
    assert!(messages[0]["BodyHtml"].as_str().unwrap().contains("<p>of token 7</p>"));

    let seen = seen.lock().unwrap();
    let headers = |email: &Value| email["Content"]["Simple"]["Headers"].clone();
    assert_eq!(headers(&seen[0]), Value::Null);
    let original = format!("<{}>", messages[0]["MessageId"].as_str().unwrap());
    let expected = json!([{ "Name": "In-Reply-To", "Value": original }, { "Name": "References", "Value": original }]);
    assert_eq!(headers(&seen[1]), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_message_arrives_in_one_part() {
    let mut stage = Stage::new().await;
    let channel = stage.channel(Address::Sms { number: NUMBER.to_owned() }, 60).await;
    stage.fire(1, &[channel]).await;
    assert_eq!(stage.deliverer().await.work().await.unwrap().delivered, 1);
    let page = stage.inspect("sns/sms-messages").await;
    let messages = page["sms_messages"][NUMBER].as_array().unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["Message"], "WARNING large demo block 1: Transfer 1");
}

/// The only code in a text: ten letters and digits, parted in the middle.
fn code_in(text: &str) -> ConfirmationCode {
    let words = text.split(|letter: char| letter != '-' && !letter.is_ascii_alphanumeric());
    let codes: Vec<_> = words.filter(|word| word.len() == 11 && word.as_bytes()[5] == b'-').collect();
    let [code] = codes.as_slice() else { panic!("{text}: {codes:?}") };
    ConfirmationCode::parse(code).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_mailbox_and_a_new_telephone_get_a_code_and_alerts_once_it_has_come_back() {
    let mut stage = Stage::new().await;
    let mailbox = stage.unconfirmed(Address::Email { to: "ann@example.org".to_owned() }, 60).await;
    let telephone = stage.unconfirmed(Address::Sms { number: NEW_NUMBER.to_owned() }, 60).await;
    stage.fire(1, &[mailbox, telephone]).await;
    let deliverer = stage.deliverer().await;
    let worked = deliverer.work().await.unwrap();
    assert_eq!((worked.delivered, worked.cancelled), (2, 2), "the codes, and no alert");

    let emails = stage.inspect("ses/messages").await["messages"][&stage.account].clone();
    let texts = stage.inspect("sns/sms-messages").await["sms_messages"][NEW_NUMBER].clone();
    let of_mailbox = code_in(emails[0]["BodyText"].as_str().unwrap());
    let of_telephone = code_in(texts[0]["Message"].as_str().unwrap());
    for (channel, code) in [(mailbox, of_mailbox), (telephone, of_telephone)] {
        let confirmed = channels::confirm(&mut stage.conn, stage.org, channel, &code, "ann").await.unwrap();
        assert_eq!(confirmed.state(), "active");
    }
    stage.fire(1, &[mailbox, telephone]).await;
    let worked = deliverer.work().await.unwrap();
    assert_eq!((worked.delivered, worked.cancelled), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_slack_has_its_token_and_its_correction_its_thread() {
    let mut stage = Stage::new().await;
    let seen = Arc::new(Mutex::new(Vec::<(String, Option<String>, Value)>::new()));
    let noting = Arc::clone(&seen);
    // Slack itself: it has nothing to pass calls on to.
    let slack = HttpFaults::start("http://127.0.0.1:1", move |call| {
        let authorization = call.header("authorization").map(str::to_owned);
        noting.lock().unwrap().push((call.path().to_owned(), authorization, call.body.clone()));
        let message = json!({ "ok": true, "channel": "C0123456789", "ts": "1503435956.000247", "message": call.body });
        Verdict::Answer(Reply { status: 200, body: message })
    });
    let slack = slack.await.unwrap();
    let address = Address::Slack { token: "xoxb-1234-abcdEFGH".to_owned(), channel: "C0123456789".to_owned() };
    let channel = stage.channel(address, 60).await;
    let alerts = stage.fire(1, &[channel]).await;
    let deliverer = stage.deliverer_at(&stage.endpoint, &format!("{}/api", slack.endpoint_url())).await;
    assert_eq!(deliverer.work().await.unwrap().delivered, 1);
    stage.deliver(&alerts, channel, "retracted").await;
    assert_eq!(deliverer.work().await.unwrap().delivered, 1);
    let seen = seen.lock().unwrap();
    let (path, authorization, first) = &seen[0];
    assert_eq!((path.as_str(), authorization.as_deref()), ("/api/chat.postMessage", Some("Bearer xoxb-1234-abcdEFGH")));
    assert_eq!((first["channel"].as_str(), &first["thread_ts"]), (Some("C0123456789"), &Value::Null));
    assert!(first["blocks"].as_array().is_some_and(|blocks| !blocks.is_empty()));
    assert_eq!(seen[1].2["thread_ts"], "1503435956.000247");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_up_sends_and_one_that_cannot_be_read_fails_alone() {
    let mut stage = Stage::new().await;
    let url = stage.zoo.url(Behaviour::Accept);
    let channel = stage.webhook(&url, 60).await;
    stage.fire(1, &[channel]).await;
    let record =
        |id: &str, body: &str| json!({ "messageId": id, "body": body, "attributes": { "MessageGroupId": id } });
    let good = json!({ "version": 1, "event_id": 1 }).to_string();
    let event = json!({ "Records": [record("good", &good), record("bad", "{")] });
    let event: BatchOrSweep = serde_json::from_value(event).unwrap();
    let deliverer = stage.deliverer().await;
    let Answer::Batch(SqsBatchResponse { batch_item_failures, .. }) = deliverer.handle(event).await.unwrap() else {
        panic!("a batch is answered as one");
    };
    let failed: Vec<_> = batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    assert_eq!(failed, ["bad"]);
    assert_eq!(stage.zoo.count(&url), 1);
    let Answer::Swept(worked) = deliverer.handle(BatchOrSweep::Sweep).await.unwrap() else {
        panic!("a sweep is answered as one");
    };
    assert_eq!(worked, Worked::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_opened_keeps_nobody_else_waiting() {
    let mut stage = Stage::new().await;
    let url = stage.zoo.url(Behaviour::Accept);
    let (good, broken) = (stage.webhook(&url, 60).await, stage.webhook(&url, 60).await);
    stage.run(format!("UPDATE alerts.channels SET sealed_address = '\\x0102' WHERE id = {}", broken.0)).await;
    stage.fire(1, &[good, broken]).await;
    let worked = stage.deliverer().await.work().await.unwrap();
    assert_eq!((worked.attempts, worked.delivered), (2, 1));
    let told = "SELECT count(*) FROM alerts.deliveries WHERE state = 'queued' AND last_error_code LIKE 'alerts.%'";
    assert_eq!(stage.count(told).await, 1);
}
