//! Signatures of events and calls: what they select, and how the rows that they select are decoded.
//!
//! Pure. The ABI is read and applied by alloy; what is bounded here is what a row that somebody made on purpose can cost.
//! A row that the signature selects and that does not decode is no match: the two `Transfer` events, of ERC-20 and of ERC-721, differ
//! in nothing but which parameters are indexed.

use std::sync::Arc;

use alloy_dyn_abi::{DynSolEvent, DynSolType, DynSolValue, Specifier};
use alloy_json_abi::{Event, Function};
use alloy_primitives::{B256, Selector};

use crate::condition::{Mistake, ParameterName, Type};
use crate::definition::Position;

mod measure;
mod values;

pub(crate) use values::value_of;

/// Most parameters of a signature.
const MAX_PARAMETERS: usize = 32;

/// Deepest type, as `uint256[][]` is 2 deep.
const MAX_TYPE_DEPTH: usize = 4;

/// Most words that the parameters take at least: arrays of a fixed length are made before they are filled.
const MAX_HEAD_WORDS: usize = 256;

/// What a signature selects by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The first topic of logs.
    Topic(B256),
    /// The first bytes of the call data.
    Selector(Selector),
}

/// The signature of an event or a call.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    /// Its name, without parameters.
    pub(crate) name: String,
    pub(crate) key: Key,
    /// Names and types of the parameters, in order.
    pub(crate) parameters: Vec<ParameterName>,
    pub(crate) decoder: Arc<Decoder>,
    /// Signatures of which this is the same decode alike, whatever their parameters are called.
    pub(crate) shape: String,
}

/// How rows are decoded. Rules whose signatures have the same types share one.
#[derive(Debug, PartialEq)]
pub(crate) enum Decoder {
    Event {
        event: DynSolEvent,
        /// Which parameters are indexed, in order.
        indexed: Vec<bool>,
    },
    Call(DynSolType),
}

impl Signature {
    /// Reads the signature of an event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_event(text: &str) -> Result<Self, Mistake> {
        check_brackets(text)?;
        let event = Event::parse(text).map_err(|error| unreadable(text, &error.to_string()))?;
        if event.anonymous {
            return Err(whole("an anonymous event has no topic to find it by; use `dataset: logs` with `address`"));
        }
        let indexed: Vec<bool> = event.inputs.iter().map(|input| input.indexed).collect();
        if indexed.iter().filter(|indexed| **indexed).count() > 3 {
            return Err(whole("an event has three indexed parameters at most"));
        }
        let types = resolve(text, event.inputs.iter().map(|input| (input.name.as_str(), input.resolve())))?;
        let parameters = types
            .iter()
            .zip(&indexed)
            .map(|((name, kind), indexed)| ParameterName {
                name: name.clone(),
                kind: type_of_parameter(kind, *indexed),
            })
            .collect();
        let part = |wanted: bool| {
            let chosen = types.iter().zip(&indexed).filter(|(_, indexed)| **indexed == wanted);
            chosen.map(|((_, kind), _)| kind.clone()).collect::<Vec<_>>()
        };
        let topic = event.selector();
        let shape = format!("{} {indexed:?}", event.signature());
        let decoded = DynSolEvent::new_unchecked(Some(topic), part(true), DynSolType::Tuple(part(false)));
        let decoder = Arc::new(Decoder::Event { event: decoded, indexed });
        Ok(Self { name: event.name, key: Key::Topic(topic), parameters, decoder, shape })
    }

    /// Reads the signature of a call.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_call(text: &str) -> Result<Self, Mistake> {
        check_brackets(text)?;
        let function = Function::parse(text).map_err(|error| unreadable(text, &error.to_string()))?;
        let types = resolve(text, function.inputs.iter().map(|input| (input.name.as_str(), input.resolve())))?;
        let parameters =
            types.iter().map(|(name, kind)| ParameterName { name: name.clone(), kind: type_of(kind) }).collect();
        let (selector, shape) = (function.selector(), function.signature());
        let tuple = DynSolType::Tuple(types.into_iter().map(|(_, kind)| kind).collect());
        Ok(Self {
            name: function.name,
            key: Key::Selector(selector),
            parameters,
            decoder: Arc::new(Decoder::Call(tuple)),
            shape,
        })
    }
}

