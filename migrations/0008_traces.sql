-- Traces are collected only where a chain's job asks for them, and that may change while the chain is followed. Here is the
-- first block from which on those of every block are stored, up to the tip; NULL: those of the tip are not. It moves with the
-- tip. A program of before leaves it as it is when it appends; compaction looks at each block, so that none becomes cold
-- without its traces.
ALTER TABLE hot.cursors
    ADD COLUMN first_traced_block bigint CHECK (first_traced_block >= 0),
    ADD CONSTRAINT cursors_traces_begin_check CHECK (first_traced_block >= first_block);
