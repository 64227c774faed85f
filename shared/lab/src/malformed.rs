//! Inputs that nobody sends in good faith, or at all, and a judge of the doors that they come to.
//!
//! Inputs are drawn by [`Bytes`] and [`Json`] from good ones, by a seed. The judge asks three things of a door: that it does not
//! panic, that it is done in [`MOST_CPU`] of processor time, whatever else the machine does, and that it holds no more than
//! [`MOST_BYTES`] meanwhile; and that a refusal has a code that `docs/errors.md` lists. It must never know a door.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures::FutureExt;

use crate::benchmark::cpu_of_process;
use crate::experiment::{Experiment, milliseconds};
use crate::tools::repository_root;

mod bytes;
mod calls;
mod json;
mod memory;

pub use bytes::Bytes;
pub use calls::Calls;
pub use json::Json;
pub use memory::{CountingAllocator, Held, Span};

/// Processor time that one input may cost.
pub const MOST_CPU: Duration = Duration::from_secs(1);

/// Memory that may be held for one input.
pub const MOST_BYTES: usize = 256 << 20;

/// After so long an input hangs, whatever it waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many breaches are shown in words.
const MOST_SHOWN: usize = 20;

/// What a door made of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good enough, after all.
    Taken,
    /// It never came to the door: what stands before it on AWS does not let it through.
    Outside,
    /// It is refused.
    Refused {
        /// The error's code.
        code: String,
        /// Whether the error says that trying again can help.
        is_passing: bool,
    },
    /// The door did what it never may: an answer that blames the platform, a process that died, a row that was stored.
    Broken(String),
}

impl Verdict {
    /// A refusal for good.
    pub fn refused(code: impl Into<String>) -> Self {
        Self::Refused { code: code.into(), is_passing: false }
    }
}

/// What refusals of a door say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// The same input is refused again for ever.
    Final,
    /// Another try may bring another input: it is another's word that was not understood.
    MayPass,
}

/// Watches a door.
#[derive(Debug)]
pub struct Judge {
    refusals: Refusals,
    documented: BTreeSet<String>,
    inputs: i64,
    taken: i64,
    outside: i64,
    /// Refusals by their codes.
    refused: BTreeMap<String, i64>,
    undocumented: i64,
    tried_again: i64,
    broken: i64,
    panics: i64,
    hangs: i64,
    too_much_memory: i64,
    slowest: Duration,
    most: Held,
    shown: usize,
}

impl Judge {
    /// A judge of a door whose refusals are such.
    ///
    /// # Panics
    /// If the test binary lacks [`CountingAllocator`], or `docs/errors.md` cannot be read.
    pub fn new(refusals: Refusals) -> Self {
        let span = Span::begin();
        drop(std::hint::black_box(vec![1u8; 4096]));
        assert!(span.end().largest_bytes >= 4096, "the test binary has no CountingAllocator as its global allocator");
        let page = repository_root().map(|root| std::fs::read_to_string(root.join("docs/errors.md")));
        let page = page.expect("the tests run in their repository").expect("docs/errors.md can be read");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        Self {
            refusals,
            documented: rows.map(str::to_owned).collect(),
            inputs: 0,
            taken: 0,
            outside: 0,
            refused: BTreeMap::new(),
            undocumented: 0,
            tried_again: 0,
            broken: 0,
            panics: 0,
            hangs: 0,
            too_much_memory: 0,
            slowest: Duration::ZERO,
            most: Held::default(),
            shown: 0,
        }
    }

