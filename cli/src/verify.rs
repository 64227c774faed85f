//! `isotherm verify`: whether cold storage is what a manifest says, told from its objects alone.
//!
//! It needs no running stack, no database and no node: a bucket or a copy of one, and one manifest that is trusted.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use isotherm_cold_store::integrity::{self, Level, ManifestHead, Plan, Sampling};
use isotherm_cold_store::{Manifest, ObjectStore, Sha256Digest};
use isotherm_platform::aws::Clients;
use isotherm_types::{B256, BlockRange, Commitments};

use crate::args::VerifyArguments;
use crate::chains::{self, KnownChains};
use crate::{exit, live, output};

mod manifest_place;
mod view;

use manifest_place::{ManifestPlace, Storage};
use view::Verified;

/// Memory for decoded rows; what Parquet and S3 need comes on top.
const ROWS_BYTES: usize = 256 << 20;
/// More than the manifest of any chain has.
const MOST_MANIFEST_BYTES: u64 = 256 << 20;

pub(crate) async fn run(arguments: &VerifyArguments) -> anyhow::Result<ExitCode> {
    let level = level(arguments.level, arguments.anchor)?;
    let known = match chains::known(arguments.chains.as_deref())? {
        Ok(known) => known,
        Err(refused) => return Ok(refused),
    };
    let place = ManifestPlace::parse(&arguments.manifest)?;
    let objects = match &place.storage {
        Storage::Bucket(bucket) => ObjectStore::new(Clients::load().await.s3().clone(), bucket),
        Storage::Folder(root) => ObjectStore::folder(root),
    };
    let manifest = objects.read(&place.key(), MOST_MANIFEST_BYTES).await.context("could not read the manifest")?;
    let manifest = manifest.with_context(|| format!("there is no manifest at {place}"))?;
    let sha256 = Sha256Digest::of(&manifest);
    let commitments = commitments(&known, &manifest);
    let blocks = blocks(arguments.blocks, listed(&place, &manifest))?;

    let scratch = std::env::temp_dir();
    let plan = Plan {
        objects: &objects,
        chain: &place.chain,
        datasets: vec![place.dataset],
        heads: HashMap::from([(place.dataset, ManifestHead { version: place.version, sha256 })]),
        blocks,
        level,
        anchor: arguments.anchor,
        sampling: Sampling::None,
        scratch: &scratch,
        at_most_bytes: ROWS_BYTES,
    };
    let began = Instant::now();
    let mut shown = live::Progress::new();
    let report = integrity::check_by(&plan, &commitments, &mut |progress| shown.show(&view::progress(progress))).await;
    shown.clear();
    let verified = Verified {
        place: &place,
        sha256,
        report: report.with_context(|| format!("{place} could not be checked"))?,
        took: began.elapsed(),
    };
    output::show(arguments.printed.output, &view::to_json(&verified), || view::print(&verified))?;
    Ok(if verified.report.is_sound() { ExitCode::SUCCESS } else { exit::UNSOUND.into() })
}

/// How deep to look.
fn level(asked: Option<Level>, anchor: Option<B256>) -> anyhow::Result<Level> {
    match (asked, anchor) {
        (None, None) => Ok(Level::Chain),
        (Some(Level::Anchor), None) => bail!("level anchor compares with a hash that you trust: give it as --anchor"),
        (Some(Level::File), Some(_)) => {
            bail!("level file does not look at hashes of blocks: leave out --anchor, or choose level chain or anchor")
        }
        (Some(level), _) => Ok(level),
        (None, Some(_)) => Ok(Level::Anchor),
    }
}

/// What rows are held against, as the profile of the manifest's chain has it; everything where there is none.
fn commitments(known: &KnownChains, manifest: &[u8]) -> Commitments {
    let profile = Manifest::parse(manifest).ok().and_then(|manifest| known.of_id(manifest.chain_id));
    profile.map_or(Commitments::ALL, |known| known.profile.checks.commitments())
}

/// The blocks that the manifest lists; `None` if it is none that can be used, of which the check tells.
fn listed(place: &ManifestPlace, bytes: &[u8]) -> Option<BlockRange> {
    let manifest = Manifest::parse(bytes).ok().filter(|manifest| manifest.key() == place.key())?;
    let (first, last) = (manifest.files.first()?, manifest.files.last()?);
    BlockRange::new(first.blocks.start(), last.blocks.end()).ok()
}

/// The blocks to check: those that were asked for, as far as the manifest goes. Other datasets may have come further.
fn blocks(asked: Option<BlockRange>, listed: Option<BlockRange>) -> anyhow::Result<Option<BlockRange>> {
    let (Some(asked), Some(listed)) = (asked, listed) else { return Ok(asked.or(listed)) };
    match asked.intersection(listed) {
        Some(both) => Ok(Some(both)),
        None => bail!("the manifest lists blocks {listed}, which has none of {asked}"),
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::BlockNumber;

    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    #[test]
    fn a_level_follows_from_what_was_asked_and_must_fit_it() {
        let anchor = Some(B256::ZERO);
        assert_eq!(level(None, None).unwrap(), Level::Chain);
        assert_eq!(level(None, anchor).unwrap(), Level::Anchor);
        assert_eq!(level(Some(Level::File), None).unwrap(), Level::File);
        assert_eq!(level(Some(Level::Chain), anchor).unwrap(), Level::Chain);
        assert_eq!(level(Some(Level::Anchor), anchor).unwrap(), Level::Anchor);
        assert!(level(Some(Level::Anchor), None).unwrap_err().to_string().contains("--anchor"));
        assert!(level(Some(Level::File), anchor).unwrap_err().to_string().contains("--anchor"));
    }

    #[test]
    fn blocks_that_the_manifest_does_not_list_are_not_checked() {
        assert_eq!(blocks(None, None).unwrap(), None);
        assert_eq!(blocks(None, Some(range(0, 10))).unwrap(), Some(range(0, 10)));
        assert_eq!(blocks(Some(range(5, 20)), None).unwrap(), Some(range(5, 20)));
        assert_eq!(blocks(Some(range(5, 20)), Some(range(0, 10))).unwrap(), Some(range(5, 10)));
        let error = blocks(Some(range(10, 20)), Some(range(0, 10))).unwrap_err().to_string();
        assert_eq!(error, "the manifest lists blocks 0..10, which has none of 10..20");
    }
}
