//! What every role may do is what it does: the AWS calls of functions and operators, recorded while the whole platform works, are
//! held against the policies that Terraform makes.
//!
//! The emulator grants everything to everybody, so nothing else notices a permission that is missing before AWS does, and nothing
//! at all one that is left over. The binaries must have been built (`./isotherm test` does so first).

mod drive;
mod judge;
mod planted;
mod policy;
#[path = "../../../shared/local_stack/tests/terraform/rendered.rs"]
#[allow(dead_code, reason = "the tests of Terraform use all of it")]
mod rendered;
mod requests;
#[path = "../../../shared/local_stack/tests/terraform/resources.rs"]
#[allow(dead_code, reason = "the tests of Terraform use all of it")]
mod resources;
mod reviewed;
#[path = "../end_to_end/stack.rs"]
#[allow(dead_code, reason = "the other end-to-end tests use all of it")]
mod stack;

use rendered::rendered;

#[tokio::test]
async fn end_to_end_recorded_calls_are_granted_and_what_is_granted_is_called_or_reviewed() {
    let (Some(dev), Some(prod)) = (rendered("dev"), rendered("prod")) else { return };
    let recording = drive::everything().await;
    assert!(recording.unread.is_empty(), "{:#?}", recording.unread);
    let reviewed = reviewed::read();
    for (environment, resources) in [("dev", dev), ("prod", prod)] {
        let judgement = judge::judge(&resources, &recording.calls, &reviewed);
        assert!(judgement.is_clean(), "{environment}:\n{judgement}");
    }
}
