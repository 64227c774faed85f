//! An object store as a presigned URL shows it: `GET` with ranges, `HEAD` forbidden. Counts what is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) struct FileServer {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FileServer {
    /// Serves the files of `folder` until the test process ends.
    pub(crate) fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        crate::driver::STORE_PORTS.lock().unwrap().push(address.port());
        let address = address.to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, seen) = (folder.clone(), Arc::clone(&seen));
                std::thread::spawn(move || while serve(&stream, &folder, &seen) == Some(()) {});
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, file: &str) -> String {
        format!("http://{}/{file}?X-Amz-Signature=a%2Fb", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: &TcpStream, folder: &Path, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let (mut range, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: bytes=") {
            let (start, end) = value.split_once('-')?;
            range = Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()));
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let file = target.split('?').next()?.trim_start_matches('/');
    seen.lock().ok()?.push(format!("{method} {file}"));
    let body = std::fs::read(folder.join(file)).ok();
    let (status, headers, body) = match (method, body) {
        ("GET", Some(bytes)) => match range {
            Some((start, end)) => {
                let end = end.map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
                let header = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
                ("206 Partial Content", header, bytes[start..end].to_vec())
            }
            None => ("200 OK", String::new(), bytes),
        },
        ("GET", None) => ("404 Not Found", String::new(), Vec::new()),
        _ => ("403 Forbidden", String::new(), Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nETag: \"1\"\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).ok()
}
