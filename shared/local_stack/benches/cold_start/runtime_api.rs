//! Lambda's runtime interface for one start of a function: one event, then its answer.
//!
//! Source: AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes".

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// In the far future, in milliseconds: no invocation here runs out of time.
const DEADLINE_MS: u64 = 4_102_444_800_000;

/// An interface that waits for its function.
pub(crate) struct RuntimeApi {
    listener: TcpListener,
    event: Arc<str>,
}

/// How the function has used it.
pub(crate) struct Served {
    /// When it asked for its first event.
    pub(crate) asked: Instant,
    /// When its answer was there.
    pub(crate) answered: Instant,
    /// The answer, or what it says of its failure.
    pub(crate) answer: Result<String, String>,
}

/// What a connection tells.
enum Said {
    Asked(Instant),
    Answered(Instant, Result<String, String>),
}

struct Request {
    path: String,
    body: String,
}

impl RuntimeApi {
    /// With `event` to hand out.
    pub(crate) async fn bind(event: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        Self { listener, event: event.into() }
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().expect("it listens").to_string()
    }

    /// Serves until the first answer.
    pub(crate) async fn serve(self) -> Served {
        let (said, mut heard) = unbounded_channel();
        let mut connections = JoinSet::new();
        let mut asked = None;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted.expect("the function connects");
                    stream.set_nodelay(true).expect("it is a TCP connection");
                    connections.spawn(converse(BufReader::new(stream), Arc::clone(&self.event), said.clone()));
                }
                Some(word) = heard.recv() => match word {
                    Said::Asked(at) => asked = asked.or(Some(at)),
                    // Whoever fails before its first question never asked.
                    Said::Answered(at, answer) => {
                        return Served { asked: asked.unwrap_or(at), answered: at, answer };
                    }
                },
            }
        }
    }
}

/// Answers the requests of one connection until the function closes it.
async fn converse(mut stream: BufReader<TcpStream>, event: Arc<str>, said: UnboundedSender<Said>) {
    while let Some(Request { path, body }) = read_request(&mut stream).await {
        let now = Instant::now();
        let reply = if path.ends_with("/invocation/next") {
            let _ = said.send(Said::Asked(now));
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                 lambda-runtime-deadline-ms: {DEADLINE_MS}\r\n\
                 lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:bench\r\n\r\n{event}",
                event.len()
            )
        } else {
            let answer = if path.ends_with("/response") { Ok(body) } else { Err(format!("{path}: {body}")) };
            // If nobody listens any more, the first answer was there already.
            let _ = said.send(Said::Answered(now, answer));
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads the next request whole; `None` when the connection is over.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "the runtime tells the length of what it sends");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { path, body: String::from_utf8_lossy(&body).into_owned() })
}
