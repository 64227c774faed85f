//! How far the tasks of a backfill are. Judging is pure; [`until_ended`] looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, BriefTask};
use isotherm_platform::stop::Stop;
use isotherm_types::{BlockRange, JobId, TaskId};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::live;
use crate::output::{bar, grouped, span};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The tasks to watch: their keys, and the blocks of each.
pub(super) type Watched = BTreeMap<String, BlockRange>;

/// A task that ended without its work done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) task_id: TaskId,
    pub(super) state: TaskState,
    pub(super) blocks: BlockRange,
    /// Code and message of its last error.
    pub(super) error: Option<(String, String)>,
}

/// Where the watched tasks are together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) done_blocks: u64,
    pub(super) total_blocks: u64,
    /// Tasks that wait, those not made yet included.
    pub(super) queued: u64,
    pub(super) running: u64,
    pub(super) completed: u64,
    pub(super) lost: Vec<Lost>,
}

impl Standing {
    /// Judges what the job's tasks are at. A running task counts with what it says that it has done.
    pub(super) fn of(watched: &Watched, tasks: &[BriefTask]) -> Self {
        let by_key = tasks.iter().map(|task| (task.idempotency_key.as_str(), task));
        let found: BTreeMap<&str, &BriefTask> = by_key.collect();
        let mut standing = Self::default();
        for (key, blocks) in watched {
            let count = blocks.block_count();
            standing.total_blocks += count;
            let Some(task) = found.get(key.as_str()) else {
                standing.queued += 1;
                continue;
            };
            match task.state {
                TaskState::Queued => standing.queued += 1,
                TaskState::Running => {
                    standing.running += 1;
                    standing.done_blocks += task.progress_done.unwrap_or(0).min(count);
                }
                TaskState::Completed => {
                    standing.completed += 1;
                    standing.done_blocks += count;
                }
                TaskState::Failed | TaskState::Cancelled => standing.lost.push(Lost {
                    task_id: task.task_id,
                    state: task.state,
                    blocks: *blocks,
                    error: task.error.clone(),
                }),
            }
        }
        standing
    }

    /// Whether no task can go on.
    pub(super) fn has_ended(&self) -> bool {
        self.queued == 0 && self.running == 0
    }

    /// How far it is, how fast, and how long it will take, given what was done so long ago.
    pub(super) fn line(&self, done_before: u64, elapsed: Duration) -> String {
        let (done, total) = (self.done_blocks, self.total_blocks);
        let rate = done.saturating_sub(done_before) as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let seconds_left = total.saturating_sub(done) as f64 / rate;
        let left = match Duration::try_from_secs_f64(seconds_left) {
            Ok(left) if rate > 0.0 => format!("{} left", span(left)),
            _ => "no end in sight yet".to_owned(),
        };
        let Self { queued, running, completed, lost, .. } = self;
        let lost = if lost.is_empty() { String::new() } else { format!(", {} FAILED", lost.len()) };
        format!(
            "{}, {} of {} blocks, {rate:.1} blocks/s, {left}; tasks: {running} running, {queued} queued, {completed} \
             completed{lost}",
            bar(done, total),
            grouped(done),
            grouped(total),
        )
    }

    /// The same for programs.
    pub(super) fn to_json(&self) -> Value {
        let lost: Vec<Value> = self
            .lost
            .iter()
            .map(|lost| {
                json!({
                    "task_id": lost.task_id.0, "state": lost.state.as_str(), "blocks": lost.blocks,
                    "error": lost.error.as_ref().map(|(code, message)| json!({ "code": code, "message": message })),
                })
            })
            .collect();
        json!({
            "blocks_done": self.done_blocks, "blocks_total": self.total_blocks, "queued": self.queued,
            "running": self.running, "completed": self.completed, "lost": lost,
        })
    }
}

