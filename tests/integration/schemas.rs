//! What `--json` writes, against the schemas in `docs/`.

use serde_json::Value;

/// Expects a value to have the form that a schema of `docs/` describes.
#[track_caller]
pub(crate) fn valid(schema: &str, value: &Value) {
    let path = crate::tidy::root().join("docs").join(schema);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let schema: Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(wrong, Vec::<String>::new(), "{value:#}");
}
