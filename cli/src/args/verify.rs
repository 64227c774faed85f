//! The words of `isotherm verify`.

use std::path::PathBuf;

use clap::Args;
use isotherm_cold_store::integrity::Level;
use isotherm_types::{B256, BlockNumber, BlockRange};

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The manifest that you trust: `s3://BUCKET/cold/CHAIN/DATASET/manifests/VERSION.json`, or the path of that file in
    /// a copy of the bucket
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: String,
    /// How deep to look. file: manifests, and files by length, SHA-256, rows and columns; chain: also header hashes,
    /// parent links and roots, recomputed from the rows; anchor: also that a block has the hash of --anchor. If absent,
    /// anchor with --anchor, else chain
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// Hash of a block that you trust; the blocks up to it are then those of its chain
    #[arg(long, value_name = "HASH")]
    pub(crate) anchor: Option<B256>,
    /// Only these blocks: A and those after it, without B
    #[arg(long, value_name = "A..B", value_parser = blocks)]
    pub(crate) blocks: Option<BlockRange>,
    /// File with what is peculiar to chains: what the profile of the manifest's chain excepts is not checked of its rows
    #[arg(long, value_name = "FILE")]
    pub(crate) chains: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// Reads a run of blocks.
///
/// # Errors
/// A sentence for the person who typed it.
fn blocks(text: &str) -> Result<BlockRange, String> {
    let wrong = || format!("{text:?} is no run of blocks; write the first and the one after the last, as in 100..200");
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse().map(BlockNumber).map_err(|_unreadable| wrong());
    BlockRange::new(number(start)?, number(end)?).map_err(|_empty| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_the_first_and_the_one_after_the_last() {
        assert_eq!(blocks("12..14"), Ok(BlockRange::new(BlockNumber(12), BlockNumber(14)).unwrap()));
        for text in ["", "12", "12..", "..14", "12..12", "14..12", "12..=14", "-1..4", "12...14"] {
            assert!(blocks(text).unwrap_err().contains("as in 100..200"), "{text}");
        }
    }
}
