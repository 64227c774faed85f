//! What a sandbox may hold, and what a machine's memory leaves to DuckDB (ADR 26).
//!
//! DuckDB counts its buffers, and little else: texts that an expression makes, lists, what its libraries take. So a
//! process has three limits beside DuckDB's own, each further out: what it has resident, by which its parent kills it;
//! what it may write to, where the system refuses it more; and its address space.

/// What DuckDB does not count, resident: code, allocators, rows as Arrow on their way in and out, texts and lists.
const UNCOUNTED: u64 = 384 << 20;

/// What may be written to beside DuckDB's buffers. Of what is resident some 70 MiB are code, so that there are about
/// 200 MiB between the cap and this: what two threads take in 40 ms, four looks of the parent.
const UNCOUNTED_WRITABLE: u64 = 512 << 20;

/// Code that may be resident, which is not writable: the program, DuckDB, the extension, the system's libraries.
const CODE: u64 = 128 << 20;

/// Address space that is reserved or read only: code, and 64 MiB or twice that for each thread's part of the allocator.
const RESERVED: u64 = 1 << 30;

/// DuckDB's part of a machine's memory, unless the rest would be too little.
const DUCKDB_PERCENT: u64 = 65;

/// With less than that DuckDB is of no use.
const LEAST_DUCKDB: u64 = 128 << 20;

/// Limits of one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxMemory {
    /// DuckDB's own limit.
    pub duckdb_bytes: u64,
    /// What the process may have resident; above it the parent kills it.
    pub resident_bytes: u64,
    /// What the process may write to (`RLIMIT_DATA`).
    pub writable_bytes: u64,
    /// Address space of the process (`RLIMIT_AS`).
    pub address_space_bytes: u64,
}

impl SandboxMemory {
    /// The limits around a DuckDB of `duckdb_bytes`.
    pub const fn around(duckdb_bytes: u64) -> Self {
        let writable_bytes = duckdb_bytes.saturating_add(UNCOUNTED_WRITABLE);
        Self {
            duckdb_bytes,
            resident_bytes: duckdb_bytes.saturating_add(UNCOUNTED),
            writable_bytes,
            address_space_bytes: writable_bytes.saturating_add(RESERVED),
        }
    }

    /// The limits on a machine of `machine_bytes` of which `parent_bytes` are for whoever starts the sandbox.
    ///
    /// `None` if so little is left that DuckDB would be of no use.
    pub fn on_machine(machine_bytes: u64, parent_bytes: u64) -> Option<Self> {
        let left = machine_bytes.checked_sub(parent_bytes)?.checked_sub(UNCOUNTED_WRITABLE + CODE)?;
        let duckdb_bytes = left.min(machine_bytes.saturating_mul(DUCKDB_PERCENT) / 100);
        (duckdb_bytes >= LEAST_DUCKDB).then(|| Self::around(duckdb_bytes))
    }

    /// The most that the process can ever have resident, though nobody watched it.
    pub const fn most_bytes(&self) -> u64 {
        self.writable_bytes.saturating_add(CODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: u64 = 384 << 20;

    #[test]
    fn parent_and_sandbox_fit_into_the_machine() {
        // Machine, DuckDB's part, what is resident at most before the kill: all in MiB.
        let table =
            [(1152, 128, 512), (2048, 1024, 1408), (3008, 1955, 2339), (8192, 5324, 5708), (10_240, 6656, 7040)];
        for (machine, duckdb, resident) in table {
            let memory = SandboxMemory::on_machine(machine << 20, PARENT).unwrap();
            assert_eq!((memory.duckdb_bytes >> 20, memory.resident_bytes >> 20), (duckdb, resident), "{machine}");
            assert!(PARENT + memory.most_bytes() <= machine << 20, "{machine}: {memory:?}");
        }
    }

    #[test]
    fn a_machine_that_is_too_small_has_no_limits() {
        for machine in [0, 300, 1023, 1151] {
            assert_eq!(SandboxMemory::on_machine(machine << 20, PARENT), None, "{machine}");
        }
    }

    #[test]
    fn each_limit_is_further_out_than_the_one_before() {
        for duckdb_bytes in [64 << 20, 2 << 30, 64 << 30] {
            let memory = SandboxMemory::around(duckdb_bytes);
            let limits = [memory.duckdb_bytes, memory.resident_bytes, memory.writable_bytes, memory.most_bytes()];
            assert!(limits.is_sorted_by(|one, next| one < next), "{memory:?}");
            assert!(memory.address_space_bytes > memory.most_bytes(), "{memory:?}");
        }
    }
}
