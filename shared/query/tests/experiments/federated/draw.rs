//! Queries drawn by chance, each of a shape in turn, over what there is to ask for at the moment.

mod parts;
mod shapes;

use std::collections::BTreeSet;

use isotherm_types::{B256, Dataset};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::history::Landmarks;
use super::question::Query;

/// Everything that a query may be made of; each must have occurred.
pub(crate) const KINDS: &[&str] = &[
    "address_filter",
    "aggregate",
    "as_of_hash",
    "as_of_number",
    "bare_hex",
    "between",
    "block_range",
    "blocks",
    "case",
    "common_table",
    "count_distinct",
    "count_where",
    "derived_table",
    "distinct",
    "either",
    "exists",
    "expression",
    "group",
    "hash_lookup",
    "having",
    "in_list",
    "in_subquery",
    "join",
    "left_join",
    "like",
    "limit",
    "logs",
    "min_max",
    "not",
    "null_filter",
    "order",
    "packed",
    "projection",
    "scalar_subquery",
    "sum",
    "sum_above_10_38",
    "sum_of_decimals",
    "three_way_join",
    "topic_filter",
    "traces",
    "transactions",
    "union_all",
    "window",
];

/// The block that an answer is pinned to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pin {
    Number(u64),
    /// Of a final block, so that no reorg can take it away meanwhile.
    Hash(u64, B256),
}

impl Pin {
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Number(number) | Self::Hash(number, _) => number,
        }
    }
}

/// Draws queries.
pub(crate) struct Draw<'a> {
    random: &'a mut ChaCha8Rng,
    marks: &'a Landmarks,
    kinds: BTreeSet<&'static str>,
}

impl<'a> Draw<'a> {
    pub(crate) fn new(random: &'a mut ChaCha8Rng, marks: &'a Landmarks) -> Self {
        Self { random, marks, kinds: BTreeSet::new() }
    }

    pub(crate) fn pin(&mut self) -> Pin {
        match self.marks.finalized {
            Some(block) if self.random.random_bool(0.5) => Pin::Hash(block.number.0, block.hash),
            // Final blocks and others; none is above the tip, which a reorg never lowers here.
            _ => Pin::Number(self.random.random_range(self.marks.tip / 2..=self.marks.tip)),
        }
    }

    /// A query of the shape whose turn it is.
    pub(crate) fn query(&mut self, turn: usize) -> Query {
        self.kinds.clear();
        let mut query = self.shape(turn);
        if query.order.is_none() && self.random.random_bool(0.4) {
            let limited = self.random.random_bool(0.5);
            query.order = Some(self.order(query.width(), limited));
        }
        if self.random.random_bool(0.15) {
            self.note("common_table");
            query.named = true;
        }
        query.kinds = std::mem::take(&mut self.kinds);
        query
    }

    fn note(&mut self, kind: &'static str) {
        assert!(KINDS.contains(&kind), "{kind} is on the list");
        self.kinds.insert(kind);
    }

    fn dataset(&mut self) -> Dataset {
        self.pick(&Dataset::ALL)
    }
}
