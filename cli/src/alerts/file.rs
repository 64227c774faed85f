//! A file of rules: read and checked alone, every fault with its line and column. Pure.
//!
//! Whether the chains and channels that rules name are there, the stack says ([`super::apply`]).

use isotherm_alerts::definition::{Definition, FieldError};
use isotherm_alerts::index;
use isotherm_control::pipeline::Fault;
use isotherm_control::pipeline::tree::{self, Kind, Node, Place, quoted};

/// Longest file that is read.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// The one key of the file.
const ALERTS: &str = "alerts";

/// A rule of a file.
#[derive(Debug)]
pub(super) struct FileRule {
    node: Node,
    pub(super) definition: Definition,
}

impl FileRule {
    /// Where the file says what `error` is about.
    pub(super) fn fault(&self, error: &FieldError) -> Fault {
        fault(&self.node, error, &quoted(&self.definition.name))
    }
}

/// Reads a file.
///
/// # Errors
/// Every fault, in the order of the file.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<FileRule>, Vec<Fault>> {
    if bytes.len() > MAX_BYTES {
        return Err(vec![Place::START.fault(format!("the file has more than {MAX_BYTES} bytes"))]);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        vec![Place { line, column: 1 }.fault("this line is no UTF-8")]
    })?;
    let mut faults = Vec::new();
    let file = tree::read(text, &mut faults).map_err(|fault| vec![fault])?;
    let mut rules: Vec<FileRule> = Vec::new();
    for (number, node) in (1..).zip(list(file, &mut faults)) {
        match rule(&node, number) {
            Ok(definition) => match rules.iter().find(|rule| rule.definition.name == definition.name) {
                Some(first) => {
                    let message = format!("rule {} is at {} already", quoted(&definition.name), first.node.place);
                    faults.push(at(&node, "name").fault(message));
                }
                None => rules.push(FileRule { node, definition }),
            },
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() {
        return Ok(rules);
    }
    faults.sort_by_key(|fault| (fault.line, fault.column));
    Err(faults)
}

/// The rules of the file, as they are written.
fn list(file: Node, faults: &mut Vec<Fault>) -> Vec<Node> {
    let Kind::Map(entries) = file.kind else {
        faults.push(file.place.fault("the file has to be a mapping with one key, `alerts`: a list of rules"));
        return Vec::new();
    };
    let mut nodes = None;
    for entry in entries {
        match (entry.key.as_str(), entry.value.kind) {
            (ALERTS, Kind::List(items)) => nodes = Some(items),
            (ALERTS, Kind::Broken) => return Vec::new(),
            (ALERTS, _) => faults.push(entry.value.place.fault("`alerts` has to be a list of rules")),
            (other, _) => {
                faults.push(entry.place.fault(format!("unknown key {}; the file has `alerts` only", quoted(other))));
            }
        }
    }
    if nodes.is_none() && faults.is_empty() {
        faults.push(file.place.fault("the file has no `alerts`: a list of rules"));
    }
    nodes.unwrap_or_default()
}

/// One rule, its texts checked too.
fn rule(node: &Node, number: usize) -> Result<Definition, Vec<Fault>> {
    if is_broken(node) {
        // A fault has been reported for it.
        return Err(Vec::new());
    }
    let name = node.text_of("name").map_or_else(|| number.to_string(), quoted);
    let read = Definition::parse(&node.to_json());
    let checked = read.and_then(|definition| index::check(&definition).map(|()| definition));
    checked.map_err(|errors| errors.errors.iter().map(|error| fault(node, error, &name)).collect())
}

fn is_broken(node: &Node) -> bool {
    match &node.kind {
        Kind::Broken => true,
        Kind::Scalar(_) => false,
        Kind::List(items) => items.iter().any(is_broken),
        Kind::Map(entries) => entries.iter().any(|entry| is_broken(&entry.value)),
    }
}

fn fault(node: &Node, error: &FieldError, name: &str) -> Fault {
    at(node, &error.field).fault(format!("rule {name}: {error}"))
}

/// Where the field `path`, such as `source.event` or `channels[1]`, is in `node`; of one that is missing, what it is missing in.
fn at(node: &Node, path: &str) -> Place {
    let mut found = node;
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        let next = match part.strip_suffix(']').map(str::parse::<usize>) {
            Some(Ok(place)) => found.items().and_then(|items| items.get(place)),
            _ => found.value(part),
        };
        match next {
            Some(next) => found = next,
            None => break,
        }
    }
    found.place
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "\
alerts:
  - name: large
    chain: demo
    channels: [hooks]
    source: { dataset: transactions }
    condition: value >= ether(\"100\")
";

    fn faults(text: &str) -> Vec<String> {
        let faults = parse(text.as_bytes()).map(|_| ()).unwrap_err();
        faults.iter().map(|fault| format!("{}:{}: {}", fault.line, fault.column, fault.message)).collect()
    }

    #[test]
    fn the_example_is_right() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/alerts.yaml");
        let rules = parse(&std::fs::read(file).unwrap()).unwrap_or_else(|faults| panic!("{faults:?}"));
        let names: Vec<_> = rules.iter().map(|rule| rule.definition.name.as_str()).collect();
        assert_eq!(
            names,
            ["large-transfers", "large-native-transfers", "new-owner", "failing-senders", "damaged-files"]
        );
    }

    #[test]
    fn a_fault_is_told_where_its_field_is() {
        assert!(parse(RULE.as_bytes()).is_ok());
        let at = |from: &str, to: &str, place: &str, piece: &str| {
            let found = faults(&RULE.replace(from, to));
            let is_it = |fault: &String| fault.starts_with(place) && fault.contains(piece);
            assert!(found.iter().any(is_it), "{to}: {found:?}");
        };
        at("value >=", "valu >=", "6:16: ", "rule \"large\": condition at 1:1");
        at("[hooks]", "[hooks, A]", "4:23: ", "channels[1]");
        at("transactions }", "transactins }", "5:24: ", "source.dataset");
        at("    chain: demo\n", "", "2:5: ", "chain: it is missing");
        at("condition:", "conditoin:", "6:16: ", "conditoin");
        at("name: large", "name: 7", "2:11: ", "rule 1: name");
        at("chain: demo", "chain: &a demo", "3:", "anchors");
        at("alerts:", "alert:", "1:1: ", "unknown key \"alert\"");
    }

    #[test]
    fn what_is_no_file_of_rules_is_refused() {
        assert!(faults("")[0].contains("the file is empty"));
        assert!(faults("[]")[0].contains("mapping with one key"));
        assert!(faults("{}")[0].contains("no `alerts`"));
        assert!(faults("alerts: 7")[0].contains("list of rules"));
        assert!(faults("alerts: [")[0].contains("no YAML"));
        assert!(faults("alerts: [7]")[0].contains("rule 1"));
        let twice = format!("{RULE}{}", RULE.strip_prefix("alerts:\n").unwrap());
        assert_eq!(faults(&twice), ["7:11: rule \"large\" is at line 2, column 5 already"]);
        let latin = parse(b"alerts: []\n# \xe9").unwrap_err();
        assert_eq!((latin[0].line, latin[0].message.as_str()), (2, "this line is no UTF-8"));
        assert!(parse(b"alerts: []").unwrap().is_empty());
    }
}
