//! What every role may do is what it does: the AWS calls of functions and operators, recorded while the whole platform works, are
//! held against the policies that Terraform makes.
//!
//! The emulator grants everything to everybody, so nothing else notices a permission that is missing before AWS does, and nothing
//! at all one that is left over. The binaries must have been built (`./isotherm test` does so first).

mod judge;
mod planted;
mod policy;
#[path = "../../../shared/local_stack/tests/terraform/rendered.rs"]
mod rendered;
mod requests;
#[path = "../../../shared/local_stack/tests/terraform/resources.rs"]
#[allow(dead_code, reason = "the tests of Terraform use all of it")]
mod resources;
mod reviewed;
