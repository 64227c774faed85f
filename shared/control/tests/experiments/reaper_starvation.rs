//! Rows that the reaper cannot rescue, in front of dead ones that it must.

use std::time::{Duration, Instant};

use isotherm_control::reap;
use isotherm_lab::experiment::{Experiment, milliseconds};
use sqlx::PgConnection;

use crate::stage::{Stage, count};

const JOBS: &str = "
version: 1
jobs:
  - { name: work, operator: noop, max_attempts: 3 }
  - { name: gone, operator: parquet_compact, max_attempts: 3 }
";
/// A tick ends when the function's time is over. Source: `terraform/stack.yaml`, `reaper`.
const TICK: Duration = Duration::from_secs(50);

/// Silent tasks. The stuck ones have been silent longest, so they come first; half of the dead ones are of an operator that
/// nobody knows any more.
const SILENT: &str = "
    UPDATE control.jobs SET operator = 'nobody_knows_it', active = false WHERE name = 'gone';
    WITH made AS (
        INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, state, fence, attempts_left, worker,
                                   lease_expires_at, started_at)
        SELECT org_id, id, CASE WHEN n <= {stuck} THEN 'stuck-' ELSE 'dead-' END || n, '{}', 'running', 1, 2, 'w1',
               now() - interval '2 days' + n * interval '1 second', now()
          FROM generate_series(1, {stuck} + {dead}) AS n
          JOIN control.jobs ON name = CASE WHEN n % 2 = 0 THEN 'work' ELSE 'gone' END
        RETURNING id
    )
    INSERT INTO control.task_attempts (task_id, fence, worker) SELECT id, 1, 'w1' FROM made;
    CREATE FUNCTION lab_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'stuck'; END $$;
    CREATE TRIGGER lab_stuck BEFORE UPDATE ON control.tasks FOR EACH ROW
      WHEN (OLD.idempotency_key LIKE 'stuck-%') EXECUTE FUNCTION lab_refuse();";

/// What the reaper would be without a transaction for each row: one statement a page, oldest first.
const PAGE_AT_ONCE: &str = "
    UPDATE control.tasks SET state = 'queued', worker = NULL, lease_expires_at = NULL
     WHERE id IN (SELECT id FROM control.tasks WHERE state = 'running' AND lease_expires_at < now()
                   ORDER BY lease_expires_at, id LIMIT 100)";

async fn tick(conn: &mut PgConnection, own_transactions: bool) {
    if own_transactions {
        // The function is ended at its time-out, whatever it is doing.
        let _ = tokio::time::timeout(TICK, reap::reap(conn, reap::PAGE_ROWS)).await;
    } else {
        let _ = sqlx::query(PAGE_AT_ONCE).execute(conn).await;
    }
}

#[tokio::test]
async fn experiment_reaper_starvation() {
    let mut experiment = Experiment::begin("reaper_starvation", &["own_transaction"]);
    let (stuck, dead) = experiment.scaled((500, 20), (10_000, 100));
    let own_transactions = !experiment.lacks("own_transaction");
    let mut stage = Stage::new(JOBS).await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    stage.run(SILENT.replace("{stuck}", &stuck.to_string()).replace("{dead}", &dead.to_string())).await;
    let mut longest = Duration::ZERO;
    let mut rescued_by_tick = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        // Each tick is a Lambda invocation, which may find its connection gone: it gets a fresh one.
        tick(&mut stage.connect().await, own_transactions).await;
        longest = longest.max(began.elapsed());
        rescued_by_tick.push(rescued(&mut stage.conn).await.to_string());
    }
    experiment.figure("stuck", stuck);
    experiment.figure("rescued_by_tick", rescued_by_tick.join("+"));
    let found = rescued(&mut stage.conn).await;
    experiment.equal("rescued", found, dead);
    let unknown = stage
        .count(
            "SELECT count(*) FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id
              WHERE t.idempotency_key LIKE 'dead-%' AND j.operator = 'nobody_knows_it' AND t.state <> 'queued'",
        )
        .await;
    experiment.zero("unknown_operators_left", unknown);
    let discarded = stage.count("SELECT count(*) FROM control.tasks WHERE state NOT IN ('running', 'queued')").await;
    experiment.zero("discarded", discarded);
    experiment.at_most("longest_tick_ms", milliseconds(longest), milliseconds(TICK));
    experiment.finish();
}

async fn rescued(conn: &mut PgConnection) -> i64 {
    count(conn, "SELECT count(*) FROM control.tasks WHERE idempotency_key LIKE 'dead-%' AND state = 'queued'").await
}
