//! Figures and names that must fit each other.

use super::Stack;
use super::lines::Report;

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

/// Both are a folder under `fargate-operators` and a task definition. Who makes the database's role has to say where it is.
fn errands(stack: &Stack, report: &mut Report<'_>) {
    for (key, errand) in &stack.errands {
        if stack.operators.contains_key(key) {
            report.fault(&["errands", key], "there is an operator of this name");
        }
        if errand.administers_database && !errand.secrets.iter().any(|secret| secret == "database") {
            report.fault(&["errands", key, "administers_database"], "it does not use the secret `database`");
        }
    }
}
