//! JSON Schemas of everything on the wire, generated from the types.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::PROTOCOL;
use crate::message::*;

/// The schema document of protocol 1.0 as it was frozen: what an adapter of 1.0 is measured by, whatever later versions add.
pub const FROZEN_1_0: &str = include_str!("../1.0/schema.json");

/// Returns the whole protocol as one JSON document: `methods` and `notifications` with the schema of parameters and results, `error_data`,
/// and the standard `capabilities`.
pub fn document() -> Value {
    let mut methods = Map::new();
    add::<Initialize>(&mut methods);
    add::<GetInputs>(&mut methods);
    add::<Validate>(&mut methods);
    add::<Discover>(&mut methods);
    add::<Render>(&mut methods);
    add::<Scripts>(&mut methods);
    add::<GenerateSecrets>(&mut methods);
    add::<CheckSecrets>(&mut methods);
    add::<Shutdown>(&mut methods);
    let capabilities: Map<String, Value> = crate::capability::STANDARD
        .iter()
        .filter_map(|(name, _)| {
            Some((
                (*name).to_owned(),
                crate::capability::standard_schema(name)?,
            ))
        })
        .collect();
    json!({
        "protocol": PROTOCOL.to_string(),
        "methods": methods,
        "notifications": {
            CANCEL: { "from": "host", "params": schema::<CancelParams>() },
            PROGRESS: { "from": "adapter", "params": schema::<ProgressParams>() },
            LOG: { "from": "adapter", "params": schema::<LogParams>() },
        },
        "error_data": schema::<crate::ErrorData>(),
        "capabilities": capabilities,
    })
}

fn add<M>(methods: &mut Map<String, Value>)
where
    M: Method,
    M::Params: JsonSchema,
    M::Result: JsonSchema,
{
    methods.insert(
        M::NAME.to_owned(),
        json!({ "params": schema::<M::Params>(), "result": schema::<M::Result>() }),
    );
}

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_schemas() {
        let document = document();
        let methods = document["methods"].as_object().unwrap();
        assert_eq!(
            methods.keys().map(String::as_str).collect::<Vec<_>>(),
            METHODS
        );
        for (name, method) in methods {
            assert_eq!(method["params"]["type"], "object", "{name}");
            assert_eq!(method["result"]["type"], "object", "{name}");
        }
    }
}
