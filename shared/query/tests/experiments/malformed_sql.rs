//! Texts that are no SQL, or so much of it that reading it would cost hundreds of megabytes. Each is refused under a stable
//! code; no process dies of one.
//!
//! The doors are those that a query's text goes through: literals, DuckDB's own parser in a process of its own, the gate.
//! Whether a query that parses may run is tried elsewhere (`sql_escapes`), and what it may cost then (`hostile_queries`).

use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Judge, Refusals, Verdict};
use isotherm_query::gate::{self, Given};
use isotherm_query::parameters::Parameters;
use isotherm_query::sandbox_process::{SandboxProcess, StepError};
use isotherm_query::{QueryError, literals};
use isotherm_types::sandbox::{FailureReason, Limits, Request, Response};
use isotherm_types::{Classified as _, Disposition};
use serde_json::Value;

use crate::limits::limits;
use crate::sandbox_program;

/// Longest text that the function hands on; `MAX_SQL_BYTES` of `lambdas/query/src/request.rs`.
const MAX_SQL_BYTES: usize = 256 << 10;

/// Processor time of a sandbox, its start included, after which the kernel ends it.
const CPU_SECONDS: u64 = 2;

/// What a sandbox may have resident: [`isotherm_lab::malformed::MOST_BYTES`], and what one has that does nothing.
const RESIDENT_BYTES: u64 = 640 << 20;

const GOOD: [&str; 8] = [
    "select count(*) from transactions where block_number between 1 and 100",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) from n",
    "select t.* exclude (input) replace (value / 1e18 as value) from transactions t order by all desc nulls last limit 10",
    "select * from logs where topic0 = 0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef and 'x' like e'\\n'",
    "select row_number() over (partition by author order by block_number rows between 3 preceding and current row) from blocks",
    "select list_transform([1, 2], x -> x + 1), {'a': 1}.a, map {'a': 1}['a'], $$text$$, interval 3 days",
    "select case gas_used when 1 then 2 end, cast(value as decimal(10, 2)), x::int[] from blocks join logs using (block_number)",
    "/* a /* b */ */ select 1 -- c\n union all by name select 2",
];

const WORDS: [&str; 40] = [
    "select ",
    "from ",
    "where ",
    "(",
    ")",
    "((",
    "[",
    "]",
    "{",
    "}",
    "'",
    "''",
    "\"",
    "$$",
    "$a$",
    "$1",
    "?",
    ":a",
    "/*",
    "*/",
    "--",
    ";",
    ",",
    "0x",
    "0xabc",
    "0xzz",
    "e'\\x",
    "::",
    "->",
    "->>",
    "case when ",
    "with recursive ",
    "union all ",
    "over (",
    "interval ",
    "not ",
    "- ",
    "pivot ",
    "\u{a0}",
    "\u{fe0f}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_malformed_sql() {
    let mut experiment = Experiment::begin("malformed_sql", &["size"]);
    let is_bounded = !experiment.lacks("size");
    for sql in GOOD {
        assert_eq!(ask(open().await, sql, true).await, Verdict::Taken, "{sql}");
    }
    let source = Bytes::new(GOOD.map(|sql| sql.as_bytes().to_vec()), &WORDS, 40_000);
    let mut random = experiment.random(1);
    let count = experiment.scaled(150, 10_000);
    let mut judge = Judge::new(Refusals::Final);
    for _ in 0..count {
        let sql = String::from_utf8_lossy(&source.draw(&mut random)).into_owned();
        let sandbox = open().await;
        judge.watch_async(sql.as_bytes(), ask(sandbox, &sql, true)).await;
    }
    let huge = huge();
    for sql in &huge {
        assert!(sql.len() <= MAX_SQL_BYTES, "the function lets it through");
        let sandbox = open().await;
        judge.watch_async(sql.as_bytes(), ask(sandbox, sql, is_bounded)).await;
    }
    judge.report(&mut experiment, i64::try_from(count + huge.len()).unwrap());
    experiment.finish();
}

/// The longest texts.
fn huge() -> Vec<String> {
    let filled =
        |head: &str, piece: &str| format!("{head}{}1", piece.repeat((MAX_SQL_BYTES - head.len() - 1) / piece.len()));
    vec![
        filled("select ", "1,"),
        filled("select ", "("),
        filled("", "/*"),
        filled("", "$a"),
        filled("select ", "0x"),
        filled("select '", "''"),
    ]
}

async fn open() -> SandboxProcess {
    let mut sandbox = SandboxProcess::start(&sandbox_program::path(), RESIDENT_BYTES).unwrap();
    let limits = Limits { cpu_seconds: CPU_SECONDS, ..limits(512 << 20) };
    let opened = sandbox.ask(&Request::Open(limits)).await;
    assert!(matches!(opened, Ok(Response::Opened { .. })), "{opened:?}");
    sandbox
}

/// What becomes of a text; if it is not bounded, its tree is read however long it is.
async fn ask(mut sandbox: SandboxProcess, sql: &str, is_bounded: bool) -> Verdict {
    let statement = match literals::rewrite(sql) {
        Ok(statement) => statement,
        Err(error) => return refused(&error.into()),
    };
    let tree = match sandbox.ask(&Request::Parse { sql: statement.text().to_owned() }).await {
        Ok(Response::Parsed { tree }) => tree,
        Ok(other) => return Verdict::Broken(format!("the sandbox answers {other:?}")),
        Err(StepError::Failure(failure)) => {
            return match failure.reason {
                FailureReason::Syntax => Verdict::refused("query.syntax"),
                FailureReason::NotAQuery => Verdict::refused("query.refused"),
                reason => Verdict::Broken(format!("{reason:?}: {}", failure.message)),
            };
        }
        Err(StepError::Broken(error)) => return Verdict::Broken(format!("the sandbox is gone: {error}")),
    };
    if !is_bounded {
        let _ = std::hint::black_box(serde_json::from_str::<Value>(&tree));
    }
    let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let given = Given { statement: &statement, parameters: &Parameters::default(), now };
    match gate::check(tree, &given) {
        Ok(_) => Verdict::Taken,
        Err(refusal) => refused(&QueryError::Refused(refusal)),
    }
}

fn refused(error: &QueryError) -> Verdict {
    let is_passing = error.disposition() != Disposition::GiveUp;
    Verdict::Refused { code: error.code().to_owned(), is_passing }
}
