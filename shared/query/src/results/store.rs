//! The bucket `results`: files of answers, what belongs to them, and requests that wait for their task.
//!
//! Keys begin with `queries/<org id>/<query id>/`. An attempt that may be repeated writes under a name of its own, so that
//! nothing is ever overwritten; the bucket's own rule removes everything after some days.

use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use isotherm_cold_store::objects::{ObjectError, Source};
use isotherm_cold_store::{ObjectDigest, ObjectStore, Sha256Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FinishedFile, ResultFormat};
use crate::error::QueryError;
use crate::records::QueryKey;

/// A file up to here goes in one piece, a larger one in pieces of this length. S3 takes 10,000 pieces.
const PART_BYTES: u64 = 64 << 20;

/// Longest document beside a file; a request is shorter than its body may be.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

/// How long a URL is good for: long enough to fetch a large file, and a new one is to be had at any time.
const URL_LIFE: Duration = Duration::from_secs(3600);

/// The bucket.
#[derive(Clone, Debug)]
pub struct ResultStore {
    client: aws_sdk_s3::Client,
    objects: ObjectStore,
}

/// A file in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResult {
    /// Its key.
    pub key: String,
    /// How its rows are written.
    pub format: ResultFormat,
    /// How many they are.
    pub row_count: u64,
    /// What its bytes are.
    pub digest: ObjectDigest,
}

/// A file as its asker is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedResult {
    /// `json_lines`, `csv` or `parquet`.
    pub format: &'static str,
    /// Whoever has it can read the file until it expires.
    pub url: String,
    /// When that is, by the clock that was given.
    pub expires_at: chrono::DateTime<chrono::Utc>,
    /// Length of the file.
    pub bytes: u64,
    /// Rows in it.
    pub row_count: u64,
    /// Digest of the file, hexadecimal.
    pub sha256: Sha256Digest,
}

impl ResultStore {
    /// The bucket `bucket`, reached through `client`.
    pub fn new(client: aws_sdk_s3::Client, bucket: impl Into<String>) -> Self {
        let objects = ObjectStore::new(client.clone(), bucket);
        Self { client, objects }
    }

    /// Puts `file` into the bucket as the result of `query`; `attempt` tells tries of one query apart.
    ///
    /// # Errors
    /// [`QueryError::ResultStore`].
    pub async fn put(&self, query: QueryKey, attempt: i64, file: &FinishedFile) -> Result<StoredResult, QueryError> {
        let key = key(query, &format!("result-{attempt}.{}", file.format.extension()));
        if file.digest.size_bytes <= PART_BYTES {
            self.put_whole(&key, file).await?;
        } else {
            self.put_in_parts(&key, file).await?;
        }
        Ok(StoredResult { key, format: file.format, row_count: file.row_count, digest: file.digest })
    }

