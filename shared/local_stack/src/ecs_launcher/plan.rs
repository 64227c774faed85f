//! What follows from the emulator's list of running tasks and the launcher's list of workers. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// How a task stands with the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its worker runs.
    Running,
    /// Its worker was asked to stop; `is_due` when its time is over.
    Stopping { is_due: bool },
    /// Its worker is gone.
    Ended,
    /// There is nothing to run.
    Ignored,
}

/// What is to be done about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start its worker.
    Start,
    /// Ask its worker to stop.
    Terminate,
    /// Kill its worker.
    Kill,
    /// Tell the emulator that it stopped.
    Report,
    /// Drop it from the launcher's list.
    Forget,
}

/// Decides for every task of either list. A task whose worker ended stays until the emulator no longer lists it as
/// running, so it is never started twice.
pub(super) fn plan(listed: &BTreeSet<String>, standings: &BTreeMap<String, Standing>) -> Vec<(String, Action)> {
    let mut actions = Vec::new();
    for arn in listed.iter().filter(|arn| !standings.contains_key(*arn)) {
        actions.push((arn.clone(), Action::Start));
    }
    for (arn, standing) in standings {
        let action = match (standing, listed.contains(arn)) {
            (Standing::Stopping { is_due: true }, _) => Some(Action::Kill),
            (Standing::Stopping { is_due: false }, _) | (Standing::Running | Standing::Ignored, true) => None,
            (Standing::Running, false) => Some(Action::Terminate),
            (Standing::Ended, true) => Some(Action::Report),
            (Standing::Ended | Standing::Ignored, false) => Some(Action::Forget),
        };
        actions.extend(action.map(|action| (arn.clone(), action)));
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(listed: &[&str], standings: &[(&str, Standing)]) -> Vec<(String, Action)> {
        let listed = listed.iter().map(|arn| (*arn).to_owned()).collect();
        let standings = standings.iter().map(|(arn, standing)| ((*arn).to_owned(), *standing)).collect();
        plan(&listed, &standings)
    }

    #[test]
    fn a_new_task_is_started_once() {
        assert_eq!(planned(&["a"], &[]), [("a".to_owned(), Action::Start)]);
        assert_eq!(planned(&["a"], &[("a", Standing::Running)]), []);
    }

    #[test]
    fn a_task_whose_worker_ended_is_reported_and_never_started_again() {
        assert_eq!(planned(&["a"], &[("a", Standing::Ended)]), [("a".to_owned(), Action::Report)]);
        assert_eq!(planned(&[], &[("a", Standing::Ended)]), [("a".to_owned(), Action::Forget)]);
    }

    #[test]
    fn a_stopped_task_is_asked_first_and_killed_when_its_time_is_over() {
        assert_eq!(planned(&[], &[("a", Standing::Running)]), [("a".to_owned(), Action::Terminate)]);
        assert_eq!(planned(&[], &[("a", Standing::Stopping { is_due: false })]), []);
        assert_eq!(planned(&[], &[("a", Standing::Stopping { is_due: true })]), [("a".to_owned(), Action::Kill)]);
    }
}
