//! The types of expressions, which fields disks and volumes have, and which type stands in for which other one. Reads nothing.

use std::collections::BTreeMap;

use super::super::suggest;

/// A type, or why there is none.
pub(super) type Outcome = Result<Type, String>;

/// The type of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Null,
    /// Known only when the expression is computed.
    Any,
    Duration,
    Timestamp,
    Disk,
    Volume,
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
    /// A type as a value: what `type(x)` gives, and what `int` is by itself.
    Kind(Box<Self>),
    /// Not known yet, such as the items of `[]`.
    Open(usize),
}

impl Type {
    pub(super) fn list(item: Self) -> Self {
        Self::List(Box::new(item))
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    pub(super) fn kind(of: Self) -> Self {
        Self::Kind(Box::new(of))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Int => "int".into(),
            Self::Uint => "uint".into(),
            Self::Double => "double".into(),
            Self::Text => "string".into(),
            Self::Bytes => "bytes".into(),
            Self::Null => "null".into(),
            Self::Any | Self::Open(_) => "dyn".into(),
            Self::Duration => "duration".into(),
            Self::Timestamp => "timestamp".into(),
            Self::Disk => "disk".into(),
            Self::Volume => "volume".into(),
            Self::List(item) => format!("list of {}", item.name()),
            Self::Map(key, value) => format!("map of {} to {}", key.name(), value.name()),
            Self::Kind(of) => format!("type ({})", of.name()),
        }
    }

    pub(super) fn with_article(&self) -> String {
        match self {
            Self::Int => "an int".into(),
            other => format!("a {}", other.name()),
        }
    }

    /// Whether `null` can stand in for it.
    fn takes_null(&self) -> bool {
        let nullable = [
            Self::Null,
            Self::Duration,
            Self::Timestamp,
            Self::Disk,
            Self::Volume,
        ];
        nullable.contains(self)
    }

    /// The same type with each open part moved, so that two uses of a function do not share them.
    pub(super) fn shifted(&self, by: usize) -> Self {
        match self {
            Self::Open(number) => Self::Open(number + by),
            Self::List(item) => Self::list(item.shifted(by)),
            Self::Map(key, value) => Self::map(key.shifted(by), value.shifted(by)),
            Self::Kind(of) => Self::kind(of.shifted(by)),
            plain => plain.clone(),
        }
    }
}

/// What the open types have turned out to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(BTreeMap<usize, Type>);

impl Known {
    /// Whether the first type can stand where the second one is wanted; what that says of open types is kept only then.
    pub(super) fn unify(&mut self, pairs: &[(&Type, &Type)]) -> bool {
        let mut trial = self.clone();
        let fits = pairs.iter().all(|(from, to)| trial.assign(from, to));
        if fits {
            *self = trial;
        }
        fits
    }

    fn assign(&mut self, from: &Type, to: &Type) -> bool {
        if let Type::Open(number) = to {
            match self.bind(*number, from) {
                Some(fits) => return fits,
                None if !matches!(from, Type::Open(_)) => return false,
                None => {}
            }
        }
        match (from, to) {
            (Type::Open(number), to) => self.bind(*number, to).unwrap_or(false),
            (Type::Any, _) | (_, Type::Any) => true,
            (Type::Null, other) | (other, Type::Null) => other.takes_null(),
            (Type::List(from), Type::List(to)) => self.assign(from, to),
            (Type::Map(key, value), Type::Map(to_key, to_value)) => {
                self.assign(key, to_key) && self.assign(value, to_value)
            }
            (Type::Kind(_), Type::Kind(_)) => true,
            (from, to) => from == to,
        }
    }

    /// Says what an open type is. Nothing where it would be a part of itself.
    fn bind(&mut self, number: usize, to: &Type) -> Option<bool> {
        if *to == Type::Open(number) {
            return Some(true);
        }
        let Some(known) = self.0.get(&number).cloned() else {
            if self.has_part(to, number) {
                return None;
            }
            self.0.insert(number, to.clone());
            return Some(true);
        };
        if known == *to {
            return Some(true);
        }
        if !self.assign(to, &known) {
            return Some(false);
        }
        let general = most_general(to.clone(), known);
        if !self.has_part(&general, number) {
            self.0.insert(number, general);
        }
        Some(true)
    }

    fn has_part(&self, within: &Type, number: usize) -> bool {
        match within {
            Type::Open(other) if *other == number => true,
            Type::Open(other) => self
                .0
                .get(other)
                .is_some_and(|known| self.has_part(known, number)),
            Type::List(part) | Type::Kind(part) => self.has_part(part, number),
            Type::Map(key, value) => self.has_part(key, number) || self.has_part(value, number),
            _ => false,
        }
    }

