//! The life of a task, as one `match`.
//!
//! This is the rule that every statement in [`crate::tasks`] and [`crate::reap`] keeps; a test runs random
//! histories through both and compares them. Pure: it must never know a clock or a connection.

use isotherm_types::{Disposition, Fence};

/// Where a task stands. The words are those of `control.tasks.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Waits for a worker.
    Queued,
    /// A worker holds it under a lease.
    Running,
    /// The work is done.
    Completed,
    /// The work cannot be done; the row says why.
    Failed,
    /// A person or a changed definition took it back.
    Cancelled,
}

impl TaskState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task can still change.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for TaskState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| UnknownState { word: word.to_owned() })
    }
}

/// A word that names no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no task state is called {word:?}; the states are queued, running, completed, failed and cancelled")]
pub struct UnknownState {
    /// The word that was given.
    pub word: String,
}

/// What of a task decides its next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Where it stands.
    pub state: TaskState,
    /// Claims so far.
    pub fence: Fence,
    /// Claims that may still be made. Not counted down for a source.
    pub attempts_left: u32,
    /// Whether the task belongs to an `always_on` job: a source runs for ever, so losing it never uses up attempts.
    pub always_on: bool,
}

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// A worker takes it.
    Claimed,
    /// The attempt did the work.
    Completed {
        /// The attempt's fence.
        fence: Fence,
    },
    /// The attempt failed.
    Failed {
        /// The attempt's fence.
        fence: Fence,
        /// What the error says to do.
        disposition: Disposition,
    },
    /// The attempt's lease ran out.
    Lost {
        /// The attempt's fence.
        fence: Fence,
    },
    /// The worker hands the task back unharmed, because it was told to stop.
    Released {
        /// The attempt's fence.
        fence: Fence,
    },
    /// A person or a changed definition takes it back.
    Cancelled,
    /// A person has the work done after all.
    Retried {
        /// Claims that may be made from now on.
        attempts: u32,
    },
}

impl TaskEvent {
    /// The claim that this event speaks for, if any.
    fn fence(self) -> Option<Fence> {
        match self {
            Self::Completed { fence }
            | Self::Failed { fence, .. }
            | Self::Lost { fence }
            | Self::Released { fence } => Some(fence),
            Self::Claimed | Self::Cancelled | Self::Retried { .. } => None,
        }
    }
}

impl Life {
    /// A new task.
    pub fn new(max_attempts: u32, always_on: bool) -> Self {
        Self { state: TaskState::Queued, fence: Fence(0), attempts_left: max_attempts, always_on }
    }

    /// Applies `event`.
    ///
    /// A failure that may be retried, and a lost lease, put the task back while attempts are left; a source is always
    /// put back. A release gives the attempt back. A task that failed or was cancelled can be retried; its fence goes on from
    /// where it was, so that nobody who held the task before can write again.
    ///
    /// # Errors
    /// [`TransitionError::StaleFence`] if another attempt has claimed the task since;
    /// [`TransitionError::NotAllowed`] if this state never accepts `event`.
    pub fn on(self, event: TaskEvent) -> Result<Self, TransitionError> {
        use TaskEvent as On;
        use TaskState::{Cancelled, Completed, Failed, Queued, Running};
        if let Some(held) = event.fence()
            && held != self.fence
        {
            return Err(TransitionError::StaleFence { held, current: self.fence });
        }
        match (self.state, event) {
            (Queued, On::Claimed) if self.may_try_again() => Ok(Self {
                state: Running,
                fence: Fence(self.fence.0 + 1),
                attempts_left: if self.always_on { self.attempts_left } else { self.attempts_left - 1 },
                ..self
            }),
            (Running, On::Completed { .. }) => Ok(Self { state: Completed, ..self }),
            (Running, On::Failed { disposition: Disposition::GiveUp, .. }) => Ok(Self { state: Failed, ..self }),
            (
                Running,
                On::Failed { disposition: Disposition::Retry | Disposition::RetryAfter(_), .. } | On::Lost { .. },
            ) => Ok(Self { state: if self.may_try_again() { Queued } else { Failed }, ..self }),
            (Running, On::Released { .. }) => Ok(Self {
                state: Queued,
                attempts_left: if self.always_on { self.attempts_left } else { self.attempts_left + 1 },
                ..self
            }),
            (Queued | Running, On::Cancelled) => Ok(Self { state: Cancelled, ..self }),
            (Failed | Cancelled, On::Retried { attempts }) => {
                Ok(Self { state: Queued, attempts_left: attempts, ..self })
            }
            (state, event) => Err(TransitionError::NotAllowed { state, event }),
        }
    }

