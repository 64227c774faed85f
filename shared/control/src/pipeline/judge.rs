//! What operators hold against their jobs' settings, put at its place in the file. Pure.
//!
//! Which settings an operator takes is not known here: whoever reads the file brings a [`ConfigJudge`].

use serde_json::Value;

use super::check::called;
use super::read::{Fault, MAX_FAULTS};
use super::tree::{Kind, Node, Place};

/// One thing wrong with a job's `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// JSON pointer from `config` to it (RFC 6901).
    pub pointer: String,
    /// Whether it is the key there, and not its value.
    pub is_key: bool,
    /// What is wrong, with the name of the thing.
    pub message: String,
}

/// Gives everything that is wrong with the `config` of a job of an operator.
pub type ConfigJudge = fn(operator: &str, config: &Value) -> Vec<ConfigFault>;

/// Puts into `faults` what `judge` holds against the jobs of `file`.
pub(super) fn judge_configs(file: &Node, judge: ConfigJudge, faults: &mut Vec<Fault>) {
    for job in file.value("jobs").and_then(Node::items).unwrap_or_default() {
        if faults.len() >= MAX_FAULTS {
            return;
        }
        let (Some(operator), Some(config)) = (job.text_of("operator"), job.value("config")) else { continue };
        let name = called(job, "the job", "job");
        for found in judge(operator, &config.to_json()) {
            if let Some(place) = place_of(config, &found) {
                faults.push(place.fault(format!("{name}: {}", found.message)));
            }
        }
    }
}

/// Where `found` stands, or what it should stand in. `None` if a fault has been reported there.
fn place_of(config: &Node, found: &ConfigFault) -> Option<Place> {
    let (mut node, mut key) = (config, None);
    for name in found.pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")) {
        let inner = match &node.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == name).map(|entry| {
                key = Some(entry.place);
                &entry.value
            }),
            Kind::List(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
            Kind::Scalar(_) | Kind::Broken => None,
        };
        let Some(inner) = inner else { break };
        node = inner;
    }
    let is_reported = matches!(node.kind, Kind::Broken);
    (!is_reported).then(|| key.filter(|_| found.is_key).unwrap_or(node.place))
}

#[cfg(test)]
mod tests {
    use super::super::read::parse_judged;
    use super::*;

    const FILE: &str = "\
version: 1
jobs:
  - name: follow
    operator: block_follower
    config:
      chain: { id: 5, \"a/b\": [1, { x: 2 }] }
  - { name: beat, operator: noop, config: { chain: { id: 6 } } }
";

    /// The faults of [`FILE`], in which `change.0` is `change.1`, if those of the follower's jobs are `found`.
    fn faults(change: (&str, &str), judge: ConfigJudge) -> Vec<String> {
        let text = FILE.replace(change.0, change.1);
        let faults = parse_judged(text.as_bytes(), judge).map_or_else(|error| error.faults, |_| Vec::new());
        faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message)).collect()
    }

    fn found(pointer: &str, is_key: bool) -> ConfigFault {
        ConfigFault { pointer: pointer.to_owned(), is_key, message: "that is wrong".to_owned() }
    }

    #[test]
    fn a_fault_of_a_config_has_the_place_of_what_it_is_about() {
        let judge: ConfigJudge = |operator, config| {
            if operator != "block_follower" {
                return Vec::new();
            }
            assert_eq!(config["chain"]["id"], 5);
            vec![
                found("/chain/id", false),
                found("/chain/id", true),
                found("/chain/a~1b/1/x", false),
                found("/chain/none", false),
                found("", false),
            ]
        };
        assert_eq!(
            faults(("", ""), judge),
            [
                "6:7 job \"follow\": that is wrong",
                "6:14 job \"follow\": that is wrong",
                "6:16 job \"follow\": that is wrong",
                "6:20 job \"follow\": that is wrong",
                "6:39 job \"follow\": that is wrong",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_once() {
        let judge: ConfigJudge = |_, config| match config["chain"]["id"].as_u64() {
            Some(_) => Vec::new(),
            None => vec![found("/chain/id", false)],
        };
        let unreadable = "6:20 \"0x5\" is a number to some and text to others; \
                          put it in quotes, or write a decimal number";
        assert_eq!(faults(("id: 5", "id: 0x5"), judge), [unreadable]);
        assert_eq!(faults(("id: 5", "id: x"), judge), ["6:20 job \"follow\": that is wrong"]);
        assert_eq!(faults(("", ""), judge), [""; 0]);
    }
}
