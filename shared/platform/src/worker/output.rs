//! Reads what an operator prints: protocol lines from standard output, logs from standard error.
//!
//! Lines are bounded: an operator that prints without end must not fill the worker's memory.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use isotherm_types::OperatorLine;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::redaction::Redaction;

/// Longest line that is looked at; the rest of a longer one is skipped.
const LONGEST_LINE_BYTES: usize = 1 << 20;
/// How much of the end of standard error is kept.
const TAIL_BYTES: usize = 8 << 10;
/// Bad lines that are logged; more are only counted.
const LOGGED_BAD_LINES: u64 = 10;

/// Parses standard output; the channel closes at its end.
///
/// A line that is no [`OperatorLine`] is logged without its text and counted, and changes nothing else.
pub(super) fn read_protocol(stdout: impl AsyncRead + Unpin + Send + 'static) -> mpsc::Receiver<OperatorLine> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        let mut bad_lines = 0_u64;
        while let Ok(true) = next_line(&mut reader, &mut line).await {
            match serde_json::from_slice::<OperatorLine>(&line) {
                Ok(parsed) => {
                    if sender.send(parsed).await.is_err() {
                        return;
                    }
                }
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(error) => {
                    bad_lines += 1;
                    if bad_lines <= LOGGED_BAD_LINES {
                        tracing::warn!(
                            error.code = "operator.bad_line",
                            error.column = error.column(),
                            line.size_bytes = line.len(),
                            line.count = bad_lines,
                            "a line of the operator's output is not of the protocol"
                        );
                    }
                }
            }
        }
        if bad_lines > LOGGED_BAD_LINES {
            tracing::warn!(error.code = "operator.bad_line", line.count = bad_lines, "lines were not of the protocol");
        }
    });
    receiver
}

/// The end of an operator's standard error.
#[derive(Clone, Debug, Default)]
pub(super) struct StderrTail(Arc<Mutex<VecDeque<u8>>>);

impl StderrTail {
    /// What is kept, from the first whole character on.
    pub(super) fn text(&self) -> String {
        let kept: Vec<u8> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let whole = kept.iter().position(|byte| byte & 0xC0 != 0x80).unwrap_or(kept.len());
        String::from_utf8_lossy(&kept[whole..]).into_owned()
    }

    fn push(&self, line: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(line.as_bytes());
        let surplus = kept.len().saturating_sub(TAIL_BYTES);
        kept.drain(..surplus);
    }
}

/// Passes standard error on to our own, without the task's secrets, and keeps its end.
pub(super) fn pass_on_logs(
    stderr: impl AsyncRead + Unpin + Send + 'static,
    redaction: Redaction,
) -> (StderrTail, JoinHandle<()>) {
    let tail = StderrTail::default();
    let kept = tail.clone();
    let reading = tokio::spawn(async move {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while let Ok(true) = next_line(&mut reader, &mut line).await {
            let mut text = redaction.apply(&String::from_utf8_lossy(&line));
            text.push('\n');
            kept.push(&text);
            // A log that cannot be written is lost; the work goes on.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    });
    (tail, reading)
}

/// Reads the next line into `line`, without its line feed; `false` at the end.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let mut started = false;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(started);
        }
        started = true;
        let feed = available.iter().position(|byte| *byte == b'\n');
        let content = &available[..feed.unwrap_or(available.len())];
        let room = LONGEST_LINE_BYTES - line.len();
        line.extend_from_slice(&content[..content.len().min(room)]);
        let consumed = content.len() + usize::from(feed.is_some());
        reader.consume(consumed);
        if feed.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bad_lines_are_skipped_and_good_ones_arrive() {
        let output = "{\"type\":\"progress\",\"done\":1}\nhello\n\n{\"type\":\"result\",\"outcome\":\"released\"}";
        let mut lines = read_protocol(output.as_bytes());
        assert!(matches!(lines.recv().await, Some(OperatorLine::Progress { done: 1, .. })));
        assert!(matches!(lines.recv().await, Some(OperatorLine::Result(_))));
        assert!(lines.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_line_without_end_does_not_fill_the_memory() {
        let mut output = vec![b'x'; 3 * LONGEST_LINE_BYTES];
        output.extend_from_slice(b"\nshort\n");
        let mut reader = BufReader::new(output.as_slice());
        let mut line = Vec::new();
        assert!(next_line(&mut reader, &mut line).await.unwrap());
        assert_eq!(line.len(), LONGEST_LINE_BYTES);
        assert!(next_line(&mut reader, &mut line).await.unwrap());
        assert_eq!(line, b"short");
        assert!(!next_line(&mut reader, &mut line).await.unwrap());
    }

    #[tokio::test]
    async fn the_tail_keeps_the_end_and_no_broken_character() {
        let log = format!("first\n{}\nlast", "é".repeat(TAIL_BYTES));
        let (tail, reading) = pass_on_logs(std::io::Cursor::new(log.into_bytes()), Redaction::default());
        reading.await.unwrap();
        let text = tail.text();
        assert!(text.len() <= TAIL_BYTES && text.ends_with("é\nlast\n"));
        assert!(!text.contains("first") && !text.contains('\u{fffd}'));
    }
}
