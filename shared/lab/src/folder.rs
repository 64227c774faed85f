//! Folders for the processes of the laboratory, and where they may lie.
//!
//! A server that may not run as root must be able to enter its folder, and one that makes many small files is several
//! times faster in memory. Nothing here creates or deletes: that is the guardian's work.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Deleted when the process has ended.
    Temporary(PathBuf),
    /// Stays.
    Kept(PathBuf),
}

impl Folder {
    /// A fresh temporary folder, not created yet.
    pub fn temporary(name: &str) -> Self {
        let unique = uuid::Uuid::new_v4().simple();
        Self::Temporary(scratch_root().join(format!("isotherm-lab-{name}-{unique}")))
    }

    /// A fresh temporary folder in memory if there is room, for a server that makes many small files.
    pub fn temporary_in_memory(name: &str) -> Self {
        let unique = uuid::Uuid::new_v4().simple();
        Self::Temporary(memory_scratch().unwrap_or_else(scratch_root).join(format!("isotherm-lab-{name}-{unique}")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(path) | Self::Kept(path) => path,
        }
    }
}

/// Where temporary folders go: the system's choice, unless other users could not enter it while we are root.
fn scratch_root() -> PathBuf {
    let chosen = std::env::temp_dir();
    if !nix::unistd::geteuid().is_root() || first_closed_folder(&chosen).is_none() {
        return chosen;
    }
    PathBuf::from("/tmp")
}

/// A file system in memory with at least a gibibyte to spare. Containers often have one of 64 MiB only.
pub fn memory_scratch() -> Option<PathBuf> {
    const NEEDED_BYTES: u64 = 1 << 30;
    let folder = PathBuf::from("/dev/shm");
    let found = nix::sys::statvfs::statvfs(&folder).ok()?;
    let writable = nix::unistd::access(&folder, nix::unistd::AccessFlags::W_OK).is_ok();
    (writable && found.blocks_available() * found.fragment_size() >= NEEDED_BYTES).then_some(folder)
}

/// The outermost folder on the way to `path` that other users may not enter.
pub(crate) fn first_closed_folder(path: &Path) -> Option<PathBuf> {
    let mut folders: Vec<&Path> = path.ancestors().collect();
    folders.reverse();
    folders
        .into_iter()
        .find(|folder| {
            std::fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.permissions().mode() & 1 == 0)
        })
        .map(Path::to_path_buf)
}