    /// Signs a URL for a file from `now` on. Asks nobody whether the file is still there.
    ///
    /// # Errors
    /// [`QueryError::ResultStore`] if there are no credentials.
    pub async fn sign(
        &self,
        result: &StoredResult,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<SignedResult, QueryError> {
        let url = self.objects.presign_get(&result.key, URL_LIFE).await.map_err(QueryError::ResultStore)?;
        Ok(SignedResult {
            format: result.format.of_file(),
            url,
            expires_at: now + URL_LIFE,
            bytes: result.digest.size_bytes,
            row_count: result.row_count,
            sha256: result.digest.sha256,
        })
    }

    /// Writes a document beside the files of `query`. The same again is fine.
    ///
    /// # Errors
    /// [`QueryError::ResultStore`], also if another one of this name is there.
    pub async fn put_document(
        &self,
        query: QueryKey,
        name: &str,
        document: &(impl Serialize + Sync),
    ) -> Result<(), QueryError> {
        let key = key(query, name);
        let bytes = serde_json::to_vec(document);
        let bytes = bytes.map_err(|source| QueryError::ResultDocument { key: key.clone(), source })?;
        let bytes = Bytes::from(bytes);
        let digest = ObjectDigest::of(&bytes);
        let put = self.objects.put_if_absent(&key, Source::Bytes(&bytes), &digest).await;
        put.map(|_outcome| ()).map_err(QueryError::ResultStore)
    }

    /// Reads a document beside the files of `query`; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// [`QueryError::ResultStore`]; [`QueryError::ResultDocument`] if it is none of this shape.
    pub async fn document<T: DeserializeOwned>(&self, query: QueryKey, name: &str) -> Result<Option<T>, QueryError> {
        let key = key(query, name);
        let bytes = self.objects.read(&key, MAX_DOCUMENT_BYTES).await.map_err(QueryError::ResultStore)?;
        let read = |bytes: Bytes| serde_json::from_slice(&bytes);
        bytes.map(read).transpose().map_err(|source| QueryError::ResultDocument { key, source })
    }

    /// S3 checks the bytes as they arrive.
    async fn put_whole(&self, key: &str, file: &FinishedFile) -> Result<(), QueryError> {
        let body = ByteStream::from_path(file.path()).await.map_err(|source| unreadable(key, source))?;
        let put = self.client.put_object().bucket(self.objects.bucket()).key(key).body(body);
        let put = put
            .content_type(file.format.content_type())
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(STANDARD.encode(file.digest.sha256.as_bytes()));
        put.send().await.map(|_put| ()).map_err(|error| failed("write", key, error))
    }

    async fn put_in_parts(&self, key: &str, file: &FinishedFile) -> Result<(), QueryError> {
        let begun = self.client.create_multipart_upload().bucket(self.objects.bucket()).key(key);
        let begun = begun.content_type(file.format.content_type()).send().await;
        let begun = begun.map_err(|error| failed("begin to write", key, error))?;
        let upload = begun.upload_id().unwrap_or_default().to_owned();
        let sent = self.send_parts(key, &upload, file).await;
        if sent.is_err() {
            let abort = self.client.abort_multipart_upload().bucket(self.objects.bucket()).key(key).upload_id(upload);
            // Its parts cost something until the bucket's own rule removes them; the upload's failure is what matters.
            let _ = abort.send().await;
        }
        sent
    }

    async fn send_parts(&self, key: &str, upload: &str, file: &FinishedFile) -> Result<(), QueryError> {
        let bucket = self.objects.bucket();
        let mut parts = Vec::new();
        for (number, (offset, length)) in (1_i32..).zip(parts_of(file.digest.size_bytes)) {
            let body = ByteStream::read_from().path(file.path()).offset(offset).length(Length::Exact(length));
            let body = body.build().await.map_err(|source| unreadable(key, source))?;
            let part = self.client.upload_part().bucket(bucket).key(key).upload_id(upload).part_number(number);
            let part = part.body(body).send().await.map_err(|error| failed("write a part of", key, error))?;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload);
        let complete = complete.multipart_upload(parts).send().await;
        complete.map(|_completed| ()).map_err(|error| failed("complete", key, error))
    }
}

fn key(query: QueryKey, name: &str) -> String {
    format!("queries/{}/{}/{name}", query.org.0, query.id)
}

/// Offset and length of each part. All but the last have one length.
fn parts_of(size_bytes: u64) -> Vec<(u64, u64)> {
    let count = size_bytes.div_ceil(PART_BYTES);
    (0..count).map(|i| (i * PART_BYTES, (size_bytes - i * PART_BYTES).min(PART_BYTES))).collect()
}

fn unreadable(key: &str, source: aws_sdk_s3::primitives::ByteStreamError) -> QueryError {
    QueryError::ResultStore(ObjectError::Source { key: key.to_owned(), source })
}

fn failed<E>(action: &'static str, key: &str, error: SdkError<E>) -> QueryError
where
    aws_sdk_s3::Error: From<SdkError<E>>,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    QueryError::ResultStore(ObjectError::S3 { action, key: key.to_owned(), status, source: Box::new(error.into()) })
}

#[cfg(test)]
mod tests {
    use isotherm_types::OrgId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn parts_tile_the_file() {
        for size_bytes in [PART_BYTES + 1, 2 * PART_BYTES, 3 * PART_BYTES - 1] {
            let parts = parts_of(size_bytes);
            let mut end = 0;
            for (offset, length) in &parts {
                assert_eq!(*offset, end);
                assert!((1..=PART_BYTES).contains(length));
                end += length;
            }
            assert_eq!(end, size_bytes);
        }
        assert!(parts_of(10 << 30).len() <= 10_000);
    }

    #[test]
    fn keys_of_organisations_lie_apart() {
        let id = Uuid::nil();
        let key_of = |org| key(QueryKey { org: OrgId(org), id }, "request.json");
        assert_eq!(key_of(1), "queries/1/00000000-0000-0000-0000-000000000000/request.json");
        assert_ne!(key_of(1), key_of(11));
    }
}
