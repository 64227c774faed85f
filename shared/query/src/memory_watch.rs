//! Watches what a sandbox has resident, and kills it when that is too much, or cannot be seen (ADR 26).
//!
//! On a thread of its own: whatever keeps the runtime busy, such as the writing of an answer, does not hold it up. A
//! look costs some 20 µs, a hundred of them a second 0.2 % of a processor.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Between two looks. One thread takes about 2 GB/s from the system, so 20 MB meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks in a row that show nothing, of a process that is there, after which it is killed.
const MOST_UNSEEN: u32 = 5;

/// A watch over one process, until it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    /// Why the process was killed, if it was.
    killed: Arc<OnceLock<Killed>>,
    stop: Option<Sender<()>>,
    looking: Option<JoinHandle<()>>,
}

/// Why a process was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Killed {
    /// It held too much.
    Overgrown {
        /// What it had resident.
        held_bytes: u64,
        /// What it may have resident.
        cap_bytes: u64,
    },
    /// What it held could not be seen.
    Unseen {
        /// What the last look showed instead.
        fault: String,
    },
}

/// What one look at a process shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    /// It has ended.
    Gone,
    /// Bytes that it has resident.
    Holds(u64),
    /// Nothing that says how much it holds.
    Unseen(String),
}

/// What a look leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The next look, after so many in a row that showed nothing.
    LookAgain(u32),
    /// The end of the watch.
    Over,
    /// The end of the process.
    Kill(Killed),
}

impl MemoryWatch {
    /// Watches `process`, a child of this one that must not be reaped before the watch is over: its number could be
    /// another's then.
    ///
    /// # Errors
    /// If there can be no thread for it.
    pub(crate) fn start(process: u32, cap_bytes: u64) -> io::Result<Self> {
        // Readable by everybody, also of a process that is marked as not to be dumped, where `/proc` hides nobody.
        let status = format!("/proc/{process}/status");
        Self::start_reading(process, cap_bytes, move || std::fs::read_to_string(&status))
    }

    /// Watches by what `read` gives, the text of `/proc/pid/status`.
    fn start_reading(
        process: u32,
        cap_bytes: u64,
        read: impl FnMut() -> io::Result<String> + Send + 'static,
    ) -> io::Result<Self> {
        let process = Pid::from_raw(i32::try_from(process).map_err(io::Error::other)?);
        let killed = Arc::new(OnceLock::new());
        let (stop, stopped) = channel::<()>();
        let noted = Arc::clone(&killed);
        let looking = std::thread::Builder::new()
            .name("sandbox-memory".to_owned())
            .spawn(move || look_on(process, cap_bytes, read, &noted, &stopped))?;
        Ok(Self { killed, stop: Some(stop), looking: Some(looking) })
    }

