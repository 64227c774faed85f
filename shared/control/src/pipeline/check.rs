//! What must hold between the parts of a pipeline. Pure.
//!
//! It reads the tree and not the finished [`super::Pipeline`], so that a file with a wrong type somewhere still has its
//! other faults reported. What cannot be read is left out here: [`super::fit`] has reported it.

use std::collections::HashMap;

use super::cycle;
use super::read::Fault;
use super::shape::{self, Presence, TRIGGER, did_you_mean, nearest};
use super::tree::{Kind, Node, Place, quoted};
use serde_json::Value;

/// Puts into `faults` what does not hold in `file`.
pub(super) fn check(file: &Node, faults: &mut Vec<Fault>) {
    let jobs = file.value("jobs").and_then(Node::items).unwrap_or_default();
    let triggers = file.value("triggers").and_then(Node::items).unwrap_or_default();
    let by_name = unique(jobs, "jobs", faults);
    unique(triggers, "triggers", faults);
    jobs.iter().for_each(|job| check_job(job, faults));
    let known = Jobs { are_all_named: jobs.iter().all(|job| job.text_of("name").is_some()), by_name };
    let knows_jobs = file.value("jobs").is_some_and(|jobs| jobs.items().is_some());
    for trigger in triggers {
        if knows_jobs {
            check_job_of_trigger(trigger, &known, faults);
        }
        check_kind(trigger, faults);
        check_cron(trigger, faults);
        check_threshold(trigger, faults);
    }
    faults.extend(cycle::find(jobs));
}

struct Jobs<'a> {
    by_name: HashMap<&'a str, &'a Node>,
    are_all_named: bool,
}

/// The items by name. A name that stands twice is a fault at the second.
fn unique<'a>(items: &'a [Node], plural: &str, faults: &mut Vec<Fault>) -> HashMap<&'a str, &'a Node> {
    let mut by_name = HashMap::new();
    let mut places: HashMap<&str, Place> = HashMap::new();
    for item in items {
        let Some((name, node)) = item.value("name").and_then(|node| Some((node.text()?, node))) else { continue };
        match places.get(name) {
            Some(first) => {
                let message = format!("two {plural} are called {}; the first is at {first}", quoted(name));
                faults.push(node.place.fault(message));
            }
            None => {
                places.insert(name, node.place);
                by_name.insert(name, item);
            }
        }
    }
    by_name
}

fn check_job(job: &Node, faults: &mut Vec<Fault>) {
    let name = called(job, "the job", "job");
    if is_source(job) {
        if let Some(entry) = job.get("max_concurrency")
            && number(&entry.value).is_some_and(|number| number > 1)
        {
            let message = format!("{name} is always on, so exactly one task runs: max_concurrency must be 1");
            faults.push(entry.value.place.fault(message));
        }
        if let Some(entry) = job.get("run_timeout_seconds").filter(|entry| !entry.value.is_null()) {
            faults.push(entry.place.fault(format!("{name} is always on, so it takes no run_timeout_seconds")));
        }
    }
    if let Some(entry) = job.get("partition_blocks").filter(|entry| !entry.value.is_null()) {
        let strategy = job.value("strategy");
        let is_readable = strategy.is_none_or(|node| node.text().is_some());
        if is_readable && strategy.and_then(Node::text) != Some("per_partition") {
            let message = format!("{name} has partition_blocks, which goes with `strategy: per_partition` only");
            faults.push(entry.place.fault(message));
        }
    }
}

fn check_job_of_trigger(trigger: &Node, jobs: &Jobs<'_>, faults: &mut Vec<Fault>) {
    let Some(node) = trigger.value("job") else { return };
    let Some(job) = node.text() else { return };
    let name = called(trigger, "the trigger", "trigger");
    match jobs.by_name.get(job) {
        // With a job whose name cannot be read it may be that one.
        None if !jobs.are_all_named => {}
        None => {
            // Looking for a slip compares with every job: not in a file of thousands.
            let names = jobs.by_name.keys().copied();
            let hint = did_you_mean(if jobs.by_name.len() <= 200 { nearest(job, names) } else { None });
            let message = format!("{name} fires job {}, which is not in the file{hint}", quoted(job));
            faults.push(node.place.fault(message));
        }
        Some(job_node) if is_source(job_node) => {
            let message = format!("{name} fires job {}, which is always on and takes no trigger", quoted(job));
            faults.push(node.place.fault(message));
        }
        Some(_) => {}
    }
}

