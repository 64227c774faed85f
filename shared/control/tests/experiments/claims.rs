//! Many claimants over many jobs with limits: never more running than may, and every task done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use isotherm_control::tasks::{self, Claim, Claimant, ClaimedTask, Done};
use isotherm_lab::experiment::Experiment;
use isotherm_types::TaskId;
use rand::{Rng, RngCore};
use sqlx::{Connection, PgConnection};

use crate::stage::{Stage, count};

/// Tasks of each job that may run at one time.
const LIMITS: [i64; 6] = [1, 2, 3, 5, 8, 1];
/// Tasks of all of them that may run at one time.
const ORG_LIMIT: i64 = 12;
const CLAIMANTS: u64 = 16;

/// The limits are kept beside the jobs, so that a wrong limit in the jobs is found too. `lab_effects` has no unique key: doing a
/// task twice is counted, not prevented.
const TABLES: &str = "
    CREATE TABLE lab_limits AS SELECT id AS job_id, max_concurrency AS most FROM control.jobs;
    CREATE TABLE lab_effects (task_id bigint NOT NULL, worker text NOT NULL);";

const OVER_LIMIT: &str = "
    SELECT count(*) FROM lab_limits l
     WHERE (SELECT count(*) FROM control.tasks t WHERE t.job_id = l.job_id AND t.state = 'running') > l.most";
const RUNNING: &str = "SELECT count(*) FROM control.tasks WHERE state = 'running'";
/// Asked all the time: so by the indexes of tasks that wait or run, and no further than the first.
const LEFT: &str = "
    SELECT (SELECT count(*) FROM (SELECT 1 FROM control.tasks WHERE state = 'queued' LIMIT 1) AS queued)
         + (SELECT count(*) FROM (SELECT 1 FROM control.tasks WHERE state = 'running' LIMIT 1) AS running)";

#[derive(Debug, Default)]
struct Seen {
    over_job_limit: AtomicI64,
    over_org_limit: AtomicI64,
    most_running: AtomicI64,
}

impl Seen {
    /// Looks right after a claim was committed: a limit is first broken by a claim, and stays so until a task ends.
    async fn look(&self, conn: &mut PgConnection) {
        self.over_job_limit.fetch_add(count(conn, OVER_LIMIT).await, Ordering::Relaxed);
        let running = count(conn, RUNNING).await;
        self.over_org_limit.fetch_add(i64::from(running > ORG_LIMIT), Ordering::Relaxed);
        self.most_running.fetch_max(running, Ordering::Relaxed);
    }
}

/// Half of the time what a free worker asks for, half of the time any due task, as wake-ups name them.
async fn choose(conn: &mut PgConnection, random: &mut impl RngCore) -> Option<TaskId> {
    if random.random_bool(0.5) {
        return tasks::next_due(conn, "noop").await.unwrap();
    }
    let due: Vec<i64> = sqlx::query_scalar("SELECT id FROM control.tasks WHERE state = 'queued' ORDER BY id LIMIT 40")
        .fetch_all(conn)
        .await
        .unwrap();
    (!due.is_empty()).then(|| TaskId(due[random.random_range(0..due.len())]))
}

async fn claimant(mut conn: PgConnection, worker: String, batches: bool, seen: Arc<Seen>, mut random: impl RngCore) {
    let claimant = Claimant { worker: &worker, operator: "noop", ecs_task_arn: None };
    while count(&mut conn, LEFT).await > 0 {
        let claimed = if batches {
            tasks::claim_many(&mut conn, &claimant, random.random_range(1..6)).await.unwrap()
        } else {
            claim_one(&mut conn, &claimant, &mut random).await
        };
        if claimed.is_empty() {
            tokio::time::sleep(Duration::from_micros(random.random_range(0..2000))).await;
            continue;
        }
        seen.look(&mut conn).await;
        let mut db_tx = conn.begin().await.unwrap();
        for task in &claimed {
            tasks::assert_fence(&mut db_tx, task.task_id, task.fence).await.unwrap();
            let effect = sqlx::query("INSERT INTO lab_effects (task_id, worker) VALUES ($1, $2)");
            effect.bind(task.task_id.0).bind(&worker).execute(&mut *db_tx).await.unwrap();
        }
        db_tx.commit().await.unwrap();
        // The work: long enough that tasks overlap.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..6000))).await;
        complete(&mut conn, &claimed, batches).await;
    }
}

