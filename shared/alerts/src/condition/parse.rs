//! From text to the tree of the `cel` crate, with places. Bounded before and while it is read.
//!
//! The parser that the crate generates recurses, and was not made for hostile texts: so a text is short, and is read on a
//! stack that is large enough for the worst of that length. Whatever goes wrong there is an error of the text.

use cel::common::ast::{Expr, IdedExpr, SourceInfo};
use cel::{Env, ParseErrors};

use crate::definition::Position;

/// Longest expression.
pub const MAX_BYTES: usize = 4096;

/// Most brackets that are open at one place.
pub const MAX_NESTING: usize = 32;

/// Most opening brackets in all, those in texts counted too.
const MAX_BRACKETS: usize = 256;

/// What reading takes at worst: a few frames for each byte of the longest expression. Not touched, it is not there.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// Something wrong at a place of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub position: Position,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Mistake {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into() }
    }
}

/// An expression as it was written.
pub(crate) struct Parsed<'text> {
    pub(crate) root: IdedExpr,
    places: SourceInfo,
    text: &'text str,
}

impl Parsed<'_> {
    /// Where `node` begins; of `a.b` that is `a`, of `f(a)` and `a.f()` the name `f`, of `a + b` the operator.
    pub(crate) fn position(&self, node: &IdedExpr) -> Position {
        let mut node = node;
        while let Expr::Select(select) = &node.expr {
            node = &select.operand;
        }
        let start = self.places.offset_for(node.id).map_or(0, |(start, _)| start);
        let start = usize::try_from(start).unwrap_or(0);
        let name = match &node.expr {
            // The parser places a call at its bracket.
            Expr::Call(call) => {
                self.text.get(..start).and_then(|before| before.trim_end().strip_suffix(call.func_name.as_str()))
            }
            _ => None,
        };
        Position::of(self.text, name.map_or(start, str::len))
    }
}

/// Reads `text` and hands it to `work`, both on a deep stack, so that nothing that recurses over the tree can exhaust one.
///
/// # Errors
/// What is wrong with the text, or what `work` finds.
pub(crate) fn with_parsed<T: Send>(
    text: &str,
    work: impl FnOnce(&Parsed<'_>) -> Result<T, Vec<Mistake>> + Send,
) -> Result<T, Vec<Mistake>> {
    check_bounds(text).map_err(|mistake| vec![mistake])?;
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("rule".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse(text).and_then(|parsed| work(&parsed)));
        let unreadable = || vec![Mistake::new(Position::START, "it cannot be read as an expression")];
        match reader.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unreadable()),
            Err(_) => Err(vec![Mistake::new(Position::START, "there was no room to read it; try again")]),
        }
    })
}

fn check_bounds(text: &str) -> Result<(), Mistake> {
    if text.trim().is_empty() {
        return Err(Mistake::new(Position::START, "it is empty; leave the field out if nothing is to be said"));
    }
    if text.len() > MAX_BYTES {
        return Err(Mistake::new(
            Position::of(text, MAX_BYTES),
            format!("it is {} bytes long, and may be {MAX_BYTES}", text.len()),
        ));
    }
    let (mut open, mut brackets) = (0usize, 0usize);
    for (offset, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' => (open, brackets) = (open + 1, brackets + 1),
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_NESTING || brackets > MAX_BRACKETS {
            let message = format!("at most {MAX_NESTING} brackets may be open, and {MAX_BRACKETS} be there in all");
            return Err(Mistake::new(Position::of(text, offset), message));
        }
    }
    Ok(())
}

/// Without the macros of CEL's library, so that `has`, `exists` and `all` stay the calls that they are written as.
fn parse(text: &str) -> Result<Parsed<'_>, Vec<Mistake>> {
    let depth = u16::try_from(MAX_NESTING).unwrap_or(u16::MAX);
    let parser = Env::default()
        .with_optional_support(false)
        .parser()
        .max_recursion_depth(depth)
        // What follows the first mistake is guessing.
        .error_recovery_limit(1);
    match parser.parse_with_source_info(text) {
        Ok((root, places)) => Ok(Parsed { root, places, text }),
        Err(errors) => Err(mistakes(text, &errors)),
    }
}

