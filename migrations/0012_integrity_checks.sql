-- What checks have found wrong with cold storage. A row is open until a later check looked again and did not find it; a
-- query refuses the file of an open finding of level file.
CREATE TABLE cold.integrity_checks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id     bigint NOT NULL,
    dataset      text NOT NULL CHECK (dataset IN ('blocks', 'transactions', 'logs', 'traces')),
    -- Data file or manifest.
    object_key   text NOT NULL,
    -- Half-open; NULL if it is not about blocks, as of a manifest.
    start_block  bigint CHECK (start_block >= 0),
    end_block    bigint,
    -- The level at which a check looks for the fault.
    level        text NOT NULL CHECK (level IN ('file', 'chain', 'anchor')),
    -- Stable name, `Fault::name` in shared/cold_store/src/integrity/fault.rs; and a sentence, as it was found first.
    fault        text NOT NULL,
    message      text NOT NULL,
    -- What the check knew when it found it first: manifest, and answers of endpoints.
    evidence     jsonb NOT NULL,
    -- Row of control.tasks whose attempt found it first, for people.
    task_id      bigint,
    found_at     timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    CHECK ((start_block IS NULL) = (end_block IS NULL)),
    CHECK (end_block > start_block),
    CHECK (last_seen_at >= found_at),
    CHECK (resolved_at >= last_seen_at)
);
-- What is found again is not doubled while it is open; also what a query and a check read.
CREATE UNIQUE INDEX integrity_checks_open ON cold.integrity_checks (chain_id, object_key, fault, start_block, end_block)
    NULLS NOT DISTINCT WHERE resolved_at IS NULL;
CREATE INDEX integrity_checks_by_object ON cold.integrity_checks (object_key, id);
