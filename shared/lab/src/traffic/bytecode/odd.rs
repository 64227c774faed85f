//! Contracts that call and create in the ways that everyday traffic does not.
//!
//! Source of the opcodes: as in the parent; DELEGATECALL is EIP-7, STATICCALL EIP-214, CREATE2 EIP-1014.

use alloy::primitives::Bytes;

use super::{
    Assembly, CALL, CALLDATACOPY, CALLDATALOAD, CALLDATASIZE, CALLER, CREATE, DUP1, GAS, JUMPDEST, JUMPI, MSTORE, POP,
    PUSH0, RETURN, STOP, SUB, SWAP2,
};

const ISZERO: u8 = 0x15;
const ADDRESS: u8 = 0x30;
const SWAP1: u8 = 0x90;
const CALLCODE: u8 = 0xf2;
const DELEGATECALL: u8 = 0xf4;
const CREATE2: u8 = 0xf5;
const STATICCALL: u8 = 0xfa;
const SELFDESTRUCT: u8 = 0xff;

/// Runs the code at the address in its first 32 bytes of input as its own, with the rest of the input.
pub(crate) fn delegator_runtime() -> Bytes {
    passing_on(DELEGATECALL)
}

/// Calls the address in its first 32 bytes of input with the rest of the input, and lets it change nothing.
pub(crate) fn static_caller_runtime() -> Bytes {
    passing_on(STATICCALL)
}

/// A call without a value, whose outcome is ignored.
fn passing_on(opcode: u8) -> Bytes {
    rest_of_input()
        // CALL(gas, address, input offset, input size, output offset, output size), pushed from the end
        .ops(&[PUSH0, PUSH0, SWAP2]) // size, output offset, output size
        .ops(&[PUSH0]) // input offset, size, output offset, output size
        .ops(&[PUSH0, CALLDATALOAD, GAS, opcode, POP, STOP])
        .into()
}

/// As [`delegator_runtime`], but with CALLCODE: the callee sees this contract as its caller.
pub(crate) fn code_caller_runtime() -> Bytes {
    rest_of_input()
        .ops(&[PUSH0, PUSH0, SWAP2]) // size, output offset, output size
        .ops(&[PUSH0, PUSH0]) // value, input offset, size, output offset, output size
        .ops(&[PUSH0, CALLDATALOAD, GAS, CALLCODE, POP, STOP])
        .into()
}

/// Copies the input behind its first 32 bytes into memory; leaves its size.
fn rest_of_input() -> Assembly {
    Assembly::default()
        .push(&[0x20])
        .ops(&[CALLDATASIZE, SUB]) // size of the rest
        .ops(&[DUP1]) // size, size
        .push(&[0x20])
        .ops(&[PUSH0, CALLDATACOPY]) // memory = input[32..]
}

/// Position of the JUMPDEST in [`nester_runtime`].
const NESTER_END: u8 = 23;

/// Calls itself as often as the first 32 bytes of input say, each call inside the one before.
pub(crate) fn nester_runtime() -> Bytes {
    Assembly::default()
        .ops(&[PUSH0, CALLDATALOAD]) // 0: count
        .ops(&[DUP1, ISZERO]) // 2: is it 0?, count
        .push(&[NESTER_END]) // 4
        .ops(&[JUMPI]) // 6
        .push(&[0x01]) // 7
        .ops(&[SWAP1, SUB]) // 9: count - 1
        .ops(&[PUSH0, MSTORE]) // 11: memory[0..32] = count - 1
        .ops(&[PUSH0, PUSH0]) // 13: output offset, output size
        .push(&[0x20]) // 15: input size
        .ops(&[PUSH0, PUSH0]) // 17: value, input offset
        .ops(&[ADDRESS, GAS, CALL, POP]) // 19
        .ops(&[JUMPDEST, STOP]) // 23
        .into()
}

/// Destroys itself at each call, in favour of its caller. Since Cancun (EIP-6780) it only gives away what it has.
pub(crate) fn quitter_runtime() -> Bytes {
    Assembly::default().ops(&[CALLER, SELFDESTRUCT]).into()
}

/// Creates a contract at each call whose constructor destroys it.
pub(crate) fn ephemeral_factory_runtime() -> Bytes {
    Assembly::default()
        .push(&[CALLER, SELFDESTRUCT]) // the new contract's initcode
        .ops(&[PUSH0, MSTORE]) // right-aligned: bytes 30 and 31 of memory
        .push(&[0x02])
        .push(&[0x1e])
        .ops(&[PUSH0, CREATE, POP, STOP]) // CREATE(value 0, offset 30, size 2)
        .into()
}

/// Creates an empty contract by CREATE2, with its first 32 bytes of input as the salt.
pub(crate) fn salted_factory_runtime() -> Bytes {
    Assembly::default()
        .push(&[PUSH0, PUSH0, RETURN]) // the new contract's initcode: return nothing
        .ops(&[PUSH0, MSTORE]) // right-aligned: bytes 29 to 31 of memory
        .ops(&[PUSH0, CALLDATALOAD]) // salt
        .push(&[0x03])
        .push(&[0x1d])
        .ops(&[PUSH0, CREATE2, POP, STOP]) // CREATE2(value 0, offset 29, size 3, salt)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nester_jumps_to_its_end() {
        let code = nester_runtime();
        let end = usize::from(NESTER_END);
        assert_eq!((code[end], code.len()), (JUMPDEST, end + 2));
    }
}