fn mistakes(text: &str, errors: &ParseErrors) -> Vec<Mistake> {
    let told = errors.errors.iter().filter(|error| !error.msg.contains("error recovery attempt limit"));
    let mut mistakes: Vec<Mistake> = told
        .map(|error| {
            let (line, column) = error.pos;
            let number = |number: isize| u32::try_from(number).ok().filter(|number| *number > 0);
            let position = number(line).zip(number(column)).filter(|_| column_is_in(text, line));
            let position = position.map_or(Position::START, |(line, column)| Position { line, column });
            Mistake::new(position, in_plain_words(&error.msg))
        })
        .take(5)
        .collect();
    if mistakes.is_empty() {
        mistakes.push(Mistake::new(Position::START, "it cannot be read as an expression"));
    }
    mistakes
}

fn column_is_in(text: &str, line: isize) -> bool {
    usize::try_from(line).is_ok_and(|line| line <= text.matches('\n').count() + 1)
}

fn in_plain_words(message: &str) -> String {
    if message.starts_with("invalid int literal") || message.starts_with("invalid uint literal") {
        return "a number beyond 64 bits is written int(\"…\"); an address or hash is written in quotes".to_owned();
    }
    if message.contains("ecursion limit") {
        return format!("at most {MAX_NESTING} expressions may be nested");
    }
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    // The list of everything that might have stood there helps nobody.
    let message = message.split(" expecting {").next().unwrap_or(message);
    if message == "UNKNOWN" { "it cannot be read as an expression".to_owned() } else { message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), Vec<Mistake>> {
        with_parsed(text, |_| Ok(()))
    }

    #[test]
    fn a_mistake_is_found_where_it_is() {
        for (text, line, column) in [
            ("", 1, 1),
            ("  \n ", 1, 1),
            ("value > 1 &&\n  && success", 2, 3),
            ("value == 99999999999999999999", 1, 10),
            ("value > 1 extra", 1, 11),
        ] {
            let mistakes = read(text).unwrap_err();
            assert_eq!(mistakes[0].position, Position { line, column }, "{text:?}: {mistakes:?}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_not_read_at_all() {
        let long = read(&"a".repeat(MAX_BYTES + 1)).unwrap_err();
        assert!(long[0].message.contains("may be 4096"), "{long:?}");
        let deep = read(&format!("{}1{}", "(".repeat(100), ")".repeat(100))).unwrap_err();
        assert_eq!(deep[0].position, Position { line: 1, column: 33 });
        let tricky = read(&format!("{}1", "('))))' + ".repeat(300))).unwrap_err();
        assert!(tricky[0].message.contains("brackets"), "{tricky:?}");
        assert_eq!(read(&format!("{}1{}", "(".repeat(16), ")".repeat(16))), Ok(()));
    }

    #[test]
    fn the_longest_chains_are_read_without_exhausting_the_stack() {
        for link in [".a", "+a", "[0]", ".a()", " in a", "==a", "&&a", "?a:a"] {
            let text = format!("a{}", link.repeat((MAX_BYTES - 1) / link.len()));
            // Right or wrong: it comes back.
            let _ = read(&text);
        }
        for text in ["!".repeat(MAX_BYTES), "-".repeat(MAX_BYTES), "\"".repeat(MAX_BYTES), "{".repeat(30)] {
            assert!(read(&text).is_err());
        }
    }

    #[test]
    fn calls_of_macros_stay_calls() {
        with_parsed("has(a) && b.exists(x, x == 1)", |parsed| {
            assert!(matches!(&parsed.root.expr, Expr::Call(call) if call.func_name == "_&&_"));
            Ok(())
        })
        .unwrap();
    }
}
