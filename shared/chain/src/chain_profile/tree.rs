//! A value as a tree whose every key and value knows its place: in a text ([`super::yaml`]) or in JSON
//! ([`super::json`]).

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node<P> {
    pub(super) place: P,
    pub(super) kind: Kind<P>,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind<P> {
    /// Written without quotes: a word or a number.
    Plain(String),
    /// Written in quotes or as a block: text.
    Quoted(String),
    List(Vec<Node<P>>),
    /// Without two entries of one key.
    Map(Vec<Entry<P>>),
}

/// An entry of a mapping.
#[derive(Debug)]
pub(super) struct Entry<P> {
    pub(super) key: String,
    pub(super) place: P,
    pub(super) value: Node<P>,
}

/// What does not fit, and where.
#[derive(Debug)]
pub(super) struct Slip<P> {
    pub(super) place: P,
    pub(super) message: String,
}

impl<P> Node<P> {
    /// The value of `key`, if this is a mapping that has one.
    pub(super) fn value(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Kind::Plain(_) | Kind::Quoted(_) | Kind::List(_) => None,
        }
    }

    /// The text, however it is written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Plain(text) | Kind::Quoted(text) => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }
}

impl<P: Clone> Node<P> {
    /// `message` about this value.
    pub(super) fn slip(&self, message: impl Into<String>) -> Slip<P> {
        Slip { place: self.place.clone(), message: message.into() }
    }
}

impl<P: Clone> Entry<P> {
    /// `message` about this key.
    pub(super) fn slip(&self, message: impl Into<String>) -> Slip<P> {
        Slip { place: self.place.clone(), message: message.into() }
    }
}
