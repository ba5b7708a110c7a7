//! Strict reading: every field of a document must be known, stand there once, and have a value of its form.

use ztc_adapter_sdk::protocol::message::Severity;

use super::document::{Content, Entry, Meaning, Merge, Node, Scalar};
use super::expression::{self, About};
use super::finding::{Findings, Place, push_index, push_key};
use super::forms::{self, BLACKED_OUT, PLACEHOLDER};
use super::kinds::{FieldsId, Form, kinds};
use super::runtime_spec;
use super::suggest::nearest;
use super::url::Url;

/// Marks the parts of a patch that take something away; merging knows what it may say.
const DIRECTIVE: &str = "$patch";

/// What is read: a configuration, or a patch to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    Configuration,
    /// Parts may be marked with a directive.
    Patch,
}

/// What reading a document has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Every value has its form; there may be unknown fields.
    Sound,
    /// Some value has not, so rules would draw wrong conclusions.
    Broken,
}

/// Reads a document of a type.
pub(crate) fn read(root: &Node, id: FieldsId, reading: Reading, findings: &mut Findings) -> Shape {
    let mut reader = Reader {
        findings,
        reading,
        path: String::new(),
        shape: Shape::Sound,
    };
    reader.fields(root, id);
    reader.shape
}

struct Reader<'a> {
    findings: &'a mut Findings,
    reading: Reading,
    path: String,
    shape: Shape,
}

