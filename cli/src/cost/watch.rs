//! Logs, metrics and alarms, and the small lines: keys, secrets, schedules, the HTTP API, images, e-mails. Pure.

use std::collections::BTreeMap;

use super::Inputs;
use super::bill::{Line, Term};
use super::environment::Mode;
use super::functions::Runs;
use super::load::{DAYS, GB};
use super::operators::Work;

/// Bytes of logs: what is there whatever happens, and what grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LogBytes {
    pub(super) fixed: f64,
    pub(super) grows: f64,
}

pub(super) fn log_bytes(inputs: &Inputs<'_>, runs: &BTreeMap<&str, Runs>, work: &BTreeMap<&str, Work>) -> LogBytes {
    let counts = inputs.counts;
    let sum = |of_run: fn(&Runs) -> f64, of_work: fn(&Work) -> f64| {
        runs.values().map(of_run).sum::<f64>() * counts.log_bytes_per_invocation
            + work.values().map(of_work).sum::<f64>() * counts.log_bytes_per_task
    };
    LogBytes {
        fixed: sum(|runs| runs.fixed, |work| work.fixed_tasks),
        grows: sum(|runs| runs.grows, |work| work.grows_tasks) + inputs.month.blocks * counts.log_bytes_per_block,
    }
}

/// Lines of CloudWatch.
pub(super) fn cloudwatch(inputs: &Inputs<'_>, bytes: LogBytes) -> Vec<Line> {
    let prices = inputs.prices;
    let (fixed, grows) = (bytes.fixed / GB, bytes.grows / GB);
    let kept_months = f64::from(inputs.figures.log_retention_days) / DAYS;
    let one = |item: &str, term: Term, from: &str| Line::of("CloudWatch", item, vec![term], from);
    vec![
        Line::of(
            "CloudWatch",
            "logs",
            vec![
                Term::of(&prices.log_gb, fixed, grows),
                Term::of(&prices.log_storage, fixed * kept_months, grows * kept_months),
            ],
            "invocations, blocks and tasks × log_bytes; log_retention_days",
        ),
        one("metrics", Term::of(&prices.metrics, inputs.counts.custom_metrics, 0.0), "custom_metrics"),
        one("alarms", Term::of(&prices.alarms, alarms(inputs), 0.0), "terraform/modules/observability/alarms.tf"),
        one("dashboard", Term::of(&prices.dashboards, 1.0, 0.0), "terraform/modules/observability/dashboard.tf"),
    ]
}

/// Alarms of an environment that follows one chain. Source: terraform/modules/observability/alarms.tf.
fn alarms(inputs: &Inputs<'_>) -> f64 {
    let stack = inputs.stack;
    let (read, of_people): (Vec<_>, Vec<_>) = stack.queues.values().partition(|queue| queue.dead_letter.is_some());
    let clocked = stack.functions.keys().filter(|key| {
        stack.schedules.values().any(|schedule| schedule.function == **key && schedule.expression == "rate(1 minute)")
    });
    let zones = match inputs.figures.network.mode {
        Mode::Lean => 0.0,
        Mode::Full => f64::from(inputs.figures.network.zones),
    };
    // Lag of the chain; age and dead letters of each queue; silence, errors, throttles; failures; two schedule groups;
    // database, API, outbox, alerts, tasks that did not start, names (8); missed ticks and integrity (2).
    let counted = 1
        + 2 * read.len()
        + of_people.len()
        + clocked.count()
        + 2 * stack.functions.len()
        + stack.operators.len()
        + 2
        + 8
        + 2;
    counted as f64 + zones
}

/// Lines of what costs little.
pub(super) fn others(inputs: &Inputs<'_>, ticks: f64) -> Vec<Line> {
    let (month, counts, prices) = (inputs.month, inputs.counts, inputs.prices);
    let one = |service, item: &str, term: Term, from: &str| Line::of(service, item, vec![term], from);
    let secrets = inputs.stack.secrets.values().filter(|secret| !secret.per_name).count() as f64;
    let asked = month.queries + (counts.api_calls_per_day + counts.webhooks_per_day) * DAYS;
    vec![
        one("KMS", "key", Term::of(&prices.keys, 1.0, 0.0), "docs/adr/0032-where-the-key-is-ours.md"),
        one(
            "Secrets Manager",
            "secrets",
            Term::of(&prices.secrets, secrets + counts.secrets_by_name + 1.0, 0.0),
            "the stack file's, secrets_by_name, the database's master password",
        ),
        one(
            "EventBridge Scheduler",
            "ticks",
            Term::of(&prices.scheduler_invocations, ticks + month.checks, 0.0),
            "schedules of the stack file, checks_per_day",
        ),
        one(
            "API Gateway",
            "HTTP API",
            Term::of(&prices.api_requests, 0.0, asked),
            "queries, api_calls_per_day, webhooks_per_day",
        ),
        one("ECR", "images", Term::of(&prices.image_storage, counts.images_gb, 0.0), "images_gb"),
        one("SES", "e-mails", Term::of(&prices.emails, 0.0, month.alerts), "one an alert"),
    ]
}

#[cfg(test)]
mod tests {
    use crate::cost::scene::Scene;

    /// As many as Terraform plans for the stack file of the day on which this was written, with one chain.
    #[test]
    fn alarms_are_those_that_terraform_makes() {
        let (lean, full) = (Scene::of("dev", 20), Scene::of("prod", 20));
        let made = |scene: &Scene| scene.with(super::alarms);
        assert_eq!((made(&lean), made(&full)), (64.0, 66.0));
    }
}
