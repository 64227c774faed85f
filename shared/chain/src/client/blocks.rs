//! Asks for runs of blocks, by number or by hash.
//!
//! Each block is asked for in one batch with its receipts; where a reorg came in between, or where the answers together
//! would be too long, the answer is cut before it, never mixed. A block that an endpoint does not have is asked of the
//! others that may have it. Never hands out a block that is not verified.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, BlockRange, BlockRef};

use super::ask::{Failure, Question};
use super::read::{self, Wanted};
use super::{ChainClient, present_or_absent, quantity};
use crate::answer::Answer;
use crate::endpoint::RawAnswer;
use crate::json_rpc::Call;
use crate::pool::Outcome;
use crate::rpc_url::RpcUrl;
use crate::verify::VerifiedBlock;

impl ChainClient {
    /// Blocks of `numbers` with transactions and receipts, verified.
    ///
    /// Present is never empty and starts at the first number; it ends early where the chain ends, where a reorg came
    /// between two answers, or where one endpoint's answers are too long together. Absent: the chain has no block at
    /// the first number (yet), as far as the endpoints answer.
    pub async fn fetch(&self, numbers: BlockRange) -> Answer<Vec<VerifiedBlock>> {
        let numbers = numbers.start().0..numbers.end().0;
        let wanted: Vec<Wanted> = numbers.map(|number| (BlockNumber(number), None)).collect();
        let blocks = self.ask_for_blocks(&wanted).await;
        present_or_absent(blocks.map(|blocks| Some(blocks).filter(|blocks| !blocks.is_empty())))
    }

    /// Exactly these blocks, which must be a run in ascending order, verified. Absent: no endpoint that answers has one
    /// of them.
    pub async fn fetch_by_hash(&self, run: &[BlockRef]) -> Answer<Vec<VerifiedBlock>> {
        let wanted: Vec<Wanted> = run.iter().map(|block| (block.number, Some(block.hash))).collect();
        present_or_absent(self.ask_for_all(&wanted).await)
    }

    /// All of `wanted`, in as many questions as that takes.
    async fn ask_for_all(&self, wanted: &[Wanted]) -> Result<Option<Vec<VerifiedBlock>>, Failure> {
        let mut blocks: Vec<VerifiedBlock> = Vec::with_capacity(wanted.len());
        while blocks.len() < wanted.len() {
            let more = self.ask_for_blocks(&wanted[blocks.len()..]).await?;
            let Some(next) = more.first().map(VerifiedBlock::block) else { return Ok(None) };
            if blocks.last().is_some_and(|last| last.block().reference.hash != next.header.parent_hash) {
                return Ok(None);
            }
            blocks.extend(more);
        }
        Ok(Some(blocks))
    }

    /// The first blocks of `wanted`; none if nobody who answers has the first.
    async fn ask_for_blocks(&self, wanted: &[Wanted]) -> Result<Vec<VerifiedBlock>, Failure> {
        let Some((first, hash)) = wanted.first().copied() else { return Ok(Vec::new()) };
        let calls: Vec<Call> = wanted.iter().flat_map(calls_for).collect();
        let block_count = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        let patience = self.limits.failover_timeout.saturating_mul(block_count.saturating_add(1));
        let patience = Some(patience.min(self.limits.request_timeout));
        let question = Question { calls: &calls, enough: 2, patience };
        let (checks, run) = (self.limits.checks, wanted.to_vec());
        let read = Arc::new(move |endpoint: &RpcUrl, answers: &[RawAnswer], served_at: DateTime<Utc>| {
            read::blocks(endpoint, &run, answers, &checks, served_at)
        });
        let mut inquiry = self.pool.inquiry(calls.len(), Some(first));
        loop {
            let (blocks, place) = match self.ask_pool(&question, &mut inquiry, &read).await {
                Ok(found) => found,
                // That another one does not answer changes nothing.
                Err(_) if inquiry.is_denied() => return Ok(Vec::new()),
                Err(failure) => return Err(failure),
            };
            if !blocks.is_empty() {
                self.last_shown_by.store(place, Ordering::Relaxed);
                self.pool.note(place, Outcome::Served);
                return Ok(blocks);
            }
            let is_asked_on = match hash {
                // By its hash a block is absent as soon as the chain has another one there: nobody withholds it.
                Some(_) => self.pool.lacks(place, first, &mut inquiry),
                None => self.pool.withheld(place, first, &mut inquiry),
            };
            if !is_asked_on {
                return Ok(blocks);
            }
        }
    }
}

/// The questions for a block and its receipts.
fn calls_for((number, hash): &Wanted) -> [Call; 2] {
    match hash {
        Some(hash) => [Call::new("eth_getBlockByHash", (hash, true)), Call::new("eth_getBlockReceipts", [hash])],
        None => {
            let number = quantity(*number);
            [Call::new("eth_getBlockByNumber", (&number, true)), Call::new("eth_getBlockReceipts", [&number])]
        }
    }
}
