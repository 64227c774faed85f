//! Sandboxes that are open before their query comes.

use std::collections::HashSet;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::*;

const COUNT: &str = "select count(*) from blocks";

/// Waits until a child of this process has ended, and leaves it to whoever started it.
fn ended(process: u32) {
    let process = Id::Pid(Pid::from_raw(process.cast_signed()));
    waitid(process, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
}

#[tokio::test]
async fn each_query_has_a_sandbox_alone_that_waited_for_it() {
    let platform = half_cold().await;
    assert_eq!(rows(&platform, COUNT).await, [[json!(35)]]);
    assert_eq!(platform.engine.waiting_process(), None, "nobody asked for one");

    platform.engine.keep_a_sandbox_waiting(Duration::from_secs(20)).await;
    let mut waited = HashSet::new();
    for _ in 0..3 {
        platform.engine.until_a_sandbox_waits().await;
        assert!(waited.insert(platform.engine.waiting_process().unwrap()), "one served two queries");
        assert_eq!(rows(&platform, COUNT).await, [[json!(35)]]);
    }
    // Refused queries use one up too, and a failed one leaves nothing behind.
    for sql in ["select * from nobody", "drop table blocks", "select cast('x' as integer)"] {
        assert!(waited.insert(platform.engine.waiting_process().unwrap()), "{sql}");
        assert!(run(&platform, sql).await.is_err(), "{sql}");
    }
    assert_eq!(rows(&platform, COUNT).await, [[json!(35)]]);
}

#[tokio::test]
async fn a_query_that_may_take_longer_has_one_of_its_own() {
    let platform = half_cold().await;
    platform.engine.keep_a_sandbox_waiting(Duration::from_secs(5)).await;
    let waiting = platform.engine.waiting_process().unwrap();
    assert_eq!(rows(&platform, COUNT).await, [[json!(35)]]);
    assert_eq!(platform.engine.waiting_process(), Some(waiting));
}

#[tokio::test]
async fn a_sandbox_that_ended_while_it_waited_fails_no_query() {
    let platform = half_cold().await;
    platform.engine.keep_a_sandbox_waiting(Duration::from_secs(20)).await;
    // Once while it opens, once when it is open.
    for is_open in [false, true] {
        if is_open {
            platform.engine.until_a_sandbox_waits().await;
        }
        let waiting = platform.engine.waiting_process().unwrap();
        kill(Pid::from_raw(waiting.cast_signed()), Signal::SIGKILL).unwrap();
        ended(waiting);
        assert_eq!(rows(&platform, COUNT).await, [[json!(35)]]);
    }
}

#[tokio::test]
async fn one_that_may_connect_elsewhere_is_not_taken() {
    let platform = half_cold().await;
    platform.engine.keep_a_sandbox_waiting(Duration::from_secs(20)).await;
    let waiting = platform.engine.waiting_process().unwrap();
    let cold = isotherm_query::ColdServer::keeping(1 << 20);
    let elsewhere = isotherm_query::QueryEngine { cold, ..platform.engine.clone() };
    assert_eq!(rows_of(&elsewhere.run(request("select 1")).await.unwrap()), [[json!(1)]]);
    assert_eq!(platform.engine.waiting_process(), Some(waiting));
}

/// It would serve no query, as each connects to the port that cold files are served at.
#[tokio::test]
async fn none_waits_if_there_was_no_port_to_open_it_for() {
    let platform = half_cold().await;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
    platform.engine.keep_a_sandbox_waiting(Duration::from_secs(20)).await;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    // The next query has a port, and would leave the next sandbox behind.
    assert_eq!(rows(&platform, COUNT).await, [[json!(35)]]);
    assert_eq!(platform.engine.waiting_process(), None);
}