impl Decoder {
    /// The parameters of a log, in the signature's order; `None` if it is not one of these.
    pub(crate) fn decode_log<'row>(
        &self,
        topics: impl Iterator<Item = &'row [u8]>,
        data: &[u8],
    ) -> Option<Vec<DynSolValue>> {
        let Self::Event { event, indexed } = self else { return None };
        if !measure::is_small(event.body(), data) {
            return None;
        }
        let topics = topics.filter(|topic| topic.len() == 32).map(B256::from_slice);
        let decoded = event.decode_log_parts(topics, data).ok()?;
        let (mut of_topics, mut of_data) = (decoded.indexed.into_iter(), decoded.body.into_iter());
        indexed.iter().map(|indexed| if *indexed { of_topics.next() } else { of_data.next() }).collect()
    }

    /// The parameters of a call, in the signature's order; `None` if `input` is not one of these.
    pub(crate) fn decode_call(&self, input: &[u8]) -> Option<Vec<DynSolValue>> {
        let Self::Call(kind) = self else { return None };
        let data = input.get(4..)?;
        if !measure::is_small(kind.as_tuple()?, data) {
            return None;
        }
        match kind.abi_decode_sequence(data).ok()? {
            DynSolValue::Tuple(values) => Some(values),
            _ => None,
        }
    }
}

/// A mistake of the signature as a whole.
fn whole(message: impl Into<String>) -> Mistake {
    Mistake { position: Position::START, message: message.into() }
}

