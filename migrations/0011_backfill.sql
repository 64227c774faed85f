-- Cold storage grows at either end: compaction goes on after the watermark, backfill adds history before the first block.
-- So the commit also takes a file of `cold.data_partitions` that ends right before `first_block`; ranges tile as before.

-- Parent of `first_block`, with which a file that is added before it must end. Manifests list no parents. NULL if nothing is
-- cold, and for what became cold before this column was there: then the file of `blocks` with that block says it.
ALTER TABLE cold.datasets
    ADD COLUMN first_parent_hash bytea CHECK (octet_length(first_parent_hash) = 32),
    ADD CHECK (first_parent_hash IS NULL OR first_block IS NOT NULL);

-- Files on S3 that were read back and wait for their neighbour: fetched in parallel they are finished in any order, but a
-- manifest lists no file that leaves a gap. No query reads them. The commit that lists one deletes its row. Recorded under
-- the lock of the dataset's row, where no other row here and no cold file has one of its blocks.
CREATE TABLE cold.pending_files (
    chain_id    bigint NOT NULL,
    dataset     text NOT NULL,
    -- Half-open.
    start_block bigint NOT NULL CHECK (start_block >= 0),
    end_block   bigint NOT NULL,
    -- As the manifest will list it: JSON of `DataFile` in shared/cold_store/src/manifest.rs.
    file        jsonb NOT NULL,
    -- Parent of its first block, which manifests do not list.
    parent_hash bytea NOT NULL CHECK (octet_length(parent_hash) = 32),
    -- Row of control.tasks whose attempt stored it, for people; NULL if none did.
    task_id     bigint,
    stored_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, dataset, start_block),
    FOREIGN KEY (chain_id, dataset) REFERENCES cold.datasets,
    CHECK (end_block > start_block)
);

-- Who asks the endpoints of a chain now, so that a backfill leaves the tip its part of what they permit. Each process
-- renews its row every few seconds; an older row counts for nothing. Kept by shared/control/src/rate_shares.rs.
CREATE TABLE control.rate_shares (
    chain_id bigint NOT NULL,
    -- A task: its id. Its next attempt takes the row over.
    holder   text NOT NULL CHECK (length(holder) BETWEEN 1 AND 200),
    purpose  text NOT NULL CHECK (purpose IN ('tip', 'backfill')),
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain_id, holder)
);