    /// The type with everything in it that is known by now.
    pub(super) fn resolved(&self, kind: &Type) -> Type {
        match kind {
            Type::Open(number) => match self.0.get(number) {
                Some(known) => self.resolved(known),
                None => kind.clone(),
            },
            Type::List(item) => Type::list(self.resolved(item)),
            Type::Map(key, value) => Type::map(self.resolved(key), self.resolved(value)),
            Type::Kind(of) => Type::kind(self.resolved(of)),
            plain => plain.clone(),
        }
    }
}

/// The wider of two types that fit each other.
pub(super) fn most_general(first: Type, second: Type) -> Type {
    if is_wider(&first, &second) {
        first
    } else {
        second
    }
}

fn is_wider(first: &Type, second: &Type) -> bool {
    match (first, second) {
        (Type::Any | Type::Open(_), _) => true,
        (_, Type::Any | Type::Open(_)) => false,
        (Type::List(first), Type::List(second)) => is_wider(first, second),
        (Type::Map(key, value), Type::Map(other_key, other_value)) => {
            is_wider(key, other_key) && is_wider(value, other_value)
        }
        (Type::Kind(_), Type::Kind(_)) => true,
        (first, second) => first == second,
    }
}

const DISK_FIELDS: [(&str, Type); 16] = [
    ("size", Type::Uint),
    ("io_size", Type::Uint),
    ("sector_size", Type::Uint),
    ("readonly", Type::Bool),
    ("model", Type::Text),
    ("serial", Type::Text),
    ("modalias", Type::Text),
    ("wwid", Type::Text),
    ("bus_path", Type::Text),
    ("sub_system", Type::Text),
    ("transport", Type::Text),
    ("rotational", Type::Bool),
    ("cdrom", Type::Bool),
    ("dev_path", Type::Text),
    ("pretty_size", Type::Text),
    ("uuid", Type::Text),
];

/// Fields of disks that are lists of strings.
const DISK_LISTS: [&str; 2] = ["symlinks", "secondary_disks"];

const VOLUME_FIELDS: [(&str, Type); 19] = [
    ("size", Type::Uint),
    ("sector_size", Type::Uint),
    ("io_size", Type::Uint),
    ("name", Type::Text),
    ("uuid", Type::Text),
    ("label", Type::Text),
    ("block_size", Type::Uint),
    ("filesystem_block_size", Type::Uint),
    ("probed_size", Type::Uint),
    ("partition_uuid", Type::Text),
    ("partition_type", Type::Text),
    ("partition_label", Type::Text),
    ("partition_index", Type::Uint),
    ("type", Type::Text),
    ("device_path", Type::Text),
    ("parent", Type::Text),
    ("dev_path", Type::Text),
    ("parent_dev_path", Type::Text),
    ("pretty_size", Type::Text),
];

/// Names of numbers: how many bytes a unit has.
pub(super) const UNITS: [&str; 12] = [
    "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "kB", "MB", "GB", "TB", "PB", "EB",
];

/// Types that stand in expressions by their names.
pub(super) fn named(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "null_type" => Type::Null,
        "list" => Type::list(Type::Any),
        "map" => Type::map(Type::Any, Type::Any),
        "type" => Type::kind(Type::Any),
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "talos.resource.definitions.block.DiskSpec" => Type::Disk,
        _ => return None,
    })
}

/// The type of a field.
pub(super) fn field(of: &Type, name: &str) -> Outcome {
    let fields: &[(&str, Type)] = match of {
        Type::Disk => &DISK_FIELDS,
        Type::Volume => &VOLUME_FIELDS,
        Type::Map(_, value) => return Ok((**value).clone()),
        Type::Any | Type::Open(_) => return Ok(Type::Any),
        other => return Err(format!("{} has no fields", other.with_article())),
    };
    let lists: &[&str] = if *of == Type::Disk { &DISK_LISTS } else { &[] };
    if lists.contains(&name) {
        return Ok(Type::list(Type::Text));
    }
    match fields.iter().find(|(known, _)| *known == name) {
        Some((_, kind)) => Ok(kind.clone()),
        None => Err(format!(
            "a {} has no field `{name}`{}",
            of.name(),
            suggest::did_you_mean(
                name,
                fields
                    .iter()
                    .map(|(known, _)| *known)
                    .chain(lists.iter().copied())
            )
        )),
    }
}
