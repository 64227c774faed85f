//! What benchmarks measure with: processor time, memory, legs in turn, medians, and the line that says on what they
//! ran.
//!
//! A benchmark compares the legs of one run, never runs: what else the machine does strikes all legs alike. It never
//! judges; `docs/benchmarks.md` says what its figures must reach.

use std::process::Command;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

use crate::tools::{repository_root, search_path};

/// Clock ticks of `/proc/pid/stat`. Source: proc(5); 1/100 s on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one leg took in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Wall time.
    pub seconds: f64,
    /// Processor time of this process.
    pub cpu_seconds: f64,
}

/// Does `work` and measures it.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Sample) {
    let (cpu, began) = (cpu_of_process(), Instant::now());
    let output = work();
    let sample = Sample { seconds: began.elapsed().as_secs_f64(), cpu_seconds: cpu_of_process() - cpu };
    (output, sample)
}

/// Which leg is at turn, by round: each round begins with another one, so that none always runs first.
pub fn turns(legs: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..legs).map(move |turn| (turn + round) % legs)
}

/// Runs `legs` legs in turn for `rounds` rounds after one that does not count; returns each leg's samples.
pub fn interleave(legs: usize, rounds: usize, mut run: impl FnMut(usize) -> Sample) -> Vec<Vec<Sample>> {
    let mut samples = vec![Vec::new(); legs];
    for round in 0..=rounds {
        for leg in turns(legs, round) {
            let sample = run(leg);
            // In the first round the caches are cold.
            if round > 0 {
                samples[leg].push(sample);
            }
        }
    }
    samples
}

/// The middle of the values; the upper one of two.
///
/// # Panics
/// If there is no value.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The first line of a benchmark's output: its name, the machine's load, the build, and `settings`.
pub fn heading(name: &str, settings: &[(&str, String)]) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let build = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut line = format!("benchmark {name} load={load} build={build} rustc={}", rustc_version());
    for (key, value) in settings {
        line.push_str(&format!(" {key}={value}"));
    }
    line
}

fn rustc_version() -> String {
    let output = Command::new("rustc").arg("--version").env("PATH", search_path()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split(' ').nth(1).unwrap_or("unknown").to_owned()
}

/// Version of `package` in the repository's lock file; the first, if it has several.
pub fn locked_version(package: &str) -> String {
    let lock = repository_root().ok().and_then(|root| std::fs::read_to_string(root.join("Cargo.lock")).ok());
    version_in(&lock.unwrap_or_default(), package).unwrap_or("unknown").to_owned()
}

fn version_in<'lock>(lock: &'lock str, package: &str) -> Option<&'lock str> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(after.split_once('"')?.0)
}

/// Seconds of processor time that this process has used, all its threads together.
pub fn cpu_of_process() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        [usage.user_time(), usage.system_time()]
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .iter()
            .sum()
    })
}

/// Seconds of processor time that the living process `pid` has used.
pub fn cpu_of(pid: i32) -> f64 {
    stat(&pid.to_string()).map_or(0.0, |stat| stat.own)
}

/// Seconds of processor time that the process `root` and its children have used, those that have ended included.
pub fn cpu_of_tree(root: i32) -> f64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0.0 };
    let names = processes.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let children = names.filter(|name| name.parse::<i32>().is_ok()).filter_map(|name| stat(&name));
    let living: f64 = children.filter(|stat| stat.parent == root).map(|stat| stat.own).sum();
    living + stat(&root.to_string()).map_or(0.0, |stat| stat.own + stat.ended_children)
}

/// The most memory that the living process `pid` has had resident, in bytes. Source: proc(5), `VmHWM`.
pub fn peak_memory_bytes(pid: i32) -> Option<u64> {
    peak_in(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What `/proc/pid/stat` says of a process's time.
struct Stat {
    parent: i32,
    own: f64,
    ended_children: f64,
}

fn stat(process: &str) -> Option<Stat> {
    stat_in(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn stat_in(text: &str) -> Option<Stat> {
    // The name stands in brackets and may hold spaces; what follows it begins with field 3.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |field: usize| fields.get(field - 3)?.parse::<f64>().ok().map(|ticks| ticks / TICKS_PER_SECOND);
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(14)? + seconds(15)?,
        ended_children: seconds(16)? + seconds(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leg_runs_once_a_round_and_the_first_round_does_not_count() {
        let mut order = Vec::new();
        let samples = interleave(3, 2, |leg| {
            order.push(leg);
            Sample { seconds: order.len() as f64, cpu_seconds: 0.0 }
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        let seconds = |leg: usize| samples[leg].iter().map(|sample| sample.seconds).collect::<Vec<_>>();
        assert_eq!((seconds(0), seconds(1), seconds(2)), (vec![6.0, 8.0], vec![4.0, 9.0], vec![5.0, 7.0]));
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }

    #[test]
    fn the_kernel_is_read_as_it_writes() {
        let fields = (20..60).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        let text = format!("7 (a) name) S 5 6 7 8 9 10 11 12 13 14 150 50 300 100 {fields}");
        let stat = stat_in(&text).unwrap();
        assert_eq!((stat.parent, stat.own, stat.ended_children), (5, 2.0, 4.0));
        assert_eq!(peak_in("VmPeak:\t  9 kB\nVmHWM:\t     700 kB\nVmRSS:\t 1 kB\n"), Some(700 * 1024));
        assert_eq!(peak_in("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(peak_memory_bytes(own).unwrap() > 1 << 20);
        let before = cpu_of_process();
        let (sum, sample) = measure(|| (0..3_000_000u64).map(std::hint::black_box).sum::<u64>());
        assert_eq!(sum, 4_499_998_500_000);
        assert!(cpu_of_process() > before && sample.seconds > 0.0 && sample.cpu_seconds > 0.0);
    }

    #[test]
    fn a_version_is_the_one_behind_its_name() {
        let lock = "name = \"alloy-core\"\nversion = \"1.7.3\"\n\n[[package]]\nname = \"alloy\"\nversion = \"2.5.0\"\n";
        assert_eq!((version_in(lock, "alloy"), version_in(lock, "arrow")), (Some("2.5.0"), None));
    }
}
