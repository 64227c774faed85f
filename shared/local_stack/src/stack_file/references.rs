//! Every name that is used is defined.

use std::collections::BTreeMap;

use super::lines::Report;
use super::{Access, Stack};

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    for (key, function) in &stack.functions {
        let place = |field| ["functions", key.as_str(), field];
        known(report, place("send"), "queue", &stack.queues, &function.send);
        known(report, place("buckets"), "bucket", &stack.buckets, function.buckets.keys());
        used(report, place("folders"), &function.buckets, function.folders.keys());
        known(report, place("secrets"), "secret", &stack.secrets, &function.secrets);
        known(report, place("invoke"), "function", &stack.functions, &function.invoke);
        known(report, place("run_operators"), "operator", &stack.operators, &function.run_operators);
        known(report, place("stop_operators"), "operator", &stack.operators, &function.stop_operators);
    }
    for (key, operator) in &stack.operators {
        let place = |field| ["operators", key.as_str(), field];
        known(report, place("queue"), "queue", &stack.queues, [&operator.queue]);
        known(report, place("send"), "queue", &stack.queues, &operator.send);
        known(report, place("buckets"), "bucket", &stack.buckets, operator.buckets.keys());
        used(report, place("folders"), &operator.buckets, operator.folders.keys());
        known(report, place("secrets"), "secret", &stack.secrets, &operator.secrets);
    }
    for (key, errand) in &stack.errands {
        let place = |field| ["errands", key.as_str(), field];
        known(report, place("buckets"), "bucket", &stack.buckets, errand.buckets.keys());
        used(report, place("folders"), &errand.buckets, errand.folders.keys());
        known(report, place("secrets"), "secret", &stack.secrets, &errand.secrets);
    }
    for (key, mapping) in &stack.event_source_mappings {
        let place = |field| ["event_source_mappings", key.as_str(), field];
        known(report, place("queue"), "queue", &stack.queues, [&mapping.queue]);
        known(report, place("function"), "function", &stack.functions, [&mapping.function]);
    }
    for (key, schedule) in &stack.schedules {
        let place = ["schedules", key.as_str(), "function"];
        known(report, place, "function", &stack.functions, [&schedule.function]);
    }
    for (key, route) in &stack.routes {
        known(report, ["routes", key, "function"], "function", &stack.functions, [&route.function]);
    }
    let triggers = &stack.cron_triggers;
    if !stack.functions.contains_key(&triggers.function) {
        report.fault(&["cron_triggers", "function"], format!("there is no function `{}`", triggers.function));
    }
}

fn known<'names, T>(
    report: &mut Report<'_>,
    place: [&str; 3],
    kind: &str,
    defined: &BTreeMap<String, T>,
    used: impl IntoIterator<Item = &'names String>,
) {
    for name in used {
        if !defined.contains_key(name) {
            report.fault(&place, format!("there is no {kind} `{name}`"));
        }
    }
}

/// A folder lies in a bucket that its owner uses.
fn used<'names>(
    report: &mut Report<'_>,
    place: [&str; 3],
    buckets: &BTreeMap<String, Access>,
    named: impl Iterator<Item = &'names String>,
) {
    for name in named.filter(|name| !buckets.contains_key(*name)) {
        report.fault(&place, format!("it does not use the bucket `{name}`"));
    }
}
