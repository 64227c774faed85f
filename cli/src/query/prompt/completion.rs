//! What may stand where the cursor is.

use isotherm_query::platform_tables;
use isotherm_types::Dataset;
use isotherm_types::sandbox::PLATFORM_SCHEMA;

use super::commands::{self, HELP};
use super::words::{self, Relation};
use crate::query::lexer::{self, Kind, Token};

/// What follows after `\format`.
const FORMATS: [&str; 4] = ["table", "expanded", "csv", "json"];

/// What the rest of a line may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// One of these words, from this byte on.
    Words(usize, Vec<String>),
    /// The name of a file.
    File,
}

/// What may stand at byte `position` of `line`.
pub(super) fn complete(line: &str, position: usize) -> Completion {
    let Some(before) = line.get(..position) else { return Completion::Words(position, vec![]) };
    if commands::is_command(before) {
        return of_command(before);
    }
    let tokens = lexer::tokens(line);
    let at = tokens.partition_point(|token| token.start < position);
    let (first, last) = statement(&tokens, at);
    let (behind, start) = match tokens[..at].last() {
        Some(token) if !token.closed || is_inside(line, *token, position) => {
            return Completion::Words(position, vec![]);
        }
        Some(token) if token.kind == Kind::Word => (at - 1, token.start),
        _ => (at, position),
    };
    let context = Context { line, statement: &tokens[first..last], before: &tokens[first..behind] };
    let typed = &line[start..position];
    let mut words: Vec<String> = Vec::new();
    for word in context.words(typed) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    Completion::Words(start, words)
}

fn of_command(before: &str) -> Completion {
    let typed = before.rsplit(char::is_whitespace).next().unwrap_or("");
    let start = before.len() - typed.len();
    let begins = |word: &String| word.starts_with(typed);
    let possible: Vec<&str> = match before.split_whitespace().next().unwrap_or("") {
        name if name.len() == typed.len() && before.trim_start().len() == typed.len() => {
            HELP.iter().filter_map(|(command, _)| command.split(' ').next()).collect()
        }
        "\\d" => return Completion::Words(start, Relation::all().map(Relation::name).filter(begins).collect()),
        "\\format" => FORMATS.to_vec(),
        "\\as_of" => vec!["off"],
        "\\i" | "\\o" => return Completion::File,
        _ => vec![],
    };
    let mut words: Vec<String> = possible.into_iter().map(str::to_owned).filter(begins).collect();
    words.dedup();
    Completion::Words(start, words)
}

/// Whether the cursor is where words mean nothing.
fn is_inside(line: &str, token: Token, position: usize) -> bool {
    match token.kind {
        Kind::Comment => position < token.end || line[token.range()].starts_with("--"),
        Kind::Text | Kind::QuotedName => position < token.end,
        Kind::Number => position <= token.end,
        Kind::Space | Kind::Word | Kind::Semicolon | Kind::Sign => false,
    }
}

/// The tokens of the statement that token `at` belongs to.
fn statement(tokens: &[Token], at: usize) -> (usize, usize) {
    let is_end = |token: &Token| token.kind == Kind::Semicolon;
    let first = tokens[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
    let last = tokens[at..].iter().position(is_end).map_or(tokens.len(), |end| at + end);
    (first, last)
}

/// A statement, and what of it stands before the word that is being typed.
struct Context<'l> {
    line: &'l str,
    statement: &'l [Token],
    before: &'l [Token],
}

