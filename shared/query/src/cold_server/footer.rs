//! Reads the end of a Parquet file before a sandbox does, so that those of many files come at one time and not one after the
//! other.

use std::sync::Arc;

use isotherm_cold_store::ObjectStore;
use isotherm_cold_store::objects::ObjectError;

use super::LentFile;
use super::blocks::{BLOCK_BYTES, Blocks};
use super::reading::Reading;

/// What the footer of a file takes of the memory for blocks, mostly.
pub(super) const USUAL_BYTES: u64 = 2 * BLOCK_BYTES;

/// What is read at first: more than the footer of a file of a few row groups.
const END_BYTES: u64 = 32 << 10;

/// A longer footer is none of ours.
const LONGEST_BYTES: u64 = 4 << 20;

/// Length of the footer's length and of the mark behind it.
const MARK_BYTES: u64 = 8;

/// Reads the footer of `file` into `blocks`; what is kept already is not read again.
///
/// **Source**: Apache Parquet's file format, "File layout": the footer, its length as a little-endian `u32`, `PAR1`.
///
/// # Errors
/// What S3 reports. A file that is no Parquet is none for whoever reads it.
pub(super) async fn read(blocks: &Arc<Blocks>, objects: &ObjectStore, file: &Arc<LentFile>) -> Result<(), ObjectError> {
    let end = file.size_bytes;
    let first = end.saturating_sub(END_BYTES);
    let (mut last, mut reading) = (Vec::new(), Reading::of(blocks, objects, file, first..end));
    while let Some(piece) = reading.next().await? {
        last.extend_from_slice(&piece);
    }
    if let Some(footer) = footer_start(&last, end).filter(|footer| *footer < first && end - footer <= LONGEST_BYTES) {
        let mut reading = Reading::of(blocks, objects, file, footer..first);
        while reading.next().await?.is_some() {}
    }
    Ok(())
}

/// Where the footer begins of a file of `end` bytes whose last ones are `last`.
fn footer_start(last: &[u8], end: u64) -> Option<u64> {
    let [.., a, b, c, d, b'P', b'A', b'R', b'1'] = last else { return None };
    end.checked_sub(MARK_BYTES)?.checked_sub(u32::from_le_bytes([*a, *b, *c, *d]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_begins_where_its_length_says() {
        let ending = |length: u32| [b"rows".as_slice(), &length.to_le_bytes(), b"PAR1"].concat();
        assert_eq!(footer_start(&ending(100), 1_000), Some(892));
        assert_eq!(footer_start(&ending(0), 8), Some(0));
        assert_eq!(footer_start(&ending(993), 1_000), None, "it would begin before the file");
        assert_eq!(footer_start(b"PAR1", 4), None);
        assert_eq!(footer_start(b"\x01\x00\x00\x00PAR2", 1_000), None);
        assert_eq!(footer_start(b"", 0), None);
    }
}
