//! A YAML text as a tree whose every key and value knows its place.
//!
//! Only what a chains file needs: mappings, lists, text. Anchors, aliases, tags, keys that stand twice, a second
//! document and deep nesting are faults; nothing expands. What a plain scalar means is decided where it is needed.

use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::read::Fault;
use super::tree::{Entry, Kind, Slip};

/// Lists and mappings within each other; a chains file needs four.
const MAX_DEPTH: usize = 16;

/// Line and column, both from 1; columns are counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// The beginning of a file.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    fn of(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }

    /// Where `text` ends.
    pub(super) fn end_of(text: &str) -> Self {
        let last_line = text.rsplit('\n').next().unwrap_or(text);
        Self { line: text.matches('\n').count() + 1, column: last_line.chars().count() + 1 }
    }

    /// The fault `message` at this place.
    pub(super) fn fault(self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, column: self.column, message: message.into() }
    }
}

/// A value in a text.
pub(super) type Node = super::tree::Node<Place>;

impl From<Slip<Place>> for Fault {
    fn from(slip: Slip<Place>) -> Self {
        slip.place.fault(slip.message)
    }
}

/// Reads `text`.
///
/// # Errors
/// The first fault.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    // The parser takes it for the end of the file.
    if text.contains('\0') {
        return Err(Place::START.fault("the file holds a NUL character"));
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Place::of(error.marker()).fault(format!("this is no YAML: {}", error.info())))?;
        builder.take(event, Place::of(&span.start))?;
    }
    builder.root.ok_or_else(|| Place::START.fault("the file is empty"))
}

/// A list or mapping that has begun.
enum Open {
    List { place: Place, items: Vec<Node> },
    Map { place: Place, entries: Vec<Entry<Place>>, seen: HashSet<String>, key: Option<(String, Place)> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(place.fault("a second document begins here; a file holds one"))
            }
            Event::Alias(_) => Err(place.fault("aliases (`*name`) are not read; write the value out")),
            Event::Scalar(_, _, anchor, ref tag)
            | Event::SequenceStart(anchor, ref tag)
            | Event::MappingStart(anchor, ref tag)
                if anchor > 0 || tag.is_some() =>
            {
                Err(place.fault("anchors (`&name`) and tags (`!name`) are not read; write the value out"))
            }
            Event::Scalar(text, style, ..) => self.scalar(text.into_owned(), style, place),
            Event::SequenceStart(..) => self.begin(Open::List { place, items: Vec::new() }, place),
            Event::MappingStart(..) => {
                self.begin(Open::Map { place, entries: Vec::new(), seen: HashSet::new(), key: None }, place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, place: Place) -> Result<(), Fault> {
        if let Some(Open::Map { seen, key: key @ None, .. }) = self.open.last_mut() {
            if text == "<<" {
                return Err(place.fault("merge keys (`<<`) are not read; write the entries out"));
            }
            if !seen.insert(text.clone()) {
                return Err(place.fault(format!("key {text:?} stands twice")));
            }
            *key = Some((text, place));
            return Ok(());
        }
        let kind = if style == ScalarStyle::Plain { Kind::Plain(text) } else { Kind::Quoted(text) };
        self.put(Node { place, kind })
    }

    fn begin(&mut self, open: Open, place: Place) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            return Err(place.fault(format!("lists and mappings are nested more than {MAX_DEPTH} deep")));
        }
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(place.fault("a key must be text, not a list or a mapping"));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        match self.open.pop() {
            Some(Open::List { place, items }) => self.put(Node { place, kind: Kind::List(items) }),
            Some(Open::Map { place, entries, .. }) => self.put(Node { place, kind: Kind::Map(entries) }),
            None => Ok(()),
        }
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node) -> Result<(), Fault> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, place)) => entries.push(Entry { key, place, value: node }),
                None => return Err(node.place.fault("a value stands without its key")),
            },
        }
        Ok(())
    }
}
