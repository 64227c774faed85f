//! Jobs for people and for programs.

use std::time::Duration;

use isotherm_control::jobs::{DatasetName, JobOverview};
use isotherm_control::task::TaskState;
use serde_json::{Value, json};

use crate::output::{grouped, instant, say, table};

pub(super) fn print_list(jobs: &[JobOverview]) {
    let right = ["queued", "running", "failed", "at once", "attempts"];
    let headings = [
        "job",
        "state",
        "operator",
        "strategy",
        "queued",
        "running",
        "failed",
        "last end (UTC)",
        "at once",
        "attempts",
        "triggers",
    ];
    let mut table = table(&headings, &right);
    for overview in jobs {
        let job = &overview.job;
        let count = |state| grouped(overview.count(state));
        table.add_row([
            job.name.clone(),
            overview.state().to_owned(),
            job.operator.clone(),
            strategy(overview),
            count(TaskState::Queued),
            count(TaskState::Running),
            count(TaskState::Failed),
            last_end(overview),
            job.max_concurrency.to_string(),
            job.max_attempts.to_string(),
            overview.triggers.join(", "),
        ]);
    }
    say!("{table}");
}

fn strategy(overview: &JobOverview) -> String {
    if overview.job.always_on { "always on".to_owned() } else { overview.job.strategy.as_str().to_owned() }
}

fn last_end(overview: &JobOverview) -> String {
    overview
        .last_end
        .map_or_else(String::new, |end| format!("{} {} (task {})", instant(end.at), end.state, end.task_id.0))
}

pub(super) fn print_one(overview: &JobOverview) {
    let job = &overview.job;
    say!("job {} ({}), {}", job.name, job.operator, overview.state());
    if job.paused && !job.active {
        say!("it is paused besides, and would be so if it came back into the file");
    }
    let span =
        |maybe: Option<Duration>| maybe.map_or_else(|| "none".to_owned(), |span| format!("{} s", span.as_secs_f64()));
    let settings = [
        ("strategy", strategy(overview)),
        ("runs as", job.runtime.as_str().to_owned()),
        ("priority", job.priority.to_string()),
        ("running at once", format!("{} at most", job.max_concurrency)),
        ("attempts", if job.always_on { "without end".to_owned() } else { job.max_attempts.to_string() }),
        ("lease", span(Some(job.heartbeat_timeout))),
        ("longest run", span(job.run_timeout)),
        ("longest standstill", span(job.stall_timeout)),
        ("reads", names(&job.input_datasets)),
        ("writes", names(&job.output_datasets)),
        ("triggers", overview.triggers.join(", ")),
        (
            "secrets",
            job.secrets.iter().map(|(variable, name)| format!("{variable} from {name}")).collect::<Vec<_>>().join(", "),
        ),
        ("config", job.config.to_string()),
        (
            "tasks",
            overview
                .tasks
                .iter()
                .map(|(state, tasks)| format!("{} {state}", grouped(*tasks)))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("last end", last_end(overview)),
    ];
    for (name, value) in settings {
        say!("{name:<18} {value}");
    }
}

fn names(datasets: &[DatasetName]) -> String {
    datasets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn to_json(overview: &JobOverview) -> Value {
    let job = &overview.job;
    let seconds = |maybe: Option<Duration>| maybe.map(|span| span.as_secs_f64());
    let tasks: serde_json::Map<String, Value> =
        overview.tasks.iter().map(|(state, tasks)| (state.as_str().to_owned(), json!(tasks))).collect();
    json!({
        "job_id": job.id.0, "job": job.name, "state": overview.state(), "active": job.active, "paused": job.paused,
        "operator": job.operator, "runtime": job.runtime.as_str(), "strategy": job.strategy.as_str(),
        "always_on": job.always_on, "priority": job.priority, "max_concurrency": job.max_concurrency,
        "max_attempts": job.max_attempts, "partition_blocks": job.partition_blocks,
        "heartbeat_timeout_seconds": job.heartbeat_timeout.as_secs_f64(),
        "run_timeout_seconds": seconds(job.run_timeout), "stall_timeout_seconds": seconds(job.stall_timeout),
        "input_datasets": job.input_datasets, "output_datasets": job.output_datasets,
        "config": job.config, "secrets": job.secrets, "triggers": overview.triggers, "tasks": tasks,
        "live_tasks": overview.count(TaskState::Queued) + overview.count(TaskState::Running),
        "last_end": overview.last_end.map(|end| {
            json!({ "task_id": end.task_id.0, "state": end.state.as_str(), "at": end.at })
        }),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use isotherm_control::jobs::{Job, LastEnd, Runtime, Strategy};
    use isotherm_types::{JobId, OrgId, TaskId};

    use super::*;
    use crate::golden;

    #[test]
    fn jobs_for_programs_are_the_golden_file() {
        let mut tasks = TaskState::ALL.map(|state| (state, 0));
        tasks[0].1 = 4;
        tasks[3].1 = 1;
        let overview = JobOverview {
            job: Job {
                id: JobId(1),
                org_id: OrgId(1),
                name: "work".to_owned(),
                operator: "noop".to_owned(),
                runtime: Runtime::Fargate,
                strategy: Strategy::PerPartition,
                always_on: false,
                config: json!({ "steps": 1 }),
                secrets: BTreeMap::from([("TOKEN".to_owned(), "isotherm/token".to_owned())]),
                input_datasets: vec!["143/logs".parse().unwrap()],
                output_datasets: Vec::new(),
                max_attempts: 3,
                max_concurrency: 2,
                heartbeat_timeout: Duration::from_secs(20),
                run_timeout: Some(Duration::from_millis(1_500)),
                stall_timeout: None,
                priority: 5,
                partition_blocks: Some(100),
                active: true,
                paused: true,
            },
            tasks,
            last_end: Some(LastEnd {
                task_id: TaskId(7),
                state: TaskState::Failed,
                at: "2026-11-26T10:00:00Z".parse().unwrap(),
            }),
            triggers: vec!["beat".to_owned()],
        };
        golden::check("jobs_list", &json!([to_json(&overview)]));
    }
}
