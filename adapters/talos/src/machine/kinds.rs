//! The table of kinds and fields in `kinds.yaml`: which documents Talos 1.11 knows, and what may stand in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;

static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
    let table: Table = serde_saphyr::from_str(include_str!("../../kinds.yaml"))
        .expect("the table is part of the program and a test reads it");
    Kinds::new(table)
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kinds: BTreeMap<String, KindEntry>,
    types: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindEntry {
    r#type: String,
    #[serde(default)]
    named: bool,
}

/// The table.
pub(crate) struct Kinds {
    kinds: BTreeMap<String, Kind>,
    types: Vec<Fields>,
}

/// A kind of document.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) fields: FieldsId,
    /// There can be several, each with a `name`.
    pub(crate) named: bool,
}

/// A type of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FieldsId(usize);

/// The fields of a type.
pub(crate) struct Fields {
    fields: HashMap<String, Form>,
    /// Whether others may stand beside them.
    pub(crate) open: bool,
}

/// The form of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    Text,
    Bool,
    /// An integer from a lowest to a highest one.
    Integer(i128, i128),
    Object,
    Any,
    Duration,
    Url,
    Base64,
    Certificate,
    Key,
    Size,
    DiskSize,
    Prefix,
    AddressPort,
    Ports,
    DiskExpression,
    VolumeExpression,
    RuntimeSpec,
    OneOf(Vec<String>),
    List(Box<Self>),
    Map(Box<Self>),
    Fields(FieldsId),
}

/// Returns the table.
pub(crate) fn kinds() -> &'static Kinds {
    &KINDS
}

impl Kinds {
    fn new(table: Table) -> Self {
        let ids: HashMap<String, FieldsId> = table
            .types
            .keys()
            .enumerate()
            .map(|(index, name)| (name.clone(), FieldsId(index)))
            .collect();
        let types = table
            .types
            .into_values()
            .map(|fields| Fields {
                open: fields.contains_key("..."),
                fields: fields
                    .into_iter()
                    .filter(|(name, _)| name != "...")
                    .map(|(name, form)| (name, parse(&form, &ids)))
                    .collect(),
            })
            .collect();
        let kinds = table
            .kinds
            .into_iter()
            .map(|(name, entry)| {
                let fields = ids[&entry.r#type];
                let named = entry.named;
                (name, Kind { fields, named })
            })
            .collect();
        Self { kinds, types }
    }

    /// The kind with this name; the machine configuration itself has the empty one.
    pub(crate) fn find(&self, name: &str) -> Option<Kind> {
        self.kinds.get(name).copied()
    }

    /// All kinds that have a name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds
            .keys()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    pub(crate) fn fields(&self, id: FieldsId) -> &Fields {
        &self.types[id.0]
    }

    /// Looks for a field of Talos' own below a type, nearest first, and returns the way to it, such as `network.hostname`.
    pub(crate) fn search(&self, below: FieldsId, field: &str) -> Option<String> {
        let mut level = vec![(below, String::new())];
        let mut seen = vec![below];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (id, way) in level {
                let mut inner: Vec<_> = self.types[id.0].fields.iter().collect();
                inner.sort_by_key(|(name, _)| name.as_str());
                for (name, form) in inner {
                    let way = if way.is_empty() {
                        name.clone()
                    } else {
                        format!("{way}.{name}")
                    };
                    if name == field {
                        return Some(way);
                    }
                    if let Form::Fields(inner) = form
                        && !seen.contains(inner)
                        && !self.types[inner.0].open
                    {
                        seen.push(*inner);
                        next.push((*inner, way));
                    }
                }
            }
            level = next;
        }
        None
    }
}

impl Fields {
    pub(crate) fn form(&self, field: &str) -> Option<&Form> {
        self.fields.get(field)
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

fn parse(text: &str, ids: &HashMap<String, FieldsId>) -> Form {
    if let Some((word, rest)) = text.split_once(' ') {
        return match word {
            "list" => Form::List(Box::new(parse(rest, ids))),
            "map" => Form::Map(Box::new(parse(rest, ids))),
            _ => Form::OneOf(rest.split(' ').map(str::to_owned).collect()),
        };
    }
    let unsigned = |bits: u32| Form::Integer(0, (1_i128 << bits) - 1);
    match text {
        "text" => Form::Text,
        "bool" => Form::Bool,
        "int" => Form::Integer(i64::MIN.into(), i64::MAX.into()),
        "u8" => unsigned(8),
        "u16" => unsigned(16),
        "u32" => unsigned(32),
        "u64" => unsigned(64),
        "object" => Form::Object,
        "any" => Form::Any,
        "duration" => Form::Duration,
        "url" => Form::Url,
        "base64" => Form::Base64,
        "certificate" => Form::Certificate,
        "key" => Form::Key,
        "size" => Form::Size,
        "disk-size" => Form::DiskSize,
        "prefix" => Form::Prefix,
        "address-port" => Form::AddressPort,
        "ports" => Form::Ports,
        "disk-expression" => Form::DiskExpression,
        "volume-expression" => Form::VolumeExpression,
        "runtime-spec" => Form::RuntimeSpec,
        name => Form::Fields(ids[name]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_every_form_is_known() {
        let kinds = kinds();
        assert_eq!(kinds.names().count(), 17, "and the machine configuration");
        let config = kinds.find("").unwrap().fields;
        assert_eq!(
            kinds.fields(config).names(),
            ["cluster", "debug", "machine", "persist", "version"]
        );
        let mut reached = vec![config];
        reached.extend(kinds.kinds.values().map(|kind| kind.fields));
        let mut index = 0;
        while let Some(id) = reached.get(index).copied() {
            index += 1;
            for form in kinds.fields(id).fields.values() {
                let mut form = form;
                while let Form::List(inner) | Form::Map(inner) = form {
                    form = inner;
                }
                if let Form::Fields(inner) = form
                    && !reached.contains(inner)
                {
                    reached.push(*inner);
                }
            }
        }
        for id in 0..kinds.types.len() {
            assert!(reached.contains(&FieldsId(id)), "type {id} is not used");
        }
    }

    #[test]
    fn a_field_is_found_where_it_belongs() {
        let machine = match kinds()
            .fields(kinds().find("").unwrap().fields)
            .form("machine")
        {
            Some(Form::Fields(id)) => *id,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            kinds().search(machine, "hostname").as_deref(),
            Some("network.hostname")
        );
        assert_eq!(kinds().search(machine, "nowhere"), None);
    }
}
