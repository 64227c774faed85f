//! The schema and the reader agree, and so do the schema and the page that explains the file.

use std::collections::BTreeSet;

use boon::{Compiler, Schemas};

use super::*;
use crate::pipeline::{chain, parse};

fn docs(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every table of the file.
fn tables() -> Vec<&'static Table> {
    let mut found: Vec<&'static Table> = vec![&FILE];
    let mut next = 0;
    while let Some(table) = found.get(next).copied() {
        for key in table.keys {
            match &key.shape {
                Shape::Table(inner) | Shape::List(Shape::Table(inner)) => found.push(inner),
                _ => {}
            }
        }
        next += 1;
    }
    found
}

struct Judge {
    schemas: Schemas,
    schema: boon::SchemaIndex,
}

impl Judge {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema: Value = serde_json::from_str(&docs("pipeline.schema.json")).unwrap();
        compiler.add_resource("pipeline.schema.json", schema).unwrap();
        let schema = compiler.compile("pipeline.schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, schema }
    }

    fn accepts(&self, text: &str) -> bool {
        let value: Value = serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        self.schemas.validate(&value, self.schema).is_ok()
    }
}

#[test]
fn the_schema_in_docs_is_the_one_that_follows_from_the_tables() {
    let wanted = format!("{:#}\n", json_schema());
    let hint = "run `cargo run -p isotherm-control --example pipeline_schema > docs/pipeline.schema.json`";
    assert!(docs("pipeline.schema.json") == wanted, "docs/pipeline.schema.json is not up to date: {hint}");
}

/// What serde writes is every key that the structs know, so the three cannot drift apart.
#[test]
fn the_structs_know_the_keys_of_the_tables_and_their_defaults() {
    let text = "{ version: 1, jobs: [{ name: a, operator: b }], triggers: [
        { name: c, job: a, cron: { schedule: rate(1 hour) } }, { name: d, job: a, webhook: { secret: s } },
        { name: e, job: a, threshold: { chain_id: 1, measure: rows, dataset: logs, every: 1 } } ] }";
    let written = serde_json::to_value(parse(text).unwrap_or_else(|error| panic!("{error}"))).unwrap();
    let (triggers, empty) = (&written["triggers"], json!({}));
    let of = |table: &Table| match table.name {
        "pipeline" => written.clone(),
        "job" => written["jobs"][0].clone(),
        "cron" => triggers[0]["cron"].clone(),
        "webhook" => triggers[1]["webhook"].clone(),
        "threshold" => triggers[2]["threshold"].clone(),
        "trigger" => {
            let mut all = triggers[0].clone();
            (all["webhook"], all["threshold"]) = (empty.clone(), empty.clone());
            all
        }
        other => panic!("{other}"),
    };
    for table in tables() {
        let written = of(table);
        let written = written.as_object().unwrap();
        let known: BTreeSet<&str> = table.keys.iter().map(|key| key.name).collect();
        assert_eq!(written.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{}", table.name);
        for key in table.keys {
            if let (Presence::Default(default), false) = (key.presence, matches!(key.name, "triggers")) {
                let default: Value = serde_json::from_str(default).unwrap();
                let is_same = written[key.name] == default || written[key.name].as_f64() == default.as_f64();
                assert!(is_same && (default.as_f64().is_some() || written[key.name] == default), "{}", key.name);
            }
        }
    }
}

const START: &str = "version: 1\njobs:\n  - { name: a, operator: noop JOB }\n  - { name: s, operator: x, always_on: true SOURCE }\ntriggers:\n  - { name: t, job: a, TRIGGER }\n";

fn file(job: &str, source: &str, trigger: &str) -> String {
    START.replace(" JOB", job).replace(" SOURCE", source).replace("TRIGGER", trigger)
}

