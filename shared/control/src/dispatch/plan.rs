//! Who is woken and what is launched, given what waits. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::event::{TaskWake, WAKE_VERSION};
use isotherm_types::{Fence, JobId, TaskId};

use crate::jobs::Runtime;

/// A wake-up that led to no claim for so long is sent again; the wait doubles with each.
pub const FIRST_REWAKE: Duration = Duration::from_secs(50);
/// The longest such wait.
pub const LONGEST_REWAKE: Duration = Duration::from_secs(3600);
/// A launch that led to no claim for so long is made again.
pub const RELAUNCH_AFTER: Duration = Duration::from_secs(120);
/// Launches of one pass. `RunTask` refills at 20 a second; the rest follows with the next pass.
pub const MOST_LAUNCHES: usize = 20;

/// A queued task that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The task.
    pub task_id: TaskId,
    /// Its fence.
    pub fence: Fence,
    /// Its job.
    pub job_id: JobId,
    /// The operator that can do it.
    pub operator: String,
    /// Where that runs.
    pub runtime: Runtime,
    /// Wake-ups sent for this fence.
    pub wakes_sent: u32,
    /// Since the last of them.
    pub woken_ago: Option<Duration>,
    /// Launches made for this fence.
    pub launches_sent: u32,
    /// Since the last of them.
    pub launched_ago: Option<Duration>,
}

/// A message for `tasks-<operator>.fifo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Names the queue.
    pub operator: String,
    /// The task.
    pub task_id: TaskId,
    /// Its fence.
    pub fence: Fence,
    /// 1 for the first wake-up of this fence; makes the deduplication ids of two differ.
    pub number: u32,
}

impl Wake {
    /// Body of the message.
    pub fn message(&self) -> TaskWake {
        TaskWake { version: WAKE_VERSION, task_id: self.task_id, fence: self.fence }
    }
}

/// An ECS task to be launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLaunch {
    /// Names the task definition.
    pub operator: String,
    /// The task that needs the capacity.
    pub task_id: TaskId,
    /// Its fence.
    pub fence: Fence,
    /// 1 for the first launch of this fence.
    pub number: u32,
}

impl TaskLaunch {
    /// Client token of `RunTask`: the same for every request that means this launch.
    pub fn client_token(&self) -> String {
        match self.number {
            0 | 1 => format!("task-{}-{}", self.task_id.0, self.fence.0),
            again => format!("task-{}-{}-{again}", self.task_id.0, self.fence.0),
        }
    }
}

/// What is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Messages.
    pub wakes: Vec<Wake>,
    /// Launches.
    pub launches: Vec<TaskLaunch>,
}

/// How long a wake-up is given before the next, after `wakes_sent` of them.
pub fn rewake_after(wakes_sent: u32) -> Duration {
    let doublings = wakes_sent.saturating_sub(1).min(16);
    FIRST_REWAKE.saturating_mul(1 << doublings).min(LONGEST_REWAKE)
}

