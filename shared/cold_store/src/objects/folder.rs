//! A copy of the bucket in a folder, as `aws s3 sync` makes it: the object with key `a/b` is the file `a/b`.
//!
//! Whoever is given a copy can check it without an account. It is only read; nothing here writes.

use std::io;
use std::path::PathBuf;

use tokio::fs;
use tokio::io::AsyncReadExt as _;

use super::{Found, ObjectError};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The folder that stands for the bucket.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Passes the bytes of an object to `take` piece by piece until it returns `false`.
    pub(super) async fn read_pieces(
        &self,
        key: &str,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<Found, ObjectError> {
        let refused = |source| failed("read", key, source);
        let mut file = match fs::File::open(self.root.join(key)).await {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(Found::Missing),
            Err(error) => return Err(refused(error)),
        };
        let mut piece = vec![0_u8; PIECE_BYTES];
        loop {
            let length = file.read(&mut piece).await.map_err(refused)?;
            if length == 0 {
                return Ok(Found::Whole);
            }
            if !take(&piece[..length]) {
                return Ok(Found::Abandoned);
            }
        }
    }

    /// Length of an object in bytes, `None` if there is none.
    pub(super) async fn size_bytes(&self, key: &str) -> Result<Option<u64>, ObjectError> {
        match fs::metadata(self.root.join(key)).await {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed("look up", key, error)),
        }
    }

    /// Keys of the objects right below `prefix`, which ends with a slash; in no order.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let refused = |source| failed("list", prefix, source);
        let mut entries = match fs::read_dir(self.root.join(prefix)).await {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(refused(error)),
        };
        let mut keys = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(refused)? {
            // A name that is no text is no key.
            if let Some(name) = entry.file_name().to_str() {
                keys.push(format!("{prefix}{name}"));
            }
        }
        Ok(keys)
    }
}

/// Whether nothing is there. Where a key has a folder, a file may stand.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failed(action: &'static str, key: &str, source: io::Error) -> ObjectError {
    ObjectError::Folder { action, key: key.to_owned(), source }
}
