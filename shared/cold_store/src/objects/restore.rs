//! The one way in which an object is overwritten: a damaged one, by the bytes that belong there, and only if it still
//! is the one that was looked at.
//!
//! Who may do so is the business of [`crate::restore`], whose types see to it that the damaged bytes are kept first.

use std::io::Write as _;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use base64::Engine as _;

use super::{ObjectError, ObjectStore, failed, is_missing, status_of};
use crate::digest::{ObjectDigest, RunningDigest};
use crate::error::ColdStoreError;
use crate::parquet_file::ParquetFileError;
use crate::scratch_file::ScratchFile;

/// An object as it was at one moment.
#[derive(Debug)]
pub(crate) struct FoundObject {
    /// Its bytes on local disk.
    pub(crate) copy: ScratchFile,
    /// What they are.
    pub(crate) digest: ObjectDigest,
    /// By what S3 knows this very object.
    pub(crate) e_tag: String,
}

impl ObjectStore {
    /// Copies an object to a file without a name on the disk of the folder `scratch`; `None` if there is none.
    ///
    /// # Errors
    /// [`ObjectError::Changed`] if S3 does not say which object it is; what S3 reports, and
    /// [`ParquetFileError::Scratch`] if the file cannot be written.
    pub(crate) async fn find(&self, key: &str, scratch: &Path) -> Result<Option<FoundObject>, ColdStoreError> {
        let answer = match self.s3("read", key)?.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(failed("read", key, error).into()),
        };
        let e_tag = answer.e_tag.ok_or_else(|| ObjectError::Changed { key: key.to_owned() })?;
        let refused = |source| ParquetFileError::Scratch { path: scratch.to_path_buf(), source };
        let cut = |source| ObjectError::Cut { key: key.to_owned(), source };
        let (copy, mut file) = ScratchFile::create(scratch).map_err(refused)?;
        let (mut body, mut digest) = (answer.body, RunningDigest::default());
        while let Some(piece) = body.try_next().await.map_err(cut)? {
            digest.update(&piece);
            file.write_all(&piece).map_err(refused)?;
        }
        Ok(Some(FoundObject { copy, digest: digest.finish(), e_tag }))
    }

    /// Overwrites the object that S3 knows by `e_tag` with the file at `path`. S3 checks the bytes against `digest` as
    /// they arrive.
    ///
    /// Source: `If-Match` of S3's `PutObject`, which answers 412 if another object is there, 404 if none is, and 409 if
    /// another write to the key is under way.
    ///
    /// # Errors
    /// [`ObjectError::Changed`] if the object is another one by now, and not the one that is written; else what reading
    /// the file or S3 reports.
    pub(crate) async fn overwrite(
        &self,
        key: &str,
        e_tag: &str,
        path: &Path,
        digest: &ObjectDigest,
    ) -> Result<(), ObjectError> {
        let body =
            ByteStream::from_path(path).await.map_err(|source| ObjectError::Source { key: key.to_owned(), source })?;
        let checksum = base64::engine::general_purpose::STANDARD.encode(digest.sha256.as_bytes());
        let answer = self
            .s3("restore", key)?
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_match(e_tag)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(checksum)
            .body(body)
            .send()
            .await;
        let Err(error) = answer else { return Ok(()) };
        if !matches!(status_of(&error), Some(404 | 409 | 412)) {
            return Err(failed("restore", key, error));
        }
        // An answer that was lost looks like this at the second try, too.
        match self.read_digest(key).await? {
            Some(found) if found == *digest => Ok(()),
            Some(_) | None => Err(ObjectError::Changed { key: key.to_owned() }),
        }
    }
}