impl Lost {
    /// What is to be said of it.
    pub(super) fn words(&self) -> String {
        let Self { task_id, state, blocks, error } = self;
        let error = error.as_ref().map_or_else(String::new, |(code, message)| format!(": {message} ({code})"));
        format!("{task_id} of blocks {blocks} is {state}{error}; `isotherm tasks logs {}`", task_id.0)
    }
}

/// Shows how the tasks get on until all have ended or `stop` is wished; where they are then.
pub(super) async fn until_ended(
    conn: &mut PgConnection,
    job_id: JobId,
    watched: &Watched,
    stop: &Stop,
) -> anyhow::Result<Standing> {
    let mut shown = live::Progress::new();
    let began = Instant::now();
    let mut done_before = None;
    loop {
        let tasks = tasks::of_job(conn, job_id).await.context("could not see how the tasks get on")?;
        let standing = Standing::of(watched, &tasks);
        let before = *done_before.get_or_insert(standing.done_blocks);
        if standing.has_ended() || stop.is_requested() {
            shown.clear();
            return Ok(standing);
        }
        shown.show(&standing.line(before, began.elapsed()));
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::backfill::plan::tests::{range, task};

    pub(in crate::backfill) fn standing() -> Standing {
        let blocks = [range(0, 100), range(100, 200), range(200, 300), range(300, 400), range(400, 500)];
        let watched: Watched = (b'a'..).map(|key| char::from(key).to_string()).zip(blocks).collect();
        let failed = BriefTask {
            task_id: TaskId(7),
            error: Some(("ingest.withheld".to_owned(), "block 300 is withheld".to_owned())),
            ..task("d", TaskState::Failed, blocks[3])
        };
        let tasks = [
            task("a", TaskState::Completed, blocks[0]),
            BriefTask { progress_done: Some(40), ..task("b", TaskState::Running, blocks[1]) },
            task("c", TaskState::Queued, blocks[2]),
            failed,
            task("somebody else's", TaskState::Running, range(0, 1_000)),
        ];
        Standing::of(&watched, &tasks)
    }

    #[test]
    fn tasks_count_with_what_they_have_done_and_one_that_is_not_made_yet_waits() {
        let standing = standing();
        assert_eq!((standing.done_blocks, standing.total_blocks), (140, 500));
        assert_eq!((standing.queued, standing.running, standing.completed), (2, 1, 1));
        assert_eq!(standing.lost.len(), 1);
        assert!(!standing.has_ended());
        assert_eq!(
            standing.lost[0].words(),
            format!(
                "{} of blocks 300..400 is failed: block 300 is withheld (ingest.withheld); `isotherm tasks logs 7`",
                TaskId(7)
            )
        );
    }

    #[test]
    fn a_task_that_says_more_than_it_has_is_not_believed_and_one_that_is_taken_back_has_ended() {
        let watched = Watched::from([("a".to_owned(), range(0, 10)), ("b".to_owned(), range(10, 20))]);
        let tasks = [
            BriefTask { progress_done: Some(99), ..task("a", TaskState::Running, range(0, 10)) },
            task("b", TaskState::Cancelled, range(10, 20)),
        ];
        let running = Standing::of(&watched, &tasks);
        assert_eq!((running.done_blocks, running.has_ended()), (10, false));
        assert!(Standing::of(&watched, &[]).queued == 2);
        let over = [task("a", TaskState::Completed, range(0, 10)), tasks[1].clone()];
        let over = Standing::of(&watched, &over);
        assert!(over.has_ended() && over.lost[0].state == TaskState::Cancelled);
    }

    #[test]
    fn a_line_has_the_rate_since_the_watch_began_and_the_time_that_is_left() {
        let line = standing().line(100, Duration::from_secs(20));
        for part in ["28.0 %, 140 of 500 blocks, 2.0 blocks/s, 3 min 0 s left", "1 running, 2 queued", "1 FAILED"] {
            assert!(line.contains(part), "{line}");
        }
        for elapsed in [0, 20] {
            let still = standing().line(140, Duration::from_secs(elapsed));
            assert!(still.contains("0.0 blocks/s, no end in sight yet"), "{still}");
        }
    }
}
