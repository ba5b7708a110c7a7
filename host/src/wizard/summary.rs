//! What the wizard made, as a table, and what is still missing. Shows references to secrets, never their values.

use std::collections::BTreeMap;

use serde_json::Value;
use ztc_protocol::Manifest;

use crate::paths::Repository;
use crate::platform::DEFAULT_ENVIRONMENT;
use crate::platform::words::short;
use crate::secrets::Reference;
use crate::ui::table::table;
use crate::wizard::Draft;

/// Writes the answers as a table.
pub(crate) fn text(draft: &Draft) -> String {
    table(&["ADAPTER", "INPUT", "VALUE"], &rows(draft))
}

fn rows(draft: &Draft) -> Vec<Vec<String>> {
    let mut rows = vec![vec![
        String::new(),
        "environment".to_owned(),
        draft.environment.clone().unwrap_or_default(),
    ]];
    for section in &draft.sections {
        for (index, (key, value)) in section.config.iter().enumerate() {
            let name = if index == 0 {
                section.name.clone()
            } else {
                String::new()
            };
            rows.push(vec![name, key.clone(), shown(value)]);
        }
    }
    rows
}

fn shown(value: &Value) -> String {
    if let Ok(reference) = Reference::parse(value) {
        return reference.to_string();
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let named = items
                .iter()
                .map(|item| item.get("name").and_then(Value::as_str).unwrap_or("…"));
            format!("{}: {}", items.len(), named.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    short(&text)
}

/// Returns the bundles of secrets that the adapters declare and that do not exist yet.
pub(crate) fn missing_bundles(
    repository: &Repository,
    draft: &Draft,
    manifests: &BTreeMap<String, Manifest>,
) -> Vec<String> {
    let bundles = draft
        .sections
        .iter()
        .filter_map(|section| manifests.get(&section.adapter))
        .flat_map(|manifest| &manifest.bundles);
    let environment = draft.environment.as_deref().unwrap_or(DEFAULT_ENVIRONMENT);
    let names = bundles.map(|bundle| format!("secrets/{environment}/{}.yaml", bundle.name));
    names
        .filter(|name| !repository.root().join(name).exists())
        .collect()
}
