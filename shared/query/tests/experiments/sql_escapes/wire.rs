//! Talks frames with a program that may say anything, or nothing any more.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use isotherm_types::sandbox::{FRAME_HEADER_BYTES, KIND_ARROW, KIND_JSON, MAX_FRAME_BYTES};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(crate) struct Wire {
    /// Killed when dropped.
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

/// What came from the program.
pub(crate) enum Said {
    Json(Vec<u8>),
    Rows(Vec<u8>),
    /// Bytes that are no frame.
    Nonsense(Vec<u8>),
    /// It has ended.
    Nothing,
}

impl Wire {
    /// Starts `program` as the product starts its sandbox: without an environment.
    pub(crate) fn start(program: &Path, words: &[&str], stderr: &File) -> Self {
        let mut child = Command::new(program)
            .args(words)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { _child: child, stdin, stdout }
    }

    /// Sends a message; a program that has ended does not get it.
    pub(crate) async fn send(&mut self, message: &impl Serialize) {
        let payload = serde_json::to_vec(message).unwrap();
        let mut frame = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        frame.push(KIND_JSON);
        frame.extend(payload);
        // What it said before it ended is still to be read.
        let _ = self.stdin.write_all(&frame).await;
    }

    pub(crate) async fn receive(&mut self) -> Said {
        let mut header = [0; FRAME_HEADER_BYTES];
        if self.stdout.read_exact(&mut header).await.is_err() {
            return Said::Nothing;
        }
        let [a, b, c, d, kind] = header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > MAX_FRAME_BYTES || ![KIND_JSON, KIND_ARROW].contains(&kind) {
            let mut rest = vec![0; 1 << 16];
            let read = self.stdout.read(&mut rest).await.unwrap_or(0);
            return Said::Nonsense([header.as_slice(), &rest[..read]].concat());
        }
        let mut payload = vec![0; length];
        match (self.stdout.read_exact(&mut payload).await, kind) {
            (Ok(_), KIND_JSON) => Said::Json(payload),
            (Ok(_), _) => Said::Rows(payload),
            (Err(_), _) => Said::Nonsense(payload),
        }
    }
}
