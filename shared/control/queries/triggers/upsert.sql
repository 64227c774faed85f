-- A threshold that is pointed at another chain starts from the beginning of that chain.
INSERT INTO control.triggers AS t (org_id, job_id, name, kind, config, input, config_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org_id, name) DO UPDATE
   SET job_id = EXCLUDED.job_id, kind = EXCLUDED.kind, config = EXCLUDED.config, input = EXCLUDED.input,
       next_block = CASE WHEN t.config -> 'chain_id' IS NOT DISTINCT FROM EXCLUDED.config -> 'chain_id'
                         THEN t.next_block END,
       config_hash = EXCLUDED.config_hash, active = true, updated_at = now()
RETURNING id
