//! The contracts of the traffic maker, assembled by hand: no compiler, no copied bytecode.
//!
//! Each function lists its opcodes in order, one line a step, with what the line leaves on the stack (top first).
//! They do just enough to make the rows that an indexer must get right; never use them for anything of value.
//!
//! Source of the opcodes and their operand order: Ethereum Yellow Paper, appendix H; PUSH0 is EIP-3855.

use alloy::primitives::{Address, B256, Bytes, U256, b256};

pub(super) mod odd;

/// First topic of `Transfer(address,address,uint256)`, the event of ERC-20.
pub const TRANSFER_TOPIC: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Selector of `transfer(address,uint256)`.
pub const TRANSFER_SELECTOR: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];

/// Selector of `Error(string)`, the reason of a revert.
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];

const STOP: u8 = 0x00;
const EQ: u8 = 0x14;
const SHR: u8 = 0x1c;
const CALLER: u8 = 0x33;
const CALLDATALOAD: u8 = 0x35;
const CALLDATASIZE: u8 = 0x36;
const CALLDATACOPY: u8 = 0x37;
const CODECOPY: u8 = 0x39;
const POP: u8 = 0x50;
const MSTORE: u8 = 0x52;
const JUMP: u8 = 0x56;
const JUMPI: u8 = 0x57;
const GAS: u8 = 0x5a;
const JUMPDEST: u8 = 0x5b;
const PUSH0: u8 = 0x5f;
const PUSH1: u8 = 0x60;
const DUP1: u8 = 0x80;
const SWAP2: u8 = 0x91;
const LOG0: u8 = 0xa0;
const SUB: u8 = 0x03;
const CREATE: u8 = 0xf0;
const CALL: u8 = 0xf1;
const RETURN: u8 = 0xf3;
const REVERT: u8 = 0xfd;
const INVALID: u8 = 0xfe;

/// Code being written.
#[derive(Default)]
struct Assembly(Vec<u8>);

impl Assembly {
    /// Appends opcodes.
    fn ops(mut self, opcodes: &[u8]) -> Self {
        self.0.extend(opcodes);
        self
    }

    /// Appends the PUSH that fits `bytes`, which are 1 to 32.
    fn push(mut self, bytes: &[u8]) -> Self {
        let length = u8::try_from(bytes.len()).expect("a push is at most 32 bytes");
        assert!((1..=32).contains(&length), "a push is 1 to 32 bytes");
        self.0.push(PUSH1 + length - 1);
        self.0.extend(bytes);
        self
    }
}

/// A token without balances: `transfer(to, value)` emits `Transfer(caller, to, value)` and returns true; any other
/// call reverts. Three topics and 32 bytes of data, as ERC-20 wants.
pub fn token_runtime() -> Bytes {
    let body = 17; // position of the JUMPDEST, counted below
    Assembly::default()
        .ops(&[PUSH0, CALLDATALOAD]) // 0: first word of the input
        .push(&[0xe0]) // 2
        .ops(&[SHR]) // 4: selector
        .push(&TRANSFER_SELECTOR) // 5
        .ops(&[EQ]) // 10: is it transfer?
        .push(&[body]) // 11
        .ops(&[JUMPI, PUSH0, PUSH0, REVERT]) // 13: else revert without a reason
        .ops(&[JUMPDEST]) // 17
        .push(&[0x24])
        .ops(&[CALLDATALOAD, PUSH0, MSTORE]) // memory[0..32] = value
        .push(&[0x04])
        .ops(&[CALLDATALOAD, CALLER]) // caller, to
        .push(TRANSFER_TOPIC.as_slice()) // topic, caller, to
        .push(&[0x20])
        .ops(&[PUSH0, LOG0 + 3]) // LOG3(offset 0, size 32, topic, caller, to)
        .push(&[0x01])
        .ops(&[PUSH0, MSTORE])
        .push(&[0x20])
        .ops(&[PUSH0, RETURN]) // return true
        .into()
}

/// Deploys [`token_runtime`]; the constructor emits `Transfer(0, deployer, supply)`.
pub fn token_initcode(supply: U256) -> Bytes {
    let constructor = Assembly::default()
        .push(&supply.to_be_bytes::<32>())
        .ops(&[PUSH0, MSTORE]) // memory[0..32] = supply
        .ops(&[CALLER, PUSH0]) // zero address, deployer
        .push(TRANSFER_TOPIC.as_slice())
        .push(&[0x20])
        .ops(&[PUSH0, LOG0 + 3]); // LOG3(offset 0, size 32, topic, zero, deployer)
    deploying(constructor, &token_runtime())
}

/// Emits four logs for any call: the input with no topic, nothing with one, the input with two, and with four, none of
/// them the hash of any signature.
pub fn logger_runtime() -> Bytes {
    Assembly::default()
        .ops(&[CALLDATASIZE, PUSH0, PUSH0, CALLDATACOPY]) // memory = input
        .ops(&[CALLDATASIZE, PUSH0, LOG0])
        .push(&[0x01])
        .ops(&[PUSH0, PUSH0, LOG0 + 1]) // no data
        .push(&[0x02])
        .push(&[0x01])
        .ops(&[CALLDATASIZE, PUSH0, LOG0 + 2])
        .push(&[0x04])
        .push(&[0x03])
        .push(&[0x02])
        .push(&[0x01])
        .ops(&[CALLDATASIZE, PUSH0, LOG0 + 4, STOP])
        .into()
}

