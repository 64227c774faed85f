//! Definitions of rules that are none: JSON of any shape, and texts in conditions, signatures, messages and groups. Each is
//! refused with its field, under a stable code, at no cost.
//!
//! The door is what saves a rule: [`Definition::parse`], then [`check`], which compiles its texts.

use isotherm_alerts::definition::Definition;
use isotherm_alerts::index::check;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Json, Judge, Refusals, Verdict};
use isotherm_types::{Classified as _, Disposition};
use serde_json::{Value, json};

const TEXTS: [(&str, &[&str]); 5] = [
    (
        "condition",
        &[
            "args.value > units('1000000', 6) && args.from != args.to",
            "args.from in ['0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed'] || !(timestamp > 1700000000)",
            "string(args.value).matches('^1(0+)$') ? log_index == 0 : data.size() > 32",
        ],
    ),
    ("group_by", &["args.from", "address"]),
    ("message", &["{{ args.from }} paid {{ inUnits(args.value, 6) }}", "block {{ block_number }}"]),
    (
        "source.event",
        &["Transfer(address indexed from, address indexed to, uint256 value)", "A((uint256,bytes[])[2] a)"],
    ),
    ("source.call", &["transfer(address to, uint256 amount)", "a((uint8,(bytes32[4],string))[] b)"]),
];

const WORDS: [&str; 30] = [
    "args.",
    "value",
    "(",
    ")",
    "[",
    "]",
    "{{",
    "}}",
    "&&",
    "||",
    "!",
    "? :",
    "==",
    " in ",
    "has(",
    "exists(x, ",
    "matches('(a+)+$')",
    "int('",
    "ether(\"1\")",
    "0x5a",
    "indexed ",
    "uint256",
    "bytes32[",
    "[][]",
    "tuple",
    "((",
    "event ",
    "9223372036854775808",
    ".size()",
    "'",
];

#[test]
fn experiment_malformed_rules() {
    let mut experiment = Experiment::begin("malformed_rules", &["length"]);
    let is_bounded = !experiment.lacks("length");
    let good = definitions();
    for definition in &good {
        assert_eq!(door(definition), Verdict::Taken, "{definition}");
    }
    let shapes = Json::new(good);
    let texts =
        TEXTS.map(|(field, good)| (field, Bytes::new(good.iter().map(|text| text.as_bytes().to_vec()), &WORDS, 6_000)));
    let mut random = experiment.random(1);
    let count = experiment.scaled(600, 10_000);
    let mut judge = Judge::new(Refusals::Final);
    for place in 0..count {
        let input = if place % 3 == 0 {
            shapes.draw(&mut random)
        } else {
            let (field, source) = &texts[place % texts.len()];
            with(field, &String::from_utf8_lossy(&source.draw(&mut random)))
        };
        judge.watch(input.to_string().as_bytes(), || door(&input));
    }
    let huge = huge();
    for input in &huge {
        let text = input.to_string();
        judge.watch(text.as_bytes(), || if is_bounded { door(input) } else { unbounded(input) });
    }
    judge.report(&mut experiment, i64::try_from(count + huge.len()).unwrap());
    experiment.finish();
}

fn good() -> Value {
    json!({
        "name": "large", "chain": "monad", "channels": ["ops"], "severity": "critical", "cooldown_seconds": 60,
        "source": { "event": "Transfer(address indexed from, address indexed to, uint256 value)" },
        "condition": "args.value > units('1', 6)", "group_by": "args.from", "message": "{{ args.from }}",
    })
}

fn definitions() -> Vec<Value> {
    let from = |source: Value| json!({ "name": "a", "chain": "monad", "channels": ["ops", "ann"], "source": source });
    let topic = format!("0x{}", "ab".repeat(32));
    vec![
        good(),
        from(json!({ "dataset": "logs", "address": [format!("0x{}", "0a".repeat(20))], "topic0": [topic] })),
        from(json!({ "dataset": "traces", "selector": ["0xa9059cbb"] })),
        from(json!({ "call": "transfer(address to, uint256 amount)", "internal": true })),
        from(json!({ "sql": "SELECT 1", "every_seconds": 60 })),
        from(json!({ "platform": ["integrity_violated"] })),
    ]
}

/// A rule with `text` in `field`.
fn with(field: &str, text: &str) -> Value {
    let mut definition = good();
    match field.split_once('.') {
        Some((_, "call")) => definition["source"] = json!({ "call": text }),
        Some((_, key)) => definition["source"][key] = json!(text),
        None => definition[field] = json!(text),
    }
    definition
}

/// Lists and texts that are far too long.
fn huge() -> Vec<Value> {
    let address = format!("0x{}", "0a".repeat(20));
    let mut many = good();
    many["source"] = json!({ "dataset": "logs", "address": vec![address; 200_000] });
    vec![
        with("condition", &format!("log_index in [{}1]", "1,".repeat(40_000))),
        with("message", &"{{ args.from }}".repeat(100_000)),
        with("source.event", &format!("A({}uint256)", "uint256,".repeat(100_000))),
        with("group_by", &"(".repeat(1 << 20)),
        many,
    ]
}

fn door(definition: &Value) -> Verdict {
    let read = Definition::parse(definition).and_then(|definition| check(&definition));
    match read {
        Ok(()) => Verdict::Taken,
        Err(errors) if errors.errors.is_empty() => Verdict::Broken("nothing is said to be wrong".to_owned()),
        Err(errors) => {
            let is_passing = errors.disposition() != Disposition::GiveUp;
            Verdict::Refused { code: errors.code().to_owned(), is_passing }
        }
    }
}

/// The condition read by the parser alone, however long it is.
fn unbounded(definition: &Value) -> Verdict {
    let Some(text) = definition["condition"].as_str().filter(|text| text.len() > 4096) else { return door(definition) };
    let parser =
        cel::Env::default().with_optional_support(false).parser().max_recursion_depth(32).error_recovery_limit(1);
    match parser.parse_with_source_info(text) {
        Ok(_) => Verdict::Taken,
        Err(_) => Verdict::refused("alerts.invalid_rule"),
    }
}
