//! Limits that the process sets on itself before it sees a user's text. They cannot be raised again.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;

use crate::error::SandboxError;
use isotherm_types::sandbox::Limits;

/// Open files: the library, the extension, spill files and connections to its parent.
const OPEN_FILES: u64 = 512;

/// Sets the limits: writable memory, address space, processor time, open files, no core dumps, no debugger.
///
/// `RLIMIT_DATA` counts what may become resident and cannot be dropped: private memory that is mapped writable, not what
/// an allocator has only reserved. **Source**: setrlimit(2), "since Linux 4.7".
///
/// # Errors
/// [`SandboxError::Limit`] if the system refuses one; the session must not go on without it.
pub fn apply(limits: &Limits) -> Result<(), SandboxError> {
    let set = |name, resource, value| {
        setrlimit(resource, value, value).map_err(|source| SandboxError::Limit { limit: name, source })
    };
    set("RLIMIT_DATA", Resource::RLIMIT_DATA, limits.writable_bytes)?;
    set("RLIMIT_AS", Resource::RLIMIT_AS, limits.address_space_bytes)?;
    set("RLIMIT_CPU", Resource::RLIMIT_CPU, limits.cpu_seconds)?;
    set("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    set("RLIMIT_CORE", Resource::RLIMIT_CORE, 0)?;
    // A parent that was killed cannot kill: this process must not go on alone.
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|source| SandboxError::Limit { limit: "PR_SET_PDEATHSIG", source })?;
    prctl::set_dumpable(false).map_err(|source| SandboxError::Limit { limit: "PR_SET_DUMPABLE", source })
}