/// Logs emitted by one call of [`logger_runtime`].
pub const LOGGER_LOGS: u64 = 4;

/// Reverts with its input as the reason.
pub fn reverter_runtime() -> Bytes {
    Assembly::default()
        .ops(&[CALLDATASIZE, PUSH0, PUSH0, CALLDATACOPY]) // memory = input
        .ops(&[CALLDATASIZE, PUSH0, REVERT])
        .into()
}

/// Burns all its gas: loops without input, runs INVALID (EIP-141) with input.
pub fn burner_runtime() -> Bytes {
    let invalid = 8; // position of the second JUMPDEST
    Assembly::default()
        .ops(&[CALLDATASIZE]) // 0
        .push(&[invalid]) // 1
        .ops(&[JUMPI]) // 3
        .ops(&[JUMPDEST]) // 4: loop
        .push(&[0x04]) // 5
        .ops(&[JUMP]) // 7
        .ops(&[JUMPDEST, INVALID]) // 8
        .into()
}

/// Calls the address in its first 32 bytes of input with the rest of the input, and ignores the outcome.
pub fn forwarder_runtime() -> Bytes {
    Assembly::default()
        .push(&[0x20])
        .ops(&[CALLDATASIZE, SUB]) // size of the rest
        .ops(&[DUP1]) // size, size
        .push(&[0x20])
        .ops(&[PUSH0, CALLDATACOPY]) // memory = input[32..]; leaves size
        // CALL(gas, address, value, input offset, input size, output offset, output size), pushed from the end
        .ops(&[PUSH0, PUSH0, SWAP2]) // size, output offset, output size
        .ops(&[PUSH0, PUSH0]) // value, input offset, size, output offset, output size
        .ops(&[PUSH0, CALLDATALOAD, GAS, CALL, POP, STOP])
        .into()
}

/// Creates an empty contract at each call.
pub fn factory_runtime() -> Bytes {
    Assembly::default()
        .push(&[PUSH0, PUSH0, RETURN]) // the new contract's initcode: return nothing
        .ops(&[PUSH0, MSTORE]) // right-aligned: bytes 29 to 31 of memory
        .push(&[0x03])
        .push(&[0x1d])
        .ops(&[PUSH0, CREATE, POP, STOP]) // CREATE(value 0, offset 29, size 3)
        .into()
}

/// Initcode that fails, so that a creation leaves nothing but its receipt.
pub fn failing_initcode() -> Bytes {
    Assembly::default().ops(&[PUSH0, PUSH0, REVERT]).into()
}

/// Initcode that deploys `runtime` and does nothing else.
pub fn initcode(runtime: &[u8]) -> Bytes {
    deploying(Assembly::default(), runtime)
}

/// Appends to `constructor` the steps that return `runtime`, and `runtime` itself.
fn deploying(constructor: Assembly, runtime: &[u8]) -> Bytes {
    let size = u16::try_from(runtime.len()).expect("hand-written code is short").to_be_bytes();
    // PUSH2 DUP1 PUSH2 PUSH0 CODECOPY PUSH0 RETURN
    let steps = 11;
    let offset = u16::try_from(constructor.0.len() + steps).expect("hand-written code is short").to_be_bytes();
    let with_steps = constructor
        .push(&size)
        .ops(&[DUP1]) // size, size
        .push(&offset)
        .ops(&[PUSH0, CODECOPY]) // memory = runtime; leaves size
        .ops(&[PUSH0, RETURN]);
    let mut code = with_steps.0;
    assert_eq!(code.len(), usize::from(u16::from_be_bytes(offset)), "the runtime begins where the steps end");
    code.extend(runtime);
    code.into()
}

/// Input of `transfer(to, value)`.
pub fn transfer_input(to: Address, value: U256) -> Bytes {
    [&TRANSFER_SELECTOR[..], to.into_word().as_slice(), &value.to_be_bytes::<32>()].concat().into()
}

/// Input of the forwarder: call `target` with `input`.
pub fn forward_input(target: Address, input: &[u8]) -> Bytes {
    [target.into_word().as_slice(), input].concat().into()
}

/// A revert reason as Solidity encodes it: `Error(string)`, for reasons of up to 32 bytes.
pub fn revert_reason(reason: &str) -> Bytes {
    assert!(reason.len() <= 32, "a reason of the traffic maker is one word");
    let mut text = [0; 32];
    text[..reason.len()].copy_from_slice(reason.as_bytes());
    let offset = U256::from(32).to_be_bytes::<32>();
    let length = U256::from(reason.len()).to_be_bytes::<32>();
    [&ERROR_SELECTOR[..], &offset, &length, &text].concat().into()
}

impl From<Assembly> for Bytes {
    fn from(assembly: Assembly) -> Self {
        assembly.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_targets_are_where_the_code_says() {
        assert_eq!(token_runtime()[17], JUMPDEST);
        assert_eq!(burner_runtime()[4], JUMPDEST);
        assert_eq!(burner_runtime()[8], JUMPDEST);
    }

    #[test]
    fn event_topic_and_selectors_are_those_of_their_signatures() {
        use alloy::primitives::keccak256;
        assert_eq!(TRANSFER_TOPIC, keccak256("Transfer(address,address,uint256)"));
        assert_eq!(TRANSFER_SELECTOR, keccak256("transfer(address,uint256)")[..4]);
        assert_eq!(ERROR_SELECTOR, keccak256("Error(string)")[..4]);
    }
}
