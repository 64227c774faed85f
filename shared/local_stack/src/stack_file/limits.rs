//! Names and figures, each for itself: what AWS would refuse later is refused here with a line.

use super::Stack;
use super::lines::Report;

/// Most bytes of a key: the longest name made of one is a dead-letter queue's, of which SQS takes 80 characters.
const MAX_KEY_LENGTH: usize = 48;

/// Memory in MB that Fargate offers for a number of CPU units.
/// Source: Amazon ECS developer guide, task CPU and memory.
const FARGATE_SIZES: &[(i32, &[i32])] = &[
    (256, &[512, 1024, 2048]),
    (512, &[1024, 2048, 3072, 4096]),
    (1024, &[2048, 3072, 4096, 5120, 6144, 7168, 8192]),
    (2048, &[4096, 5120, 6144, 7168, 8192, 9216, 10240, 11264, 12288, 13312, 14336, 15360, 16384]),
];

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    keys(stack, report);
    functions(stack, report);
    queues(stack, report);
    schedules(stack, report);
    operators(stack, report);
    for (key, mapping) in &stack.event_source_mappings {
        let place = |field| ["event_source_mappings", key.as_str(), field];
        // FIFO batches have no batching window and ten messages at most.
        within(report, &place("batch_size"), mapping.batch_size, 1, 10);
        if let Some(most) = mapping.maximum_concurrency {
            within(report, &place("maximum_concurrency"), most, 2, 1000);
        }
    }
    for (key, bucket) in &stack.buckets {
        if let Some(days) = bucket.expire_days {
            within(report, &["buckets", key, "expire_days"], days, 1, 3650);
        }
    }
    for (key, secret) in &stack.secrets {
        if !secret.per_name && !secret.names.is_empty() {
            report.fault(&["secrets", key, "names"], "there is one of it, so it has no names");
        }
        for name in secret.names.iter().filter(|name| !is_secret_name(name)) {
            report.fault(&["secrets", key, "names"], format!("`{name}` is not 1 to 63 of a-z, 0-9, _ and -"));
        }
    }
}

/// Source: the same rule in terraform/modules/secrets/variables.tf.
fn is_secret_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || matches!(one, '_' | '-'))
}

fn within(report: &mut Report<'_>, place: &[&str], value: i32, least: i32, most: i32) {
    if !(least..=most).contains(&value) {
        report.fault(place, format!("{value} is not between {least} and {most}"));
    }
}

fn keys(stack: &Stack, report: &mut Report<'_>) {
    let keys = [
        ("functions", stack.functions.keys().collect::<Vec<_>>()),
        ("queues", stack.queues.keys().collect()),
        ("event_source_mappings", stack.event_source_mappings.keys().collect()),
        ("schedules", stack.schedules.keys().collect()),
        ("operators", stack.operators.keys().collect()),
        ("errands", stack.errands.keys().collect()),
        ("buckets", stack.buckets.keys().collect()),
        ("secrets", stack.secrets.keys().collect()),
    ];
    for (section, names) in keys {
        for key in names {
            if !is_key(key) {
                report.fault(
                    &[section, key],
                    format!("a name is made of a-z, 0-9 and _, begins with a letter and has at most {MAX_KEY_LENGTH}"),
                );
            }
        }
    }
}

fn is_key(key: &str) -> bool {
    key.len() <= MAX_KEY_LENGTH
        && key.starts_with(|first: char| first.is_ascii_lowercase())
        && key.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
}

fn functions(stack: &Stack, report: &mut Report<'_>) {
    for (key, function) in &stack.functions {
        let place = |field| ["functions", key.as_str(), field];
        within(report, &place("memory_mb"), function.memory_mb, 128, 10_240);
        within(report, &place("timeout_seconds"), function.timeout_seconds, 1, 900);
        within(report, &place("ephemeral_storage_mb"), function.ephemeral_storage_mb, 512, 10_240);
        if let Some(most) = function.reserved_concurrency {
            within(report, &place("reserved_concurrency"), most, 1, 1000);
        }
        variables(report, ["functions", key], function.environment.keys());
        folders(report, ["functions", key], function.folders.values());
    }
}

fn variables<'keys>(report: &mut Report<'_>, [section, key]: [&str; 2], names: impl Iterator<Item = &'keys String>) {
    const DERIVED: &[&str] = &[
        "AWS_",
        "ISOTHERM_QUEUE_",
        "ISOTHERM_BUCKET_",
        "ISOTHERM_SECRET_",
        "ISOTHERM_FUNCTION_",
        "ISOTHERM_CLUSTER",
        "ISOTHERM_TASK_DEFINITION_PREFIX",
        "ISOTHERM_SUBNETS",
        "ISOTHERM_SECURITY_GROUPS",
        "ISOTHERM_OPERATOR",
        "ISOTHERM_ERRAND",
        "ISOTHERM_DATABASE_",
        "ISOTHERM_BUNDLE",
    ];
    for name in names {
        if DERIVED.iter().any(|prefix| name.starts_with(prefix)) {
            report
                .fault(&[section, key, "environment", name], "this variable is derived from the wiring, or AWS's own");
        }
    }
}

