//! A place in a document, whether something stands there or not: what rules look at.

use ztc_adapter_sdk::protocol::message::Severity;

use super::document::{Content, Entry, Meaning, Merge, Node};
use super::finding::{Findings, Place, push_index, push_key};

/// A place in a document.
#[derive(Clone, Debug)]
pub(crate) struct At<'a> {
    node: Option<&'a Node>,
    path: String,
    /// Where it stands, or where the nearest thing around it does.
    place: Place,
}

impl<'a> At<'a> {
    /// The whole document.
    pub(crate) fn root(node: &'a Node) -> Self {
        Self {
            node: Some(node),
            path: String::new(),
            place: node.place,
        }
    }

    /// The value of a key, there or not.
    pub(crate) fn get(&self, key: &str) -> Self {
        let mut path = self.path.clone();
        push_key(&mut path, key);
        let entry = self.node.and_then(|node| node.get(key));
        Self {
            node: entry.map(|entry| &entry.value),
            path,
            place: entry.map_or(self.place, |entry| entry.place),
        }
    }

    /// What follows a way of keys.
    pub(crate) fn walk(&self, way: &[&str]) -> Self {
        way.iter().fold(self.clone(), |at, key| at.get(key))
    }

    /// The items of a list; none where there is no list.
    pub(crate) fn items(&self) -> Vec<Self> {
        let Some(Content::List(items)) = self.node.map(|node| &node.content) else {
            return Vec::new();
        };
        let item = |(index, node): (usize, &'a Node)| {
            let mut path = self.path.clone();
            push_index(&mut path, index);
            Self {
                node: Some(node),
                path,
                place: node.place,
            }
        };
        // Talos drops items without a value.
        let all = items.iter().enumerate();
        all.filter(|(_, item)| !item.is_null()).map(item).collect()
    }

    /// The entries of a mapping; none where there is no mapping.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Self)> {
        let Some(Content::Mapping(entries)) = self.node.map(|node| &node.content) else {
            return Vec::new();
        };
        let at = |entry: &'a Entry| {
            let mut path = self.path.clone();
            push_key(&mut path, &entry.key);
            let at = Self {
                node: Some(&entry.value),
                path,
                place: entry.place,
            };
            (entry.key.as_str(), at)
        };
        let mut all: Vec<_> = entries
            .iter()
            .filter(|entry| entry.merge == Merge::No)
            .map(at)
            .collect();
        for merged in entries.iter().filter(|entry| entry.merge != Merge::No) {
            if let Content::Mapping(entries) = &merged.value.content {
                all.extend(entries.iter().map(at));
            }
        }
        all
    }

    /// Whether something stands there.
    pub(crate) fn is_set(&self) -> bool {
        self.node.is_some_and(|node| !node.is_null())
    }

    /// The text of a single value; empty where nothing stands there.
    pub(crate) fn text(&self) -> &'a str {
        match self.node.map(|node| &node.content) {
            Some(Content::Scalar(scalar)) if scalar.meaning != Meaning::Null => &scalar.text,
            _ => "",
        }
    }

    /// Whether a text stands there that is not empty.
    pub(crate) fn has_text(&self) -> bool {
        !self.text().is_empty()
    }

    /// Whether a list or mapping stands there that is not empty.
    pub(crate) fn has_items(&self) -> bool {
        match self.node.map(|node| &node.content) {
            Some(Content::List(items)) => items.iter().any(|item| !item.is_null()),
            Some(Content::Mapping(entries)) => !entries.is_empty(),
            _ => false,
        }
    }

    /// `true`, `false`, or nothing.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.node.map(|node| &node.content) {
            Some(Content::Scalar(scalar)) => scalar.boolean(),
            _ => None,
        }
    }

    /// Whether it says yes.
    pub(crate) fn is_on(&self) -> bool {
        self.boolean() == Some(true)
    }

    /// A number; 0 where nothing stands there.
    pub(crate) fn number(&self) -> i128 {
        match self.node.map(|node| &node.content) {
            Some(Content::Scalar(scalar)) => match scalar.meaning {
                Meaning::Integer(number) => number,
                Meaning::Float => scalar.truncated().unwrap_or_default(),
                _ => 0,
            },
            _ => 0,
        }
    }

    /// The path, such as `.machine.type`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Says that something is wrong here.
    pub(crate) fn error(
        &self,
        findings: &mut Findings,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        findings.add(Severity::Error, &self.path, self.place, message, help);
    }

    /// Says that something here works and is not good.
    pub(crate) fn warn(
        &self,
        findings: &mut Findings,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        findings.add(Severity::Warning, &self.path, self.place, message, help);
    }
}
