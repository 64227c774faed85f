//! Channels by the API: whose they are, who sees where they lead, and where they may lead.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use isotherm_access::Role;
use isotherm_alerts::deliveries::{self, Capacity};
use isotherm_alerts::message::{Message, NoticeContent};
use isotherm_control::jobs;
use isotherm_outbound::{Client, Options, Resolver};
use isotherm_types::OrgId;
use lambda_api::Route;
use serde_json::{Value, json};

use crate::access::call;
use crate::stage::Stage;

const SECRET_URL: &str = "http://127.0.0.1:9/hidden-path";

async fn stage() -> (Stage, OrgId) {
    let stage = Stage::new().await;
    let mut conn = stage.pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    (stage, org)
}

async fn about(stage: &Stage, who: &str, route: Route, name: &str, body: &Value) -> (u64, Value) {
    let mut event = call(route, Some(who), body, 0);
    event["pathParameters"]["name"] = json!(name);
    stage.http(event).await
}

#[tokio::test]
async fn an_address_is_seen_by_its_owner_and_admins_only_and_the_trail_says_by_whom() {
    let (stage, org) = stage().await;
    let (_, owner) = stage.logged_in(org, "owner", Role::Writer).await;
    let (_, other) = stage.logged_in(org, "other", Role::Writer).await;
    let (_, reader) = stage.logged_in(org, "reader", Role::Reader).await;
    let (_, admin) = stage.logged_in(org, "admin", Role::Admin).await;
    let webhook = json!({ "name": "hooks", "address": { "kind": "webhook", "url": SECRET_URL } });
    let (status, made) = about(&stage, &owner, Route::CreateChannel, "", &webhook).await;
    assert_eq!((status, &made["state"], &made["per_minute"]), (201, &json!("active"), &json!(60)), "{made}");
    let key = made["address"]["keys"][0].as_str().unwrap().to_owned();
    assert!(key.starts_with("whsec_"), "a key is made, and told who made the channel");
    assert_eq!(
        about(&stage, &owner, Route::CreateChannel, "", &webhook).await.1["code"],
        json!("alerts.channel_exists")
    );

    for (who, sees) in [(&owner, true), (&other, false), (&reader, false), (&admin, true)] {
        let (status, shown) = about(&stage, who, Route::ShowChannel, "hooks", &Value::Null).await;
        let address = if sees { json!({ "kind": "webhook", "url": SECRET_URL, "keys": [key] }) } else { Value::Null };
        assert_eq!((status, &shown["address"]), (200, &address), "{shown}");
    }
    let (_, listed) = about(&stage, &admin, Route::ListChannels, "", &Value::Null).await;
    assert!(!listed.to_string().contains("hidden-path"), "a list shows none to anybody: {listed}");
    let read: Vec<String> = sqlx::query_scalar(
        "SELECT actor FROM control.audit_log WHERE subject = 'channel' AND action = 'address_read' ORDER BY id",
    )
    .fetch_all(&stage.pool)
    .await
    .unwrap();
    assert_eq!(read, ["user:owner", "user:owner", "user:admin"], "the maker is told it too");
    let sealed: Vec<u8> =
        sqlx::query_scalar("SELECT sealed_address FROM alerts.channels").fetch_one(&stage.pool).await.unwrap();
    assert!(!String::from_utf8_lossy(&sealed).contains("hidden-path"));
}

