//! Workers that stand still for longer than their lease, and go on when a second worker has done their task.

use std::time::Duration;

use isotherm_control::task::TaskState;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::process::eventually;
use nix::sys::signal::{Signal, kill};
use rand::Rng;
use serde_json::json;

use crate::control_plane::{ControlPlane, WorkerProcess};

/// Stopped at a time in the long form.
const AT_ONCE: usize = 4;

/// What a worker without a fence does when it goes on: it writes its end down, whoever has the task.
const WRITE_WITHOUT_FENCE: &str = "UPDATE control.task_attempts SET outcome = 'completed' WHERE outcome = 'lost'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_stopped_workers() {
    let mut experiment = Experiment::begin("stopped_workers", &["fence"]);
    let cycles: usize = experiment.scaled(5, 500);
    let at_once = experiment.scaled(1, AT_ONCE);
    let limits = "max_attempts: 3, max_concurrency: 100, heartbeat_timeout_seconds: 2";
    let plane = ControlPlane::start(limits, &json!({ "steps": 20, "step_ms": 60 })).await;
    experiment.figure_of_postgres(&mut plane.connect().await).await;
    let mut random = experiment.random(0);
    let (mut done, mut stale, mut reopened, mut operators_alive) = (0, 0, 0, 0);
    while done < cycles {
        let mut stopped = Vec::new();
        for n in 0..at_once.min(cycles - done) {
            let task_id = plane.task_of(format!("cycle-{}", done + n)).await;
            let worker = plane.worker(&[("ISOTHERM_TASK_ID", &task_id.0.to_string()), ("ISOTHERM_IDLE_SECONDS", "1")]);
            let operator = worker.operator().await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
            worker.signal(Signal::SIGSTOP);
            let _ = kill(operator, Signal::SIGSTOP);
            stopped.push((task_id, worker, operator));
        }
        let queued = "SELECT count(*) FROM control.tasks WHERE state = 'queued'";
        let expected = i64::try_from(stopped.len()).unwrap();
        eventually("the tasks of stopped workers", async || {
            plane.reap().await;
            plane.count(queued).await == expected
        })
        .await
        .unwrap();
        let mut seconds: Vec<WorkerProcess> = Vec::new();
        for (task_id, ..) in &stopped {
            seconds.push(plane.worker(&[("ISOTHERM_TASK_ID", &task_id.0.to_string()), ("ISOTHERM_IDLE_SECONDS", "1")]));
        }
        for second in seconds {
            second.end().await;
        }
        for (task_id, worker, operator) in stopped {
            let before = plane.show(task_id).await;
            let _ = kill(operator, Signal::SIGCONT);
            worker.signal(Signal::SIGCONT);
            worker.end().await;
            if experiment.lacks("fence") {
                sqlx::query(WRITE_WITHOUT_FENCE).execute(&mut plane.connect().await).await.unwrap();
            }
            let after = plane.show(task_id).await;
            stale += i64::from(after != before);
            reopened += i64::from(after.task.state != TaskState::Completed);
            operators_alive += i64::from(kill(operator, None).is_ok());
            done += 1;
        }
    }
    experiment.figure("cycles", done);
    experiment.zero("stale_writes", stale);
    experiment.zero("reopened", reopened);
    experiment.zero("operators_left", operators_alive);
    let odd = plane.count(
        "SELECT count(*) FROM control.tasks t
          WHERE (SELECT array_agg(outcome ORDER BY fence) FROM control.task_attempts a WHERE a.task_id = t.id)
                <> ARRAY['lost', 'completed']",
    );
    experiment.zero("odd_histories", odd.await);
    experiment.finish();
}
