//! What was asked and what was answered, and how a lie is put into it. Pure.

use serde_json::{Value, json};

use super::kind::{Elsewhere, Pair, Tells};
use crate::rpc::quantity;
use crate::tape::Coding;
use crate::tape::http::gzip_bomb;

const BY_NUMBER: &str = "eth_getBlockByNumber";
const BY_HASH: &str = "eth_getBlockByHash";
const RECEIPTS: &str = "eth_getBlockReceipts";

/// More than any client reads of an answer.
const BOMB_BYTES: usize = 256 << 20;

/// Calls, and the answer of the node: an object, or a list for a batch.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    calls: Vec<Value>,
    answer: Value,
}

/// What a kind of lie would be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The block with this number.
    Block(u64),
    /// The answer as such.
    Frames,
}

/// What is said in place of the truth.
#[derive(Debug)]
pub(super) struct Lie {
    pub(super) reply: Reply,
    /// False if it only leads up to the lie.
    pub(super) is_told: bool,
}

/// What goes back to the client.
#[derive(Debug)]
pub(super) enum Reply {
    Body(Vec<u8>),
    /// A body that is encoded, or said to be.
    Coded(Vec<u8>, Coding),
    Endless,
    Close,
}

impl Exchange {
    /// Reads both; `None` if either is no JSON.
    pub(super) fn read(request: &[u8], answer: &[u8]) -> Option<Self> {
        let calls = match serde_json::from_slice(request).ok()? {
            Value::Array(calls) => calls,
            call => vec![call],
        };
        Some(Self { calls, answer: serde_json::from_slice(answer).ok()? })
    }

    /// What the lie would be told of; `None` if nothing here is asked for that it is about.
    pub(super) fn subject(&self, tells: Tells) -> Option<Subject> {
        let whole = |is_asked: bool| is_asked.then_some(Subject::Frames);
        match tells {
            Tells::Block(_) => self.block_at(*self.pairs(BY_NUMBER).first()?),
            Tells::BlockByHash(_) => self.block_at(*self.pairs(BY_HASH).first()?),
            Tells::HeaderByHash(_) => self.block_at(self.header_by_hash()?),
            Tells::Tag(tag, _) => self.tagged(tag).and(self.block_at(self.tagged("latest")?)),
            Tells::Batch(_) | Tells::Text(_) => whole(!self.pairs(BY_NUMBER).is_empty()),
            Tells::Endless | Tells::Coded(_) | Tells::Bomb => whole(self.place_of(is_about_a_block).is_some()),
            Tells::ChainId => whole(self.chain_id().or(self.tagged("latest")).is_some()),
        }
    }

    /// The lie; `None` if there is nothing to alter. `truth` is the answer as it came.
    pub(super) fn alter(mut self, tells: Tells, truth: &[u8], elsewhere: &Elsewhere) -> Option<Lie> {
        let is_altered = match tells {
            Tells::Block(lie) => self.alter_pair(BY_NUMBER, lie, elsewhere),
            Tells::BlockByHash(lie) => self.alter_pair(BY_HASH, lie, elsewhere),
            Tells::HeaderByHash(lie) => self.alter_result(self.header_by_hash()?, lie, elsewhere),
            Tells::Tag(tag, lie) => self.alter_result(self.tagged(tag)?, lie, elsewhere),
            Tells::Batch(lie) => lie(&mut self.answer),
            Tells::Text(lie) => return Some(told(lie(std::str::from_utf8(truth).ok()?)?)),
            Tells::Endless => return Some(Lie { reply: Reply::Endless, is_told: true }),
            Tells::Coded(coding) => {
                let reply = Reply::Coded(coding.encode(truth.to_vec()), coding);
                return Some(Lie { reply, is_told: true });
            }
            Tells::Bomb => {
                let reply = Reply::Coded(gzip_bomb(BOMB_BYTES), Coding::Gzip);
                return Some(Lie { reply, is_told: true });
            }
            Tells::ChainId => match self.chain_id() {
                Some(place) => self.alter_result(place, another_chain, elsewhere),
                None => return Some(Lie { reply: Reply::Close, is_told: false }),
            },
        };
        is_altered.then(|| told(self.answer.to_string()))
    }

