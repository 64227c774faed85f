//! Which profile the chain of a job has. Pure.

use isotherm_types::ChainId;
use isotherm_types::sandbox::PLATFORM_SCHEMA;

use super::ChainProfile;
use crate::heads::Finality;

/// A job's settings do not say which profile its chain has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobProfileError {
    /// The name is taken: in SQL it is the schema of the platform's own tables.
    #[error(
        "chain {chain_id} cannot be called {PLATFORM_SCHEMA}, as the platform's own tables are in SQL; call it otherwise"
    )]
    NameTaken {
        /// The job's chain.
        chain_id: ChainId,
    },
    /// The profile is another chain's.
    #[error("the job is for chain {chain_id}, but its profile is that of chain {profile}")]
    OtherProfile {
        /// The job's chain.
        chain_id: ChainId,
        /// The profile's.
        profile: ChainId,
    },
    /// The chain is not known here, and the job does not describe it.
    #[error("no profile of chain {chain_id} is built in, so the job needs `{key}` or a `profile`")]
    NoProfile {
        /// The job's chain.
        chain_id: ChainId,
        /// A setting that would do.
        key: &'static str,
    },
}

impl ChainProfile {
    /// The profile of a job's chain: the job's `own`, else the built-in one; of a chain that is not known, what the job
    /// must say about it then.
    ///
    /// # Errors
    /// [`JobProfileError`].
    pub fn of_job(
        chain_id: ChainId,
        name: &str,
        own: Option<&Self>,
        finality: Option<Finality>,
        partition_blocks: Option<u64>,
    ) -> Result<Self, JobProfileError> {
        if name == PLATFORM_SCHEMA {
            return Err(JobProfileError::NameTaken { chain_id });
        }
        if let Some(own) = own {
            let is_this_chain = own.chain_id == chain_id;
            let other = JobProfileError::OtherProfile { chain_id, profile: own.chain_id };
            return is_this_chain.then(|| own.clone()).ok_or(other);
        }
        if let Some(built_in) = Self::built_in(chain_id) {
            return Ok(built_in);
        }
        let missing = |key| JobProfileError::NoProfile { chain_id, key };
        let finality = finality.ok_or_else(|| missing("finality"))?;
        let partition_blocks = partition_blocks.ok_or_else(|| missing("partition_blocks"))?;
        Ok(Self { partition_blocks, ..Self::unknown(chain_id, name.to_owned(), finality) })
    }
}
