//! The peer: DuckDB for Python in a process of its own, which has been running since before the first round.

use std::path::Path;
use std::process::Stdio;

use isotherm_lab::{LabError, tools};
use isotherm_types::Dataset;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::chain::DATASETS;
use crate::stage::{MEMORY_BYTES, THREADS, httpfs};

const SCRIPT: &str = include_str!("peer.py");

/// A process that answers queries.
pub(crate) struct DuckDb {
    /// Killed when dropped.
    _child: Child,
    queries: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl DuckDb {
    /// With one view for each dataset over the files, or URLs, that `files` names. `home` is a folder of the caller's.
    ///
    /// # Errors
    /// [`LabError::ToolMissing`] if `./isotherm lab` has not prepared it.
    pub(crate) async fn start(home: &Path, files: impl Fn(Dataset) -> Vec<String>) -> Result<Self, LabError> {
        let view = |dataset: Dataset| {
            let files: Vec<String> = files(dataset).iter().map(|file| format!("'{file}'")).collect();
            format!("CREATE VIEW {dataset} AS SELECT * FROM read_parquet([{}])", files.join(", "))
        };
        let mut child = Command::new(tools::readers_python()?)
            .args(["-c", SCRIPT])
            .args([THREADS.to_string(), MEMORY_BYTES.to_string()])
            .arg(httpfs())
            .args(DATASETS.map(view))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let queries = child.stdin.take().expect("it was asked for");
        let mut answers = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let line = answers.next_line().await.expect("its lines can be read");
        assert_eq!(line.as_deref(), Some("ready"), "DuckDB has failed; its message is above");
        Ok(Self { _child: child, queries, answers })
    }

    /// The rows of a query as text.
    pub(crate) async fn ask(&mut self, sql: &str) -> Vec<Vec<String>> {
        let line = format!("{}\n", serde_json::Value::from(sql));
        self.queries.write_all(line.as_bytes()).await.expect("it reads queries");
        let answer = self.answers.next_line().await.expect("its lines can be read");
        let answer = answer.expect("DuckDB has failed; its message is above");
        serde_json::from_str(&answer).expect("rows are lists of texts")
    }
}
