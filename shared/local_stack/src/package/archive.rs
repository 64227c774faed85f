//! Zips whose bytes follow from the names, the contents and the kinds of their files, and from nothing else.
//!
//! Entries are in order of name, all of the same time, without owners, with one of two modes. What the file system says
//! of a file (time, owner, mode, order in its folder) never comes in.

use std::io::{Cursor, Write};

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{CodeZip, Entry};
use crate::error::LocalStackError;

/// Higher ones take much longer for a hundredth less.
const LEVEL: i64 = 6;

/// Whether the files of a zip are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// For a zip that is not carried anywhere.
    None,
    /// For one that is.
    Deflate,
}

/// Makes a zip of `entries`, in whatever order they come; `read` gives the bytes of each.
///
/// # Errors
/// What `read` reports; [`LocalStackError::Zip`] for what cannot be written.
pub(super) fn zip(
    key: &str,
    mut entries: Vec<Entry>,
    compression: Compression,
    mut read: impl FnMut(&Entry) -> Result<Vec<u8>, LocalStackError>,
) -> Result<CodeZip, LocalStackError> {
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in &entries {
        let bytes = read(entry)?;
        let failed = |source| LocalStackError::Zip { entry: entry.name.clone(), source };
        writer.start_file(&entry.name, options(entry.is_program, compression)).map_err(failed)?;
        writer.write_all(&bytes).map_err(|source| failed(source.into()))?;
    }
    let zip = writer.finish().map_err(|source| LocalStackError::Zip { entry: key.to_owned(), source })?;
    let bytes = zip.into_inner();
    let sha256 = Sha256::digest(&bytes).into();
    Ok(CodeZip { bytes, sha256 })
}

/// All that an entry has beside its name and contents. The time is the earliest that a zip can say.
fn options(is_program: bool, compression: Compression) -> SimpleFileOptions {
    let options = SimpleFileOptions::default()
        .last_modified_time(DateTime::default())
        .unix_permissions(if is_program { 0o755 } else { 0o644 });
    match compression {
        Compression::None => options.compression_method(CompressionMethod::Stored),
        Compression::Deflate => options.compression_method(CompressionMethod::Deflated).compression_level(Some(LEVEL)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const FILES: [(&str, bool); 3] = [("bootstrap", true), ("lib/library.so", false), ("sandbox", true)];

    /// The same files, written anew with this time and mode, in the order of `order`.
    fn zipped(order: [usize; 3], seconds: u64, mode: u32, compression: Compression) -> CodeZip {
        let folder = tempfile::tempdir().unwrap();
        let entries = order.map(|index| {
            let (name, is_program) = FILES[index];
            let path = folder.path().join(name);
            write(&path, name.repeat(1000).as_bytes(), seconds, mode);
            Entry { name: name.to_owned(), path, is_program }
        });
        let read = |entry: &Entry| std::fs::read(&entry.path).map_err(LocalStackError::io("read", &entry.path));
        zip("query", entries.to_vec(), compression, read).unwrap()
    }

    fn write(path: &Path, bytes: &[u8], seconds: u64, mode: u32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        let times = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(seconds));
        File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn order_times_modes_and_folders_of_the_files_do_not_show() {
        for compression in [Compression::None, Compression::Deflate] {
            let first = zipped([0, 1, 2], 1_700_000_000, 0o644, compression);
            let second = zipped([2, 0, 1], 1_800_000_001, 0o700, compression);
            assert_eq!(first, second, "{compression:?}");
        }
    }

    #[test]
    fn a_compressed_zip_gives_back_the_same_files() {
        let stored = zipped([0, 1, 2], 0, 0o600, Compression::None);
        let compressed = zipped([0, 1, 2], 0, 0o600, Compression::Deflate);
        assert!(compressed.bytes.len() * 10 < stored.bytes.len(), "{} bytes", compressed.bytes.len());
        let mut archive = zip::ZipArchive::new(Cursor::new(compressed.bytes)).unwrap();
        for (index, (name, is_program)) in FILES.into_iter().enumerate() {
            let mut file = archive.by_index(index).unwrap();
            assert_eq!(file.name().unwrap(), name);
            assert_eq!(file.unix_mode().unwrap() & 0o777, if is_program { 0o755 } else { 0o644 });
            let mut text = String::new();
            std::io::Read::read_to_string(&mut file, &mut text).unwrap();
            assert_eq!(text, name.repeat(1000));
        }
    }
}
