-- A chain is there if any dataset of it is granted. The watermark is that of `ChainScope::lowest_watermark`: the lowest of
-- the granted datasets that the chain collects, NULL if one of them has nothing cold.
SELECT o.id AS org_id, c.chain_id, c.chain, c.state, c.halt_code, c.first_block, c.tip_number, c.tip_hash,
       c.finalized_number,
       (SELECT CASE WHEN bool_and(d.watermark IS NOT NULL) THEN min(d.watermark) END
          FROM unnest(ARRAY['blocks', 'transactions', 'logs', 'traces']) AS s(dataset)
          LEFT JOIN cold.datasets d ON d.chain_id = c.chain_id AND d.dataset = s.dataset
         WHERE (s.dataset <> 'traces'
                OR CASE WHEN c.tip_number IS NULL THEN d.watermark ELSE c.first_traced_block END IS NOT NULL)
           AND EXISTS (SELECT FROM access.dataset_grants g
                        WHERE g.org_id = o.id AND coalesce(g.chain_id, c.chain_id) = c.chain_id
                          AND coalesce(g.dataset, s.dataset) = s.dataset)) AS watermark,
       s.head_number, CASE WHEN s.head_number > c.tip_number THEN s.head_number - c.tip_number
                           WHEN s.head_number <= c.tip_number THEN 0 END AS lag_blocks,
       extract(epoch FROM s.committed_at - s.first_served_at) AS lag_seconds, s.blocks_per_second,
       s.written_at AS reported_at, c.updated_at
  FROM hot.cursors c
  JOIN control.orgs o
    ON EXISTS (SELECT FROM access.dataset_grants g
                WHERE g.org_id = o.id AND coalesce(g.chain_id, c.chain_id) = c.chain_id)
  LEFT JOIN hot.follower_status s ON s.chain_id = c.chain_id