#[tokio::test]
async fn a_channel_is_its_owners_and_admins_to_change() {
    let (stage, org) = stage().await;
    let (_, owner) = stage.logged_in(org, "owner", Role::Writer).await;
    let (_, other) = stage.logged_in(org, "other", Role::Writer).await;
    let (_, admin) = stage.logged_in(org, "admin", Role::Admin).await;
    let email = json!({ "address": { "kind": "email", "to": "ann@example.org" } });
    assert_eq!(about(&stage, &owner, Route::SaveChannel, "ann", &email).await.0, 201);
    for route in
        [Route::SaveChannel, Route::TestChannel, Route::EnableChannel, Route::ConfirmChannel, Route::DeleteChannel]
    {
        let body = if route == Route::SaveChannel { email.clone() } else { Value::Null };
        let (status, refused) = about(&stage, &other, route, "ann", &body).await;
        assert_eq!((status, &refused["code"]), (403, &json!("access.forbidden")), "{}", route.key());
        assert!(refused["message"].as_str().unwrap().contains("manage_others_channels"), "{refused}");
    }
    let slower = about(&stage, &admin, Route::SaveChannel, "ann", &json!({ "per_minute": 5 })).await;
    assert_eq!((slower.0, &slower.1["per_minute"]), (200, &json!(5)));
    assert_eq!(slower.1["address"]["to"], json!("ann@example.org"), "what is left out stays");
    let (status, refused) = about(
        &stage,
        &owner,
        Route::SaveChannel,
        "ann",
        &json!({ "address": { "kind": "sms", "number": "+15551234567" } }),
    )
    .await;
    assert_eq!((status, &refused["faults"][0]["field"]), (422, &json!("address.kind")), "{refused}");

    let confirmed = "UPDATE alerts.channels SET confirmed_at = now()";
    sqlx::query(confirmed).execute(&stage.pool).await.unwrap();
    let (status, queued) = about(&stage, &owner, Route::TestChannel, "ann", &Value::Null).await;
    assert!(status == 202 && queued["delivery_id"].is_string(), "{queued}");
    let disable = "UPDATE alerts.channels SET state = 'disabled', disabled_reason = 'alerts.failing'";
    sqlx::query(disable).execute(&stage.pool).await.unwrap();
    let (status, refused) = about(&stage, &owner, Route::TestChannel, "ann", &Value::Null).await;
    assert_eq!((status, &refused["code"]), (409, &json!("alerts.channel_not_active")));
    let (_, enabled) = about(&stage, &owner, Route::EnableChannel, "ann", &Value::Null).await;
    assert_eq!((&enabled["state"], &enabled["disabled_reason"]), (&json!("active"), &Value::Null));

    assert_eq!(about(&stage, &owner, Route::DeleteChannel, "ann", &Value::Null).await.0, 200);
    assert_eq!(about(&stage, &owner, Route::ShowChannel, "ann", &Value::Null).await.0, 404);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM alerts.channels WHERE sealed_address IS NOT NULL")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(left, 0, "the address is gone for good");
}

#[tokio::test]
async fn a_channel_leads_to_no_place_inside_and_an_answer_names_the_field() {
    let (stage, org) = stage().await;
    let (_, writer) = stage.logged_in(org, "writer", Role::Writer).await;
    let webhook = |url: &str| json!({ "kind": "webhook", "url": url });
    let table = [
        (webhook("https://10.0.0.1/"), "outbound.not_public", "address.url"),
        (webhook("https://169.254.169.254/latest/meta-data"), "outbound.not_public", "address.url"),
        (webhook("https://0x7f.1/"), "outbound.not_public", "address.url"),
        (webhook("https://ann:hidden@8.8.8.8/"), "outbound.bad_url", "address.url"),
        (webhook("http://8.8.8.8/"), "outbound.bad_url", "address.url"),
        (webhook("https://intranet/"), "outbound.bad_url", "address.url"),
        (webhook("ftp://8.8.8.8/"), "alerts.bad_channel", "address.url"),
        (json!({ "kind": "email", "to": "ann" }), "alerts.bad_channel", "address.to"),
        (json!({ "kind": "sms", "number": "5551234567" }), "alerts.bad_channel", "address.number"),
        (json!({ "kind": "slack", "token": "xoxb-hidden", "channel": "C0" }), "alerts.bad_channel", "address.token"),
        (json!({ "kind": "pigeon", "token": "hidden" }), "alerts.bad_channel", "address"),
        (json!({ "kind": "slack", "token": ["hidden"], "channel": "C0" }), "alerts.bad_channel", "address"),
    ];
    for (address, code, field) in table {
        let body = json!({ "address": address });
        let (status, refused) = about(&stage, &writer, Route::SaveChannel, "new", &body).await;
        assert_eq!((status, &refused["code"]), (422, &json!(code)), "{body}: {refused}");
        assert_eq!(refused["faults"][0]["field"], json!(field), "{body}: {refused}");
        assert!(!refused.to_string().contains("hidden"), "nothing of it is said again: {refused}");
    }
    let (status, missing) = about(&stage, &writer, Route::SaveChannel, "new", &json!({})).await;
    assert_eq!((status, &missing["faults"][0]["field"]), (422, &json!("address")));
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM alerts.channels").fetch_one(&stage.pool).await.unwrap();
    assert_eq!(stored, 0);
}

