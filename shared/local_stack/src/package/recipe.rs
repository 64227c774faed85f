//! The recipe of an operator's image: a Dockerfile of five words, `FROM`, `COPY`, `VOLUME`, `USER` and `ENTRYPOINT`.
//!
//! Nothing is run while an image is made, so that what is in it is what was checked: a base that is named by its digest
//! and the files of the context.

use std::collections::BTreeSet;

/// Folder of everything that is copied.
const FOLDER: &str = "/app/";
/// Who the processes are. Terraform's task definitions say the same.
const USER: &str = "65532:65532";
/// Where something may be written: the root file system is read-only.
const SCRATCH: &str = "/tmp";
/// What a recipe says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// Images behind `FROM`.
    pub bases: Vec<String>,
    /// Each copied file of the context, and where it goes.
    pub copies: Vec<(String, String)>,
    /// Folders behind `VOLUME`.
    pub volumes: Vec<String>,
    /// Users behind `USER`.
    pub users: Vec<String>,
    /// Commands behind `ENTRYPOINT`, each as its words.
    pub entrypoints: Vec<Vec<String>>,
}

impl Recipe {
    /// Reads the text of a Dockerfile.
    ///
    /// # Errors
    /// A sentence with the line that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut recipe = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            recipe.take(line).map_err(|what| format!("line {}, `{line}`: {what}", index + 1))?;
        }
        Ok(recipe)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').ok_or("an instruction and what it is for are expected")?;
        match word {
            "FROM" => self.bases.push(rest.to_owned()),
            "COPY" => self.copies.extend(copies(rest)?),
            "VOLUME" => self.volumes.extend(list(rest)?),
            "USER" => self.users.push(rest.to_owned()),
            "ENTRYPOINT" => self.entrypoints.push(list(rest)?),
            _ => return Err(format!("{word} is not among FROM, COPY, VOLUME, USER and ENTRYPOINT")),
        }
        Ok(())
    }

    /// What is wrong with the recipe for a context of these files, a sentence each. The first is the first process, the one
    /// that ECS tells to stop: an operator's worker, or an errand.
    pub fn faults<'a>(&self, context: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let context: Vec<&str> = context.into_iter().collect();
        let mut faults = Vec::new();
        let mut expect = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        let digest = self.bases.first().and_then(|base| base.split_once("@sha256:")).map(|(_, digest)| digest);
        let is_pinned = digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(is_hex));
        expect(self.bases.len() == 1 && is_pinned, format!("one base with a digest is expected, not {:?}", self.bases));
        expect(self.users == [USER], format!("the user must be {USER}, not {:?}", self.users));
        expect(self.volumes == [SCRATCH], format!("the volume must be {SCRATCH}, not {:?}", self.volumes));
        let first = format!("{FOLDER}{}", context.first().copied().unwrap_or_default());
        let is_first = matches!(self.entrypoints.as_slice(), [words] if *words == [first.as_str()]);
        expect(is_first, format!("the entry point must be [\"{first}\"], not {:?}", self.entrypoints));
        for (source, place) in &self.copies {
            let wanted = format!("{FOLDER}{source}");
            expect(*place == wanted, format!("{source} must be copied to {wanted}, not {place}"));
        }
        let copied: BTreeSet<&str> = self.copies.iter().map(|(source, _)| source.as_str()).collect();
        let context: BTreeSet<&str> = context.into_iter().collect();
        for name in context.difference(&copied) {
            expect(false, format!("{name} is not copied"));
        }
        for name in copied.difference(&context) {
            expect(false, format!("{name} is copied and does not belong to the operator"));
        }
        faults
    }
}

/// Sources and the folder that they go to. A flag would be a file of a strange name, and no file of the context is.
fn copies(rest: &str) -> Result<Vec<(String, String)>, String> {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    let folder =
        words.pop().filter(|folder| folder.ends_with('/')).ok_or("a folder with `/` at its end is expected")?;
    let name = |source: &str| source.rsplit('/').next().unwrap_or(source).to_owned();
    Ok(words.into_iter().map(|source| (source.to_owned(), format!("{folder}{}", name(source)))).collect())
}

/// The JSON form only: the other one would start a shell, and there is none.
fn list(rest: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(rest).map_err(|_not_json| "a JSON list of words is expected".to_owned())
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# An image.
FROM registry.example/base:tag@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
COPY worker operator /app/
COPY lib/library.so /app/lib/
VOLUME [\"/tmp\"]
USER 65532:65532
ENTRYPOINT [\"/app/worker\"]
";
    const CONTEXT: [&str; 3] = ["worker", "operator", "lib/library.so"];

    #[test]
    fn a_recipe_with_all_that_it_needs_has_no_faults() {
        assert_eq!(Recipe::parse(GOOD).unwrap().faults(CONTEXT), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_is_found() {
        let digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let mistakes = [
            (digest, "", "one base with a digest"),
            ("abcdef\nCOPY", "abcde\nCOPY", "one base with a digest"),
            ("USER 65532:65532\n", "", "the user must be"),
            ("USER 65532:65532", "USER root", "the user must be"),
            ("VOLUME [\"/tmp\"]\n", "", "the volume must be"),
            ("[\"/app/worker\"]", "[\"/app/operator\"]", "the entry point must be"),
            ("[\"/app/worker\"]", "[\"/app/worker\", \"--debug\"]", "the entry point must be"),
            ("worker operator /app/", "worker /app/", "operator is not copied"),
            ("worker operator /app/", "worker operator notes.txt /app/", "notes.txt is copied and does not belong"),
            ("worker operator /app/", "--chmod=777 worker operator /app/", "--chmod=777 is copied"),
            ("/app/lib/", "/lib/", "must be copied to /app/lib/library.so"),
        ];
        for (right, wrong, fault) in mistakes {
            assert!(GOOD.contains(right), "{right}");
            let faults = Recipe::parse(&GOOD.replacen(right, wrong, 1)).unwrap().faults(CONTEXT);
            assert!(faults.iter().any(|found| found.contains(fault)), "{wrong:?}: {faults:?}");
        }
    }

    #[test]
    fn what_runs_something_or_starts_a_shell_is_not_understood() {
        for line in ["RUN true", "CMD [\"sh\"]", "ADD x /app/", "ENTRYPOINT /app/worker", "COPY worker /app", "USER"] {
            let error = Recipe::parse(&format!("{GOOD}{line}\n")).unwrap_err();
            assert!(error.starts_with("line 8, "), "{line}: {error}");
        }
    }
}