#[test]
fn the_schema_and_the_reader_judge_alike() {
    let cron = "cron: { schedule: rate(1 hour) }";
    let job = |text: &str| file(&format!(", {text}"), "", cron);
    let source = |text: &str| file("", &format!(", {text}"), cron);
    let trigger = |text: &str| file("", "", text);
    let threshold = |text: &str| trigger(&format!("threshold: {{ chain_id: 1, every: 1, {text} }}"));
    let good = [
        file("", "", cron),
        job("runtime: lambda, strategy: bulk, priority: -1000, max_attempts: 2147483647"),
        job("strategy: per_partition, partition_blocks: 1"),
        job("partition_blocks: null, run_timeout_seconds: null, stall_timeout_seconds: 0.5"),
        job("config: { any: [1, null, { x: y }] }, secrets: { A_B: isotherm/x }"),
        job("input_datasets: [logs, 143/blocks], output_datasets: []"),
        source("max_concurrency: 1, run_timeout_seconds: null"),
        trigger(
            "cron: { schedule: \"cron(0 12 ? * MON *)\", timezone: Europe/Berlin, overlap: skip, catch_up_seconds: 0 }",
        ),
        trigger("webhook: { secret: s, tolerance_seconds: 3600, max_body_bytes: 1, parameters: { a: /b/0, c: \"\" } }"),
        trigger("webhook: { secret: s }, input: { a: 1 }"),
        threshold("measure: rows, dataset: traces"),
        threshold("measure: lag_seconds"),
        threshold("measure: blocks, dataset: null"),
    ];
    let bad = [
        "[]".to_owned(),
        "{ version: 1 }".to_owned(),
        "{ jobs: [] }".to_owned(),
        "{ version: 2, jobs: [] }".to_owned(),
        "{ version: 1, jobs: {} }".to_owned(),
        "{ version: 1, jobs: [], more: 1 }".to_owned(),
        "{ version: 1, jobs: [], triggers: null }".to_owned(),
        "{ version: 1, jobs: [{ name: a }] }".to_owned(),
        "{ version: 1, jobs: [{ operator: a }] }".to_owned(),
        "{ version: 1, jobs: [{ name: A, operator: a }] }".to_owned(),
        "{ version: 1, jobs: [{ name: a, operator: a-b }] }".to_owned(),
        "{ version: 1, jobs: [a] }".to_owned(),
        job("runtime: ec2"),
        job("strategy: null"),
        job("always_on: 1"),
        job("priority: 1001"),
        job("priority: 1.5"),
        job("max_attempts: 0"),
        job("max_concurrency: 2147483648"),
        job("heartbeat_timeout_seconds: 0"),
        job("heartbeat_timeout_seconds: null"),
        job("run_timeout_seconds: 31622401"),
        job("stall_timeout_seconds: -1"),
        job("stall_timeout_seconds: soon"),
        job("config: []"),
        job("config: null"),
        job("secrets: { A-B: x }"),
        job("secrets: { A: \"\" }"),
        job("secrets: { A: 1 }"),
        job("input_datasets: logs"),
        job("input_datasets: [monad/logs]"),
        job("input_datasets: [receipts]"),
        job("partition_blocks: 5"),
        job("partition_blocks: 5, strategy: bulk"),
        job("partition_blocks: 0, strategy: per_partition"),
        job("retries: 3"),
        source("max_concurrency: 2"),
        source("run_timeout_seconds: 5"),
        trigger("input: {}"),
        trigger("cron: { schedule: rate(1 hour) }, webhook: { secret: s }"),
        trigger("cron: {}"),
        trigger("cron: { schedule: hourly }"),
        trigger("cron: { schedule: rate(1 hour), timezone: \"\" }"),
        trigger("cron: { schedule: rate(1 hour), overlap: drop }"),
        trigger("cron: { schedule: rate(1 hour), catch_up_seconds: -1 }"),
        trigger("webhook: {}"),
        trigger("webhook: { secret: \"\" }"),
        trigger("webhook: { secret: s, tolerance_seconds: 0 }"),
        trigger("webhook: { secret: s, max_body_bytes: 1048577 }"),
        trigger("webhook: { secret: s, parameters: { a: b } }"),
        trigger("webhook: { secret: s, parameters: { a: /~2 } }"),
        trigger("webhook: { secret: s, parameters: { \"\": /a } }"),
        trigger("threshold: { chain_id: 0, measure: blocks, every: 1 }"),
        trigger("threshold: { chain_id: 1, measure: blocks, every: 0 }"),
        trigger("threshold: { chain_id: 1, measure: blocks }"),
        threshold("measure: gas"),
        threshold("measure: rows"),
        threshold("measure: bytes, dataset: null"),
        threshold("measure: blocks, dataset: blocks"),
    ];
    let judge = Judge::new();
    for text in &good {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(judge.accepts(text), "the schema refuses {text}");
    }
    for text in &bad {
        assert!(parse(text).is_err(), "the reader takes {text}");
        assert!(!judge.accepts(text), "the schema takes {text}");
    }
}

