//! The chain of a dataset's manifests, from the newest back to version 1.
//!
//! Each must be there, be the one that its successor names, be valid, and be followed by what its successor is. One
//! that is broken proves nothing of the versions before it: the next one down is then taken as it is stored, and held
//! against what is known of the files. [`judge`] is pure; [`walk`] reads.

use std::collections::HashMap;

use isotherm_types::Dataset;
use isotherm_types::disposition::error_chain;

use super::fault::Fault;
use super::report::{Problem, Report};
use super::{ManifestHead, Plan};
use crate::commit::MANIFEST_LIMIT_BYTES;
use crate::digest::Sha256Digest;
use crate::error::ColdStoreError;
use crate::layout::{self, ChainName};
use crate::manifest::{DataFile, Manifest, ManifestError};
use crate::objects::ObjectError;

/// Where a manifest stands, and what it is held against.
struct Expected<'a> {
    chain: &'a ChainName,
    dataset: Dataset,
    version: u64,
    /// Its digest, as the version after it says, or Postgres of the newest; `None` if nobody can be trusted to say.
    sha256: Option<Sha256Digest>,
    is_newest: bool,
    /// Files of a newer manifest that is sound.
    known: Option<&'a [DataFile]>,
}

/// Reads the manifests of a dataset, takes in what is wrong with them, and returns the newest that can be used: its
/// files are those to check. `None` if there is none.
pub(super) async fn walk(
    plan: &Plan<'_>,
    dataset: Dataset,
    report: &mut Report,
) -> Result<Option<Manifest>, ColdStoreError> {
    let Some(head) = find_head(plan, dataset).await? else { return Ok(None) };
    let mut newest: Option<Manifest> = None;
    // The manifest of the version above, if it is sound, and what it says of this one's digest.
    let mut above: Option<Manifest> = None;
    let mut sha256 = head.sha256;
    for version in (1..=head.version).rev() {
        let key = layout::manifest_key(plan.chain, dataset, version);
        let bytes = match plan.objects.read(&key, MANIFEST_LIMIT_BYTES).await {
            Ok(bytes) => bytes,
            Err(error @ ObjectError::TooLarge { .. }) => {
                report.find_manifest(dataset, key, Problem::new(Fault::ManifestMalformed, error.to_string()));
                (above, sha256) = (None, None);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        report.manifests += u64::from(bytes.is_some());
        let known = newest.as_ref().map(|manifest| manifest.files.as_slice());
        let is_newest = version == head.version;
        let expected = Expected { chain: plan.chain, dataset, version, sha256, is_newest, known };
        let manifest = match judge(&expected, bytes.as_deref()) {
            Ok(manifest) => manifest,
            Err(problem) => {
                report.find_manifest(dataset, key, problem);
                (above, sha256) = (None, None);
                continue;
            }
        };
        let digest = bytes.as_deref().map(Sha256Digest::of);
        if let (Some(above), Some(digest)) = (&above, digest)
            && let Err(error) = above.check_follows(Some((&manifest, digest)))
        {
            report.find_manifest(dataset, above.key(), of_manifest(&error));
        }
        sha256 = manifest.previous_manifest_sha256;
        if newest.is_none() {
            newest = Some(manifest.clone());
        }
        above = Some(manifest);
    }
    if let Some(Err(error)) = above.map(|first| first.check_follows(None)) {
        let key = layout::manifest_key(plan.chain, dataset, 1);
        report.find_manifest(dataset, key, of_manifest(&error));
    }
    Ok(newest)
}

/// What a dataset's newest manifest is held against.
struct Head {
    version: u64,
    sha256: Option<Sha256Digest>,
}

/// What Postgres says of the newest manifest, else the newest that is stored; `None` if there is neither.
async fn find_head(plan: &Plan<'_>, dataset: Dataset) -> Result<Option<Head>, ColdStoreError> {
    if let Some(ManifestHead { version, sha256 }) = plan.heads.get(&dataset).copied() {
        return Ok(Some(Head { version, sha256: Some(sha256) }));
    }
    let newest = plan.objects.newest_manifest_version(plan.chain, dataset).await?;
    Ok(newest.map(|version| Head { version, sha256: None }))
}

/// The manifest in `bytes`, which are what is stored in its place.
fn judge(expected: &Expected<'_>, bytes: Option<&[u8]>) -> Result<Manifest, Problem> {
    let version = expected.version;
    let Some(bytes) = bytes else {
        let message = format!("the manifest of version {version} is not there");
        return Err(Problem::new(Fault::ManifestMissing, message));
    };
    let found = Sha256Digest::of(bytes);
    let parsed = Manifest::parse(bytes);
    if let Some(sha256) = expected.sha256.filter(|sha256| *sha256 != found) {
        return Err(of_other_bytes(expected, sha256, found, parsed.as_ref().ok()));
    }
    let manifest = parsed.map_err(|error| of_manifest(&error))?;
    let place = (&manifest.chain, manifest.dataset, manifest.manifest_version);
    if place != (expected.chain, expected.dataset, version) {
        let message = format!("what is stored as version {version} is the manifest {}", manifest.key());
        return Err(Problem::new(Fault::ManifestMalformed, message));
    }
    if expected.sha256.is_none() {
        check_unproven(expected, &manifest, bytes)?;
    }
    Ok(manifest)
}

fn of_other_bytes(
    expected: &Expected<'_>,
    sha256: Sha256Digest,
    found: Sha256Digest,
    parsed: Option<&Manifest>,
) -> Problem {
    let version = expected.version;
    let who = if expected.is_newest { "the catalogue" } else { "the version after it" };
    match parsed.map(|manifest| manifest.manifest_version).filter(|stored| *stored < version) {
        Some(stored) if expected.is_newest => Problem::new(
            Fault::ManifestRolledBack,
            format!("{who} names version {version}, but what is stored in its place is version {stored}"),
        ),
        _ => Problem::new(Fault::ManifestAltered, format!("the manifest has sha256 {found}, but {who} names {sha256}")),
    }
}

/// A manifest whose digest nobody names must at least be written as manifests are, and say of files that are known what
/// is known of them.
fn check_unproven(expected: &Expected<'_>, manifest: &Manifest, bytes: &[u8]) -> Result<(), Problem> {
    let altered = |message: String| Problem::new(Fault::ManifestAltered, message);
    let written = manifest.to_bytes().map_err(|error| of_manifest(&error))?;
    if written != bytes {
        return Err(altered("the manifest is not written as manifests are".to_owned()));
    }
    let known = expected.known.unwrap_or_default();
    let known: HashMap<&str, &DataFile> = known.iter().map(|file| (file.key.as_str(), file)).collect();
    let other = manifest.files.iter().find(|file| known.get(file.key.as_str()).is_some_and(|known| *known != *file));
    match other {
        None => Ok(()),
        Some(file) => Err(altered(format!("the manifest says otherwise of {} than a newer one", file.key))),
    }
}

/// What breaks the rules of manifests.
fn of_manifest(error: &ManifestError) -> Problem {
    let fault = match error {
        ManifestError::Gap { .. } => Fault::RangesTorn,
        _ => Fault::ManifestMalformed,
    };
    Problem::new(fault, error_chain(error))
}

#[cfg(test)]
mod tests;
