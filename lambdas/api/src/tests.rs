//! What the shell reads of an event, for every shape that is documented and for ten thousand that are not.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 6] = [
    "direct_fire_trigger",
    "direct_run_job",
    "direct_run_job_bare",
    "http_fire_trigger",
    "http_run_job",
    "http_unauthenticated",
];

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../events-fixtures/api/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn order(event: Value) -> Result<Order, ApiError> {
    if http::is_http(&event) {
        return Order::of_http(&HttpCall::of(event)?);
    }
    Order::of_direct(event, &Invocation { request_id: "r-1".to_owned() })
}

#[test]
fn every_documented_event_is_read() {
    let fire = Action::FireTrigger { trigger: "orders".to_owned() };
    let run = Action::RunJob { job: "heartbeat".to_owned() };
    let (direct, ann) = ("direct invoke r-1", "arn:aws:iam::123456789012:user/ann");
    let table = [
        ("direct_fire_trigger", &fire, json!({ "block": 7 }), true, direct),
        ("direct_run_job", &run, json!({ "steps": 2 }), true, direct),
        ("direct_run_job_bare", &run, json!({}), false, direct),
        ("http_fire_trigger", &fire, json!({ "block": 7 }), true, ann),
        ("http_run_job", &run, json!({ "steps": 2 }), true, ann),
    ];
    for (name, action, input, has_key, actor) in table {
        let expected = Order {
            org: "default".to_owned(),
            action: action.clone(),
            input,
            idempotency_key: has_key.then(|| "2026-11-26-1".to_owned()),
            actor: actor.to_owned(),
        };
        assert_eq!(order(fixture(name)).unwrap(), expected, "{name}");
    }
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
    let table = [
        (fixture("http_unauthenticated"), 401, "access.unauthenticated"),
        (changed("http_run_job", "/requestContext/authorizer/iam/userArn", json!("")), 401, "access.unauthenticated"),
        (changed("http_run_job", "/requestContext/routeKey", json!("POST /v1/query")), 404, "api.no_route"),
        (changed("http_run_job", "/pathParameters", json!({})), 404, "api.no_route"),
        (changed("http_run_job", "/body", json!("{")), 400, "api.malformed_request"),
        (changed("http_run_job", "/body", json!("[]")), 400, "api.malformed_request"),
        (changed("http_run_job", "/body", json!("{\"x\":1}")), 400, "api.malformed_request"),
        (changed("http_run_job", "/body", json!(" ".repeat(300_000))), 413, "api.too_large"),
        (changed("http_run_job", "/isBase64Encoded", json!(true)), 400, "event.body_not_base64"),
        (changed("http_run_job", "/requestContext", json!(1)), 400, "event.malformed"),
        (changed("direct_run_job", "/version", json!(2)), 400, "api.unknown_version"),
        (changed("direct_run_job", "/action", json!("delete_job")), 400, "api.malformed_request"),
        (changed("direct_run_job", "/input", json!([])), 400, "api.malformed_request"),
        (with_field(json!("somebody else")), 400, "api.malformed_request"),
        (json!({}), 400, "api.malformed_request"),
        (json!([]), 400, "api.malformed_request"),
    ];
    for (event, status, code) in table {
        let error = order(event.clone()).expect_err(&event.to_string());
        assert_eq!(error.code(), code, "{event}");
        assert_eq!(error.answer().status, status, "{event}");
    }
}

#[test]
fn a_body_may_be_left_out() {
    let mut event = fixture("http_run_job");
    event.as_object_mut().unwrap().remove("body");
    assert_eq!(order(event).unwrap().input, json!({}));
}

#[test]
fn both_doors_give_the_same_answer() {
    let fired = |is_new| Ok(FiredByHand { event_id: isotherm_types::EventId(7), is_new });
    assert_eq!(direct_answer(fired(true)), json!({ "event_id": 7, "new": true }));
    assert_eq!(http_answer(fired(true)), HttpAnswer::new(202, json!({ "event_id": 7, "new": true })));
    assert_eq!(http_answer(fired(false)), HttpAnswer::new(200, json!({ "event_id": 7, "new": false })));
    let error = || Err(ApiError::NoRoute);
    let said = json!({ "code": "api.no_route", "message": "there is nothing here" });
    assert_eq!(direct_answer(error()), json!({ "error": said }));
    assert_eq!(http_answer(error()), HttpAnswer::new(404, said));
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
    fn no_event_makes_it_panic_and_none_without_a_caller_passes_the_http_door(event in damaged()) {
        let is_http = http::is_http(&event);
        let caller = event.pointer("/requestContext/authorizer/iam/userArn").cloned();
        match order(event) {
            Ok(order) if is_http => prop_assert_eq!(Some(Value::from(order.actor)), caller),
            Ok(order) => prop_assert_eq!(order.actor, "direct invoke r-1"),
            Err(error) => prop_assert!((400..500).contains(&error.answer().status)),
        }
    }
}
