//! Fargate: how many tasks each operator and errand of the stack file has, and for how long they run. Pure.

use std::collections::BTreeMap;

use anyhow::bail;
use isotherm_local_stack::stack_file::Operator;

use super::Inputs;
use super::bill::{Line, Term};
use super::load::{HOURS, SECONDS};

const SERVICE: &str = "Fargate";
/// Disk of a task that costs nothing. Source: Fargate's price list.
const FREE_SCRATCH_GB: f64 = 20.0;
/// CPU units of a core.
const CORE: f64 = 1_024.0;
/// Sizes of tasks: CPU units, and the least memory in MB. Source: ECS developer guide, "Task CPU and memory".
const SIZES: [(i32, i32); 7] =
    [(256, 512), (512, 1_024), (1_024, 2_048), (2_048, 4_096), (4_096, 8_192), (8_192, 16_384), (16_384, 32_768)];

/// Tasks of a month, and the seconds that all of them take together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Work {
    pub(super) fixed_tasks: f64,
    pub(super) grows_tasks: f64,
    fixed_seconds: f64,
    pub(super) grows_seconds: f64,
    from: &'static str,
}

/// Work by operator and errand: no two of them have one key.
///
/// # Errors
/// An operator or errand that this does not know.
pub(super) fn work<'a>(inputs: &Inputs<'a>) -> anyhow::Result<BTreeMap<&'a str, Work>> {
    let mut all = BTreeMap::new();
    for (key, operator) in &inputs.stack.operators {
        all.insert(key.as_str(), operator_work(inputs, key, operator)?);
    }
    for key in inputs.stack.errands.keys() {
        all.insert(key.as_str(), errand_work(inputs, key)?);
    }
    Ok(all)
}

fn operator_work(inputs: &Inputs<'_>, key: &str, operator: &Operator) -> anyhow::Result<Work> {
    let (month, counts) = (inputs.month, inputs.counts);
    // One core does the work, or the part of one that the task has.
    let slowed = (CORE / f64::from(operator.cpu)).max(1.0) / 1e6;
    let around = counts.task_start_seconds + counts.task_idle_seconds;
    let none = |from| Work { fixed_tasks: 0.0, grows_tasks: 0.0, fixed_seconds: 0.0, grows_seconds: 0.0, from };
    Ok(match key {
        "block_follower" => Work {
            fixed_tasks: 1.0,
            fixed_seconds: SECONDS,
            ..none(
                "one task all the time; larger than the stack file says where follower_cpu_us_per_transaction needs it",
            )
        },
        "parquet_compact" => Work {
            grows_tasks: month.partitions,
            grows_seconds: month.partitions * around + month.transactions * counts.compact_us_per_transaction * slowed,
            ..none("a task a partition: start, transactions, idle end")
        },
        "integrity_check" => Work {
            fixed_tasks: month.checks,
            fixed_seconds: month.checks * around,
            grows_seconds: month.transactions * counts.check_us_per_transaction * slowed,
            ..none("checks_per_day, each of what was added since")
        },
        "duckdb_query" => Work {
            grows_tasks: month.batch_queries,
            grows_seconds: month.batch_queries * (around + counts.batch_seconds),
            ..none("batch_part_of_queries")
        },
        "cryo_ingest" => none("none in an ordinary month; `isotherm backfill` estimates a backfill"),
        "noop" => none("none: it is there to try the way of a task"),
        _ => bail!(
            "operator {key:?} of terraform/stack.yaml is not in the model; say in cli/src/cost/operators.rs how many \
             tasks it has"
        ),
    })
}

/// An errand has no worker that would wait for more.
fn errand_work(inputs: &Inputs<'_>, key: &str) -> anyhow::Result<Work> {
    let counts = inputs.counts;
    let tasks = match key {
        "migrate" => counts.deploys_per_month * counts.errands_per_deploy,
        _ => bail!(
            "errand {key:?} of terraform/stack.yaml is not in the model; say in cli/src/cost/operators.rs how often it \
             is started"
        ),
    };
    Ok(Work {
        fixed_tasks: tasks,
        grows_tasks: 0.0,
        fixed_seconds: tasks * (counts.task_start_seconds + counts.errand_seconds),
        grows_seconds: 0.0,
        from: "deploys_per_month × errands_per_deploy: start, errand_seconds",
    })
}

/// One line an operator, one an errand.
pub(super) fn lines(inputs: &Inputs<'_>, work: &BTreeMap<&str, Work>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (key, operator) in &inputs.stack.operators {
        let Some(work) = work.get(key.as_str()) else { continue };
        let given = (operator.cpu, operator.memory_mb);
        let needed = if key == "block_follower" { follower_size(inputs, operator) } else { given };
        lines.push(line(inputs, format!("operator/{key}"), key, [given, needed], work));
    }
    for (key, errand) in &inputs.stack.errands {
        let Some(work) = work.get(key.as_str()) else { continue };
        let given = (errand.cpu, errand.memory_mb);
        lines.push(line(inputs, format!("errand/{key}"), key, [given, given], work));
    }
    lines
}

/// `sizes` are CPU units and memory in MB as the stack file gives them, and as they are needed the whole month long.
fn line(inputs: &Inputs<'_>, member: String, key: &str, sizes: [(i32, i32); 2], work: &Work) -> Line {
    let prices = inputs.prices;
    let (fixed, grows) = (work.fixed_seconds / 3_600.0, work.grows_seconds / 3_600.0);
    let [(cpu, memory_mb), (needed_cpu, needed_mb)] = sizes;
    let (cores, gb) = (f64::from(cpu) / CORE, f64::from(memory_mb) / 1_024.0);
    let more_cores = f64::from(needed_cpu - cpu) / CORE * HOURS;
    let more_gb = f64::from(needed_mb - memory_mb) / 1_024.0 * HOURS;
    let scratch = (f64::from(inputs.figures.scratch_gb) - FREE_SCRATCH_GB).max(0.0);
    let terms = vec![
        Term::of(&prices.fargate_vcpu_hours, fixed * cores, grows * cores + more_cores),
        Term::of(&prices.fargate_gb_hours, fixed * gb, grows * gb + more_gb),
        Term::of(&prices.fargate_scratch_gb_hours, fixed * scratch, grows * scratch),
    ];
    Line { member: Some(member), ..Line::of(SERVICE, key, terms, work.from) }
}

/// Cores that following takes.
pub(super) fn follower_cores(inputs: &Inputs<'_>) -> f64 {
    let per_transaction = inputs.counts.follower_cpu_us_per_transaction + inputs.counts.gunzip_cpu_us_per_transaction;
    f64::from(inputs.load.transactions_per_second) * per_transaction / 1e6
}

/// CPU units and memory in MB with which the follower keeps up: those of the stack file, or the next size that has
/// room.
pub(super) fn follower_size(inputs: &Inputs<'_>, operator: &Operator) -> (i32, i32) {
    let needed = follower_cores(inputs) / inputs.counts.cpu_part_used * CORE;
    if needed <= f64::from(operator.cpu) {
        return (operator.cpu, operator.memory_mb);
    }
    let fits = SIZES.into_iter().find(|(cpu, _)| needed <= f64::from(*cpu));
    let (cpu, memory_mb) = fits.unwrap_or(SIZES[SIZES.len() - 1]);
    (cpu.max(operator.cpu), memory_mb.max(operator.memory_mb))
}
