//! Figures and names that must fit each other.

use std::collections::BTreeMap;

use super::lines::Report;
use super::{Access, Stack};

/// A queue hides a batch at least this many times the reader's time-out. Source: AWS Lambda developer guide, SQS.
const VISIBILITY_PER_TIMEOUT: i32 = 6;

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    mappings(stack, report);
    readers(stack, report);
    callers(stack, report);
    launches(stack, report);
    routes(stack, report);
    errands(stack, report);
}

fn mappings(stack: &Stack, report: &mut Report<'_>) {
    for (key, mapping) in &stack.event_source_mappings {
        if !mapping.report_batch_item_failures {
            report.fault(
                &["event_source_mappings", key, "report_batch_item_failures"],
                "functions answer which messages failed; without this the failed ones would be deleted",
            );
        }
        let (Some(queue), Some(function)) = (stack.queues.get(&mapping.queue), stack.functions.get(&mapping.function))
        else {
            continue;
        };
        let least = function.timeout_seconds.saturating_mul(VISIBILITY_PER_TIMEOUT);
        if queue.visibility_seconds < least {
            report.fault(
                &["queues", &mapping.queue, "visibility_seconds"],
                format!(
                    "{} is less than {least}, {VISIBILITY_PER_TIMEOUT} times the time-out of its reader `{}`",
                    queue.visibility_seconds, mapping.function
                ),
            );
        }
    }
}

/// Two readers of one queue would each see half of the messages; none would leave them lying, unless people are to read
/// them: such a queue is the end of the way and has no dead-letter queue.
fn readers(stack: &Stack, report: &mut Report<'_>) {
    for (key, queue) in &stack.queues {
        let functions = stack.event_source_mappings.values().filter(|mapping| mapping.queue == *key).count();
        let operators = stack.operators.values().filter(|operator| operator.queue == *key).count();
        match (functions + operators, &queue.dead_letter) {
            (1, Some(_)) | (0, None) => {}
            (1, None) => report.fault(&["queues", key], "a queue that a program reads needs a dead_letter queue"),
            (count, _) => {
                report.fault(&["queues", key], format!("it has {count} readers (mappings and operators), not one"));
            }
        }
    }
}

fn callers(stack: &Stack, report: &mut Report<'_>) {
    for key in stack.functions.keys() {
        let called = stack.event_source_mappings.values().any(|mapping| mapping.function == *key)
            || stack.schedules.values().any(|schedule| schedule.function == *key)
            || stack.routes.values().any(|route| route.function == *key)
            || stack.cron_triggers.function == *key;
        if !called {
            report.fault(&["functions", key], "no queue, schedule or route invokes it");
        }
    }
}

/// A worker that is launched and never woken would end without having worked.
fn launches(stack: &Stack, report: &mut Report<'_>) {
    for (key, function) in &stack.functions {
        for name in &function.run_operators {
            let Some(operator) = stack.operators.get(name) else { continue };
            if !function.send.contains(&operator.queue) {
                report.fault(
                    &["functions", key, "run_operators"],
                    format!("it launches `{name}` but does not send to its queue `{}`", operator.queue),
                );
            }
        }
    }
    for name in stack.operators.keys() {
        if !stack.functions.values().any(|function| function.run_operators.contains(name)) {
            report.fault(&["operators", name], "no function launches it");
        }
    }
}

fn routes(stack: &Stack, report: &mut Report<'_>) {
    const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];
    for key in stack.routes.keys() {
        let method_and_path = key.split_once(' ');
        let usable = method_and_path
            .is_some_and(|(method, path)| METHODS.contains(&method) && path.starts_with('/') && !path.contains(' '));
        if !usable {
            report.fault(
                &["routes", key],
                format!("a route is one of {} and a path, as in `GET /v1/name`", METHODS.join(", ")),
            );
        }
    }
}

/// Both are a folder under `fargate-operators` and a task definition. Who makes the database's role has to say where it is. What an
/// errand is asked, it does: only who asks may write that, and only the errand its answer.
fn errands(stack: &Stack, report: &mut Report<'_>) {
    for (key, errand) in &stack.errands {
        if stack.operators.contains_key(key) {
            report.fault(&["errands", key], "there is an operator of this name");
        }
        if errand.administers_database && !errand.secrets.iter().any(|secret| secret == "database") {
            report.fault(&["errands", key, "administers_database"], "it does not use the secret `database`");
        }
        for bucket in errand.buckets.keys() {
            let Some(folder) = errand.folders.get(bucket) else {
                report.fault(&["errands", key, "folders"], format!("it has no folder of its own in `{bucket}`"));
                continue;
            };
            for (section, other) in writers(stack, bucket, folder) {
                if (section, other) != ("errands", key.as_str()) {
                    report.fault(
                        &[section, other, "folders"],
                        format!("it may write to `{folder}` of `{bucket}`, where errand `{key}` is asked and answers"),
                    );
                }
            }
        }
    }
}

/// Section and key of all that may write below `folder` of `bucket`.
fn writers<'stack>(stack: &'stack Stack, bucket: &str, folder: &str) -> Vec<(&'static str, &'stack str)> {
    let writes = |buckets: &BTreeMap<String, Access>, folders: &BTreeMap<String, String>| {
        let may = matches!(buckets.get(bucket), Some(Access::Write | Access::ReadWrite));
        may && folders.get(bucket).is_none_or(|own| own == folder)
    };
    let functions = stack.functions.iter();
    let functions = functions.map(|(key, function)| ("functions", key, writes(&function.buckets, &function.folders)));
    let operators = stack.operators.iter();
    let operators = operators.map(|(key, operator)| ("operators", key, writes(&operator.buckets, &operator.folders)));
    let errands = stack.errands.iter();
    let errands = errands.map(|(key, errand)| ("errands", key, writes(&errand.buckets, &errand.folders)));
    let all = functions.chain(operators).chain(errands);
    all.filter(|(.., may_write)| *may_write).map(|(section, key, _)| (section, key.as_str())).collect()
}
