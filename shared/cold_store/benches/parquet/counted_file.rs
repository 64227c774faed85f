//! A file of which only what is asked for counts as read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf as _, Bytes};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A file in memory, and the bytes that were read of it and of others with the same count.
#[derive(Clone, Debug)]
pub(crate) struct CountedFile {
    bytes: Bytes,
    read: Arc<AtomicU64>,
}

impl CountedFile {
    pub(crate) fn new(bytes: Bytes, read: Arc<AtomicU64>) -> Self {
        Self { bytes, read }
    }

    /// The rest of the file from `start`.
    fn rest(&self, start: u64) -> Result<Bytes> {
        let start = usize::try_from(start).ok().filter(|start| *start <= self.bytes.len());
        let start = start.ok_or_else(|| ParquetError::EOF("the range begins behind the end of the file".to_owned()))?;
        Ok(self.bytes.slice(start..))
    }
}

impl Length for CountedFile {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl ChunkReader for CountedFile {
    type T = CountedRead;

    fn get_read(&self, start: u64) -> Result<CountedRead> {
        Ok(CountedRead { rest: self.rest(start)?.reader(), read: Arc::clone(&self.read) })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.rest(start)?;
        if rest.len() < length {
            return Err(ParquetError::EOF("the range ends behind the end of the file".to_owned()));
        }
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(rest.slice(..length))
    }
}

/// Reads on from a place of the file.
pub(crate) struct CountedRead {
    rest: bytes::buf::Reader<Bytes>,
    read: Arc<AtomicU64>,
}

impl Read for CountedRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.rest.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}
