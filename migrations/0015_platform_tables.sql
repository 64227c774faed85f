-- Chains as a tenant sees them in SQL: `isotherm.partitions` and `isotherm.chains` (shared/query/src/platform_tables.rs). Chains
-- belong to all, so the policies ask the organisation's grants in the place of an `org_id`. As in 0013, the owner's own work
-- is not filtered. A column that has the name of a table before it is the row's: the one without would be the grant's.
GRANT USAGE ON SCHEMA hot, cold TO isotherm_tenant;

GRANT SELECT (chain_id, chain, first_block, first_traced_block, tip_number, tip_hash, finalized_number, state, halt_code, updated_at)
    ON hot.cursors TO isotherm_tenant;
ALTER TABLE hot.cursors ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hot.cursors FOR SELECT TO isotherm_tenant
    USING (EXISTS (SELECT FROM access.dataset_grants g
                    WHERE g.org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint)
                      AND coalesce(g.chain_id, cursors.chain_id) = cursors.chain_id));

GRANT SELECT (chain_id, head_number, first_served_at, committed_at, blocks_per_second, written_at)
    ON hot.follower_status TO isotherm_tenant;
ALTER TABLE hot.follower_status ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hot.follower_status FOR SELECT TO isotherm_tenant
    USING (EXISTS (SELECT FROM access.dataset_grants g
                    WHERE g.org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint)
                      AND coalesce(g.chain_id, follower_status.chain_id) = follower_status.chain_id));

GRANT SELECT (chain_id, dataset, watermark) ON cold.datasets TO isotherm_tenant;
ALTER TABLE cold.datasets ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON cold.datasets FOR SELECT TO isotherm_tenant
    USING (EXISTS (SELECT FROM access.dataset_grants g
                    WHERE g.org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint)
                      AND coalesce(g.chain_id, datasets.chain_id) = datasets.chain_id
                      AND coalesce(g.dataset, datasets.dataset) = datasets.dataset));

GRANT SELECT (chain_id, dataset, start_block, end_block, object_key, row_count, size_bytes, sha256, first_block_hash,
              last_block_hash, manifest_version, committed_at)
    ON cold.data_partitions TO isotherm_tenant;
ALTER TABLE cold.data_partitions ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON cold.data_partitions FOR SELECT TO isotherm_tenant
    USING (EXISTS (SELECT FROM access.dataset_grants g
                    WHERE g.org_id = (SELECT nullif(current_setting('isotherm.org_id', true), '')::bigint)
                      AND coalesce(g.chain_id, data_partitions.chain_id) = data_partitions.chain_id
                      AND coalesce(g.dataset, data_partitions.dataset) = data_partitions.dataset));