async fn claim_one(conn: &mut PgConnection, claimant: &Claimant<'_>, random: &mut impl RngCore) -> Vec<ClaimedTask> {
    let Some(task_id) = choose(conn, random).await else { return Vec::new() };
    match tasks::claim(conn, task_id, claimant).await.unwrap() {
        Claim::Claimed(task) => vec![*task],
        _ => Vec::new(),
    }
}

async fn complete(conn: &mut PgConnection, claimed: &[ClaimedTask], batches: bool) {
    let output = serde_json::Value::Null;
    if batches {
        let attempt =
            |task: &ClaimedTask| Done { task_id: task.task_id, fence: task.fence, output: &output, stderr_tail: None };
        let done: Vec<Done<'_>> = claimed.iter().map(attempt).collect();
        let accepted = tasks::complete_many(conn, &done).await.unwrap();
        assert!(accepted.iter().all(|was_accepted| *was_accepted), "{accepted:?}");
        return;
    }
    for task in claimed {
        tasks::complete(conn, task.task_id, task.fence, &output, None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_claims() {
    let mut experiment = Experiment::begin("claims", &["limit"]);
    let per_job = experiment.scaled(50, 1000);
    let jobs: Vec<String> = (LIMITS.iter().enumerate())
        .map(|(i, most)| format!("  - {{ name: job-{i}, operator: noop, max_concurrency: {most} }}\n"))
        .collect();
    let mut stage = Stage::new(&format!("version: 1\njobs:\n{}", jobs.concat())).await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    stage.run(TABLES).await;
    stage.run(format!("UPDATE control.orgs SET max_concurrency = {ORG_LIMIT}")).await;
    if experiment.lacks("limit") {
        stage
            .run("UPDATE control.jobs SET max_concurrency = 1000; UPDATE control.orgs SET max_concurrency = NULL")
            .await;
    }
    stage
        .run(format!(
            "INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left)
             SELECT org_id, id, 'task-' || n, '{{}}', max_attempts FROM control.jobs, generate_series(1, {per_job}) AS n"
        ))
        .await;
    let seen = Arc::new(Seen::default());
    let mut claimants = tokio::task::JoinSet::new();
    for i in 0..CLAIMANTS {
        // Every fourth claims and completes in batches.
        let conn = stage.connect().await;
        claimants.spawn(claimant(conn, format!("w{i}"), i % 4 == 0, seen.clone(), experiment.random(i)));
    }
    while let Some(ended) = claimants.join_next().await {
        ended.unwrap();
    }
    let tasks = per_job * i64::try_from(LIMITS.len()).unwrap();
    experiment.figure("tasks", tasks);
    experiment.figure("claimants", CLAIMANTS);
    experiment.figure("most_running", seen.most_running.load(Ordering::Relaxed));
    experiment.zero("over_job_limit", seen.over_job_limit.load(Ordering::Relaxed));
    experiment.zero("over_org_limit", seen.over_org_limit.load(Ordering::Relaxed));
    let effects = stage.count("SELECT count(*) FROM lab_effects").await;
    experiment.equal("effects", effects, tasks);
    let doubled = stage
        .count("SELECT count(*) FROM (SELECT 1 FROM lab_effects GROUP BY task_id HAVING count(*) > 1) AS again")
        .await;
    experiment.zero("doubled", doubled);
    let attempts = stage.count("SELECT count(*) FROM control.task_attempts WHERE outcome = 'completed'").await;
    experiment.equal("completed_attempts", attempts, tasks);
    experiment.finish();
}
