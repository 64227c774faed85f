//! What Terraform watches and shows of the platform's own metrics is what the catalogue has.

use std::collections::BTreeSet;

use isotherm_platform::metrics::{CATALOGUE, NAMESPACE};
use serde_json::Value;

use crate::rendered::rendered;
use crate::resources::Resources;

/// A metric by its name and what it is told apart by.
type Named = (String, BTreeSet<String>);

fn named<'d>(name: &str, dimensions: impl IntoIterator<Item = &'d str>) -> Named {
    (name.to_owned(), dimensions.into_iter().map(|dimension| dimension.trim().to_owned()).collect())
}

fn catalogue() -> BTreeSet<Named> {
    CATALOGUE.iter().map(|metric| named(metric.name, metric.dimensions.iter().copied())).collect()
}

/// What stands in `text` between `begin` and the next `end`.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0)
}

/// The metric of a query such as `SELECT MAX(name) FROM SCHEMA("Isotherm", dimension)`.
fn of_query(expression: &str) -> Option<Named> {
    let mut schema = between(expression, "SCHEMA(", ")")?.split(',');
    let is_ours = schema.next()?.trim_matches('"') == NAMESPACE;
    is_ours.then(|| named(between(expression, "(", ")").unwrap_or(expression), schema))
}

/// The metric of a search such as `SEARCH('{Isotherm,dimension} MetricName="name"', 'Sum', 300)`.
fn of_search(expression: &str) -> Option<Named> {
    let mut schema = between(expression, "{", "}")?.split(',');
    let is_ours = schema.next()? == NAMESPACE;
    is_ours.then(|| named(between(expression, "MetricName=\"", "\"").unwrap_or(expression), schema))
}

/// Metrics that alarms watch.
fn watched(resources: &Resources) -> Vec<Named> {
    let mut found = Vec::new();
    for alarm in resources.all("aws_cloudwatch_metric_alarm") {
        if alarm.text("/namespace") == Some(NAMESPACE) {
            let dimensions = alarm.values["dimensions"].as_object();
            let names = dimensions.into_iter().flat_map(|dimensions| dimensions.keys().map(String::as_str));
            found.push(named(alarm.text("/metric_name").unwrap_or(""), names));
        }
        found.extend(alarm.text("/metric_query/0/expression").and_then(of_query));
    }
    found
}

/// Metrics that the dashboard shows.
fn shown(resources: &Resources) -> Vec<Named> {
    let mut found = Vec::new();
    for dashboard in resources.all("aws_cloudwatch_dashboard") {
        let body = dashboard.json("/dashboard_body");
        let widgets = body["widgets"].as_array().into_iter().flatten();
        for metric in widgets.filter_map(|widget| widget["properties"]["metrics"].as_array()).flatten() {
            let words: Vec<&str> = metric.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            match words.as_slice() {
                [namespace, name, pairs @ ..] if *namespace == NAMESPACE => {
                    found.push(named(name, pairs.iter().step_by(2).copied()));
                }
                _ => found.extend(metric[0]["expression"].as_str().and_then(of_search)),
            }
        }
    }
    found
}

fn faults(resources: &Resources) -> Vec<String> {
    let (there, shown) = (catalogue(), shown(resources));
    let used = watched(resources).into_iter().chain(shown.iter().cloned());
    let unknown =
        used.filter(|metric| !there.contains(metric)).map(|(name, by)| format!("{name} by {by:?} is not there"));
    let unseen = there.iter().filter(|metric| !shown.contains(metric)).map(|(name, _)| format!("nobody sees {name}"));
    unknown.chain(unseen).collect()
}

#[test]
fn alarms_and_dashboard_know_the_metrics_that_there_are_and_no_others() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        assert!(watched(&real).len() >= 5, "{environment}: {:?}", watched(&real));
        let none: [String; 0] = [];
        assert_eq!(faults(&real), none, "{environment}");
    }
}

#[test]
fn a_metric_that_is_not_there_and_one_that_nobody_sees_are_named() {
    let Some(real) = rendered("dev") else { return };
    let alarm = |name: &str| format!(r#"module.observability.aws_cloudwatch_metric_alarm.metric["{name}"]"#);
    let renamed = real.planted(&alarm("outbox"), "/metric_name", "outbox_waiting");
    assert_eq!(faults(&renamed), ["outbox_waiting by {} is not there"]);
    let asked = r#"module.observability.aws_cloudwatch_metric_alarm.query["integrity"]"#;
    let expression = r#"SELECT MAX(integrity_findings) FROM SCHEMA("Isotherm", dataset)"#;
    let regrouped = real.planted(asked, "/metric_query/0/expression", expression);
    assert_eq!(faults(&regrouped), [r#"integrity_findings by {"dataset"} is not there"#]);

    let dashboard = "module.observability.aws_cloudwatch_dashboard.this";
    let widgets = real.at(dashboard).json("/dashboard_body")["widgets"].as_array().unwrap().clone();
    let place = widgets.iter().position(|widget| widget["properties"]["title"] == "Requests to S3").unwrap();
    let pointer = format!("/widgets/{place}/properties/metrics/0/0/expression");
    let expression = r#"SEARCH('{Isotherm,operation} MetricName="s3_requests"', 'Sum', 300)"#;
    let elsewhere = real.planted_in_json(dashboard, "/dashboard_body", &pointer, expression);
    let expected = [r#"s3_requests by {"operation"} is not there"#, "nobody sees s3_requests_total"];
    assert_eq!(faults(&elsewhere), expected);
}
