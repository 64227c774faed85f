//! Reading a part of an object: of the very one that was looked up, or not at all.

use std::ops::Range;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::{ObjectError, ObjectStore, failed, is_missing, status_of};

/// Bytes of an object, as they come.
#[derive(Debug)]
pub struct ObjectPart {
    key: String,
    body: ByteStream,
}

impl ObjectPart {
    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// [`ObjectError::Cut`] if they break off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        self.body.try_next().await.map_err(|source| ObjectError::Cut { key: self.key.clone(), source })
    }
}

impl ObjectStore {
    /// Asks for `bytes` of the object that S3 knows by `e_tag`, as [`ObjectStore::head`] told it.
    ///
    /// **Source**: Amazon S3 API reference, `GetObject`: `Range` (both ends included), which the answer's `Content-Range` repeats, and
    /// `If-Match`, to which 412 is the answer if another object is there.
    ///
    /// # Errors
    /// [`ObjectError::Missing`] if there is no object any more, [`ObjectError::Changed`] if it is another one,
    /// [`ObjectError::OtherPart`] if what comes is not what was asked for, [`ObjectError::OnlyACopy`], else what S3 reports.
    pub async fn read_part(&self, key: &str, e_tag: &str, bytes: Range<u64>) -> Result<ObjectPart, ObjectError> {
        let client = self.s3("read a part of", key)?;
        let Some(last) = bytes.end.checked_sub(1).filter(|last| bytes.start <= *last) else {
            return Ok(ObjectPart { key: key.to_owned(), body: ByteStream::default() });
        };
        let (range, sent) = (format!("bytes={}-{last}", bytes.start), format!("bytes {}-{last}/", bytes.start));
        match client.get_object().bucket(&self.bucket).key(key).if_match(e_tag).range(range).send().await {
            Ok(answer) if answer.content_range().is_some_and(|range| range.starts_with(&sent)) => {
                Ok(ObjectPart { key: key.to_owned(), body: answer.body })
            }
            Ok(_) => Err(ObjectError::OtherPart { key: key.to_owned() }),
            Err(error) if is_missing(&error) => Err(ObjectError::Missing { key: key.to_owned() }),
            Err(error) if status_of(&error) == Some(412) => Err(ObjectError::Changed { key: key.to_owned() }),
            Err(error) => Err(failed("read a part of", key, error)),
        }
    }
}
