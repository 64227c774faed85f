//! The body of an answer as it comes in: decoded, and cut where it is too long.
//!
//! What counts are the bytes after decoding, as those are kept; and what comes over the wire besides, since gzip can go
//! on for ever without telling anything. Pure; it must never keep more than it may, and never guess at an encoding.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// Most bytes that room is made for before they come: a header may promise any number of them.
const RESERVED_BYTES: usize = 16 << 20;

/// How a body is encoded. Source: RFC 9110, 8.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// What `headers` say; `None` if it is an encoding that nobody asked for.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut named = headers.get_all(CONTENT_ENCODING).iter();
        let (Some(first), None) = (named.next(), named.next()) else {
            return headers.get(CONTENT_ENCODING).is_none().then_some(Self::Identity);
        };
        let is = |name: &[u8]| first.as_bytes().trim_ascii().eq_ignore_ascii_case(name);
        if is(b"gzip") || is(b"x-gzip") {
            return Some(Self::Gzip);
        }
        is(b"identity").then_some(Self::Identity)
    }
}

/// Why a body cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is longer than it may be.
    TooLong,
    /// It is not what its encoding says, or breaks off.
    Undecodable,
}

/// A body, as far as it has come.
pub(super) struct Incoming {
    most_bytes: usize,
    wire_bytes: usize,
    form: Form,
}

enum Form {
    Plain(Kept),
    Gzip(Box<MultiGzDecoder<Kept>>),
}

impl Incoming {
    /// Nothing yet of a body that may have `most_bytes`; `expected_bytes` are likely to come over the wire.
    pub(super) fn new(encoding: Encoding, most_bytes: usize, expected_bytes: usize) -> Self {
        let reserved_bytes = expected_bytes.min(most_bytes).min(RESERVED_BYTES);
        let kept = Kept { bytes: Vec::with_capacity(reserved_bytes), most_bytes, is_over: false };
        let form = match encoding {
            Encoding::Identity => Form::Plain(kept),
            Encoding::Gzip => Form::Gzip(Box::new(MultiGzDecoder::new(kept))),
        };
        Self { most_bytes, wire_bytes: 0, form }
    }