/// A network that knows one name, which leads inside.
struct Inside;

impl Resolver for Inside {
    fn resolve<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let found = match name {
            "database.prod.example.com" => Ok(vec![IpAddr::from([10, 0, 0, 7])]),
            _ => Err(io::Error::other("no such host")),
        };
        Box::pin(std::future::ready(found))
    }
}

#[tokio::test]
async fn whether_a_name_is_known_inside_is_told_to_nobody() {
    let (mut stage, org) = stage().await;
    stage.api.outbound = Client::new(Options { resolver: Arc::new(Inside), ..Options::default() }).unwrap();
    let (_, writer) = stage.logged_in(org, "writer", Role::Writer).await;
    let mut answers = Vec::new();
    for host in ["database.prod.example.com", "nothing.prod.example.com"] {
        let body = json!({ "address": { "kind": "webhook", "url": format!("https://{host}/") } });
        answers.push(about(&stage, &writer, Route::SaveChannel, "new", &body).await);
    }
    assert_eq!((answers[0].0, &answers[0].1["code"]), (422, &json!("outbound.leads_nowhere")));
    assert_eq!(answers[0], answers[1], "word for word");
}

/// The code that the sender is about to send.
async fn code_on_its_way(stage: &Stage) -> String {
    let mut conn = stage.pool.acquire().await.unwrap();
    let (room, most) = (100, 100);
    let capacity = Capacity {
        room,
        per_channel: most,
        per_doubtful_channel: most,
        per_org: most,
        lease: Duration::from_secs(60),
        ..Capacity::default()
    };
    let mut claim = deliveries::claim(&mut conn, &capacity).await.unwrap();
    assert_eq!(claim.messages.len(), 1, "{claim:?}");
    match claim.messages.remove(0).message {
        Message::Notice(NoticeContent::ChannelCode { code: Some(code), .. }) => code.expose(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_mailbox_is_told_nothing_until_its_code_comes_back() {
    let (stage, org) = stage().await;
    let (_, owner) = stage.logged_in(org, "owner", Role::Writer).await;
    let ask = async |route, body: Value| about(&stage, &owner, route, "ann", &body).await;
    let mailbox = |to: &str| json!({ "address": { "kind": "email", "to": to } });
    let (status, made) = ask(Route::SaveChannel, mailbox("ann@example.org")).await;
    assert_eq!((status, &made["state"], &made["confirmed_at"]), (201, &json!("unconfirmed"), &Value::Null), "{made}");
    let (status, refused) = ask(Route::TestChannel, Value::Null).await;
    assert_eq!((status, &refused["code"]), (409, &json!("alerts.channel_unconfirmed")));
    let (status, soon) = ask(Route::ConfirmChannel, json!({})).await;
    assert_eq!((status, &soon["code"]), (409, &json!("alerts.too_many_codes")), "one was just asked for");
    let told = "SELECT count(*) FROM control.events WHERE kind = 'alerts_recorded'";
    let told: i64 = sqlx::query_scalar(told).fetch_one(&stage.pool).await.unwrap();
    assert_eq!(told, 1, "the sender is told at once");

    let code = code_on_its_way(&stage).await;
    let (status, wrong) = ask(Route::ConfirmChannel, json!({ "code": "00000-00000" })).await;
    assert_eq!(
        (status, &wrong["code"], &wrong["faults"][0]["field"]),
        (422, &json!("alerts.wrong_code"), &json!("code"))
    );
    let (status, confirmed) = ask(Route::ConfirmChannel, json!({ "code": code.to_lowercase() })).await;
    assert_eq!((status, &confirmed["state"]), (200, &json!("active")), "{confirmed}");
    assert_eq!(ask(Route::TestChannel, Value::Null).await.0, 202);
    let (_, same) = ask(Route::SaveChannel, mailbox("ann@example.org")).await;
    assert_eq!(same["state"], json!("active"));
    let (_, other) = ask(Route::SaveChannel, mailbox("eve@example.org")).await;
    assert_eq!(other["state"], json!("unconfirmed"), "nobody asked this one");
    let later = "UPDATE alerts.channel_codes SET requested_at = requested_at - interval '2 minutes'";
    sqlx::query(later).execute(&stage.pool).await.unwrap();
    let (status, again) = ask(Route::ConfirmChannel, Value::Null).await;
    assert!(status == 202 && again["delivery_id"].is_string(), "another code: {again}");
}
