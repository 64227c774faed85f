//! What must hold between the parts of a pipeline. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{JobDefinition, PIPELINE_VERSION, Pipeline, TriggerDefinition};
use crate::cron::Schedule;
use crate::jobs::DatasetName;
use crate::triggers::TriggerConfig;

/// A list at the top of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Jobs,
    Triggers,
}

impl Section {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Triggers => "triggers",
        }
    }
}

/// Something that does not hold, and the item that it was found at.
pub(super) struct Finding {
    pub(super) at: Option<(Section, usize)>,
    pub(super) message: String,
}

/// Everything that does not hold, in the order of the file.
pub(super) fn check(pipeline: &Pipeline) -> Vec<Finding> {
    let mut findings = Vec::new();
    if pipeline.version != PIPELINE_VERSION {
        let message = format!("version is {}; this program reads version {PIPELINE_VERSION}", pipeline.version);
        findings.push(Finding { at: None, message });
    }
    let mut names = BTreeSet::new();
    for (index, job) in pipeline.jobs.iter().enumerate() {
        let mut messages = check_job(job);
        if !names.insert(job.name.as_str()) {
            messages.push(format!("two jobs are called {:?}", job.name));
        }
        let at = Some((Section::Jobs, index));
        findings.extend(messages.into_iter().map(|message| Finding { at, message }));
    }
    let jobs: BTreeMap<&str, &JobDefinition> = pipeline.jobs.iter().map(|job| (job.name.as_str(), job)).collect();
    let mut names = BTreeSet::new();
    for (index, trigger) in pipeline.triggers.iter().enumerate() {
        let mut messages = check_trigger(trigger, &jobs);
        if !names.insert(trigger.name.as_str()) {
            messages.push(format!("two triggers are called {:?}", trigger.name));
        }
        let at = Some((Section::Triggers, index));
        findings.extend(messages.into_iter().map(|message| Finding { at, message }));
    }
    if let Some((index, path)) = find_cycle(&pipeline.jobs) {
        let names: Vec<String> = path.iter().map(|name| format!("{name:?}")).collect();
        let message = format!("jobs feed each other for ever through their datasets: {}", names.join(" → "));
        findings.push(Finding { at: Some((Section::Jobs, index)), message });
    }
    findings
}

fn check_job(job: &JobDefinition) -> Vec<String> {
    let name = &job.name;
    let mut messages = Vec::new();
    if !is_name(name, "_-") {
        messages
            .push(format!("job name {name:?} is not 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"));
    }
    if !is_name(&job.operator, "_") {
        messages.push(format!("operator {:?} of job {name:?} is not 1 to 63 of a-z, 0-9 and _", job.operator));
    }
    if job.max_attempts == 0 || i32::try_from(job.max_attempts).is_err() {
        messages.push(format!("max_attempts of job {name:?} must be at least 1"));
    }
    if job.max_concurrency == 0 || i32::try_from(job.max_concurrency).is_err() {
        messages.push(format!("max_concurrency of job {name:?} must be at least 1"));
    }
    if !is_span(job.heartbeat_timeout_seconds) {
        messages.push(format!("heartbeat_timeout_seconds of job {name:?} must be above 0"));
    }
    if job.run_timeout_seconds.is_some_and(|seconds| !is_span(seconds)) {
        messages.push(format!("run_timeout_seconds of job {name:?} must be above 0"));
    }
    if job.always_on && job.max_concurrency > 1 {
        messages.push(format!("job {name:?} is always on, so exactly one task runs: max_concurrency must be 1"));
    }
    if job.always_on && job.run_timeout_seconds.is_some() {
        messages.push(format!("job {name:?} is always on, so it takes no run_timeout_seconds"));
    }
    if !job.config.is_object() {
        messages.push(format!("config of job {name:?} is no mapping"));
    }
    messages
}

fn check_trigger(trigger: &TriggerDefinition, jobs: &BTreeMap<&str, &JobDefinition>) -> Vec<String> {
    let name = &trigger.name;
    let mut messages = Vec::new();
    if !is_name(name, "_-") {
        messages.push(format!(
            "trigger name {name:?} is not 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"
        ));
    }
    match jobs.get(trigger.job.as_str()) {
        None => messages.push(format!("trigger {name:?} fires job {:?}, which is not in the file", trigger.job)),
        Some(job) if job.always_on => {
            messages
                .push(format!("trigger {name:?} fires job {:?}, which is always on and needs no trigger", trigger.job));
        }
        Some(_) => {}
    }
    match trigger.config() {
        None => messages.push(format!("trigger {name:?} needs exactly one of cron, webhook and threshold")),
        Some(TriggerConfig::Cron(cron)) => {
            if let Err(error) = cron.schedule.parse::<Schedule>() {
                messages.push(format!("trigger {name:?}: {error}"));
            }
        }
        Some(TriggerConfig::Threshold(threshold))
            if threshold.every == 0 || i64::try_from(threshold.every).is_err() =>
        {
            messages.push(format!("trigger {name:?}: every must be at least 1"));
        }
        Some(TriggerConfig::Webhook(_) | TriggerConfig::Threshold(_)) => {}
    }
    if !trigger.input.is_object() {
        messages.push(format!("input of trigger {name:?} is no mapping"));
    }
    messages
}

fn is_name(name: &str, extra: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.starts_with(allowed)
        && name.chars().all(|letter| allowed(letter) || extra.contains(letter))
}

/// At most a year, so that it stays an interval that Postgres and Rust can hold.
fn is_span(seconds: f64) -> bool {
    seconds > 0.0 && seconds <= 366.0 * 86_400.0
}

/// A circle of jobs, each of which writes what the next reads: index of its first job, and the names around it.
fn find_cycle(jobs: &[JobDefinition]) -> Option<(usize, Vec<&str>)> {
    (0..jobs.len()).find_map(|start| {
        let mut path = vec![start];
        let mut seen = BTreeSet::new();
        walks_back(jobs, start, &mut path, &mut seen).then(|| {
            let around = path.iter().chain([&start]);
            (start, around.map(|&index| jobs[index].name.as_str()).collect())
        })
    })
}

fn walks_back(jobs: &[JobDefinition], start: usize, path: &mut Vec<usize>, seen: &mut BTreeSet<usize>) -> bool {
    let Some(&current) = path.last() else { return false };
    for next in 0..jobs.len() {
        if !feeds(&jobs[current], &jobs[next]) {
            continue;
        }
        if next == start {
            return true;
        }
        if seen.insert(next) {
            path.push(next);
            if walks_back(jobs, start, path, seen) {
                return true;
            }
            path.pop();
        }
    }
    false
}

fn feeds(writer: &JobDefinition, reader: &JobDefinition) -> bool {
    let overlap = |written: &DatasetName, read: &DatasetName| {
        written.dataset == read.dataset
            && (written.chain_id.is_none() || read.chain_id.is_none() || written.chain_id == read.chain_id)
    };
    writer.output_datasets.iter().any(|written| reader.input_datasets.iter().any(|read| overlap(written, read)))
}
