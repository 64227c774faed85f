-- Workers that are to be stopped, as a task of theirs was taken back: written with the loss, removed once ECS has taken the
-- order. So neither a crash nor a refusal in between leaves a silent worker running, and costing, for ever.
-- No foreign key: it would wait for whoever holds the task's row.
CREATE TABLE control.workers_to_stop (
    ecs_task_arn text PRIMARY KEY,
    task_id      bigint NOT NULL,
    fence        bigint NOT NULL,
    -- When ECS was last asked; NULL: not yet.
    tried_at     timestamptz
);
CREATE INDEX workers_to_stop_by_time ON control.workers_to_stop (tried_at NULLS FIRST);
