//! Benchmark: the bytes of an answer → verified blocks → Arrow columns, as the follower has it done, beside plain
//! parses of the same bytes: into this crate's own types, into alloy's, and into a tree of JSON values.
//!
//! One thread; legs in turn, medians over the rounds. Every leg begins with the HTTP body of a batch and drops what it
//! has made.
//!
//! `./isotherm lab bench decode`; method and figures: `docs/benchmarks.md`.

use isotherm_lab::benchmark::{Sample, heading, interleave, locked_version, measure, median};

#[path = "decode/input.rs"]
mod input;
#[path = "decode/legs.rs"]
mod legs;

use input::Input;
use legs::{LEGS, Leg, STEPS, Steps};

const ROUNDS: usize = 9;

/// What the legs took with one input.
struct Measured {
    /// By leg.
    samples: Vec<Vec<Sample>>,
    steps: Steps,
}

fn run(input: &Input) -> Measured {
    let mut steps = Steps::default();
    let samples = interleave(LEGS.len(), ROUNDS, |leg| {
        let Leg { read, .. } = LEGS[leg];
        let (transactions, sample) = measure(|| {
            let once = || input.bodies.iter().map(|body| read(body, &mut steps)).sum::<usize>();
            std::iter::repeat_with(once).take(input.passes).sum::<usize>()
        });
        assert_eq!(transactions, input.transactions * input.passes, "a leg has lost transactions");
        sample
    });
    Measured { samples, steps }
}

fn print(input: &Input, measured: &Measured) {
    println!(
        "  {}: bytes={} blocks={} transactions={} passes={}",
        input.name,
        input.bytes(),
        input.blocks,
        input.transactions,
        input.passes
    );
    let [bytes, blocks, transactions] =
        [input.bytes(), input.blocks, input.transactions].map(|count| (count * input.passes) as f64);
    for (Leg { name, .. }, samples) in LEGS.iter().zip(&measured.samples) {
        let seconds = || samples.iter().map(|sample| sample.seconds);
        let middle = median(seconds());
        println!(
            "    {name:<15} {:>7.1} MB/s (min {:.1}, max {:.1})   {:>8.1} blocks/s   {:>9.0} transactions/s   \
             {:.2} CPU-seconds in {middle:.2} s",
            bytes / 1e6 / middle,
            bytes / 1e6 / seconds().fold(0.0, f64::max),
            bytes / 1e6 / seconds().fold(f64::INFINITY, f64::min),
            blocks / middle,
            transactions / middle,
            median(samples.iter().map(|sample| sample.cpu_seconds)),
        );
    }
    let (ours, peers) = measured.samples.split_first().expect("there are legs");
    for (Leg { name, .. }, peer) in LEGS[1..].iter().zip(peers) {
        let by = |time: fn(&Sample) -> f64| median(ours.iter().zip(peer).map(|(ours, peer)| time(peer) / time(ours)));
        println!(
            "    ratio to {name:<15} {:.2} by wall time, {:.2} by CPU time (medians over rounds)",
            by(|sample| sample.seconds),
            by(|sample| sample.cpu_seconds)
        );
    }
    let all = measured.steps.total().as_secs_f64();
    let share = |step: &str| format!("{step} {:.0} %", 100.0 * measured.steps.of(step).as_secs_f64() / all);
    println!("    of {}: {}", LEGS[0].name, STEPS.map(share).join(", "));
}

fn main() {
    let inputs: Vec<Input> = [Some(Input::generated()), Input::recorded()].into_iter().flatten().collect();
    let measured: Vec<Measured> = inputs.iter().map(run).collect();
    let versions = ["alloy", "arrow", "serde_json"].map(|package| (package, locked_version(package)));
    let settings: Vec<_> =
        versions.into_iter().chain([("rounds", ROUNDS.to_string()), ("seed", input::SEED.to_string())]).collect();
    println!("{}", heading("decode", &settings));
    inputs.iter().zip(&measured).for_each(|(input, measured)| print(input, measured));
}
