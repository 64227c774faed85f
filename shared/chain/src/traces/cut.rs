//! Cuts the nested frames of `callTracer` apart: one text for each frame, its calls left out.
//!
//! In one pass over the text and without recursion: an answer may be nested as deep as the EVM calls, which is deeper
//! than `serde_json` allows and a thread's stack bears. Looks at the punctuation only; what the texts say is read, and
//! refused, by serde later.

/// Longest path of a frame: 1024 calls below the top, and a self-destruction there. Source: Yellow Paper, appendix H.
pub(super) const LONGEST_PATH: usize = 1025;

/// Bytes of a frame's own text: its type and its sender alone take more. Without this bound, the three bytes of `{},`
/// would ask for more than a hundred bytes of memory.
const SHORTEST_FRAME: usize = 64;

/// Steps of all paths of one block together; 256 MiB, and more than the gas of a block buys: a call costs 100 gas and
/// leaves at most 63/64 of the rest to what it calls, so that 200 million gas buy less than 47 million steps.
///
/// Source: EIP-2929 for the price, EIP-150 for the rest.
pub(super) const MOST_STEPS: usize = 64 << 20;

/// A frame without its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CutFrame {
    /// Path from the top frame.
    pub(super) trace_address: Vec<u32>,
    /// Calls that it had.
    pub(super) calls: u32,
    /// Its JSON, with `null` in the place of its calls.
    pub(super) text: String,
}

/// Why frames cannot be cut apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Uncut {
    #[error("frames are nested deeper than the EVM calls")]
    TooDeep,
    #[error("the paths of the frames are longer than {MOST_STEPS} steps in all")]
    TooLong,
    #[error("a frame has less than {SHORTEST_FRAME} bytes of its own")]
    TooShort,
    #[error("something stands where a frame or its end belongs")]
    NoFrame,
}

/// The frames of one transaction, each before the frames that it called. `text` must be JSON. The steps of their paths
/// are taken off `steps_left`, which the transactions of a block share.
///
/// # Errors
/// [`Uncut`].
pub(super) fn cut(text: &str, steps_left: &mut usize) -> Result<Vec<CutFrame>, Uncut> {
    let mut cutter = Cutter { steps_left: *steps_left, ..Cutter::default() };
    feed(&mut cutter, text)?;
    *steps_left = cutter.steps_left;
    cutter.finish()
}

/// Gives `cutter` the tokens of `text`, one after another.
fn feed(cutter: &mut Cutter, text: &str) -> Result<(), Uncut> {
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => string_length(rest.as_bytes())?,
            b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
            _ => rest.bytes().position(|byte| b"\"{}[]:,".contains(&byte)).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        cutter.take(token)?;
        rest = behind;
    }
    Ok(())
}

/// Length of the JSON string at the beginning of `bytes`, quotes included.
fn string_length(bytes: &[u8]) -> Result<usize, Uncut> {
    let mut at = 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return Err(Uncut::NoFrame),
        }
    }
}

/// A bracket that is open.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// A frame's.
    Frame,
    /// That of a frame's calls.
    Calls,
    /// Of anything else inside a frame.
    Other,
}

/// What stands before the next token of a frame's own fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Anything,
    /// The text `"calls"`.
    Calls,
    /// That and a colon: the calls come next.
    CallsColon,
}

#[derive(Debug, Default)]
struct Cutter {
    frames: Vec<CutFrame>,
    open: Vec<Open>,
    /// The open frames, by their place in `frames`.
    within: Vec<usize>,
    before: Before,
    steps_left: usize,
}

impl Cutter {
    fn take(&mut self, token: &str) -> Result<(), Uncut> {
        let before = std::mem::take(&mut self.before);
        let innermost = self.open.last().copied();
        match (token.as_bytes()[0], innermost) {
            (b'{', None) if self.frames.is_empty() => self.begin_frame(Vec::new()),
            (b'{', Some(Open::Calls)) => {
                let path = self.next_path()?;
                self.begin_frame(path)
            }
            (b'[', Some(Open::Frame)) if before == Before::CallsColon => {
                self.open.push(Open::Calls);
                self.write("null")
            }
            (b'{' | b'[', Some(Open::Frame | Open::Other)) => {
                self.open.push(Open::Other);
                self.write(token)
            }
            (b']', Some(Open::Calls)) => {
                self.open.pop();
                Ok(())
            }
            (b']' | b'}', Some(Open::Other)) => {
                self.open.pop();
                self.write(token)
            }
            (b'}', Some(Open::Frame)) => {
                self.write(token)?;
                self.end_frame()
            }
            (b',', Some(Open::Calls)) => Ok(()),
            (b':', Some(Open::Frame)) if before == Before::Calls => {
                self.before = Before::CallsColon;
                self.write(token)
            }
            (b'"', Some(Open::Frame)) if token == "\"calls\"" => {
                self.before = Before::Calls;
                self.write(token)
            }
            (_, None | Some(Open::Calls)) if token.trim_ascii().is_empty() => Ok(()),
            (_, Some(Open::Frame)) if token.trim_ascii().is_empty() => {
                self.before = before;
                Ok(())
            }
            (_, Some(Open::Frame | Open::Other)) => self.write(token),
            (_, None | Some(Open::Calls)) => Err(Uncut::NoFrame),
        }
    }

    fn begin_frame(&mut self, trace_address: Vec<u32>) -> Result<(), Uncut> {
        if trace_address.len() > LONGEST_PATH {
            return Err(Uncut::TooDeep);
        }
        self.steps_left = self.steps_left.checked_sub(trace_address.len()).ok_or(Uncut::TooLong)?;
        self.open.push(Open::Frame);
        self.within.push(self.frames.len());
        self.frames.push(CutFrame { trace_address, calls: 0, text: "{".to_owned() });
        Ok(())
    }

    /// A frame that is too short is refused as soon as it ends. Of such frames no more are kept than may be open.
    fn end_frame(&mut self) -> Result<(), Uncut> {
        if self.innermost_frame()?.text.len() < SHORTEST_FRAME {
            return Err(Uncut::TooShort);
        }
        self.open.pop();
        self.within.pop();
        Ok(())
    }

    /// Path of the next call of the innermost frame.
    fn next_path(&mut self) -> Result<Vec<u32>, Uncut> {
        let caller = self.innermost_frame()?;
        let mut path = Vec::with_capacity(caller.trace_address.len() + 1);
        path.extend_from_slice(&caller.trace_address);
        path.push(caller.calls);
        caller.calls += 1;
        Ok(path)
    }

    fn write(&mut self, token: &str) -> Result<(), Uncut> {
        self.innermost_frame()?.text.push_str(token);
        Ok(())
    }

    fn innermost_frame(&mut self) -> Result<&mut CutFrame, Uncut> {
        self.within.last().and_then(|place| self.frames.get_mut(*place)).ok_or(Uncut::NoFrame)
    }

    fn finish(self) -> Result<Vec<CutFrame>, Uncut> {
        if self.open.is_empty() && !self.frames.is_empty() { Ok(self.frames) } else { Err(Uncut::NoFrame) }
    }
}

#[cfg(test)]
mod tests;
