//! Reads a range of a file block by block: from memory, or from S3 in runs of blocks that are not there.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use isotherm_cold_store::ObjectStore;
use isotherm_cold_store::objects::{ObjectError, ObjectPart};

use super::LentFile;
use super::blocks::{BLOCK_BYTES, Blocks};

/// Blocks that are asked of S3 at once: 16 MiB. A longer range is asked for in several requests, one after the other.
const LONGEST_RUN: u64 = 256;

/// Kept blocks in a row that are not asked for with those around them: 1 MiB is about what S3 sends in the time of a request.
const WORTH_A_REQUEST: u64 = 16;

/// A range on its way; holds one block at a time.
#[derive(Debug)]
pub(super) struct Reading {
    blocks: Arc<Blocks>,
    objects: ObjectStore,
    file: Arc<LentFile>,
    /// What is still to come.
    rest: Range<u64>,
    run: Option<Run>,
}

/// Blocks that S3 sends.
#[derive(Debug)]
struct Run {
    part: ObjectPart,
    /// Received, and of the next block.
    received: Bytes,
    /// Numbers of those that are still to come.
    numbers: Range<u64>,
}

impl Reading {
    /// Of `range`, which must lie within the file.
    pub(super) fn of(blocks: &Arc<Blocks>, objects: &ObjectStore, file: &Arc<LentFile>, range: Range<u64>) -> Self {
        let (blocks, objects, file) = (Arc::clone(blocks), objects.clone(), Arc::clone(file));
        Self { blocks, objects, file, rest: range, run: None }
    }

    /// The next bytes, a block at most; `None` at the end.
    ///
    /// # Errors
    /// [`ObjectError::Changed`] if the object is not the one any more that was looked up, or shorter than it says; else what S3
    /// reports.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let number = self.rest.start / BLOCK_BYTES;
        let kept = if self.run.is_none() { self.blocks.get(&self.file.id, number) } else { None };
        let block = match kept {
            Some(block) => block,
            None => self.receive(number).await?,
        };
        let first = number * BLOCK_BYTES;
        let end = (first + block.len() as u64).min(self.rest.end);
        let within = |place: u64| usize::try_from(place - first).unwrap_or(usize::MAX);
        let piece = block.slice(within(self.rest.start)..within(end));
        self.rest.start = end;
        Ok(Some(piece))
    }

    /// Whether nothing is to come.
    pub(super) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// The block `number`. Where it broke off it is asked for once more, as nothing of it was passed on.
    async fn receive(&mut self, number: u64) -> Result<Bytes, ObjectError> {
        match self.receive_once(number).await {
            Err(ObjectError::Cut { .. }) => self.receive_once(number).await,
            received => received,
        }
    }

    /// The block `number`, from the run that is under way or from one that begins with it; kept from now on.
    async fn receive_once(&mut self, number: u64) -> Result<Bytes, ObjectError> {
        let mut run = match self.run.take() {
            Some(run) => run,
            None => self.ask(number).await?,
        };
        let length = self.bytes_of(&(number..number + 1));
        let length = usize::try_from(length.end - length.start).unwrap_or(usize::MAX);
        let mut block = BytesMut::with_capacity(length);
        while block.len() < length {
            if run.received.is_empty() {
                let Some(piece) = run.part.next().await? else {
                    return Err(ObjectError::Changed { key: self.file.key.clone() });
                };
                run.received = piece;
            }
            let taken = run.received.len().min(length - block.len());
            block.extend_from_slice(&run.received.split_to(taken));
        }
        let block = block.freeze();
        self.blocks.keep(&self.file.id, number, block.clone());
        run.numbers.start = number + 1;
        if !run.numbers.is_empty() {
            self.run = Some(run);
        }
        Ok(block)
    }

    /// Asks S3 for the blocks from `first` on, up to many in a row that are kept, or to those that are not needed.
    async fn ask(&self, first: u64) -> Result<Run, ObjectError> {
        let needed = first + 1..self.rest.end.div_ceil(BLOCK_BYTES).min(first + LONGEST_RUN);
        let numbers = first..end_of_run(needed, |number| self.blocks.has(&self.file.id, number));
        let bytes = self.bytes_of(&numbers);
        let part = self.objects.read_part(&self.file.key, &self.file.id.e_tag, bytes).await?;
        Ok(Run { part, received: Bytes::new(), numbers })
    }

    fn bytes_of(&self, numbers: &Range<u64>) -> Range<u64> {
        numbers.start * BLOCK_BYTES..(numbers.end * BLOCK_BYTES).min(self.file.size_bytes)
    }
}

/// Where a run ends that begins before the block `needed.start` and goes on to `needed.end` at most.
fn end_of_run(needed: Range<u64>, is_kept: impl Fn(u64) -> bool) -> u64 {
    let mut end = needed.start;
    for number in needed {
        if !is_kept(number) {
            end = number + 1;
        } else if number - end >= WORTH_A_REQUEST {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_over_few_kept_blocks_and_stops_before_many() {
        let end =
            |kept: &[(u64, u64)]| end_of_run(1..100, |number| kept.iter().any(|(a, b)| (*a..*b).contains(&number)));
        assert_eq!(end(&[]), 100);
        assert_eq!(end(&[(5, 6), (20, 30)]), 100);
        assert_eq!(end(&[(5, 60)]), 5);
        assert_eq!(end(&[(5, 6), (40, 100)]), 40, "what is kept at the end is not asked for");
        assert_eq!(end(&[(90, 100)]), 90);
        assert_eq!(end(&[(1, 100)]), 1);
        assert_eq!(end_of_run(4..4, |_| false), 4);
    }
}
