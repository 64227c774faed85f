//! A YAML text as a tree whose every key and value knows its place: of a pipeline file, and of other files that people write.
//!
//! What such a file may not hold whatever its keys are is refused here: anchors, aliases and tags (so nothing expands),
//! keys that are not text or stand twice, numbers that readers of YAML disagree on, a second document, deep nesting.
//! Time and memory are linear in the length of the text.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::Value;

use super::read::Fault;

mod scalar;

/// Lists and mappings within each other; a pipeline needs about five.
pub const MAX_DEPTH: usize = 32;

/// Line and column, both from 1; columns are counted in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    fn of(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }

    /// The fault `message` at this place.
    pub fn fault(self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, column: self.column, message: message.into() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A value and where it begins.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// Neither list nor mapping.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A mapping, without two entries of one key.
    Map(Vec<Entry>),
    /// A fault has been reported for it; nothing more is to be said of it.
    Broken,
}

/// An entry of a mapping.
#[derive(Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Where the key begins.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The entry of `key`, if this is a mapping that has one.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Kind::Scalar(_) | Kind::List(_) | Kind::Broken => None,
        }
    }

    /// The value of `key`, if this is a mapping that has one.
    pub fn value(&self, key: &str) -> Option<&Node> {
        self.get(key).map(|entry| &entry.value)
    }

    /// The value of `key`, if it is text.
    pub fn text_of(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(Node::text)
    }

    /// The value, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(Value::String(text)) => Some(text),
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) | Kind::Broken => None,
        }
    }

    /// The values, if this is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            Kind::Scalar(_) | Kind::Map(_) | Kind::Broken => None,
        }
    }

    /// Whether it is null, or nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Value::Null))
    }

    /// The same as JSON. Something broken is null.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
            Kind::Broken => Value::Null,
        }
    }
}

/// Reads `text`; puts what is wrong with it into `faults`.
///
/// # Errors
/// The one fault that ended the reading: no YAML, or nested too deeply.
pub fn read(text: &str, faults: &mut Vec<Fault>) -> Result<Node, Fault> {
    if let Some(index) = text.find('\0') {
        return Err(place_of(text, index).fault("the file holds a NUL character"));
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Place::of(error.marker()).fault(format!("this is no YAML: {}", error.info())))?;
        let place = Place::of(&span.start);
        if builder.take(event, place)? == Next::Stop {
            break;
        }
    }
    faults.append(&mut builder.faults);
    builder.root.ok_or_else(|| Place::START.fault("the file is empty"))
}

/// Where the byte `index` of `text` stands.
pub fn place_of(text: &str, index: usize) -> Place {
    let before = &text[..index];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

/// A list or mapping that has begun.
enum Open {
    List { place: Place, items: Vec<Node> },
    Map { place: Place, entries: Vec<Entry>, seen: HashMap<String, Place>, key: Option<Key> },
}

/// A key whose value is to come.
enum Key {
    Good {
        key: String,
        place: Place,
    },
    /// A fault has been reported for it; its value is left out.
    Broken,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    faults: Vec<Fault>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<Next, Fault> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                self.faults.push(place.fault("a second document begins here; a file holds one"));
                return Ok(Next::Stop);
            }
            Event::Alias(_) => {
                self.faults.push(place.fault("aliases (`*name`) are not read; write the value out"));
                self.put(Node { place, kind: Kind::Broken });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_refused = self.refuse_marks(place, anchor, tag.is_some());
                if let Some(Open::Map { seen, key: key @ None, .. }) = self.open.last_mut() {
                    *key = Some(begin_entry(text.into_owned(), place, seen, &mut self.faults));
                } else {
                    let kind = if is_refused { Kind::Broken } else { self.scalar(&text, style, place) };
                    self.put(Node { place, kind });
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_marks(place, anchor, tag.is_some());
                self.begin(Open::List { place, items: Vec::new() }, place)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_marks(place, anchor, tag.is_some());
                let open = Open::Map { place, entries: Vec::new(), seen: HashMap::new(), key: None };
                self.begin(open, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(Next::Go)
    }

    fn refuse_marks(&mut self, place: Place, anchor: usize, is_tagged: bool) -> bool {
        if anchor > 0 {
            self.faults.push(place.fault("anchors (`&name`) are not read; write the value out where it is needed"));
        }
        if is_tagged {
            self.faults.push(place.fault("tags (`!name`) are not read; write text in quotes and numbers without"));
        }
        anchor > 0 || is_tagged
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) -> Kind {
        if text.contains('\0') {
            self.faults.push(place.fault("the text holds a NUL character, which the database cannot store"));
            return Kind::Broken;
        }
        if style != ScalarStyle::Plain {
            return Kind::Scalar(Value::String(text.to_owned()));
        }
        match scalar::resolve(text) {
            Ok(value) => Kind::Scalar(value),
            Err(message) => {
                self.faults.push(place.fault(message));
                Kind::Broken
            }
        }
    }

    fn begin(&mut self, open: Open, place: Place) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            return Err(place.fault(format!("lists and mappings are nested more than {MAX_DEPTH} deep")));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) {
        let node = match self.open.pop() {
            Some(Open::List { place, items }) => Node { place, kind: Kind::List(items) },
            Some(Open::Map { place, entries, .. }) => Node { place, kind: Kind::Map(entries) },
            None => return,
        };
        self.put(node);
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(Key::Good { key, place }) => entries.push(Entry { key, place, value: node }),
                Some(Key::Broken) => {}
                None => {
                    if !matches!(node.kind, Kind::Broken) {
                        self.faults.push(node.place.fault("a key must be text, not a list or a mapping"));
                    }
                    *key = Some(Key::Broken);
                }
            },
        }
    }
}

fn begin_entry(key: String, place: Place, seen: &mut HashMap<String, Place>, faults: &mut Vec<Fault>) -> Key {
    if key.contains('\0') {
        faults.push(place.fault("the key holds a NUL character, which the database cannot store"));
        return Key::Broken;
    }
    if key == "<<" {
        faults.push(place.fault("merge keys (`<<`) are not read; write the entries out"));
        return Key::Broken;
    }
    match seen.entry(key.clone()) {
        Slot::Occupied(first) => {
            faults.push(place.fault(format!("key {} stands twice; the first is at {}", quoted(&key), first.get())));
            Key::Broken
        }
        Slot::Vacant(slot) => {
            slot.insert(place);
            Key::Good { key, place }
        }
    }
}

/// `text` in quotes, its middle left out if it is long, control characters escaped.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
