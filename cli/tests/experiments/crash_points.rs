//! Workers that die at every crash point that a worker passes, at its first and its second passing.

use std::os::unix::process::ExitStatusExt as _;

use isotherm_control::task::TaskState;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::process::eventually;
use isotherm_platform::crash_points::CRASH_POINT_VARIABLE;
use isotherm_types::CrashPoint;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::control_plane::ControlPlane;

const POINTS: [CrashPoint; 4] =
    [CrashPoint::WorkerClaimed, CrashPoint::WorkerOperatorEnded, CrashPoint::WorkerWrittenDown, CrashPoint::OutboxSent];
const TASKS: i64 = 3;
/// Workers started after the crash, at most.
const RESTARTS: u32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_worker_crash_points() {
    let mut experiment = Experiment::begin("worker_crash_points", &["reaper"]);
    let hits: &[u32] = experiment.scaled(&[1, 2][..], &[1, 2, 3][..]);
    let (mut runs, mut passed, mut stuck, mut fence_faults, mut second_ends, mut outbox, mut wrong_letters) =
        (0, 0, 0, 0, 0, 0, 0);
    for point in POINTS {
        for hit in hits {
            runs += 1;
            let publishes = point == CrashPoint::OutboxSent;
            let (attempts, config) =
                if publishes { (1, json!({ "fail_with": "x" })) } else { (3, json!({ "steps": 1 })) };
            let limits = format!("max_attempts: {attempts}, heartbeat_timeout_seconds: 2");
            let plane = ControlPlane::start(&limits, &config).await;
            let mut tasks = Vec::new();
            for n in 0..TASKS {
                tasks.push(plane.task_of(format!("task-{n}")).await);
            }
            // It takes the others after the first, as they are next in line.
            let first = tasks[0].0.to_string();
            let armed = format!("{}:{hit}", point.as_str());
            let variables = [("ISOTHERM_TASK_ID", first.as_str()), (CRASH_POINT_VARIABLE, armed.as_str())];
            let status = plane.worker(&variables).end().await;
            passed += i64::from(status.signal() == Some(Signal::SIGABRT as i32));
            if !experiment.lacks("reaper") {
                eventually("no task of a dead worker", async || {
                    plane.reap().await;
                    plane.count("SELECT count(*) FROM control.tasks WHERE state = 'running'").await == 0
                })
                .await
                .unwrap();
            }
            for _ in 0..RESTARTS {
                let mut waiting = None;
                for task_id in &tasks {
                    if plane.show(*task_id).await.task.state == TaskState::Queued {
                        waiting = Some(task_id.0.to_string());
                    }
                }
                let Some(waiting) = waiting else { break };
                let variables = [("ISOTHERM_TASK_ID", waiting.as_str()), ("ISOTHERM_IDLE_SECONDS", "1")];
                plane.worker(&variables).end().await;
            }
            if !experiment.lacks("reaper") {
                plane.reap().await;
            }
            stuck += plane.count("SELECT count(*) FROM control.tasks WHERE state IN ('queued', 'running')").await;
            fence_faults += plane
                .count(
                    "SELECT count(*) FROM control.tasks t
                      WHERE t.fence <> (SELECT count(*) FROM control.task_attempts a WHERE a.task_id = t.id)",
                )
                .await;
            second_ends += plane
                .count(
                    "SELECT count(*) - count(DISTINCT task_id) FROM control.task_attempts
                      WHERE outcome IN ('completed', 'failed')",
                )
                .await;
            outbox += plane.count("SELECT count(*) FROM control.outbox").await;
            let letters = if publishes { usize::try_from(TASKS).unwrap() } else { 0 };
            wrong_letters += i64::from(plane.dead_letters().await != letters);
        }
    }
    experiment.equal("aborted_there", passed, runs);
    experiment.zero("stuck", stuck);
    experiment.zero("fence_faults", fence_faults);
    experiment.zero("second_ends", second_ends);
    experiment.zero("outbox_left", outbox);
    experiment.zero("runs_with_wrong_dead_letters", wrong_letters);
    experiment.finish();
}
