//! Random bytes of the operating system.

use rand::TryRngCore as _;
use rand::rngs::OsRng;

pub(crate) fn bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    OsRng.try_fill_bytes(&mut bytes).expect("an operating system that runs this has random bytes");
    bytes
}

/// 32 random bytes as hexadecimal digits, which need no escapes anywhere.
pub(crate) fn digits() -> String {
    hex::encode(bytes::<32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_many_and_differ() {
        let (one, other) = (digits(), digits());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
