//! The inputs of an adapter in one line each, as an index keeps them: enough to tell an operator before an upgrade which ones are new, gone
//! or other than before, without starting either version. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// How deep a schema is followed, how many inputs are kept, and how much is said of each.
const DEEPEST: usize = 8;
const MOST: usize = 400;
const LONGEST: usize = 200;

/// Every input by its place, such as `nodes[].role`, with what it may be.
pub(crate) type Inputs = BTreeMap<String, String>;

/// Reads the inputs out of a configuration's JSON Schema.
pub(crate) fn inputs(schema: &Value) -> Inputs {
    let mut found = Inputs::new();
    properties(schema, schema, "", DEEPEST, &mut found);
    found
}

fn properties(root: &Value, schema: &Value, at: &str, depth: usize, found: &mut Inputs) {
    let schema = resolved(root, schema);
    let (Some(properties), 1..) = (schema["properties"].as_object(), depth) else {
        return;
    };
    let required = |name: &str| {
        let names = schema["required"].as_array();
        names.is_some_and(|names| names.iter().any(|it| it == name))
    };
    for (name, property) in properties {
        if found.len() >= MOST {
            return;
        }
        let place = match at {
            "" => name.clone(),
            at => format!("{at}.{name}"),
        };
        let property = resolved(root, property);
        let mut words = vec![kind(root, property)];
        words.extend(required(name).then(|| "required".to_owned()));
        words.extend(rules(property));
        let text: String = words.join(", ").chars().take(LONGEST).collect();
        found.insert(place.clone(), text);
        properties_of_items(root, property, &place, depth, found);
    }
}

fn properties_of_items(
    root: &Value,
    property: &Value,
    place: &str,
    depth: usize,
    found: &mut Inputs,
) {
    properties(root, property, place, depth - 1, found);
    if property["items"].is_object() {
        properties(
            root,
            &property["items"],
            &format!("{place}[]"),
            depth - 1,
            found,
        );
    }
}

/// Follows a reference inside the schema.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEEPEST {
        let target = schema["$ref"]
            .as_str()
            .and_then(|reference| reference.strip_prefix('#'))
            .and_then(|pointer| root.pointer(pointer));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

fn kind(root: &Value, schema: &Value) -> String {
    if schema["x-ztc-secret"] == true {
        return "secret".to_owned();
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(shown).collect();
        return format!("one of {}", values.join(", "));
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => {
            format!("list of {}", kind_of_items(root, &schema["items"]))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(shown).collect();
            kinds.join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

fn kind_of_items(root: &Value, items: &Value) -> String {
    match resolved(root, items) {
        Value::Object(_) => match resolved(root, items)["type"].as_str() {
            Some("array") | None => "anything".to_owned(),
            Some(kind) => kind.to_owned(),
        },
        _ => "anything".to_owned(),
    }
}

/// What is said beside the type, each in a few words.
fn rules(schema: &Value) -> Vec<String> {
    [
        "default",
        "const",
        "format",
        "pattern",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
    ]
    .into_iter()
    .filter_map(|rule| Some((rule, schema.get(rule)?)))
    .map(|(rule, value)| format!("{rule} {}", shown(value)))
    .collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_becomes_a_line_for_each_input() {
        let schema = json!({
            "type": "object",
            "required": ["nodes", "api_token"],
            "properties": {
                "api_token": {"type": "object", "x-ztc-secret": true},
                "mode": {"enum": ["a", "b"], "default": "a"},
                "nodes": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/node"}},
                "mtu": {"type": ["integer", "null"], "maximum": 9000},
                "loop": {"$ref": "#/properties/loop"},
            },
            "$defs": {"node": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$"},
                "labels": {"type": "object"},
            }}},
        });
        let lines: Vec<String> = inputs(&schema)
            .iter()
            .map(|(place, text)| format!("{place}: {text}"))
            .collect();
        assert_eq!(
            lines,
            [
                "api_token: secret, required",
                "loop: anything",
                "mode: one of a, b, default a",
                "mtu: integer or null, maximum 9000",
                "nodes: list of object, required, minItems 1",
                "nodes[].labels: object",
                "nodes[].name: string, required, pattern ^[a-z]+$",
            ]
        );
    }
}
