-- A chain that the other organisation reads: its cold files are rows only, as nobody opens them here.
INSERT INTO cold.datasets (chain_id, dataset, first_block, watermark, manifest_version, manifest_key, manifest_sha256)
SELECT 31338, dataset, 0, 9, 1, 'theirs', decode(repeat('00', 32), 'hex') FROM unnest(ARRAY['blocks', 'logs']) AS dataset;
INSERT INTO cold.data_partitions (chain_id, dataset, start_block, end_block, object_key, row_count, size_bytes, sha256,
                                  first_block_hash, last_block_hash, schema_version, manifest_version)
SELECT chain_id, dataset, 0, 10, 'theirs/' || dataset, 1, 1, manifest_sha256, manifest_sha256, manifest_sha256, 1, 1
  FROM cold.datasets
 WHERE chain_id = 31338;