fn check_kind(trigger: &Node, faults: &mut Vec<Fault>) {
    let Kind::Map(entries) = &trigger.kind else { return };
    let is_kind = |name: &str| TRIGGER.key(name).is_some_and(|key| key.presence == Presence::OneOf);
    let given: Vec<_> = entries.iter().filter(|entry| is_kind(&entry.key)).collect();
    let name = called(trigger, "the trigger", "trigger");
    match given.as_slice() {
        [_] => {}
        [] => {
            let is_slip = |key: &str| TRIGGER.key(key).is_none() && TRIGGER.resembling(key).is_some_and(is_kind);
            if !entries.iter().any(|entry| is_slip(&entry.key)) {
                let message = format!("{name} needs exactly one of cron, webhook and threshold, and has none");
                faults.push(trigger.place.fault(message));
            }
        }
        [_, second, ..] => {
            let keys: Vec<&str> = given.iter().map(|entry| entry.key.as_str()).collect();
            let message =
                format!("{name} needs exactly one of cron, webhook and threshold, and has {}", keys.join(" and "));
            faults.push(second.place.fault(message));
        }
    }
}

fn check_cron(trigger: &Node, faults: &mut Vec<Fault>) {
    let Some(cron) = trigger.value("cron") else { return };
    let (Some(schedule), Some(zone)) = (cron.value("schedule"), cron.text_of("timezone")) else { return };
    if let Some(message) = schedule.text().and_then(|text| shape::misfit(text, zone)) {
        faults.push(schedule.place.fault(format!("{}: {message}", called(trigger, "the trigger", "trigger"))));
    }
}

fn check_threshold(trigger: &Node, faults: &mut Vec<Fault>) {
    let Some(threshold) = trigger.value("threshold") else { return };
    let Some(measure) = threshold.value("measure") else { return };
    let Some(word) = measure.text().filter(|word| shape::is_measure(word)) else { return };
    let name = called(trigger, "the trigger", "trigger");
    let dataset = threshold.get("dataset").filter(|entry| !entry.value.is_null());
    match (matches!(word, "rows" | "bytes"), dataset) {
        (true, None) if !has_slip_of_dataset(threshold) => {
            faults.push(measure.place.fault(format!("{name} counts {word}, so it needs `dataset`")));
        }
        (false, Some(entry)) => {
            let message = format!("{name} has the measure {word}, which takes no dataset: only rows and bytes do");
            faults.push(entry.place.fault(message));
        }
        (true, _) | (false, None) => {}
    }
}

fn has_slip_of_dataset(threshold: &Node) -> bool {
    let Kind::Map(entries) = &threshold.kind else { return false };
    let is_unknown = |key: &str| shape::THRESHOLD.key(key).is_none();
    entries.iter().any(|entry| is_unknown(&entry.key) && shape::THRESHOLD.resembling(&entry.key) == Some("dataset"))
}

fn is_source(job: &Node) -> bool {
    matches!(job.value("always_on").map(|node| &node.kind), Some(Kind::Scalar(Value::Bool(true))))
}

fn number(node: &Node) -> Option<i64> {
    match &node.kind {
        Kind::Scalar(value) => value.as_i64(),
        Kind::List(_) | Kind::Map(_) | Kind::Broken => None,
    }
}

/// What an item is called in messages.
pub(super) fn called(item: &Node, nameless: &str, noun: &str) -> String {
    item.text_of("name").map_or_else(|| nameless.to_owned(), |name| format!("{noun} {}", quoted(name)))
}
