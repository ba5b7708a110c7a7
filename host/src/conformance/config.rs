//! A configuration to render with where the operator gives none: what the wizard would propose, completed from the schema. Pure.

use serde_json::{Map, Value, json};
use ztc_protocol::Manifest;
use ztc_protocol::message::{InputPrompt, InputType};

use crate::conformance::wire::violations;

/// How deep a schema is followed.
const DEEPEST: usize = 8;

/// The variable to which made-up references to secrets point; nothing reads it.
pub(super) const VARIABLE: &str = "ZTC_KIT_SECRET";

/// Returns what the wizard would propose for its questions.
pub(super) fn proposed(manifest: &Manifest, prompts: &[InputPrompt]) -> Map<String, Value> {
    let mut config = Map::new();
    if !manifest.default_version.is_empty() {
        config.insert(
            "version".to_owned(),
            manifest.default_version.clone().into(),
        );
    }
    for prompt in prompts {
        let answer = match &prompt.default {
            Some(default) => Some(default.clone()),
            None if !prompt.required => None,
            None if prompt.kind == InputType::Password => Some(reference(VARIABLE)),
            None if prompt.kind == InputType::Choice => of_kind(prompt),
            // What cannot be made up is left out, so that the place in the schema is told.
            None => match property(&manifest.config_schema, &prompt.name) {
                Some(schema) => minimal(&manifest.config_schema, schema, "", 0).ok(),
                None => of_kind(prompt),
            },
        };
        if let Some(answer) = answer {
            config.insert(prompt.name.clone(), answer);
        }
    }
    config
}

/// Adds what the schema requires and nobody answered, and checks the whole. The error says what is missing.
pub(super) fn completed(
    manifest: &Manifest,
    mut config: Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let schema = &manifest.config_schema;
    let required = schema["required"].as_array().into_iter().flatten();
    let mut missing = Vec::new();
    for name in required.filter_map(Value::as_str) {
        if config.contains_key(name) {
            continue;
        }
        let place = format!("/properties/{name}");
        let made = property(schema, name)
            .ok_or_else(|| place.clone())
            .and_then(|property| minimal(schema, property, &place, 0));
        match made {
            Ok(value) => drop(config.insert(name.to_owned(), value)),
            Err(place) => missing.push(format!("`{place}`")),
        }
    }
    if !missing.is_empty() {
        return Err(format!(
            "no value is known for {} of `config_schema`: give it `examples`",
            missing.join(" and ")
        ));
    }
    // The host's own question: an adapter that does not know the key does not get it.
    let closed = schema["additionalProperties"] == false;
    if closed && property(schema, "version").is_none() {
        config.remove("version");
    }
    let wrong = wrong(schema, &config)?;
    if wrong.is_empty() {
        Ok(config)
    } else {
        Err(wrong.join("; "))
    }
}

/// Returns what the adapter's own schema says against a configuration.
pub(super) fn wrong(schema: &Value, config: &Map<String, Value>) -> Result<Vec<String>, String> {
    if schema.is_null() {
        return Ok(Vec::new());
    }
    let validator = jsonschema::options()
        .offline()
        .build(schema)
        .map_err(|error| format!("`config_schema` cannot be used: {error}"))?;
    Ok(violations(&validator, &Value::Object(config.clone())))
}

/// A reference to a secret.
pub(super) fn reference(variable: &str) -> Value {
    json!({ "from": "env", "name": variable })
}

fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema["properties"].get(name)
}

fn of_kind(prompt: &InputPrompt) -> Option<Value> {
    match prompt.kind {
        InputType::Choice => prompt.choices.first().cloned().map(Value::from),
        InputType::Boolean => Some(false.into()),
        InputType::Integer => Some(1.into()),
        InputType::List if prompt.items.is_empty() => Some(json!([])),
        InputType::Password => Some(reference(VARIABLE)),
        InputType::String if prompt.validation.is_none() => Some("example".into()),
        _ => None,
    }
}

