-- A threshold that is pointed at another chain starts from the beginning of that chain. A schedule that is new, active
-- again, or differs, starts now: no tick before that counts. A count or lag that is new, active again, or differs, is
-- watched from now on.
INSERT INTO control.triggers AS t (org_id, job_id, name, kind, config, input, config_hash, ticked_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $4 = 'cron' THEN now() END)
ON CONFLICT (org_id, name) DO UPDATE
   SET job_id = EXCLUDED.job_id, kind = EXCLUDED.kind, config = EXCLUDED.config, input = EXCLUDED.input,
       next_block = CASE WHEN t.config -> 'chain_id' IS NOT DISTINCT FROM EXCLUDED.config -> 'chain_id'
                         THEN t.next_block END,
       ticked_until = CASE WHEN t.active AND t.kind = EXCLUDED.kind
                                AND t.config - ARRAY['overlap', 'catch_up_seconds']
                                  = EXCLUDED.config - ARRAY['overlap', 'catch_up_seconds']
                           THEN t.ticked_until ELSE EXCLUDED.ticked_until END,
       next_count = CASE WHEN t.active AND t.config = EXCLUDED.config THEN t.next_count END,
       is_above = t.is_above AND t.active AND t.config = EXCLUDED.config,
       config_hash = EXCLUDED.config_hash, active = true, updated_at = now()
RETURNING id
