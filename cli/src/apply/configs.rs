//! What a file says to operators whose settings are known here, checked before anything is applied. Pure.

use isotherm_chain::chain_profile::{self, Misfit};
use isotherm_control::pipeline::ConfigFault;
use serde_json::Value;

/// The operator whose jobs have a chain's profile.
const FOLLOWER: &str = "block_follower";

/// What is wrong with the `config` of a job of `operator`: of a follower's profile everything, and that it is another
/// chain's. The rest of the settings the operator checks when it starts.
pub(crate) fn judge(operator: &str, config: &Value) -> Vec<ConfigFault> {
    let Some(profile) = config.get("profile").filter(|profile| operator == FOLLOWER && !profile.is_null()) else {
        return Vec::new();
    };
    chain_profile::misfits(profile).into_iter().map(of_profile).chain(of_other_chain(config, profile)).collect()
}

fn of_profile(misfit: Misfit) -> ConfigFault {
    ConfigFault { pointer: format!("/profile{}", misfit.pointer), is_key: misfit.is_key, message: misfit.message }
}

fn of_other_chain(config: &Value, profile: &Value) -> Option<ConfigFault> {
    let (job, profile) = (config.get("chain_id")?.as_u64()?, profile.get("chain_id")?.as_u64()?);
    (job != profile).then(|| ConfigFault {
        pointer: "/profile/chain_id".to_owned(),
        is_key: false,
        message: format!("it is for chain {job}, but its profile is that of chain {profile}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_followers_profile_is_judged() {
        let bad = json!({ "chain_id": 5, "profile": { "chain_id": 5, "block_time_ms": 0 } });
        assert_eq!(judge("noop", &bad), []);
        assert_eq!(judge(FOLLOWER, &json!({ "chain_id": 5, "profile": null, "anything": [] })), []);
        assert_eq!(judge(FOLLOWER, &json!(null)), []);
        let pointers: Vec<String> = judge(FOLLOWER, &bad).into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/profile/block_time_ms", "/profile", "/profile"]);
    }

    #[test]
    fn the_profile_of_another_chain_is_refused() {
        let profile = json!({ "chain_id": 5, "name": "five", "block_time_ms": 1, "finality": { "kind": "tags" } });
        assert_eq!(judge(FOLLOWER, &json!({ "chain_id": 5, "profile": profile })), []);
        let faults = judge(FOLLOWER, &json!({ "chain_id": 6, "profile": profile }));
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].pointer, "/profile/chain_id");
        assert_eq!(faults[0].message, "it is for chain 6, but its profile is that of chain 5");
    }
}
