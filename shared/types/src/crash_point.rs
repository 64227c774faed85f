//! Named places where a process may be made to die, so that tests can show what a crash there leaves behind.
//!
//! A program passes its points by [`CrashPoint::pass`]. Nothing happens unless one was armed in this process, by
//! `isotherm_platform` from `ISOTHERM_CRASH_POINT`; release builds without the feature `crash-points` do not even look.

#[cfg(any(debug_assertions, feature = "crash-points"))]
use std::sync::Mutex;

/// A place between two steps that must stay right if nothing follows the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// A worker has claimed a task; the wake-up is not deleted.
    WorkerClaimed,
    /// The operator has ended; its end is not written down.
    WorkerOperatorEnded,
    /// The end is written down; the outbox is not published.
    WorkerWrittenDown,
    /// A batch of the outbox was accepted by its queues; its rows are not deleted.
    OutboxSent,
    /// The dispatcher has made an event's tasks; the transaction is open.
    DispatchTaskCreated,
    /// The dispatcher has noted wake-ups and launches; none is sent.
    DispatchNoted,
    /// The reaper has put tasks back; their ECS tasks are not stopped.
    ReaperLost,
    /// The follower has deleted the blocks of an orphaned branch; the new branch is not written, the transaction is open.
    FollowTakenBack,
    /// The follower has written blocks, cursor and events; the transaction is open.
    FollowCopied,
    /// The follower has committed; it has told nobody.
    FollowCommitted,
    /// A partition's file is on local disk.
    CompactStaged,
    /// The file is on S3 and read back; no manifest lists it.
    CompactStored,
    /// A manifest lists it; Postgres does not know the manifest.
    CompactListed,
    /// Catalogue and event are written; the transaction is open.
    CompactCommitting,
    /// The partition is committed; nobody has been told.
    CompactCommitted,
    /// A merged file is on local disk.
    MergeStaged,
    /// It is on S3 and read back; no manifest lists it.
    MergeStored,
    /// A manifest lists it in the place of the short ones; Postgres does not know the manifest.
    MergeListed,
    /// The catalogue has it in their place; the transaction is open.
    MergeCommitting,
    /// The merge is committed; nobody has been told.
    MergeCommitted,
    /// A leaf of hot storage is no part of its table any more; it is not dropped.
    CleanupDetached,
    /// It is dropped; the others of its blocks are not.
    CleanupDropped,
    /// A fetched partition's files are on local disk.
    IngestStaged,
    /// One of them is on S3 and read back; Postgres does not know it.
    IngestStored,
    /// It waits in Postgres; no manifest lists it.
    IngestPending,
    /// A manifest lists it; Postgres does not know the manifest.
    IngestListed,
    /// It is in the catalogue; nobody has been told.
    IngestCommitted,
    /// The bytes of a damaged file are kept; it is not overwritten.
    RestoreKept,
    /// The file is restored and read back; nobody has been told.
    RestoreStored,
    /// The rules have been held against a run of blocks; nothing is written.
    EvaluateFound,
    /// Ledger, messages, event and cursor of an organisation are written; the transaction is open.
    EvaluateWritten,
    /// They are committed; nobody has been told.
    EvaluateCommitted,
    /// Messages are claimed; none is sent.
    DeliverClaimed,
    /// Receivers have answered; nothing is written down.
    DeliverSent,
    /// It is written down.
    DeliverWritten,
}

