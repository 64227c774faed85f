//! The HTTP API as its description has it: `docs/openapi.yaml` agrees with the code, its permissions are enforced by the
//! running functions, and a query has one answer however it is asked.
//!
//! The binaries must have been built (`./isotherm test` does so first).

mod agreement;
mod document;
mod one_answer;
mod roles;
mod sql_rules;
mod stage;
