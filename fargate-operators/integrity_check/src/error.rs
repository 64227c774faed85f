//! What can stop a check. What is wrong with cold storage is none of it.

use isotherm_chain::ChainError;
use isotherm_cold_store::ColdStoreError;
use isotherm_cold_store::catalog::CatalogError;
use isotherm_control::ControlError;
use isotherm_types::disposition::{Classified, Disposition};
use isotherm_types::{ChainId, Dataset};

/// Why a check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IntegrityError {
    /// The catalogue knows the chain under another name, so that every object would seem to be missing.
    #[error(
        "chain {chain_id} has its manifest of {dataset} at {found} in cold storage, but at {expected} by the name in this job; correct `chain`"
    )]
    OtherName {
        /// The chain.
        chain_id: ChainId,
        /// The dataset.
        dataset: Dataset,
        /// Key by the job's name.
        expected: String,
        /// Key in the catalogue.
        found: String,
    },
    /// The task was made by an event of another chain.
    #[error(
        "the task is about chain {asked}, but the job checks chain {configured}; give the job `input_datasets` of its own chain only"
    )]
    OtherChain {
        /// Chain of the task.
        asked: ChainId,
        /// Chain of the job.
        configured: ChainId,
    },
    /// The job names fewer endpoints than must agree.
    #[error(
        "{agree} endpoints must say the same of a block, but the job has {endpoints} different ones; add endpoints or lower `agree`"
    )]
    TooFewEndpoints {
        /// Different endpoints.
        endpoints: usize,
        /// How many must agree.
        agree: usize,
    },
    /// Fewer endpoints answer than must agree.
    #[error("{agree} endpoints must say the same of a block, but only {answering} answer")]
    Unreachable {
        /// How many answer.
        answering: usize,
        /// How many must agree.
        agree: usize,
        /// Why one does not.
        #[source]
        last: Box<ChainError>,
    },
    /// Postgres failed between the statements of the stores.
    #[error("postgres could not {action}")]
    Postgres {
        /// What was asked of it.
        action: &'static str,
        /// Its words.
        #[source]
        source: sqlx::Error,
    },
    /// An endpoint cannot be used.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// S3, or the local disk.
    #[error(transparent)]
    Cold(#[from] ColdStoreError),
    /// The control plane; above all, a fence that has been superseded.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl From<CatalogError> for IntegrityError {
    fn from(error: CatalogError) -> Self {
        Self::Cold(error.into())
    }
}

impl Classified for IntegrityError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::OtherName { .. } | Self::OtherChain { .. } | Self::TooFewEndpoints { .. } => Disposition::GiveUp,
            Self::Unreachable { .. } | Self::Postgres { .. } => Disposition::Retry,
            Self::Chain(error) => error.disposition(),
            Self::Cold(error) => error.disposition(),
            Self::Control(error) => error.disposition(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OtherName { .. } => "integrity.other_name",
            Self::OtherChain { .. } => "integrity.other_chain",
            Self::TooFewEndpoints { .. } => "integrity.too_few_endpoints",
            Self::Unreachable { .. } => "integrity.endpoints_away",
            Self::Postgres { .. } => "integrity.postgres",
            Self::Chain(error) => error.code(),
            Self::Cold(error) => error.code(),
            Self::Control(error) => error.code(),
        }
    }
}
