//! Signatures of events and functions as people write them: `Transfer(address indexed from, address indexed to,
//! uint256 value)`, with or without names, with or without the word `event` or `function` before them.
//!
//! **Source**: the grammar of Solidity and the ABI specification's canonical form. Pure.

use alloy_primitives::{B256, keccak256};

use super::abi::{AbiType, Field, Word};

/// Bytes of a signature at most.
const MAX_BYTES: usize = 4096;

/// Characters of a name at most.
const MAX_NAME: usize = 128;

/// Brackets inside each other at most: bounds the recursion of everything that follows a type.
const MAX_DEPTH: usize = 16;

/// Words that may follow the parameters of a function.
const FUNCTION_WORDS: [&str; 6] = ["external", "nonpayable", "payable", "public", "pure", "view"];

/// Words between a type and a name that say where a value is.
const LOCATIONS: [&str; 3] = ["calldata", "memory", "storage"];

/// An event or a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    /// Whether its logs lack the topic of the event.
    pub(super) is_anonymous: bool,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) field: Field,
    pub(super) is_indexed: bool,
}

/// Where and why a signature is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is wrong after {position} bytes: {problem}")]
pub(super) struct SignatureError {
    position: usize,
    problem: &'static str,
}

impl Signature {
    /// Reads a signature.
    ///
    /// # Errors
    /// [`SignatureError`] at the first place that does not fit.
    pub(super) fn parse(text: &str) -> Result<Self, SignatureError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        if text.len() > MAX_BYTES {
            return Err(SignatureError { position: MAX_BYTES, problem: "it is longer than 4096 bytes" });
        }
        parser.signature()
    }

    /// `Transfer(address,address,uint256)`.
    pub(super) fn canonical(&self) -> String {
        let types: Vec<String> = self.parameters.iter().map(|parameter| parameter.field.abi_type.canonical()).collect();
        format!("{}({})", self.name, types.join(","))
    }

    /// The hash of the canonical form: an event's topic, and the first four bytes of a function's calls.
    pub(super) fn hash(&self) -> B256 {
        keccak256(self.canonical())
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn signature(&mut self) -> Result<Signature, SignatureError> {
        let mut name = self.word().ok_or_else(|| self.error("a name is expected"))?;
        if matches!(name, "event" | "function")
            && let Some(next) = self.word()
        {
            name = next;
        }
        let parameters = self.parameters(true)?;
        let mut is_anonymous = false;
        while let Some(word) = self.word() {
            match word {
                "anonymous" => is_anonymous = true,
                "returns" => drop(self.parameters(false)?),
                word if FUNCTION_WORDS.contains(&word) => {}
                _ => return Err(self.error("this word does not belong after the parameters")),
            }
        }
        self.eat(';');
        self.skip_spaces();
        if self.at < self.text.len() {
            return Err(self.error("nothing more is expected"));
        }
        Ok(Signature { name: name.to_owned(), parameters, is_anonymous })
    }

    /// A list in brackets, which may be empty. Parameters without a name are called `arg0`, `arg1` and so on.
    fn parameters(&mut self, may_be_indexed: bool) -> Result<Vec<Parameter>, SignatureError> {
        if !self.eat('(') {
            return Err(self.error("( is expected"));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("more than 16 brackets stand inside each other"));
        }
        let mut parameters: Vec<Parameter> = Vec::new();
        if !self.eat(')') {
            loop {
                let parameter = self.parameter(parameters.len(), may_be_indexed)?;
                if parameters.iter().any(|other| other.field.name == parameter.field.name) {
                    return Err(self.error("two parameters have this name"));
                }
                parameters.push(parameter);
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.error(", or ) is expected"));
                }
            }
        }
        self.depth -= 1;
        Ok(parameters)
    }

    fn parameter(&mut self, place: usize, may_be_indexed: bool) -> Result<Parameter, SignatureError> {
        let abi_type = self.abi_type()?;
        let mut next = self.word();
        let is_indexed = may_be_indexed && next == Some("indexed");
        if is_indexed || next.is_some_and(|word| LOCATIONS.contains(&word)) {
            next = self.word();
        }
        let name = next.map_or_else(|| format!("arg{place}"), str::to_owned);
        if name.len() > MAX_NAME {
            return Err(self.error("this name is longer than 128 bytes"));
        }
        Ok(Parameter { field: Field { name, abi_type }, is_indexed })
    }

    fn abi_type(&mut self) -> Result<AbiType, SignatureError> {
        self.skip_spaces();
        let start = self.at;
        let word = self.word();
        let mut abi_type = match word {
            None | Some("tuple") => {
                let parts = self.parameters(false)?;
                if parts.is_empty() {
                    return Err(self.error("a tuple has at least one part"));
                }
                AbiType::tuple(parts.into_iter().map(|part| part.field).collect())
            }
            Some(word) => elementary(word)
                .ok_or(SignatureError { position: start, problem: "no type of the ABI has this name" })?,
        };
        if word == Some("address") {
            self.eat_word("payable");
        }
        let mut suffixes = 0;
        while self.eat('[') {
            suffixes += 1;
            if self.depth + suffixes > MAX_DEPTH {
                return Err(self.error("more than 16 brackets stand inside each other"));
            }
            abi_type = match self.digits()? {
                None => AbiType::list(abi_type),
                Some(0) => return Err(self.error("an array has at least one item")),
                Some(length) => AbiType::array(abi_type, length),
            };
            if !self.eat(']') {
                return Err(self.error("] is expected"));
            }
        }
        Ok(abi_type)
    }

    fn digits(&mut self) -> Result<Option<usize>, SignatureError> {
        self.skip_spaces();
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if length == 0 {
            return Ok(None);
        }
        let number = rest[..length].parse().map_err(|_| self.error("this length is too large"))?;
        self.at += length;
        Ok(Some(number))
    }

    /// The next name or word of the language.
    fn word(&mut self) -> Option<&'a str> {
        self.skip_spaces();
        let rest = self.rest();
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
        let word = &rest[..rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())];
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.at += word.len();
        Some(word)
    }

    fn eat_word(&mut self, word: &str) {
        let before = self.at;
        if self.word() != Some(word) {
            self.at = before;
        }
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip_spaces();
        let is_next = self.rest().starts_with(c);
        if is_next {
            self.at += c.len_utf8();
        }
        is_next
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, problem: &'static str) -> SignatureError {
        SignatureError { position: self.at, problem }
    }
}

