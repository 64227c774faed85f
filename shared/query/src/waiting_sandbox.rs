//! A sandbox that is open before its query comes: what a query waits for is then only what is its own.
//!
//! Each still serves one query: whoever takes the one that waits has it alone, and another is opened when that query is
//! over. It has seen no text, no row and no address before. None waits unless it is asked for
//! ([`crate::QueryEngine::keep_a_sandbox_waiting`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isotherm_types::sandbox::{Limits, Spill};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::conversation;
use crate::engine::SandboxConfig;
use crate::error::QueryError;
use crate::sandbox_process::{SandboxProcess, Step};

/// A sandbox that has limited itself, and the folder that it spills to.
#[derive(Debug)]
pub(crate) struct OpenSandbox {
    pub(crate) process: SandboxProcess,
    /// Removed when the query is over.
    spill: Option<TempDir>,
}

/// The place for the sandbox of the next query; its clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct WaitingSandbox(Arc<Mutex<Place>>);

#[derive(Debug, Default)]
struct Place {
    /// What a sandbox here is opened for; `None`: none is kept.
    kept: Option<Kept>,
    opening: Option<Opening>,
}

#[derive(Clone, Debug)]
struct Kept {
    /// The longest query that it may serve.
    longest: Duration,
    /// Where it may connect to.
    ports: Vec<u16>,
}

/// A sandbox on its way to being open, or that is.
#[derive(Debug)]
struct Opening {
    process_id: Option<u32>,
    opened: JoinHandle<Step<OpenSandbox>>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        // The process goes with it.
        self.opened.abort();
    }
}

impl WaitingSandbox {
    /// From now on one waits, for queries of at most `longest` that connect to none but `ports`.
    pub(crate) fn keep(&self, longest: Duration, sandbox: &SandboxConfig, ports: Vec<u16>) {
        *self.place() = Place { kept: Some(Kept { longest, ports }), opening: None };
        self.refill(sandbox);
    }

    /// The number of the process that waits.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.place().opening.as_ref()?.process_id
    }

    /// Ends when the one that waits is open; at once if none waits.
    pub(crate) async fn until_open(&self) {
        let Some(mut opening) = self.place().opening.take() else { return };
        if let Ok(opened) = (&mut opening.opened).await {
            opening.opened = tokio::spawn(std::future::ready(opened));
            self.place().opening.get_or_insert(opening);
        }
    }

    /// An open sandbox for a query of `timeout`: the one that waits, or a new one if none does that may serve for so long and
    /// connect to `ports`.
    ///
    /// # Errors
    /// [`QueryError::Sandbox`] if a new one cannot be started, else what it says.
    pub(crate) async fn take(&self, timeout: Duration, sandbox: &SandboxConfig, ports: &[u16]) -> Step<OpenSandbox> {
        let waiting = {
            let Place { kept, opening } = &mut *self.place();
            let may_serve = |kept: &Kept| timeout <= kept.longest && kept.ports == ports;
            if kept.as_ref().is_some_and(may_serve) { opening.take() } else { None }
        };
        if let Some(mut waiting) = waiting {
            match (&mut waiting.opened).await {
                Ok(Ok(mut open)) => {
                    if open.process.is_alive() {
                        return Ok(open);
                    }
                    // Nothing was asked of it yet, so another one will do.
                    tracing::warn!("a sandbox ended before it was asked anything");
                }
                Ok(Err(error)) => tracing::warn!(?error, "a sandbox did not open before it was needed"),
                Err(error) => tracing::warn!(%error, "a sandbox was not opened before it was needed"),
            }
        }
        start(sandbox)?.open(sandbox, timeout, ports).await
    }

    /// Opens another one if one is to wait and none does.
    pub(crate) fn refill(&self, sandbox: &SandboxConfig) {
        let Place { kept: Some(Kept { longest, ports }), opening: opening @ None } = &mut *self.place() else { return };
        match start(sandbox) {
            Ok(started) => {
                let process_id = started.process.id();
                let (sandbox, longest, ports) = (sandbox.clone(), *longest, ports.clone());
                let opened = tokio::spawn(async move { started.open(&sandbox, longest, &ports).await });
                *opening = Some(Opening { process_id, opened });
            }
            // The next query tries again, and is told why if that fails too.
            Err(error) => tracing::warn!(%error, "no sandbox was started for the next query"),
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // What is held in it is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(sandbox: &SandboxConfig) -> Result<OpenSandbox, QueryError> {
    let spill = spill_folder(sandbox)?;
    let process = SandboxProcess::start(&sandbox.program, sandbox.memory.resident_bytes)?;
    Ok(OpenSandbox { process, spill })
}

impl OpenSandbox {
    async fn open(mut self, sandbox: &SandboxConfig, longest: Duration, ports: &[u16]) -> Step<Self> {
        let limits = limits(sandbox, self.spill.as_ref(), longest, ports);
        conversation::open(&mut self.process, limits).await?;
        Ok(self)
    }
}

fn spill_folder(sandbox: &SandboxConfig) -> Result<Option<TempDir>, QueryError> {
    if sandbox.spill_bytes == 0 {
        return Ok(None);
    }
    let folder = tempfile::Builder::new().prefix("isotherm-query-").tempdir_in(&sandbox.spill_folder);
    folder.map(Some).map_err(|source| QueryError::Sandbox { action: "given a folder to spill to", source })
}

fn limits(sandbox: &SandboxConfig, spill: Option<&TempDir>, longest: Duration, ports: &[u16]) -> Limits {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    Limits {
        memory_bytes: sandbox.memory.duckdb_bytes,
        writable_bytes: sandbox.memory.writable_bytes,
        address_space_bytes: sandbox.memory.address_space_bytes,
        cpu_seconds: (longest.as_secs() + 1) * u64::from(sandbox.threads.max(1)) + 5,
        threads: sandbox.threads,
        spill: spill.map(|folder| Spill { folder: text(folder.path()), bytes: sandbox.spill_bytes }),
        httpfs: sandbox.httpfs.as_deref().map(text),
        ports: ports.to_vec(),
    }
}
