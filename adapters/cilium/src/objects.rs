//! YAML documents read as Kubernetes objects.

use std::collections::BTreeMap;

use serde_json::Value;

/// Objects by `kind namespace/name`.
pub(crate) type Objects = BTreeMap<String, Value>;

/// How Kubernetes reads YAML: `0400` is octal. Definitions are large, and they come from the operator.
pub(crate) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { legacy_octal_numbers: true, budget: None }
}

/// Reads documents; empty ones are left out.
pub(crate) fn parse(text: &str) -> Result<Objects, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| first_line(&error.to_string()))?;
    let mut objects = Objects::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let word = |pointer: &str| {
            document
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (kind, namespace, name) = (
            word("/kind"),
            word("/metadata/namespace"),
            word("/metadata/name"),
        );
        if kind.is_empty() || name.is_empty() {
            return Err("a document has no `kind` or no `metadata.name`".into());
        }
        let key = format!("{kind} {namespace}/{name}");
        if objects.contains_key(&key) {
            return Err(format!("`{key}` is there twice"));
        }
        objects.insert(key, document);
    }
    Ok(objects)
}

/// Returns the first line of a message.
pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
