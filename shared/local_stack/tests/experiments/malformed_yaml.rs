//! YAML that is none, or that is small and would become large: pipelines, chains and the stack file. Each is refused with its
//! places, under a stable code, at no cost.
//!
//! The doors are `pipeline::parse_bytes`, `chain_profile::parse_bytes` and [`Stack::read`].

use std::path::Path;

use isotherm_chain::chain_profile;
use isotherm_control::pipeline;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Judge, Refusals, Verdict};
use isotherm_local_stack::Stack;
use isotherm_types::{Classified, Disposition};

const WORDS: [&str; 40] = [
    "version: ",
    "jobs:",
    "triggers:",
    "chains:",
    "functions:",
    "queues:",
    "name: ",
    "operator: ",
    "config: ",
    "cron: ",
    "schedule: ",
    "rate(1 minute)",
    "cron(0 0 30 2 ? *)",
    "&a ",
    "*a",
    "*a, *a",
    "<<: ",
    "!!binary ",
    "!!str ",
    "!x ",
    "--- ",
    "...",
    "%YAML 1.2\n",
    "- ",
    "? ",
    ": ",
    "| ",
    "> ",
    "|-9\n",
    "{",
    "}",
    "[",
    "]",
    "#",
    "'",
    "\"",
    "\\x",
    "0o17",
    ".inf",
    "\t",
];

/// A file, and who reads it.
#[derive(Clone, Copy, Debug)]
enum File {
    Pipeline,
    Chains,
    Stack,
}

impl File {
    const ALL: [Self; 3] = [Self::Pipeline, Self::Chains, Self::Stack];

    fn good(self) -> Vec<Vec<u8>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let names: &[&str] = match self {
            Self::Pipeline => &[
                "docs/examples/demo-pipeline.yaml",
                "docs/examples/monad-pipeline.yaml",
                "docs/examples/noop-pipeline.yaml",
            ],
            Self::Chains => &["docs/examples/chains.yaml"],
            Self::Stack => &["terraform/stack.yaml"],
        };
        names.iter().map(|name| std::fs::read(root.join(name)).unwrap()).collect()
    }

    fn read(self, path: &Path, bytes: &[u8]) -> Verdict {
        match self {
            Self::Pipeline => verdict(pipeline::parse_bytes(bytes)),
            Self::Chains => verdict(chain_profile::parse_bytes(bytes)),
            Self::Stack => verdict(Stack::read(path)),
        }
    }
}

#[test]
fn experiment_malformed_yaml() {
    let mut experiment = Experiment::begin("malformed_yaml", &["aliases"]);
    let writes_out = experiment.lacks("aliases");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.yaml");
    let sources = File::ALL.map(|file| Bytes::new(file.good(), &WORDS, 64 << 10));
    for file in File::ALL {
        for good in file.good() {
            std::fs::write(&path, &good).unwrap();
            assert_eq!(file.read(&path, &good), Verdict::Taken, "{file:?}");
        }
    }
    let mut random = experiment.random(1);
    let count = experiment.scaled(600, 10_000);
    let mut judge = Judge::new(Refusals::Final);
    for place in 0..count {
        let (file, source) = (File::ALL[place % 3], &sources[place % 3]);
        let bytes = source.draw(&mut random);
        std::fs::write(&path, &bytes).unwrap();
        judge.watch(&bytes, || file.read(&path, &bytes));
    }
    let bombs = bombs();
    for bytes in &bombs {
        std::fs::write(&path, bytes).unwrap();
        for file in File::ALL {
            judge.watch(bytes, || if writes_out { written_out(bytes) } else { file.read(&path, bytes) });
        }
    }
    judge.report(&mut experiment, i64::try_from(count + 3 * bombs.len()).unwrap());
    experiment.finish();
}

/// Small files that stand for large ones, and files that are longer than any is read.
fn bombs() -> Vec<Vec<u8>> {
    let laughs: String = (1..30).map(|i| format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1)).collect();
    let (list, aliases) = (vec!["1"; 5_000].join(", "), vec!["*a"; 1_500].join(", "));
    let texts = [
        format!("a: &a [{list}]\nb: [{aliases}]\n"),
        format!("a0: &a0 lol\n{laughs}"),
        "[".repeat(60_000),
        "- ".repeat(30_000),
        "a: ".repeat(20_000),
        format!("version: 1\njobs: []\n{}", "#\n".repeat(1 << 20)),
    ];
    texts.map(String::into_bytes).to_vec()
}

/// What a reader does that writes aliases out.
fn written_out(bytes: &[u8]) -> Verdict {
    match serde_yaml_ng::from_slice::<serde_yaml_ng::Value>(bytes) {
        Ok(_) => Verdict::Taken,
        Err(_) => Verdict::refused("pipeline.invalid"),
    }
}

fn verdict<T, E: Classified>(read: Result<T, E>) -> Verdict {
    match read {
        Ok(_) => Verdict::Taken,
        Err(error) if error.to_string().is_empty() => Verdict::Broken("nothing is said to be wrong".to_owned()),
        Err(error) => {
            let is_passing = error.disposition() != Disposition::GiveUp;
            Verdict::Refused { code: error.code().to_owned(), is_passing }
        }
    }
}