impl Reader<'_> {
    fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.findings
            .add(Severity::Error, &self.path, place, message, help);
    }

    fn broken(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.shape = Shape::Broken;
        self.error(place, message, help);
    }

    /// Runs something with a longer path.
    fn below(&mut self, push: impl FnOnce(&mut String), run: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        push(&mut self.path);
        run(self);
        self.path.truncate(length);
    }

    fn value(&mut self, node: &Node, form: &Form) {
        match form {
            Form::Any => return self.free(node),
            Form::Fields(id) => return self.fields(node, *id),
            _ if node.is_null() => return,
            _ if self.reading == Reading::Patch && node.get(DIRECTIVE).is_some() => return,
            _ => {}
        }
        match (form, &node.content) {
            (Form::RuntimeSpec, Content::Mapping(_)) => {
                self.free(node);
                self.runtime_spec(node);
            }
            (Form::RuntimeSpec, _) => self.wrong(node, "a mapping"),
            (Form::Object, Content::Mapping(_)) => self.free(node),
            (Form::Object, _) => self.wrong(node, "a mapping"),
            (Form::List(form), Content::List(items)) => self.items(items, form),
            (Form::List(_), _) => self.wrong(node, "a list"),
            (Form::Map(form), Content::Mapping(entries)) => {
                self.duplicates(entries);
                for entry in entries {
                    // Talos knows the keys of a mapping that an alias stands for, and no others.
                    if entry.merge == Merge::Alias
                        && **form == Form::Text
                        && matches!(entry.value.content, Content::Mapping(_))
                    {
                        self.value(&entry.value, &Form::Map(form.clone()));
                        continue;
                    }
                    self.below(
                        |path| push_key(path, &entry.key),
                        |reader| {
                            if entry.value.is_null() && matches!(**form, Form::Fields(_)) {
                                reader.broken(
                                    entry.place,
                                    "there is no value",
                                    "give it one, or take the key out",
                                );
                            } else {
                                reader.value(&entry.value, form);
                            }
                        },
                    );
                }
            }
            (Form::Map(_), _) => self.wrong(node, "a mapping"),
            (form, Content::Scalar(scalar)) => self.scalar(node.place, scalar, form),
            (Form::Bool, _) => self.wrong(node, "`true` or `false`"),
            (Form::Integer(..), _) => self.wrong(node, "a number"),
            (_, _) => self.wrong(node, "a text"),
        }
    }

    fn runtime_spec(&mut self, node: &Node) {
        for fault in runtime_spec::check(node) {
            self.below(
                |path| path.push_str(&fault.path),
                |reader| reader.error(fault.place, fault.message, fault.help),
            );
        }
    }

    fn wrong(&mut self, node: &Node, expected: &str) {
        let found = match &node.content {
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
            Content::Scalar(scalar) => found(scalar),
        };
        self.broken(
            node.place,
            format!("{found} stands where {expected} is expected"),
            format!("write {expected}"),
        );
    }

    fn items(&mut self, items: &[Node], form: &Form) {
        for (index, item) in items.iter().enumerate() {
            self.below(
                |path| push_index(path, index),
                |reader| {
                    let is_empty = item.is_null() && matches!(form, Form::Fields(_) | Form::Object);
                    if is_empty && needs_items(&reader.path) {
                        reader.broken(
                            item.place,
                            "the item is empty",
                            "give it a value, or take it out",
                        );
                    } else if is_empty {
                        reader.findings.add(
                            Severity::Warning,
                            &reader.path,
                            item.place,
                            "the item is empty, and Talos drops it",
                            "take it out",
                        );
                    } else {
                        reader.value(item, form);
                    }
                },
            );
        }
    }

    fn fields(&mut self, node: &Node, id: FieldsId) {
        let entries = match &node.content {
            Content::Mapping(entries) => entries,
            _ if node.is_null() => return,
            _ => return self.wrong(node, "a mapping"),
        };
        self.duplicates(entries);
        let fields = kinds().fields(id);
        for entry in entries {
            match fields.form(&entry.key) {
                Some(form) => self.below(
                    |path| push_key(path, &entry.key),
                    |reader| reader.value(&entry.value, form),
                ),
                None if fields.open => self.free(&entry.value),
                None if self.reading == Reading::Patch && entry.key == DIRECTIVE => {}
                None => self.unknown(entry, id),
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, id: FieldsId) {
        let key = &entry.key;
        let owner = match self.path.rsplit('.').next().unwrap_or_default() {
            "" => "the document".to_owned(),
            owner => format!("`{owner}`"),
        };
        let fields = kinds().fields(id);
        let way = kinds().search(id, key);
        let help = match (nearest(key, fields.names()), way) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(way)) => format!("did you mean `{}.{way}`?", self.path),
            (None, None) if fields.names().is_empty() => "nothing can stand there".to_owned(),
            (None, None) => format!("the fields there are {}", fields.names().join(", ")),
        };
        self.below(
            |path| push_key(path, key),
            |reader| reader.error(entry.place, format!("{owner} has no field `{key}`"), help),
        );
    }

    /// Checks what has no form: keys stand once.
    fn free(&mut self, node: &Node) {
        match &node.content {
            Content::Scalar(_) => {}
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.below(|path| push_index(path, index), |reader| reader.free(item));
                }
            }
            Content::Mapping(entries) => {
                self.duplicates(entries);
                for entry in entries {
                    self.below(
                        |path| push_key(path, &entry.key),
                        |reader| reader.free(&entry.value),
                    );
                }
            }
        }
    }

    fn duplicates(&mut self, entries: &[Entry]) {
        if entries.len() < 2 {
            return;
        }
        let mut sorted: Vec<(&str, Place)> = entries
            .iter()
            .map(|entry| (entry.key.as_str(), entry.place))
            .collect();
        sorted.sort();
        let repeated: Vec<_> = sorted
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| (pair[0], pair[1]))
            .collect();
        for ((key, first), (_, second)) in repeated {
            self.below(
                |path| push_key(path, key),
                |reader| {
                    let message =
                        format!("`{key}` stands there twice, first in line {}", first.line);
                    reader.broken(second, message, "take one of the two out");
                },
            );
        }
    }

    fn scalar(&mut self, place: Place, scalar: &Scalar, form: &Form) {
        let text = scalar.text.as_str();
        if text.starts_with(PLACEHOLDER)
            && matches!(form, Form::Base64 | Form::Certificate | Form::Key)
        {
            return;
        }
        if let Err((message, help)) = check(text, scalar, form) {
            self.broken(place, message, help);
        } else if *form == Form::Key && text == BLACKED_OUT {
            self.findings.add(
                Severity::Warning,
                &self.path,
                place,
                "the key was blacked out",
                "put the key back before the machine gets this configuration",
            );
        } else if let Some(message) = damaged(text, form) {
            // Talos takes these bytes as they are, and the machine fails with them.
            let help = "encode the PEM file with `base64 -w0`";
            self.findings
                .add(Severity::Warning, &self.path, place, message, help);
        } else if scalar.meaning == Meaning::Float
            && matches!(form, Form::Integer(..))
            && scalar.has_fraction()
        {
            let message = format!("Talos drops the fraction of `{}`", short(text));
            let help = "write a whole number";
            self.findings
                .add(Severity::Warning, &self.path, place, message, help);
        }
    }
}

/// What is wrong with a certificate or a key that is base64.
fn damaged(text: &str, form: &Form) -> Option<String> {
    let (what, label) = match form {
        Form::Certificate => ("certificate", "CERTIFICATE"),
        Form::Key => ("key", "PRIVATE KEY"),
        _ => return None,
    };
    let bytes = forms::base64(text).ok().filter(|bytes| !bytes.is_empty())?;
    let why = forms::check_pem(&bytes, label).err()?;
    Some(format!("the {what} {why}"))
}

/// Lists in which Talos stumbles over an item without a value; it drops those of the others.
fn needs_items(path: &str) -> bool {
    let list = path.rsplit('.').next().unwrap_or_default();
    let list = list.split('[').next().unwrap_or_default();
    [
        "interfaces",
        "routes",
        "vlans",
        "peers",
        "disks",
        "partitions",
        "keys",
        "authorizationConfig",
    ]
    .contains(&list)
}

