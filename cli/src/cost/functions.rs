//! Lambda: how often each function of the stack file runs, and for how long. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use isotherm_local_stack::stack_file::Function;

use super::Inputs;
use super::bill::{Line, Term};
use super::load::{DAYS, SECONDS};

const SERVICE: &str = "Lambda";
/// Size of `/tmp` that costs nothing. Source: Lambda's price list.
const FREE_SCRATCH_MB: i32 = 512;

/// Invocations of a month, and the seconds that all of them take.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Runs {
    pub(super) fixed: f64,
    pub(super) grows: f64,
    fixed_seconds: f64,
    grows_seconds: f64,
    from: &'static str,
}

impl Runs {
    fn growing(runs: f64, seconds: f64, from: &'static str) -> Self {
        Self { fixed: 0.0, grows: runs, fixed_seconds: 0.0, grows_seconds: runs * seconds, from }
    }
}

/// Invocations by function.
///
/// # Errors
/// A function that this does not know, or a schedule that it cannot count.
pub(super) fn runs<'a>(inputs: &Inputs<'a>) -> anyhow::Result<BTreeMap<&'a str, Runs>> {
    let ticks = ticks(inputs)?;
    let mut all = BTreeMap::new();
    for key in inputs.stack.functions.keys() {
        let mut runs = caused(inputs, key)?;
        let ticks = ticks.get(key.as_str()).copied().unwrap_or(0.0);
        runs.fixed += ticks;
        runs.fixed_seconds += ticks * inputs.counts.short_seconds;
        all.insert(key.as_str(), runs);
    }
    Ok(all)
}

/// Ticks of the stack file's schedules in a month, by function.
pub(super) fn ticks<'a>(inputs: &Inputs<'a>) -> anyhow::Result<BTreeMap<&'a str, f64>> {
    let mut ticks = BTreeMap::new();
    for (name, schedule) in &inputs.stack.schedules {
        let period = period_seconds(&schedule.expression)
            .with_context(|| format!("schedule {name} is {:?}; only `rate(…)` can be counted", schedule.expression))?;
        *ticks.entry(schedule.function.as_str()).or_insert(0.0) += SECONDS / period;
    }
    Ok(ticks)
}

/// Seconds from one tick of `rate(…)` to the next.
fn period_seconds(expression: &str) -> Option<f64> {
    let (number, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit {
        "minute" | "minutes" => 60.0,
        "hour" | "hours" => 3_600.0,
        "day" | "days" => 86_400.0,
        _ => return None,
    };
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    Some(f64::from(number) * seconds)
}

/// What causes `key` to run beside its schedules.
fn caused(inputs: &Inputs<'_>, key: &str) -> anyhow::Result<Runs> {
    let (month, counts) = (inputs.month, inputs.counts);
    let batch_size = |queue: &str| {
        let mapping = inputs.stack.event_source_mappings.values().find(|mapping| mapping.queue == queue);
        mapping.map_or(1, |mapping| mapping.batch_size)
    };
    Ok(match key {
        "dispatcher" => {
            Runs::growing(month.event_messages, counts.short_seconds, "a sweep a minute; a message of `events` each")
        }
        "reaper" => Runs::growing(0.0, 0.0, "once a minute"),
        "trigger_threshold" => {
            let blocks = month.blocks_per_run(counts.short_seconds, batch_size("thresholds"));
            Runs::growing(month.blocks / blocks, counts.short_seconds, "a sweep a minute; one a block")
        }
        "trigger_cron" => Runs {
            fixed: month.checks,
            fixed_seconds: month.checks * counts.short_seconds,
            ..Runs::growing(0.0, 0.0, "a sweep a minute; one a check of cold storage")
        },
        "trigger_webhook" => Runs::growing(counts.webhooks_per_day * DAYS, counts.short_seconds, "webhooks_per_day"),
        "api" => Runs::growing(counts.api_calls_per_day * DAYS, counts.short_seconds, "api_calls_per_day"),
        "alert_evaluate" => {
            let blocks = month.blocks_per_run(counts.evaluate_seconds, batch_size("alerts"));
            let runs = Runs::growing(
                month.blocks / blocks,
                counts.evaluate_seconds,
                "a sweep a minute; one a block, and its logs if there is a rule",
            );
            Runs { grows_seconds: runs.grows_seconds + evaluated_seconds(inputs), ..runs }
        }
        "alert_deliver" => {
            Runs::growing(month.alerts, counts.deliver_seconds, "a sweep a minute; rules × alerts_per_rule_per_day")
        }
        "query" => Runs::growing(
            month.queries - month.batch_queries,
            counts.query_seconds,
            "queries a day without those that run as tasks",
        ),
        _ => bail!(
            "function {key:?} of terraform/stack.yaml is not in the model; say in cli/src/cost/functions.rs how often \
             it runs"
        ),
    })
}

/// Seconds that all logs of a month take to be held against rules.
pub(super) fn evaluated_seconds(inputs: &Inputs<'_>) -> f64 {
    if inputs.load.rules == 0 { 0.0 } else { inputs.month.logs * inputs.counts.evaluate_us_per_log / 1e6 }
}

/// One line a function.
pub(super) fn lines(inputs: &Inputs<'_>, runs: &BTreeMap<&str, Runs>) -> Vec<Line> {
    let functions = inputs.stack.functions.iter();
    functions.filter_map(|(key, function)| Some(line(inputs, key, function, runs.get(key.as_str())?))).collect()
}

fn line(inputs: &Inputs<'_>, key: &str, function: &Function, runs: &Runs) -> Line {
    let prices = inputs.prices;
    let gb = f64::from(function.memory_mb) / 1_024.0;
    let mut terms = vec![
        Term::of(&prices.lambda_requests, runs.fixed, runs.grows),
        Term::of(&prices.lambda_gb_seconds, runs.fixed_seconds * gb, runs.grows_seconds * gb),
    ];
    if function.ephemeral_storage_mb > FREE_SCRATCH_MB {
        let gb = f64::from(function.ephemeral_storage_mb - FREE_SCRATCH_MB) / 1_024.0;
        let price = &prices.lambda_scratch_gb_seconds;
        terms.push(Term::of(price, runs.fixed_seconds * gb, runs.grows_seconds * gb));
    }
    Line { member: Some(format!("function/{key}")), ..Line::of(SERVICE, key, terms, runs.from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_counted_and_other_expressions_are_not() {
        let cases = [
            ("rate(1 minute)", Some(60.0)),
            ("rate(5 minutes)", Some(300.0)),
            ("rate(2 hours)", Some(7_200.0)),
            ("rate(1 day)", Some(86_400.0)),
            ("rate(0 minutes)", None),
            ("rate(1 week)", None),
            ("cron(0 * * * ? *)", None),
        ];
        for (expression, seconds) in cases {
            assert_eq!(period_seconds(expression), seconds, "{expression}");
        }
    }
}
