//! Limits of a sandbox of which a test tries one.

use isotherm_types::sandbox::Limits;

/// A DuckDB of `memory_bytes` with one thread, which reads no cold file, in a process with room for it.
pub(crate) fn limits(memory_bytes: u64) -> Limits {
    Limits {
        memory_bytes,
        writable_bytes: 2 << 30,
        address_space_bytes: 4 << 30,
        cpu_seconds: 60,
        threads: 1,
        spill: None,
        httpfs: None,
        ports: vec![],
    }
}
