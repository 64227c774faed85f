//! Launches whose answers get lost, under ECS's rate limit.
//!
//! The proxy is ECS where the emulator is not: it remembers client tokens, and refuses calls above the limit. One launch in ten is
//! carried out and not answered: a third of those once, which the SDK's own retry mends, a third for as often as the SDK tries, and a
//! third once, before the SDK's further tries are throttled.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isotherm_control::tasks::{self, Claim, Claimant};
use isotherm_lab::experiment::Experiment;
use isotherm_lab::http_faults::ecs::{Ecs, EcsLimits, Launched};
use isotherm_lab::http_faults::{HttpFaults, Reply, Verdict};
use isotherm_platform::ecs::TASK_VARIABLE;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_types::TaskId;
use rand::{Rng, RngCore};
use sqlx::{Connection, PgConnection};

use crate::stage::Stage;

/// Tries of one call. Source: `isotherm_platform::aws`.
const TRIES: u32 = 4;
/// From the launch to the claim, at most: longer than the SDK tries one call, and shorter than the dispatcher waits. Fargate takes
/// tens of seconds.
const START_MS: u64 = 15_000;

/// What happens to the calls of a token.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// So many answers get lost, of calls that are carried out.
    lost: u32,
    /// So many calls after those are throttled.
    throttled: u32,
}

impl Fate {
    /// Decided by the token alone.
    fn of(seed: u64, token: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, token).hash(&mut hasher);
        match hasher.finish() % 30 {
            0 => Self { lost: 1, throttled: 0 },
            1 => Self { lost: TRIES, throttled: 0 },
            2 => Self { lost: 1, throttled: TRIES - 1 },
            _ => Self::default(),
        }
    }
}

/// What runs as an ECS task: claims the task it was launched for, or finds it taken, and ends.
async fn worker(url: String, launched: Launched, start: Duration) -> bool {
    tokio::time::sleep(start).await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let task_id = TaskId(launched.environment[TASK_VARIABLE].parse().unwrap());
    let claimant = Claimant { worker: &launched.task_arn, operator: "noop", ecs_task_arn: Some(&launched.task_arn) };
    let task = loop {
        match tasks::claim(&mut conn, task_id, &claimant).await.unwrap() {
            Claim::Claimed(task) => break task,
            // The dispatcher may be writing the launch down. A worker looks again after a pause.
            Claim::Contended => tokio::time::sleep(Duration::from_millis(5)).await,
            _ => return false,
        }
    };
    tasks::complete(&mut conn, task.task_id, task.fence, &serde_json::Value::Null, None).await.unwrap();
    true
}

/// Starts a worker for each launch, until `total` tasks are done or nothing has been launched for long.
async fn fleet(url: String, ecs: Ecs, total: u64, mut random: impl RngCore) -> u64 {
    let (mut started, mut idle, mut done) = (0, 0, 0);
    let mut last = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    while done < total && last.elapsed() < Duration::from_secs(30) {
        for launched in ecs.seen(|tally| tally.launched[started..].to_vec()) {
            started += 1;
            last = Instant::now();
            let start = Duration::from_millis(random.random_range(0..START_MS));
            workers.spawn(worker(url.clone(), launched, start));
        }
        while let Some(ended) = workers.try_join_next() {
            if ended.unwrap() { done += 1 } else { idle += 1 }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    idle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_run_task() {
    let mut experiment = Experiment::begin("run_task", &["client_token"]);
    let total: u64 = experiment.scaled(200, 10_000);
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    stage
        .run(format!(
            "INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left)
             SELECT org_id, id, 'task-' || n, '{{}}', max_attempts FROM control.jobs, generate_series(1, {total}) AS n"
        ))
        .await;
    let limits = EcsLimits { burst: 100.0, per_second: 20.0, remembers_tokens: !experiment.lacks("client_token") };
    let ecs = Ecs::new(limits);
    let (judge, seed) = (ecs.clone(), experiment.random(0).next_u64());
    let lost: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let proxy = HttpFaults::start(&stage.endpoint, move |call| {
        let token = call.body["clientToken"].as_str().unwrap_or_default();
        let mut lost = lost.lock().unwrap();
        let so_far = lost.entry(token.to_owned()).or_default();
        let fate = Fate::of(seed, token);
        if (fate.lost..fate.lost + fate.throttled).contains(so_far) {
            *so_far += 1;
            return Verdict::Answer(Reply::error(400, "ThrottlingException"));
        }
        let verdict = judge.judge(call, *so_far < fate.lost);
        // A call that the limit refused has lost nothing.
        if !matches!(verdict, Verdict::Answer(_)) {
            *so_far += 1;
        }
        verdict
    })
    .await
    .unwrap();
    let dispatcher = stage.dispatcher(&proxy.endpoint_url()).await;
    let fleet = tokio::spawn(fleet(stage.database.url.clone(), ecs.clone(), total, experiment.random(1)));
    while !fleet.is_finished() {
        // A sweep that ECS refuses something is no failed sweep.
        dispatcher.handle(BatchOrSweep::Sweep).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let idle = fleet.await.unwrap();

    let mut of_task: HashMap<String, i64> = HashMap::new();
    for launched in ecs.seen(|tally| tally.launched.clone()) {
        *of_task.entry(launched.environment[TASK_VARIABLE].clone()).or_default() += 1;
    }
    experiment.figure("tasks", total);
    ecs.seen(|tally| {
        experiment.figure("calls", tally.calls);
        experiment.figure("throttled", tally.throttled);
        experiment.figure("answers_lost", tally.cut);
        experiment.figure("from_memory", tally.repeated);
    });
    // A task is launched for at one fence only, for it is claimed once: workers of a task are workers of its (task, fence).
    let second = of_task.values().filter(|workers| **workers > 1).count();
    experiment.zero("second_workers", i64::try_from(second).unwrap());
    experiment.zero("workers_without_work", i64::try_from(idle).unwrap());
    let undone = stage.count("SELECT count(*) FROM control.tasks WHERE state <> 'completed'").await;
    experiment.zero("undone", undone);
    experiment.finish();
}
