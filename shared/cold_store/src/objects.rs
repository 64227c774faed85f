//! Objects on S3, written once and never again.
//!
//! Every write is conditional: an object that exists already is left alone, and is fine only if it holds the same
//! bytes. Reads that matter check length and SHA-256. Nothing here overwrites but what restores a damaged object
//! (`objects/restore.rs`), and only [`crate::garbage`] deletes. The client comes from the caller, with its credentials,
//! retries and endpoint. A copy of the bucket in a folder is read in the same way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::ChecksumMode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::digest::{ObjectDigest, RunningDigest, Sha256Digest};

mod copy;
mod error;
mod folder;
mod listing;
mod part;
mod put;
mod restore;

pub use error::ObjectError;
pub use listing::ListedObject;
pub use part::ObjectPart;
pub(crate) use restore::FoundObject;

use folder::Folder;
use put::{Condition, PutSizes};

/// The bucket that holds cold storage, or a copy of it on disk.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    place: Place,
    bucket: String,
    put_sizes: PutSizes,
}

#[derive(Clone, Debug)]
enum Place {
    S3(aws_sdk_s3::Client),
    /// For reading only.
    Folder(Folder),
}

/// Where the bytes of a new object come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file on disk.
    File(&'a Path),
    /// Memory.
    Bytes(&'a Bytes),
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 of all of it, which S3 compared with its bytes when it was written. `None` of what was put in parts, or by somebody who
    /// did not say it, and of a copy.
    pub sha256: Option<Sha256Digest>,
    /// By what S3 knows this very object; `None` of a copy. No digest where KMS encrypts.
    pub e_tag: Option<String>,
}

/// What came of writing an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is new.
    Written,
    /// It was there, with the same bytes.
    AlreadyThere,
}

impl ObjectStore {
    /// The bucket `bucket`, reached through `client`.
    pub fn new(client: aws_sdk_s3::Client, bucket: impl Into<String>) -> Self {
        Self { place: Place::S3(client), bucket: bucket.into(), put_sizes: PutSizes::OF_S3 }
    }

