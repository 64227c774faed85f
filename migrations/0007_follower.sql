-- What a follower says of itself, and what a person has decided where it may not decide. Additions only: programs of before go
-- on beside them.

-- A reorg that the follower may not replace by itself: it has halted the chain, and a person decides. At most one a chain:
-- written with the halt, decided by `isotherm follower resume`, removed with the replacement, written over by the next halt.
CREATE TABLE hot.disputed_reorgs (
    chain_id        bigint PRIMARY KEY,
    -- The stored tip, and the chain's newest block then.
    tip_number      bigint NOT NULL,
    tip_hash        bytea NOT NULL CHECK (octet_length(tip_hash) = 32),
    head_number     bigint NOT NULL,
    head_hash       bytea NOT NULL CHECK (octet_length(head_hash) = 32),
    -- Where the follower had to stop: the stored block's hash (NULL: hot storage has none there) and the chain's.
    block_number    bigint NOT NULL,
    stored_hash     bytea CHECK (octet_length(stored_hash) = 32),
    found_hash      bytea NOT NULL CHECK (octet_length(found_hash) = 32),
    -- The highest block that both branches share, and the hash of the one above it on the chain's; NULL: not found.
    ancestor_number bigint,
    ancestor_hash   bytea CHECK (octet_length(ancestor_hash) = 32),
    first_hash      bytea CHECK (octet_length(first_hash) = 32),
    seen_at         timestamptz NOT NULL DEFAULT now(),
    -- The permission to replace exactly this reorg of exactly this tip, once; NULL: nobody has decided so.
    accepted_by     text,
    accepted_at     timestamptz,
    reason          text,
    CHECK ((ancestor_number IS NULL) = (ancestor_hash IS NULL)),
    CHECK ((ancestor_number IS NULL) = (first_hash IS NULL)),
    CHECK ((accepted_at IS NULL) = (accepted_by IS NULL)),
    CHECK ((accepted_at IS NULL) = (reason IS NULL)),
    CHECK (accepted_at IS NULL OR ancestor_number IS NOT NULL)
);

-- What each follower last said of itself, beside the transactions of its blocks and every 2 s at most. Hints for people:
-- nothing is decided by them. The two times are those of the last stored block.
CREATE TABLE hot.follower_status (
    chain_id               bigint PRIMARY KEY,
    -- The chain's newest block, and when an endpoint first showed it; NULL: none has yet.
    head_number            bigint CHECK (head_number >= 0),
    head_served_at         timestamptz,
    first_served_at        timestamptz,
    committed_at           timestamptz,
    -- Blocks stored in a second lately, and blocks by which the chain grew.
    blocks_per_second      double precision NOT NULL CHECK (blocks_per_second >= 0),
    head_blocks_per_second double precision NOT NULL CHECK (head_blocks_per_second >= 0),
    written_at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((head_number IS NULL) = (head_served_at IS NULL)),
    CHECK ((first_served_at IS NULL) = (committed_at IS NULL))
);

-- The endpoints of each follower, in order of preference, written with the row above.
CREATE TABLE hot.endpoints (
    chain_id        bigint NOT NULL,
    place           integer NOT NULL CHECK (place >= 0),
    -- Scheme, host and port: never a key.
    name            text NOT NULL,
    state           text NOT NULL,
    last_head       bigint,
    last_error_code text,
    requests        bigint NOT NULL CHECK (requests >= 0),
    failures        bigint NOT NULL CHECK (failures >= 0),
    PRIMARY KEY (chain_id, place)
);

-- A person asks for a look at everything that is stored of a chain; the follower takes the row away and looks.
CREATE TABLE hot.gap_checks (
    chain_id bigint PRIMARY KEY,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now()
);
