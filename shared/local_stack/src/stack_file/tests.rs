//! Each rule against a planted mistake in the real file.

use std::path::Path;

use isotherm_types::disposition::Classified;

use super::*;

const REAL: &str = include_str!("../../../../terraform/stack.yaml");

/// Faults of the real file with its first `from` replaced by `to`.
fn faults_with(from: &str, to: &str) -> Vec<Fault> {
    assert!(REAL.contains(from), "the stack file has no {from:?}");
    Stack::parse(&REAL.replacen(from, to, 1), "stack.yaml").expect_err("the mistake was not seen").faults
}

/// The one fault of the real file with its first `from` replaced by `to`, as `place: message`.
fn fault_with(from: &str, to: &str) -> String {
    let faults = faults_with(from, to);
    let [fault] = faults.as_slice() else { panic!("not one fault: {faults:?}") };
    assert!(fault.line.is_some(), "{fault:?}");
    format!("{}: {}", fault.place, fault.message)
}

#[test]
fn the_real_file_has_no_fault() {
    Stack::parse(REAL, "stack.yaml").unwrap();
}

#[test]
fn every_key_is_a_folder_and_every_folder_a_key() {
    let stack = Stack::parse(REAL, "stack.yaml").unwrap();
    let folders = |parent: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(parent);
        let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join("Cargo.toml").exists())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(stack.functions.keys().cloned().collect::<Vec<_>>(), folders("lambdas"));
    // The worker is in every operator's image.
    let images: Vec<String> = folders("fargate-operators").into_iter().filter(|name| name != "worker").collect();
    let mut known: Vec<String> = stack.operators.keys().chain(stack.errands.keys()).cloned().collect();
    known.sort();
    assert_eq!(known, images);
}

#[test]
fn a_field_that_is_not_known_is_named_with_its_line() {
    let faults = faults_with("    timeout_seconds: 30", "    timeout_second: 30");
    let line = REAL.lines().position(|line| line.contains("timeout_seconds: 30")).unwrap() + 1;
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].line, Some(line), "{faults:?}");
    assert!(faults[0].message.contains("timeout_second"), "{faults:?}");
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let faults = faults_with("  reaper:\n", "  dispatcher:\n");
    assert!(faults[0].message.contains("stands twice"), "{faults:?}");
}

#[test]
fn aliases_are_not_written_out() {
    let list = vec!["1"; 5_000].join(", ");
    let aliases = vec!["*a"; 5_000].join(", ");
    // 40 KB, and 25 million values once they are written out.
    let faults = Stack::parse(&format!("a: &a [{list}]\nb: [{aliases}]\n"), "stack.yaml").unwrap_err().faults;
    assert!(faults.iter().all(|fault| fault.line.is_some()), "{:?}", faults.first());
    assert!(faults.iter().any(|fault| fault.message.contains("aliases")), "{:?}", faults.first());
    let long = format!("#{}", "x".repeat(MAX_FILE_BYTES));
    assert_eq!(Stack::parse(&long, "stack.yaml").unwrap_err().faults.len(), 1);
}

#[test]
fn all_faults_come_in_one_error_in_the_order_of_the_file() {
    let text = REAL
        .replacen("memory_mb: 256", "memory_mb: 64", 1)
        .replacen("visibility_seconds: 120", "visibility_seconds: 119", 1)
        .replacen("function: query", "function: querry", 1);
    let error = Stack::parse(&text, "stack.yaml").unwrap_err();
    let places: Vec<&str> = error.faults.iter().map(|fault| fault.place.as_str()).collect();
    assert_eq!(
        places,
        ["functions.dispatcher.memory_mb", "queues.thresholds.visibility_seconds", "routes.POST /v1/query.function"]
    );
    let shown = error.to_string();
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.starts_with("stack.yaml:"), "{shown}");
    assert_eq!(LocalStackError::from(error).code(), "stack.invalid");
}

#[test]
fn a_visibility_below_six_time_outs_is_refused() {
    assert_eq!(
        fault_with("visibility_seconds: 180", "visibility_seconds: 179"),
        "queues.events.visibility_seconds: 179 is less than 180, 6 times the time-out of its reader `dispatcher`"
    );
}

#[test]
fn a_fifo_queue_needs_a_fifo_dead_letter_queue() {
    assert!(
        fault_with("dead_letter: { fifo: true", "dead_letter: { fifo: false")
            .starts_with("queues.events.dead_letter.fifo: a FIFO queue needs")
    );
}

#[test]
fn high_throughput_needs_both_settings() {
    assert!(
        fault_with("    fifo_throughput_limit: perMessageGroupId\n", "")
            .starts_with("queues.events.deduplication_scope: high throughput")
    );
}

