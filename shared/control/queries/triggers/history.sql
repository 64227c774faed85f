-- $1 trigger, $2 how many. The task is found by the event that it answers, or by the key that a firing's task has.
WITH page AS (
    SELECT * FROM control.trigger_fires WHERE trigger_id = $1 ORDER BY fired_at DESC, fire_key DESC LIMIT $2
)
SELECT f.fire_key, f.fired_at, f.scheduled_for, f.outcome, f.reason, f.event_id,
       t.id AS task_id, t.state AS task_state
  FROM page f
  LEFT JOIN control.events e ON e.id = f.event_id
  LEFT JOIN LATERAL (
      SELECT c.id, c.state
        FROM (SELECT i.task_id AS id FROM control.task_inputs i WHERE i.event_id = f.event_id
              UNION ALL
              SELECT k.id FROM control.tasks k
               WHERE k.job_id = (e.body ->> 'job_id')::bigint
                 AND k.idempotency_key = 'trigger-' || f.trigger_id || '-' || f.fire_key) found
        JOIN control.tasks c ON c.id = found.id
       ORDER BY c.id LIMIT 1) t ON true
 ORDER BY f.fired_at DESC, f.fire_key DESC
