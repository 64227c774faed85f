//! Types of the contract ABI and how their values are read, straight into JSON.
//!
//! **Source**: the Solidity ABI specification. A word that is wider than its type must be padded as the specification
//! has it, or it is no value of the type; what follows the content of bytes and texts is not looked at, since compilers
//! have left other things there. It never trusts a length: a part is read where it is, and the words that may be read
//! in all are bounded by the data, so that offsets that point to one place many times lead nowhere.

use alloy_primitives::{I256, U256, hex};

/// Bytes of a word.
pub(super) const WORD: usize = 32;

/// How often honest data is read at most: encoders share no tails, or only those of empty values.
const READS_PER_WORD: usize = 4;

/// Words that may be read of data however short.
const SPARE_READS: usize = 64;

/// Largest integer that every reader of JSON keeps exact. **Source**: RFC 8259 §6.
const MAX_EXACT_INTEGER: u64 = 1 << 53;

/// A type, with what is needed at every value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AbiType {
    kind: Kind,
    /// Bytes in the head of what holds it.
    head_bytes: usize,
    /// Whether its head is an offset.
    is_dynamic: bool,
}

/// A named part of a tuple, or a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) abi_type: AbiType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Word(Word),
    Bytes,
    Text,
    List(Box<AbiType>),
    Array(Box<AbiType>, usize),
    Tuple(Vec<Field>),
}

/// Types whose value is one word. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Address,
    Bool,
    Uint(usize),
    Int(usize),
    Bytes(usize),
}

impl AbiType {
    pub(super) fn word(word: Word) -> Self {
        Self { kind: Kind::Word(word), head_bytes: WORD, is_dynamic: false }
    }

    pub(super) fn bytes() -> Self {
        Self { kind: Kind::Bytes, head_bytes: WORD, is_dynamic: true }
    }

    pub(super) fn text() -> Self {
        Self { kind: Kind::Text, head_bytes: WORD, is_dynamic: true }
    }

    pub(super) fn list(item: Self) -> Self {
        Self { kind: Kind::List(Box::new(item)), head_bytes: WORD, is_dynamic: true }
    }

    /// `length` is at least 1, so that every item has bytes.
    pub(super) fn array(item: Self, length: usize) -> Self {
        let is_dynamic = item.is_dynamic;
        let head_bytes = if is_dynamic { WORD } else { item.head_bytes.saturating_mul(length) };
        Self { kind: Kind::Array(Box::new(item), length), head_bytes, is_dynamic }
    }

    /// `fields` are at least one.
    pub(super) fn tuple(fields: Vec<Field>) -> Self {
        let is_dynamic = fields.iter().any(|field| field.abi_type.is_dynamic);
        let heads = fields.iter().fold(0, |sum: usize, field| sum.saturating_add(field.abi_type.head_bytes));
        let head_bytes = if is_dynamic { WORD } else { heads };
        Self { kind: Kind::Tuple(fields), head_bytes, is_dynamic }
    }

    /// Bytes in the head of what holds it.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Its name in a canonical signature.
    pub(super) fn canonical(&self) -> String {
        match &self.kind {
            Kind::Word(Word::Address) => "address".to_owned(),
            Kind::Word(Word::Bool) => "bool".to_owned(),
            Kind::Word(Word::Uint(size)) => format!("uint{}", size * 8),
            Kind::Word(Word::Int(size)) => format!("int{}", size * 8),
            Kind::Word(Word::Bytes(size)) => format!("bytes{size}"),
            Kind::Bytes => "bytes".to_owned(),
            Kind::Text => "string".to_owned(),
            Kind::List(item) => format!("{}[]", item.canonical()),
            Kind::Array(item, length) => format!("{}[{length}]", item.canonical()),
            Kind::Tuple(fields) => {
                let types: Vec<String> = fields.iter().map(|field| field.abi_type.canonical()).collect();
                format!("({})", types.join(","))
            }
        }
    }

    /// The value of an indexed parameter as JSON: a word's own, the hash of anything longer.
    pub(super) fn of_topic(&self, topic: &[u8; WORD]) -> Option<String> {
        match &self.kind {
            Kind::Word(word) => word.json(topic),
            _ => Some(quoted_hex(topic)),
        }
    }
}

