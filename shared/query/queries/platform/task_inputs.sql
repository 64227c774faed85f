SELECT i.org_id AS org_id, i.task_id, i.event_id, i.chain_id, i.dataset, i.start_block AS first_block,
       i.end_block - 1 AS last_block, i.added_at
  FROM control.task_inputs i