/// The reader of signatures recurses.
fn check_brackets(text: &str) -> Result<(), Mistake> {
    let mut open = 0usize;
    for (offset, letter) in text.char_indices() {
        match letter {
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > 2 * MAX_TYPE_DEPTH {
            let position = Position::of(text, offset);
            return Err(Mistake { position, message: "so many brackets are nested in no signature".to_owned() });
        }
    }
    Ok(())
}

/// The reader shows the text with a mark below the place, and says what it wanted in the last line.
fn unreadable(text: &str, error: &str) -> Mistake {
    let mark = error.lines().find(|line| line.trim() == "^").map_or(0, |line| line.len() - 1);
    let offset = text.char_indices().nth(mark).map_or(text.len(), |(offset, _)| offset);
    let reason = error.lines().last().map(str::trim).filter(|reason| !reason.is_empty() && *reason != "^");
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let example = "Transfer(address indexed from, address indexed to, uint256 value)";
    Mistake {
        position: Position::of(text, offset),
        message: format!("it is no signature{reason}; one looks like {example}"),
    }
}

/// Names and types of the parameters, checked.
fn resolve<'a>(
    text: &str,
    parameters: impl Iterator<Item = (&'a str, alloy_dyn_abi::Result<DynSolType>)>,
) -> Result<Vec<(String, DynSolType)>, Mistake> {
    let mut resolved: Vec<(String, DynSolType)> = Vec::new();
    let mut words = 0usize;
    for (place, (name, kind)) in parameters.enumerate() {
        let name = if name.is_empty() { format!("arg{place}") } else { name.to_owned() };
        let at = |message: String| Mistake { position: beginning_of(text, place), message };
        let kind = kind.map_err(|error| at(format!("the type of `{name}` is unknown: {error}")))?;
        words = words.saturating_add(kind.minimum_words());
        if kind.nesting_depth() > MAX_TYPE_DEPTH || words > MAX_HEAD_WORDS || kind.is_zst() {
            return Err(at(format!("the type of `{name}` is too large, too deep, or empty")));
        }
        if resolved.iter().any(|(other, _)| *other == name) {
            return Err(at(format!("two parameters are called `{name}`")));
        }
        resolved.push((name, kind));
    }
    if resolved.len() > MAX_PARAMETERS {
        return Err(whole(format!("it has {} parameters, and may have {MAX_PARAMETERS}", resolved.len())));
    }
    Ok(resolved)
}

/// Where the parameter at `place`, from 0, begins in a signature that was read.
fn beginning_of(text: &str, place: usize) -> Position {
    let (mut open, mut passed) = (0usize, 0usize);
    for (offset, letter) in text.char_indices() {
        match letter {
            ',' if open == 1 => passed += 1,
            _ if open == 1 && passed == place && !letter.is_whitespace() => return Position::of(text, offset),
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    Position::START
}

/// Of an indexed parameter of a type that does not fit a topic there is the hash only.
fn type_of_parameter(kind: &DynSolType, indexed: bool) -> Type {
    match kind {
        DynSolType::Array(_)
        | DynSolType::FixedArray(..)
        | DynSolType::Tuple(_)
        | DynSolType::Bytes
        | DynSolType::String
            if indexed =>
        {
            Type::Bytes(Some(32))
        }
        _ => type_of(kind),
    }
}

fn type_of(kind: &DynSolType) -> Type {
    match kind {
        DynSolType::Bool => Type::Bool,
        DynSolType::Int(_) | DynSolType::Uint(_) => Type::Int,
        DynSolType::FixedBytes(length) => Type::Bytes(Some(*length)),
        DynSolType::Address => Type::Bytes(Some(20)),
        DynSolType::Function => Type::Bytes(Some(24)),
        DynSolType::Bytes => Type::Bytes(None),
        DynSolType::String => Type::Text,
        DynSolType::Array(element) | DynSolType::FixedArray(element, _) => Type::List(Box::new(type_of(element))),
        DynSolType::Tuple(parts) => Type::Tuple(parts.iter().map(type_of).collect()),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, address, hex, keccak256};

    use super::*;

    const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

    #[test]
    fn a_signature_selects_by_its_hash_and_names_its_parameters() {
        let event = Signature::of_event(TRANSFER).unwrap();
        assert_eq!(event.key, Key::Topic(keccak256("Transfer(address,address,uint256)")));
        let names: Vec<_> = event.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!((event.name.as_str(), names), ("Transfer", vec!["from", "to", "value"]));
        // Source: ERC-20, `transfer(address,uint256)`.
        let call = Signature::of_call("transfer(address to, uint256)").unwrap();
        assert_eq!(call.key, Key::Selector(Selector::from(hex!("a9059cbb"))));
        assert_eq!(call.parameters[1], ParameterName { name: "arg1".to_owned(), kind: Type::Int });
        let hashed = Signature::of_event("Note(string indexed text, bytes data, uint8[] codes)").unwrap();
        let kinds: Vec<_> = hashed.parameters.into_iter().map(|parameter| parameter.kind).collect();
        assert_eq!(kinds, [Type::Bytes(Some(32)), Type::Bytes(None), Type::List(Box::new(Type::Int))]);
    }

    #[test]
    fn a_log_decodes_only_by_the_signature_that_it_was_made_by() {
        let (from, to) = (address!("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed").into_word(), B256::with_last_byte(7));
        let topic0 = keccak256("Transfer(address,address,uint256)");
        let value = B256::from(U256::from(500u64));
        let erc20 = [topic0, from, to];
        let erc721 = [topic0, from, to, value];
        let decode = |signature: &str, topics: &[B256], data: &[u8]| {
            let signature = Signature::of_event(signature).unwrap();
            signature.decoder.decode_log(topics.iter().map(B256::as_slice), data)
        };
        let found = decode(TRANSFER, &erc20, value.as_slice()).unwrap();
        assert_eq!(found[2], DynSolValue::Uint(U256::from(500u64), 256));
        assert_eq!(found[1].as_address(), Some(address!("0000000000000000000000000000000000000007")));
        assert_eq!(decode(TRANSFER, &erc721, &[]), None);
        let all_indexed = "Transfer(address indexed from, address indexed to, uint256 indexed id)";
        assert!(decode(all_indexed, &erc721, &[]).is_some());
        assert_eq!(decode(all_indexed, &erc20, value.as_slice()), None);
        assert_eq!(decode(TRANSFER, &erc20, &value.as_slice()[..31]), None, "cut");
        assert_eq!(decode("Transfer(uint256 value, address indexed from)", &erc20, value.as_slice()), None);
    }

    #[test]
    fn order_of_parameters_is_that_of_the_signature() {
        let signature = Signature::of_event("Mixed(uint256 a, address indexed b, uint256 c)").unwrap();
        let topics = [keccak256("Mixed(uint256,address,uint256)"), B256::with_last_byte(9)];
        let data = [B256::with_last_byte(1).0, B256::with_last_byte(2).0].concat();
        let values = signature.decoder.decode_log(topics.iter().map(B256::as_slice), &data).unwrap();
        assert_eq!(values[0].as_uint().unwrap().0, U256::from(1u64));
        assert!(values[1].as_address().is_some());
        assert_eq!(values[2].as_uint().unwrap().0, U256::from(2u64));
    }

    #[test]
    fn a_call_decodes_behind_its_selector() {
        let signature = Signature::of_call("transfer(address to, uint256 value)").unwrap();
        let input =
            [&hex!("a9059cbb")[..], B256::with_last_byte(7).as_slice(), B256::with_last_byte(9).as_slice()].concat();
        assert_eq!(signature.decoder.decode_call(&input).map(|values| values.len()), Some(2));
        assert_eq!(signature.decoder.decode_call(&input[..67]), None);
        assert_eq!(signature.decoder.decode_call(&input[..3]), None);
        let empty = Signature::of_call("pause()").unwrap();
        assert_eq!(empty.decoder.decode_call(&hex!("8456cb59")), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for text in [
            "",
            "Transfer",
            "Transfer(",
            "Transfer(address from",
            "Transfer(adress from)",
            "Transfer(address indexed a, address indexed b, address indexed c, address indexed d)",
            "Transfer(uint256 a, uint256 a)",
            "Transfer(uint7 a)",
            "Transfer(uint256[0] a)",
            "Transfer(uint256[1000000] a)",
            "Transfer(uint256[][][][][] a)",
            "Transfer() anonymous",
            "Transfer(address from) returns (bool)",
            "Transfer(((((((((((((uint256 a)",
            "0x12()",
        ] {
            assert!(Signature::of_event(text).is_err(), "{text}");
        }
        assert!(Signature::of_call("f(function() external f)").is_err());
        let many = (0..40).map(|i| format!("uint8 a{i}")).collect::<Vec<_>>().join(",");
        assert!(Signature::of_call(&format!("f({many})")).is_err());
        let mistake = Signature::of_event("Transfer(address from, uint7 value)").unwrap_err();
        assert!(mistake.message.contains("value"), "{mistake:?}");
    }

    #[test]
    fn a_mistake_about_a_parameter_stands_where_it_begins() {
        for (text, column) in [
            ("Transfer(address,uint257)", 18),
            ("Transfer(address from, uint7 value)", 24),
            ("Paid((uint8,uint8) pair, uint8 e, uint7 f)", 35),
            ("Paid(uint8 e, uint8 e)", 15),
        ] {
            let mistake = Signature::of_event(text).unwrap_err();
            assert_eq!(mistake.position, Position { line: 1, column }, "{text}: {mistake:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_reading_a_signature_panic(text in "\\PC{0,60}", prefix in "(Transfer\\(|f\\(\\(|event )?") {
            let text = format!("{prefix}{text}");
            let _ = Signature::of_event(&text);
            let _ = Signature::of_call(&text);
        }

        #[test]
        fn no_data_makes_decoding_panic(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let call = Signature::of_call("f(bytes[] a, (string,uint256[])[] b, string[2] c)").unwrap();
            let _ = call.decoder.decode_call(&data);
        }
    }
}
