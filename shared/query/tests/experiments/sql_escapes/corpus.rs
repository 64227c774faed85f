//! The attempts: one SQL text a line in `corpus/*.sql`, under a line that says what kind they are, and some that are
//! built because no file would hold them.

use std::collections::BTreeSet;

/// Somebody's attempt to get at what is not theirs.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) kind: String,
    /// With places such as `@file@`, which stand for what was planted.
    pub(crate) sql: String,
}

const FILES: [&str; 6] = [
    include_str!("corpus/files.sql"),
    include_str!("corpus/network.sql"),
    include_str!("corpus/statements.sql"),
    include_str!("corpus/catalogue.sql"),
    include_str!("corpus/hidden.sql"),
    include_str!("corpus/process.sql"),
];

/// All attempts, in the order of the files.
pub(crate) fn attempts() -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = FILES.into_iter().flat_map(read).collect();
    attempts.extend(built());
    attempts
}

/// The first attempt of each kind and every `stride`th of all.
pub(crate) fn sample(attempts: &[Attempt], stride: usize) -> Vec<Attempt> {
    let mut seen = BTreeSet::new();
    let chosen = |(i, attempt): &(usize, &Attempt)| seen.insert(attempt.kind.clone()) || i % stride == 0;
    attempts.iter().enumerate().filter(chosen).map(|(_, attempt)| attempt.clone()).collect()
}

/// A line `-- kind: …` holds for those below it; other comments and empty lines are nothing.
fn read(text: &str) -> Vec<Attempt> {
    let mut kind = "none".to_owned();
    let mut attempts = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- kind: ") {
            name.clone_into(&mut kind);
        } else if !line.is_empty() && !line.starts_with("-- ") {
            attempts.push(Attempt { kind: kind.clone(), sql: line.to_owned() });
        }
    }
    attempts
}

/// Texts that are too long, too deep, or made of characters that an editor would lose.
fn built() -> Vec<Attempt> {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("select {}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let odd = [
        "select * from read_text('@file@')\0".to_owned(),
        "select * from\0read_text('@file@')".to_owned(),
        "select * from read_text('@file@\0.csv')".to_owned(),
        "\u{feff}select * from read_text('@file@')".to_owned(),
        "select\u{a0}*\u{2003}from\u{3000}read_text('@file@')".to_owned(),
        "select\t*\r\nfrom\u{c}read_text('@file@')\u{b}".to_owned(),
        "select * from \u{200b}read_text('@file@')".to_owned(),
        "select * from read\u{200d}_text('@file@')".to_owned(),
        "select * from ｒｅａｄ_ｔｅｘｔ('@file@')".to_owned(),
        "select * from rea\u{1e0b}_text('@file@')".to_owned(),
        "select * from \u{202e}read_text('@file@')".to_owned(),
        "select /* \u{202e} */ content from READ_TEXT('@file@')".to_owned(),
        "select * from \"read_text\"('@file@')".to_owned(),
        "select * from \"Read_Text\" ( '@file@' )".to_owned(),
        "select * from U&\"read_text\"('@file@')".to_owned(),
        "select * from read_text(U&'@file@')".to_owned(),
        "select * from read_text(E'@file@')".to_owned(),
        "select * from read_text($$@file@$$)".to_owned(),
        "select * from read_text($tag$@file@$tag$)".to_owned(),
        "select /*/* nested */ */ * from /**/read_text/**/('@file@') -- x".to_owned(),
    ];
    let large = [
        nested("(", "getenv('HOME')", ")", 900),
        nested("(select ", "content from read_text('@file@')", ")", 300),
        nested("[", "getenv('HOME')", "]", 900),
        nested("abs(", "length(getenv('HOME'))", ")", 900),
        nested("not ", "(getenv('HOME') = 'x')", "", 2_000),
        nested("- ", "length(getenv('HOME'))", "", 2_000),
        format!("select {}, getenv('HOME')", vec!["1"; 20_000].join(", ")),
        format!("select '{}' || getenv('HOME')", "x".repeat(2_000_000)),
        format!("select * from read_text('{}@file@')", "/proc/self/root".repeat(200)),
        format!("select {}getenv('HOME')", "1 + ".repeat(5_000)),
        format!("{} select * from read_text('@file@')", "/* */".repeat(20_000)),
        format!("with {} select * from read_text('@file@')", common_tables(500)),
        format!("select * from read_text([{}])", vec!["'@file@'"; 2_000].join(", ")),
        format!("select {}e999 + length(getenv('HOME'))", "9".repeat(400)),
        format!("select cast({} as hugeint), getenv('HOME')", "9".repeat(4_000)),
        format!("select 1{} union all select content from read_text('@file@')", " union all select 1".repeat(500)),
    ];
    let of = |kind: &str, texts: Vec<String>| -> Vec<Attempt> {
        texts.into_iter().map(|sql| Attempt { kind: kind.to_owned(), sql }).collect()
    };
    let mut attempts = of("odd characters", odd.into());
    attempts.extend(of("oversize", large.into()));
    attempts
}

fn common_tables(count: usize) -> String {
    (0..count).map(|i| format!("c{i} as (select {i})")).collect::<Vec<_>>().join(", ")
}
