-- Hot storage: the recent blocks of each chain, canonical rows only.
--
-- The four dataset tables follow the columns in shared/types/src/schema (a test compares them). Each is partitioned
-- first by chain, then by block range; the follower creates leaves ahead of the tip, and removes old rows by dropping
-- whole leaves. A reorg deletes the orphaned rows and writes the new ones in one transaction, so that a reader's
-- snapshot always holds exactly one chain. The primary keys are the guard against storing a block twice.
CREATE SCHEMA hot;

CREATE TABLE hot.blocks (
    block_hash               bytea NOT NULL,
    author                   bytea NOT NULL,
    block_number             bigint NOT NULL,
    gas_used                 bigint NOT NULL,
    extra_data               bytea NOT NULL,
    timestamp                bigint NOT NULL,
    base_fee_per_gas         bigint,
    chain_id                 bigint NOT NULL,
    parent_hash              bytea NOT NULL,
    uncles_hash              bytea NOT NULL,
    state_root               bytea NOT NULL,
    transactions_root        bytea NOT NULL,
    receipts_root            bytea NOT NULL,
    logs_bloom               bytea NOT NULL,
    difficulty               bytea NOT NULL,
    gas_limit                bigint NOT NULL,
    mix_hash                 bytea NOT NULL,
    nonce                    bytea NOT NULL,
    withdrawals_root         bytea,
    blob_gas_used            bigint,
    excess_blob_gas          bigint,
    parent_beacon_block_root bytea,
    requests_hash            bytea,
    block_access_list_hash   bytea,
    slot_number              bigint,
    transaction_count        bigint NOT NULL,
    PRIMARY KEY (chain_id, block_number)
) PARTITION BY LIST (chain_id);

CREATE TABLE hot.transactions (
    block_number             bigint NOT NULL,
    transaction_index        bigint NOT NULL,
    transaction_hash         bytea NOT NULL,
    nonce                    bigint NOT NULL,
    from_address             bytea NOT NULL,
    to_address               bytea,
    value_binary             bytea NOT NULL,
    value_string             text NOT NULL,
    value_f64                double precision NOT NULL,
    input                    bytea NOT NULL,
    gas_limit                bigint NOT NULL,
    gas_used                 bigint NOT NULL,
    gas_price                numeric(38,0),
    transaction_type         bigint NOT NULL,
    max_priority_fee_per_gas numeric(38,0),
    max_fee_per_gas          numeric(38,0),
    success                  boolean NOT NULL,
    n_input_bytes            bigint NOT NULL,
    n_input_zero_bytes       bigint NOT NULL,
    n_input_nonzero_bytes    bigint NOT NULL,
    chain_id                 bigint NOT NULL,
    block_hash               bytea NOT NULL,
    timestamp                bigint NOT NULL,
    value                    numeric(38,0),
    signed_chain_id          bigint,
    signature_y_parity       boolean NOT NULL,
    signature_r              bytea NOT NULL,
    signature_s              bytea NOT NULL,
    access_list              bytea,
    max_fee_per_blob_gas     numeric(38,0),
    blob_versioned_hashes    bytea,
    authorization_list       bytea,
    cumulative_gas_used      bigint NOT NULL,
    post_state_root          bytea,
    contract_address         bytea,
    log_count                bigint NOT NULL,
    PRIMARY KEY (chain_id, block_number, transaction_index)
) PARTITION BY LIST (chain_id);

CREATE TABLE hot.logs (
    block_number      bigint NOT NULL,
    transaction_index bigint NOT NULL,
    log_index         bigint NOT NULL,
    transaction_hash  bytea NOT NULL,
    address           bytea NOT NULL,
    topic0            bytea,
    topic1            bytea,
    topic2            bytea,
    topic3            bytea,
    data              bytea NOT NULL,
    chain_id          bigint NOT NULL,
    block_hash        bytea NOT NULL,
    timestamp         bigint NOT NULL,
    PRIMARY KEY (chain_id, block_number, log_index)
) PARTITION BY LIST (chain_id);

CREATE TABLE hot.traces (
    action_from        bytea,
    action_to          bytea,
    action_value       text NOT NULL,
    action_gas         bigint,
    action_input       bytea,
    action_call_type   text,
    action_init        bytea,
    action_reward_type text,
    action_type        text NOT NULL,
    result_gas_used    bigint,
    result_output      bytea,
    result_code        bytea,
    result_address     bytea,
    trace_address      text NOT NULL,
    subtraces          bigint NOT NULL,
    transaction_index  bigint,
    transaction_hash   bytea,
    block_number       bigint NOT NULL,
    block_hash         bytea NOT NULL,
    error              text,
    chain_id           bigint NOT NULL,
    trace_index        bigint NOT NULL,
    timestamp          bigint NOT NULL,
    PRIMARY KEY (chain_id, block_number, trace_index)
) PARTITION BY LIST (chain_id);
-- Where the follower stands, one row a chain. The tip is the last block whose rows are stored; it moves in the same
-- transaction as the rows. NULL means that nothing is stored yet: block 0 is a block.
CREATE TABLE hot.cursors (
    chain_id         bigint PRIMARY KEY,
    chain            text NOT NULL UNIQUE CHECK (chain ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    partition_blocks bigint NOT NULL CHECK (partition_blocks > 0),
    first_block      bigint CHECK (first_block >= 0),
    tip_number       bigint,
    tip_hash         bytea CHECK (octet_length(tip_hash) = 32),
    finalized_number bigint,
    finalized_hash   bytea CHECK (octet_length(finalized_hash) = 32),
    -- A halted chain is not written to until a person has decided (code and message say why).
    state            text NOT NULL DEFAULT 'following' CHECK (state IN ('following', 'halted')),
    halt_code        text,
    halt_message     text,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CHECK ((tip_number IS NULL) = (tip_hash IS NULL)),
    CHECK ((tip_number IS NULL) = (first_block IS NULL)),
    CHECK ((finalized_number IS NULL) = (finalized_hash IS NULL)),
    CHECK ((state = 'halted') = (halt_code IS NOT NULL)),
    CHECK ((halt_code IS NULL) = (halt_message IS NULL))
);

-- When each recent block was first served by an endpoint and when its rows were committed; lag is the difference.
CREATE TABLE hot.block_arrivals (
    chain_id     bigint NOT NULL,
    block_number bigint NOT NULL,
    served_at    timestamptz NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (chain_id, block_number)
);

-- Every reorg that reached stored rows: which numbers were taken back, from which tip to which ancestor.
CREATE TABLE hot.data_invalidations (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id        bigint NOT NULL,
    start_block     bigint NOT NULL,
    end_block       bigint NOT NULL CHECK (end_block > start_block),
    old_tip_hash    bytea NOT NULL CHECK (octet_length(old_tip_hash) = 32),
    new_tip_hash    bytea NOT NULL CHECK (octet_length(new_tip_hash) = 32),
    ancestor_hash   bytea NOT NULL CHECK (octet_length(ancestor_hash) = 32),
    invalidated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX data_invalidations_by_chain ON hot.data_invalidations (chain_id, id);
