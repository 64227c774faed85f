//! Whoever is woken finds what to do, and everything that can go quiet has an alarm.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::rendered::rendered;
use crate::resources::Resources;

/// Anchors that alarms and rules lead to.
fn anchors(resources: &Resources) -> BTreeSet<String> {
    let alarms = resources.all("aws_cloudwatch_metric_alarm").filter_map(|alarm| alarm.text("/alarm_description"));
    let rules = resources.all("aws_cloudwatch_event_rule").filter_map(|rule| rule.text("/description"));
    alarms
        .chain(rules)
        .map(|text| {
            let (_, anchor) = text.split_once("docs/operations.md#").unwrap_or(("", text));
            anchor.to_owned()
        })
        .collect()
}

/// Headings `### Alarm: …` as code forges make anchors of them.
fn runbooks(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter_map(|line| line.strip_prefix("### Alarm: "));
    headings.map(|heading| format!("alarm-{}", heading.trim().to_lowercase().replace(' ', "-"))).collect()
}

/// Whether an alarm watches `metric` of what has `value` for `dimension`.
fn is_watched(resources: &Resources, metric: &str, dimension: &str, value: &str) -> bool {
    resources.all("aws_cloudwatch_metric_alarm").any(|alarm| {
        alarm.text("/metric_name") == Some(metric) && alarm.text(&format!("/dimensions/{dimension}")) == Some(value)
    })
}

/// What somebody has to watch of a queue: metric and dimension. A worker that was launched for its task leaves the wake-up where it
/// is, so that of these queues not the age of messages is watched but for how long a due task waits.
fn of_queue(queue: &str) -> (&'static str, &'static str) {
    if queue.contains("-dlq") || queue.starts_with("isotherm-dead-letters") {
        ("ApproximateNumberOfMessagesVisible", "QueueName")
    } else if queue.starts_with("isotherm-tasks-") {
        ("queue_age_seconds", "queue")
    } else {
        ("ApproximateAgeOfOldestMessage", "QueueName")
    }
}

fn faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    for alarm in resources.all("aws_cloudwatch_metric_alarm") {
        if alarm.list("/alarm_actions").is_empty() {
            faults.push(format!("{}: nobody is told", alarm.address));
        }
    }
    for queue in resources.all("aws_sqs_queue").filter_map(|queue| queue.text("/name")) {
        let (metric, dimension) = of_queue(queue);
        if !is_watched(resources, metric, dimension, queue) {
            faults.push(format!("{queue}: nobody watches {metric}"));
        }
        let age = "ApproximateAgeOfOldestMessage";
        if metric != age && is_watched(resources, age, "QueueName", queue) {
            faults.push(format!("{queue}: it rings for messages that are left where they are"));
        }
    }
    for function in resources.all("aws_lambda_function").filter_map(|function| function.text("/function_name")) {
        if !is_watched(resources, "Errors", "FunctionName", function) {
            faults.push(format!("{function}: nobody watches Errors"));
        }
    }
    for schedule in resources.all("aws_scheduler_schedule") {
        let function = schedule.text("/target/0/arn").and_then(|arn| arn.rsplit(':').next()).unwrap_or("");
        if !is_watched(resources, "Invocations", "FunctionName", function) {
            faults.push(format!("{function}: nobody would notice that it does not run"));
        }
    }
    for database in resources.all("aws_db_instance").filter_map(|database| database.text("/identifier")) {
        for metric in ["FreeStorageSpace", "DatabaseConnections"] {
            if !is_watched(resources, metric, "DBInstanceIdentifier", database) {
                faults.push(format!("{database}: nobody watches {metric}"));
            }
        }
    }
    if resources.all("aws_budgets_budget").next().is_none() {
        faults.push("nobody watches what it costs".to_owned());
    }
    faults
}

#[test]
fn every_alarm_has_a_runbook_and_every_runbook_an_alarm() {
    let (Some(dev), Some(prod)) = (rendered("dev"), rendered("prod")) else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let written = runbooks(&fs::read_to_string(path).unwrap());
    let found: BTreeSet<String> = anchors(&dev).union(&anchors(&prod)).cloned().collect();
    assert_eq!(found, written);
    let alarm = r#"module.observability.aws_cloudwatch_metric_alarm.metric["database-disk"]"#;
    let elsewhere = dev.planted(alarm, "/alarm_description", "The disk. docs/operations.md#alarm-disk");
    assert!(!anchors(&elsewhere).is_subset(&written));
}

#[test]
fn what_can_fail_or_go_quiet_is_watched() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(faults(&real), none, "{environment}");
    }
}

#[test]
fn what_nobody_watches_is_named() {
    let Some(real) = rendered("dev") else { return };
    let alarm = |name: &str| format!(r#"module.observability.aws_cloudwatch_metric_alarm.metric["{name}"]"#);
    let silence = alarm("silence-isotherm-reaper");
    let of_wake_ups = json!({
        "metric_name": "ApproximateAgeOfOldestMessage",
        "dimensions": { "QueueName": "isotherm-tasks-noop.fifo" },
        "alarm_actions": ["topic"],
    });
    let cases = [
        (
            real.without(&alarm("dead-letters-isotherm-events-dlq.fifo")),
            "isotherm-events-dlq.fifo: nobody watches ApproximateNumberOfMessagesVisible".to_owned(),
        ),
        (
            real.without(&alarm("queue-age-isotherm-events.fifo")),
            "isotherm-events.fifo: nobody watches ApproximateAgeOfOldestMessage".to_owned(),
        ),
        (
            real.without(&alarm("queue-age-isotherm-tasks-noop.fifo")),
            "isotherm-tasks-noop.fifo: nobody watches queue_age_seconds".to_owned(),
        ),
        (
            real.with_new("aws_cloudwatch_metric_alarm", of_wake_ups),
            "isotherm-tasks-noop.fifo: it rings for messages that are left where they are".to_owned(),
        ),
        (real.without(&silence), "isotherm-reaper: nobody would notice that it does not run".to_owned()),
        (real.planted(&silence, "/alarm_actions", json!([])), format!("{silence}: nobody is told")),
        (real.without(&alarm("database-disk")), "isotherm: nobody watches FreeStorageSpace".to_owned()),
        (real.without("module.observability.aws_budgets_budget.month"), "nobody watches what it costs".to_owned()),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults(&planted), [expected]);
    }
}
