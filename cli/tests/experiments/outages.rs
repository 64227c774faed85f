//! A database that does not answer a worker for longer than its lease: the worker stops its operator, gives the task back as
//! soon as it can, and does it.

use std::time::{Duration, Instant};

use isotherm_control::task::TaskState;
use isotherm_lab::experiment::{Experiment, milliseconds};
use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::shared;
use nix::sys::signal::Signal;
use rand::Rng;
use serde_json::json;

use crate::control_plane::ControlPlane;

/// A task that is not at work again by then never will be; nobody but its worker could see to that.
const LIMIT: Duration = Duration::from_secs(20);
const LEASE_SECONDS: u64 = 3;
const MAX_ATTEMPTS: u32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_worker_outages() {
    let mut experiment = Experiment::begin("worker_outages", &["worker"]);
    let (outages, longest_ms) = experiment.scaled((3, 6_000), (12, 60_000));
    let server = shared().await.unwrap();
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", server.port())).await.unwrap();
    let limits = format!("max_attempts: {MAX_ATTEMPTS}, heartbeat_timeout_seconds: {LEASE_SECONDS}");
    let plane = ControlPlane::behind(Some(&proxy), &limits, &json!({ "steps": 40, "step_ms": 50 })).await;
    experiment.figure_of_postgres(&mut plane.connect().await).await;
    let mut random = experiment.random(0);
    let (mut slowest, mut stuck, mut burnt, mut lease_over) = (Duration::ZERO, 0, 0, 0);
    for outage in 0..outages {
        let task_id = plane.task_of(format!("outage-{outage}")).await;
        let task_number = task_id.0.to_string();
        let worker = plane.worker(&[("ISOTHERM_TASK_ID", &task_number), ("ISOTHERM_IDLE_SECONDS", "1")]);
        worker.operator().await;
        proxy.switch(if outage % 2 == 0 { Mode::Lost } else { Mode::Blackhole });
        let span = Duration::from_millis(random.random_range(LEASE_SECONDS * 1_000 + 500..longest_ms));
        // How long the database is away is what is drawn, not a wait for anything.
        tokio::time::sleep(span).await;
        if experiment.lacks("worker") {
            worker.signal(Signal::SIGKILL);
        }
        lease_over += plane
            .count("SELECT count(*) FROM control.tasks WHERE state = 'running' AND lease_expires_at < now()")
            .await;
        proxy.switch(Mode::Pass);
        let back = Instant::now();
        let mut is_back = false;
        while !is_back && back.elapsed() < LIMIT {
            is_back = plane.show(task_id).await.attempts.len() > 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !is_back {
            stuck += 1;
            break;
        }
        slowest = slowest.max(back.elapsed());
        worker.end().await;
        let left = plane.show(task_id).await;
        stuck += i64::from(left.task.state != TaskState::Completed);
        burnt += i64::from(left.task.attempts_left + 1 != MAX_ATTEMPTS);
    }
    experiment.figure("outages", outages);
    experiment.figure("leases_over", lease_over);
    experiment.at_most("slowest_back_ms", milliseconds(slowest), 5_000.0);
    experiment.zero("stuck", stuck);
    experiment.zero("attempts_burnt", burnt);
    let ends = plane.count("SELECT count(*) FROM control.task_attempts WHERE outcome = 'completed'").await;
    experiment.equal("ends", ends, i64::from(outages));
    experiment.finish();
}
