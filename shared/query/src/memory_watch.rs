//! Watches what a sandbox has resident, and kills it when that is too much (ADR 26).
//!
//! On a thread of its own: whatever keeps the runtime busy, such as the writing of an answer, does not hold it up. A
//! look costs some 20 µs, a hundred of them a second 0.2 % of a processor.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Between two looks. One thread takes about 2 GB/s from the system, so 20 MB meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A watch over one process, until it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    cap_bytes: u64,
    /// What the process held when it was killed for it; else 0.
    held_bytes: Arc<AtomicU64>,
    stop: Option<Sender<()>>,
    looking: Option<JoinHandle<()>>,
}

/// What a process held that was killed for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overgrown {
    /// What it had resident.
    pub(crate) held_bytes: u64,
    /// What it may have resident.
    pub(crate) cap_bytes: u64,
}

impl MemoryWatch {
    /// Watches `process`, a child of this one that must not be reaped before the watch is over: its number could be
    /// another's then.
    ///
    /// # Errors
    /// If there can be no thread for it.
    pub(crate) fn start(process: u32, cap_bytes: u64) -> io::Result<Self> {
        let process = i32::try_from(process).map_err(io::Error::other)?;
        let held_bytes = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = channel::<()>();
        let noted = Arc::clone(&held_bytes);
        let looking = std::thread::Builder::new()
            .name("sandbox-memory".to_owned())
            .spawn(move || look_on(process, cap_bytes, &noted, &stopped))?;
        Ok(Self { cap_bytes, held_bytes, stop: Some(stop), looking: Some(looking) })
    }

    /// Ends the watch. Returns what the process held, if it was killed for that.
    pub(crate) fn stop(mut self) -> Option<Overgrown> {
        self.end();
        let held_bytes = self.held_bytes.load(Ordering::SeqCst);
        (held_bytes > 0).then_some(Overgrown { held_bytes, cap_bytes: self.cap_bytes })
    }

    /// Waits for the look that is going on: after this nothing is killed any more.
    fn end(&mut self) {
        self.stop = None;
        if let Some(looking) = self.looking.take() {
            // It has no result, and one that panicked has nothing more to say.
            let _ = looking.join();
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.end();
    }
}

/// Looks until the process has ended or was killed, or `stopped` hangs up.
fn look_on(process: i32, cap_bytes: u64, held_bytes: &AtomicU64, stopped: &Receiver<()>) {
    // Readable by everybody, also of a process that is marked as not to be dumped, where `/proc` hides nobody.
    let status = format!("/proc/{process}/status");
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let text = match std::fs::read_to_string(&status) {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(%error, "what a sandbox holds cannot be seen; only the system's limits bound it");
                return;
            }
        };
        // One that has ended holds nothing.
        let Some(resident_bytes) = resident_in(&text) else { return };
        if resident_bytes <= cap_bytes {
            continue;
        }
        // First the reason: whoever waits for the process sees its end at once.
        held_bytes.store(resident_bytes, Ordering::SeqCst);
        if let Err(error) = kill(Pid::from_raw(process), Signal::SIGKILL) {
            tracing::error!(%error, "a sandbox that holds too much could not be killed");
        }
        tracing::warn!(memory.held_bytes = resident_bytes, memory.cap_bytes = cap_bytes, "a sandbox was killed");
        return;
    }
}

/// What `/proc/pid/status` says is resident; `None` of a process that has ended. **Source**: proc(5), `VmRSS`.
fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_kernel_is_read_as_it_writes() {
        assert_eq!(resident_in("VmHWM:\t     900 kB\nVmRSS:\t     700 kB\nRssAnon:\t 1 kB\n"), Some(700 * 1024));
        assert_eq!(resident_in("Name:\tsleep\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn a_process_above_the_cap_is_killed_and_one_below_it_is_let_be() {
        let mut greedy = Command::new("sleep").arg("20").spawn().unwrap();
        let mut watch = MemoryWatch::start(greedy.id(), 1).unwrap();
        watch.looking.take().unwrap().join().unwrap();
        let overgrown = watch.stop().unwrap();
        assert!(overgrown.held_bytes > overgrown.cap_bytes, "{overgrown:?}");
        assert_eq!(greedy.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));

        let mut modest = Command::new("sleep").arg("0.2").spawn().unwrap();
        let mut watch = MemoryWatch::start(modest.id(), 1 << 40).unwrap();
        watch.looking.take().unwrap().join().unwrap();
        assert!(watch.stop().is_none());
        assert_eq!(modest.wait().unwrap().code(), Some(0));
    }
}