impl Context<'_> {
    fn text(&self, token: &Token) -> &str {
        &self.line[token.range()]
    }

    /// Words that begin with `typed`, the likeliest first.
    fn words(&self, typed: &str) -> Vec<String> {
        let before: Vec<&Token> = self.before.iter().filter(|token| token.counts()).collect();
        let begins = |word: &&str| word.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed));
        let named = self.relations();
        if let [.., name, dot] = before[..]
            && self.text(dot) == "."
        {
            let wanted = self.text(name);
            let of = named.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            let columns = of.flat_map(|(_, relation)| relation.columns());
            let is_schema = wanted.eq_ignore_ascii_case(PLATFORM_SCHEMA);
            let tables = platform_tables::ALL.iter().filter(|_| is_schema).map(|table| table.name);
            return columns.chain(tables).filter(begins).map(str::to_owned).collect();
        }
        let relations = || Relation::all().map(Relation::name).filter(move |name| begins(&name.as_str()));
        let last = before.last().map_or("", |token| self.text(token));
        if ["from", "join"].iter().any(|word| word.eq_ignore_ascii_case(last)) {
            return relations().collect();
        }
        let own = named.iter().flat_map(|(_, relation)| relation.columns()).filter(begins).map(str::to_owned);
        if typed.is_empty() {
            return if named.is_empty() { relations().collect() } else { own.collect() };
        }
        let of_chains = Dataset::ALL.into_iter().map(Relation::Chains);
        let other = of_chains.flat_map(Relation::columns).filter(begins).map(str::to_owned);
        let functions = words::functions().filter(begins).map(|name| format!("{name}("));
        let in_capitals = !typed.chars().any(char::is_lowercase);
        let keywords = words::keywords().filter(begins);
        let keywords = keywords.map(|word| if in_capitals { word.to_uppercase() } else { word.to_owned() });
        own.chain(other).chain(relations()).chain(keywords).chain(functions).collect()
    }

    /// The relations that the statement names, by their names and aliases.
    fn relations(&self) -> Vec<(&str, Relation)> {
        let tokens: Vec<&Token> = self.statement.iter().filter(|token| token.counts()).collect();
        let mut named = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            let name = self.text(token);
            let schema = match tokens[..index] {
                [.., schema, dot] if self.text(dot) == "." => Some(self.text(schema)),
                _ => None,
            };
            let found = Relation::named(schema, name).filter(|_| token.kind == Kind::Word);
            let Some(relation) = found else { continue };
            named.push((name, relation));
            let mut next = tokens[index + 1..].iter().map(|token| (token.kind, self.text(token)));
            let alias = match next.next() {
                Some((_, word)) if word.eq_ignore_ascii_case("as") => next.next(),
                other => other,
            };
            if let Some((Kind::Word, alias)) = alias.filter(|(_, word)| !words::is_keyword(word)) {
                named.push((alias, relation));
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words at the `|` of `line`.
    fn at(line: &str) -> Vec<String> {
        let position = line.find('|').unwrap();
        match complete(&line.replace('|', ""), position) {
            Completion::Words(_, words) => words,
            Completion::File => vec!["a file".to_owned()],
        }
    }

    #[test]
    fn columns_of_the_relations_that_are_named_come_first() {
        assert_eq!(at("select block_nu| from blocks"), ["block_number"]);
        let first = at("select trans| from logs");
        assert!(Relation::Chains(Dataset::Logs).columns().contains(&first[0].as_str()), "{first:?}");
        assert!(first.contains(&"transactions".to_owned()), "{first:?}");
        assert!(at("select block_t|").contains(&"block_time".to_owned()));
        let all = at("select | from blocks");
        assert!(all.contains(&"author".to_owned()) && !all.contains(&"select".to_owned()), "{all:?}");
    }

    #[test]
    fn a_relation_follows_from_and_join() {
        let all = at("select 1 from |");
        assert_eq!(all[..5], ["blocks", "transactions", "logs", "traces", "isotherm.tasks"]);
        assert_eq!(all.len(), 4 + platform_tables::ALL.len());
        assert_eq!(at("select 1 from iso| a")[..2], ["isotherm.tasks", "isotherm.task_attempts"]);
        assert_eq!(at("select 1 FROM blocks JOIN l|"), ["logs"]);
    }

    #[test]
    fn behind_a_dot_there_are_columns_of_what_is_before_it() {
        let columns: Vec<String> = Relation::Chains(Dataset::Logs).columns().into_iter().map(str::to_owned).collect();
        assert_eq!(at("select l.| from blocks b join logs as l on true"), columns);
        assert_eq!(at("select LOGS.log_i| from logs"), ["log_index"]);
        assert_eq!(at("select x.| from logs"), Vec::<String>::new());
        let another = "select l.| from blocks; select 1 from logs l";
        assert_eq!(at(another), Vec::<String>::new(), "an alias of another statement");
    }

    #[test]
    fn the_platforms_own_tables_are_completed_behind_their_schema() {
        assert_eq!(at("select 1 from isotherm.task|"), ["tasks", "task_attempts", "task_inputs"]);
        assert_eq!(at("select 1 from Isotherm.|").len(), platform_tables::ALL.len());
        assert_eq!(at("select t.progress_d| from isotherm.tasks t"), ["progress_done"]);
        assert_eq!(at("select tasks.job_n| from isotherm.tasks"), ["job_name"]);
        assert_eq!(at("select fire_k| from blocks join isotherm.trigger_fires as f on true"), ["fire_key"]);
        assert_eq!(at("select t.| from tasks t"), Vec::<String>::new(), "there is no such relation");
    }

    #[test]
    fn keywords_are_as_the_others_are_written_and_functions_are_opened() {
        assert_eq!(at("sele|"), ["select"]);
        assert_eq!(at("SELE|"), ["SELECT"]);
        assert!(at("select coun|").contains(&"count(".to_owned()));
        assert!(at("select wei_to|").contains(&"wei_to_eth(".to_owned()));
    }

    #[test]
    fn nothing_is_offered_inside_of_strings_comments_and_numbers() {
        let quoted = ["select 'block|", "select 'block|'", "select \"block|\""];
        for line in quoted.into_iter().chain(["-- block|", "/* block| */", "select 0x|"]) {
            assert_eq!(at(line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn commands_are_completed_and_what_they_take() {
        assert_eq!(at("\\ti|"), ["\\timing"]);
        assert_eq!(at("\\d|"), ["\\d"]);
        assert_eq!(at("\\d lo|"), ["logs"]);
        assert_eq!(at("\\d isotherm.audit|"), ["isotherm.audit_log"]);
        assert_eq!(at("\\format |"), FORMATS);
        assert_eq!(at("\\i x|"), ["a file"]);
        assert_eq!(at("\\timing |"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn what_is_offered_goes_on_with_what_is_typed(
            line in "(select |from blocks b |b\\.|block|'|--|;|\\PC){0,8}|\\\\(d|format) \\PC{0,3}", cut in 0_usize..60
        ) {
            let position = (0..=cut.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
            if let Completion::Words(start, words) = complete(&line, position) {
                prop_assert!(start <= position);
                let typed = line[start..position].to_lowercase();
                prop_assert!(words.iter().all(|word| word.to_lowercase().starts_with(&typed)), "{:?}", words);
            }
        }
    }
}