    /// Ends the watch. Returns why the process was killed, if it was.
    pub(crate) fn stop(mut self) -> Option<Killed> {
        self.end();
        self.killed.get().cloned()
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
fn look_on(
    process: Pid,
    cap_bytes: u64,
    mut read: impl FnMut() -> io::Result<String>,
    killed: &OnceLock<Killed>,
    stopped: &Receiver<()>,
) {
    let mut unseen = 0;
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        // A signal of no number is none, and asks only whether there is such a process.
        let look = look_at(read(), || kill(process, None::<Signal>) != Err(Errno::ESRCH));
        let reason = match judge(look, cap_bytes, unseen) {
            Verdict::LookAgain(in_a_row) => {
                unseen = in_a_row;
                continue;
            }
            Verdict::Over => return,
            Verdict::Kill(reason) => reason,
        };
        tracing::warn!(?reason, "a sandbox is killed");
        // First the reason: whoever waits for the process sees its end at once.
        let _ = killed.set(reason);
        if let Err(error) = kill(process, Signal::SIGKILL) {
            tracing::error!(%error, "a sandbox could not be killed");
        }
        return;
    }
}

/// What the text of `/proc/pid/status`, or that there is none, says of the process. `is_there` is asked where there is none.
///
/// **Source**: proc(5), `VmRSS` and `State`. Of one that is ending the memory goes first, and its state last.
fn look_at(status: io::Result<String>, is_there: impl FnOnce() -> bool) -> Look {
    let text = match status {
        Ok(text) => text,
        Err(_) if !is_there() => return Look::Gone,
        Err(error) => return Look::Unseen(error.to_string()),
    };
    let value_of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let Some(state) = value_of("State:") else { return Look::Unseen("it names no state".to_owned()) };
    if state.starts_with(['Z', 'X']) {
        return Look::Gone;
    }
    let Some(resident) = value_of("VmRSS:") else { return Look::Holds(0) };
    let kilobytes = resident.strip_suffix(" kB").and_then(|number| number.trim().parse::<u64>().ok());
    match kilobytes {
        Some(kilobytes) => Look::Holds(kilobytes.saturating_mul(1024)),
        None => Look::Unseen(format!("it names {resident:?} as resident")),
    }
}

/// What follows from a look after `unseen` in a row that showed nothing: only the end of the process ends the watch.
fn judge(look: Look, cap_bytes: u64, unseen: u32) -> Verdict {
    match look {
        Look::Gone => Verdict::Over,
        Look::Holds(held_bytes) if held_bytes > cap_bytes => Verdict::Kill(Killed::Overgrown { held_bytes, cap_bytes }),
        Look::Holds(_) => Verdict::LookAgain(0),
        Look::Unseen(fault) if unseen + 1 >= MOST_UNSEEN => Verdict::Kill(Killed::Unseen { fault }),
        Look::Unseen(_) => Verdict::LookAgain(unseen + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_a_process_that_has_ended_is_gone() {
        let unseen = |fault: &str| Look::Unseen(fault.to_owned());
        let table = [
            (
                "State:\tS (sleeping)\nVmHWM:\t     900 kB\nVmRSS:\t     700 kB\nRssAnon:\t 1 kB\n",
                Look::Holds(700 * 1024),
            ),
            ("Name:\tsleep\nState:\tZ (zombie)\n", Look::Gone),
            ("State:\tX (dead)\nVmRSS:\t 700 kB\n", Look::Gone),
            // Its memory has gone, and it itself has not yet.
            ("Name:\tsleep\nState:\tR (running)\n", Look::Holds(0)),
            ("State:\tR (running)\nVmRSS:\t much\n", unseen("it names \"much\" as resident")),
            ("State:\tR (running)\nVmRSS:\t 7 MB\n", unseen("it names \"7 MB\" as resident")),
            ("Name:\tZ\n", unseen("it names no state")),
            ("", unseen("it names no state")),
        ];
        for (text, expected) in table {
            assert_eq!(look_at(Ok(text.to_owned()), || true), expected, "{text:?}");
        }
        for errno in [Errno::ENOENT, Errno::ESRCH, Errno::EACCES, Errno::EMFILE] {
            let error = || io::Error::from(errno);
            assert_eq!(look_at(Err(error()), || false), Look::Gone, "{errno}");
            assert_eq!(look_at(Err(error()), || true), Look::Unseen(error().to_string()), "{errno}");
        }
    }

    #[test]
    fn what_cannot_be_seen_some_looks_in_a_row_is_killed() {
        let unseen = || Look::Unseen("no such luck".to_owned());
        let table = [
            (Look::Gone, 4, Verdict::Over),
            (Look::Holds(7), 4, Verdict::LookAgain(0)),
            (Look::Holds(8), 0, Verdict::Kill(Killed::Overgrown { held_bytes: 8, cap_bytes: 7 })),
            (unseen(), 0, Verdict::LookAgain(1)),
            (unseen(), MOST_UNSEEN - 2, Verdict::LookAgain(MOST_UNSEEN - 1)),
            (unseen(), MOST_UNSEEN - 1, Verdict::Kill(Killed::Unseen { fault: "no such luck".to_owned() })),
        ];
        for (look, before, expected) in table {
            assert_eq!(judge(look.clone(), 7, before), expected, "{look:?} after {before}");
        }
    }

    /// Waits until the watch has nothing more to look at.
    fn to_its_end(mut watch: MemoryWatch) -> Option<Killed> {
        watch.looking.take().unwrap().join().unwrap();
        watch.stop()
    }

    #[test]
    fn a_process_above_the_cap_is_killed_and_one_below_it_is_let_be() {
        let mut greedy = Command::new("sleep").arg("20").spawn().unwrap();
        let killed = to_its_end(MemoryWatch::start(greedy.id(), 1).unwrap());
        let Some(Killed::Overgrown { held_bytes, cap_bytes: 1 }) = killed else { panic!("{killed:?}") };
        assert!(held_bytes > 1);
        assert_eq!(greedy.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));

        let mut modest = Command::new("sleep").arg("0.2").spawn().unwrap();
        assert_eq!(to_its_end(MemoryWatch::start(modest.id(), 1 << 40).unwrap()), None);
        assert_eq!(modest.wait().unwrap().code(), Some(0));
    }

    #[test]
    fn a_process_that_cannot_be_seen_is_killed_and_one_that_is_seen_again_is_let_be() {
        let mut hidden = Command::new("sleep").arg("20").spawn().unwrap();
        let never = || Err(io::Error::from(Errno::EACCES));
        let killed = to_its_end(MemoryWatch::start_reading(hidden.id(), 1 << 40, never).unwrap());
        assert_eq!(killed, Some(Killed::Unseen { fault: io::Error::from(Errno::EACCES).to_string() }));
        assert_eq!(hidden.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));

        let mut flickering = Command::new("sleep").arg("0.2").spawn().unwrap();
        let (status, mut looks) = (format!("/proc/{}/status", flickering.id()), 0);
        let mostly_not = move || {
            looks += 1;
            if looks % MOST_UNSEEN == 0 { std::fs::read_to_string(&status) } else { Err(Errno::EMFILE.into()) }
        };
        assert_eq!(to_its_end(MemoryWatch::start_reading(flickering.id(), 1 << 40, mostly_not).unwrap()), None);
        assert_eq!(flickering.wait().unwrap().code(), Some(0));
    }
}