    /// A copy of a bucket, for reading only: the object with key `a/b` is the file `a/b` in the folder `root`.
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let bucket = root.display().to_string();
        Self { place: Place::Folder(Folder::new(root)), bucket, put_sizes: PutSizes::OF_S3 }
    }

    /// The same, which puts files that are longer than `part_bytes` in parts of that length: at least 5 MiB, and otherwise
    /// done from 5 GiB on only, which is what S3 takes in one call.
    #[must_use]
    pub fn with_parts_of(self, part_bytes: u64) -> Self {
        Self { put_sizes: PutSizes { most_at_once_bytes: part_bytes, part_bytes }, ..self }
    }

    /// The bucket's name; of a copy the folder's.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// S3, for what a copy cannot do.
    fn s3(&self, action: &'static str, key: &str) -> Result<&aws_sdk_s3::Client, ObjectError> {
        match &self.place {
            Place::S3(client) => Ok(client),
            Place::Folder(_) => Err(ObjectError::OnlyACopy { action, key: key.to_owned() }),
        }
    }

    /// Writes an object that does not exist yet; a file of more than 5 GiB in parts. S3 checks the body against `digest` as
    /// it arrives, of parts each against its own, so that a file is to be read back.
    ///
    /// # Errors
    /// [`ObjectError::Conflict`] if the key is taken by other bytes, [`ObjectError::OnlyACopy`], else what reading the
    /// source or S3 reports.
    pub async fn put_if_absent(
        &self,
        key: &str,
        source: Source<'_>,
        digest: &ObjectDigest,
    ) -> Result<PutOutcome, ObjectError> {
        let error = match self.put("write", key, source, digest, Condition::Absent).await {
            Ok(()) => return Ok(PutOutcome::Written),
            Err(error) => error,
        };
        // 404: the upload in parts is not there any more, as after its end, if the answer was lost and it was ended once more.
        if !matches!(error, ObjectError::S3 { status: Some(404 | 409 | 412), .. }) {
            return Err(error);
        }
        match self.read_digest(key).await? {
            Some(found) if found == *digest => Ok(PutOutcome::AlreadyThere),
            Some(found) => Err(ObjectError::Conflict { key: key.to_owned(), expected: *digest, found }),
            // Another writer was refused too, or has not finished: nothing is there to compare with.
            None => Err(error),
        }
    }

    /// Reads a whole object into memory, `None` if there is none.
    ///
    /// # Errors
    /// [`ObjectError::TooLarge`] above `limit_bytes`, before more than that is read; else what S3 reports.
    pub async fn read(&self, key: &str, limit_bytes: u64) -> Result<Option<Bytes>, ObjectError> {
        let mut bytes = Vec::new();
        let found = self
            .read_pieces(key, |piece| {
                bytes.extend_from_slice(piece);
                bytes.len() as u64 <= limit_bytes
            })
            .await?;
        match found {
            Found::Whole => Ok(Some(bytes.into())),
            Found::Missing => Ok(None),
            Found::Abandoned => Err(ObjectError::TooLarge { key: key.to_owned(), limit_bytes }),
        }
    }

    /// Length and digest of an object as S3 returns it now, `None` if there is none. Reads all of it.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn read_digest(&self, key: &str) -> Result<Option<ObjectDigest>, ObjectError> {
        let mut digest = RunningDigest::default();
        let found = self
            .read_pieces(key, |piece| {
                digest.update(piece);
                true
            })
            .await?;
        match found {
            Found::Whole => Ok(Some(digest.finish())),
            Found::Missing | Found::Abandoned => Ok(None),
        }
    }

    /// Reads all of an object and compares it with `expected`.
    ///
    /// # Errors
    /// [`ObjectError::Missing`], [`ObjectError::Altered`], else what S3 reports.
    pub async fn verify(&self, key: &str, expected: &ObjectDigest) -> Result<(), ObjectError> {
        match self.read_digest(key).await? {
            None => Err(ObjectError::Missing { key: key.to_owned() }),
            Some(found) if found == *expected => Ok(()),
            Some(found) => Err(ObjectError::Altered { key: key.to_owned(), expected: *expected, found }),
        }
    }

    /// Length of an object in bytes, `None` if there is none. Reads none of it.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn size_bytes(&self, key: &str) -> Result<Option<u64>, ObjectError> {
        Ok(self.head(key).await?.map(|head| head.size_bytes))
    }

    /// Length of an object and what S3 knows its bytes to be, `None` if there is none. Reads none of it.
    ///
    /// Source: Amazon S3 API reference, `HeadObject` with `x-amz-checksum-mode`; user guide, "Checking object integrity": the checksum
    /// of an object that was put in parts is one of their checksums, with their number behind a dash. Where KMS encrypts the object, S3
    /// wants `kms:Decrypt` for this as for reading it.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectHead>, ObjectError> {
        let client = match &self.place {
            Place::S3(client) => client,
            Place::Folder(folder) => {
                let size_bytes = folder.size_bytes(key).await?;
                return Ok(size_bytes.map(|size_bytes| ObjectHead { size_bytes, sha256: None, e_tag: None }));
            }
        };
        let asked = client.head_object().bucket(&self.bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        match asked.send().await {
            Ok(head) => {
                let size_bytes = head.content_length().and_then(|length| u64::try_from(length).ok());
                let sha256 = head.checksum_sha256().and_then(whole_digest);
                let e_tag = head.e_tag().map(str::to_owned);
                Ok(size_bytes.map(|size_bytes| ObjectHead { size_bytes, sha256, e_tag }))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed("look up", key, error)),
        }
    }

    /// Whether a file of so many bytes is put in parts here, so that S3 knows no SHA-256 of it.
    pub fn puts_in_parts(&self, size_bytes: u64) -> bool {
        size_bytes > self.put_sizes.most_at_once_bytes
    }

    /// A URL that reads the object without credentials for as long as `expires_in`, at most a week.
    ///
    /// Signs locally; asks nobody whether the object exists.
    ///
    /// # Errors
    /// [`ObjectError::Presign`] for a span that S3 does not allow, [`ObjectError::OnlyACopy`], else missing
    /// credentials.
    pub async fn presign_get(&self, key: &str, expires_in: Duration) -> Result<String, ObjectError> {
        let config = PresigningConfig::expires_in(expires_in)
            .map_err(|source| ObjectError::Presign { key: key.to_owned(), source })?;
        let request = self.s3("presign", key)?.get_object().bucket(&self.bucket).key(key).presigned(config).await;
        request.map(|request| request.uri().to_owned()).map_err(|error| failed("presign", key, error))
    }

    /// Passes the object's bytes to `take` piece by piece until it returns `false`.
    async fn read_pieces(&self, key: &str, mut take: impl FnMut(&[u8]) -> bool) -> Result<Found, ObjectError> {
        let client = match &self.place {
            Place::S3(client) => client,
            Place::Folder(folder) => return folder.read_pieces(key, take).await,
        };
        let answer = client.get_object().bucket(&self.bucket).key(key).send().await;
        let mut body = match answer {
            Ok(answer) => answer.body,
            Err(error) if is_missing(&error) => return Ok(Found::Missing),
            Err(error) => return Err(failed("read", key, error)),
        };
        let cut = |source| ObjectError::Cut { key: key.to_owned(), source };
        while let Some(piece) = body.try_next().await.map_err(cut)? {
            if !take(&piece) {
                return Ok(Found::Abandoned);
            }
        }
        Ok(Found::Whole)
    }
}

enum Found {
    Whole,
    Missing,
    Abandoned,
}

/// The digest that S3 writes as base64; `None` for that of parts.
fn whole_digest(checksum: &str) -> Option<Sha256Digest> {
    STANDARD.decode(checksum).ok()?.try_into().ok().map(Sha256Digest)
}

fn status_of<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Whether the object is not there; a bucket that is not there is another matter.
fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    status_of(error) == Some(404) && error.code() != Some("NoSuchBucket")
}

fn failed<E>(action: &'static str, key: &str, error: SdkError<E>) -> ObjectError
where
    aws_sdk_s3::Error: From<SdkError<E>>,
{
    let status = status_of(&error);
    ObjectError::S3 { action, key: key.to_owned(), status, source: Box::new(error.into()) }
}
