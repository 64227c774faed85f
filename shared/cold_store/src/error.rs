//! The crate's error: one of its parts', each with its own code and advice.

use arrow::error::ArrowError;
use isotherm_types::BlockNumber;
use isotherm_types::disposition::{Classified, Disposition};

use crate::catalog::CatalogError;
use crate::manifest::ManifestError;
use crate::objects::ObjectError;
use crate::parquet_file::ParquetFileError;
use crate::restore::RestoreError;

/// Why something could not be put into cold storage, or read from it.
#[derive(Debug, thiserror::Error)]
pub enum ColdStoreError {
    /// Rows that do not make a data file.
    #[error(transparent)]
    ParquetFile(#[from] ParquetFileError),
    /// An object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An object that should be a manifest and is none that can be used.
    #[error("manifest {key} cannot be used")]
    UnusableManifest {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// A file of `blocks` that says nothing of a block that it holds.
    #[error("the header of block {block} cannot be read from {key}")]
    Header {
        /// The file.
        key: String,
        /// The block.
        block: BlockNumber,
        /// Why; `None` if it has no such row.
        #[source]
        source: Option<ArrowError>,
    },
    /// A data file with the bytes that its manifest lists, which cannot be read all the same.
    #[error("the rows of {key} cannot be read")]
    UnreadableFile {
        /// The file.
        key: String,
        /// Why.
        #[source]
        source: ArrowError,
    },
    /// A file that was to be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The catalogue in Postgres.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Classified for ColdStoreError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::ParquetFile(error) => error.disposition(),
            Self::Object(error) => error.disposition(),
            Self::Manifest(error) | Self::UnusableManifest { source: error, .. } => error.disposition(),
            Self::Header { .. } | Self::UnreadableFile { .. } => Disposition::GiveUp,
            Self::Restore(error) => error.disposition(),
            Self::Catalog(error) => error.disposition(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::ParquetFile(error) => error.code(),
            Self::Object(error) => error.code(),
            Self::Manifest(error) | Self::UnusableManifest { source: error, .. } => error.code(),
            Self::Header { .. } => "cold_store.unreadable_header",
            Self::UnreadableFile { .. } => "cold_store.unreadable_file",
            Self::Restore(error) => error.code(),
            Self::Catalog(error) => error.code(),
        }
    }
}