/// Reads values of one piece of data.
pub(super) struct Reader<'a> {
    data: &'a [u8],
    reads_left: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, reads_left: data.len() / WORD * READS_PER_WORD + SPARE_READS }
    }

    /// Writes the value whose head is at `head` to `out`. Offsets count from `base`. `None` if there is no such value;
    /// `out` then holds a part of something.
    pub(super) fn value(&mut self, abi_type: &AbiType, base: usize, head: usize, out: &mut String) -> Option<()> {
        let start = if abi_type.is_dynamic { base.checked_add(self.length(head)?)? } else { head };
        match &abi_type.kind {
            Kind::Word(word) => out.push_str(&word.json(self.word(start)?)?),
            Kind::Bytes => out.push_str(&quoted_hex(self.counted(start)?)),
            Kind::Text => {
                let text = String::from_utf8_lossy(self.counted(start)?);
                out.push_str(&serde_json::to_string(&text).ok()?);
            }
            Kind::List(item) => {
                let count = self.length(start)?;
                self.items(item, count, start.checked_add(WORD)?, out)?;
            }
            Kind::Array(item, count) => self.items(item, *count, start, out)?,
            Kind::Tuple(fields) => self.fields(fields, start, out)?,
        }
        Some(())
    }

    /// Writes an object of `fields`, whose heads follow each other from `start`.
    pub(super) fn fields(&mut self, fields: &[Field], start: usize, out: &mut String) -> Option<()> {
        let mut head = start;
        out.push('{');
        for (i, field) in fields.iter().enumerate() {
            push_key(out, i == 0, &field.name);
            self.value(&field.abi_type, start, head, out)?;
            head = head.checked_add(field.abi_type.head_bytes)?;
        }
        out.push('}');
        Some(())
    }

    fn items(&mut self, item: &AbiType, count: usize, start: usize, out: &mut String) -> Option<()> {
        let mut head = start;
        out.push('[');
        for i in 0..count {
            if i > 0 {
                out.push(',');
            }
            self.value(item, start, head, out)?;
            head = head.checked_add(item.head_bytes)?;
        }
        out.push(']');
        Some(())
    }

    fn word(&mut self, at: usize) -> Option<&'a [u8; WORD]> {
        self.reads_left = self.reads_left.checked_sub(1)?;
        self.data.get(at..)?.first_chunk()
    }

    /// A length or an offset: a word no larger than the data, since everything that is counted has bytes.
    fn length(&mut self, at: usize) -> Option<usize> {
        let length = usize::try_from(U256::from_be_bytes(*self.word(at)?)).ok()?;
        (length <= self.data.len()).then_some(length)
    }

    /// The bytes after their length.
    fn counted(&mut self, at: usize) -> Option<&'a [u8]> {
        let length = self.length(at)?;
        self.reads_left = self.reads_left.checked_sub(length / WORD)?;
        self.data.get(at.checked_add(WORD)?..)?.get(..length)
    }
}

impl Word {
    /// The value as JSON; `None` if the word's padding is not that of the type.
    fn json(self, word: &[u8; WORD]) -> Option<String> {
        let is_padding = |bytes: &[u8], fill: u8| bytes.iter().all(|byte| *byte == fill);
        match self {
            Self::Address => {
                let (padding, address) = word.split_at(WORD - 20);
                is_padding(padding, 0).then(|| quoted_hex(address))
            }
            Self::Bool => {
                let (padding, value) = word.split_at(WORD - 1);
                (is_padding(padding, 0) && value[0] <= 1).then(|| (value[0] == 1).to_string())
            }
            Self::Uint(size) => is_padding(&word[..WORD - size], 0).then(|| unsigned(U256::from_be_bytes(*word))),
            Self::Int(size) => {
                let (padding, number) = word.split_at(WORD - size);
                let fill = if number[0] & 0x80 == 0 { 0 } else { 0xff };
                is_padding(padding, fill).then(|| signed(I256::from_raw(U256::from_be_bytes(*word))))
            }
            Self::Bytes(size) => {
                let (bytes, padding) = word.split_at(size);
                is_padding(padding, 0).then(|| quoted_hex(bytes))
            }
        }
    }
}

/// Begins the next entry of an object. Names are made of letters, digits, `_` and `$`.
pub(super) fn push_key(out: &mut String, is_first: bool, name: &str) {
    if !is_first {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

fn unsigned(number: U256) -> String {
    if number <= U256::from(MAX_EXACT_INTEGER) { number.to_string() } else { format!("\"{number}\"") }
}

fn signed(number: I256) -> String {
    if number.unsigned_abs() <= U256::from(MAX_EXACT_INTEGER) { number.to_string() } else { format!("\"{number}\"") }
}

fn quoted_hex(bytes: &[u8]) -> String {
    format!("\"0x{}\"", hex::encode(bytes))
}

#[cfg(test)]
mod tests;
