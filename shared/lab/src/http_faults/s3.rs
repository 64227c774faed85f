//! S3 that fails. Source: Amazon S3 API Reference, "Error responses" and `PutObject`; RFC 4918, 11.5, for 507.
//!
//! S3 itself never answers 507; stores that speak its protocol do when their disks are full.

use super::{Call, RawReply, Verdict};

/// How a call is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Fault {
    /// 503, to be tried again more slowly; nothing is done.
    SlowDown,
    /// 507: no room; nothing is done.
    InsufficientStorage,
    /// 409: another write to the key is under way; nothing is done. Calls that only read pass.
    Conflict,
    /// 412 as if the key were taken; nothing is done. Calls that only read pass.
    PreconditionFailed,
    /// It is carried out, and answered with 500.
    InternalError,
    /// The connection is closed; nothing is done.
    Cut,
    /// It is carried out, and the answer breaks off: in the middle of an object, or before it has begun.
    BrokenOff,
}

impl S3Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SlowDown,
        Self::InsufficientStorage,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::InternalError,
        Self::Cut,
        Self::BrokenOff,
    ];
}

/// Carries out `fault` on a call.
pub fn fail_s3(call: &Call, fault: S3Fault) -> Verdict {
    match fault {
        S3Fault::SlowDown => Verdict::AnswerRaw(error(503, "SlowDown")),
        S3Fault::InsufficientStorage => Verdict::AnswerRaw(error(507, "InsufficientStorage")),
        S3Fault::Conflict | S3Fault::PreconditionFailed if ["GET", "HEAD"].contains(&call.method()) => Verdict::Pass,
        S3Fault::Conflict => Verdict::AnswerRaw(error(409, "ConditionalRequestConflict")),
        S3Fault::PreconditionFailed => Verdict::AnswerRaw(error(412, "PreconditionFailed")),
        S3Fault::InternalError => Verdict::PassOnAndAnswer(error(500, "InternalError")),
        S3Fault::Cut => Verdict::Cut,
        S3Fault::BrokenOff => Verdict::PassOnAndCut,
    }
}

fn error(status: u16, code: &str) -> RawReply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>refused by the laboratory</Message></Error>"
    );
    RawReply { status, content_type: "application/xml", body: body.into_bytes() }
}
