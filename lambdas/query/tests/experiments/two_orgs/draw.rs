//! Questions drawn by chance, each of a kind in turn: honest ones about the asker's own, and attempts at the other
//! organisation's by its names, its numbers and its bytes.

mod attempts;
mod honest;

use isotherm_types::Dataset;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::chain::{BLOCKS, DATASETS, value_of};
use super::party::{NEUTRAL, PARTIES, Party};

/// Each kind by its name.
type Kind = (&'static str, fn(&mut Draw) -> Question);

pub(crate) const KINDS: [Kind; 13] = [
    ("own_rows", Draw::own_rows),
    ("own_groups", Draw::own_groups),
    ("own_join", Draw::own_join),
    ("failing_cast", Draw::failing_cast),
    ("mistake", Draw::mistake),
    ("their_value", Draw::their_value),
    ("their_relation", Draw::their_relation),
    ("ungranted_dataset", Draw::ungranted_dataset),
    ("catalogue", Draw::catalogue),
    ("statement", Draw::statement),
    ("parameter", Draw::parameter),
    ("as_of", Draw::as_of),
    ("platform", Draw::platform),
];

/// What is asked, and what may be expected of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    body: Value,
    /// Its answer follows from the chains alone, and is the same each time.
    pub(crate) is_steady: bool,
    /// With other names it must be answered in the same way: nothing in it is compared by its spelling.
    has_twin: bool,
}

impl Question {
    pub(crate) fn of(sql: impl Into<String>) -> Self {
        Self { body: json!({ "sql": sql.into() }), is_steady: true, has_twin: true }
    }

    fn with(mut self, field: &str, value: Value) -> Self {
        self.body[field] = value;
        self
    }

    pub(crate) fn body(&self) -> &Value {
        &self.body
    }

    /// The same about what is nobody's; `None` if it does not name `other`, or has no twin.
    pub(crate) fn of_nobody(&self, other: &Party) -> Option<Self> {
        let text = self.body.to_string();
        let twin = other.with_stand_ins(&text);
        let body = serde_json::from_str(&twin).expect("stand-ins are letters and digits");
        (self.has_twin && twin != text).then(|| Self { body, ..self.clone() })
    }
}

/// Draws for one asker.
pub(crate) struct Draw {
    random: ChaCha8Rng,
    own: &'static Party,
    other: &'static Party,
}

impl Draw {
    pub(crate) fn new(random: ChaCha8Rng, own: &'static Party, other: &'static Party) -> Self {
        Self { random, own, other }
    }

    /// A question of the kind whose turn it is.
    pub(crate) fn question(&mut self, turn: usize) -> Question {
        let (_, draw) = KINDS[turn % KINDS.len()];
        draw(self)
    }

    /// Yes or no.
    pub(crate) fn toss(&mut self) -> bool {
        self.random.random_bool(0.5)
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.random.random_range(0..items.len())]
    }

    fn pick_text(&mut self, items: &[String]) -> String {
        items[self.random.random_range(0..items.len())].clone()
    }

    fn dataset(&mut self) -> Dataset {
        self.pick(&DATASETS)
    }

    fn column(&mut self, dataset: Dataset) -> &'static str {
        self.pick(dataset.columns()).name
    }

    fn block(&mut self) -> u64 {
        self.random.random_range(0..BLOCKS)
    }

    /// A relation that the asker may read, and its dataset.
    fn own_relation(&mut self) -> (String, Dataset) {
        let dataset = self.dataset();
        match self.random.random_range(0..3) {
            0 => (dataset.to_string(), dataset),
            1 => (format!("{}.{dataset}", self.own.mark.chain()), dataset),
            _ => {
                let dataset = self.pick(common_datasets(self.own));
                (format!("{}.{dataset}", NEUTRAL.chain()), dataset)
            }
        }
    }

    /// A relation of the other's own chain, in one of its spellings.
    fn relation_of_the_other(&mut self) -> String {
        let (chain, dataset) = (self.other.mark.chain(), self.pick(&Dataset::ALL));
        match self.random.random_range(0..4) {
            0 => format!("\"{chain}\".\"{dataset}\""),
            1 => format!("{chain}.{dataset}").to_uppercase(),
            _ => format!("{chain}.{dataset}"),
        }
    }

    /// What a number of one of the other's rows follows from.
    fn place_of_the_other(&mut self) -> u64 {
        let block = self.block();
        value_of(block, self.random.random_range(0..2))
    }

    /// Bytes of one of the other's rows, as a bare literal.
    fn bytes_of_the_other(&mut self, length: usize) -> String {
        let place = self.place_of_the_other();
        format!("0x{}", hex::encode(self.other.mark.bytes(place, length)))
    }
}

/// What of the common chain `party` may read.
fn common_datasets(party: &Party) -> &'static [Dataset] {
    if *party == PARTIES[0] { &[Dataset::Logs] } else { &[Dataset::Blocks, Dataset::Transactions] }
}