    fn place_of(&self, fits: impl Fn(&Value) -> bool) -> Option<usize> {
        self.calls.iter().position(fits)
    }

    fn chain_id(&self) -> Option<usize> {
        self.place_of(|call| call["method"] == "eth_chainId")
    }

    fn tagged(&self, tag: &str) -> Option<usize> {
        self.place_of(|call| call["method"] == BY_NUMBER && call["params"] == json!([tag, false]))
    }

    fn header_by_hash(&self) -> Option<usize> {
        self.place_of(|call| call["method"] == BY_HASH && call["params"][1] == false)
    }

    /// The places of the calls for whole blocks that are followed by the call for their receipts, both answered.
    fn pairs(&self, method: &str) -> Vec<usize> {
        let is_pair = |place: &usize| {
            let calls = &self.calls[*place..];
            let is_asked = match calls {
                [block, receipts, ..] => {
                    block["method"] == method && block["params"][1] == true && receipts["method"] == RECEIPTS
                }
                _ => false,
            };
            is_asked && self.result(*place).is_some() && self.result(*place + 1).is_some()
        };
        (0..self.calls.len()).filter(is_pair).collect()
    }

    /// The node's answer to the call at `place`, which is found by its id.
    fn frame(&self, place: usize) -> Option<&Value> {
        let id = &self.calls.get(place)?["id"];
        match &self.answer {
            Value::Array(frames) => frames.iter().find(|frame| frame["id"] == *id),
            frame => Some(frame),
        }
    }

    fn frame_mut(&mut self, place: usize) -> Option<&mut Value> {
        let id = &self.calls.get(place)?["id"];
        match &mut self.answer {
            Value::Array(frames) => frames.iter_mut().find(|frame| frame["id"] == *id),
            frame => Some(frame),
        }
    }

    /// What the call at `place` was answered with; `None` for an error and for `null`.
    fn result(&self, place: usize) -> Option<&Value> {
        self.frame(place)?.get("result").filter(|result| !result.is_null())
    }

    fn result_mut(&mut self, place: usize) -> Option<&mut Value> {
        self.frame_mut(place)?.get_mut("result").filter(|result| !result.is_null())
    }

    fn block_at(&self, place: usize) -> Option<Subject> {
        quantity(&self.result(place)?["number"]).map(Subject::Block)
    }

    fn alter_result(&mut self, place: usize, lie: fn(&mut Value, &Elsewhere) -> bool, elsewhere: &Elsewhere) -> bool {
        self.result_mut(place).is_some_and(|result| lie(result, elsewhere))
    }

    /// Lies about the first block that holds something to lie about.
    fn alter_pair(&mut self, method: &str, lie: fn(&mut Pair, &Elsewhere) -> bool, elsewhere: &Elsewhere) -> bool {
        for place in self.pairs(method) {
            let (Some(block), Some(receipts)) = (self.result(place), self.result(place + 1)) else { continue };
            let mut pair = Pair { block: block.clone(), receipts: receipts.clone() };
            if lie(&mut pair, elsewhere) {
                for (place, result) in [(place, pair.block), (place + 1, pair.receipts)] {
                    if let Some(found) = self.result_mut(place) {
                        *found = result;
                    }
                }
                return true;
            }
        }
        false
    }
}

fn told(body: String) -> Lie {
    Lie { reply: Reply::Body(body.into_bytes()), is_told: true }
}

fn is_about_a_block(call: &Value) -> bool {
    call["method"] == RECEIPTS || (call["method"] == BY_NUMBER && call["params"][1] == true)
}

/// Ethereum's mainnet, wherever one asks.
fn another_chain(chain_id: &mut Value, _: &Elsewhere) -> bool {
    *chain_id = json!("0x1");
    true
}