#[test]
fn a_name_that_is_used_must_be_defined() {
    let cases = [
        (
            "send: [events, thresholds, dead_letters, alerts, deliveries]",
            "send: [event, thresholds, dead_letters, alerts, deliveries]",
            "functions.trigger_threshold.send: there is no queue `event`",
        ),
        ("buckets: { cold: read,", "buckets: { old: read,", "functions.query.buckets: there is no bucket `old`"),
        ("secrets: [database]", "secrets: [data]", "functions.dispatcher.secrets: there is no secret `data`"),
        (
            "stop_operators: [block_follower,",
            "stop_operators: [follower,",
            "functions.reaper.stop_operators: there is no operator `follower`",
        ),
        ("invoke: [query]", "invoke: [querry]", "functions.api.invoke: there is no function `querry`"),
        (
            "    function: dispatcher\n    expression",
            "    function: dispatch\n    expression",
            "schedules.dispatcher_sweep.function: there is no function `dispatch`",
        ),
        (
            "secrets: [database, rpc]",
            "secrets: [database, rcp]",
            "operators.block_follower.secrets: there is no secret `rcp`",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(fault_with(from, to), expected);
    }
}

#[test]
fn a_queue_has_one_reader() {
    let faults = faults_with("    queue: thresholds\n", "    queue: events\n");
    let places: Vec<&str> = faults.iter().map(|fault| fault.place.as_str()).collect();
    assert_eq!(places, ["queues.events", "queues.thresholds"]);
}

#[test]
fn only_an_errand_writes_where_it_is_asked_and_answers() {
    let smoke = "    folders: { results: smoke }\n";
    let fault = "it may write to `deploy` of `results`, where errand `migrate` is asked and answers";
    assert_eq!(fault_with(smoke, ""), format!("operators.noop.folders: {fault}"));
    assert_eq!(fault_with(smoke, &smoke.replace("smoke", "deploy")), format!("operators.noop.folders: {fault}"));
    let queries = "    folders: { results: queries }\n";
    assert_eq!(fault_with(queries, ""), format!("functions.query.folders: {fault}"));
    assert!(fault_with("    folders: { results: deploy }", "").contains("it has no folder of its own in `results`"));
}

#[test]
fn a_folder_is_a_plain_name_in_a_bucket_that_is_used() {
    let queries = "folders: { results: queries }";
    assert_eq!(
        fault_with(queries, "folders: { results: \"queries*\" }"),
        "functions.query.folders: a folder is made of a-z, 0-9 and _, not `queries*`"
    );
    assert_eq!(
        fault_with(queries, "folders: { results: queries, artifacts: queries }"),
        "functions.query.folders: it does not use the bucket `artifacts`"
    );
}

#[test]
fn a_launched_worker_can_be_woken() {
    assert!(
        fault_with("tasks_parquet_compact, tasks_noop]", "tasks_parquet_compact]")
            .contains("launches `noop` but does not send to its queue")
    );
}

#[test]
fn an_operator_that_nobody_launches_is_refused() {
    assert_eq!(
        fault_with("integrity_check, parquet_compact, noop]", "integrity_check, noop]"),
        "operators.parquet_compact: no function launches it"
    );
}

#[test]
fn cron_triggers_have_a_function_and_every_function_a_caller() {
    let cron_triggers = "group: triggers\n  function: trigger_cron";
    assert_eq!(
        fault_with(cron_triggers, "group: triggers\n  function: cron"),
        "cron_triggers.function: there is no function `cron`"
    );
    let faults = faults_with("function: reaper", "function: reap");
    let shown: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.place, fault.message)).collect();
    assert_eq!(
        shown,
        [
            "functions.reaper: no queue, schedule or route invokes it",
            "schedules.reaper.function: there is no function `reap`"
        ]
    );
}

#[test]
fn failed_items_of_a_batch_are_reported() {
    assert!(
        fault_with("report_batch_item_failures: true", "report_batch_item_failures: false")
            .starts_with("event_source_mappings.dispatcher_events.report_batch_item_failures")
    );
}

#[test]
fn a_route_has_a_method_and_a_path() {
    assert!(fault_with("  POST /v1/query:", "  FETCH /v1/query:").starts_with("routes.FETCH /v1/query: a route is"));
    assert!(fault_with("  POST /v1/query:", "  POST v1/query:").starts_with("routes.POST v1/query: a route is"));
}

#[test]
fn a_schedule_that_would_never_fire_is_refused() {
    for expression in ["rate(1 minutes)", "rate(0 hours)", "cron(0 12 * * *)", "every minute"] {
        let fault = fault_with("rate(1 minute)", expression);
        assert!(fault.starts_with("schedules.dispatcher_sweep.expression: "), "{fault}");
    }
}

#[test]
fn names_keep_to_letters_digits_and_underscores() {
    assert!(fault_with("  artifacts: {", "  Artifacts: {").starts_with("buckets.Artifacts: a name is made of"));
}

#[test]
fn derived_variables_are_not_set_by_hand() {
    assert!(
        fault_with("environment: { ISOTHERM_LOG: info }", "environment: { ISOTHERM_BUCKET_COLD: mine }")
            .starts_with("functions.dispatcher.environment.ISOTHERM_BUCKET_COLD: this variable is derived")
    );
}

#[test]
fn figures_keep_to_the_limits_of_aws() {
    let cases = [
        (
            "timeout_seconds: 90",
            "timeout_seconds: 901",
            "functions.query.timeout_seconds: 901 is not between 1 and 900",
        ),
        (
            "batch_size: 10",
            "batch_size: 11",
            "event_source_mappings.dispatcher_events.batch_size: 11 is not between 1 and 10",
        ),
        (
            "stop_timeout_seconds: 60",
            "stop_timeout_seconds: 20",
            "operators.block_follower.stop_timeout_seconds: 20 is not between 25 and 120",
        ),
        (
            "    memory_mb: 2048 #",
            "    memory_mb: 1024 #",
            "operators.parquet_compact.memory_mb: Fargate has no 1024 MB with 1024 CPU units, only [2048, 3072, 4096, 5120, 6144, 7168, 8192]",
        ),
        (
            "retry_attempts: 0",
            "retry_attempts: 186",
            "schedules.dispatcher_sweep.retry_attempts: 186 is not between 0 and 185",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(fault_with(from, to), expected);
    }
}

#[test]
fn names_belong_to_secrets_per_name() {
    assert_eq!(
        fault_with("names: [smoke]", "names: [Smoke]"),
        "secrets.webhook.names: `Smoke` is not 1 to 63 of a-z, 0-9, _ and -"
    );
    let one = "per_name: true\n    names: [smoke]";
    let fault = fault_with(one, "per_name: false\n    names: [smoke]");
    assert_eq!(fault, "secrets.webhook.names: there is one of it, so it has no names");
}
