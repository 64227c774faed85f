-- Chains belong to all: what of them an organisation sees, its grants say.
SELECT o.id AS org_id, p.chain_id, c.chain, p.dataset, p.start_block AS first_block, p.end_block - 1 AS last_block,
       p.row_count, p.size_bytes, p.object_key, p.sha256, p.first_block_hash, p.last_block_hash, p.manifest_version,
       p.committed_at
  FROM cold.data_partitions p
  JOIN hot.cursors c ON c.chain_id = p.chain_id
  JOIN control.orgs o
    ON EXISTS (SELECT FROM access.dataset_grants g
                WHERE g.org_id = o.id AND coalesce(g.chain_id, p.chain_id) = p.chain_id
                  AND coalesce(g.dataset, p.dataset) = p.dataset)
