//! Whether what an adapter says today gives an old host what it got before: every field that the frozen schema knows, in its type.
//!
//! Values may be others: a new release of an adapter supports other versions and renders other texts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::conversation::{From, Message};

/// Returns what is not there any more.
pub(crate) fn lost(frozen: &Value, recorded: &[Message], today: &[Message]) -> Vec<String> {
    let mut methods: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for (number, (recorded, today)) in recorded.iter().zip(today).enumerate() {
        let id = recorded.content["id"].to_string();
        if recorded.from == From::Host {
            methods.insert(
                id,
                recorded.content["method"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
            continue;
        }
        let place = format!("line {}", number + 1);
        let method = methods.get(&id).map_or("", String::as_str);
        found.extend(message(
            frozen,
            method,
            &place,
            &recorded.content,
            &today.content,
        ));
    }
    found
}

fn message(frozen: &Value, method: &str, place: &str, old: &Value, new: &Value) -> Vec<String> {
    for exact in ["/jsonrpc", "/id", "/method", "/error/code"] {
        if old.pointer(exact) != new.pointer(exact) {
            return vec![format!(
                "{place}{exact} was {:?} and is {:?}",
                old.pointer(exact),
                new.pointer(exact)
            )];
        }
    }
    let null = Value::Null;
    let part = |pointer: &str, schema: &Value| {
        let (old, new) = (old.pointer(pointer), new.pointer(pointer));
        fields(
            schema,
            schema,
            &format!("{place}{pointer}"),
            old.unwrap_or(&null),
            new.unwrap_or(&null),
        )
    };
    let notification = &frozen["notifications"][old["method"].as_str().unwrap_or_default()];
    let mut found = part("/result", &frozen["methods"][method]["result"]);
    found.extend(part("/error/data", &frozen["error_data"]));
    found.extend(part("/params", &notification["params"]));
    found
}

fn fields(root: &Value, schema: &Value, place: &str, old: &Value, new: &Value) -> Vec<String> {
    let schema = resolved(root, schema);
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let known = |key: &String| schema.get("properties")?.get(key);
            old.iter()
                .flat_map(|(key, old)| {
                    let place = format!("{place}/{key}");
                    match (known(key), new.get(key)) {
                        (Some(schema), Some(new)) => fields(root, schema, &place, old, new),
                        (Some(schema), None) if !may_be_null(schema) => {
                            vec![format!("{place} is gone")]
                        }
                        _ => Vec::new(),
                    }
                })
                .collect()
        }
        (Value::Array(old), Value::Array(new)) => {
            if !old.is_empty() && new.is_empty() {
                return vec![format!("{place} is empty")];
            }
            let each = old.iter().zip(new).enumerate();
            each.flat_map(|(index, (old, new))| {
                fields(
                    root,
                    &schema["items"],
                    &format!("{place}/{index}"),
                    old,
                    new,
                )
            })
            .collect()
        }
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        _ if std::mem::discriminant(old) == std::mem::discriminant(new) => Vec::new(),
        _ => vec![format!("{place} was {old} and is {new}")],
    }
}

fn may_be_null(schema: &Value) -> bool {
    let null = json!("null");
    schema["type"]
        .as_array()
        .is_some_and(|types| types.contains(&null))
        || schema["anyOf"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["type"] == null))
        || schema
            .as_object()
            .is_some_and(|schema| !schema.contains_key("type") && !schema.contains_key("$ref"))
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"]
        .as_str()
        .and_then(|to| root.pointer(to.strip_prefix('#')?))
    {
        Some(schema) => schema,
        None => schema,
    }
}

#[test]
fn what_an_old_host_would_miss_is_found() {
    #[track_caller]
    fn check(new: Value, expected: &[&str]) {
        let method = json!({"result": {"properties": {"list": {"type": "array", "items": {"$ref": "#/$defs/Item"}}},
            "$defs": {"Item": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}}}}}});
        let frozen = json!({"methods": {"m": method}});
        let said = |from, content| Message { from, content };
        let request = said(From::Host, json!({"id": 1, "method": "m"}));
        let old = json!({"id": 1, "result": {"list": [{"a": "x", "b": "y", "other": 1}]}});
        let old = [request.clone(), said(From::Adapter, old)];
        assert_eq!(
            lost(&frozen, &old, &[request, said(From::Adapter, new)]),
            expected
        );
    }
    check(
        json!({"id": 1, "result": {"list": [{"a": "z", "new": 1}], "new": 2}}),
        &[],
    );
    check(
        json!({"id": 1, "result": {"list": [{"b": "y"}]}}),
        &["line 2/result/list/0/a is gone"],
    );
    check(
        json!({"id": 1, "result": {"list": [{"a": 7}]}}),
        &["line 2/result/list/0/a was \"x\" and is 7"],
    );
    check(
        json!({"id": 1, "result": {"list": []}}),
        &["line 2/result/list is empty"],
    );
    check(
        json!({"id": 1, "result": {}}),
        &["line 2/result/list is gone"],
    );
    check(
        json!({"id": 1, "error": {"code": 5}}),
        &["line 2/error/code was None and is Some(Number(5))"],
    );
}
