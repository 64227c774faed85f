//! The peer leg: DuckDB reads the same rows with its Postgres extension and writes them to Parquet on the local disk,
//! with the same compression and size of row groups, without checks, Bloom filters and S3.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use isotherm_lab::benchmark::{cpu_of, peak_memory_bytes};
use isotherm_lab::{LabError, tools};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::Leg;
use crate::copy::select;
use crate::stage::{DATASETS, Stage};

/// As many as the machine has processors.
const THREADS: &str = "2";
const SCRIPT: &str = include_str!("peer.py");

/// DuckDB for Python with its extension.
pub(crate) struct DuckDb {
    python: PathBuf,
    extension: PathBuf,
    files: Vec<PathBuf>,
    statements: Vec<String>,
}

impl DuckDb {
    /// What `./isotherm lab` prepares.
    ///
    /// # Errors
    /// [`LabError::ToolMissing`] if it has not.
    pub(crate) fn find(stage: &Stage) -> Result<Self, LabError> {
        let (python, extension) = (tools::readers_python()?, tools::postgres_scanner()?);
        let files = DATASETS.map(|dataset| stage.folder.path().join(format!("{dataset}.parquet"))).to_vec();
        let statement = |(dataset, file): (_, &PathBuf)| {
            format!(
                "COPY ({}) TO '{}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, ROW_GROUP_SIZE 122880)",
                select(dataset, "peer.hot"),
                file.display(),
            )
        };
        let statements = DATASETS.into_iter().zip(&files).map(statement).collect();
        Ok(Self { python, extension, files, statements })
    }

    /// From the start of its process until the files are written.
    pub(crate) async fn write(&self, stage: &Stage, row_count: u64) -> Leg {
        let (postgres_cpu, emulator_cpu) = (stage.postgres_cpu(), stage.emulator_cpu());
        let began = Instant::now();
        let mut child = Command::new(&self.python)
            .args(["-c", SCRIPT, THREADS])
            .arg(&self.extension)
            .args(&self.statements)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", stage.folder.path())
            .env("DATABASE_URL", &stage.database.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let pid = child.id().expect("it was not waited for").cast_signed();
        let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let line = lines.next_line().await.expect("its lines can be read");
        assert_eq!(line.as_deref(), Some("written"), "DuckDB has failed; its message is above");
        let seconds = began.elapsed().as_secs_f64();
        let (client_cpu, peak) = (cpu_of(pid), peak_memory_bytes(pid));
        // It ends with its input.
        drop(child.stdin.take());
        child.wait().await.expect("it can be waited for");
        let (found, size_bytes) = self.written();
        assert_eq!(found, row_count, "DuckDB has written all rows");
        Leg {
            seconds,
            staged_seconds: seconds,
            client_cpu,
            postgres_cpu: stage.postgres_cpu() - postgres_cpu,
            emulator_cpu: stage.emulator_cpu() - emulator_cpu,
            peak_memory_mib: peak.map(|bytes| bytes as f64 / f64::from(1 << 20)),
            size_bytes,
        }
    }

    /// Rows and bytes of its files.
    fn written(&self) -> (u64, u64) {
        let (mut row_count, mut size_bytes) = (0, 0);
        for path in &self.files {
            let file = std::fs::File::open(path).expect("the file was written");
            size_bytes += file.metadata().expect("it has a length").len();
            let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).expect("it is Parquet");
            row_count += footer.metadata().file_metadata().num_rows().unsigned_abs();
        }
        (row_count, size_bytes)
    }
}
