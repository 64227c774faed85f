//! What the shell reads of an event, for every shape that is documented and for ten thousand that are not.

use isotherm_access::users::UserChange;
use isotherm_access::{Role, UserId};
use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::ConfirmationCode;
use isotherm_alerts::definition::Definition;
use isotherm_alerts::listing::AlertFilter;
use isotherm_control::task::TaskState;
use isotherm_control::tasks::TaskPage;
use isotherm_control::triggers::FiredByHand;
use isotherm_platform::lambda::http::HttpAnswer;
use isotherm_types::{BlockNumber, BlockRange, TaskId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const NAMES: [&str; 19] = [
    "direct_fire_trigger",
    "direct_run_job",
    "direct_run_job_bare",
    "http_fire_trigger",
    "http_run_job",
    "http_unauthenticated",
    "http_whoami",
    "http_list_users",
    "http_add_user",
    "http_change_user",
    "http_list_tasks",
    "http_save_rule",
    "http_test_rule",
    "http_mute_rule",
    "http_list_alert_events",
    "http_create_channel",
    "http_confirm_channel",
    "http_list_deliveries",
    "http_replay_delivery",
];

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../events-fixtures/api/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn large() -> String {
    "large-transfers".to_owned()
}

/// The rule that is saved, as its file has it.
fn rule() -> Definition {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events-fixtures/api/http_save_rule.json");
    let event: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    body["name"] = json!(large());
    Definition::parse(&body).unwrap()
}

/// The message that is sent again.
const REPLAYED: u128 = 0x5f0c_7a52_6e1d_4a3b_9f10_2b7d_4c1e_8a90;

/// What is asked for, and for which organisation if the event says.
fn request(event: Value) -> Result<(Request, Option<String>), ApiError> {
    if !http::is_http(&event) {
        return Request::of_direct(event).map(|(request, org)| (request, Some(org)));
    }
    let call = HttpCall::of(event)?;
    let route = Route::of(&call.route_key).ok_or(ApiError::NoRoute)?;
    Ok((Request::of_http(route, &call)?, None))
}

#[test]
fn every_documented_event_is_read() {
    let order = |action, input, has_key: bool| {
        Request::Fire(Order { action, input, idempotency_key: has_key.then(|| "2026-11-26-1".to_owned()) })
    };
    let fire = || Action::FireTrigger { trigger: "orders".to_owned() };
    let run = || Action::RunJob { job: "heartbeat".to_owned() };
    let bob = AddUser { issuer: None, subject: "bob".to_owned(), name: Some("Bob".to_owned()), role: Role::Writer };
    let shut_out = UserChange { role: Some(Role::Reader), active: Some(false) };
    let page = TaskPage { state: Some(TaskState::Failed), before: Some(TaskId(90)), limit: 20 };
    let blocks = BlockRange::new(BlockNumber(100), BlockNumber(200)).ok();
    let test = TestOrder { name: large(), blocks, definition: None };
    let sent = AlertFilter { rule: Some(large()), state: Some("sent"), before: None, limit: 20 };
    let url = "https://hooks.example.com/alerts".to_owned();
    let hooks = WantedChannel { address: Some(Address::Webhook { url, keys: Vec::new() }), per_minute: Some(10) };
    let code = Some(ConfirmationCode::parse("4TK9Q-Z0M2A").unwrap());
    let confirm = ChannelRequest::Confirm { name: "ann".to_owned(), code };
    let failed =
        DeliveryPage { channel: Some("hooks".to_owned()), state: Some("failed"), limit: 50, ..DeliveryPage::default() };
    let table = [
        ("direct_fire_trigger", order(fire(), json!({ "block": 7 }), true)),
        ("direct_run_job", order(run(), json!({ "steps": 2 }), true)),
        ("direct_run_job_bare", order(run(), json!({}), false)),
        ("http_fire_trigger", order(fire(), json!({ "block": 7 }), true)),
        ("http_run_job", order(run(), json!({ "steps": 2 }), true)),
        ("http_unauthenticated", order(run(), json!({}), false)),
        ("http_whoami", Request::WhoAmI),
        ("http_list_users", Request::ListUsers { before: None, limit: 50 }),
        ("http_add_user", Request::AddUser(bob)),
        ("http_change_user", Request::ChangeUser { user: UserId(2), change: shut_out }),
        ("http_list_tasks", Request::ListTasks(page)),
        ("http_save_rule", Request::Alerts(AlertRequest::SaveRule(Box::new(rule())))),
        ("http_test_rule", Request::Alerts(AlertRequest::TestRule(test))),
        ("http_mute_rule", Request::Alerts(AlertRequest::MuteRule { name: large(), seconds: 3600 })),
        ("http_list_alert_events", Request::Alerts(AlertRequest::ListEvents(sent))),
        ("http_create_channel", Request::Channels(ChannelRequest::Create { name: "hooks".to_owned(), wanted: hooks })),
        ("http_confirm_channel", Request::Channels(confirm)),
        ("http_list_deliveries", Request::Alerts(AlertRequest::ListDeliveries(failed))),
        ("http_replay_delivery", Request::Alerts(AlertRequest::Replay { id: Uuid::from_u128(REPLAYED) })),
    ];
    assert_eq!(table.len(), NAMES.len());
    for (name, expected) in table {
        let (read, org) = request(fixture(name)).unwrap();
        assert_eq!(read, expected, "{name}");
        assert_eq!(org, name.starts_with("direct").then(|| "default".to_owned()), "{name}");
    }
}

#[test]
fn the_routes_are_those_of_the_stack_file() {
    let path = format!("{}/../../terraform/stack.yaml", env!("CARGO_MANIFEST_DIR"));
    let stack = std::fs::read_to_string(path).unwrap();
    let ours = stack.lines().filter(|line| line.contains("{ function: api"));
    let mut listed: Vec<_> = ours.filter_map(|line| line.trim().split_once(": { ")).map(|(key, _)| key).collect();
    let mut served = Route::ALL.map(Route::key).to_vec();
    served.push(description::ROUTE);
    listed.sort_unstable();
    served.sort_unstable();
    assert_eq!(listed, served);
}

#[test]
fn what_is_not_understood_is_refused_with_a_code() {
    let changed = |name: &str, place: &str, value: Value| {
        let mut event = fixture(name);
        *event.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value;
        event
    };
    let with_field = |value: Value| {
        let mut event = fixture("direct_run_job");
        event["actor"] = value;
        event
    };
    let foreign = r#"{"subject":"b","role":"reader","org":"x"}"#;
    let table = [
        (changed("http_run_job", "/requestContext/routeKey", json!("POST /v1/query")), 404, "api.no_route"),
        (changed("http_run_job", "/pathParameters", json!({})), 404, "api.no_route"),
        (changed("http_run_job", "/body", json!("{")), 400, "api.malformed_request"),
        (changed("http_run_job", "/body", json!("[]")), 400, "api.malformed_request"),
        (changed("http_run_job", "/body", json!("[null]")), 400, "api.malformed_request"),
        (changed("http_add_user", "/body", json!(r#"[null, "b", null, "reader"]"#)), 400, "api.malformed_request"),
        (changed("http_run_job", "/body", json!("{\"x\":1}")), 400, "api.malformed_request"),
        (changed("http_run_job", "/body", json!(" ".repeat(300_000))), 413, "api.too_large"),
        (changed("http_run_job", "/isBase64Encoded", json!(true)), 400, "event.body_not_base64"),
        (changed("http_run_job", "/requestContext", json!(1)), 400, "event.malformed"),
        (changed("http_add_user", "/body", json!("")), 400, "api.malformed_request"),
        (changed("http_add_user", "/body", json!(r#"{"subject":"b","role":"owner"}"#)), 400, "access.bad_field"),
        (changed("http_add_user", "/body", json!(foreign)), 400, "api.malformed_request"),
        (changed("http_change_user", "/pathParameters/id", json!("me")), 400, "api.bad_parameter"),
        (changed("http_change_user", "/body", json!(r#"{"org_id":2}"#)), 400, "api.malformed_request"),
        (changed("http_list_tasks", "/queryStringParameters/limit", json!("0")), 400, "api.bad_parameter"),
        (changed("http_list_tasks", "/queryStringParameters/limit", json!("201")), 400, "api.bad_parameter"),
        (changed("http_list_tasks", "/queryStringParameters/before", json!("x")), 400, "api.bad_parameter"),
        (changed("http_list_tasks", "/queryStringParameters/before", json!("0")), 400, "api.bad_parameter"),
        (changed("http_list_tasks", "/queryStringParameters/state", json!("dead")), 400, "api.bad_parameter"),
        (changed("http_save_rule", "/body", json!("[]")), 400, "api.malformed_request"),
        (changed("http_save_rule", "/body", json!("{}")), 422, "alerts.invalid_rule"),
        (changed("http_save_rule", "/body", json!(r#"{"name":"other"}"#)), 422, "alerts.invalid_rule"),
        (changed("http_test_rule", "/body", json!(r#"{"from":2,"to":2}"#)), 422, "alerts.invalid_rule"),
        (changed("http_test_rule", "/body", json!(r#"{"from":2}"#)), 422, "alerts.invalid_rule"),
        (changed("http_test_rule", "/body", json!(r#"{"to":2}"#)), 422, "alerts.invalid_rule"),
        (changed("http_test_rule", "/body", json!(r#"{"from":"2"}"#)), 400, "api.malformed_request"),
        (changed("http_mute_rule", "/body", json!(r#"{"seconds":-1}"#)), 400, "api.malformed_request"),
        (changed("http_list_alert_events", "/queryStringParameters/state", json!("x")), 400, "api.bad_parameter"),
        (changed("http_list_alert_events", "/queryStringParameters/rule", json!("A")), 400, "api.bad_parameter"),
        (changed("http_create_channel", "/body", json!(r#"{"name":"a","x":1}"#)), 400, "api.malformed_request"),
        (changed("http_create_channel", "/body", json!(r#"{"name":"a","address":{}}"#)), 422, "alerts.bad_channel"),
        (changed("http_confirm_channel", "/body", json!(r#"{"code":"4TK9Q"}"#)), 422, "alerts.bad_channel"),
        (changed("http_confirm_channel", "/body", json!(r#"{"cod":"4TK9Q-Z0M2A"}"#)), 400, "api.malformed_request"),
        (changed("http_replay_delivery", "/pathParameters/id", json!("7")), 400, "api.bad_parameter"),
        (changed("direct_run_job", "/version", json!(2)), 400, "api.unknown_version"),
        (changed("direct_run_job", "/action", json!("delete_job")), 400, "api.malformed_request"),
        (changed("direct_run_job", "/input", json!([])), 400, "api.malformed_request"),
        (with_field(json!("somebody else")), 400, "api.malformed_request"),
        (json!({}), 400, "api.malformed_request"),
        (json!([]), 400, "api.malformed_request"),
    ];
    for (event, status, code) in table {
        let error = request(event.clone()).expect_err(&event.to_string());
        assert_eq!(error.code(), code, "{event}");
        assert_eq!(error.answer().status, status, "{event}");
    }
}

#[test]
fn a_body_may_be_left_out_of_a_firing() {
    let mut event = fixture("http_run_job");
    event.as_object_mut().unwrap().remove("body");
    let (Request::Fire(order), None) = request(event).unwrap() else { panic!("it is a firing by HTTP") };
    assert_eq!(order.input, json!({}));
}

#[test]
fn both_doors_give_the_same_answer() {
    let fired = |is_new| Done::Fired(FiredByHand { event_id: isotherm_types::EventId(7), is_new, trace_id: None });
    assert_eq!(direct_answer(Ok(fired(true))), json!({ "event_id": 7, "new": true }));
    assert_eq!(fired(true).http_answer(), HttpAnswer::new(202, json!({ "event_id": 7, "new": true })));
    assert_eq!(fired(false).http_answer(), HttpAnswer::new(200, json!({ "event_id": 7, "new": false })));
    let said = json!({ "code": "api.no_route", "message": "there is nothing here" });
    assert_eq!(direct_answer(Err(ApiError::NoRoute)), json!({ "error": said }));
    assert_eq!(ApiError::NoRoute.answer(), HttpAnswer::new(404, said));
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,8}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A fixture with one or two of its parts replaced by something.
fn damaged() -> impl Strategy<Value = Value> {
    let places = proptest::sample::select(vec![
        "",
        "/version",
        "/action",
        "/org",
        "/job",
        "/input",
        "/idempotency_key",
        "/headers",
        "/pathParameters",
        "/pathParameters/job",
        "/pathParameters/id",
        "/pathParameters/name",
        "/queryStringParameters",
        "/requestContext",
        "/requestContext/routeKey",
        "/requestContext/authorizer",
        "/requestContext/authorizer/iam",
        "/body",
        "/isBase64Encoded",
    ]);
    let name = proptest::sample::select(NAMES.to_vec());
    (name, proptest::collection::vec((places, anything()), 1..3)).prop_map(|(name, changes)| {
        let mut event = fixture(name);
        for (place, value) in changes {
            if let Some(part) = event.pointer_mut(place) {
                *part = value;
            }
        }
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn no_event_makes_it_panic_and_none_is_the_platforms_fault(event in damaged()) {
        if let Err(error) = request(event) {
            prop_assert!((400..500).contains(&error.answer().status));
        }
    }
}
