-- Cold storage's catalogue: what of each dataset is in Parquet. The files and manifests on S3 are the proof; these
-- rows are what a query reads in its snapshot, and they move in one transaction with the watermark.
CREATE SCHEMA cold;

-- One row a dataset of a chain. `watermark` is the last block in cold storage; NULL means none, never 0.
CREATE TABLE cold.datasets (
    chain_id         bigint NOT NULL,
    dataset          text NOT NULL CHECK (dataset IN ('blocks', 'transactions', 'logs', 'traces')),
    first_block      bigint CHECK (first_block >= 0),
    watermark        bigint,
    manifest_version bigint CHECK (manifest_version >= 1),
    manifest_key     text,
    manifest_sha256  bytea CHECK (octet_length(manifest_sha256) = 32),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, dataset),
    CHECK (watermark >= first_block),
    CHECK ((watermark IS NULL) = (manifest_version IS NULL)),
    CHECK ((watermark IS NULL) = (first_block IS NULL)),
    CHECK ((watermark IS NULL) = (manifest_key IS NULL)),
    CHECK ((watermark IS NULL) = (manifest_sha256 IS NULL))
);

-- The files that the current manifest lists. Block ranges are half-open; the commit locks the dataset's row and
-- takes only a file that starts right after the watermark, so ranges tile.
CREATE TABLE cold.data_partitions (
    chain_id         bigint NOT NULL,
    dataset          text NOT NULL,
    start_block      bigint NOT NULL CHECK (start_block >= 0),
    end_block        bigint NOT NULL,
    object_key       text NOT NULL UNIQUE,
    row_count        bigint NOT NULL CHECK (row_count >= 0),
    size_bytes       bigint NOT NULL CHECK (size_bytes > 0),
    sha256           bytea NOT NULL CHECK (octet_length(sha256) = 32),
    first_block_hash bytea NOT NULL CHECK (octet_length(first_block_hash) = 32),
    last_block_hash  bytea NOT NULL CHECK (octet_length(last_block_hash) = 32),
    schema_version   integer NOT NULL,
    manifest_version bigint NOT NULL,
    committed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, dataset, start_block),
    UNIQUE (chain_id, dataset, end_block),
    FOREIGN KEY (chain_id, dataset) REFERENCES cold.datasets,
    CHECK (end_block > start_block)
);
