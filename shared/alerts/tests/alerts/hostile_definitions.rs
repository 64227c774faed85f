//! Definitions that are wrong, by slip or on purpose: each is refused with its field, and where it is a text, with the place in it.

use isotherm_alerts::definition::{Definition, FieldErrors};
use isotherm_alerts::index::check;
use serde_json::{Value, json};

/// A good definition that most of the bad ones differ from in one field.
fn good() -> Value {
    json!({
        "name": "large",
        "chain": "monad",
        "channels": ["ops"],
        "source": { "event": "Transfer(address indexed from, address indexed to, uint256 value)" },
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut json = good();
    match field.split_once('.') {
        Some(("source", key)) => json["source"][key] = value,
        _ => json[field] = value,
    }
    json
}

fn from(source: Value) -> Value {
    with("source", source)
}

fn judge(json: &Value) -> Result<(), FieldErrors> {
    check(&Definition::parse(json)?)
}

const TOKEN: &str = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed";
const TOPIC: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// What is wrong with single fields, and the field that is named.
fn of_fields() -> Vec<(Value, &'static str)> {
    let long = |length: usize| Value::String("x".repeat(length));
    vec![
        (json!(null), ""),
        (json!([]), ""),
        (json!("rule"), ""),
        (json!({}), "name"),
        (with("name", json!(null)), "name"),
        (with("name", json!("")), "name"),
        (with("name", json!("Large")), "name"),
        (with("name", json!("-large")), "name"),
        (with("name", json!("a b")), "name"),
        (with("name", json!("a\0")), "name"),
        (with("name", json!(5)), "name"),
        (with("name", long(64)), "name"),
        (with("chain", json!(143)), "chain"),
        (with("chain", json!("Monad")), "chain"),
        (with("chain", json!(null)), "chain"),
        (with("severity", json!("loud")), "severity"),
        (with("severity", json!(1)), "severity"),
        (with("severity", json!("Critical")), "severity"),
        (with("description", long(1001)), "description"),
        (with("description", json!({})), "description"),
        (with("description", json!("a\0b")), "description"),
        (with("channels", json!(null)), "channels"),
        (with("channels", json!([])), "channels"),
        (with("channels", json!({ "ops": true })), "channels"),
        (with("channels", json!(["ops", "ops"])), "channels[1]"),
        (with("channels", json!(["ops", 5])), "channels[1]"),
        (with("channels", json!(["OPS"])), "channels[0]"),
        (with("channels", json!(vec!["a"; 21])), "channels"),
        (with("at", json!("now")), "at"),
        (with("at", json!(12)), "at"),
        (with("confirmations", json!(0)), "confirmations"),
        (with("confirmations", json!(1001)), "confirmations"),
        (with("confirmations", json!(-1)), "confirmations"),
        (with("confirmations", json!(1.5)), "confirmations"),
        (with("confirmations", json!("12")), "confirmations"),
        (
            json!({ "name": "a", "chain": "monad", "channels": ["ops"], "source": { "dataset": "blocks" }, "at": "safe", "confirmations": 3 }),
            "confirmations",
        ),
        (with("cooldown_seconds", json!(604_801)), "cooldown_seconds"),
        (with("cooldown_seconds", json!(-1)), "cooldown_seconds"),
        (with("cooldown_seconds", json!(1e300)), "cooldown_seconds"),
        (with("max_age_seconds", json!(59)), "max_age_seconds"),
        (with("max_age_seconds", json!(u64::MAX)), "max_age_seconds"),
        (with("backfill", json!("yes")), "backfill"),
        (with("backfill", json!(1)), "backfill"),
        (with("condition", json!(true)), "condition"),
        (with("condition", json!("  ")), "condition"),
        (with("condition", long(4097)), "condition"),
        (with("group_by", json!([])), "group_by"),
        (with("message", long(2001)), "message"),
        (with("message", json!("")), "message"),
        (with("email", json!("a@example.org")), "email"),
        (with("Name", json!("large")), "Name"),
        (with("__proto__", json!({})), "__proto__"),
        (with("source", json!(null)), "source"),
        (with("source", json!("logs")), "source"),
    ]
}

/// Sources that are none.
fn of_sources() -> Vec<(Value, &'static str)> {
    let addresses: Vec<String> = (0..1001).map(|number| format!("0x{number:040x}")).collect();
    let topics: Vec<String> = (0..100).map(|number| format!("0x{number:064x}")).collect();
    vec![
        (from(json!({})), "source"),
        (from(json!({ "address": [TOKEN] })), "source"),
        (from(json!({ "dataset": "logs", "event": "A()" })), "source"),
        (from(json!({ "sql": "SELECT 1", "every_seconds": 60, "platform": ["integrity_violated"] })), "source"),
        (from(json!({ "dataset": "events" })), "source.dataset"),
        (from(json!({ "dataset": 5 })), "source.dataset"),
        (from(json!({ "dataset": "blocks", "address": [TOKEN] })), "source.address"),
        (from(json!({ "dataset": "blocks", "topic0": [TOPIC] })), "source.topic0"),
        (from(json!({ "dataset": "logs", "selector": ["0xa9059cbb"] })), "source.selector"),
        (from(json!({ "dataset": "transactions", "topic0": [TOPIC] })), "source.topic0"),
        (from(json!({ "dataset": "logs", "address": [] })), "source.address"),
        (from(json!({ "dataset": "logs", "address": ["0x12"] })), "source.address[0]"),
        (from(json!({ "dataset": "logs", "address": [TOKEN, TOKEN] })), "source.address[1]"),
        (from(json!({ "dataset": "logs", "address": [TOKEN.to_uppercase()] })), "source.address[0]"),
        (
            from(json!({ "dataset": "logs", "address": ["0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"] })),
            "source.address[0]",
        ),
        (from(json!({ "dataset": "logs", "address": { "a": 1 } })), "source.address"),
        (from(json!({ "dataset": "logs", "address": [null] })), "source.address[0]"),
        (from(json!({ "dataset": "logs", "address": addresses })), "source.address"),
        (from(json!({ "dataset": "logs", "address": addresses[..200], "topic0": topics })), "source.address"),
        (from(json!({ "dataset": "logs", "topic0": ["0xddf252ad"] })), "source.topic0[0]"),
        (from(json!({ "dataset": "logs", "topic0": ["Transfer(address,address,uint256)"] })), "source.topic0[0]"),
        (from(json!({ "dataset": "transactions", "selector": ["transfer(address,uint256)"] })), "source.selector[0]"),
        (from(json!({ "dataset": "transactions", "selector": ["0xa9059cbbaa"] })), "source.selector[0]"),
        (from(json!({ "dataset": "logs", "internal": true })), "source.internal"),
        (from(json!({ "event": "A()", "topic0": [TOPIC] })), "source.topic0"),
        (from(json!({ "event": 5 })), "source.event"),
        (from(json!({ "event": "" })), "source.event"),
        (from(json!({ "event": "x".repeat(1025) })), "source.event"),
        (from(json!({ "event": "A()", "internal": true })), "source.internal"),
        (from(json!({ "call": "a()", "internal": "yes" })), "source.internal"),
        (from(json!({ "sql": "SELECT 1" })), "source.every_seconds"),
        (from(json!({ "sql": "SELECT 1", "every_seconds": 59 })), "source.every_seconds"),
        (from(json!({ "sql": "SELECT 1", "every_seconds": 86_401 })), "source.every_seconds"),
        (from(json!({ "sql": "", "every_seconds": 60 })), "source.sql"),
        (from(json!({ "sql": "x".repeat(20_000), "every_seconds": 60 })), "source.sql"),
        (from(json!({ "sql": "SELECT 1", "every_seconds": 60, "address": [TOKEN] })), "source.address"),
        (from(json!({ "platform": [] })), "source.platform"),
        (from(json!({ "platform": ["everything"] })), "source.platform[0]"),
        (from(json!({ "platform": 5 })), "source.platform"),
        (
            json!({ "name": "a", "chain": "monad", "channels": ["ops"], "source": { "platform": ["integrity_violated"] }, "condition": "true" }),
            "condition",
        ),
        (
            json!({ "name": "a", "chain": "monad", "channels": ["ops"], "source": { "sql": "SELECT 1", "every_seconds": 60 }, "condition": "true" }),
            "condition",
        ),
    ]
}

/// Texts that mean nothing: field and text.
const OF_TEXTS: [(&str, &str); 58] = [
    ("source.event", "Transfer"),
    ("source.event", "Transfer(address from"),
    ("source.event", "Transfer(adress from)"),
    ("source.event", "Transfer(uint257 value)"),
    ("source.event", "Transfer(uint256 value) anonymous"),
    ("source.event", "Transfer(uint256 indexed a, uint256 indexed b, uint256 indexed c, uint256 indexed d)"),
    ("source.event", "Transfer(uint256 a, uint256 a)"),
    ("source.event", "Transfer(uint256[999999999] a)"),
    ("source.event", "Transfer(uint256[18446744073709551616] a)"),
    ("source.event", "Transfer(((((((((((((((((((((((((((((((((uint256 a"),
    ("source.event", "Transfer(uint256[][][][][][][][][][] a)"),
    ("source.event", "Transfer(() a)"),
    ("source.event", "event"),
    ("source.event", "💥(uint256 a)"),
    ("condition", "args.value >"),
    ("condition", "args.value > 1 1"),
    ("condition", "args.valeu > 1"),
    ("condition", "value > 1"),
    ("condition", "args.value > '1'"),
    ("condition", "args.value"),
    ("condition", "args.value = 1"),
    ("condition", "args.value > 1.0"),
    ("condition", "args.value > 115792089237316195423570985008687907853269984665640564039457584007913129639935"),
    ("condition", "args.from == 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"),
    ("condition", "args.from == '0x5aaeb6053f3e94c9b9a09f33669435e7ef1bea'"),
    ("condition", "args.from == 'vitalik.eth'"),
    ("condition", "args.from == topic0"),
    ("condition", "args.from > address"),
    ("condition", "args.value > ether(1.5)"),
    ("condition", "args.value > ether('lots')"),
    ("condition", "args.value > units('1', 78)"),
    ("condition", "args.value > units('1.234', 2)"),
    ("condition", "args.value > int('0x10')"),
    ("condition", "args.value > int(address)  && now() > 0"),
    ("condition", "timestamp > '2026-01-01'"),
    ("condition", "string(args.value).matches('(')"),
    ("condition", "string(args.value).matches('(a{999}){999}')"),
    ("condition", "string(args.value).matches(string(address))"),
    ("condition", "args.value in []"),
    ("condition", "args.value in [args.value]"),
    ("condition", "args.exists(x, true)"),
    ("condition", "[1].exists(args, true) && [1].map(x, x)[0] == 1"),
    ("condition", "{'a': 1}.a == 1"),
    ("condition", "google.protobuf.Duration{seconds: 1} == 1"),
    ("condition", "true ? 1 : 2"),
    ("condition", "!!!!"),
    ("condition", "'unterminated"),
    ("condition", "\u{1f4a5}"),
    ("condition", "a.?b == 1"),
    ("condition", "((((((((((((((((((((((((((((((((((((true))))))))))))))))))))))))))))))))))))"),
    ("group_by", "args.value > 1"),
    ("group_by", "timestamp"),
    ("group_by", "args.form"),
    ("message", "{{ args.valeu }}"),
    ("message", "{{ args.value"),
    ("message", "{{ }}"),
    ("message", "{{ args.value + 'a' }}"),
    ("message", "{{ now() }}"),
];

#[test]
fn every_bad_field_is_refused_by_its_name() {
    assert_eq!(judge(&good()), Ok(()));
    let bad = [of_fields(), of_sources()].concat();
    for (json, field) in &bad {
        let errors = judge(json).expect_err(&format!("{json}")).errors;
        assert!(errors.iter().any(|error| error.field == *field), "{field} of {json}: {errors:?}");
        assert!(errors.iter().all(|error| error.message.len() > 5), "{errors:?}");
    }
    assert!(bad.len() + OF_TEXTS.len() >= 150, "{} bad ones", bad.len() + OF_TEXTS.len());
}

#[test]
fn every_bad_text_is_refused_with_the_place_in_it() {
    for (field, text) in OF_TEXTS {
        let errors = judge(&with(field, json!(text))).expect_err(text).errors;
        let error = errors.iter().find(|error| error.field == field).unwrap_or_else(|| panic!("{text}: {errors:?}"));
        let position = error.position.unwrap_or_else(|| panic!("{text}: no place in {error:?}"));
        let (line, column) = (position.line, position.column);
        let length = u32::try_from(text.chars().count()).unwrap();
        assert!(line == 1 && (1..=length + 1).contains(&column), "{text}: {position}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let json = json!({ "name": "A", "channels": "ops", "source": { "event": "A()" }, "at": "now", "x": 1 });
    let errors = judge(&json).unwrap_err().errors;
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["name", "chain", "at", "x"]);
    let texts = json!({
        "name": "a", "chain": "monad", "channels": ["ops"], "source": { "event": "A(uint256 a)" },
        "condition": "b", "group_by": "c", "message": "{{ d }} {{ e }}",
    });
    let errors = judge(&texts).unwrap_err().errors;
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["condition", "group_by", "message", "message"]);
}

#[test]
fn what_was_read_is_written_as_it_can_be_read_again() {
    let definitions = [
        good(),
        with("confirmations", json!(12)),
        from(json!({ "dataset": "logs", "address": TOKEN, "topic0": [TOPIC] })),
        from(json!({ "dataset": "traces", "selector": ["0xa9059cbb"] })),
        from(json!({ "call": "transfer(address to, uint256)", "internal": true })),
        from(json!({ "sql": "SELECT 1", "every_seconds": 60 })),
        from(json!({ "platform": ["integrity_violated"] })),
    ];
    for json in definitions {
        let read = Definition::parse(&json).unwrap();
        assert_eq!(Definition::parse(&read.to_json()).unwrap(), read, "{json}");
        let by_serde: Definition = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
        assert_eq!(by_serde, read);
    }
}

/// JSON of every kind, with the names of a definition's fields now and then.
fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["logs", "ops", "A(uint256 a)", "args.a > 1", "{{ args.a }}", TOKEN, "latest"])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "name",
        "chain",
        "channels",
        "source",
        "dataset",
        "event",
        "call",
        "sql",
        "platform",
        "address",
        "topic0",
        "condition",
        "message",
        "group_by",
        "at",
        "confirmations",
        "severity",
        "x",
    ]);
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..10).prop_map(|entries| Value::Object(
                entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_json_makes_reading_panic_or_linger(json in any_json(), field in "(condition|message|group_by|channels|source|at)") {
        let began = std::time::Instant::now();
        let _ = judge(&json);
        let _ = judge(&with(&field, json));
        proptest::prop_assert!(began.elapsed() < std::time::Duration::from_secs(20));
    }
}
