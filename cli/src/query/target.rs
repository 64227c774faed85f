//! Where rows go: the screen, a file of their own, or behind what is in a file already.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context;
use tempfile::NamedTempFile;

/// What the file that grows beside its target is called.
const PREFIX: &str = ".isotherm-query-";

/// Where rows go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// Standard output.
    Screen,
    /// A file of their own, there once it is whole.
    File(&'a Path),
    /// A file that holds other rows already.
    Behind(&'a Path, &'a File),
}

impl Target<'_> {
    /// Writes `bytes`. A reader of standard output that has seen enough ends the command quietly.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        if let Self::File(_) = self {
            let mut temporary = self.temporary()?;
            temporary.write_all(bytes).with_context(|| self.words())?;
            return self.place(temporary);
        }
        self.copy(bytes)
    }

    /// An empty file that [`Target::place`] takes: beside the target, so that it only has to be renamed.
    ///
    /// # Errors
    /// If none can be made there.
    pub(super) fn temporary(&self) -> anyhow::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        let file = match self {
            // What the user's mask leaves of it, as of any file that a program writes.
            Self::File(path) => builder.permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder(path)),
            Self::Screen | Self::Behind(..) => builder.tempfile(),
        };
        file.with_context(|| self.words())
    }

    /// Puts a whole file where it belongs.
    ///
    /// # Errors
    /// If the target cannot be written.
    pub(super) fn place(&self, mut temporary: NamedTempFile) -> anyhow::Result<()> {
        match self {
            Self::File(path) if fs::metadata(path).is_ok_and(|there| !there.is_file()) => {
                // A device or a pipe stays what it is.
                let mut target = fs::OpenOptions::new().write(true).open(path).with_context(|| self.words())?;
                temporary.rewind().with_context(|| self.words())?;
                io::copy(temporary.as_file_mut(), &mut target).map(drop).with_context(|| self.words())
            }
            Self::File(path) => {
                temporary.persist(path).map(drop).map_err(|error| error.error).with_context(|| self.words())
            }
            Self::Screen | Self::Behind(..) => {
                temporary.rewind().with_context(|| self.words())?;
                self.copy(BufReader::new(temporary.as_file()))
            }
        }
    }

    fn copy(&self, mut from: impl io::Read) -> anyhow::Result<()> {
        let copied = match self {
            Self::Behind(_, file) => {
                let mut file = *file;
                io::copy(&mut from, &mut file)
            }
            Self::Screen | Self::File(_) => {
                let mut stdout = io::stdout().lock();
                io::copy(&mut from, &mut stdout).and_then(|bytes| stdout.flush().map(|()| bytes))
            }
        };
        if matches!((self, &copied), (Self::Screen, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe) {
            std::process::exit(0);
        }
        copied.map(drop).with_context(|| self.words())
    }

    fn words(&self) -> String {
        match self {
            Self::Screen => "could not write to standard output".to_owned(),
            Self::File(path) | Self::Behind(path, _) => format!("could not write {}", path.display()),
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let target = Target::File(&path);
        let begun = target.temporary().unwrap();
        begun.as_file().write_all(b"ha").unwrap();
        drop(begun);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of one that was given up");
        target.write(b"first").unwrap();
        target.write(b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = Target::File(&folder.path().join("none/rows.csv")).write(b"x").unwrap_err();
        assert!(format!("{error:#}").contains("none/rows.csv"), "{error:#}");
    }

    #[test]
    fn rows_come_behind_those_that_are_there_and_a_device_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let file = File::create(&path).unwrap();
        let target = Target::Behind(&path, &file);
        target.write(b"a").unwrap();
        let mut fetched = target.temporary().unwrap();
        fetched.write_all(b"b").unwrap();
        target.place(fetched).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ab");
        let device = Path::new("/dev/null");
        let mut fetched = Target::Screen.temporary().unwrap();
        fetched.write_all(b"b").unwrap();
        Target::File(device).place(fetched).unwrap();
        assert!(!fs::metadata(device).unwrap().is_file());
    }
}
