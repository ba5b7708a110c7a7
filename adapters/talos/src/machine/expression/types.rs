//! The types of expressions: which fields disks and volumes have, and which operators go with which types.

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
    Any,
    Map,
    Disk,
    Volume,
    List(Box<Self>),
}

impl Type {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Int => "int".into(),
            Self::Uint => "uint".into(),
            Self::Double => "double".into(),
            Self::Text => "string".into(),
            Self::Bytes => "bytes".into(),
            Self::Null => "null".into(),
            Self::Any => "dyn".into(),
            Self::Map => "map".into(),
            Self::Disk => "disk".into(),
            Self::Volume => "volume".into(),
            Self::List(item) => format!("list of {}", item.name()),
        }
    }

    pub(super) fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(a), Self::List(b)) => a.fits(b),
            (Self::Null, Self::Disk | Self::Volume) | (Self::Disk | Self::Volume, Self::Null) => {
                true
            }
            (a, b) => a == b,
        }
    }

    pub(super) fn is_one_of(&self, types: &[Self]) -> bool {
        *self == Self::Any || types.contains(self)
    }
}

const DISK_FIELDS: [(&str, Type); 17] = [
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
    ("symlinks", Type::Any),
];

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

pub(super) fn field(of: &Type, name: &str) -> Outcome {
    let fields: &[(&str, Type)] = match of {
        Type::Disk => &DISK_FIELDS,
        Type::Volume => &VOLUME_FIELDS,
        Type::Any | Type::Map => return Ok(Type::Any),
        other => return Err(format!("a {} has no fields", other.name())),
    };
    let lists = ["symlinks", "secondary_disks"];
    if *of == Type::Disk && lists.contains(&name) {
        return Ok(Type::List(Box::new(Type::Text)));
    }
    match fields.iter().find(|(known, _)| *known == name) {
        Some((_, kind)) => Ok(kind.clone()),
        None => Err(format!(
            "a {} has no field `{name}`{}",
            of.name(),
            suggest::did_you_mean(name, fields.iter().map(|(known, _)| *known))
        )),
    }
}

pub(super) fn only(kind: &Type, allowed: &[Type], what: &str) -> Result<(), String> {
    if kind.is_one_of(allowed) {
        Ok(())
    } else {
        Err(format!("`{what}` does not take a {}", kind.name()))
    }
}

pub(super) fn sized(kind: &Type) -> Result<(), String> {
    if matches!(kind, Type::List(_) | Type::Map) {
        Ok(())
    } else {
        only(kind, &[Type::Text, Type::Bytes], "size")
    }
}

pub(super) fn logical(sign: &str, left: &Type, right: &Type) -> Outcome {
    only(left, &[Type::Bool], sign)?;
    only(right, &[Type::Bool], sign)?;
    Ok(Type::Bool)
}

pub(super) fn concrete(left: Type, right: Type) -> Type {
    if left == Type::Any { right } else { left }
}

pub(super) fn mismatch(sign: &str, left: &Type, right: &Type) -> String {
    let hint = match (left, right) {
        (Type::Uint, Type::Int) | (Type::Int, Type::Uint) => {
            "; an unsigned number is written as `100u`"
        }
        _ => "",
    };
    format!(
        "`{sign}` does not go with {} and {}{hint}",
        left.name(),
        right.name()
    )
}
