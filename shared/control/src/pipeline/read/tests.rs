//! One file, one slip at a time: what is said of it, and where.

use super::*;

mod hostile;

const GOOD: &str = "\
version: 1
jobs:
  - name: follow
    operator: block_follower
    always_on: true
  # a comment
  - name: beat
    operator: noop
    config: { steps: 1 }
    secrets: { API_KEY: some/secret }
    output_datasets: [1/logs]
triggers:
  - name: every-minute
    job: beat
    cron: { schedule: rate(1 minute) }
  - name: called
    job: beat
    webhook:
      secret: hook
      parameters: { id: /data/id }
  - name: full
    job: beat
    threshold: { chain_id: 1, measure: rows, dataset: logs, every: 10 }
";

/// `LINE:COLUMN message` of each fault.
fn faults(text: &str) -> Vec<String> {
    let faults = parse(text).expect_err(text).faults;
    faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message)).collect()
}

#[test]
fn a_good_file_is_read() {
    let pipeline = parse(GOOD).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((pipeline.jobs.len(), pipeline.triggers.len()), (2, 3));
    assert_eq!(parse(&serde_yaml_ng::to_string(&pipeline).unwrap()).unwrap(), pipeline);
    assert_eq!(parse(&serde_json::to_string(&pipeline).unwrap()).unwrap(), pipeline, "JSON is YAML");
    for text in [format!("---\n{GOOD}...\n"), format!("\u{feff}{GOOD}"), GOOD.replace('\n', "\r\n")] {
        assert_eq!(parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}")), pipeline);
    }
}

