//! From text to a checked [`Pipeline`], or to every fault with its place.

use isotherm_types::{Classified, Disposition};

use super::Pipeline;
use super::check::{Finding, Section, check};

/// One thing wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1, where it could be told.
    pub line: Option<usize>,
    /// Column, from 1, where it could be told.
    pub column: Option<usize>,
    /// What is wrong, with the name of the thing.
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: {}", self.message),
            (Some(line), None) => write!(f, "line {line}: {}", self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

/// Everything that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineError {
    /// One entry a fault; at least one.
    pub faults: Vec<Fault>,
}

impl std::fmt::Display for PipelineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the pipeline has {} fault(s)", self.faults.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for PipelineError {}

impl Classified for PipelineError {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "pipeline.invalid"
    }
}

/// Reads a pipeline file. Unknown keys, wrong types and what does not fit together are refused.
///
/// # Errors
/// [`PipelineError`] with every fault that could be found: a file that is no YAML of the right shape has one.
pub fn parse(text: &str) -> Result<Pipeline, PipelineError> {
    let pipeline: Pipeline = serde_yaml_ng::from_str(text).map_err(|error| {
        let place = error.location();
        let line = place.as_ref().map(serde_yaml_ng::Location::line);
        let column = place.as_ref().map(serde_yaml_ng::Location::column);
        PipelineError { faults: vec![Fault { line, column, message: without_place(&error.to_string()) }] }
    })?;
    let findings = check(&pipeline);
    if findings.is_empty() {
        return Ok(pipeline);
    }
    let faults = findings.into_iter().map(|finding| placed(text, finding)).collect();
    Err(PipelineError { faults })
}

/// The message without the place that the YAML reader puts at its end.
fn without_place(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message.to_owned(),
    }
}

/// Finds the entry that a finding speaks of: the item of that index in its section.
fn placed(text: &str, finding: Finding) -> Fault {
    let place = finding.at.and_then(|(section, index)| find_item(text, section, index));
    Fault { line: place.map(|(line, _)| line), column: place.map(|(_, column)| column), message: finding.message }
}

/// Line and column, from 1, of the dash of item `index` of a top-level list in block style; `None` in other styles.
fn find_item(text: &str, section: Section, index: usize) -> Option<(usize, usize)> {
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| {
        line.strip_prefix(section.key()).is_none_or(|rest| !rest.trim_start().starts_with(':'))
    });
    lines.next()?;
    let body = lines.take_while(|(_, line)| {
        line.is_empty() || line.starts_with([' ', '-', '#']) || line.trim_start().starts_with('#')
    });
    let mut dash_column = None;
    let items = body.filter_map(|(line, content)| {
        let column = content.len() - content.trim_start().len();
        let is_item = content[column..].starts_with("- ") && *dash_column.get_or_insert(column) == column;
        is_item.then_some((line + 1, column + 1))
    });
    items.into_iter().nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
jobs:
  - name: follow
    operator: block_follower
    always_on: true
  # a comment
  - name: beat
    operator: noop
    config: { steps: 1 }
triggers:
  - name: every-minute
    job: beat
    cron: { schedule: rate(1 minute) }
";

    fn faults(text: &str) -> Vec<String> {
        parse(text).unwrap_err().faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_file_is_read() {
        let pipeline = parse(GOOD).unwrap();
        assert_eq!((pipeline.jobs.len(), pipeline.triggers.len()), (2, 1));
        assert_eq!(parse(&serde_yaml_ng::to_string(&pipeline).unwrap()).unwrap(), pipeline);
    }

    #[test]
    fn an_unknown_key_is_refused_at_its_line_and_column() {
        let error = parse(&GOOD.replace("operator: noop", "operatr: noop")).unwrap_err();
        let [fault] = &error.faults[..] else { panic!("{error}") };
        assert!(fault.message.contains("unknown field `operatr`"), "{fault}");
        assert_eq!((fault.line, fault.column), (Some(8), Some(5)), "{fault}");
    }

    #[test]
    fn a_wrong_type_is_refused_at_its_line() {
        let error = parse(&GOOD.replace("always_on: true", "always_on: often")).unwrap_err();
        assert_eq!(error.faults[0].line, Some(5), "{error}");
    }

    #[test]
    fn every_fault_is_reported_at_its_item() {
        let text = GOOD
            .replace("name: beat", "name: follow")
            .replace("job: beat", "job: nobody")
            .replace("rate(1 minute)", "cron(0 0 30 2 ? *)");
        let found = faults(&text);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].starts_with("line 7, column 3: ") && found[0].contains("two jobs are called \"follow\""));
        assert!(found[1].starts_with("line 11, column 3: ") && found[1].contains("nobody"));
        assert!(found[2].starts_with("line 11, column 3: ") && found[2].contains("never fires"));
    }

    #[test]
    fn a_source_takes_no_trigger_and_no_second_copy() {
        let text = GOOD
            .replace("job: beat", "job: follow")
            .replace("always_on: true", "always_on: true\n    max_concurrency: 2\n    run_timeout_seconds: 5");
        let found = faults(&text);
        assert_eq!(found.len(), 3, "{found:#?}");
    }

    #[test]
    fn a_trigger_has_exactly_one_kind() {
        let both = GOOD.replace(
            "    cron: { schedule: rate(1 minute) }\n",
            "    cron: { schedule: rate(1 minute) }\n    threshold: { chain_id: 1, measure: finalized_blocks, every: 0 }\n",
        );
        assert!(faults(&both).iter().any(|fault| fault.contains("exactly one of cron, webhook and threshold")));
        let neither = GOOD.replace("    cron: { schedule: rate(1 minute) }\n", "");
        assert!(faults(&neither).iter().any(|fault| fault.contains("exactly one of cron, webhook and threshold")));
    }

    #[test]
    fn datasets_that_feed_each_other_are_refused() {
        let text = "\
version: 1
jobs:
  - name: a
    operator: noop
    input_datasets: [logs]
    output_datasets: [143/traces]
  - name: b
    operator: noop
    input_datasets: [143/traces]
    output_datasets: [143/logs]
";
        let found = faults(text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("\"a\" → \"b\" → \"a\""), "{found:#?}");
    }
}
