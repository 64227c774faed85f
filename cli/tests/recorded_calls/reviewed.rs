//! Permissions that are granted though nobody is seen to use them: `terraform/reviewed-permissions.yaml`.

use isotherm_lab::tools;
use serde::Deserialize;

use crate::policy::{is_action, matches};

/// The file, for people.
pub(crate) const FILE: &str = "terraform/reviewed-permissions.yaml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    permissions: Vec<Reviewed>,
}

/// One entry. Role and resource are patterns for what a policy says; account and region are written `ACCOUNT` and `REGION`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reviewed {
    pub(crate) role: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) called: Called,
    pub(crate) reason: String,
}

/// Whether a recording may show a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Called {
    /// By nothing that the emulator sees.
    Never,
    /// By whoever comes first, or only when something goes wrong.
    Sometimes,
}

/// Something that a role is allowed, as its policy says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    pub(crate) role: String,
    pub(crate) action: String,
    /// With `ACCOUNT` and `REGION`.
    pub(crate) resource: String,
}

impl Reviewed {
    pub(crate) fn covers(&self, grant: &Grant) -> bool {
        matches(&self.role, &grant.role)
            && is_action(&self.action, &grant.action)
            && matches(&self.resource, &grant.resource)
    }
}

impl Grant {
    /// The entry that it lacks. The reason is for a person to write.
    pub(crate) fn line(&self) -> String {
        let Self { role, action, resource } = self;
        format!("  - {{ role: {role}, action: \"{action}\", resource: \"{resource}\", called: never, reason: \"\" }}")
    }
}

/// Reads the file; its form is a panic.
pub(crate) fn read() -> Vec<Reviewed> {
    let path = tools::repository_root().unwrap().join(FILE);
    parse(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|fault| panic!("{FILE}: {fault}"))
}

fn parse(text: &str) -> Result<Vec<Reviewed>, String> {
    let document: Document = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    if document.version != 1 {
        return Err(format!("version {} is not known", document.version));
    }
    if let Some(entry) = document.permissions.iter().find(|entry| entry.action.contains(['*', '?'])) {
        return Err(format!("{} of {} is a pattern; name its actions one by one", entry.action, entry.role));
    }
    match document.permissions.iter().find(|entry| entry.reason.trim().is_empty()) {
        Some(entry) => Err(format!("{} of {} is granted without a reason", entry.action, entry.role)),
        None => Ok(document.permissions),
    }
}

mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_report_is_an_entry_once_it_has_a_reason() {
        let grant = Grant {
            role: "isotherm-noop-execution".to_owned(),
            action: "logs:PutLogEvents".to_owned(),
            resource: "arn:aws:logs:REGION:ACCOUNT:log-group:/isotherm/operators/isotherm-noop:*".to_owned(),
        };
        let text = format!("version: 1\npermissions:\n{}\n", grant.line());
        let refused = parse(&text).unwrap_err();
        assert_eq!(refused, "logs:PutLogEvents of isotherm-noop-execution is granted without a reason");
        let entries = parse(&text.replace("reason: \"\"", "reason: the log driver")).unwrap();
        assert!(entries[0].covers(&grant) && entries[0].called == Called::Never);
        let other = Grant { role: "isotherm-noop-operator".to_owned(), ..grant };
        assert!(!entries[0].covers(&other));
    }

    #[test]
    fn a_pattern_of_actions_is_not_reviewed() {
        for action in ["s3:*", "s3:Put?bject", "*"] {
            let text = format!(
                "version: 1\npermissions: [{{ role: a, action: \"{action}\", resource: c, called: never, reason: d }}]"
            );
            assert_eq!(parse(&text).unwrap_err(), format!("{action} of a is a pattern; name its actions one by one"));
        }
    }

    #[test]
    fn an_entry_with_a_word_too_many_is_refused() {
        let text = "version: 1\npermissions: [{ role: a, action: b, resource: c, called: never, reason: d, until: e }]";
        assert!(parse(text).unwrap_err().contains("until"));
    }
}
