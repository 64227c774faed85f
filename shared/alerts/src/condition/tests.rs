//! Conditions from text to truth, over rows that are made up.

use std::borrow::Cow;

use isotherm_types::Dataset;

use super::*;

/// Columns by name and arguments by place.
struct MadeRow {
    dataset: Dataset,
    columns: Vec<(&'static str, Value<'static>)>,
    arguments: Vec<Value<'static>>,
}

impl<'a> RowValues<'a> for MadeRow {
    fn column(&self, read: ColumnRead) -> Value<'a> {
        let name = self.dataset.columns()[read.column].name;
        self.columns.iter().find(|(column, _)| *column == name).map_or(Value::Absent, |(_, value)| value.clone())
    }

    fn argument(&self, place: usize) -> Value<'a> {
        self.arguments[place].clone()
    }
}

const TOKEN: &str = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed";

fn bytes(text: &str) -> Value<'static> {
    Value::Bytes(Cow::Owned(hex_bytes(text, None).unwrap()))
}

fn int(text: &str) -> Value<'static> {
    Value::Int(Int::from_decimal(text).unwrap())
}

fn parameter(name: &str, kind: Type) -> ParameterName {
    ParameterName { name: name.to_owned(), kind }
}

fn names() -> Names {
    let parameters = vec![
        parameter("to", Type::Bytes(Some(20))),
        parameter("value", Type::Int),
        parameter("note", Type::Text),
        parameter("amounts", Type::List(Box::new(Type::Int))),
        parameter("order", Type::Tuple(vec![Type::Bytes(Some(20)), Type::Int])),
    ];
    Names::new(Dataset::Logs, Some(parameters))
}

fn row() -> MadeRow {
    MadeRow {
        dataset: Dataset::Logs,
        columns: vec![
            ("address", bytes(TOKEN)),
            ("block_number", int("100")),
            ("timestamp", Value::Time(1_767_225_600)),
            ("data", bytes("0x00ff")),
        ],
        arguments: vec![
            bytes(TOKEN),
            int("115792089237316195423570985008687907853269984665640564039457584007913129639935"),
            Value::Text(Cow::Borrowed("hello world")),
            Value::List(vec![int("1"), int("2"), int("3")]),
            Value::List(vec![bytes(TOKEN), int("7")]),
        ],
    }
}

fn judge(text: &str) -> Result<bool, EvaluationError> {
    let condition = compile_condition(text, &names()).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"));
    holds(&condition, &row()).0
}

#[test]
fn conditions_mean_what_they_say() {
    for text in [
        "true",
        "args.value == int('115792089237316195423570985008687907853269984665640564039457584007913129639935')",
        "args.value > ether(\"1.5\") && args.value > gwei(3) && args.value > units('1000.5', 6)",
        "args.value * args.value / args.value == args.value",
        "address == '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed' && args.to == address",
        "address != args.order[0] || address == (true ? args.to : address)",
        "args.to in ['0x0000000000000000000000000000000000000001', '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed']",
        "block.number == 100 && block_number <= 100 && block.number in [99, 100]",
        "timestamp == timestamp('2026-01-01T00:00:00Z') && timestamp.getDayOfWeek() == 4 && getHours(timestamp) == 0",
        "timestamp + 60 > timestamp && timestamp - timestamp('2025-12-31T23:59:00Z') == 60",
        "int(timestamp) == 1767225600",
        "size(data) == 2 && data.size() == 2 && int(data) == 255 && data == b'\\x00\\xff'",
        "args.note.startsWith('hello') && args.note.endsWith('world') && args.note.contains(' ')",
        "args.note.matches('^h.+d$') && !matches(args.note, '^world')",
        "size(args.note) == 11 && args.note < 'hi'",
        "args.amounts.exists(x, x > 2) && args.amounts.all(x, x < 4) && !args.amounts.all(x, x == 1)",
        "2 in args.amounts && !(5 in args.amounts) && args.amounts[0] == 1 && size(args.amounts) == 3",
        "args.order[1] == 7 && args.order[0] == address",
        "args.amounts.exists(x, args.amounts.exists(y, x + y == 6))",
        "(args.value > 1 ? 10 : 20) == 10 && -args.order[1] == -7 && 7 % 4 == 3 && -7 / 2 == -3",
        "string(args.order[1]) == '7' && inUnits(1500000, 6) == '1.5' && string(data) == '0x00ff'",
        "10u == 10",
    ] {
        assert_eq!(judge(text), Ok(true), "{text}");
    }
}