    /// Takes these for documented codes too: names that are listed elsewhere.
    #[must_use]
    pub fn knowing(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.documented.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Hands `input` to a door that is a function.
    pub fn watch(&mut self, input: &[u8], door: impl FnOnce() -> Verdict) {
        let watch = Watch::start();
        // What a panic leaves half done is the door's own.
        let outcome = catch_unwind(AssertUnwindSafe(door)).ok();
        self.note(input, &watch.stop(), outcome);
    }

    /// Hands `input` to a door that waits for others.
    pub async fn watch_async(&mut self, input: &[u8], door: impl Future<Output = Verdict>) {
        let watch = Watch::start();
        let outcome = tokio::time::timeout(PATIENCE, AssertUnwindSafe(door).catch_unwind()).await;
        let cost = watch.stop();
        match outcome {
            Ok(outcome) => self.note(input, &cost, outcome.ok()),
            Err(_) => {
                self.inputs += 1;
                self.hangs += 1;
                self.show(input, "it waits for ever");
            }
        }
    }

    /// Notes that something is wrong beside what an input was answered.
    pub fn break_rule(&mut self, input: &[u8], what: &str) {
        self.broken += 1;
        self.show(input, what);
    }

    fn note(&mut self, input: &[u8], cost: &Cost, outcome: Option<Verdict>) {
        self.inputs += 1;
        self.slowest = self.slowest.max(cost.cpu);
        self.most.peak_bytes = self.most.peak_bytes.max(cost.held.peak_bytes);
        self.most.largest_bytes = self.most.largest_bytes.max(cost.held.largest_bytes);
        if cost.cpu > MOST_CPU {
            self.hangs += 1;
            self.show(input, &format!("it takes {:.0} ms", milliseconds(cost.cpu)));
        }
        if cost.held.peak_bytes > MOST_BYTES {
            self.too_much_memory += 1;
            self.show(input, &format!("{} bytes are held, {} at once", cost.held.peak_bytes, cost.held.largest_bytes));
        }
        match outcome {
            None => {
                self.panics += 1;
                self.show(input, "it panics");
            }
            Some(Verdict::Taken) => self.taken += 1,
            Some(Verdict::Outside) => self.outside += 1,
            Some(Verdict::Broken(what)) => self.break_rule(input, &what),
            Some(Verdict::Refused { code, is_passing }) => {
                if !self.documented.contains(&code) {
                    self.undocumented += 1;
                    self.show(input, &format!("docs/errors.md does not list {code:?}"));
                }
                if is_passing && self.refusals == Refusals::Final {
                    self.tried_again += 1;
                    self.show(input, &format!("{code} says that it is to be tried again"));
                }
                *self.refused.entry(code).or_default() += 1;
            }
        }
    }

    fn show(&mut self, input: &[u8], what: &str) {
        self.shown += 1;
        if self.shown <= MOST_SHOWN {
            let head = String::from_utf8_lossy(&input[..input.len().min(300)]).into_owned();
            println!("{what}: {} bytes, {head:?}", input.len());
        }
    }

    /// Adds to the line what came of all inputs: of `inputs` inputs, at least half are to be refused, or nothing was tried.
    pub fn report(self, experiment: &mut Experiment, inputs: i64) {
        let refused: i64 = self.refused.values().sum();
        experiment.equal("inputs", self.inputs, inputs);
        experiment.figure("refused", refused);
        experiment.figure("codes", self.refused.len());
        experiment.figure("taken", self.taken);
        experiment.figure("outside", self.outside);
        experiment.zero("too_many_taken", i64::from(2 * refused < self.inputs - self.outside));
        experiment.zero("panics", self.panics);
        experiment.zero("hangs", self.hangs);
        experiment.zero("above_256_mib", self.too_much_memory);
        experiment.zero("undocumented", self.undocumented);
        experiment.zero("tried_again", self.tried_again);
        experiment.zero("broken", self.broken);
        experiment.figure("slowest_cpu_ms", format!("{:.1}", milliseconds(self.slowest)));
        experiment.figure("peak_bytes", self.most.peak_bytes);
        experiment.figure("largest_bytes", self.most.largest_bytes);
        println!("refused by code: {:?}", self.refused);
    }
}

/// What one input cost.
struct Cost {
    cpu: Duration,
    held: Held,
}

struct Watch {
    cpu_seconds: f64,
    span: Span,
}

impl Watch {
    fn start() -> Self {
        Self { cpu_seconds: cpu_of_process(), span: Span::begin() }
    }

    fn stop(self) -> Cost {
        let cpu = Duration::try_from_secs_f64(cpu_of_process() - self.cpu_seconds);
        Cost { cpu: cpu.unwrap_or_default(), held: self.span.end() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    /// The counts are of the whole process: one test of it, not several beside one another.
    #[tokio::test]
    async fn each_rule_that_a_door_breaks_is_counted() {
        let mut judge = Judge::new(Refusals::Final);
        judge.watch(b"good", || Verdict::Taken);
        judge.watch(b"bad", || Verdict::refused("pipeline.invalid"));
        assert_eq!((judge.inputs, judge.taken, judge.refused["pipeline.invalid"]), (2, 1, 1));
        assert_eq!((judge.panics, judge.hangs, judge.too_much_memory, judge.undocumented), (0, 0, 0, 0));

        judge.watch(b"panic", || panic!("a mistake"));
        judge.watch_async(b"panic", async { panic!("a mistake") }).await;
        assert_eq!(judge.panics, 2);
        judge.watch(b"large", || {
            drop(std::hint::black_box(Vec::<u8>::with_capacity(MOST_BYTES + 1)));
            Verdict::Taken
        });
        judge.watch(b"growing", || {
            let parts: Vec<_> = (0..5).map(|_| Vec::<u8>::with_capacity(MOST_BYTES / 4)).collect();
            drop(std::hint::black_box(parts));
            Verdict::Taken
        });
        assert_eq!(judge.too_much_memory, 2);
        judge.watch(b"slow", || {
            let began = cpu_of_process();
            while cpu_of_process() - began < MOST_CPU.as_secs_f64() + 0.01 {}
            Verdict::Taken
        });
        assert_eq!(judge.hangs, 1);
        judge.watch(b"unknown", || Verdict::refused("nobody.knows_it"));
        judge.watch(b"again", || Verdict::Refused { code: "chain.malformed".to_owned(), is_passing: true });
        judge.watch(b"dead", || Verdict::Broken("the process is gone".to_owned()));
        assert_eq!((judge.undocumented, judge.tried_again, judge.broken), (1, 1, 1));
    }
}
