//! Who is woken and what is launched, given what waits. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::event::{TaskWake, WAKE_VERSION};
use isotherm_types::{Fence, JobId, OrgId, TaskId};

use crate::jobs::Runtime;

/// A wake-up that led to no claim for so long is sent again; the wait doubles with each.
pub const FIRST_REWAKE: Duration = Duration::from_secs(50);
/// The longest such wait.
pub const LONGEST_REWAKE: Duration = Duration::from_secs(3600);
/// A launch that led to no claim for so long is made again.
pub const RELAUNCH_AFTER: Duration = Duration::from_secs(120);
/// How long a task waits for the idle worker that was woken for it before a worker is launched all the same.
pub const IDLE_WORKER_GRACE: Duration = Duration::from_secs(5);
/// Launches of one pass, so that a pass ends in time; the rest follows with the next one.
pub const MOST_LAUNCHES: usize = 50;

/// A queued task that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The task.
    pub task_id: TaskId,
    /// Its fence.
    pub fence: Fence,
    /// Its job.
    pub job_id: JobId,
    /// Whose it is.
    pub org_id: OrgId,
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

impl Waiting {
    /// Whether a worker that was idle is expected to take it at any moment.
    fn is_expected(&self) -> bool {
        self.launched_ago.is_none() && self.woken_ago.is_some_and(|ago| ago < IDLE_WORKER_GRACE)
    }
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
    /// Tasks that need a worker which may not be launched yet; a later pass launches it.
    pub held: usize,
}

impl Outgoing {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.wakes.is_empty() && self.launches.is_empty()
    }
}

/// How long a wake-up is given before the next, after `wakes_sent` of them.
pub fn rewake_after(wakes_sent: u32) -> Duration {
    let doublings = wakes_sent.saturating_sub(1).min(16);
    FIRST_REWAKE.saturating_mul(1 << doublings).min(LONGEST_REWAKE)
}

/// How much there is room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// How many more tasks of each job may run.
    pub of_jobs: BTreeMap<JobId, u32>,
    /// How many more tasks of an organisation may run over all its jobs; one that is not here has no limit.
    pub of_orgs: BTreeMap<OrgId, u32>,
    /// Workers of each operator that wait for work.
    pub idle_workers: BTreeMap<String, u32>,
    /// Launches that may be asked for now.
    pub launches: usize,
}

impl Room {
    /// Takes a place for a task; `false` if its job or its organisation has none left.
    fn take_place(&mut self, task: &Waiting) -> bool {
        let Some(of_job) = self.of_jobs.get_mut(&task.job_id).filter(|places| **places > 0) else { return false };
        match self.of_orgs.get_mut(&task.org_id) {
            Some(0) => return false,
            Some(of_org) => *of_org -= 1,
            None => {}
        }
        *of_job -= 1;
        true
    }

    /// Takes an idle worker of the operator, if there is one: the wake-up reaches it.
    fn take_idle_worker(&mut self, operator: &str) -> bool {
        match self.idle_workers.get_mut(operator) {
            None | Some(0) => false,
            Some(workers) => {
                *workers -= 1;
                true
            }
        }
    }

    fn take_launch(&mut self) -> bool {
        let is_left = self.launches > 0;
        self.launches -= usize::from(is_left);
        is_left
    }
}