#[test]
fn one_file_with_many_faults_has_one_message_for_each() {
    let text = "\
version: 1
jobs:
  - name: a
    operatr: noop
    output_datasets: [143/logs]
    input_datasets: [143/blocks]
  - name: b
    operator: noop
    always_on: often
    input_datasets: [143/logs]
    output_datasets: [blocks]
  - name: a
    operator: noop
triggers:
  - name: never
    job: b
    cron: { schedule: \"cron(0 0 30 2 ? *)\" }
";
    assert_eq!(
        faults(text),
        [
            "4:5 unknown key \"operatr\" of job \"a\"; did you mean `operator`?",
            "5:22 jobs feed each other for ever through their datasets: \"a\" → \"b\" → \"a\"",
            "9:16 always_on of job \"b\" is \"often\"; it must be true or false",
            "12:11 two jobs are called \"a\"; the first is at line 3, column 11",
            "17:23 schedule of trigger \"never\" is \"cron(0 0 30 2 ? *)\"; cron(0 0 30 2 ? *) never fires: no date matches",
        ]
    );
}

/// (what is replaced, by what, the one fault).
const SLIPS: &[(&str, &str, &str)] = &[
    // Keys.
    ("operator: noop", "operatr: noop", "8:5 unknown key \"operatr\" of job \"beat\"; did you mean `operator`?"),
    ("    operator: noop\n", "", "7:5 job \"beat\" has no `operator`, which it needs"),
    ("  - name: beat\n    operator", "  - operator", "7:5 job 2 has no `name`, which it needs"),
    ("version: 1\n", "", "1:1 the file has no `version`, which it needs"),
    ("version: 1\n", "version: 1\nschedules: []\n", "2:1 unknown key \"schedules\""),
    ("secret: hook", "secrets: hook", "19:7 unknown key \"secrets\" of trigger \"called\"; did you mean `secret`?"),
    (
        "operator: noop",
        "operator: noop\n    operator: x",
        "9:5 key \"operator\" stands twice; the first is at line 8, column 5",
    ),
    ("steps: 1", "steps: 1, steps: 2", "9:25 key \"steps\" stands twice; the first is at line 9, column 15"),
    ("steps: 1", "? [a] : 1", "9:17 a key must be text, not a list or a mapping"),
    // Types.
    ("always_on: true", "always_on: yes", "5:16 always_on of job \"follow\" is \"yes\"; it must be true or false"),
    ("operator: noop", "operator: 7", "8:15 operator of job \"beat\" is 7; it must be text: put it in quotes"),
    ("operator: noop", "operator:", "8:13 operator of job \"beat\" is empty; it must be text"),
    ("config: { steps: 1 }", "config: [1]", "9:13 config of job \"beat\" is a list; it must be a mapping"),
    ("config: { steps: 1 }", "config:", "9:11 config of job \"beat\" is empty; it must be a mapping"),
    (
        "{ API_KEY: some/secret }",
        "{ API_KEY: 5 }",
        "10:25 \"API_KEY\" in secrets of job \"beat\" is 5; it must be text",
    ),
    (
        "{ API_KEY: some/secret }",
        "{ API-KEY: x }",
        "10:16 secrets of job \"beat\" has the key \"API-KEY\"; an environment variable is of letters, digits and _, no digit first",
    ),
    (
        "{ API_KEY: some/secret }",
        "{ API_KEY: \"a b\" }",
        "10:25 \"API_KEY\" in secrets of job \"beat\" is \"a b\"; it must be of letters, digits and /_+=.@-, as names of secrets are",
    ),
    ("[1/logs]", "1/logs", "11:22 output_datasets of job \"beat\" is \"1/logs\"; it must be a list"),
    (
        "[1/logs]",
        "[1/logs, 7]",
        "11:31 entry 2 of output_datasets of job \"beat\" is 7; it must be text: put it in quotes",
    ),
    (
        "operator: noop",
        "operator: noop\n    max_attempts: 2.0",
        "9:19 max_attempts of job \"beat\" is 2.0; it must be a whole number, from 1 to 2147483647",
    ),
    (
        "cron: { schedule: rate(1 minute) }",
        "cron: rate(1 minute)",
        "15:11 cron of trigger \"every-minute\" is \"rate(1 minute)\"; it must be a mapping",
    ),
    (
        "operator: noop",
        "operator: noop\n    max_attempts: 0x10",
        "9:19 \"0x10\" is a number to some and text to others; put it in quotes, or write a decimal number",
    ),
    (
        "steps: 1",
        "steps: 115792089237316195423570985008687907853269984665640564039457584007913129639935",
        "9:22 \"115792089237316195423570985008687907853269984665640564039457\"… does not fit 64 bits and would be rounded; put it in quotes",
    ),
    ("steps: 1", "steps: \"a\\0b\"", "9:22 the text holds a NUL character, which the database cannot store"),
    ("steps: 1", "\"a\\0b\": 1", "9:15 the key holds a NUL character, which the database cannot store"),
    // Ranges and words.
    ("version: 1", "version: 2", "1:10 version is 2; it must be 1"),
    (
        "operator: noop",
        "operator: noop\n    max_attempts: 0",
        "9:19 max_attempts of job \"beat\" is 0; it must be from 1 to 2147483647",
    ),
    (
        "operator: noop",
        "operator: noop\n    priority: -1001",
        "9:15 priority of job \"beat\" is -1001; it must be from -1000 to 1000",
    ),
    (
        "operator: noop",
        "operator: noop\n    stall_timeout_seconds: 0",
        "9:28 stall_timeout_seconds of job \"beat\" is 0; it must be above 0 and at most 31622400 seconds",
    ),
    (
        "operator: noop",
        "operator: noop\n    heartbeat_timeout_seconds: null",
        "9:32 heartbeat_timeout_seconds of job \"beat\" is empty; it must be a number of seconds",
    ),
    (
        "operator: noop",
        "operator: noop\n    strategy: bulky",
        "9:15 strategy of job \"beat\" is \"bulky\"; it must be per_update, per_partition or bulk; did you mean `bulk`?",
    ),
    (
        "operator: noop",
        "operator: noop\n    runtime: ec2",
        "9:14 runtime of job \"beat\" is \"ec2\"; it must be lambda or fargate",
    ),
    (
        "[1/logs]",
        "[1/log]",
        "11:23 entry 1 of output_datasets of job \"beat\" is \"1/log\"; write blocks, transactions, logs or traces, with a chain id and a slash before it for one chain only",
    ),
    (
        "[1/logs]",
        "[+1/logs]",
        "11:23 entry 1 of output_datasets of job \"beat\" is \"+1/logs\"; its chain id must be written without a sign and without zeros before it",
    ),
    (
        "operator: noop",
        "operator: No-op",
        "8:15 operator of job \"beat\" is \"No-op\"; it must be 1 to 63 of a-z, 0-9 and _, starting with a letter or digit",
    ),
    (
        "name: called",
        "name: Called",
        "16:11 name of trigger \"Called\" is \"Called\"; it must be 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit",
    ),
    // Schedules.
    (
        "rate(1 minute)",
        "rate(1 minutes)",
        "15:23 schedule of trigger \"every-minute\" is \"rate(1 minutes)\"; rate(1 minutes) is not a whole number from 1 and minutes, hours or days (after 1: minute, hour or day)",
    ),
    (
        "rate(1 minute)",
        "at(2026-02-30T00:00:00)",
        "15:23 schedule of trigger \"every-minute\" is \"at(2026-02-30T00:00:00)\"; at(2026-02-30T00:00:00) is not of the form 2026-11-23T06:00:00",
    ),
    (
        "rate(1 minute)",
        "at(2026-03-29T02:30:00), timezone: Europe/Berlin",
        "15:23 trigger \"every-minute\": \"at(2026-03-29T02:30:00)\" never comes in Europe/Berlin: clocks are put forward over it",
    ),
    (
        "rate(1 minute)",
        "rate(1 minute), timezone: Europe/Berln",
        "15:49 timezone of trigger \"every-minute\" is \"Europe/Berln\"; it must be a name of the IANA time zone database, such as Europe/Berlin; did you mean `Europe/Berlin`?",
    ),
    (
        "rate(1 minute)",
        "rate(1 minute), timezone: utc",
        "15:49 timezone of trigger \"every-minute\" is \"utc\"; it must be a name of the IANA time zone database, such as Europe/Berlin; did you mean `UTC`?",
    ),
    (
        "rate(1 minute)",
        "rate(1 minute), overlap: drop",
        "15:48 overlap of trigger \"every-minute\" is \"drop\"; it must be skip, queue or replace",
    ),
    (
        "rate(1 minute)",
        "rate(1 minute), catch_up_seconds: -1",
        "15:57 catch_up_seconds of trigger \"every-minute\" is -1; it must be from 0 to 31622400",
    ),
    // Webhooks.
    (
        "/data/id",
        "data/id",
        "20:25 \"id\" in parameters of trigger \"called\" is \"data/id\"; a JSON pointer begins with `/`, or is empty for the whole body",
    ),
    (
        "/data/id",
        "/a~b",
        "20:25 \"id\" in parameters of trigger \"called\" is \"/a~b\"; in a JSON pointer `~` is written `~0`, and `/` within a name `~1`",
    ),
    ("secret: hook", "secret: \"\"", "19:15 secret of trigger \"called\" is \"\"; it must not be empty"),
    (
        "secret: hook",
        "secret: hook\n      max_body_bytes: 1048577",
        "20:23 max_body_bytes of trigger \"called\" is 1048577; it must be from 1 to 1048576",
    ),
    (
        "secret: hook",
        "secret: hook\n      tolerance_seconds: 3601",
        "20:26 tolerance_seconds of trigger \"called\" is 3601; it must be from 1 to 3600",
    ),
    // Thresholds.
    (
        "every: 10",
        "every: 0",
        "23:68 every of trigger \"full\" is 0; it must be at least 1 and at most 9223372036854775807",
    ),
    (
        "every: 10",
        "every: 9223372036854775808",
        "23:68 every of trigger \"full\" is 9223372036854775808; it must be at least 1 and at most 9223372036854775807",
    ),
    (" dataset: logs,", "", "23:40 trigger \"full\" counts rows, so it needs `dataset`"),
    (
        "measure: rows",
        "measure: lag_seconds",
        "23:53 trigger \"full\" has the measure lag_seconds, which takes no dataset: only rows and bytes do",
    ),
    (
        "measure: rows",
        "measure: row",
        "23:40 measure of trigger \"full\" is \"row\"; it must be finalized_blocks, blocks, rows, bytes or lag_seconds; did you mean `rows`?",
    ),
    ("dataset: logs", "datset: logs", "23:46 unknown key \"datset\" of trigger \"full\"; did you mean `dataset`?"),
    // Between the parts.
    (
        "  # a comment",
        "  - { name: follow, operator: noop }",
        "6:13 two jobs are called \"follow\"; the first is at line 3, column 11",
    ),
    ("name: full", "name: called", "21:11 two triggers are called \"called\"; the first is at line 16, column 11"),
    (
        "job: beat\n    cron",
        "job: bat\n    cron",
        "14:10 trigger \"every-minute\" fires job \"bat\", which is not in the file; did you mean `beat`?",
    ),
    (
        "job: beat\n    cron",
        "job: follow\n    cron",
        "14:10 trigger \"every-minute\" fires job \"follow\", which is always on and takes no trigger",
    ),
    (
        "    cron: { schedule: rate(1 minute) }\n",
        "",
        "13:5 trigger \"every-minute\" needs exactly one of cron, webhook and threshold, and has none",
    ),
    (
        "    cron: {",
        "    webhook: { secret: x }\n    cron: {",
        "16:5 trigger \"every-minute\" needs exactly one of cron, webhook and threshold, and has webhook and cron",
    ),
    ("    cron: {", "    crn: {", "15:5 unknown key \"crn\" of trigger \"every-minute\"; did you mean `cron`?"),
    (
        "always_on: true",
        "always_on: true\n    max_concurrency: 2",
        "6:22 job \"follow\" is always on, so exactly one task runs: max_concurrency must be 1",
    ),
    (
        "always_on: true",
        "always_on: true\n    run_timeout_seconds: 5",
        "6:5 job \"follow\" is always on, so it takes no run_timeout_seconds",
    ),
    (
        "operator: noop",
        "operator: noop\n    partition_blocks: 5",
        "9:5 job \"beat\" has partition_blocks, which goes with `strategy: per_partition` only",
    ),
    (
        "[1/logs]",
        "[1/logs]\n    input_datasets: [logs]",
        "11:22 jobs feed each other for ever through their datasets: \"beat\" → \"beat\"",
    ),
    // YAML that a pipeline may not hold.
    (
        "config: { steps: 1 }",
        "config: &c { steps: 1 }",
        "9:13 anchors (`&name`) are not read; write the value out where it is needed",
    ),
    ("steps: 1", "steps: !!str 1", "9:22 tags (`!name`) are not read; write text in quotes and numbers without"),
    ("steps: 1", "<<: { a: 1 }", "9:15 merge keys (`<<`) are not read; write the entries out"),
];

#[test]
fn each_slip_is_one_fault_at_its_place() {
    let mut others = Vec::new();
    for (old, new, fault) in SLIPS {
        assert!(GOOD.contains(old), "{old}");
        let found = faults(&GOOD.replacen(old, new, 1));
        if found != [*fault] {
            others.push(format!("{new:?}\n  wanted {fault}\n  found  {}", found.join("\n         ")));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn what_is_allowed_is_read() {
    let cases = [
        ("operator: noop", "operator: noop\n    run_timeout_seconds: null"),
        ("operator: noop", "operator: noop\n    run_timeout_seconds:\n    stall_timeout_seconds: ~"),
        ("operator: noop", "operator: noop\n    strategy: per_partition\n    partition_blocks: 100"),
        ("operator: noop", "operator: \"noop\""),
        ("steps: 1", "steps: null, 7: [~, { on: off }]"),
        ("rate(1 minute)", "at(2026-03-29T03:30:00), timezone: Europe/Berlin"),
        ("rate(1 minute)", "\"cron(0 12 ? * MON-FRI *)\", timezone: America/New_York, overlap: skip"),
        ("/data/id", "\"\""),
        ("/data/id", "/a~1b/~0/0"),
    ];
    for (old, new) in cases {
        assert!(GOOD.contains(old), "{old}");
        parse(&GOOD.replacen(old, new, 1)).unwrap_or_else(|error| panic!("{new}: {error}"));
    }
}

#[test]
fn what_is_no_yaml_is_one_fault_at_its_place() {
    let deep = format!("version: 1\njobs: {}", "[".repeat(100));
    let deeper = format!("version: 1\njobs: {}", "[".repeat(100_000));
    let cases: [(&str, &str); 9] = [
        ("", "1:1 the file is empty"),
        ("# nothing\n", "1:1 the file is empty"),
        ("version: 1\njobs: [", "3:1 "),
        ("version: 1\n\tjobs: []", "1:10 "),
        ("version: 1\njobs: *all", "2:7 "),
        ("version: 1\njobs: []\n  bad: x", "3:"),
        ("version: 1\0", "1:11 the file holds a NUL character"),
        (&deeper, "2:262 this is no YAML: recursion limit exceeded"),
        (&deep, "2:38 lists and mappings are nested more than 32 deep"),
    ];
    for (text, wanted) in cases {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(wanted), "{found:?} is not {wanted:?}");
    }
}

#[test]
fn a_file_of_nothing_but_faults_is_not_read_to_its_end() {
    let keys: String = (0..10_000).map(|i| format!("k{i}: 1\n")).collect();
    let found = faults(&format!("version: 1\njobs: []\n{keys}"));
    assert_eq!(found.len(), MAX_FAULTS + 1);
    assert_eq!(found.last().unwrap(), "202:1 there may be more faults: reading ended after 200");
}

#[test]
fn a_file_holds_one_document() {
    let found = faults(&format!("{GOOD}---\nversion: 1\n"));
    assert_eq!(found, ["24:1 a second document begins here; a file holds one"]);
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_too_long_are_refused() {
    let error = parse_bytes(b"version: 1\njobs: \xff").unwrap_err();
    assert_eq!(error.faults, [Place { line: 2, column: 7 }.fault("the file is no UTF-8 from here on")]);
    let long = format!("{GOOD}#{}", "x".repeat(MAX_FILE_BYTES - GOOD.len() - 1));
    assert_eq!(parse_bytes(long.as_bytes()), parse(GOOD));
    let error = parse_bytes(format!("{long}x").as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pipeline has 1 fault(s)\n  line 1, column 1: the file has more than 1048576 bytes, the most that is read"
    );
}

#[test]
fn circles_are_found_over_all_chains_and_reported_once_each() {
    let job = |name: &str, reads: &str, writes: &str| {
        format!("  - {{ name: {name}, operator: noop, input_datasets: [{reads}], output_datasets: [{writes}] }}\n")
    };
    let file = |jobs: &[String]| format!("version: 1\njobs:\n{}", jobs.concat());
    let circle = [job("c", "5/logs", "5/blocks"), job("a", "blocks", "traces"), job("b", "5/traces", "logs")];
    let found = faults(&file(&circle));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("\"c\" → \"a\" → \"b\" → \"c\""), "{found:?}");

    let open = [job("c", "5/logs", "5/blocks"), job("a", "6/blocks", "traces"), job("b", "5/traces", "logs")];
    parse(&file(&open)).unwrap_or_else(|error| panic!("{error}"));

    let two = [job("a", "1/logs", "1/logs"), job("b", "2/logs", "2/blocks"), job("c", "2/blocks", "2/logs")];
    assert_eq!(faults(&file(&two)).len(), 2);

    let shared = [job("a", "1/logs", "1/blocks"), job("b", "1/blocks", "1/logs, 1/blocks")];
    assert_eq!(faults(&file(&shared)).len(), 1);
}
