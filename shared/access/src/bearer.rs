//! The token in an `Authorization` header.
//!
//! **Source**: RFC 6750, section 2.1; RFC 9110, section 11.1 (the scheme's case does not matter).

use crate::token::TokenFault;

/// Longest token. API Gateway takes 10,240 bytes of headers in all.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

const SCHEME: &str = "bearer";

/// The token of the one value `authorization`.
///
/// Two headers reach a function as one value with a comma between them, which no token has.
///
/// # Errors
/// [`TokenFault`] if there is none, or it is not one scheme `Bearer`, one space, and one token.
pub fn token(authorization: Option<&str>) -> Result<&str, TokenFault> {
    let value = authorization.ok_or(TokenFault::Missing)?;
    let (scheme, token) = value.split_once(' ').ok_or(TokenFault::NotBearer)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(TokenFault::NotBearer);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenFault::TooLong);
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if token.is_empty() || !token.bytes().all(is_plain) {
        return Err(TokenFault::NotBearer);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_scheme_one_space_one_token() {
        for good in ["Bearer a.b-_.c", "bearer a.b-_.c", "BEARER a.b-_.c"] {
            assert_eq!(token(Some(good)), Ok("a.b-_.c"));
        }
        assert_eq!(token(None), Err(TokenFault::Missing));
        let refused = [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  a",
            " Bearer a",
            "Bearer a ",
            "Bearer a b",
            "Bearer\ta",
            "Bearer a, Bearer b",
            "Basic YTpi",
            "Token a",
            "a.b.c",
            "Bearer a.b.c=",
            "Bearer a/b",
            "Bearer \u{e4}",
        ];
        for bad in refused {
            assert_eq!(token(Some(bad)), Err(TokenFault::NotBearer), "{bad:?}");
        }
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
        assert_eq!(token(Some(&long)), Err(TokenFault::TooLong));
    }
}
