//! An endpoint that says which chain it serves, and answers everything else with the bytes that it was given.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Bytes, and what the header says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    /// `Content-Encoding`, if one is told.
    pub(crate) coding: Option<&'static str>,
    /// A length that is told in the place of the body's own.
    pub(crate) length: Option<u64>,
}

impl Answer {
    pub(crate) fn of(body: Vec<u8>) -> Self {
        Self { body, status: 200, ..Self::default() }
    }
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    next: Arc<Mutex<Answer>>,
}

impl Endpoint {
    pub(crate) async fn start(chain_id: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let next = Arc::new(Mutex::new(Answer::default()));
        let given = Arc::clone(&next);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let next = given.lock().unwrap().clone();
                // Whoever hangs up meanwhile has read enough.
                tokio::spawn(async move { drop(serve(stream, chain_id, next).await) });
            }
        });
        Self { url, next }
    }

    pub(crate) fn answer(&self, next: Answer) {
        *self.next.lock().unwrap() = next;
    }
}

/// Answers one request.
async fn serve(mut stream: TcpStream, chain_id: u64, next: Answer) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let asks_for_chain = String::from_utf8_lossy(&request).contains("eth_chainId");
    let next = if asks_for_chain {
        Answer::of(format!(r#"{{"jsonrpc":"2.0","id":0,"result":"{chain_id:#x}"}}"#).into_bytes())
    } else {
        next
    };
    let length = next.length.unwrap_or(next.body.len() as u64);
    let coding = next.coding.map_or_else(String::new, |coding| format!("content-encoding: {coding}\r\n"));
    let head =
        format!("HTTP/1.1 {} told\r\nconnection: close\r\n{coding}content-length: {length}\r\n\r\n", next.status);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&next.body).await?;
    stream.shutdown().await
}

/// Whether the head is there, and as many bytes behind it as it says.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lengths = head
        .lines()
        .filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    body.len() >= lengths.sum::<usize>()
}