/// They become patterns of policies, in which `*` and `?` would mean more than themselves.
fn folders<'names>(report: &mut Report<'_>, [section, key]: [&str; 2], names: impl Iterator<Item = &'names String>) {
    for name in names.filter(|name| !is_key(name)) {
        report.fault(&[section, key, "folders"], format!("a folder is made of a-z, 0-9 and _, not `{name}`"));
    }
}

fn queues(stack: &Stack, report: &mut Report<'_>) {
    for (key, queue) in &stack.queues {
        let place = |field| ["queues", key.as_str(), field];
        within(report, &place("visibility_seconds"), queue.visibility_seconds, 0, 43_200);
        within(report, &place("retention_seconds"), queue.retention_seconds, 60, 1_209_600);
        if let Some(dead_letter) = &queue.dead_letter {
            let place = |field| ["queues", key.as_str(), "dead_letter", field];
            within(report, &place("max_receives"), dead_letter.max_receives, 1, 1000);
            let least = queue.retention_seconds;
            within(report, &place("retention_seconds"), dead_letter.retention_seconds, least, 1_209_600);
            if queue.fifo != dead_letter.fifo {
                report.fault(
                    &["queues", key, "dead_letter", "fifo"],
                    "a FIFO queue needs a FIFO dead-letter queue, and a standard queue a standard one",
                );
            }
        }
        let scope = queue.deduplication_scope.as_deref();
        let limit = queue.fifo_throughput_limit.as_deref();
        let consistent = match (scope, limit) {
            (None, None) => true,
            (Some("messageGroup"), Some("perMessageGroupId")) => queue.fifo,
            (Some("queue"), Some("perQueue")) => queue.fifo,
            _ => false,
        };
        if !consistent {
            report.fault(
                &["queues", key, "deduplication_scope"],
                "high throughput needs a FIFO queue with deduplication_scope messageGroup and fifo_throughput_limit \
                 perMessageGroupId, both or neither",
            );
        }
    }
}

fn schedules(stack: &Stack, report: &mut Report<'_>) {
    for (key, schedule) in &stack.schedules {
        let place = |field| ["schedules", key.as_str(), field];
        within(report, &place("retry_attempts"), schedule.retry_attempts, 0, 185);
        within(report, &place("max_event_age_seconds"), schedule.max_event_age_seconds, 60, 86_400);
        if let Err(error) = crate::schedules::check_expression(&schedule.expression) {
            report.fault(&["schedules", key, "expression"], error.to_string());
        }
    }
    let triggers = &stack.cron_triggers;
    let place = |field| ["cron_triggers", field];
    if !is_key(&triggers.group) {
        report.fault(&place("group"), "a group's name is made of a-z, 0-9 and _");
    }
    within(report, &place("retry_attempts"), triggers.retry_attempts, 0, 185);
    within(report, &place("max_event_age_seconds"), triggers.max_event_age_seconds, 60, 86_400);
}

fn operators(stack: &Stack, report: &mut Report<'_>) {
    let grace = i32::try_from(isotherm_types::operator::STOP_GRACE.as_secs()).unwrap_or(i32::MAX);
    for (key, operator) in &stack.operators {
        let place = |field| ["operators", key.as_str(), field];
        // The worker needs time after its operator's grace to hand the task back; Fargate gives two minutes at most.
        within(report, &place("stop_timeout_seconds"), operator.stop_timeout_seconds, grace + 5, 120);
        variables(report, ["operators", key], operator.environment.keys());
        folders(report, ["operators", key], operator.folders.values());
        fargate_size(report, ["operators", key], operator.cpu, operator.memory_mb);
    }
    for (key, errand) in &stack.errands {
        within(report, &["errands", key, "stop_timeout_seconds"], errand.stop_timeout_seconds, grace + 5, 120);
        variables(report, ["errands", key], errand.environment.keys());
        folders(report, ["errands", key], errand.folders.values());
        fargate_size(report, ["errands", key], errand.cpu, errand.memory_mb);
    }
}

fn fargate_size(report: &mut Report<'_>, [section, key]: [&str; 2], cpu: i32, memory_mb: i32) {
    match FARGATE_SIZES.iter().find(|(offered, _)| *offered == cpu) {
        None => {
            let sizes: Vec<String> = FARGATE_SIZES.iter().map(|(cpu, _)| cpu.to_string()).collect();
            report.fault(&[section, key, "cpu"], format!("{cpu} is not one of {}", sizes.join(", ")));
        }
        Some((cpu, sizes)) if !sizes.contains(&memory_mb) => {
            report.fault(
                &[section, key, "memory_mb"],
                format!("Fargate has no {memory_mb} MB with {cpu} CPU units, only {sizes:?}"),
            );
        }
        Some(_) => {}
    }
}