#[test]
fn a_comparison_with_an_absent_value_does_not_hold() {
    for text in [
        "topic1 == '0x0000000000000000000000000000000000000000000000000000000000000001'",
        "topic1 != '0x0000000000000000000000000000000000000000000000000000000000000001'",
        "topic1 == topic1",
        "has(topic1)",
        "topic1 != null",
        "int(topic1) + 1 > 0",
        "size(topic1) >= 0",
        "topic1 in ['0x0000000000000000000000000000000000000000000000000000000000000001']",
        "args.amounts[3] == args.amounts[3]",
        "string(topic1).startsWith('')",
    ] {
        assert_eq!(judge(text), Ok(false), "{text}");
    }
    for text in
        ["!has(topic1)", "topic1 == null", "null == topic1", "has(address) && address != null", "!(topic1 == topic1)"]
    {
        assert_eq!(judge(text), Ok(true), "{text}");
    }
}

#[test]
fn what_decides_alone_hides_the_error_of_the_other_side() {
    assert_eq!(judge("1 / (block.number - 100) > 0"), Err(EvaluationError::DivisionByZero));
    assert_eq!(judge("1 % 0 == 0"), Err(EvaluationError::DivisionByZero));
    assert_eq!(judge("args.value * args.value * args.value > 0"), Err(EvaluationError::Overflow));
    assert_eq!(judge("block.number != 100 && 1 / (block.number - 100) > 0"), Ok(false));
    assert_eq!(judge("1 / (block.number - 100) > 0 && block.number != 100"), Ok(false));
    assert_eq!(judge("1 / (block.number - 100) > 0 || block.number == 100"), Ok(true));
    assert_eq!(judge("1 / (block.number - 100) > 0 || block.number != 100"), Err(EvaluationError::DivisionByZero));
}

#[test]
fn an_evaluation_ends_after_so_many_steps_whatever_the_row() {
    let condition = compile_condition("args.amounts.all(x, args.amounts.all(y, x + y >= 0))", &names()).unwrap();
    let mut long = row();
    long.arguments[3] = Value::List(vec![int("1"); 1_000]);
    assert_eq!(holds(&condition, &long).0, Err(EvaluationError::TooManySteps));
    assert!(holds(&condition, &row()).1 < 100);
    let text = compile_condition("args.note.contains('x') || args.note.contains('y')", &names()).unwrap();
    let mut huge = row();
    huge.arguments[2] = Value::Text(Cow::Owned("a".repeat(4 << 20)));
    assert_eq!(holds(&text, &huge).0, Err(EvaluationError::TooManySteps));
}