impl CrashPoint {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::WorkerClaimed,
        Self::WorkerOperatorEnded,
        Self::WorkerWrittenDown,
        Self::OutboxSent,
        Self::DispatchTaskCreated,
        Self::DispatchNoted,
        Self::ReaperLost,
        Self::FollowTakenBack,
        Self::FollowCopied,
        Self::FollowCommitted,
        Self::CompactStaged,
        Self::CompactStored,
        Self::CompactListed,
        Self::CompactCommitting,
        Self::CompactCommitted,
        Self::MergeStaged,
        Self::MergeStored,
        Self::MergeListed,
        Self::MergeCommitting,
        Self::MergeCommitted,
        Self::CleanupDetached,
        Self::CleanupDropped,
        Self::IngestStaged,
        Self::IngestStored,
        Self::IngestPending,
        Self::IngestListed,
        Self::IngestCommitted,
        Self::RestoreKept,
        Self::RestoreStored,
        Self::EvaluateFound,
        Self::EvaluateWritten,
        Self::EvaluateCommitted,
        Self::DeliverClaimed,
        Self::DeliverSent,
        Self::DeliverWritten,
    ];

    /// The name by which it is armed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkerClaimed => "worker.claimed",
            Self::WorkerOperatorEnded => "worker.operator_ended",
            Self::WorkerWrittenDown => "worker.written_down",
            Self::OutboxSent => "outbox.sent",
            Self::DispatchTaskCreated => "dispatch.task_created",
            Self::DispatchNoted => "dispatch.noted",
            Self::ReaperLost => "reaper.lost",
            Self::FollowTakenBack => "follow.taken_back",
            Self::FollowCopied => "follow.copied",
            Self::FollowCommitted => "follow.committed",
            Self::CompactStaged => "compact.staged",
            Self::CompactStored => "compact.stored",
            Self::CompactListed => "compact.listed",
            Self::CompactCommitting => "compact.committing",
            Self::CompactCommitted => "compact.committed",
            Self::MergeStaged => "merge.staged",
            Self::MergeStored => "merge.stored",
            Self::MergeListed => "merge.listed",
            Self::MergeCommitting => "merge.committing",
            Self::MergeCommitted => "merge.committed",
            Self::CleanupDetached => "cleanup.detached",
            Self::CleanupDropped => "cleanup.dropped",
            Self::IngestStaged => "ingest.staged",
            Self::IngestStored => "ingest.stored",
            Self::IngestPending => "ingest.pending",
            Self::IngestListed => "ingest.listed",
            Self::IngestCommitted => "ingest.committed",
            Self::RestoreKept => "restore.kept",
            Self::RestoreStored => "restore.stored",
            Self::EvaluateFound => "evaluate.found",
            Self::EvaluateWritten => "evaluate.written",
            Self::EvaluateCommitted => "evaluate.committed",
            Self::DeliverClaimed => "deliver.claimed",
            Self::DeliverSent => "deliver.sent",
            Self::DeliverWritten => "deliver.written",
        }
    }

    /// Goes on, unless this is the armed point and this is the hit at which it ends the process: then abort(3) ends it,
    /// without unwinding and without running anything that was to run at exit.
    #[inline]
    pub fn pass(self) {
        #[cfg(any(debug_assertions, feature = "crash-points"))]
        {
            let mut armed = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(armed) = &mut *armed
                && armed.dies_at(self)
            {
                std::process::abort();
            }
        }
    }
}

/// At which point, and at which passage of it, a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    point: CrashPoint,
    hits_left: u32,
}

impl Armed {
    /// Arms this process; a second call replaces the first. Without crash points in the build it changes nothing.
    pub fn arm(self) {
        #[cfg(any(debug_assertions, feature = "crash-points"))]
        {
            *ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(self);
        }
    }

    /// Counts a passage of `point`; returns whether the process dies at it.
    #[cfg(any(debug_assertions, feature = "crash-points"))]
    fn dies_at(&mut self, point: CrashPoint) -> bool {
        if point != self.point || self.hits_left == 0 {
            return false;
        }
        self.hits_left -= 1;
        self.hits_left == 0
    }
}

#[cfg(any(debug_assertions, feature = "crash-points"))]
static ARMED: Mutex<Option<Armed>> = Mutex::new(None);

/// A text that arms nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a crash point, a colon and a hit from 1 on")]
pub struct NotACrashPoint {
    text: String,
}

impl std::str::FromStr for Armed {
    type Err = NotACrashPoint;

    /// `worker.claimed:2` dies at the second passage; without a number it is the first.
    fn from_str(text: &str) -> Result<Self, NotACrashPoint> {
        let not = || NotACrashPoint { text: text.to_owned() };
        let (name, hit) = text.split_once(':').unwrap_or((text, "1"));
        let point = CrashPoint::ALL.into_iter().find(|point| point.as_str() == name).ok_or_else(not)?;
        let hits_left = hit.parse().ok().filter(|hit| *hit > 0).ok_or_else(not)?;
        Ok(Self { point, hits_left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_can_be_armed_by_its_name() {
        for point in CrashPoint::ALL {
            assert_eq!(point.as_str().parse(), Ok(Armed { point, hits_left: 1 }));
        }
        let third = Armed { point: CrashPoint::OutboxSent, hits_left: 3 };
        assert_eq!("outbox.sent:3".parse(), Ok(third));
        for wrong in ["", "outbox", "outbox.sent:", "outbox.sent:0", "outbox.sent:-1", "outbox.sent:x"] {
            assert!(wrong.parse::<Armed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_process_dies_once_at_the_hit_and_at_no_other_point() {
        let mut armed: Armed = "worker.claimed:2".parse().unwrap();
        assert!(!armed.dies_at(CrashPoint::WorkerClaimed));
        assert!(!armed.dies_at(CrashPoint::OutboxSent));
        assert!(armed.dies_at(CrashPoint::WorkerClaimed));
        assert!(!armed.dies_at(CrashPoint::WorkerClaimed));
    }
}
