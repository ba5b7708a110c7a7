//! What every platform.yaml has in common, whatever the adapters: the keys at the top, names, the shape of the sections. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Finding, Location, did_you_mean, listed};
use crate::platform::document::{Document, push};
use crate::platform::words::{found, kind};
use crate::platform::{API_VERSION, Plugin, Section};

const KEYS: [&str; 4] = ["apiVersion", "environment", "adapters", "plugins"];
const PLUGIN_KEYS: [&str; 4] = ["path", "source", "version", "environment"];
/// Longest name of an environment, an adapter or a section: they become names of files.
const LONGEST_NAME: usize = 63;

/// What was read; meaningful only where there are no findings.
pub(crate) struct Structure {
    pub(crate) environment: Option<String>,
    pub(crate) sections: Vec<Section>,
    pub(crate) plugins: BTreeMap<String, Plugin>,
}

/// Whether a document has to be a whole platform, or anything may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    Yes,
    No,
}

/// Reads the document's structure and adds what is wrong with it.
pub(crate) fn read(document: &Document, whole: Whole, findings: &mut Vec<Finding>) -> Structure {
    if whole == Whole::No && document.value.is_null() {
        return Structure {
            environment: None,
            sections: Vec::new(),
            plugins: BTreeMap::new(),
        };
    }
    let mut reader = Reader { document, findings };
    let Value::Object(root) = &document.value else {
        let place = reader.value("");
        reader
            .add(
                format!(
                    "expected a mapping with the keys {}, found {}",
                    listed(["apiVersion", "environment", "adapters"]),
                    kind(&document.value)
                ),
                place,
            )
            .help = Some("write a new one with `ztc init`".to_owned());
        return Structure {
            environment: None,
            sections: Vec::new(),
            plugins: BTreeMap::new(),
        };
    };
    reader.unknown_keys(root, "", &KEYS);
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    let is_left_out = |key: &str| whole == Whole::No && root.get(key).is_none_or(is_empty);
    if !is_left_out("apiVersion") {
        reader.api_version(root.get("apiVersion"));
    }
    Structure {
        environment: reader.environment(root.get("environment")),
        sections: match is_left_out("adapters") {
            true => Vec::new(),
            false => reader.adapters(root.get("adapters")),
        },
        plugins: reader.plugins(root.get("plugins")),
    }
}

/// Says what is wrong with the name of an environment.
pub(crate) fn environment_problem(name: &str) -> Option<String> {
    (!is_name(name)).then(|| format!("`{name}` is not the name of an environment: {NAME_RULE}"))
}

const NAME_RULE: &str =
    "lower-case letters, digits and hyphens, a letter or digit at both ends, at most 63 in all";

