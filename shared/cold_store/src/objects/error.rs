//! What can go wrong with an object.

use std::io;

use aws_sdk_s3::presigning::PresigningConfigError;
use aws_sdk_s3::primitives::ByteStreamError;
use isotherm_types::disposition::{Classified, Disposition};

use crate::digest::ObjectDigest;

/// Why an object could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// S3 refused, failed or was not reached.
    #[error("s3 could not {action} {key}")]
    S3 {
        /// What was asked of it.
        action: &'static str,
        /// Of which object.
        key: String,
        /// HTTP status; absent if there was no answer.
        status: Option<u16>,
        /// Its words.
        #[source]
        source: Box<aws_sdk_s3::Error>,
    },
    /// A copy of the bucket on disk could not be read.
    #[error("the copy of the bucket could not {action} {key}")]
    Folder {
        /// What was asked of it.
        action: &'static str,
        /// Of which object.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A copy of the bucket on disk was to do what only S3 can.
    #[error("a copy of the bucket is only read; it does not {action} {key}")]
    OnlyACopy {
        /// What was asked of it.
        action: &'static str,
        /// Of which object.
        key: String,
    },
    /// The object's bytes ended early or failed the transport's own checksum.
    #[error("the bytes of {key} broke off")]
    Cut {
        /// The object.
        key: String,
        /// How.
        #[source]
        source: ByteStreamError,
    },
    /// The local file to write could not be read.
    #[error("the file to write to {key} cannot be read")]
    Source {
        /// The object.
        key: String,
        /// Why.
        #[source]
        source: ByteStreamError,
    },
    /// The key is taken by other bytes. Data are immutable, so a person must look.
    #[error("{key} exists with other bytes: {found}, not {expected}")]
    Conflict {
        /// The object.
        key: String,
        /// What was to be written.
        expected: ObjectDigest,
        /// What is there.
        found: ObjectDigest,
    },
    /// An object that must exist does not.
    #[error("{key} is missing")]
    Missing {
        /// The object.
        key: String,
    },
    /// An object holds other bytes than were recorded.
    #[error("{key} was altered: it has {found}, not {expected}")]
    Altered {
        /// The object.
        key: String,
        /// What was recorded.
        expected: ObjectDigest,
        /// What is there.
        found: ObjectDigest,
    },
    /// An object that was to be read or restored is not the one any more that was looked at, or S3 does not say which one it is.
    #[error("{key} is not the object any more that was looked at")]
    Changed {
        /// The object.
        key: String,
    },
    /// Of an object other bytes came than were asked for, such as all of it.
    #[error("s3 sent another part of {key} than was asked for")]
    OtherPart {
        /// The object.
        key: String,
    },
    /// An object is larger than anything that belongs there.
    #[error("{key} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The object.
        key: String,
        /// Most that is read.
        limit_bytes: u64,
    },
    /// An upload in parts was begun, and S3 gave it no id.
    #[error("s3 began an upload of {key} in parts and did not say which it is")]
    NoUpload {
        /// The object.
        key: String,
    },
    /// A URL cannot be signed for that long.
    #[error("no URL can be signed for {key}")]
    Presign {
        /// The object.
        key: String,
        /// Why.
        #[source]
        source: PresigningConfigError,
    },
}

impl Classified for ObjectError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::S3 { status: None | Some(408 | 409 | 412 | 429 | 500..), .. } => Disposition::Retry,
            Self::S3 { .. } => Disposition::GiveUp,
            Self::Cut { .. } | Self::Source { .. } | Self::Changed { .. } | Self::NoUpload { .. } => Disposition::Retry,
            Self::Conflict { .. } | Self::Missing { .. } | Self::Altered { .. } => Disposition::GiveUp,
            Self::TooLarge { .. } | Self::Presign { .. } | Self::OtherPart { .. } => Disposition::GiveUp,
            Self::Folder { .. } | Self::OnlyACopy { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::S3 { .. } => "cold_store.s3",
            Self::Folder { .. } => "cold_store.folder",
            Self::OnlyACopy { .. } => "cold_store.only_a_copy",
            Self::Cut { .. } => "cold_store.object_cut",
            Self::Source { .. } => "cold_store.staged_file",
            Self::Conflict { .. } => "cold_store.object_conflict",
            Self::Missing { .. } => "cold_store.object_missing",
            Self::Altered { .. } => "cold_store.object_altered",
            Self::Changed { .. } => "cold_store.object_changed",
            Self::OtherPart { .. } => "cold_store.other_part",
            Self::TooLarge { .. } => "cold_store.object_too_large",
            Self::NoUpload { .. } => "cold_store.no_upload",
            Self::Presign { .. } => "cold_store.presign",
        }
    }
}
