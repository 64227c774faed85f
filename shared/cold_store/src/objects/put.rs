//! Writing an object on a condition: in one call, or in parts where S3 takes no more in one.
//!
//! Nothing of the parts is seen before they are put together, and the condition is judged then: of two writers one wins, as
//! with one call. S3 checks each body, or each part, against its SHA-256 as it arrives. Of what is put together it knows no
//! SHA-256, so whoever writes a file reads it back. Parts of an upload that broke off are dropped; if that fails, or we
//! died, the bucket's rule drops them (`abort_incomplete_multipart_upload` in terraform/modules/storage).
//!
//! Source: Amazon S3 user guide, "Amazon S3 multipart upload limits"; API reference, `PutObject` and
//! `CompleteMultipartUpload`, both with `If-None-Match` and `If-Match`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, ByteStreamError, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ObjectError, ObjectStore, Source, failed};
use crate::digest::{ObjectDigest, RunningDigest, Sha256Digest};

/// Most parts of an object.
const MOST_PARTS: u64 = 10_000;

/// What must be at a key for it to be written. S3 answers 412 if something else is, 404 if nothing is that should be, and
/// 409 if another write to the key is under way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'a> {
    /// Nothing.
    Absent,
    /// The object that S3 knows by this `ETag`.
    Is(&'a str),
}

impl Condition<'_> {
    /// Values of `If-None-Match` and `If-Match`.
    fn headers(self) -> (Option<String>, Option<String>) {
        match self {
            Self::Absent => (Some("*".to_owned()), None),
            Self::Is(e_tag) => (None, Some(e_tag.to_owned())),
        }
    }
}

/// From which length on a file is put in parts, and how long they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct PutSizes {
    pub(super) most_at_once_bytes: u64,
    pub(super) part_bytes: u64,
}

impl PutSizes {
    /// What S3 takes in one call, and parts of which a few retried ones cost little.
    pub(super) const OF_S3: Self = Self { most_at_once_bytes: 5 << 30, part_bytes: 256 << 20 };
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// From 1 on.
    number: i32,
    offset: u64,
    length: u64,
}

/// The parts of a file of so many bytes, all of one length but the last one.
fn parts(size_bytes: u64, part_bytes: u64) -> impl Iterator<Item = Part> {
    let part_bytes = part_bytes.max(size_bytes.div_ceil(MOST_PARTS)).max(1);
    let offsets = (0..size_bytes.div_ceil(part_bytes)).map(move |place| place * part_bytes);
    (1..).zip(offsets).map(move |(number, offset)| Part { number, offset, length: part_bytes.min(size_bytes - offset) })
}

/// An upload in parts that has begun.
struct Upload<'a> {
    client: &'a Client,
    bucket: &'a str,
    action: &'static str,
    key: &'a str,
    id: &'a str,
}

impl ObjectStore {
    /// Writes `source`, which has `digest`, to `key` if `condition` holds; `action` is what errors call it.
    ///
    /// # Errors
    /// [`ObjectError::OnlyACopy`], else what reading the source or S3 reports.
    pub(super) async fn put(
        &self,
        action: &'static str,
        key: &str,
        source: Source<'_>,
        digest: &ObjectDigest,
        condition: Condition<'_>,
    ) -> Result<(), ObjectError> {
        let client = self.s3(action, key)?;
        let body = match source {
            Source::File(path) if self.puts_in_parts(digest.size_bytes) => {
                return self.put_in_parts(client, (action, key), path, digest.size_bytes, condition).await;
            }
            Source::Bytes(bytes) => ByteStream::from(bytes.clone()),
            Source::File(path) => ByteStream::from_path(path).await.map_err(|source| unread(key, source))?,
        };
        let (if_none_match, if_match) = condition.headers();
        let put = client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(STANDARD.encode(digest.sha256.as_bytes()))
            .body(body);
        put.send().await.map(drop).map_err(|error| failed(action, key, error))
    }

