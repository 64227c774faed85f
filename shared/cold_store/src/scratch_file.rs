//! Files on their way to S3 that no crash can leave behind: they have no name.
//!
//! What has no name goes with the last process that has it open, whatever ends that process. Until then it is read by way
//! of `/proc`. Source: proc(5), `/proc/pid/fd`; open(2), `O_TMPFILE`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A file that is there for as long as this value.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    path: PathBuf,
    _open: File,
}

impl ScratchFile {
    /// Makes an empty file in `folder`; also returns it open for writing.
    pub(crate) fn create(folder: &Path) -> io::Result<(Self, File)> {
        let open = tempfile::tempfile_in(folder)?;
        let writer = open.try_clone()?;
        Ok((Self { path: format!("/proc/self/fd/{}", open.as_raw_fd()).into(), _open: open }, writer))
    }

    /// Where this process, and no other, reads it from its beginning.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn it_is_read_back_and_leaves_nothing_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (scratch, mut writer) = ScratchFile::create(folder.path()).unwrap();
        writer.write_all(b"rows").unwrap();
        drop(writer);
        assert_eq!(std::fs::read(scratch.path()).unwrap(), b"rows");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