pub(crate) fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether a text can be the name of a variable of the environment.
pub(crate) fn is_variable(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(inner) && name.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

struct Reader<'a> {
    document: &'a Document,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn value(&self, pointer: &str) -> Option<Location> {
        self.document.values.get(pointer).cloned()
    }

    fn key(&self, pointer: &str) -> Option<Location> {
        self.document.keys.get(pointer).cloned()
    }

    fn add(&mut self, message: String, location: Option<Location>) -> &mut Finding {
        self.findings.push(Finding::error(message).at(location));
        self.findings.last_mut().expect("one was just added")
    }

    fn unknown_keys(&mut self, object: &Map<String, Value>, pointer: &str, allowed: &[&str]) {
        for key in object.keys().filter(|key| !allowed.contains(&key.as_str())) {
            let mut place = pointer.to_owned();
            push(&mut place, key);
            let hint = did_you_mean(key, allowed.iter().copied()).unwrap_or_else(|| {
                format!("the keys here are {}", listed(allowed.iter().copied()))
            });
            let place = self.key(&place);
            self.add(format!("unknown key `{key}`"), place).help = Some(hint);
        }
    }

    fn api_version(&mut self, value: Option<&Value>) {
        let place = self.value(if value.is_some() { "/apiVersion" } else { "" });
        let message = match value {
            Some(Value::String(version)) if version == API_VERSION => return,
            Some(Value::String(version)) => {
                format!("this program reads `apiVersion: {API_VERSION}`, not `{version}`")
            }
            Some(other) => format!(
                "`apiVersion`: expected `{API_VERSION}`, found {}",
                found(other)
            ),
            None => "key `apiVersion` is missing".to_owned(),
        };
        self.add(message, place).help = Some(format!("write `apiVersion: {API_VERSION}`"));
    }

    fn environment(&mut self, value: Option<&Value>) -> Option<String> {
        let place = self.value("/environment");
        let message = match value? {
            Value::String(name) => match environment_problem(name) {
                None => return Some(name.clone()),
                Some(problem) => problem,
            },
            other => format!("`environment`: expected text, found {}", found(other)),
        };
        self.add(message, place).help =
            Some("write a name such as `environment: production`".to_owned());
        None
    }

    fn adapters(&mut self, value: Option<&Value>) -> Vec<Section> {
        let help = "name the adapters of the platform under `adapters:`, or write a new file with `ztc init`";
        let place = self.value(if value.is_some() { "/adapters" } else { "" });
        let message = match value {
            Some(Value::Object(adapters)) if !adapters.is_empty() => {
                return adapters
                    .iter()
                    .filter_map(|(name, value)| self.section(name, value))
                    .collect();
            }
            Some(Value::Object(_) | Value::Null) => {
                "`adapters` is empty: a platform needs at least one adapter".to_owned()
            }
            Some(other) => format!(
                "`adapters`: expected a mapping of adapters, found {}",
                kind(other)
            ),
            None => "key `adapters` is missing".to_owned(),
        };
        self.add(message, place).help = Some(help.to_owned());
        Vec::new()
    }

    fn section(&mut self, name: &str, value: &Value) -> Option<Section> {
        let mut pointer = "/adapters".to_owned();
        push(&mut pointer, name);
        let place = self.key(&pointer);
        if !is_name(name) {
            self.add(
                format!("`{name}` is not the name of an adapter: {NAME_RULE}"),
                place.clone(),
            );
        }
        let Value::Object(object) = value else {
            // The value itself is not shown: it may be a token in the wrong place.
            self.add(
                format!(
                    "`{name}`: expected a mapping of the adapter's inputs, found {}",
                    kind(value)
                ),
                place,
            )
            .help = Some(format!(
                "write the inputs below `{name}:`, each on a line of its own, such as `version: v1`"
            ));
            return None;
        };
        let mut config = object.clone();
        let adapter = match config.shift_remove("type") {
            None => name.to_owned(),
            Some(Value::String(adapter)) if is_name(&adapter) => adapter,
            Some(other) => {
                let place = self.value(&format!("{pointer}/type"));
                self.add(
                    format!(
                        "`{name}.type`: expected the name of an adapter, found {}",
                        found(&other)
                    ),
                    place,
                );
                return None;
            }
        };
        Some(Section {
            name: name.to_owned(),
            adapter,
            config,
        })
    }

    fn plugins(&mut self, value: Option<&Value>) -> BTreeMap<String, Plugin> {
        match value {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(plugins)) => plugins
                .iter()
                .map(|(name, value)| (name.clone(), self.plugin(name, value)))
                .collect(),
            Some(other) => {
                let place = self.value("/plugins");
                self.add(
                    format!(
                        "`plugins`: expected a mapping of adapters, found {}",
                        kind(other)
                    ),
                    place,
                );
                BTreeMap::new()
            }
        }
    }

    /// Reads the names of the variables that a plugin may see.
    fn variables(&mut self, plugin: &str, value: Option<&Value>) -> Vec<String> {
        let pointer = |rest: &str| {
            let mut pointer = "/plugins".to_owned();
            push(&mut pointer, plugin);
            format!("{pointer}/environment{rest}")
        };
        let help = "write names of variables, such as `environment: [ACME_REGION]`".to_owned();
        let names = match value {
            None => return Vec::new(),
            Some(Value::Array(names)) => names,
            Some(other) => {
                let place = self.value(&pointer(""));
                let message = format!(
                    "`plugins.{plugin}.environment`: expected a list, found {}",
                    found(other)
                );
                self.add(message, place).help = Some(help);
                return Vec::new();
            }
        };
        let mut variables = Vec::new();
        for (number, name) in names.iter().enumerate() {
            match name {
                Value::String(name) if is_variable(name) => variables.push(name.clone()),
                other => {
                    let place = self.value(&pointer(&format!("/{number}")));
                    let message = format!(
                        "`plugins.{plugin}.environment`: expected the name of a variable, found {}",
                        found(other)
                    );
                    self.add(message, place).help = Some(help.clone());
                }
            }
        }
        variables
    }

    fn plugin(&mut self, name: &str, value: &Value) -> Plugin {
        let mut pointer = "/plugins".to_owned();
        push(&mut pointer, name);
        let place = self.key(&pointer);
        if !is_name(name) {
            self.add(
                format!("`{name}` is not the name of an adapter: {NAME_RULE}"),
                place.clone(),
            );
        }
        let Value::Object(object) = value else {
            self.add(
                format!(
                    "`plugins.{name}`: expected a mapping with {}, found {}",
                    listed(PLUGIN_KEYS),
                    kind(value)
                ),
                place,
            );
            return Plugin::default();
        };
        self.unknown_keys(object, &pointer, &PLUGIN_KEYS);
        let mut text = |key: &str| match object.get(key)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            other => {
                let place = self.value(&format!("{pointer}/{key}"));
                let message = format!(
                    "`plugins.{name}.{key}`: expected text, found {}",
                    found(other)
                );
                self.add(message, place).help = other
                    .is_number()
                    .then(|| format!("write it in quotes, `{key}: \"{other}\"`"));
                None
            }
        };
        let plugin = Plugin {
            path: text("path"),
            source: text("source"),
            version: text("version"),
            environment: self.variables(name, object.get("environment")),
        };
        if let Some(Err(error)) = plugin.version.as_deref().map(semver::VersionReq::parse) {
            let place = self.value(&format!("{pointer}/version"));
            self.add(
                format!("`plugins.{name}.version` is not a range of versions: {error}"),
                place,
            )
            .help = Some("write a range such as `^1.2` or `>=1.2, <1.5`".to_owned());
        }
        plugin
    }
}