/// Who is woken and what is launched.
///
/// `waiting` is in the order in which tasks are to run; `free` says how many more tasks of each job may run. A task that
/// was woken or launched lately keeps its place without being told again; tasks after the last free place are held back.
/// At most `most_launches` launches; the rest waits for the next pass.
pub fn plan(waiting: &[Waiting], free: &BTreeMap<JobId, u32>, most_launches: usize) -> Outgoing {
    let mut left = free.clone();
    let mut outgoing = Outgoing::default();
    for task in waiting {
        match left.get_mut(&task.job_id) {
            None | Some(0) => continue,
            Some(places) => *places -= 1,
        }
        if task.woken_ago.is_none_or(|ago| ago >= rewake_after(task.wakes_sent)) {
            outgoing.wakes.push(Wake {
                operator: task.operator.clone(),
                task_id: task.task_id,
                fence: task.fence,
                number: task.wakes_sent + 1,
            });
        }
        let needs_capacity = match task.runtime {
            Runtime::Lambda => false,
            Runtime::Fargate => task.launched_ago.is_none_or(|ago| ago >= RELAUNCH_AFTER),
        };
        if needs_capacity && outgoing.launches.len() < most_launches {
            outgoing.launches.push(TaskLaunch {
                operator: task.operator.clone(),
                task_id: task.task_id,
                fence: task.fence,
                number: task.launches_sent + 1,
            });
        }
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: i64) -> Waiting {
        Waiting {
            task_id: TaskId(id),
            fence: Fence(0),
            job_id: JobId(1),
            operator: "noop".to_owned(),
            runtime: Runtime::Fargate,
            wakes_sent: 0,
            woken_ago: None,
            launches_sent: 0,
            launched_ago: None,
        }
    }

    fn told(id: i64, seconds_ago: u64) -> Waiting {
        let ago = Some(Duration::from_secs(seconds_ago));
        Waiting { wakes_sent: 1, woken_ago: ago, launches_sent: 1, launched_ago: ago, ..task(id) }
    }

    fn one_job(free: u32) -> BTreeMap<JobId, u32> {
        BTreeMap::from([(JobId(1), free)])
    }

    fn ids(outgoing: &Outgoing) -> (Vec<i64>, Vec<i64>) {
        let wakes = outgoing.wakes.iter().map(|wake| wake.task_id.0).collect();
        (wakes, outgoing.launches.iter().map(|launch| launch.task_id.0).collect())
    }

    #[test]
    fn tasks_over_the_limit_of_their_job_are_held_back() {
        let waiting = [task(1), task(2), task(3)];
        assert_eq!(ids(&plan(&waiting, &one_job(2), 20)), (vec![1, 2], vec![1, 2]));
        assert_eq!(plan(&waiting, &one_job(0), 20), Outgoing::default());
        assert_eq!(plan(&waiting, &BTreeMap::new(), 20), Outgoing::default());
    }

    #[test]
    fn a_task_that_was_told_lately_keeps_its_place_and_is_not_told_again() {
        assert_eq!(ids(&plan(&[told(1, 5), task(2)], &one_job(1), 20)), (vec![], vec![]));
        assert_eq!(ids(&plan(&[told(1, 5), task(2)], &one_job(2), 20)), (vec![2], vec![2]));
    }

    #[test]
    fn a_lost_wake_up_is_sent_again_under_a_new_number() {
        let outgoing = plan(&[told(1, 60)], &one_job(1), 20);
        assert_eq!(outgoing.wakes[0].number, 2);
        assert!(outgoing.launches.is_empty());
    }

    #[test]
    fn a_launch_that_led_to_no_claim_is_made_again_under_a_new_token() {
        let outgoing = plan(&[told(1, 120)], &one_job(1), 20);
        assert_eq!(outgoing.launches[0].client_token(), "task-1-0-2");
        assert_eq!(plan(&[task(1)], &one_job(1), 20).launches[0].client_token(), "task-1-0");
    }

    #[test]
    fn a_lambda_needs_no_launch_and_a_pass_makes_few() {
        let lambda = Waiting { runtime: Runtime::Lambda, ..task(1) };
        assert_eq!(ids(&plan(&[lambda], &one_job(1), 20)), (vec![1], vec![]));
        assert_eq!(ids(&plan(&[task(1), task(2)], &one_job(9), 1)), (vec![1, 2], vec![1]));
    }

    proptest::proptest! {
        #[test]
        fn never_more_tasks_are_told_than_may_run(free in 0u32..6, ages in proptest::collection::vec(0u64..300, 0..20)) {
            let waiting: Vec<Waiting> = (1i64..).zip(ages).map(|(id, age)| told(id, age)).collect();
            let outgoing = plan(&waiting, &one_job(free), 20);
            proptest::prop_assert!(outgoing.wakes.len() <= free as usize && outgoing.launches.len() <= free as usize);
        }
    }
}