    async fn put_in_parts(
        &self,
        client: &Client,
        (action, key): (&'static str, &str),
        path: &Path,
        size_bytes: u64,
        condition: Condition<'_>,
    ) -> Result<(), ObjectError> {
        let create = client.create_multipart_upload().bucket(&self.bucket).key(key);
        let created = create.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await;
        let created = created.map_err(|error| failed(action, key, error))?;
        let Some(id) = created.upload_id() else { return Err(ObjectError::NoUpload { key: key.to_owned() }) };
        let upload = Upload { client, bucket: &self.bucket, action, key, id };
        let put = upload.put(path, parts(size_bytes, self.put_sizes.part_bytes), condition).await;
        if put.is_err() {
            upload.drop_parts().await;
        }
        put
    }
}

impl Upload<'_> {
    async fn put(
        &self,
        path: &Path,
        parts: impl Iterator<Item = Part>,
        condition: Condition<'_>,
    ) -> Result<(), ObjectError> {
        let mut completed = Vec::new();
        for part in parts {
            completed.push(self.put_part(path, part).await?);
        }
        let (if_none_match, if_match) = condition.headers();
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(self.bucket)
            .key(self.key)
            .upload_id(self.id)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(completed)).build());
        complete.send().await.map(drop).map_err(|error| failed(self.action, self.key, error))
    }

    async fn put_part(&self, path: &Path, part: Part) -> Result<CompletedPart, ObjectError> {
        let owned = path.to_path_buf();
        let hashing = tokio::task::spawn_blocking(move || digest_of(&owned, part));
        let hashed = match hashing.await {
            Ok(hashed) => hashed,
            // Nobody cancels it.
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        let digest = hashed.map_err(|source| unread(self.key, source.into()))?;
        let checksum = STANDARD.encode(digest.as_bytes());
        let read = ByteStream::read_from().path(path).offset(part.offset).length(Length::Exact(part.length));
        let body = read.build().await.map_err(|source| unread(self.key, source))?;
        let put = self
            .client
            .upload_part()
            .bucket(self.bucket)
            .key(self.key)
            .upload_id(self.id)
            .part_number(part.number)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(&checksum)
            .body(body);
        let put = put.send().await.map_err(|error| failed(self.action, self.key, error))?;
        let completed = CompletedPart::builder().part_number(part.number).checksum_sha256(checksum);
        Ok(completed.set_e_tag(put.e_tag().map(str::to_owned)).build())
    }

    /// Has S3 drop the parts; if it does not, the bucket's rule does.
    async fn drop_parts(&self) {
        let abort = self.client.abort_multipart_upload().bucket(self.bucket).key(self.key).upload_id(self.id);
        let _ = abort.send().await;
    }
}

/// The digest of `part` of the file at `path`.
fn digest_of(path: &Path, part: Part) -> io::Result<Sha256Digest> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(part.offset))?;
    let mut bytes = file.take(part.length);
    let (mut digest, mut buffer) = (RunningDigest::default(), vec![0; 1 << 18]);
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(digest.finish().sha256),
            read => digest.update(&buffer[..read]),
        }
    }
}

fn unread(key: &str, source: ByteStreamError) -> ObjectError {
    ObjectError::Source { key: key.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_one_another_to_the_end_of_the_file() {
        let found: Vec<Part> = parts(11, 5).collect();
        let part = |number, offset, length| Part { number, offset, length };
        assert_eq!(found, [part(1, 0, 5), part(2, 5, 5), part(3, 10, 1)]);
        assert_eq!(parts(10, 5).count(), 2);
        assert_eq!(parts(0, 5).count(), 0);
    }

    #[test]
    fn there_are_never_more_parts_than_s3_takes() {
        let size_bytes = 25_003;
        let found: Vec<Part> = parts(size_bytes, 1).collect();
        assert!(found.len() as u64 <= MOST_PARTS, "{}", found.len());
        assert_eq!(found.iter().map(|part| part.length).sum::<u64>(), size_bytes);
    }
}
