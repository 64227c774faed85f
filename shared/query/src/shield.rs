//! Closes the memory of this process to the sandboxes that it starts.
//!
//! A sandbox has the same user. Linux lets a process read another one's environment, memory and open files through
//! `/proc/<id>` if both have the same user, unless the other one is marked as not to be dumped. The mark needs no
//! rights, so it holds also where the sandbox cannot shut itself off from files (ADR 25).

use std::sync::Once;

use nix::sys::prctl;

static SHIELDED: Once = Once::new();

/// Marks this process as not to be dumped: once, and for as long as it lives. It has no core dumps then and takes no
/// debugger.
///
/// Where the system forbids it, it goes on and says so in the log.
pub fn raise() {
    SHIELDED.call_once(|| {
        if let Err(error) = prctl::set_dumpable(false) {
            tracing::warn!(%error, "this process's memory stays open to the sandboxes that it starts");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shielded_process_is_not_dumpable() {
        raise();
        assert_eq!(prctl::get_dumpable(), Ok(false));
        raise();
        assert_eq!(prctl::get_dumpable(), Ok(false));
    }
}
