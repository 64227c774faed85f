//! Every change of a task's row, as a trigger saw it, and what must never be among them.

use isotherm_lab::experiment::Experiment;
use isotherm_types::Fence;
use sqlx::PgConnection;

use crate::stage::Stage;

/// `holder`: the fence that the writing connection said it holds; empty for the reaper, for claims and for people.
const TABLES: &str = "
    CREATE TABLE lab_history (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task_id bigint NOT NULL,
        old_state text NOT NULL, old_fence bigint NOT NULL, old_lease timestamptz,
        new_state text NOT NULL, new_fence bigint NOT NULL, holder bigint, at timestamptz NOT NULL);
    CREATE FUNCTION lab_note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO lab_history (task_id, old_state, old_fence, old_lease, new_state, new_fence, holder, at)
        VALUES (OLD.id, OLD.state, OLD.fence, OLD.lease_expires_at, NEW.state, NEW.fence,
                nullif(current_setting('lab.fence', true), '')::bigint, now());
        RETURN NULL;
    END $$;
    CREATE TRIGGER lab_note AFTER UPDATE ON control.tasks FOR EACH ROW EXECUTE FUNCTION lab_note();";

/// Begins to write down every change.
pub(crate) async fn record(stage: &mut Stage) {
    stage.run(TABLES).await;
}

/// Says under which fence `conn` writes from here on; `None`: under none.
pub(crate) async fn hold(conn: &mut PgConnection, fence: Option<Fence>) {
    sqlx::query("SELECT set_config('lab.fence', $1, false)")
        .bind(fence.map(|fence| fence.0.to_string()).unwrap_or_default())
        .execute(conn)
        .await
        .unwrap();
}

const OVER: &str = "('completed', 'failed', 'cancelled')";

/// What must never have happened, each as a query that counts it.
fn rules() -> [(&'static str, String); 6] {
    [
        ("reopened", format!("SELECT count(*) FROM lab_history WHERE old_state IN {OVER} AND new_state <> old_state")),
        ("stale_writes", "SELECT count(*) FROM lab_history WHERE holder <> old_fence".to_owned()),
        (
            "fence_faults",
            "SELECT count(*) FROM lab_history
              WHERE new_fence <> old_fence + CASE WHEN old_state = 'queued' AND new_state = 'running' THEN 1 ELSE 0 END"
                .to_owned(),
        ),
        (
            "second_ends",
            format!(
                "SELECT count(*) FROM (SELECT task_id FROM lab_history
                  WHERE old_state NOT IN {OVER} AND new_state IN {OVER} GROUP BY task_id HAVING count(*) > 1) AS again"
            ),
        ),
        (
            // Taken by nobody's hand but the reaper's, though the lease was good.
            "lively_taken",
            "SELECT count(*) FROM lab_history
              WHERE holder IS NULL AND old_state = 'running' AND new_state IN ('queued', 'failed') AND old_lease > at"
                .to_owned(),
        ),
        (
            // One row a claim, closed unless the task runs under it.
            "attempt_faults",
            "SELECT count(*) FROM control.tasks t
              WHERE t.fence <> (SELECT count(*) FROM control.task_attempts a WHERE a.task_id = t.id)
                 OR EXISTS (SELECT 1 FROM control.task_attempts a WHERE a.task_id = t.id
                     AND (a.outcome IS NULL) <> (t.state = 'running' AND a.fence = t.fence))"
                .to_owned(),
        ),
    ]
}

/// Judges everything that was written down.
pub(crate) async fn judge(stage: &mut Stage, experiment: &mut Experiment) {
    for (key, query) in rules() {
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut stage.conn).await.unwrap();
        experiment.zero(key, found);
    }
    let changes = stage.count("SELECT count(*) FROM lab_history").await;
    experiment.figure("changes", changes);
}
