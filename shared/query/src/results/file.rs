//! A file on local disk that counts and hashes what is written to it, and does not grow beyond a limit.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use isotherm_cold_store::{ObjectDigest, Sha256Digest};
use sha2::{Digest as _, Sha256};

use super::ResultFormat;
use crate::error::QueryError;

/// A file while it is written. It has no name, so it goes with the process.
#[derive(Debug)]
pub(super) struct BoundedFile {
    file: BufWriter<File>,
    sha256: Sha256,
    size_bytes: u64,
    limit: FileLimit,
}

/// How long a file may become, and whether it wanted to become longer: writers around it lose its own error.
#[derive(Clone, Debug)]
pub(super) struct FileLimit {
    max_bytes: u64,
    was_met: Arc<AtomicBool>,
}

/// A file that is written.
#[derive(Debug)]
pub struct FinishedFile {
    /// How its rows are written.
    pub format: ResultFormat,
    /// How many they are.
    pub row_count: u64,
    /// What its bytes are.
    pub digest: ObjectDigest,
    open: File,
}

impl BoundedFile {
    /// An empty file on the disk of `folder`.
    pub(super) fn create(folder: &Path, max_bytes: u64) -> Result<Self, QueryError> {
        let file =
            tempfile::tempfile_in(folder).map_err(|source| QueryError::ResultFile { action: "created", source })?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let limit = FileLimit { max_bytes, was_met: Arc::new(AtomicBool::new(false)) };
        Ok(Self { file, sha256: Sha256::new(), size_bytes: 0, limit })
    }

    /// Its limit, for whoever has to explain a failed write.
    pub(super) fn limit(&self) -> FileLimit {
        self.limit.clone()
    }

    /// Writes what is still in memory to disk.
    pub(super) fn finish(self, format: ResultFormat, row_count: u64) -> Result<FinishedFile, QueryError> {
        let Self { file, sha256, size_bytes, .. } = self;
        let open = file
            .into_inner()
            .map_err(|error| QueryError::ResultFile { action: "written", source: error.into_error() })?;
        let digest = ObjectDigest { size_bytes, sha256: Sha256Digest(sha256.finalize().into()) };
        Ok(FinishedFile { format, row_count, digest, open })
    }
}

impl FileLimit {
    /// What a failed write means to the query.
    pub(super) fn explain(&self, source: io::Error) -> QueryError {
        if self.was_met.load(Ordering::Relaxed) {
            QueryError::TooLarge { limit: format!("a file of {} bytes", self.max_bytes) }
        } else {
            QueryError::ResultFile { action: "written", source }
        }
    }
}

impl Write for BoundedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size_bytes + bytes.len() as u64 > self.limit.max_bytes {
            self.limit.was_met.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let length = self.file.write(bytes)?;
        self.sha256.update(&bytes[..length]);
        self.size_bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl FinishedFile {
    /// Where this process, and no other, reads it. **Source**: proc(5), `/proc/pid/fd`.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.open.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::Classified as _;

    use super::*;

    #[test]
    fn a_file_is_known_by_its_bytes_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = BoundedFile::create(folder.path(), 100).unwrap();
        file.write_all(b"iso").unwrap();
        file.write_all(b"therm").unwrap();
        let finished = file.finish(ResultFormat::Csv, 1).unwrap();
        assert_eq!(finished.digest, ObjectDigest::of(b"isotherm"));
        assert_eq!(std::fs::read(finished.path()).unwrap(), b"isotherm");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
    }

    #[test]
    fn a_file_does_not_grow_beyond_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = BoundedFile::create(folder.path(), 5).unwrap();
        file.write_all(b"12345").unwrap();
        let error = file.write_all(b"6").unwrap_err();
        assert_eq!(file.limit().explain(error).code(), "query.too_large");
    }
}