/// Makes a small value that a schema is likely to take; what an author gives as default or example comes first. The error is the place in
/// the schema for which nothing can be made up.
fn minimal(root: &Value, schema: &Value, place: &str, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err(place.to_owned());
    }
    if schema["x-ztc-secret"] == true {
        return Ok(reference(VARIABLE));
    }
    let given = ["default", "const"].iter().find_map(|key| schema.get(*key));
    let listed = ["examples", "enum"]
        .iter()
        .find_map(|key| schema[*key].get(0));
    if let Some(value) = given.or(listed) {
        return Ok(value.clone());
    }
    if let Some(target) = schema["$ref"]
        .as_str()
        .and_then(|text| text.strip_prefix('#'))
    {
        let schema = root.pointer(target).ok_or(place)?;
        return minimal(root, schema, place, depth + 1);
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|key| schema[*key].get(0))
    {
        return minimal(root, first, place, depth + 1);
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match kind.unwrap_or_default() {
        "object" => object(root, schema, place, depth),
        "array" => {
            let count = schema["minItems"].as_u64().unwrap_or(0);
            let place = format!("{place}/items");
            (0..count)
                .map(|_| minimal(root, &schema["items"], &place, depth + 1))
                .collect()
        }
        "string" if schema.get("pattern").is_none() && schema.get("format").is_none() => {
            Ok("example".into())
        }
        "integer" | "number" => Ok(schema.get("minimum").cloned().unwrap_or_else(|| 1.into())),
        "boolean" => Ok(false.into()),
        "null" => Ok(Value::Null),
        _ => Err(place.to_owned()),
    }
}

fn object(root: &Value, schema: &Value, place: &str, depth: usize) -> Result<Value, String> {
    let required = schema["required"].as_array().into_iter().flatten();
    required
        .filter_map(Value::as_str)
        .map(|name| {
            let place = format!("{place}/properties/{name}");
            let property = property(schema, name).ok_or_else(|| place.clone())?;
            let value = minimal(root, property, &place, depth + 1)?;
            Ok((name.to_owned(), value))
        })
        .collect::<Result<Map<_, _>, String>>()
        .map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(schema: Value) -> Manifest {
        Manifest {
            default_version: "v1".into(),
            config_schema: schema,
            ..Manifest::default()
        }
    }

    #[test]
    fn defaults_come_first_and_the_schema_fills_the_rest() {
        let manifest = manifest(json!({
            "type": "object",
            "properties": {
                "version": { "type": "string" },
                "size": { "type": "integer", "minimum": 3 },
                "token": { "type": "object", "x-ztc-secret": true },
                "hosts": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/host" } },
                "mode": { "enum": ["fast", "slow"] },
            },
            "required": ["hosts", "mode"],
            "additionalProperties": false,
            "$defs": { "host": { "type": "object", "properties": { "ip": { "type": "string", "examples": ["203.0.113.1"] } }, "required": ["ip"] } },
        }));
        let prompt = |name: &str, kind, default| InputPrompt {
            name: name.into(),
            kind,
            default,
            required: true,
            ..InputPrompt::default()
        };
        let prompts = [
            prompt("size", InputType::Integer, None),
            prompt("token", InputType::Password, None),
            prompt("mode", InputType::Choice, Some(json!("slow"))),
        ];
        let config = completed(&manifest, proposed(&manifest, &prompts)).unwrap();
        assert_eq!(
            Value::Object(config),
            json!({
                "version": "v1", "size": 3, "token": { "from": "env", "name": VARIABLE }, "mode": "slow",
                "hosts": [{ "ip": "203.0.113.1" }],
            })
        );
    }

    #[test]
    fn what_cannot_be_made_up_is_said() {
        let manifest = manifest(json!({
            "properties": { "ip": { "type": "string", "pattern": "^[0-9.]+$" } }, "required": ["ip"], "additionalProperties": false,
        }));
        assert_eq!(
            completed(&manifest, proposed(&manifest, &[])).unwrap_err(),
            "no value is known for `/properties/ip` of `config_schema`: give it `examples`"
        );
    }
}