/// The type of one name, such as `uint8`.
fn elementary(name: &str) -> Option<AbiType> {
    let word = match name {
        "address" => Word::Address,
        "bool" => Word::Bool,
        "uint" => Word::Uint(32),
        "int" => Word::Int(32),
        "bytes" => return Some(AbiType::bytes()),
        "string" => return Some(AbiType::text()),
        _ => {
            let digits = name.find(|c: char| c.is_ascii_digit())?;
            let (kind, digits) = name.split_at(digits);
            let size: usize = digits.parse().ok().filter(|_| !digits.starts_with('0'))?;
            match kind {
                "bytes" if (1..=32).contains(&size) => Word::Bytes(size),
                "uint" if size.is_multiple_of(8) && (8..=256).contains(&size) => Word::Uint(size / 8),
                "int" if size.is_multiple_of(8) && (8..=256).contains(&size) => Word::Int(size / 8),
                _ => return None,
            }
        }
    };
    Some(AbiType::word(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_as_people_write_them_have_one_canonical_form() {
        let table = [
            ("Transfer(address,address,uint256)", "Transfer(address,address,uint256)"),
            (
                "event Transfer(address indexed from, address indexed to, uint256 value);",
                "Transfer(address,address,uint256)",
            ),
            ("function transfer(address payable to, uint amount) external returns (bool)", "transfer(address,uint256)"),
            ("f()", "f()"),
            ("  f ( bytes calldata data , string memory s )  ", "f(bytes,string)"),
            ("f((int,bytes32[])[2][] orders, tuple(bool ok) t)", "f((int256,bytes32[])[2][],(bool))"),
            ("event E(uint8 a) anonymous", "E(uint8)"),
            ("event(uint8)", "event(uint8)"),
            ("f(address indexed)", "f(address)"),
        ];
        for (text, canonical) in table {
            assert_eq!(Signature::parse(text).map(|signature| signature.canonical()).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn names_and_places_are_kept() {
        let signature = Signature::parse("E(address indexed from, uint256, bytes32 indexed)").unwrap();
        let names: Vec<_> =
            signature.parameters.iter().map(|each| (each.field.name.as_str(), each.is_indexed)).collect();
        assert_eq!(names, [("from", true), ("arg1", false), ("arg2", true)]);
        assert!(Signature::parse("event E() anonymous").unwrap().is_anonymous);
    }

    #[test]
    fn a_wrong_signature_says_where() {
        let deep = format!("f({}uint{})", "(".repeat(16), ")".repeat(16));
        let suffixes = format!("f(uint{})", "[]".repeat(16));
        let long = format!("f({})", " ".repeat(5000));
        let table = [
            ("", 0),
            ("(address)", 0),
            ("transfer", 8),
            ("transfer(address to, uint257 amount)", 21),
            ("transfer(adress to)", 9),
            ("transfer(address to", 19),
            ("transfer(address to uint256)", 20),
            ("transfer(address,)", 17),
            ("f(uint256[0])", 11),
            ("f(uint256[99999999999999999999])", 10),
            ("f(uint256[1)", 11),
            ("f(())", 4),
            ("f(uint a, uint a)", 16),
            ("f(uint, uint arg0)", 17),
            ("f(uint08 a)", 2),
            ("f() nonsense", 12),
            ("f() f()", 5),
            ("f(é)", 2),
            (deep.as_str(), 18),
            (suffixes.as_str(), 37),
            (long.as_str(), 4096),
        ];
        for (text, position) in table {
            let error = Signature::parse(text).expect_err(text);
            assert_eq!(error.position, position, "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[(), \\[\\]a-z0-9é]{0,40}") {
            drop(Signature::parse(&text));
        }
    }
}
