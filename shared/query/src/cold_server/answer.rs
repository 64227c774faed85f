//! Answers one request of a sandbox: `GET` with or without a `Range`, and `HEAD`.
//!
//! **Source**: RFC 9110, sections 9.3.1, 9.3.2, 14 and 15.3.7.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use hyper::header::{ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use hyper::http::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use isotherm_cold_store::objects::ObjectError;
use isotherm_types::disposition::error_chain;
use isotherm_types::{Classified as _, Disposition};
use tokio::sync::OwnedSemaphorePermit;

use super::reading::Reading;
use super::{Loan, Shared};

/// What is sent.
pub(super) type Body = UnsyncBoxBody<Bytes, BrokenOff>;

/// What a request wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    /// None of its bytes.
    Nothing,
}

/// The answer to `request`. What goes wrong with a file is told in the answer's status, or by an answer that breaks off, and
/// noted in its loan.
pub(super) async fn answer<T>(shared: &Shared, request: &Request<T>) -> Response<Body> {
    let Some((loan, number, file)) = shared.lent(request.uri().path()) else { return bare(StatusCode::NOT_FOUND) };
    if request.method() == Method::HEAD {
        let mut head = bare(StatusCode::OK);
        head.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        head.headers_mut().insert(CONTENT_LENGTH, file.size_bytes.into());
        return head;
    }
    if request.method() != Method::GET {
        let mut refused = bare(StatusCode::METHOD_NOT_ALLOWED);
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let size = file.size_bytes;
    let asked = asked(request.headers().get(RANGE).and_then(|range| range.to_str().ok()), size);
    let (status, range) = match asked {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Nothing => {
            let mut refused = bare(StatusCode::RANGE_NOT_SATISFIABLE);
            tell_range(&mut refused, &format!("bytes */{size}"));
            return refused;
        }
    };
    let place = loan.place().await;
    let reading = Reading::of(&shared.blocks, &loan.objects, &file, range.clone());
    let mut sending = Sending { reading, loan, number, _place: place };
    // Before the status is sent: it tells what the first block came to.
    let first = match sending.next().await {
        Ok(first) => first,
        Err(BrokenOff(status)) => return bare(status),
    };
    let mut answer = Response::new(body(first, sending));
    *answer.status_mut() = status;
    answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer.headers_mut().insert(CONTENT_LENGTH, (range.end - range.start).into());
    if status == StatusCode::PARTIAL_CONTENT {
        tell_range(&mut answer, &format!("bytes {}-{}/{size}", range.start, range.end - 1));
    }
    answer
}

/// What a `Range` asks for of a file of `size` bytes. One that is not understood, or names several ranges, may be passed
/// over.
fn asked(range: Option<&str>, size: u64) -> Asked {
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return Asked::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Asked::Whole,
    };
    if range.is_empty() { Asked::Nothing } else { Asked::Part(range) }
}

/// An answer under way.
struct Sending {
    reading: Reading,
    loan: Arc<Loan>,
    /// Place of the file in it.
    number: usize,
    _place: Option<OwnedSemaphorePermit>,
}

/// An answer that does not go on. Why is noted in the loan.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the cold file cannot be read on")]
pub(super) struct BrokenOff(StatusCode);

impl Sending {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        match self.reading.next().await {
            Ok(piece) => {
                if self.reading.is_over() {
                    // What went wrong before was mended by asking again.
                    self.loan.failures().remove(&self.number);
                }
                Ok(piece)
            }
            Err(error) => {
                let status = status_of(&error);
                self.loan.span.in_scope(|| {
                    let (code, told) = (error.code(), error_chain(&error));
                    tracing::warn!(error.code = code, error.message = told, "a cold file could not be served");
                });
                self.loan.failures().insert(self.number, error);
                Err(BrokenOff(status))
            }
        }
    }
}

fn body(first: Option<Bytes>, sending: Sending) -> Body {
    let pieces = stream::try_unfold((first, sending), |(first, mut sending)| async move {
        let piece = match first {
            Some(piece) => Some(piece),
            None => sending.next().await?,
        };
        Ok(piece.map(|piece| (Frame::data(piece), (None, sending))))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn bare(status: StatusCode) -> Response<Body> {
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(nothing);
    *answer.status_mut() = status;
    answer
}

fn tell_range(answer: &mut Response<Body>, range: &str) {
    // Digits and marks of ASCII are a value.
    if let Ok(range) = HeaderValue::from_str(range) {
        answer.headers_mut().insert(CONTENT_RANGE, range);
    }
}

/// What a sandbox is told. DuckDB asks again after 503, and not after the others.
///
/// **Source**: DuckDB 1.5.5, `HTTPResponse::ShouldRetry`.
fn status_of(error: &ObjectError) -> StatusCode {
    match error {
        ObjectError::Missing { .. } => StatusCode::NOT_FOUND,
        ObjectError::Changed { .. } => StatusCode::PRECONDITION_FAILED,
        error if error.disposition() == Disposition::Retry => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_http_has_it() {
        let part = Asked::Part;
        let table = [
            (None, Asked::Whole),
            (Some("bytes=0-9"), part(0..10)),
            (Some("bytes=90-"), part(90..100)),
            (Some("bytes=90-1000"), part(90..100)),
            (Some("bytes=99-99"), part(99..100)),
            (Some("bytes=-8"), part(92..100)),
            (Some("bytes=-1000"), part(0..100)),
            (Some("bytes=100-"), Asked::Nothing),
            (Some("bytes=100-18446744073709551615"), Asked::Nothing),
            (Some("bytes=-0"), Asked::Nothing),
            (Some("bytes=9-0"), Asked::Whole),
            (Some("bytes=0-1,4-5"), Asked::Whole),
            (Some("bytes=-"), Asked::Whole),
            (Some("bytes=x-5"), Asked::Whole),
            (Some("lines=0-9"), Asked::Whole),
        ];
        for (range, expected) in table {
            assert_eq!(asked(range, 100), expected, "{range:?}");
        }
        for range in ["bytes=0-0", "bytes=-1", "bytes=0-"] {
            assert_eq!(asked(Some(range), 0), Asked::Nothing, "{range}");
        }
    }
}