    /// Takes what comes next. After an error the body is of no use.
    ///
    /// # Errors
    /// [`Unfit`].
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Unfit> {
        self.wire_bytes = self.wire_bytes.saturating_add(chunk.len());
        if self.wire_bytes > self.most_bytes {
            return Err(Unfit::TooLong);
        }
        match &mut self.form {
            Form::Plain(kept) => kept.write_all(chunk).map_err(|_| Unfit::TooLong),
            Form::Gzip(decoder) => {
                let written = decoder.write_all(chunk);
                written.map_err(|_| decoder.get_ref().unfit())
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Unfit`]; gzip breaks off where its checksum is not there.
    pub(super) fn finish(self) -> Result<Vec<u8>, Unfit> {
        match self.form {
            Form::Plain(kept) => Ok(kept.bytes),
            Form::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => decoder.finish().map(|kept| kept.bytes).map_err(|_| Unfit::Undecodable),
                Err(_) => Err(decoder.get_ref().unfit()),
            },
        }
    }
}

/// Bytes that are kept, up to a bound.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    most_bytes: usize,
    /// More came than may be kept.
    is_over: bool,
}

impl Kept {
    /// Why no more could be written.
    fn unfit(&self) -> Unfit {
        if self.is_over { Unfit::TooLong } else { Unfit::Undecodable }
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most_bytes {
            self.is_over = true;
            return Err(io::Error::other("the body is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use reqwest::header::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes of a body that comes in pieces of `piece` bytes, and the bytes that are kept when it ends.
    fn read(encoding: Encoding, body: &[u8], piece: usize, most_bytes: usize) -> (Result<Vec<u8>, Unfit>, usize) {
        let mut incoming = Incoming::new(encoding, most_bytes, 0);
        let pushed = body.chunks(piece).try_for_each(|chunk| incoming.push(chunk));
        let kept = match &incoming.form {
            Form::Plain(kept) => kept.bytes.len(),
            Form::Gzip(decoder) => decoder.get_ref().bytes.len(),
        };
        (pushed.and_then(|()| incoming.finish()), kept)
    }

    #[test]
    fn a_body_is_the_same_whether_it_was_compressed_or_not_and_however_it_is_cut() {
        let text = br#"{"jsonrpc":"2.0","id":0,"result":null}"#.repeat(500);
        for piece in [1, 7, 1 << 20] {
            assert_eq!(read(Encoding::Identity, &text, piece, text.len()).0.as_ref(), Ok(&text));
            assert_eq!(read(Encoding::Gzip, &gzip(&text), piece, text.len()).0.as_ref(), Ok(&text));
            let members = [gzip(&text[..99]), gzip(&text[99..])].concat();
            assert_eq!(read(Encoding::Gzip, &members, piece, text.len()).0.as_ref(), Ok(&text));
        }
    }

    #[test]
    fn a_compressed_body_is_cut_at_the_bytes_that_it_decodes_to() {
        let text = vec![b' '; 1 << 20];
        let bomb = gzip(&text);
        assert!(bomb.len() < 4096, "{}", bomb.len());
        for piece in [64, 1 << 20] {
            let (found, kept) = read(Encoding::Gzip, &bomb, piece, 10_000);
            assert_eq!(found, Err(Unfit::TooLong));
            assert!(kept <= 10_000, "{kept}");
            assert_eq!(read(Encoding::Gzip, &bomb, piece, text.len() - 1).0, Err(Unfit::TooLong));
        }
        assert_eq!(read(Encoding::Identity, &text, 64, text.len() - 1).0, Err(Unfit::TooLong));
    }

    #[test]
    fn what_decodes_to_nothing_is_cut_at_the_bytes_that_come() {
        let nothing = gzip(b"").repeat(1000);
        assert_eq!(read(Encoding::Gzip, &nothing, 64, nothing.len()).0, Ok(Vec::new()));
        assert_eq!(read(Encoding::Gzip, &nothing, 64, nothing.len() - 1).0, Err(Unfit::TooLong));
    }

    #[test]
    fn room_is_made_for_what_comes_and_not_for_what_is_promised() {
        for encoding in [Encoding::Identity, Encoding::Gzip] {
            let incoming = Incoming::new(encoding, usize::MAX, usize::MAX);
            let kept = match &incoming.form {
                Form::Plain(kept) => kept,
                Form::Gzip(decoder) => decoder.get_ref(),
            };
            assert!(kept.bytes.capacity() <= RESERVED_BYTES, "{}", kept.bytes.capacity());
        }
    }

    #[test]
    fn what_is_not_whole_gzip_is_no_body() {
        let whole = gzip(&b"0123456789".repeat(99));
        let mut altered = whole.clone();
        let checksum = altered.len() - 8;
        altered[checksum] ^= 1;
        let trailing = [whole.as_slice(), b"}"].concat();
        let cut = whole[..whole.len() / 2].to_vec();
        for wrong in [b"{}".to_vec(), Vec::new(), cut, whole[..checksum].to_vec(), altered, trailing] {
            for piece in [1, 1 << 20] {
                let (found, _) = read(Encoding::Gzip, &wrong, piece, 1 << 20);
                assert_eq!(found, Err(Unfit::Undecodable), "{wrong:?}");
            }
        }
    }

    #[test]
    fn an_encoding_is_told_by_its_header_alone() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            Encoding::of(&headers)
        };
        assert_eq!([of(&[]), of(&["identity"])], [Some(Encoding::Identity); 2]);
        assert_eq!([of(&["gzip"]), of(&[" GZip "]), of(&["x-gzip"])], [Some(Encoding::Gzip); 3]);
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["identity", "gzip"], &[""]] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }
}
