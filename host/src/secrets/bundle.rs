//! Bundles of generated secrets, `secrets/<environment>/<name>.yaml`, and the placeholders `ztc-secret:<bundle>/<path>` that stand for their values in artifacts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::digest::sha256_hex;
use crate::error::{Exit, Failure, Location};
use crate::mask::Mask;
use crate::paths::Repository;
use crate::platform::canonical_json;
use crate::yaml;

/// What a placeholder begins with.
pub const PREFIX: &str = "ztc-secret:";

/// A bundle that was read.
#[derive(Clone)]
pub struct Bundle {
    /// Its name.
    pub name: String,
    /// Whether it is made from other bundles: a new one is as good as the old one, so it identifies nothing.
    pub derived: bool,
    document: Value,
}

impl Bundle {
    /// Where a bundle lies.
    pub fn path(repository: &Repository, environment: &str, name: &str) -> PathBuf {
        repository
            .secrets_of(environment)
            .join(format!("{name}.yaml"))
    }

    /// Reads a bundle; its values are masked from then on. Nothing where the file does not exist.
    pub fn load(
        repository: &Repository,
        environment: &str,
        mask: &Mask,
        name: &str,
    ) -> Result<Option<Self>, Failure> {
        let path = Self::path(repository, environment, name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io("read", repository.display(&path), &error)),
        };
        // The library's own message may quote the line, so it is not shown.
        let document = yaml::parse::<Value>(&text).map_err(|_| {
            Failure::invalid(format!("secret bundle `{name}` is not valid YAML"))
                .at(Location::file(repository.display(&path)))
                .help(format!(
                    "put the file back from its backup; `ztc secrets check {name}` says more"
                ))
        })?;
        mask_values(mask, name, &document);
        Ok(Some(Self {
            name: name.to_owned(),
            derived: false,
            document,
        }))
    }

    /// What an operator stored himself: values by name, masked from then on.
    pub(crate) fn of_store(mask: &Mask, values: serde_json::Map<String, Value>) -> Self {
        for (name, value) in &values {
            mask.add(
                &format!("secrets/{name}"),
                value.as_str().unwrap_or_default(),
            );
        }
        Self {
            name: "store".into(),
            derived: true,
            document: Value::Object(values),
        }
    }

    /// Returns what identifies the bundle without telling anything about it.
    pub fn fingerprint(&self) -> String {
        format!(
            "sha256:{}",
            sha256_hex(canonical_json(&self.document).as_bytes())
        )
    }

    /// Returns the value at a path such as `certs/os/crt`.
    pub fn value(&self, path: &str) -> Option<&str> {
        path.split('/')
            .try_fold(&self.document, |value, key| value.get(key))
            .and_then(Value::as_str)
    }
}

/// Returns what identifies the text of a bundle; nothing where it is no YAML.
pub(crate) fn fingerprint_of(text: &str) -> Option<String> {
    let document = yaml::parse::<Value>(text).ok()?;
    let bundle = Bundle {
        name: String::new(),
        derived: false,
        document,
    };
    Some(bundle.fingerprint())
}

fn mask_values(mask: &Mask, name: &str, value: &Value) {
    match value {
        Value::String(text) => mask.add(&format!("secret bundle `{name}`"), text),
        Value::Array(items) => items.iter().for_each(|item| mask_values(mask, name, item)),
        Value::Object(object) => object
            .values()
            .for_each(|item| mask_values(mask, name, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the bundles that a text refers to.
pub fn referenced(text: &str) -> BTreeSet<String> {
    placeholders(text)
        .filter_map(|(_, placeholder)| Some(placeholder.split_once('/')?.0.to_owned()))
        .collect()
}

/// Returns what follows the prefix of each placeholder of a text.
pub(crate) fn places(text: &str) -> impl Iterator<Item = &str> {
    placeholders(text).map(|(_, placeholder)| placeholder)
}

/// Returns the text with every placeholder replaced by its value.
pub fn fill(text: &str, bundles: &BTreeMap<String, Bundle>) -> Result<String, Failure> {
    let mut filled = String::with_capacity(text.len());
    let mut end = 0;
    for (start, placeholder) in placeholders(text) {
        let value = placeholder
            .split_once('/')
            .and_then(|(bundle, path)| bundles.get(bundle)?.value(path))
            .ok_or_else(|| unknown(placeholder))?;
        filled.push_str(&text[end..start]);
        filled.push_str(value);
        end = start + PREFIX.len() + placeholder.len();
    }
    filled.push_str(&text[end..]);
    Ok(filled)
}

fn unknown(placeholder: &str) -> Failure {
    let bundle = placeholder.split('/').next().unwrap_or_default();
    Failure::new(Exit::Refused, format!("nothing stands for the placeholder `{PREFIX}{placeholder}`")).help(format!(
        "restore the secret bundle `{bundle}` from its backup, or make it with `ztc secrets generate {bundle}` where the cluster does not exist yet"
    ))
}

/// Returns every placeholder with the place where its prefix begins.
fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices(PREFIX).map(|(start, _)| {
        let rest = &text[start + PREFIX.len()..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.')))
            .unwrap_or(rest.len());
        (start, &rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundles() -> BTreeMap<String, Bundle> {
        let document = json!({"certs": {"os": {"crt": "Q1JU", "key": "S0VZ"}}, "trustdinfo": {"token": "abc.def"}});
        BTreeMap::from([(
            "talos".to_owned(),
            Bundle {
                name: "talos".into(),
                derived: false,
                document,
            },
        )])
    }

    #[test]
    fn placeholders_become_values() {
        let text =
            "crt: ztc-secret:talos/certs/os/crt\ntoken: \"ztc-secret:talos/trustdinfo/token\"\n";
        assert_eq!(referenced(text), BTreeSet::from(["talos".to_owned()]));
        assert_eq!(
            fill(text, &bundles()).unwrap(),
            "crt: Q1JU\ntoken: \"abc.def\"\n"
        );
    }

    #[test]
    fn a_placeholder_without_value_is_refused() {
        let failure = fill("a: ztc-secret:talos/certs/none", &bundles()).unwrap_err();
        assert_eq!(
            failure.message,
            "nothing stands for the placeholder `ztc-secret:talos/certs/none`"
        );
        assert_eq!(failure.exit, Exit::Refused);
        assert!(fill("a: ztc-secret:other/x", &bundles()).is_err());
    }
}
