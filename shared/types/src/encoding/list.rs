//! Lists that are encoded from where they are, without a copy of them being made.

use alloy::rlp::{BufMut, Encodable, Header, encode_list, list_length};

/// A list of these items.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, T>(pub &'a [T]);

impl<T: Encodable> Encodable for List<'_, T> {
    fn encode(&self, out: &mut dyn BufMut) {
        encode_list::<T, T>(self.0, out);
    }

    fn length(&self) -> usize {
        list_length::<T, T>(self.0)
    }
}

/// A list of the items whose encodings are joined in these bytes.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a>(pub &'a [u8]);

impl Items<'_> {
    fn header(self) -> Header {
        Header { list: true, payload_length: self.0.len() }
    }
}

impl Encodable for Items<'_> {
    fn encode(&self, out: &mut dyn BufMut) {
        self.header().encode(out);
        out.put_slice(self.0);
    }

    fn length(&self) -> usize {
        self.header().length_with_payload()
    }
}

/// The RLP of one list, whose items are not looked at.
#[derive(Clone, Copy, Debug)]
pub struct EncodedList<'a>(&'a [u8]);

impl<'a> EncodedList<'a> {
    /// `None` if these bytes are not one list from end to end: beside other fields, they could pass for several.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut payload = bytes;
        let header = Header::decode(&mut payload).ok()?;
        (header.list && header.payload_length == payload.len()).then_some(Self(bytes))
    }
}

impl Encodable for EncodedList<'_> {
    fn encode(&self, out: &mut dyn BufMut) {
        out.put_slice(self.0);
    }

    fn length(&self) -> usize {
        self.0.len()
    }
}

/// The list of hashes that are joined in these bytes; `None` if the last one is cut.
pub fn joined_hashes(bytes: &[u8]) -> Option<List<'_, [u8; 32]>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then_some(List(hashes))
}

#[cfg(test)]
mod tests {
    use alloy::rlp::encode;

    use super::*;

    #[test]
    fn lists_are_encoded_as_lists_of_their_items() {
        let items: Vec<u64> = vec![0, 1, 127, 128, 1 << 40];
        let expected = encode(&items);
        let joined: Vec<u8> = items.iter().flat_map(encode).collect();
        assert_eq!(encode(List(&items)), expected);
        assert_eq!(encode(Items(&joined)), expected);
        assert_eq!(encode(EncodedList::new(&expected).unwrap()), expected);

        let hashes = vec![[1u8; 32], [2; 32], [0; 32]];
        assert_eq!(encode(joined_hashes(&hashes.concat()).unwrap()), encode(&hashes));
        for list in [encode(List::<u64>(&[])), encode(Items(&[])), encode(joined_hashes(&[]).unwrap())] {
            assert_eq!(list, [0xc0]);
        }
    }

    #[test]
    fn lengths_are_those_of_the_encodings() {
        for length in [0, 1, 55, 56, 300] {
            let bytes = vec![7u8; length];
            let list = encode(Items(&bytes));
            assert_eq!(Items(&bytes).length(), list.len());
            assert_eq!(EncodedList::new(&list).unwrap().length(), list.len());
            assert_eq!(List(&bytes).length(), encode(List(&bytes)).len());
        }
    }

    #[test]
    fn bytes_that_are_not_one_whole_list_are_none() {
        let list = encode(List(&[1u64, 2, 3]));
        let two = list.repeat(2);
        let cut = &list[..list.len() - 1];
        let longer = [&list[..], &[1]].concat();
        let wrong: [&[u8]; 7] = [&[], &[0x80], &[0x05], b"\x83abc", cut, &longer, &two];
        for bytes in wrong {
            assert!(EncodedList::new(bytes).is_none(), "{bytes:?}");
        }
        assert!(joined_hashes(&[0; 33]).is_none());
    }
}