/// What only the reader can judge.
#[test]
fn what_holds_between_names_is_left_to_the_reader() {
    let judge = Judge::new();
    for text in [
        file("", "", "cron: { schedule: \"cron(0 0 30 2 ? *)\" }"),
        file("", "", "cron: { schedule: rate(1 hour), timezone: Mars/Olympus }"),
        file("", "", "webhook: { secret: s }").replace("job: a", "job: b"),
        file("", "", "webhook: { secret: s }").replace("name: s", "name: a"),
    ] {
        assert!(parse(&text).is_err() && judge.accepts(&text), "{text}");
    }
}

#[test]
fn every_example_is_read_and_names_the_schema_for_editors() {
    let judge = Judge::new();
    let folder = format!("{}/../../docs/examples", env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The other files there are no pipelines.
        if !name.ends_with("-pipeline.yaml") {
            continue;
        }
        let text = docs(&format!("examples/{name}"));
        parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(judge.accepts(&text), "{name}");
        assert!(text.starts_with("# yaml-language-server: $schema=../pipeline.schema.json\n"), "{name}");
        names.insert(name);
    }
    let wanted = ["demo-pipeline.yaml", "monad-pipeline.yaml", "noop-pipeline.yaml"];
    assert!(wanted.iter().all(|name| names.contains(*name)), "{names:?}");
}

#[test]
fn the_monad_example_follows_as_isotherm_up_does() {
    let read = parse(&docs("examples/monad-pipeline.yaml")).unwrap();
    let mut settings = chain::ChainSettings::new(isotherm_types::ChainId(143), "monad");
    settings.partition_blocks = 10_000;
    let mut built = chain::for_chain(&settings);
    // On one machine hot rows stay.
    built.jobs[1].config["drop_hot_after_seconds"] = json!(86_400);
    assert_eq!(read.jobs[..2], built.jobs[..2]);
    assert_eq!(read.triggers[0], built.triggers[0]);
}

#[test]
fn the_page_explains_every_key_with_its_default_and_words() {
    let page = docs("pipeline.md");
    for table in tables() {
        let heading = format!("\n## `{}`\n", table.name);
        let section = page.split(&heading).nth(1).unwrap_or_else(|| panic!("no section {heading:?}"));
        let section = section.split("\n## ").next().unwrap();
        let rows: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        assert_eq!(
            rows.iter().map(|row| row.split('`').next().unwrap()).collect::<Vec<_>>(),
            table.keys.iter().map(|key| key.name).collect::<Vec<_>>(),
            "{heading}"
        );
        for (row, key) in rows.iter().zip(table.keys) {
            let default = match key.presence {
                Presence::Required => "required".to_owned(),
                Presence::Default(value) => format!("`{}`", value.trim_matches('"')),
                Presence::Optional => "none".to_owned(),
                Presence::OneOf => "one of three".to_owned(),
            };
            assert!(row.contains(&format!("| {default} |")), "default of {}: {row}", key.name);
            if let Shape::Word(words) = key.shape {
                assert!(
                    words.iter().all(|(word, _)| row.contains(&format!("`{word}`"))),
                    "words of {}: {row}",
                    key.name
                );
            }
            if let Shape::Whole { least, most } = key.shape {
                let bounds = [least, most].map(|bound| bound.to_string());
                let is_there = row.contains(&bounds[0]) && (most >= i64::from(i32::MAX) || row.contains(&bounds[1]));
                assert!(is_there, "range of {}: {row}", key.name);
            }
        }
    }
}
