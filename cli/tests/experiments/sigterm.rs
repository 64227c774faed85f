//! Workers that are told to end at random moments of a task's life.

use std::time::{Duration, Instant};

use isotherm_control::task::TaskState;
use isotherm_lab::experiment::{Experiment, milliseconds};
use nix::sys::signal::Signal;
use rand::Rng;
use serde_json::json;

use crate::control_plane::ControlPlane;

/// From the start of the process to the signal, at most: longer than a worker needs to start, claim, run five steps and end.
const LIFE_MS: u64 = 700;
const MAX_ATTEMPTS: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_sigterm() {
    let mut experiment = Experiment::begin("sigterm", &["asked"]);
    let rounds: u32 = experiment.scaled(10, 300);
    let signal = if experiment.lacks("asked") { Signal::SIGKILL } else { Signal::SIGTERM };
    let limits = format!("max_attempts: {MAX_ATTEMPTS}, heartbeat_timeout_seconds: 4");
    let plane = ControlPlane::start(&limits, &json!({ "steps": 5, "step_ms": 60 })).await;
    experiment.figure_of_postgres(&mut plane.connect().await).await;
    let mut random = experiment.random(0);
    let (mut unclaimed, mut released, mut completed, mut held, mut burnt) = (0, 0, 0, 0, 0);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let task_id = plane.task_of(format!("round-{round}")).await;
        let task_number = task_id.0.to_string();
        let variables = [("ISOTHERM_TASK_ID", task_number.as_str()), ("ISOTHERM_IDLE_SECONDS", "10")];
        let worker = plane.worker(&variables);
        // The moment is what is drawn, not a wait for anything.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..LIFE_MS))).await;
        let told_at = Instant::now();
        worker.signal(signal);
        worker.end().await;
        slowest = slowest.max(told_at.elapsed());
        let left = plane.show(task_id).await;
        match (left.task.state, left.attempts.len()) {
            (TaskState::Queued, 0) => unclaimed += 1,
            (TaskState::Queued, _) => released += 1,
            (TaskState::Completed, _) => completed += 1,
            _ => held += 1,
        }
        if left.task.state == TaskState::Queued && left.task.attempts_left != MAX_ATTEMPTS {
            burnt += 1;
        }
        if left.task.state == TaskState::Queued {
            plane.worker(&[("ISOTHERM_TASK_ID", &task_number), ("ISOTHERM_IDLE_SECONDS", "1")]).end().await;
        }
    }
    experiment.figure("signals", rounds);
    experiment.figure("before_the_claim", unclaimed);
    experiment.figure("given_back", released);
    experiment.figure("after_the_end", completed);
    experiment.at_most("slowest_exit_ms", milliseconds(slowest), 5_000.0);
    experiment.zero("leases_held", held);
    experiment.zero("attempts_burnt", burnt);
    let undone = plane.count("SELECT count(*) FROM control.tasks WHERE state <> 'completed'").await;
    experiment.zero("undone", undone);
    let ends = plane.count("SELECT count(*) FROM control.task_attempts WHERE outcome = 'completed'").await;
    experiment.equal("ends", ends, i64::from(rounds));
    let workers = plane.count("SELECT count(*) FROM control.worker_leases").await;
    experiment.zero("workers_left", workers);
    experiment.finish();
}
