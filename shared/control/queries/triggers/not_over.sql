-- Firings of a trigger that are not over: live tasks, then events without a task.
-- $1 trigger, $2 its organisation, $3 what the keys of its tasks begin with, $4 seconds that an event has to become a task.
WITH live AS (
    SELECT id FROM control.tasks WHERE state = 'queued' AND org_id = $2 AND starts_with(idempotency_key, $3)
    UNION ALL
    SELECT id FROM control.tasks WHERE state = 'running' AND org_id = $2 AND starts_with(idempotency_key, $3)
), fired AS (
    SELECT o.event_id FROM control.outbox o JOIN control.events e ON e.id = o.event_id
     WHERE o.queue = 'events' AND e.kind = 'trigger_fired' AND (e.body ->> 'trigger_id')::bigint = $1
    UNION
    SELECT f.event_id FROM control.trigger_fires f
     WHERE f.trigger_id = $1 AND f.outcome = 'fired' AND f.fired_at > now() - make_interval(secs => $4)
)
SELECT true AS is_task, id FROM live
UNION ALL
SELECT false, e.id
  FROM fired JOIN control.events e ON e.id = fired.event_id
 WHERE NOT EXISTS (SELECT 1 FROM control.tasks t
                    WHERE t.job_id = (e.body ->> 'job_id')::bigint AND t.idempotency_key = $3 || (e.body ->> 'fire_key'))
 ORDER BY is_task DESC, id
