//! Data files against what their manifest lists: length, SHA-256, rows, columns.
//!
//! Every file is read whole, once, to local disk; what is compared then is what later checks read.

use std::fs::File;

use isotherm_types::schema::SCHEMA_VERSION;
use isotherm_types::{BlockRange, ChainId, Dataset};

use super::fault::Fault;
use super::report::{Place, Problem, Report};
use super::rows::FileRows;
use super::{Meter, Plan};
use crate::error::ColdStoreError;
use crate::manifest::{DataFile, Manifest};
use crate::parquet_file::ParquetFileError;

/// The files of a dataset that are to be checked, by block.
pub(super) struct Shelf {
    pub(super) chain_id: ChainId,
    pub(super) dataset: Dataset,
    pub(super) files: Vec<DataFile>,
}

impl Shelf {
    /// The files of `manifest` that have blocks of `within`.
    pub(super) fn new(manifest: Manifest, within: Option<BlockRange>) -> Self {
        let Manifest { chain_id, dataset, mut files, .. } = manifest;
        files.retain(|file| within.is_none_or(|within| file.blocks.intersection(within).is_some()));
        Self { chain_id, dataset, files }
    }

    /// Length of all files.
    pub(super) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

/// Checks every file, one after the other.
pub(super) async fn check(
    plan: &Plan<'_>,
    shelves: &[Shelf],
    report: &mut Report,
    meter: &mut Meter<'_>,
) -> Result<(), ColdStoreError> {
    for shelf in shelves {
        for file in &shelf.files {
            drop(fetch(plan, shelf, file, report).await?);
            meter.show(report);
        }
    }
    Ok(())
}

/// The rows of a local copy of the file; `None` if it is not as listed, which is taken in.
pub(super) async fn fetch(
    plan: &Plan<'_>,
    shelf: &Shelf,
    file: &DataFile,
    report: &mut Report,
) -> Result<Option<FileRows>, ColdStoreError> {
    let copy = match copy(plan, file, report).await? {
        Ok(copy) => copy,
        Err(problem) => {
            report.find(place(shelf, file), problem);
            return Ok(None);
        }
    };
    if file.schema_version != SCHEMA_VERSION {
        let (key, version) = (&file.key, file.schema_version);
        let reason = format!("{key} has columns of version {version}; this program knows version {SCHEMA_VERSION}");
        report.cannot_read(shelf.dataset, file.blocks, &reason);
        return Ok(None);
    }
    match FileRows::open(copy, (shelf.chain_id, shelf.dataset), file, plan.at_most_bytes) {
        Ok(rows) => Ok(Some(rows)),
        Err(problem) => {
            report.find(place(shelf, file), problem);
            Ok(None)
        }
    }
}

fn place<'a>(shelf: &Shelf, file: &'a DataFile) -> Place<'a> {
    Place { dataset: shelf.dataset, object: &file.key, blocks: file.blocks }
}

/// A local copy of the file, whose bytes are those that are listed.
async fn copy(plan: &Plan<'_>, file: &DataFile, report: &mut Report) -> Result<Result<File, Problem>, ColdStoreError> {
    let missing = || Problem::new(Fault::ObjectMissing, "the file is not there");
    let size_differs = |found: u64| {
        let message = format!("the file has {found} bytes, but the manifest lists {}", file.size_bytes);
        Problem::new(Fault::SizeDiffers, message)
    };
    match plan.objects.size_bytes(&file.key).await? {
        None => return Ok(Err(missing())),
        Some(found) if found != file.size_bytes => return Ok(Err(size_differs(found))),
        Some(_) => {}
    }
    let Some((copy, found)) = plan.objects.copy_to(&file.key, plan.scratch).await? else {
        return Ok(Err(missing()));
    };
    report.files += 1;
    report.bytes += found.size_bytes;
    if found.size_bytes != file.size_bytes {
        return Ok(Err(size_differs(found.size_bytes)));
    }
    if found.sha256 != file.sha256 {
        let message = format!("the file has sha256 {}, but the manifest lists {}", found.sha256, file.sha256);
        return Ok(Err(Problem::new(Fault::DigestDiffers, message)));
    }
    // It is there for as long as somebody has it open.
    let refused = |source| ParquetFileError::Scratch { path: plan.scratch.to_path_buf(), source };
    Ok(Ok(File::open(copy.path()).map_err(refused)?))
}
