//! A disk too small for a single file: the task fails in words that name the disk, nothing is listed, and the next
//! attempt, with room, completes.
//!
//! The disk is a tmpfs in a mount namespace of the program's own.

use std::process::ExitStatus;

use isotherm_lab::experiment::Experiment;
use tokio::process::Command;

use crate::judge::{Faults, manifest_count};
use crate::program::{Program, claim};
use crate::rows::range;
use crate::world::{PARTITION_BLOCKS, World};

/// One page of memory, the smallest disk there is. A file of ten blocks is larger by its hashes alone.
const MOUNT_AND_BECOME: &str = r#"mount -t tmpfs -o size=4k,mode=777 tmpfs "$TMPDIR" && exec "$0""#;

/// What gives the command after it a full disk for `TMPDIR`.
fn full_disk() -> Vec<&'static str> {
    let is_root = nix::unistd::geteuid().is_root();
    let namespace: &[&str] = if is_root { &["--mount"] } else { &["--mount", "--map-root-user"] };
    [&["unshare"][..], namespace, &["sh", "-c", MOUNT_AND_BECOME]].concat()
}

/// Fails with a sentence where no such disk can be made: the experiment proves nothing then.
async fn check_that_disks_can_be_made(scratch: &str) {
    let words = full_disk();
    let tried = Command::new(words[0]).args(&words[1..]).arg("true").env("TMPDIR", scratch).status().await;
    assert!(
        tried.as_ref().is_ok_and(ExitStatus::success),
        "this machine refuses a mount in a namespace of its own (unshare, mount), so there is no full disk: {tried:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_full_disk() {
    let mut experiment = Experiment::begin("full_disk", &["room"]);
    let partitions: u64 = experiment.scaled(2, 20);
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().to_str().unwrap();
    check_that_disks_can_be_made(folder).await;
    let blocks = range(0, partitions * PARTITION_BLOCKS);
    let world = World::create(blocks, blocks.last().0).await;
    let with_room = Program::of(&world).with("TMPDIR", folder);
    let without_room = with_room.clone().behind(&full_disk());

    let ended = without_room.run(&claim(&world, blocks).await).await;
    let names_the_disk = ended.failure().is_some_and(|(code, message, _)| {
        code == "cold_store.staged_file" && message.contains(folder) && message.contains("No space left on device")
    });
    experiment.equal("named_the_disk", i64::from(names_the_disk), 1);
    experiment.equal("clear_and_retryable", i64::from(ended.is_clear_and_retryable()), 1);
    experiment.zero("listed", manifest_count(&world).await);

    let next = if experiment.lacks("room") { &without_room } else { &with_room };
    let ended = next.run(&claim(&world, blocks).await).await;
    experiment.equal("completed", i64::from(ended.is_complete()), 1);
    let mut faults = Faults::default();
    faults.look_at_catalogue(&world, blocks.end().0).await;
    faults.look_at_bucket(&world).await;
    faults.report(&mut experiment);
    let scratch_left = std::fs::read_dir(folder).unwrap().count();
    experiment.zero("scratch_left", i64::try_from(scratch_left).unwrap());
    experiment.finish();
}
