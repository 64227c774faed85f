//! What the shell reads of an event, for every shape that is documented and for thousands that are not.

use isotherm_platform::lambda::http;
use isotherm_query::as_of::AsOfBlock;
use isotherm_types::{B256, BlockNumber};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const ID: &str = "0199c0de-0000-7000-8000-000000000001";

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../events-fixtures/query/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).unwrap()
}

fn names() -> Vec<String> {
    let folder = format!("{}/../../events-fixtures/query", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.map(|file| file.trim_end_matches(".json").to_owned()).collect();
    names.sort();
    names
}

/// By the door that the event is for; the organisation is told of direct invocations only.
fn read(event: Value) -> Result<(Request, Option<String>), QueryFunctionError> {
    if http::is_http(&event) {
        let call = HttpCall::of(event)?;
        let route = Route::of_key(&call.route_key).ok_or(QueryFunctionError::NoRoute)?;
        return Ok((Request::of_http(route, &call)?, None));
    }
    Request::of_direct(event).map(|(request, org)| (request, Some(org)))
}

fn asked(event: &Value) -> Ask {
    match read(event.clone()) {
        Ok((Request::Ask(ask), _)) => ask,
        other => panic!("{event}: {other:?}"),
    }
}

fn id() -> Uuid {
    ID.parse().unwrap()
}

#[test]
fn every_documented_event_is_read_and_none_is_forgotten() {
    let name = || "daily_volume".to_owned();
    let page = Page { limit: 20, before: Some(id()) };
    let run_saved = |parameters, format, mode| {
        let (timeout, batch_timeout) = (DEFAULT_TIMEOUT, DEFAULT_BATCH_TIMEOUT);
        let run = Run { format, mode, timeout, batch_timeout, as_of: None, query_id: None };
        Request::RunSaved { name: name(), parameters, run }
    };
    let saved = |sql: &str, description: &str, parameters| {
        let (sql, description) = (sql.to_owned(), description.to_owned());
        Request::SaveQuery(NewSavedQuery { name: name(), description, sql, parameters })
    };
    let volume = "select sum(value) from transactions";
    let from = "select sum(value) from transactions where block_number > $from";
    let table = [
        ("http_list_queries", Request::ListQueries(page)),
        ("http_show_query", Request::ShowQuery(id())),
        ("http_cancel_query", Request::CancelQuery(id())),
        ("http_datasets", Request::ListDatasets),
        ("http_list_saved", Request::ListSaved),
        ("http_show_saved", Request::ShowSaved(name())),
        ("http_save_query", saved(from, "value since a block", Some(json!({ "from": 100 })))),
        ("http_delete_saved", Request::DeleteSaved(name())),
        ("http_run_saved", run_saved(json!({ "from": 200 }), ResultFormat::Csv, Mode::Auto)),
        ("direct_query_status", Request::ShowQuery(id())),
        ("direct_cancel_query", Request::CancelQuery(id())),
        ("direct_list_queries", Request::ListQueries(page)),
        ("direct_list_datasets", Request::ListDatasets),
        ("direct_list_saved_queries", Request::ListSaved),
        ("direct_show_saved_query", Request::ShowSaved(name())),
        ("direct_save_query", saved(volume, "", None)),
        ("direct_delete_saved_query", Request::DeleteSaved(name())),
        ("direct_run_saved_query", run_saved(Value::Null, ResultFormat::Json, Mode::Batch)),
    ];
    let mut seen: Vec<String> = Vec::new();
    for (fixture_name, expected) in table {
        let (found, org) = read(fixture(fixture_name)).unwrap_or_else(|error| panic!("{fixture_name}: {error}"));
        assert_eq!(found, expected, "{fixture_name}");
        assert_eq!(org.as_deref(), fixture_name.starts_with("direct").then_some("default"), "{fixture_name}");
        seen.push(fixture_name.to_owned());
    }
    let seconds = Duration::from_secs;
    let (json_format, csv) = (ResultFormat::Json, ResultFormat::Csv);
    let asks = [
        ("direct_json", "select block_number,", json_format, Mode::Auto, seconds(20)),
        ("direct_csv", "select count(*) from blocks", csv, Mode::Auto, seconds(25)),
        ("direct_refused", "select getenv(", json_format, Mode::Auto, seconds(25)),
        ("direct_parameters", "select ? + $2", json_format, Mode::Auto, seconds(25)),
        ("direct_batch", "select * from transactions", ResultFormat::Parquet, Mode::Batch, MAX_TIMEOUT),
        ("api_gateway", "select count(*) from transactions", json_format, Mode::Auto, seconds(25)),
        ("api_gateway_base64", "select count(*) from transactions", json_format, Mode::Auto, seconds(25)),
        ("api_gateway_csv", "select block_number, block_hash", csv, Mode::Auto, seconds(10)),
        ("http_full", "select * from logs", ResultFormat::Parquet, Mode::Interactive, seconds(20)),
        ("http_unauthenticated", "select 1", json_format, Mode::Auto, seconds(25)),
    ];
    for (fixture_name, sql, format, mode, timeout) in asks {
        let Ask { sql: found, run, .. } = asked(&fixture(fixture_name));
        assert!(found.starts_with(sql), "{fixture_name}");
        assert_eq!((run.format, run.mode, run.timeout), (format, mode, timeout), "{fixture_name}");
        seen.push(fixture_name.to_owned());
    }
    for malformed in ["direct_malformed", "api_gateway_malformed"] {
        let error = read(fixture(malformed)).unwrap_err();
        assert_eq!((error.code(), error.status()), ("query.malformed_request", 400), "{malformed}");
        seen.push(malformed.to_owned());
    }
    seen.sort();
    assert_eq!(seen, names());
}

#[test]
fn all_that_can_be_said_of_a_query_is_read() {
    let Ask { parameters, values, run, .. } = asked(&fixture("http_full"));
    assert_eq!(parameters, json!({ "address": format!("0x{}", "11".repeat(20)) }));
    assert!(!values.is_empty());
    let as_of = AsOf { chain: Some("monad".to_owned()), block: AsOfBlock::Hash(B256::repeat_byte(0xab)) };
    assert_eq!((run.as_of, run.query_id), (Some(as_of), Some(id())));
    let as_of = AsOf { chain: None, block: AsOfBlock::Number(BlockNumber(1200)) };
    assert_eq!(asked(&fixture("direct_parameters")).run.as_of, Some(as_of));
    assert_eq!(asked(&fixture("direct_batch")).run.batch_timeout, Duration::from_secs(1800));
}

#[test]
fn the_time_decides_where_a_query_runs_if_its_caller_does_not() {
    let run = |mode: &str, seconds: u64| {
        let event = json!({ "sql": "select 1", "mode": mode, "timeout_seconds": seconds });
        read(event).map(|(request, _)| match request {
            Request::Ask(ask) => (ask.run.mode, ask.run.timeout.as_secs(), ask.run.batch_timeout.as_secs()),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(run("auto", 50).unwrap(), (Mode::Auto, 50, 900));
    assert_eq!(run("auto", 51).unwrap(), (Mode::Batch, 50, 51));
    assert_eq!(run("batch", 5).unwrap(), (Mode::Batch, 5, 5));
    assert_eq!(run("batch", 3600).unwrap(), (Mode::Batch, 50, 3600));
    for (mode, seconds) in [("interactive", 51), ("auto", 3601), ("batch", 0)] {
        let error = run(mode, seconds).unwrap_err().to_string();
        assert!(error.contains("timeout_seconds") && error.contains(&seconds.to_string()), "{error}");
    }
}

#[test]
fn what_is_not_a_request_is_refused_and_names_the_field() {
    let api = |body: &str, base64: bool| {
        let mut event = fixture("api_gateway");
        event["body"] = json!(body);
        event["isBase64Encoded"] = json!(base64);
        event
    };
    let with = |field: &str, value: Value| {
        let mut event = json!({ "sql": "select 1" });
        event[field] = value;
        event
    };
    let named = |name: &str| {
        let mut event = fixture("http_show_saved");
        event["pathParameters"]["name"] = json!(name);
        event
    };
    let paged = |limit: &str| {
        let mut event = fixture("http_list_queries");
        event["queryStringParameters"]["limit"] = json!(limit);
        event
    };
    let saved = |sql: Value| json!({ "action": "save_query", "name": "x", "sql": sql });
    // Beside the text, its quotes and the brackets of the list.
    let saved_with = |length: usize| {
        let parameters = json!(["x".repeat(length)]);
        json!({ "action": "save_query", "name": "x", "sql": "select $1", "parameters": parameters })
    };
    assert!(read(saved_with(MAX_PARAMETERS_BYTES - 4)).is_ok());
    let table = [
        (json!({}), 400, "`sql` is missing"),
        (json!([]), 400, "not a JSON object"),
        (json!({ "sql": 1 }), 400, "`sql`"),
        (with("format", json!("xml")), 400, "`format`"),
        (with("mode", json!("later")), 400, "`mode`"),
        (with("timeout_seconds", json!("5")), 400, "`timeout_seconds`"),
        (with("timeout_seconds", json!(-5)), 400, "`timeout_seconds`"),
        (with("as_of_block", json!("latest")), 400, "`as_of_block`"),
        (with("parameters", json!(5)), 400, "`parameters`"),
        (with("parameters", json!([[1]])), 400, "$1"),
        (with("query_id", json!("mine")), 400, "`query_id`"),
        (with("org", json!(1)), 400, "`org`"),
        (with("actor", json!("somebody else")), 400, "`actor`"),
        (with("action", json!("drop")), 400, "drop"),
        (with("action", json!("cancel_query")), 400, "`query_id` is missing"),
        (json!({ "action": "query_status", "query_id": "x" }), 400, "`query_id`"),
        (json!({ "action": "query_status", "query_id": ID, "sql": "select 1" }), 400, "`sql`"),
        (saved(json!("")), 400, "`sql` holds no statement"),
        (saved(json!(" \n")), 400, "`sql` holds no statement"),
        (json!({ "sql": "", "mode": "batch" }), 400, "`sql` holds no statement"),
        (json!({ "sql": "\t ", "timeout_seconds": 1157 }), 400, "`sql` holds no statement"),
        (saved(json!("a\0b")), 400, "character 0"),
        (saved(json!("x".repeat(MAX_SAVED_SQL_BYTES + 1))), 413, "`sql` of a saved query"),
        (saved_with(MAX_PARAMETERS_BYTES - 3), 413, "`parameters` of a saved query is longer than 16384"),
        (json!({ "sql": "select 1\0; select 2" }), 400, "character 0"),
        (json!({ "sql": "x".repeat(MAX_SQL_BYTES + 1) }), 413, "`sql`"),
        (api("", false), 400, "`sql` is missing"),
        (api("not base64!", true), 400, "base64"),
        (api(&format!("{{\"sql\":\"{}\"}}", "x".repeat(1 << 20)), false), 413, "the body"),
        (named("../secrets"), 400, "saved query"),
        (paged("0"), 400, "`limit`"),
        (paged("501"), 400, "`limit`"),
        (paged("many"), 400, "`limit`"),
    ];
    for (event, status, words) in table {
        let event_start: String = event.to_string().chars().take(200).collect();
        let error = read(event).expect_err(&event_start);
        assert_eq!(error.status(), status, "{event_start}");
        let answer = error.answer();
        assert!(answer.message.contains(words), "{event_start}: {}", answer.message);
    }
    assert_eq!(read(json!({ "requestContext": 1 })).unwrap_err().code(), "event.malformed");
    let mut elsewhere = fixture("api_gateway");
    elsewhere["requestContext"]["routeKey"] = json!("GET /v1/secrets");
    assert_eq!(read(elsewhere).unwrap_err().status(), 404);
}

#[test]
fn nothing_that_is_shown_has_sql_or_values() {
    let ask = asked(&json!({ "sql": "select 'hunter2'", "parameters": ["hunter3"] }));
    let saved = read(json!({ "action": "save_query", "name": "x", "sql": "select 'hunter2'" })).unwrap();
    let shown = format!("{ask:?} {saved:?}");
    assert!(!shown.contains("hunter"), "{shown}");
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
        "/sql",
        "/parameters",
        "/format",
        "/mode",
        "/timeout_seconds",
        "/as_of_block",
        "/query_id",
        "/org",
        "/action",
        "/name",
        "/limit",
        "/body",
        "/isBase64Encoded",
        "/headers",
        "/pathParameters",
        "/queryStringParameters",
        "/requestContext",
        "/requestContext/routeKey",
    ]);
    let name = proptest::sample::select(names());
    (name, proptest::collection::vec((places, anything()), 1..3)).prop_map(|(name, changes)| {
        let mut event = fixture(&name);
        for (place, value) in changes {
            if let Some(part) = event.pointer_mut(place) {
                *part = value;
            }
        }
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn no_event_makes_it_panic_and_what_is_refused_is_the_callers(event in damaged()) {
        if let Err(error) = read(event) {
            prop_assert!((400..500).contains(&error.status()), "{error}");
            prop_assert!(!error.answer().message.is_empty());
        }
    }
}
