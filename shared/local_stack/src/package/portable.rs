//! What a released file must not have: a folder of the machine that built it in its bytes, or a wish for newer libraries
//! than there are where it runs.
//!
//! The first would make two builds of one source differ, and tells strangers where it was built; the second only shows
//! when a function or a worker does not start.

use std::path::PathBuf;

/// Versions of libraries that a file may ask for: what its names begin with, and the newest of them there is on AWS.
///
/// Source: Lambda's `provided.al2023` is Amazon Linux 2023, with glibc 2.34 and GCC 11's libstdc++ (`GLIBCXX_3.4.29`). The
/// images' Debian 12 has later ones.
const NEWEST: [(&str, &[u32]); 2] = [("GLIBC_", &[2, 34]), ("GLIBCXX_", &[3, 4, 29])];

/// What is wrong with `bytes`, a sentence each; nothing if it can be released.
///
/// `hidden` are folders that must not be named in it.
pub(super) fn faults(bytes: &[u8], hidden: &[PathBuf]) -> Vec<String> {
    let mut faults = Vec::new();
    for folder in hidden {
        // With what comes after a folder's name, or `/app` would be found in `/application`.
        let needle = format!("{}/", folder.display());
        if places(bytes, needle.as_bytes()).next().is_some() {
            faults.push(format!("it names the folder {} of this machine", folder.display()));
        }
    }
    for (prefix, newest) in NEWEST {
        if let Some(version) = newest_asked_for(bytes, prefix).filter(|version| version.as_slice() > newest) {
            let (version, newest) = (dotted(&version), dotted(newest));
            faults.push(format!(
                "it asks for {prefix}{version}, and Lambda has {newest}: build on Debian 12, Amazon Linux 2023 or older"
            ));
        }
    }
    faults
}

/// The newest version behind `prefix`; names of versions stand in an ELF file between zero bytes.
fn newest_asked_for(bytes: &[u8], prefix: &str) -> Option<Vec<u32>> {
    let needle = format!("\0{prefix}");
    places(bytes, needle.as_bytes()).filter_map(|place| version(&bytes[place + needle.len()..])).max()
}

/// Reads `2.34` and the zero byte behind it.
fn version(bytes: &[u8]) -> Option<Vec<u32>> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    text.split('.').map(|part| part.parse().ok()).collect()
}

fn dotted(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

fn places<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = bytes.windows(needle.len()).enumerate();
    windows.filter(move |(_, window)| window[0] == needle[0] && *window == needle).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Vec<String> {
        faults(bytes, &[PathBuf::from("/home/ana/isotherm"), PathBuf::from("/home/ana/.cargo")])
    }

    #[test]
    fn a_file_that_fits_everywhere_is_released() {
        let bytes = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_PRIVATE\0GLIBCXX_3.4.22\0cargo/registry/src/lib.rs\0";
        assert_eq!(found(bytes), Vec::<String>::new());
        assert_eq!(found(b""), Vec::<String>::new());
    }

    #[test]
    fn a_folder_of_the_building_machine_is_found_wherever_it_stands() {
        for bytes in [&b"\0/home/ana/isotherm/shared/a.rs\0"[..], b"$ORIGIN:/home/ana/isotherm/.tools/duckdb/lib"] {
            assert_eq!(found(bytes), ["it names the folder /home/ana/isotherm of this machine"]);
        }
        assert_eq!(found(b"/home/ana/isotherm/ /home/ana/.cargo/registry/x.rs").len(), 2);
        assert_eq!(found(b"/home/ana/isothermal/a.rs").len(), 0);
    }

    #[test]
    fn a_newer_library_than_lambdas_is_found_among_older_ones() {
        let faults = found(b"\0GLIBC_2.4\0GLIBC_2.39\0GLIBC_2.17\0");
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("GLIBC_2.39, and Lambda has 2.34"), "{faults:?}");
        assert!(found(b"\0GLIBCXX_3.4.32\0")[0].contains("GLIBCXX_3.4.32"));
    }

    #[test]
    fn text_that_only_speaks_of_a_version_asks_for_nothing() {
        assert_eq!(found(b"needs GLIBC_2.39 or later\0"), Vec::<String>::new());
    }
}
