//! One endpoint: sends batches, bounds time and size, and says precisely how an attempt failed.
//!
//! Speaks HTTP itself instead of through alloy's `RpcClient`: that one puts the address, key and all, into its spans,
//! loses the one error object by which servers refuse a batch, and reads answers of any length. It asks for gzip itself,
//! too, so that the same bound holds for what that decodes to.
//!
//! Never retries, never waits for its turn and never chooses another endpoint; [`crate::pool`] does.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use serde_json::value::RawValue;

use crate::client::Limits;
use crate::error::{ChainError, MESSAGE_CHARS};
use crate::json_rpc::{Body, Call, ErrorFrame, Reply, RequestFrame, read_body};
use crate::rpc_url::RpcUrl;

mod body;

use body::{Encoding, Incoming, Unfit};

/// An answer to one call: the raw result, or `None` if the chain does not have what was asked for.
pub(crate) type RawAnswer = Option<Box<RawValue>>;

/// A server that speaks JSON-RPC.
#[derive(Debug)]
pub(crate) struct Endpoint {
    url: RpcUrl,
    http: reqwest::Client,
    answer_bytes: usize,
    /// Whether it has shown the right chain id since it last failed.
    pub(crate) is_checked: AtomicBool,
}

impl Endpoint {
    /// Prepares an endpoint; nothing is sent.
    pub(crate) fn new(url: RpcUrl, limits: &Limits) -> Result<Self, ChainError> {
        let http = reqwest::Client::builder()
            .connect_timeout(limits.connect_timeout)
            .timeout(limits.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| ChainError::Client { source })?;
        Ok(Self { url, http, answer_bytes: limits.answer_bytes, is_checked: AtomicBool::new(false) })
    }

    /// Scheme, host and port.
    pub(crate) fn name(&self) -> String {
        self.url.to_string()
    }

    /// The address.
    pub(crate) fn url(&self) -> &RpcUrl {
        &self.url
    }