/// Who is woken and what is launched.
///
/// `waiting` is in the order in which tasks are to run. A task that was woken or launched lately keeps its place without
/// being told again; tasks after the last free place are held back. A worker that waits for work spares a launch: if it has
/// not come after [`IDLE_WORKER_GRACE`], one is launched. A task whose worker may not be launched yet is not woken either.
pub fn plan(waiting: &[Waiting], mut room: Room) -> Outgoing {
    let mut outgoing = Outgoing::default();
    // Idle workers that were woken by an earlier pass and have not claimed yet are not idle for this one.
    for task in waiting.iter().filter(|task| task.is_expected()) {
        room.take_idle_worker(&task.operator);
    }
    for task in waiting {
        if !room.take_place(task) {
            continue;
        }
        let lacks_capacity = match task.runtime {
            Runtime::Lambda => false,
            Runtime::Fargate => task.launched_ago.is_none_or(|ago| ago >= RELAUNCH_AFTER),
        };
        // Only the first wake-up counts on an idle worker: where nobody came, nobody is there.
        let is_spared = task.is_expected() || (task.woken_ago.is_none() && room.take_idle_worker(&task.operator));
        if lacks_capacity && !is_spared {
            if !room.take_launch() {
                outgoing.held += 1;
                continue;
            }
            outgoing.launches.push(TaskLaunch {
                operator: task.operator.clone(),
                task_id: task.task_id,
                fence: task.fence,
                number: task.launches_sent + 1,
            });
        }
        if task.woken_ago.is_none_or(|ago| ago >= rewake_after(task.wakes_sent)) {
            outgoing.wakes.push(Wake {
                operator: task.operator.clone(),
                task_id: task.task_id,
                fence: task.fence,
                number: task.wakes_sent + 1,
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
            org_id: OrgId(1),
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

    fn one_job(free: u32) -> Room {
        Room { of_jobs: BTreeMap::from([(JobId(1), free)]), launches: 20, ..Room::default() }
    }

    fn ids(outgoing: &Outgoing) -> (Vec<i64>, Vec<i64>) {
        let wakes = outgoing.wakes.iter().map(|wake| wake.task_id.0).collect();
        (wakes, outgoing.launches.iter().map(|launch| launch.task_id.0).collect())
    }

    #[test]
    fn tasks_over_the_limit_of_their_job_are_held_back() {
        let waiting = [task(1), task(2), task(3)];
        assert_eq!(ids(&plan(&waiting, one_job(2))), (vec![1, 2], vec![1, 2]));
        assert_eq!(plan(&waiting, one_job(0)), Outgoing::default());
        assert_eq!(plan(&waiting, Room::default()), Outgoing::default());
    }

    #[test]
    fn an_organisation_has_one_limit_over_all_its_jobs() {
        let of_job = |id, job| Waiting { job_id: JobId(job), ..task(id) };
        let of_another = Waiting { org_id: OrgId(2), job_id: JobId(3), ..task(9) };
        let waiting = [of_job(1, 1), of_job(2, 2), of_job(3, 1), of_another];
        let of_jobs = BTreeMap::from([(JobId(1), 5), (JobId(2), 5), (JobId(3), 5)]);
        let room = |of_orgs| Room { of_jobs: of_jobs.clone(), of_orgs, launches: 20, ..Room::default() };
        let limited = plan(&waiting, room(BTreeMap::from([(OrgId(1), 2)])));
        assert_eq!(ids(&limited).0, [1, 2, 9]);
        assert_eq!(ids(&plan(&waiting, room(BTreeMap::new()))).0, [1, 2, 3, 9]);
    }

    #[test]
    fn a_worker_that_waits_for_work_spares_a_launch_once() {
        let idle = |workers| Room { idle_workers: BTreeMap::from([("noop".to_owned(), workers)]), ..one_job(9) };
        assert_eq!(ids(&plan(&[task(1), task(2)], idle(1))), (vec![1, 2], vec![2]));
        let told = |seconds| Waiting { wakes_sent: 1, woken_ago: Some(Duration::from_secs(seconds)), ..task(3) };
        assert_eq!(ids(&plan(&[told(60)], idle(1))), (vec![3], vec![3]), "nobody came at the first wake-up");
        assert_eq!(ids(&plan(&[told(1)], idle(1))), (vec![], vec![]), "the idle worker is on its way");
        assert_eq!(ids(&plan(&[told(1), task(4)], idle(1))), (vec![4], vec![4]), "and is not counted on twice");
    }

    #[test]
    fn a_task_that_was_told_lately_keeps_its_place_and_is_not_told_again() {
        assert_eq!(ids(&plan(&[told(1, 5), task(2)], one_job(1))), (vec![], vec![]));
        assert_eq!(ids(&plan(&[told(1, 5), task(2)], one_job(2))), (vec![2], vec![2]));
    }

    #[test]
    fn a_lost_wake_up_is_sent_again_under_a_new_number() {
        let outgoing = plan(&[told(1, 60)], one_job(1));
        assert_eq!(outgoing.wakes[0].number, 2);
        assert!(outgoing.launches.is_empty());
    }

    #[test]
    fn a_launch_that_led_to_no_claim_is_made_again_under_a_new_token() {
        let outgoing = plan(&[told(1, 120)], one_job(1));
        assert_eq!(outgoing.launches[0].client_token(), "task-1-0-2");
        assert_eq!(plan(&[task(1)], one_job(1)).launches[0].client_token(), "task-1-0");
    }

    #[test]
    fn a_lambda_needs_no_launch_and_a_pass_makes_few() {
        let lambda = Waiting { runtime: Runtime::Lambda, ..task(1) };
        assert_eq!(ids(&plan(&[lambda], one_job(1))), (vec![1], vec![]));
        let few = Room { launches: 1, ..one_job(9) };
        let outgoing = plan(&[task(1), task(2)], few);
        assert_eq!((ids(&outgoing), outgoing.held), ((vec![1], vec![1]), 1));
    }

    proptest::proptest! {
        #[test]
        fn never_more_tasks_are_told_than_may_run(free in 0u32..6, ages in proptest::collection::vec(0u64..300, 0..20)) {
            let waiting: Vec<Waiting> = (1i64..).zip(ages).map(|(id, age)| told(id, age)).collect();
            let outgoing = plan(&waiting, one_job(free));
            proptest::prop_assert!(outgoing.wakes.len() <= free as usize && outgoing.launches.len() <= free as usize);
        }
    }
}