fn found(scalar: &Scalar) -> String {
    match scalar.meaning {
        Meaning::Null => "nothing".into(),
        Meaning::Bool(value) => format!("`{value}`"),
        Meaning::Integer(_) | Meaning::Float => format!("the number `{}`", short(&scalar.text)),
        Meaning::Text => format!("the text `{}`", short(&scalar.text)),
    }
}

/// Values can be long, and nobody wants to read a certificate.
pub(crate) fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}

/// Checks a single value; an error has its message and its help.
fn check(text: &str, scalar: &Scalar, form: &Form) -> Result<(), (String, String)> {
    let unless = |good: bool, what: &str, help: &str| {
        if good {
            Ok(())
        } else {
            Err((format!("`{}` is not {what}", short(text)), help.to_owned()))
        }
    };
    match form {
        Form::Bool => {
            if scalar.boolean().is_some() {
                Ok(())
            } else {
                let message = format!(
                    "{} stands where `true` or `false` is expected",
                    found(scalar)
                );
                Err((message, "write `true` or `false`, without quotes".into()))
            }
        }
        Form::Integer(lowest, highest) => integer(scalar, *lowest, *highest),
        Form::Duration => {
            let good = scalar.meaning == Meaning::Text && forms::duration(text).is_some();
            unless(
                good,
                "a duration",
                "write it with its unit, as in `30s` or `1h30m`",
            )
        }
        Form::Url => Url::parse(text).map(drop).map_err(|why| {
            (
                format!("`{}` is not a URL: {why}", short(text)),
                "write it as `https://host:port`".into(),
            )
        }),
        Form::Base64 => forms::base64(text).map(drop).map_err(|why| {
            (
                format!("the value {why}"),
                "encode it with `base64 -w0`".into(),
            )
        }),
        Form::Certificate if text.is_empty() => Ok(()),
        Form::Certificate => forms::base64(text).map(drop).map_err(|why| {
            (
                format!("the certificate {why}"),
                "encode the PEM file with `base64 -w0`".into(),
            )
        }),
        Form::Key if text.is_empty() || text == BLACKED_OUT => Ok(()),
        Form::Key => forms::base64(text).map(drop).map_err(|why| {
            (
                format!("the key {why}"),
                "encode the PEM file with `base64 -w0`".into(),
            )
        }),
        Form::Size => unless(
            text.is_empty() || forms::size(text).is_some(),
            "a size",
            "write it as `100GB` or `50GiB`",
        ),
        Form::DiskSize => unless(
            forms::is_disk_size(text),
            "a size of a disk",
            "write it as `>= 100GB` or `<= 1TB`",
        ),
        Form::Prefix => unless(
            text.is_empty() || forms::is_network(text),
            "a network",
            "write it as `10.0.0.0/8` or `fd00::/64`",
        ),
        Form::AddressPort => unless(
            text.is_empty() || forms::is_address_port(text),
            "an address with a port",
            "write it as `203.0.113.10:51820` or `[2001:db8::1]:51820`",
        ),
        Form::Ports => unless(
            is_ports(text, scalar),
            "a port or a range of ports",
            "write it as `443` or `1200-1299`",
        ),
        Form::DiskExpression => cel(text, About::Disk),
        Form::VolumeExpression => cel(text, About::Volume),
        Form::OneOf(words) => {
            let good = words.iter().any(|word| word.eq_ignore_ascii_case(text));
            let near = nearest(text, words.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the choices are {}", words.join(", ")),
            };
            unless(good, &format!("one of {}", words.join(", ")), &help)
        }
        Form::Text | Form::Any => Ok(()),
        Form::Object | Form::RuntimeSpec | Form::List(_) | Form::Map(_) | Form::Fields(_) => Ok(()),
    }
}

/// A number, or a range as a text.
fn is_ports(text: &str, scalar: &Scalar) -> bool {
    match scalar.truncated() {
        Some(port) => u16::try_from(port).is_ok(),
        None => text.contains('-') && forms::ports(text).is_some(),
    }
}

fn integer(scalar: &Scalar, lowest: i128, highest: i128) -> Result<(), (String, String)> {
    let text = short(&scalar.text);
    match scalar.truncated() {
        Some(number) if (lowest..=highest).contains(&number) => Ok(()),
        Some(number) => {
            let message = if number < lowest && lowest == 0 {
                format!("`{text}` is negative")
            } else {
                format!("`{text}` is out of range")
            };
            Err((
                message,
                format!("write a number from {lowest} to {highest}"),
            ))
        }
        _ => Err((
            format!("{} stands where a whole number is expected", found(scalar)),
            "write a number, without quotes".into(),
        )),
    }
}

fn cel(text: &str, about: About) -> Result<(), (String, String)> {
    if text.is_empty() {
        return Ok(());
    }
    expression::check(text, about).map_err(|why| {
        let example = match about {
            About::Disk => "disk.transport == \"nvme\" && disk.size > 100u * GB",
            About::Volume => "volume.partition_label == \"DATA\"",
        };
        (
            format!("the expression is wrong: {why}"),
            format!("write it as `{example}`"),
        )
    })
}
