-- Answers of endpoints that cannot be true, as much of them as is kept: to be shown to whoever gave them. Written by the
-- follower beside its status, and by nobody else; the newest 100 of a chain stay. Nothing is decided by them.
CREATE TABLE hot.evidence (
    chain_id      bigint NOT NULL,
    -- When the answer came, by the follower's clock.
    served_at     timestamptz NOT NULL,
    -- Scheme, host and port: never a key.
    endpoint      text NOT NULL,
    -- What is untrue: a stable name, and a sentence with both values.
    code          text NOT NULL,
    message       text NOT NULL,
    -- The block as it was served; a number that bigint cannot hold is in the message only.
    block_number  bigint CHECK (block_number >= 0),
    block_hash    bytea NOT NULL CHECK (octet_length(block_hash) = 32),
    -- Of the whole answer about the block: hexadecimal, and bytes.
    answer_sha256 text NOT NULL,
    answer_bytes  bigint NOT NULL CHECK (answer_bytes >= 0),
    -- Its first 65,536 characters, without keys.
    answer_start  text NOT NULL,
    PRIMARY KEY (chain_id, served_at, endpoint)
);
