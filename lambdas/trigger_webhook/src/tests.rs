//! What the shell reads of an event, for every shape that is documented and for ten thousand that are not.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../events-fixtures/trigger_webhook/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_documented_event_is_accepted() {
    for name in ["delivery", "delivery_base64"] {
        let call = HttpCall::of(fixture(name)).unwrap();
        assert_eq!(address(&call), Some(("default", "orders")), "{name}");
        let key = SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let body = call.body().unwrap();
        let sent = "2022-04-07T21:39:13Z".parse().unwrap();
        let delivery = Delivery { headers: &call.headers, body: &body };
        let accepted = webhook::judge(delivery, &key, 300, sent).unwrap();
        assert_eq!(accepted.fire_key(), "delivery-msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "{name}");
    }
}

#[test]
fn another_route_is_no_webhook() {
    let mut event = fixture("delivery");
    event["requestContext"]["routeKey"] = json!("POST /v1/query");
    assert_eq!(address(&HttpCall::of(event).unwrap()), None);
    let mut event = fixture("delivery");
    event["pathParameters"] = json!({ "org": "default" });
    assert_eq!(address(&HttpCall::of(event).unwrap()), None);
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
        "/headers",
        "/headers/webhook-id",
        "/headers/webhook-timestamp",
        "/headers/webhook-signature",
        "/pathParameters",
        "/pathParameters/org",
        "/requestContext",
        "/requestContext/routeKey",
        "/requestContext/http",
        "/body",
        "/isBase64Encoded",
    ]);
    let name = proptest::sample::select(vec!["delivery", "delivery_base64"]);
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
    fn no_event_makes_it_panic(event in damaged()) {
        if let Ok(call) = HttpCall::of(event) {
            let _ = address(&call);
            let _ = check_size(&call, 10);
            if let Ok(body) = call.body() {
                let key = SigningKey::parse("key").unwrap();
                let delivery = Delivery { headers: &call.headers, body: &body };
                prop_assert!(webhook::judge(delivery, &key, 300, SystemClock.now()).is_err());
            }
        }
    }
}
