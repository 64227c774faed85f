//! A row of `blocks` as the header that it is.

use alloy::consensus::Header;
use alloy::primitives::{B64, B256, Bloom};
use arrow::array::{BinaryArray, FixedSizeBinaryArray, RecordBatch, UInt32Array, UInt64Array};

use super::RootFault;
use super::cells::{address, bytes, column, fixed, hash, hash_opt, number, u64_opt};

/// The header, and what its row says besides.
pub(super) struct HeaderRow {
    header: Header,
    hash: B256,
    transaction_count: u64,
}

impl HeaderRow {
    pub(super) fn new(batch: &RecordBatch, row: usize) -> Result<Self, RootFault> {
        let hash_of = |name| fixed(batch, name, 32).map(|array| hash(array, row));
        let hash_opt_of = |name| fixed(batch, name, 32).map(|array| hash_opt(array, row));
        let u64_of = |name| column::<UInt64Array>(batch, name).map(|array| array.value(row));
        let u64_opt_of = |name| column::<UInt64Array>(batch, name).map(|array| u64_opt(array, row));
        let u32_of = |name| column::<UInt32Array>(batch, name).map(|array| u64::from(array.value(row)));
        let bloom: &FixedSizeBinaryArray = fixed(batch, "logs_bloom", 256)?;
        let nonce = fixed(batch, "nonce", 8)?;
        let header = Header {
            parent_hash: hash_of("parent_hash")?,
            ommers_hash: hash_of("uncles_hash")?,
            beneficiary: address(fixed(batch, "author", 20)?, row),
            state_root: hash_of("state_root")?,
            transactions_root: hash_of("transactions_root")?,
            receipts_root: hash_of("receipts_root")?,
            logs_bloom: Bloom::from_slice(bloom.value(row)),
            difficulty: number(fixed(batch, "difficulty", 32)?, row),
            number: u32_of("block_number")?,
            gas_limit: u64_of("gas_limit")?,
            gas_used: u64_of("gas_used")?,
            timestamp: u32_of("timestamp")?,
            extra_data: bytes(column::<BinaryArray>(batch, "extra_data")?, row),
            mix_hash: hash_of("mix_hash")?,
            nonce: B64::from_slice(nonce.value(row)),
            base_fee_per_gas: u64_opt_of("base_fee_per_gas")?,
            withdrawals_root: hash_opt_of("withdrawals_root")?,
            blob_gas_used: u64_opt_of("blob_gas_used")?,
            excess_blob_gas: u64_opt_of("excess_blob_gas")?,
            parent_beacon_block_root: hash_opt_of("parent_beacon_block_root")?,
            requests_hash: hash_opt_of("requests_hash")?,
            block_access_list_hash: hash_opt_of("block_access_list_hash")?,
            slot_number: u64_opt_of("slot_number")?,
        };
        Ok(Self { header, hash: hash_of("block_hash")?, transaction_count: u32_of("transaction_count")? })
    }

    pub(super) fn number(&self) -> u64 {
        self.header.number
    }

    /// What the header hashes to.
    pub(super) fn computed_hash(&self) -> B256 {
        self.header.hash_slow()
    }

    /// What its row says that it hashes to.
    pub(super) fn hash(&self) -> B256 {
        self.hash
    }

    pub(super) fn transaction_count(&self) -> u64 {
        self.transaction_count
    }

    pub(super) fn transactions_root(&self) -> B256 {
        self.header.transactions_root
    }

    pub(super) fn receipts_root(&self) -> B256 {
        self.header.receipts_root
    }

    pub(super) fn logs_bloom(&self) -> Bloom {
        self.header.logs_bloom
    }
}
