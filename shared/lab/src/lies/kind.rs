//! What can be lied about, and the tables of all lies.

use serde_json::Value;

use super::{batches, blocks, foreign, headers, receipts};
use crate::tape::Coding;

/// A block with whole transactions, and its receipts, as they are answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    /// The result of `eth_getBlockByNumber` or `eth_getBlockByHash`.
    pub block: Value,
    /// The result of `eth_getBlockReceipts`.
    pub receipts: Value,
}

/// True answers about other blocks, to be given in the wrong place. All `null` if no block is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Elsewhere {
    /// The block before the one that is asked for.
    pub before: Pair,
    /// A header below that one, each time one deeper.
    pub lower: Value,
}

/// A kind of lie.
#[derive(Clone, Copy, Debug)]
pub struct LieKind {
    /// What it is called.
    pub name: &'static str,
    /// What it alters.
    pub tells: Tells,
    /// Whether nobody could find it out who has no other endpoint to ask, so that it is to be told beside one.
    pub needs_company: bool,
}

/// What a kind of lie alters, and how. The functions return false if there is nothing to alter.
#[derive(Clone, Copy, Debug)]
pub enum Tells {
    /// A block and its receipts, asked for by number in one batch.
    Block(fn(&mut Pair, &Elsewhere) -> bool),
    /// A block and its receipts, asked for by hash in one batch.
    BlockByHash(fn(&mut Pair, &Elsewhere) -> bool),
    /// A header, asked for by hash.
    HeaderByHash(fn(&mut Value, &Elsewhere) -> bool),
    /// The header that a block tag stands for, in an answer that tells `latest`.
    Tag(&'static str, fn(&mut Value, &Elsewhere) -> bool),
    /// The list of answers to a batch that asks for blocks.
    Batch(fn(&mut Value) -> bool),
    /// The text of such an answer; `None` if there is nothing to alter.
    Text(fn(&str) -> Option<String>),
    /// An answer about a block does not end.
    Endless,
    /// The right answer about a block, encoded so that it cannot be read.
    Coded(Coding),
    /// A short answer about a block decodes to more than anybody reads.
    Bomb,
    /// The chain id. It is asked for after a failure, so the connection breaks before, when `latest` is asked for.
    ChainId,
}

impl LieKind {
    pub(super) const fn new(name: &'static str, tells: Tells) -> Self {
        Self { name, tells, needs_company: false }
    }

    pub(super) const fn in_company(self) -> Self {
        Self { needs_company: true, ..self }
    }

    /// Whether it is told of what is asked for by hash only, as clients do when a branch has been replaced.
    pub fn needs_reorg(&self) -> bool {
        match self.tells {
            Tells::BlockByHash(_) | Tells::HeaderByHash(_) => true,
            Tells::Block(_) | Tells::Tag(..) | Tells::Batch(_) | Tells::Text(_) => false,
            Tells::Endless | Tells::Coded(_) | Tells::Bomb | Tells::ChainId => false,
        }
    }
}

/// All kinds.
pub fn kinds() -> Vec<&'static LieKind> {
    [blocks::KINDS, receipts::KINDS, foreign::KINDS, headers::KINDS, batches::KINDS].into_iter().flatten().collect()
}
