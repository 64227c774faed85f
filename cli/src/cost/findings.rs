//! What the environment cannot bear as it is, in sentences. Pure.

use std::collections::BTreeMap;

use super::bill::Sum;
use super::load::SECONDS;
use super::operators::{self, Work};
use super::{Inputs, functions, stores};

pub(super) fn of(inputs: &Inputs<'_>, work: &BTreeMap<&str, Work>, sum: Sum) -> Vec<String> {
    let all = [
        follower(inputs),
        disk(inputs),
        processor(inputs),
        evaluator(inputs),
        compaction(inputs, work),
        budget(inputs, sum),
    ];
    all.into_iter().flatten().collect()
}

fn follower(inputs: &Inputs<'_>) -> Option<String> {
    let operator = inputs.stack.operators.get("block_follower")?;
    let (cpu, memory_mb) = operators::follower_size(inputs, operator);
    let (cores, part) = (operators::follower_cores(inputs), inputs.counts.cpu_part_used);
    (cpu > operator.cpu).then(|| {
        format!(
            "following takes {cores:.2} cores and block_follower has {:.2}, of which {part} may be busy: give it cpu \
             {cpu} and memory_mb {memory_mb} in terraform/stack.yaml (reckoned so here), or say `sender: never` in the \
             chain's profile",
            f64::from(operator.cpu) / 1_024.0
        )
    })
}

fn disk(inputs: &Inputs<'_>) -> Option<String> {
    let (needed, limit) = (stores::hot_gb(inputs), inputs.figures.database.storage_limit_gb);
    (needed > f64::from(limit)).then(|| {
        format!(
            "hot rows need {needed:.0} GB of disk and storage_limit_gb is {limit}: keep them for fewer hours \
             (drop_hot_after_seconds), make partitions shorter, or raise it"
        )
    })
}

fn processor(inputs: &Inputs<'_>) -> Option<String> {
    let class = &inputs.figures.database.instance_class;
    let has = inputs.instances.get(class)?.sustained_vcpu;
    let needed = stores::postgres_cores(inputs);
    (needed > has * inputs.counts.cpu_part_used).then(|| {
        format!(
            "Postgres needs {needed:.2} cores for rows and events, and {class} has {has} all day: take a larger \
             instance_class"
        )
    })
}

fn evaluator(inputs: &Inputs<'_>) -> Option<String> {
    let busy = functions::evaluated_seconds(inputs) / SECONDS;
    (busy > inputs.counts.cpu_part_used).then(|| {
        format!(
            "alert_evaluate is busy for {busy:.2} of the time with the chain's logs, and a chain has one evaluator at \
             a time: give it more memory_mb, which brings more of a core"
        )
    })
}

fn compaction(inputs: &Inputs<'_>, work: &BTreeMap<&str, Work>) -> Option<String> {
    let compact = work.get("parquet_compact").filter(|work| work.grows_tasks > 0.0)?;
    let seconds = compact.grows_seconds / compact.grows_tasks;
    let partition = inputs.month.partition_seconds;
    (seconds > partition * inputs.counts.cpu_part_used).then(|| {
        format!(
            "compacting a partition takes {seconds:.0} s, and a new one is there every {partition:.0} s: make \
             partitions longer, or give parquet_compact more cpu"
        )
    })
}

fn budget(inputs: &Inputs<'_>, sum: Sum) -> Option<String> {
    let budget = inputs.figures.monthly_budget_usd;
    (sum.total() > budget).then(|| {
        format!(
            "the month costs ${:.0} and monthly_budget_usd is {budget}: its alarm will ring; raise it, or lower the \
             load",
            sum.total()
        )
    })
}
