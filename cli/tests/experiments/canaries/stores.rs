//! Where a secret may have got to: rows, objects, what was said, and the files of a stack that has ended.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, PgConnection};

use super::search::{Hit, Search};

/// Tables of whoever made some, and nobody's own catalogue.
const TABLES: &str = "
    SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^(pg_|information_schema$)'
     ORDER BY 1";
/// What Postgres itself keeps of roles, and remembers of statements.
const OWN: [(&str, &str); 2] = [
    ("roles", "SELECT concat_ws(' ', rolname, rolpassword) FROM pg_authid"),
    ("statements", "SELECT coalesce(query, '') FROM pg_stat_activity"),
];

/// Files that hold secrets because that is their purpose, below the data folder. All are their owner's only.
const HOLDERS: [&str; 5] = [
    "identity/alerts.json",
    "identity/key.pem",
    "identity/token",
    "up/aws/state/secretsmanager.json",
    "up/postgres/password",
];
/// What the emulator was asked to send, which it keeps in the place of the mailbox and the telephone.
const SENT: [&str; 2] = ["up/aws/state/ses", "up/aws/state/sns"];
/// Lines in which the emulator's log says the same.
const SAID_OF_SENT: [&str; 2] = ["SESv2 SendEmail:", "SNS SMS to "];
/// What leads to people, and no more.
const ADDRESSES: [&str; 3] = ["mailbox", "telephone", "code"];
/// Programs, as they were built: nothing of this run can be in them.
const PROGRAMS: [&str; 3] = ["isotherm-artifacts", "up/aws/tmp/", "up/bundles/"];

/// A secret where none may be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Find {
    pub(crate) place: String,
    pub(crate) hit: Hit,
}

/// What was searched, and what was found there.
#[derive(Default)]
pub(crate) struct Searched {
    /// Rows, objects, outputs or files.
    pub(crate) things: usize,
    pub(crate) bytes: usize,
    pub(crate) finds: Vec<Find>,
}

impl Searched {
    pub(crate) fn add(&mut self, search: &Search, place: &str, text: &[u8]) {
        self.things += 1;
        self.bytes += text.len();
        let found = search.find(text).into_iter().map(|hit| Find { place: place.to_owned(), hit });
        self.finds.extend(found);
        self.finds.sort();
        self.finds.dedup();
    }

    /// How many secrets are somewhere, each place and form counted; each is printed by its name.
    pub(crate) fn count(&self) -> i64 {
        for Find { place, hit: (canary, form) } in &self.finds {
            println!("{canary} is in {place}, as {form}");
        }
        i64::try_from(self.finds.len()).unwrap()
    }
}

/// Each row of each table.
pub(crate) async fn rows(conn: &mut PgConnection, search: &Search) -> Searched {
    let mut searched = Searched::default();
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *conn).await.unwrap();
    let statements = tables.into_iter().map(|table| (table.clone(), format!("SELECT t::text FROM {table} t")));
    let own = OWN.map(|(name, statement)| (name.to_owned(), statement.to_owned()));
    for (place, statement) in statements.chain(own) {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut *conn).await.unwrap();
        rows.iter().for_each(|row| searched.add(search, &format!("rows of {place}"), row.as_bytes()));
    }
    searched
}

/// Each object of `buckets`, its key too.
pub(crate) async fn objects(s3: &aws_sdk_s3::Client, buckets: &[String], search: &Search) -> Searched {
    let mut searched = Searched::default();
    for bucket in buckets {
        let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
        while let Some(page) = pages.next().await {
            for key in page.unwrap().contents().iter().filter_map(|object| object.key()) {
                let answer = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
                let bytes = answer.body.collect().await.unwrap().into_bytes();
                searched.add(search, &format!("{bucket}/{key}"), &bytes);
                searched.add(search, &format!("a key of {bucket}"), key.as_bytes());
            }
        }
    }
    searched
}

/// All files below the data folder of a stack that has ended, logs and queues among them.
///
/// # Panics
/// If a file that holds secrets is missing, or may be read by others.
pub(crate) fn files(folder: &Path, search: &Search) -> Searched {
    for holder in HOLDERS {
        owners_only(&folder.join(holder));
    }
    let mut searched = Searched::default();
    for path in below(folder) {
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
        if HOLDERS.contains(&name) || PROGRAMS.iter().any(|program| name.contains(program)) {
            continue;
        }
        let text = fs::read(&path).unwrap();
        if name == "up/aws/ministack.stderr" {
            let is_of_sent = |line: &&[u8]| SAID_OF_SENT.iter().any(|word| has(line, word));
            let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !is_of_sent(line)).collect();
            searched.add(search, name, &lines.join(&b'\n'));
        } else {
            searched.add(search, name, &text);
        }
    }
    let is_sent = |find: &Find| SENT.iter().any(|file| find.place.starts_with(file)) && ADDRESSES.contains(&find.hit.0);
    searched.finds.retain(|find| !is_sent(find));
    searched
}

/// How many of `functions` have written nothing at level `debug` into the emulator's logs: those would be searched in vain.
pub(crate) fn functions_without_lines(folder: &Path, functions: &[&str]) -> i64 {
    let state = below(&folder.join("up/aws/state"));
    let is_log = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("logs"));
    let mut text: Vec<u8> = state.iter().filter(|path| is_log(path)).flat_map(|path| fs::read(path).unwrap()).collect();
    text.extend(fs::read(folder.join("up/aws/ministack.stderr")).unwrap());
    // Lines are texts of JSON within JSON.
    text.retain(|byte| *byte != b'\\');
    let is_silent = |function: &&&str| {
        let line = format!("\"message\":\"telemetry started\",\"service.name\":\"{function}\"");
        !has(&text, &line)
    };
    let silent: Vec<_> = functions.iter().filter(is_silent).collect();
    silent.iter().for_each(|function| println!("{function} has logged nothing"));
    i64::try_from(silent.len()).unwrap()
}

/// How many of the operators that the drive uses have no line at level `debug` in any log.
pub(crate) fn operators_without_debug_lines(folder: &Path) -> i64 {
    let operators = ["block_follower", "parquet_compact", "integrity_check", "noop"];
    let is_silent = |operator: &&&str| !logs(folder, operator).iter().any(|log| has(log, "\"level\":\"DEBUG\""));
    let silent: Vec<_> = operators.iter().filter(is_silent).collect();
    silent.iter().for_each(|operator| println!("{operator} has logged nothing at debug"));
    i64::try_from(silent.len()).unwrap()
}

/// 0 if the operator that was to panic did so, and its log has the stack of it.
pub(crate) fn panics_without_a_stack(folder: &Path) -> i64 {
    let logs = logs(folder, "noop");
    let told = |log: &Vec<u8>| has(log, "the job is configured to panic") && has(log, "stack backtrace:");
    i64::from(!logs.iter().any(told))
}

/// Logs of an operator's workers.
fn logs(folder: &Path, operator: &str) -> Vec<Vec<u8>> {
    let is_of = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(operator));
    below(&folder.join("up/logs")).iter().filter(|path| is_of(path)).map(|path| fs::read(path).unwrap()).collect()
}

/// # Panics
/// If the file is not there, or others may read it.
pub(crate) fn owners_only(path: &Path) {
    let mode = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{} may be read by others", path.display());
}

/// Every file below `folder`.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(below(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Whether `word` is in `text`.
pub(crate) fn has(text: &[u8], word: &str) -> bool {
    // The standard library's own search: windows of bytes take minutes in a build for tests.
    String::from_utf8_lossy(text).contains(word)
}
