//! Encodings of a block's transactions or receipts, one after the other in one buffer.

use alloy::consensus::proofs::ordered_trie_root_encoded;
use alloy::primitives::B256;

use super::RootFault;

#[derive(Default)]
pub(super) struct Encodings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Encodings {
    /// Takes in what `encode` appends.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), RootFault>) -> Result<(), RootFault> {
        encode(&mut self.bytes)?;
        self.ends.push(self.bytes.len());
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// Root of the trie over them.
    pub(super) fn root(&self) -> B256 {
        ordered_trie_root_encoded(&self.iter().collect::<Vec<_>>())
    }
}
