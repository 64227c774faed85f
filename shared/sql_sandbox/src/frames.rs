//! Frames over blocking streams. The layout is in [`isotherm_types::sandbox`].

use std::io::{Read, Write};

use crate::error::SandboxError;
use isotherm_types::sandbox::{FRAME_HEADER_BYTES, KIND_ARROW, KIND_JSON, MAX_FRAME_BYTES, Request, Response};

/// A frame's payload.
#[derive(Debug)]
pub enum Frame {
    /// A JSON message, not yet read.
    Json(Vec<u8>),
    /// Arrow IPC bytes.
    Arrow(Vec<u8>),
}

/// Reads one frame; `None` if the stream ended before it.
///
/// # Errors
/// If the stream breaks, ends inside a frame, or holds something else than frames.
pub fn read(input: &mut impl Read) -> Result<Option<Frame>, SandboxError> {
    let mut header = [0u8; FRAME_HEADER_BYTES];
    let first = input.read(&mut header).map_err(SandboxError::Stream)?;
    if first == 0 {
        return Ok(None);
    }
    input.read_exact(&mut header[first..]).map_err(SandboxError::Stream)?;
    let [a, b, c, d, kind] = header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(SandboxError::Protocol { what: "a frame is longer than allowed" });
    }
    let mut payload = vec![0u8; length];
    input.read_exact(&mut payload).map_err(SandboxError::Stream)?;
    match kind {
        KIND_JSON => Ok(Some(Frame::Json(payload))),
        KIND_ARROW => Ok(Some(Frame::Arrow(payload))),
        _ => Err(SandboxError::Protocol { what: "a frame has an unknown kind" }),
    }
}

/// Reads one message; `None` if the stream ended before it.
///
/// # Errors
/// As [`read`]; also if the frame is not a [`Request`].
pub fn read_request(input: &mut impl Read) -> Result<Option<Request>, SandboxError> {
    match read(input)? {
        None => Ok(None),
        Some(Frame::Json(payload)) => serde_json::from_slice(&payload)
            .map(Some)
            .map_err(|_| SandboxError::Protocol { what: "a message was not understood" }),
        Some(Frame::Arrow(_)) => Err(SandboxError::Protocol { what: "rows came unannounced" }),
    }
}

/// Writes one message and flushes.
///
/// # Errors
/// If the stream breaks.
pub fn write_response(output: &mut impl Write, response: &Response) -> Result<(), SandboxError> {
    let payload = serde_json::to_vec(response).map_err(|error| SandboxError::Stream(error.into()))?;
    write(output, KIND_JSON, &payload)
}

/// Writes one frame and flushes.
///
/// # Errors
/// If the payload is longer than a frame may be, or the stream breaks.
pub fn write(output: &mut impl Write, kind: u8, payload: &[u8]) -> Result<(), SandboxError> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_FRAME_BYTES)
        .ok_or(SandboxError::Protocol { what: "an answer is longer than a frame" })?;
    output
        .write_all(&length.to_le_bytes())
        .and_then(|()| output.write_all(&[kind]))
        .and_then(|()| output.write_all(payload))
        .and_then(|()| output.flush())
        .map_err(SandboxError::Stream)
}
