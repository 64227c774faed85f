//! A queue that refuses some of what it is sent. Source: Amazon SQS API Reference, `SendMessageBatch`.

use serde_json::{Value, json};

use super::{AfterCall, Call, Reply, Verdict};

/// How a call to send is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFault {
    /// It is refused as a whole; nothing is sent.
    Refused,
    /// It is carried out, and answered with an error.
    FailedAfterSending,
    /// It is carried out, and its answer is lost with the connection.
    CutAfterSending,
    /// Every other message of the batch is refused, from the first on.
    HalfRefused,
}

impl SendFault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Refused, Self::FailedAfterSending, Self::CutAfterSending, Self::HalfRefused];
}

/// Carries out `fault` on a `SendMessageBatch`; other calls pass.
pub fn fail_send(call: &Call, fault: SendFault) -> Verdict {
    if call.operation != "SendMessageBatch" {
        return Verdict::Pass;
    }
    match fault {
        SendFault::Refused => Verdict::Answer(unavailable()),
        SendFault::FailedAfterSending => Verdict::PassOn(call.body.clone(), Box::new(|_sent| Some(unavailable()))),
        SendFault::CutAfterSending => Verdict::PassOn(call.body.clone(), Box::new(|_sent| None)),
        SendFault::HalfRefused => half_refused(&call.body),
    }
}

fn unavailable() -> Reply {
    Reply::error(503, "com.amazonaws.sqs#ServiceUnavailable")
}

fn half_refused(body: &Value) -> Verdict {
    let entries = body["Entries"].as_array().cloned().unwrap_or_default();
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for (i, entry) in entries.into_iter().enumerate() {
        if i % 2 == 0 { refused.push(failure(&entry["Id"])) } else { kept.push(entry) }
    }
    // SQS takes no empty batch.
    if kept.is_empty() {
        return Verdict::Answer(Reply { status: 200, body: json!({ "Successful": [], "Failed": refused }) });
    }
    let mut passed = body.clone();
    passed["Entries"] = kept.into();
    let after: AfterCall = Box::new(|mut reply| {
        if let Some(failed) = reply.body.as_object_mut() {
            let failed = failed.entry("Failed").or_insert_with(|| json!([]));
            failed.as_array_mut()?.extend(refused);
        }
        Some(reply)
    });
    Verdict::PassOn(passed, after)
}

fn failure(id: &Value) -> Value {
    json!({ "Id": id, "SenderFault": false, "Code": "InternalError", "Message": "refused by the laboratory" })
}