#[test]
fn a_mistake_of_meaning_is_found_where_it_is() {
    for (text, column, word) in [
        ("valeu > 1", 1, "valeu"),
        ("args.value > 1 && args.form == address", 19, "args.to"),
        ("args.value > '1'", 12, "cannot be compared"),
        ("args.to == '0x1234'", 12, "4 digits"),
        ("args.to == 'somebody'", 12, "0x"),
        ("args.to == '0x5aaEb6053F3E94C9b9A09f33669435E7Ef1BeAed'", 12, "EIP-55"),
        ("args.to in ['0x12']", 13, "2 digits"),
        ("args.to == topic0", 9, "never equal"),
        ("args.to > address", 9, "no order"),
        ("args.value", 1, "true or false"),
        ("args.value && true", 1, "a bool is due"),
        ("!args.value", 2, "a bool is due"),
        ("args.value > 1.5", 14, "fractions"),
        ("args.value > ether('1.5e3')", 20, "no amount"),
        ("args.value > units('1.5', 99)", 27, "0 to 77"),
        ("args.value > int('x')", 18, "no whole number"),
        ("args.note.matches('(')", 19, "no regular expression"),
        ("args.note.matches(args.note)", 19, "in quotes"),
        ("args.note.matches('(a{1000}){1000}')", 19, "too much room"),
        ("timestamp > timestamp('today')", 23, "RFC 3339"),
        ("timestamp > 5", 11, "cannot be compared"),
        ("args.amounts == args.amounts", 14, "lists are not compared"),
        ("args.amounts.exists(address, true)", 21, "something else"),
        ("args.amounts.exists(1, true)", 21, "a name"),
        ("args.value.exists(x, true)", 1, "a list is due"),
        ("args.order[2] == 1", 12, "2 parts"),
        ("args.order[block.number] == 1", 12, "2 parts"),
        ("args.order.maker == address", 1, "args.order.maker"),
        ("args.value in []", 15, "empty list"),
        ("args.value in [args.value]", 16, "literals only"),
        ("null == null", 6, "null"),
        ("topic1 > null", 8, "no order"),
        ("{'a': 1} == {'a': 1}", 1, "of no use"),
        ("Foo{a: 1} == 1", 4, "of no use"),
        ("now() > timestamp", 1, "there is no function"),
        ("args.value >= ethr ('1')", 15, "there is no function"),
        ("args.note.begins('x')", 11, "there is no function"),
        ("size() > 1", 1, "does not take 0"),
        ("args.note + 'x' == 'y'", 11, "calculate"),
        ("[1, 'a'].exists(x, true)", 5, "of one type"),
        ("size([]) == 0", 6, "empty list"),
        ("(true ? 1 : 'a') == 1", 13, "of one type"),
    ] {
        let mistakes = compile_condition(text, &names()).map(|_| ()).unwrap_err();
        let first = &mistakes[0];
        assert!(first.message.contains(word), "{text}: {first:?}");
        assert_eq!((first.position.line, first.position.column), (1, column), "{text}: {first:?}");
    }
}

#[test]
fn a_tree_that_is_too_deep_or_too_large_is_refused() {
    let deep = format!("1{} == 1", "+1".repeat(100));
    let wide = format!("block.number in [{}]", vec!["1"; 1_100].join(","));
    for text in [&deep, &wide] {
        let mistakes = compile_condition(text, &names()).map(|_| ()).unwrap_err();
        assert!(mistakes[0].message.contains("nested"), "{mistakes:?}");
    }
    let many = vec!["block.number == 1"; 190].join(" || ");
    assert!(compile_condition(&many, &names()).is_ok(), "a chain of || is a balanced tree");
}

/// Texts that look like conditions, and texts that do not.
fn any_text() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let words = prop::sample::select(vec![
        "args.value",
        "address",
        "block.number",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "&&",
        "||",
        "!",
        "==",
        "<",
        "in",
        "?",
        ":",
        ".",
        ",",
        "'0x12'",
        "\"",
        "'",
        "1",
        "1.5",
        "0x",
        "-",
        "+",
        "*",
        "/",
        "%",
        "has",
        "exists(x,",
        "all",
        "x",
        "null",
        "true",
        "b'",
        "r\"",
        "\n",
        "//",
        "`",
        "size",
        "matches('",
        "\\",
        "ä",
        "\0",
        "if",
        "1u",
        "'''",
    ]);
    prop_oneof![
        prop::collection::vec(words, 0..40).prop_map(|words| words.join(" ")),
        prop::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]
    #[test]
    fn no_text_makes_reading_or_judging_panic_or_linger(text in any_text()) {
        let began = std::time::Instant::now();
        match compile(&text, &names()) {
            Ok(typed) => {
                let _ = value(&typed.expression, &row());
            }
            Err(mistakes) => proptest::prop_assert!(!mistakes.is_empty()),
        }
        // Far above what it takes: a machine that does other work is not what this is about.
        proptest::prop_assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", text);
    }

    #[test]
    fn an_expression_of_numbers_is_what_arithmetic_says(a in -1_000i64..1_000, b in -1_000i64..1_000, c in 1i64..1_000) {
        let text = format!("{a} + {b} * {c} - ({a} - {b}) / {c} == {} && {a} % {c} == {}", a + b * c - (a - b) / c, a % c);
        proptest::prop_assert_eq!(judge(&text), Ok(true), "{}", text);
    }
}