    /// Makes the calls of `batch` in one request and returns their answers in the same order. `patience` bounds the wait
    /// if it is shorter than the client's.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) async fn call(&self, batch: &[Call], patience: Option<Duration>) -> Result<Vec<RawAnswer>, ChainError> {
        let body = self.post(batch, patience).await?;
        let malformed = |error: serde_json::Error| ChainError::malformed(&self.url, batch[0].method, &error);
        match read_body(&body, batch.len()).map_err(malformed)? {
            Body::Refused(error) => Err(self.refused(batch.len(), &error)),
            Body::Replies(replies) => {
                batch.iter().zip(replies).map(|(call, reply)| self.judge(batch.len(), call.method, reply)).collect()
            }
        }
    }

    fn judge(&self, calls: usize, method: &'static str, reply: Option<Reply>) -> Result<RawAnswer, ChainError> {
        match reply {
            None => Err(ChainError::MissingAnswer { endpoint: self.name(), method }),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) if error.is_absent() => Ok(None),
            Some(Err(error)) if error.is_unsupported() => {
                Err(ChainError::Unsupported { endpoint: self.name(), method })
            }
            Some(Err(error)) if error.is_rate_limit() || error.is_too_large() => Err(self.refused(calls, &error)),
            Some(Err(error)) => {
                let (code, message) = (error.code, self.words(&error));
                Err(ChainError::Rpc { endpoint: self.name(), method, code, message })
            }
        }
    }

    fn refused(&self, calls: usize, error: &ErrorFrame) -> ChainError {
        let endpoint = self.name();
        if error.is_rate_limit() {
            return ChainError::RateLimited { endpoint, wait: None };
        }
        ChainError::BatchRefused { endpoint, calls, message: self.words(error) }
    }

    /// What the server says, without keys that it may repeat, and cut to a length that a log line bears.
    fn words(&self, error: &ErrorFrame) -> String {
        self.url.without_secrets(&error.message, MESSAGE_CHARS)
    }

    async fn post(&self, batch: &[Call], patience: Option<Duration>) -> Result<Vec<u8>, ChainError> {
        let frames: Vec<_> = (0u64..).zip(batch).map(|(id, call)| RequestFrame::new(id, call)).collect();
        // Some providers refuse arrays altogether: a single call goes as an object.
        let body = match frames.as_slice() {
            [only] => serde_json::to_vec(only),
            many => serde_json::to_vec(many),
        }
        .expect("frames of texts and numbers are JSON");
        let mut request = self.http.post(self.url.reveal()).header(CONTENT_TYPE, "application/json").body(body);
        if self.url.asks_for_gzip() {
            request = request.header(ACCEPT_ENCODING, "gzip");
        }
        if let Some(patience) = patience {
            request = request.timeout(patience);
        }
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.as_u16() == 429 {
            let seconds =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(ChainError::RateLimited { endpoint: self.name(), wait: seconds.map(Duration::from_secs) });
        }
        // What is said beside these is about the key of the address, in words that may be taken for others.
        if matches!(status.as_u16(), 401 | 403) {
            return Err(ChainError::HttpStatus { endpoint: self.name(), status: status.as_u16() });
        }
        let is_success = status.is_success();
        match self.read(response).await {
            // Some servers put a JSON-RPC error beside a status such as 400.
            Ok(bytes) if is_success || read_body(&bytes, batch.len()).is_ok() => Ok(bytes),
            Ok(_) => Err(ChainError::HttpStatus { endpoint: self.name(), status: status.as_u16() }),
            Err(ChainError::Undecodable { .. }) if !is_success => {
                Err(ChainError::HttpStatus { endpoint: self.name(), status: status.as_u16() })
            }
            Err(error) => Err(error),
        }
    }

    /// The body of `response`, decoded. However long it is, and whatever it decodes to, no more is held than the longest
    /// answer may have.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ChainError> {
        let undecodable = |problem| ChainError::Undecodable { endpoint: self.name(), problem };
        let Some(encoding) = Encoding::of(response.headers()) else {
            return Err(undecodable("its Content-Encoding is not one that was asked for"));
        };
        let unfit = |unfit| match unfit {
            Unfit::TooLong => ChainError::AnswerTooLarge { endpoint: self.name(), limit_bytes: self.answer_bytes },
            Unfit::Undecodable => undecodable("its Content-Encoding is gzip, and it is not whole gzip"),
        };
        let expected_bytes = response.content_length().map_or(0, |length| self.bounded(length));
        let mut body = Incoming::new(encoding, self.answer_bytes, expected_bytes);
        while let Some(chunk) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            body.push(&chunk).map_err(unfit)?;
        }
        body.finish().map_err(unfit)
    }

    fn unreachable(&self, source: reqwest::Error) -> ChainError {
        ChainError::Unreachable { endpoint: self.name(), source: source.without_url() }
    }

    fn bounded(&self, length: u64) -> usize {
        usize::try_from(length).unwrap_or(usize::MAX).min(self.answer_bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of a call that is answered with this HTTP status, and this error beside it.
    async fn call(status: &str, message: &str) -> Result<Vec<RawAnswer>, ChainError> {
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32_000, "message": message}});
        let (body, head) = (body.to_string(), format!("HTTP/1.1 {status}\r\nconnection: close\r\n"));
        let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = RpcUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let endpoint = Endpoint::new(url, &Limits::default()).unwrap();
        let batch = [Call::new("eth_chainId", [0u8; 0])];
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request is cut");
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        tokio::join!(endpoint.call(&batch, None), serve).0
    }

    #[tokio::test]
    async fn a_refused_key_is_no_block_that_is_not_there() {
        for status in ["401 Unauthorized", "403 Forbidden"] {
            match call(status, "account not found").await {
                Err(ChainError::HttpStatus { status: found, .. }) => assert!(status.starts_with(&found.to_string())),
                other => panic!("{other:?}"),
            }
        }
        for status in ["400 Bad Request", "200 OK"] {
            let found = call(status, "block not found").await.unwrap();
            assert!(matches!(found.as_slice(), [None]), "{status}: {found:?}");
            let error = call(status, "API key not found").await.unwrap_err();
            assert!(matches!(error, ChainError::Rpc { .. }), "{status}: {error}");
        }
    }
}
