//! An object store as presigned URLs show it: each object under exactly one target, signature included, and 403 for
//! all else. And a listener that nobody should ever reach.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers until the test process ends.
pub(crate) struct Store {
    address: String,
}

impl Store {
    /// Serves `objects`: target to bytes, such as `/cold/a.parquet?X-Amz-Signature=1`.
    pub(crate) fn start(objects: HashMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let objects = Arc::new(objects);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let objects = Arc::clone(&objects);
                std::thread::spawn(move || while serve(&stream, &objects) == Some(()) {});
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }
}

/// Answers one request; `None` when the stream is over.
fn serve(mut stream: &TcpStream, objects: &HashMap<String, Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut range = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some((start, end)) = line.strip_prefix("range: bytes=").and_then(|value| value.split_once('-')) {
            range = Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()));
        }
    }
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let (status, headers, body) = match (method, objects.get(target), range) {
        ("GET", Some(bytes), Some((start, end))) if start < bytes.len() => {
            let end = end.map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
            let header = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
            ("206 Partial Content", header, &bytes[start..end])
        }
        ("GET", Some(bytes), None) => ("200 OK", String::new(), bytes.as_slice()),
        // A URL that is signed for GET answers nothing else, and none without its signature.
        _ => ("403 Forbidden", String::new(), b"".as_slice()),
    };
    let head = format!("HTTP/1.1 {status}\r\nETag: \"1\"\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()
}

/// Counts who connects, and hangs up.
pub(crate) struct Listener {
    pub(crate) address: String,
    connections: Arc<AtomicU64>,
}

impl Listener {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { address, connections }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}
