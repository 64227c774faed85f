//! The words of `isotherm audit`.

use std::time::Duration;

use clap::Args;

use super::Printed;
use super::span::span;

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// Only changes of this subject: task:NUMBER, job:NAME, trigger:NAME, chain:NAME, rule:NAME or channel:NAME
    #[arg(long, value_name = "SUBJECT", value_parser = SubjectWord::parse)]
    pub(crate) subject: Option<SubjectWord>,
    /// Only changes made by this actor, as the list names it
    #[arg(long, value_name = "ACTOR")]
    pub(crate) actor: Option<String>,
    /// Only changes made within this time, such as 90s, 15m, 1h or 7d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) since: Option<Duration>,
    /// Only changes before the one with this number: the next page
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<i64>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// A subject as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubjectWord {
    Task(i64),
    Job(String),
    Trigger(String),
    /// By name or chain id.
    Chain(String),
    Rule(String),
    Channel(String),
}

impl SubjectWord {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no subject; write task:NUMBER, job:NAME, trigger:NAME, chain:NAME, rule:NAME or channel:NAME"
            )
        };
        match text.split_once(':').ok_or_else(wrong)? {
            (_, "") => Err(wrong()),
            ("task", number) => number.parse().map(Self::Task).map_err(|_unreadable| wrong()),
            ("job", name) => Ok(Self::Job(name.to_owned())),
            ("trigger", name) => Ok(Self::Trigger(name.to_owned())),
            ("chain", name) => Ok(Self::Chain(name.to_owned())),
            ("rule", name) => Ok(Self::Rule(name.to_owned())),
            ("channel", name) => Ok(Self::Channel(name.to_owned())),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_kind_and_its_name() {
        for (text, subject) in [
            ("task:7", SubjectWord::Task(7)),
            ("job:follow-demo", SubjectWord::Job("follow-demo".to_owned())),
            ("trigger:a", SubjectWord::Trigger("a".to_owned())),
            ("chain:143", SubjectWord::Chain("143".to_owned())),
            ("rule:whales", SubjectWord::Rule("whales".to_owned())),
            ("channel:pager", SubjectWord::Channel("pager".to_owned())),
        ] {
            assert_eq!(SubjectWord::parse(text), Ok(subject), "{text}");
        }
        for text in ["", "task", "task:", "task:x", "org:1", "7"] {
            assert!(SubjectWord::parse(text).unwrap_err().contains("task:NUMBER"), "{text}");
        }
    }
}
