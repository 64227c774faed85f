//! Where in the text a fault is. The YAML reader knows lines only while it reads, so they are found again by keys.

use super::Fault;

/// Collects faults and finds their lines.
pub(super) struct Report<'text> {
    text: &'text str,
    faults: Vec<Fault>,
}

impl<'text> Report<'text> {
    pub(super) fn new(text: &'text str) -> Self {
        Self { text, faults: Vec::new() }
    }

    /// Adds a fault at the value under `keys`.
    pub(super) fn fault(&mut self, keys: &[&str], message: impl Into<String>) {
        self.faults.push(Fault { line: line_of(self.text, keys), place: keys.join("."), message: message.into() });
    }

    /// The faults in the order of the file.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.line);
        self.faults
    }
}

/// The fault of a file that is not YAML, or not of the expected shape.
pub(super) fn shape_fault(error: &serde_yaml_ng::Error) -> Fault {
    let line = error.location().map(|location| location.line());
    Fault { line, place: String::new(), message: error.to_string() }
}

/// Line, from 1, of the deepest key of `keys` that stands on a line of its own.
fn line_of(text: &str, keys: &[&str]) -> Option<usize> {
    let lines: Vec<(usize, usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i, line.len() - line.trim_start().len(), line.trim_start()))
        .filter(|(_, _, content)| !content.is_empty() && !content.starts_with('#'))
        .collect();
    let mut found = None;
    let mut block = &lines[..];
    for key in keys {
        let Some(&(_, child_indent, _)) = block.first() else { break };
        let Some(position) =
            block.iter().position(|(_, indent, content)| *indent == child_indent && is_key(content, key))
        else {
            break;
        };
        found = Some(block[position].0 + 1);
        let rest = &block[position + 1..];
        let end = rest.iter().position(|(_, indent, _)| *indent <= child_indent).unwrap_or(rest.len());
        block = &rest[..end];
    }
    found
}

fn is_key(content: &str, key: &str) -> bool {
    let bare = content.strip_prefix('"').unwrap_or(content);
    bare.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches('"').starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# functions: not a key
functions:
  first:
    size: 1

  second: # comment
    size: 2
    inner: { depth: 3 }
queues:
  second:
    size: 4
";

    #[test]
    fn a_key_is_found_under_its_parents_only() {
        assert_eq!(line_of(TEXT, &["functions"]), Some(2));
        assert_eq!(line_of(TEXT, &["functions", "second", "size"]), Some(7));
        assert_eq!(line_of(TEXT, &["queues", "second", "size"]), Some(11));
    }

    #[test]
    fn a_key_without_a_line_of_its_own_has_its_parents() {
        assert_eq!(line_of(TEXT, &["functions", "second", "inner", "depth"]), Some(8));
        assert_eq!(line_of(TEXT, &["functions", "third"]), Some(2));
        assert_eq!(line_of(TEXT, &["nothing"]), None);
    }
}
