//! The verdict over deliveries that an independent program signed, and over all that one can get wrong.

use isotherm_types::Classified;
use proptest::prelude::*;
use serde_json::json;
use standardwebhooks::Webhook;

use super::*;
use crate::triggers::WebhookConfig;

/// Key, id, time, body and signature of the reference libraries' own tests.
///
/// **Source**: <https://github.com/standard-webhooks/standard-webhooks>, `libraries/rust/src/lib.rs`, `test_sign`.
const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const SENT: i64 = 1_649_367_553;
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn headers(id: &str, timestamp: &str, signatures: &str) -> BTreeMap<String, String> {
    [(ID_HEADER, id), (TIMESTAMP_HEADER, timestamp), (SIGNATURE_HEADER, signatures)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn judged(headers: &BTreeMap<String, String>, body: &[u8], after_seconds: i64) -> Result<Accepted, &'static str> {
    let now = DateTime::from_timestamp(SENT + after_seconds, 0).unwrap();
    let key = SigningKey::parse(KEY).unwrap();
    judge(Delivery { headers, body }, &key, 300, now).map_err(|refusal| refusal.code())
}

#[test]
fn the_reference_vector_is_accepted() {
    let accepted = judged(&headers(ID, &SENT.to_string(), SIGNATURE), BODY, 0).unwrap();
    assert_eq!((accepted.delivery_id.as_str(), accepted.timestamp.timestamp()), (ID, SENT));
    assert_eq!(accepted.fire_key(), format!("delivery-{ID}"));
}

#[test]
fn a_signature_covers_id_timestamp_and_body() {
    let later = (SENT + 1).to_string();
    let sent = SENT.to_string();
    let changed = [(ID, later.as_str(), BODY), ("msg_2", &sent, BODY), (ID, &sent, b"{}"), (ID, &sent, b"")];
    for (id, timestamp, body) in changed {
        assert_eq!(judged(&headers(id, timestamp, SIGNATURE), body, 0), Err("webhook.bad_signature"));
    }
}

#[test]
fn one_valid_signature_among_several_is_enough_and_a_part_of_one_is_not() {
    let sent = SENT.to_string();
    let other = "v1,R3PTzyfHASBKHH98a7yexTwaJ4yNIcGhFQc1yuN+BPU=";
    let accepted = [format!("{other} {SIGNATURE}"), format!("v1a,x v1,? {SIGNATURE} {other}")];
    for signatures in accepted {
        assert!(judged(&headers(ID, &sent, &signatures), BODY, 0).is_ok(), "{signatures}");
    }
    let refused = ["", " ", "v1", "v1,", "v1,tZ1I4/hD", other, &SIGNATURE.replace("v1,", "v2,"), &SIGNATURE[3..]];
    for signatures in refused {
        let verdict = judged(&headers(ID, &sent, signatures), BODY, 0);
        assert_eq!(verdict, Err("webhook.bad_signature"), "{signatures:?}");
    }
}

#[test]
fn a_timestamp_counts_up_to_the_tolerance_in_both_directions() {
    let ours = headers(ID, &SENT.to_string(), SIGNATURE);
    for (after_seconds, fresh) in [(0, true), (300, true), (-300, true), (301, false), (-301, false), (86_400, false)] {
        let expected = if fresh { Ok(()) } else { Err("webhook.stale_timestamp") };
        assert_eq!(judged(&ours, BODY, after_seconds).map(|_| ()), expected, "{after_seconds}");
    }
    for text in ["", "soon", "-1649367553", "+1649367553", "1649367553.0", " 1649367553", "9999999999999", "1e9"] {
        assert_eq!(judged(&headers(ID, text, SIGNATURE), BODY, 0), Err("webhook.stale_timestamp"), "{text:?}");
    }
}

#[test]
fn header_names_are_read_in_any_case_and_a_missing_one_is_named() {
    let whole = headers(ID, &SENT.to_string(), SIGNATURE);
    let shouted = whole.iter().map(|(name, value)| (name.to_ascii_uppercase(), value.clone())).collect();
    assert!(judged(&shouted, BODY, 0).is_ok());
    for name in [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER] {
        let mut without = whole.clone();
        without.remove(name);
        let key = SigningKey::parse(KEY).unwrap();
        let now = DateTime::from_timestamp(SENT, 0).unwrap();
        let refusal = judge(Delivery { headers: &without, body: BODY }, &key, 300, now).unwrap_err();
        assert_eq!(refusal.to_string(), format!("the header {name} is missing"));
    }
}

#[test]
fn a_delivery_id_is_short_and_has_no_full_stop() {
    for good in ["m", "msg_1", "0191a1b2-0000-7000-8000-000000000000", "a:b", &"x".repeat(128)] {
        assert!(is_delivery_id(good), "{good}");
    }
    for bad in ["", "a.b", "a b", "ä", "a/b", "a\0b", "a\n", &"x".repeat(129)] {
        assert!(!is_delivery_id(bad), "{bad:?}");
        let refused = judged(&headers(bad, &SENT.to_string(), SIGNATURE), BODY, 0);
        assert_eq!(refused, Err("webhook.bad_delivery_id"));
    }
}

#[test]
fn a_key_is_base64_after_its_prefix_and_text_without() {
    assert!(SigningKey::parse("").is_none() && SigningKey::parse("whsec_").is_none());
    assert!(SigningKey::parse("whsec_not base64").is_none());
    let plain = SigningKey::parse("a plain text").unwrap();
    let signed = Webhook::from_bytes(b"a plain text".to_vec()).unwrap().sign(ID, SENT, BODY).unwrap();
    assert!(plain.has_signed(ID, &SENT.to_string(), BODY, &signed));
    assert_eq!(format!("{plain:?}"), "SigningKey");
}

fn config(parameters: &[(&str, &str)]) -> WebhookConfig {
    let parameters: BTreeMap<&str, &str> = parameters.iter().copied().collect();
    serde_json::from_value(json!({ "secret": "isotherm/webhook/x", "parameters": parameters })).unwrap()
}

#[test]
fn parameters_are_taken_from_where_their_pointers_say() {
    let body = br#"{"a":{"b/c":[1,{"d":null}]},"":7,"nul":"\u0000"}"#;
    let table = [
        (config(&[("x", "/a/b~1c/0"), ("y", "/a/b~1c/1/d")]), json!({ "x": 1, "y": null })),
        (config(&[("empty", "/")]), json!({ "empty": 7 })),
        (config(&[("nul", "/nul")]), json!({ "nul": "\u{fffd}" })),
        (config(&[("all", "/a")]), json!({ "all": { "b/c": [1, { "d": null }] } })),
    ];
    for (config, expected) in table {
        assert_eq!(task_input(&config, body).unwrap(), expected);
    }
    assert_eq!(task_input(&config(&[]), b"[1]").unwrap(), json!({ "payload": [1] }));
}

#[test]
fn a_pointer_that_finds_nothing_names_its_parameter() {
    for pointer in ["/b", "/a/2", "a", "/a/-", "/a/01"] {
        let refusal = task_input(&config(&[("block", pointer)]), br#"{"a":[1,2]}"#).unwrap_err();
        assert_eq!(refusal.code(), "webhook.missing_parameter", "{pointer}");
        assert!(refusal.to_string().ends_with("where the parameter block is taken from"), "{refusal}");
    }
    for body in [&b""[..], b"{", b"\xff", b"{} {}", b"nan", b"1e999"] {
        assert_eq!(task_input(&config(&[]), body).unwrap_err().code(), "webhook.not_json", "{body:?}");
    }
}

proptest! {
    /// Signed by the reference library, over whatever ids, times, keys and texts.
    #[test]
    fn what_the_reference_library_signs_is_accepted(
        id in "[A-Za-z0-9_:-]{1,128}",
        sent in 0_i64..999_999_999_999,
        off in -300_i64..=300,
        key in proptest::collection::vec(any::<u8>(), 1..100),
        body in ".*",
    ) {
        let signature = Webhook::from_bytes(key.clone()).unwrap().sign(&id, sent, body.as_bytes()).unwrap();
        let secret = format!("whsec_{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &key));
        let now = DateTime::from_timestamp(sent + off, 0).unwrap();
        let ours = headers(&id, &sent.to_string(), &signature);
        let delivery = Delivery { headers: &ours, body: body.as_bytes() };
        let key = SigningKey::parse(&secret).unwrap();
        prop_assert_eq!(judge(delivery, &key, 300, now).unwrap().delivery_id, id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_comes_in_makes_it_panic_or_is_accepted(
        id in ".{0,20}", timestamp in "[0-9+. -]{0,14}", signatures in "(v1,[A-Za-z0-9+/=]{0,60} ?|.{0,20}){0,4}",
        body in proptest::collection::vec(any::<u8>(), 0..200), pointer in ".{0,12}",
    ) {
        prop_assert!(judged(&headers(&id, &timestamp, &signatures), &body, 0).is_err());
        let _ = task_input(&config(&[("x", &pointer)]), &body);
    }
}
