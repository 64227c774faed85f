//! The one way in which an object is overwritten: a damaged one, by the bytes that belong there, and only if it still
//! is the one that was looked at.
//!
//! Who may do so is the business of [`crate::restore`], whose types see to it that the damaged bytes are kept first.

use std::io::Write as _;
use std::path::Path;

use super::put::Condition;
use super::{ObjectError, ObjectStore, Source, failed, is_missing};
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
        let put = self.put("restore", key, Source::File(path), digest, Condition::Is(e_tag)).await;
        let Err(error) = put else { return Ok(()) };
        if !matches!(error, ObjectError::S3 { status: Some(404 | 409 | 412), .. }) {
            return Err(error);
        }
        // An answer that was lost looks like this at the second try, too.
        match self.read_digest(key).await? {
            Some(found) if found == *digest => Ok(()),
            Some(_) | None => Err(ObjectError::Changed { key: key.to_owned() }),
        }
    }
}
