//! `docs/errors.md` lists every error code, and no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Codes that `fn code` of some error returns: string literals of the form `family.name` behind an arrow.
fn codes_in(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or(source);
    let bodies = code.split("fn code(&self)").skip(1);
    bodies
        .flat_map(|body| {
            let end = body.find("\n    }").unwrap_or(body.len());
            body[..end]
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|text| is_code(text))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn is_code(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    text.split_once('.').is_some_and(|(family, name)| word(family) && word(name))
}

#[test]
fn every_error_code_has_its_line_and_every_line_its_code() {
    let listed = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard", "*.rs"])
        .current_dir(root())
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let sources = files.lines().filter(|file| !file.contains("/tests/") && root().join(file).exists());
    let codes: BTreeSet<String> =
        sources.flat_map(|file| codes_in(&std::fs::read_to_string(root().join(file)).unwrap())).collect();
    assert!(codes.len() > 100, "codes were found: {}", codes.len());

    let page = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let lines = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = lines.filter(|code| is_code(code)).map(str::to_owned).collect();
    let missing: Vec<_> = codes.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&codes).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "missing in docs/errors.md: {missing:?}; no longer in the code: {stale:?}"
    );
}

#[test]
fn codes_are_found_in_code_and_not_in_messages() {
    let source = "fn code(&self) -> &'static str {\n match self {\n Self::A => \"x.a_b\",\n Self::B { .. } => \"x.c\",\n }\n    }\n \"y.z\"";
    assert_eq!(codes_in(source), ["x.a_b", "x.c"]);
}
