//! Why a queued task waits, in words for people. Pure.

use chrono::{DateTime, SecondsFormat, Utc};

/// What of a queued task, its job and its organisation decides why it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitFacts {
    /// Not claimed before this.
    pub not_before: DateTime<Utc>,
    /// Whether that instant has passed, by the database's clock.
    pub is_due: bool,
    /// Whether the job is in the file that was applied last.
    pub job_active: bool,
    /// Whether a person has paused the job.
    pub job_paused: bool,
    /// Tasks of the job that run.
    pub job_running: u32,
    /// Tasks of the job that may run at one time.
    pub job_limit: u32,
    /// Tasks of the organisation that run.
    pub org_running: u32,
    /// Tasks of the organisation that may run at one time; as many as its jobs allow if absent.
    pub org_limit: Option<u32>,
}

/// Why a queued task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its job has left the file.
    JobInactive,
    /// A person has paused its job.
    JobPaused,
    /// An attempt failed, and the next is not due yet.
    BackOff {
        /// When it is due.
        until: DateTime<Utc>,
    },
    /// As many tasks of the organisation run as may.
    OrgLimit {
        /// How many may.
        limit: u32,
    },
    /// As many tasks of the job run as may.
    JobLimit {
        /// How many may.
        limit: u32,
    },
    /// Nothing holds it back: it waits for a worker, behind those before it.
    ForWorker,
}

impl WaitFacts {
    /// The reason that would hold the task back longest.
    pub fn reason(&self) -> Wait {
        let at_limit = |running: u32, limit: u32| running >= limit;
        if !self.job_active {
            return Wait::JobInactive;
        }
        if self.job_paused {
            return Wait::JobPaused;
        }
        if !self.is_due {
            return Wait::BackOff { until: self.not_before };
        }
        match self.org_limit {
            Some(limit) if at_limit(self.org_running, limit) => Wait::OrgLimit { limit },
            _ if at_limit(self.job_running, self.job_limit) => Wait::JobLimit { limit: self.job_limit },
            _ => Wait::ForWorker,
        }
    }
}

impl Wait {
    /// Stable word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobInactive => "job_inactive",
            Self::JobPaused => "job_paused",
            Self::BackOff { .. } => "back_off",
            Self::OrgLimit { .. } => "org_limit",
            Self::JobLimit { .. } => "job_limit",
            Self::ForWorker => "for_worker",
        }
    }
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::JobInactive => f.write_str("its job is not active"),
            Self::JobPaused => f.write_str("its job is paused"),
            Self::BackOff { until } => {
                write!(f, "backs off until {}", until.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            Self::OrgLimit { limit } => write!(f, "the organisation's limit of {limit} running is reached"),
            Self::JobLimit { limit } => write!(f, "its job's limit of {limit} running is reached"),
            Self::ForWorker => f.write_str("waits for a worker"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_one_that_holds_longest() {
        let free = WaitFacts {
            not_before: "2026-11-26T10:00:00Z".parse().unwrap(),
            is_due: true,
            job_active: true,
            job_paused: false,
            job_running: 1,
            job_limit: 2,
            org_running: 5,
            org_limit: None,
        };
        let full = WaitFacts { job_running: 2, ..free.clone() };
        let org_full = WaitFacts { org_limit: Some(5), ..full.clone() };
        let early = WaitFacts { is_due: false, ..org_full.clone() };
        let paused = WaitFacts { job_paused: true, ..early.clone() };
        let gone = WaitFacts { job_active: false, ..paused.clone() };
        let roomy = WaitFacts { org_limit: Some(6), ..free.clone() };
        for (facts, word, words) in [
            (free, "for_worker", "waits for a worker"),
            (roomy, "for_worker", "waits for a worker"),
            (full, "job_limit", "its job's limit of 2 running is reached"),
            (org_full, "org_limit", "the organisation's limit of 5 running is reached"),
            (early, "back_off", "backs off until 2026-11-26T10:00:00Z"),
            (paused, "job_paused", "its job is paused"),
            (gone, "job_inactive", "its job is not active"),
        ] {
            let reason = facts.reason();
            assert_eq!((reason.as_str(), reason.to_string().as_str()), (word, words), "{facts:?}");
        }
    }
}
