//! Reading whole objects to local disk, and which manifest is the newest that is stored: what a check asks of S3.

use std::io::{self, Write as _};
use std::path::Path;

use isotherm_types::Dataset;

use super::{Found, ObjectError, ObjectStore, Place, failed};
use crate::digest::{ObjectDigest, RunningDigest};
use crate::error::ColdStoreError;
use crate::layout::{ChainName, Object, PREFIX};
use crate::parquet_file::ParquetFileError;
use crate::scratch_file::ScratchFile;

impl ObjectStore {
    /// Copies an object to a file without a name on the disk of the folder `scratch`, and says what its bytes are;
    /// `None` if there is none. Memory holds no more than a piece at a time.
    ///
    /// # Errors
    /// What S3 reports, and [`ParquetFileError::Scratch`] if the file cannot be written.
    pub(crate) async fn copy_to(
        &self,
        key: &str,
        scratch: &Path,
    ) -> Result<Option<(ScratchFile, ObjectDigest)>, ColdStoreError> {
        let refused = |source| ParquetFileError::Scratch { path: scratch.to_path_buf(), source };
        let (copy, mut file) = ScratchFile::create(scratch).map_err(refused)?;
        let mut digest = RunningDigest::default();
        let mut written: io::Result<()> = Ok(());
        let found = self
            .read_pieces(key, |piece| {
                digest.update(piece);
                written = file.write_all(piece);
                written.is_ok()
            })
            .await?;
        written.map_err(refused)?;
        match found {
            Found::Whole => Ok(Some((copy, digest.finish()))),
            Found::Missing | Found::Abandoned => Ok(None),
        }
    }

    /// Version of the newest manifest that is stored of a dataset, `None` if there is none.
    ///
    /// # Errors
    /// What S3 reports, or the disk that a copy is on.
    pub(crate) async fn newest_manifest_version(
        &self,
        chain: &ChainName,
        dataset: Dataset,
    ) -> Result<Option<u64>, ObjectError> {
        let prefix = format!("{PREFIX}/{chain}/{dataset}/manifests/");
        let client = match &self.place {
            Place::S3(client) => client,
            Place::Folder(folder) => {
                let keys = folder.keys(&prefix).await?;
                return Ok(keys.iter().filter_map(|key| version_of(key)).max());
            }
        };
        let request = client.list_objects_v2().bucket(&self.bucket).prefix(&prefix);
        let mut pages = request.into_paginator().send();
        let mut newest = None;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("list", &prefix, error))?;
            let keys = page.contents().iter().filter_map(aws_sdk_s3::types::Object::key);
            newest = keys.filter_map(version_of).chain(newest).max();
        }
        Ok(newest)
    }
}

/// Version of the manifest that `key` names; `None` if it names something else.
fn version_of(key: &str) -> Option<u64> {
    match Object::parse(key) {
        Ok(Object::Manifest { manifest_version, .. }) => Some(manifest_version),
        Ok(Object::Data { .. }) | Err(_) => None,
    }
}