    fn may_try_again(self) -> bool {
        self.always_on || self.attempts_left > 0
    }
}

/// Why an event does not change a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// Another claim has been made since.
    #[error("fence {held} was superseded by {current}")]
    StaleFence {
        /// The fence that the event speaks for.
        held: Fence,
        /// The task's fence.
        current: Fence,
    },
    /// This state never accepts the event.
    #[error("a {state} task does not accept {event:?}")]
    NotAllowed {
        /// Where the task stands.
        state: TaskState,
        /// What was to happen.
        event: TaskEvent,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(max_attempts: u32, always_on: bool) -> Life {
        Life::new(max_attempts, always_on).on(TaskEvent::Claimed).unwrap()
    }

    #[test]
    fn stale_fence_cannot_finish_a_task() {
        let first = running(2, false);
        let second = first.on(TaskEvent::Lost { fence: first.fence }).unwrap().on(TaskEvent::Claimed).unwrap();
        let late = second.on(TaskEvent::Completed { fence: first.fence });
        assert_eq!(late, Err(TransitionError::StaleFence { held: first.fence, current: second.fence }));
    }

    #[test]
    fn the_last_lost_attempt_fails_the_task() {
        let only = running(1, false);
        assert_eq!(only.on(TaskEvent::Lost { fence: only.fence }).unwrap().state, TaskState::Failed);
    }

    #[test]
    fn a_source_is_tried_for_ever_unless_its_error_says_to_give_up() {
        let mut life = Life::new(1, true);
        for _ in 0..50 {
            let claimed = life.on(TaskEvent::Claimed).unwrap();
            life = claimed.on(TaskEvent::Lost { fence: claimed.fence }).unwrap();
            assert_eq!(life.state, TaskState::Queued);
        }
        let claimed = life.on(TaskEvent::Claimed).unwrap();
        let given_up = claimed.on(TaskEvent::Failed { fence: claimed.fence, disposition: Disposition::GiveUp });
        assert_eq!(given_up.unwrap().state, TaskState::Failed);
    }

    #[test]
    fn a_release_gives_the_attempt_back() {
        let held = running(1, false);
        let back = held.on(TaskEvent::Released { fence: held.fence }).unwrap();
        assert_eq!((back.state, back.attempts_left), (TaskState::Queued, 1));
        assert_eq!(back.on(TaskEvent::Claimed).unwrap().fence, Fence(2));
    }

    #[test]
    fn a_retried_task_has_fresh_attempts_and_keeps_its_fence() {
        let held = running(1, false);
        for end in [TaskEvent::Lost { fence: held.fence }, TaskEvent::Cancelled] {
            let retried = held.on(end).unwrap().on(TaskEvent::Retried { attempts: 3 }).unwrap();
            assert_eq!((retried.state, retried.attempts_left, retried.fence), (TaskState::Queued, 3, held.fence));
            assert_eq!(retried.on(TaskEvent::Claimed).unwrap().fence, Fence(2));
        }
        let completed = held.on(TaskEvent::Completed { fence: held.fence }).unwrap();
        for life in [held, completed, Life::new(3, false)] {
            assert!(life.on(TaskEvent::Retried { attempts: 3 }).is_err(), "{life:?}");
        }
    }

    #[test]
    fn a_finished_task_accepts_nothing_but_a_retry() {
        let held = running(3, false);
        let fence = held.fence;
        let ends = [
            TaskEvent::Completed { fence },
            TaskEvent::Failed { fence, disposition: Disposition::GiveUp },
            TaskEvent::Cancelled,
        ];
        let events =
            [TaskEvent::Claimed, TaskEvent::Lost { fence }, TaskEvent::Released { fence }, TaskEvent::Cancelled];
        for end in ends {
            let finished = held.on(end).unwrap();
            assert!(!finished.state.is_live());
            for event in events {
                assert!(finished.on(event).is_err(), "{finished:?} accepted {event:?}");
            }
        }
    }
}
