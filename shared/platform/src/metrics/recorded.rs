//! Where lines go: to standard error, or to whoever records them.

use std::cell::RefCell;
use std::future::Future;
use std::io::Write;

use serde_json::Value;

tokio::task_local! {
    /// Lines of the work that is recorded.
    static KEPT: RefCell<Vec<String>>;
}

/// Lines that `work` emits, kept instead of written: so a test holds a real part to what it says. Lines of tasks that `work`
/// spawns are not among them.
///
/// # Panics
/// If a line is no JSON.
pub async fn recorded<T>(work: impl Future<Output = T>) -> (T, Vec<Value>) {
    let work = async {
        let output = work.await;
        (output, KEPT.with(RefCell::take))
    };
    let (output, lines) = KEPT.scope(RefCell::default(), work).await;
    let parsed = lines.iter().map(|line| serde_json::from_str(line).expect("a metric's line is JSON"));
    (output, parsed.collect())
}

/// Writes one line. One that cannot be written is lost; nothing fails for it.
pub(super) fn write(line: &str) {
    if KEPT.try_with(|kept| kept.borrow_mut().push(line.to_owned())).is_err() {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}
