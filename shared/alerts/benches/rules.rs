//! Benchmark: all rules of a chain over a million logs, beside a bare hash probe of each log and a scan of all rules for each log.
//!
//! The legs of one number of rules look at the same logs. `index` is what the evaluator does: look up, decode, judge, make matches.
//! `probe` hashes topic and address of each log and looks the hash up in one table of all rules' pairs, and does nothing with what it
//! finds: nothing that tells rows apart can be faster. `scan` compares the pair of each log with that of each rule; it is given fewer
//! logs, so that each number of rules takes the same number of comparisons. Which logs are some rule's business is the same for every
//! number of rules: what grows is the number of rules that they are not the business of.
//!
//! One thread; legs in turn, each round begins with another one; medians over the rounds.
//!
//! `./isotherm lab bench rules`; method and figures: `docs/benchmarks.md`.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use isotherm_alerts::index::{BlockRows, CompiledRule, RuleIndex};
use isotherm_lab::benchmark::{Sample, heading, interleave, locked_version, measure, median};

#[path = "rules/made.rs"]
mod made;

use made::{Key, Made, ROWS};

const ROUNDS: usize = 9;
const SEED: u64 = 1;
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const WAYS: [&str; 3] = ["index", "probe", "scan"];
/// Comparisons of a scan.
const COMPARISONS: usize = 200_000_000;

/// A number of rules, in the form of each leg.
struct Case {
    rules: usize,
    index: RuleIndex,
    table: HashMap<Key, u32, foldhash::fast::RandomState>,
    keys: Vec<Key>,
}

impl Case {
    fn new(rules: &[CompiledRule], keys: &[Key]) -> Self {
        let table = keys.iter().zip(0u32..).map(|(key, place)| (*key, place)).collect();
        Self { rules: rules.len(), index: RuleIndex::build(rules.to_vec()), table, keys: keys.to_vec() }
    }

    /// Rows that a leg looks at in a round.
    fn rows(&self, way: &str) -> usize {
        if way == "scan" { (COMPARISONS / self.rules).min(ROWS) } else { ROWS }
    }

    fn run(&self, way: &str, rows: &BlockRows, pairs: &[Key]) -> (usize, Sample) {
        match way {
            "index" => measure(|| {
                let found = black_box(&self.index).find(black_box(rows));
                assert!(found.faults.is_empty(), "no rule fails");
                found.matches.len()
            }),
            "probe" => measure(|| pairs.iter().filter(|pair| black_box(&self.table).contains_key(*pair)).count()),
            _ => {
                let pairs = &pairs[..self.rows(way)];
                measure(|| {
                    pairs
                        .iter()
                        .map(|pair| black_box(&self.keys).iter().filter(|key| *key == pair).count())
                        .sum::<usize>()
                })
            }
        }
    }
}

fn print(case: &Case, way: &str, samples: &[Sample], probe: &[Sample], found: usize) {
    let rows = case.rows(way) as f64;
    let rate = |seconds: f64| rows / seconds / 1e6;
    let cpu = || samples.iter().map(|sample| sample.cpu_seconds);
    let ratio = median(samples.iter().zip(probe).map(|(own, probe)| {
        let per_row = |sample: &Sample, rows: f64| sample.cpu_seconds / rows;
        per_row(probe, ROWS as f64) / per_row(own, rows)
    }));
    println!(
        "  {:>7} rules {way:<6} {:>9.3} M rows/s of a core (least {:.3}, most {:.3})   {:.3} CPU-seconds for {rows:.0} rows   \
         found {found}   ratio to probe {ratio:.4}",
        case.rules,
        rate(median(cpu())),
        rate(cpu().fold(0.0, f64::max)),
        rate(cpu().fold(f64::INFINITY, f64::min)),
        median(cpu()),
    );
}

fn main() {
    let made = Made::new(SEED);
    let began = Instant::now();
    let most = SIZES[SIZES.len() - 1];
    let (rules, keys) = made.rules(most);
    let compiling = began.elapsed();
    let (rows, pairs) = made.rows();
    let cases = SIZES.map(|size| Case::new(&rules[..size], &keys[..size]));

    let legs: Vec<(usize, &str)> = (0..SIZES.len()).flat_map(|case| WAYS.map(|way| (case, way))).collect();
    let mut found = vec![0; legs.len()];
    let samples = interleave(legs.len(), ROUNDS, |leg| {
        let (case, way) = legs[leg];
        let (count, sample) = cases[case].run(way, &rows, &pairs);
        found[leg] = count;
        sample
    });
    let settings = [
        ("rows", ROWS.to_string()),
        ("rounds", ROUNDS.to_string()),
        ("seed", SEED.to_string()),
        ("foldhash", locked_version("foldhash")),
        ("alloy-dyn-abi", locked_version("alloy-dyn-abi")),
    ];
    println!("{}", heading("rules", &settings));
    for (place, (case, way)) in legs.iter().enumerate() {
        let probe = legs.iter().position(|leg| *leg == (*case, "probe")).expect("each number of rules is probed");
        print(&cases[*case], way, &samples[place], &samples[probe], found[place]);
    }
    let each = compiling.as_secs_f64() / most as f64;
    println!("  compiling a rule takes {:.0} µs, {most} of them {:.1} s", each * 1e6, compiling.as_secs_f64());
}
