//! Tokens, users and rows, each against the real thing: signatures of real keys, key sets over HTTP, a real Postgres.

mod forgeries;
mod good_tokens;
mod key_server;
mod permission_table;
mod rotation;
mod row_security;
mod signer;
mod users;
