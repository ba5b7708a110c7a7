//! The recorded conversations are what the schema and the types of today say, and fields that nobody knows yet are passed over.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ztc_protocol::message::*;
use ztc_protocol::{ErrorCode, ErrorData, Method};

use crate::frozen;

/// A message with what it is about: the place of its schema in `schema.json`.
struct Message {
    place: String,
    schema: String,
    content: Value,
}

/// Returns all messages of all conversations.
fn messages() -> Vec<Message> {
    let mut paths: Vec<_> = fs::read_dir(frozen().join("transcripts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .flat_map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            conversation(&name, &fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn conversation(name: &str, text: &str) -> Vec<Message> {
    let mut methods: BTreeMap<String, String> = BTreeMap::new();
    let mut messages = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let message = &line["message"];
        let id = message["id"].to_string();
        if message["method"].is_number() {
            // No request at all, sent in order to be refused.
            continue;
        }
        let (schema, content) = match (message["method"].as_str(), message.get("error")) {
            (Some(method), _) if message.get("id").is_some() => {
                methods.insert(id, method.to_owned());
                (format!("/methods/{method}/params"), message.get("params"))
            }
            (Some(method), _) => {
                let method = method.replace('/', "~1");
                (
                    format!("/notifications/{method}/params"),
                    message.get("params"),
                )
            }
            (None, Some(error)) => ("/error_data".to_owned(), error.get("data")),
            (None, None) => {
                let method = &methods[&id];
                (format!("/methods/{method}/result"), message.get("result"))
            }
        };
        messages.push(Message {
            place: format!("{name}:{}", number + 1),
            schema,
            content: content.cloned().unwrap_or_else(|| json!({})),
        });
    }
    messages
}

fn document() -> Value {
    serde_json::from_str(&fs::read_to_string(frozen().join("schema.json")).unwrap()).unwrap()
}

/// Messages that were sent in order to be refused.
fn is_wrong_on_purpose(message: &Message, document: &Value) -> bool {
    document.pointer(&message.schema).is_none() || message.content["config"] == json!(7)
}

#[test]
fn every_message_is_what_the_frozen_schema_says() {
    let document = document();
    let mut wrong = Vec::new();
    for message in messages() {
        if is_wrong_on_purpose(&message, &document) {
            continue;
        }
        let schema = document.pointer(&message.schema).unwrap();
        let validator = jsonschema::validator_for(schema).unwrap();
        let problems = validator.iter_errors(&message.content);
        wrong.extend(problems.map(|problem| {
            format!(
                "{}: `{}`: {problem}",
                message.place,
                problem.instance_path()
            )
        }));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_types_read_every_message_and_pass_over_unknown_fields() {
    let document = document();
    for message in messages() {
        if is_wrong_on_purpose(&message, &document) {
            continue;
        }
        let schema = document.pointer(&message.schema).unwrap();
        let tomorrow = grown(schema, schema, &message.content);
        assert_ne!(tomorrow, message.content, "{}", message.place);
        let read = read(&message, &message.content);
        // What was said is what was understood: nothing in a message has another name in the types.
        assert_eq!(lost(&message.content, &read), None, "{}", message.place);
        assert_eq!(self::read(&message, &tomorrow), read, "{}", message.place);
    }
}

#[test]
fn every_method_notification_and_kind_of_error_is_recorded() {
    let text: String = fs::read_dir(frozen().join("transcripts"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let names = METHODS.iter().copied().chain([CANCEL, PROGRESS, LOG]);
    let methods = names.map(|name| format!("\"method\":\"{name}\""));
    let codes = [
        ErrorCode::InvalidRequest,
        ErrorCode::MethodNotFound,
        ErrorCode::InvalidParams,
        ErrorCode::Internal,
        ErrorCode::ProtocolUnsupported,
        ErrorCode::NotInitialized,
        ErrorCode::MethodNotOffered,
        ErrorCode::InvalidInputs,
        ErrorCode::SecretMissing,
        ErrorCode::CapabilityMissing,
        ErrorCode::Cancelled,
        ErrorCode::AuthenticationFailed,
    ];
    let codes = codes.map(|code| format!("\"code\":{}", i32::from(code)));
    let absent: Vec<String> = methods
        .chain(codes)
        .filter(|word| !text.contains(word))
        .collect();
    assert_eq!(absent, Vec::<String>::new());
}

/// Adds a field to every object whose fields are known.
fn grown(root: &Value, schema: &Value, value: &Value) -> Value {
    let schema = resolved(root, schema);
    match value {
        Value::Object(object) => {
            let properties = schema.get("properties");
            let others = schema.get("additionalProperties");
            let is_typed = schema["type"] == "object" && others.is_none();
            let mut object: serde_json::Map<String, Value> = object
                .iter()
                .map(|(key, value)| {
                    let known = properties.and_then(|properties| properties.get(key));
                    let value = match known.or(others) {
                        Some(schema) => grown(root, schema, value),
                        None => value.clone(),
                    };
                    (key.clone(), value)
                })
                .collect();
            if is_typed {
                object.insert("field of tomorrow".into(), json!({"since": "1.1"}));
            }
            Value::Object(object)
        }
        Value::Array(items) => {
            let each = |item| match schema.get("items") {
                Some(schema) => grown(root, schema, item),
                None => item.clone(),
            };
            items.iter().map(each).collect()
        }
        other => other.clone(),
    }
}

/// Follows a reference, and goes into an optional value.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(target) = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#')) {
        return resolved(root, root.pointer(target).unwrap());
    }
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    match alternatives.into_iter().find(|one| one["type"] != "null") {
        Some(schema) => resolved(root, schema),
        None => schema,
    }
}

/// Returns something that is in the message and not in what was read from it.
fn lost(said: &Value, read: &Value) -> Option<String> {
    match (said, read) {
        (Value::Object(said), Value::Object(read)) => {
            said.iter().find_map(|(key, said)| match read.get(key) {
                Some(read) => lost(said, read),
                None => Some(key.clone()),
            })
        }
        (Value::Array(said), Value::Array(read)) if said.len() == read.len() => said
            .iter()
            .zip(read)
            .find_map(|(said, read)| lost(said, read)),
        _ => (said != read).then(|| format!("{said} was read as {read}")),
    }
}

/// Reads a message into its type and writes it again.
fn read(message: &Message, content: &Value) -> Value {
    let part = message.schema.split('/').collect::<Vec<_>>();
    match part[1..] {
        ["error_data"] => again::<ErrorData>(message, content),
        ["notifications", "$~1cancel", _] => again::<CancelParams>(message, content),
        ["notifications", "$~1progress", _] => again::<ProgressParams>(message, content),
        ["notifications", "$~1log", _] => again::<LogParams>(message, content),
        ["methods", method, side] => match method {
            Initialize::NAME => either::<Initialize>(side, message, content),
            GetInputs::NAME => either::<GetInputs>(side, message, content),
            Validate::NAME => either::<Validate>(side, message, content),
            Discover::NAME => either::<Discover>(side, message, content),
            Render::NAME => either::<Render>(side, message, content),
            Scripts::NAME => either::<Scripts>(side, message, content),
            GenerateSecrets::NAME => either::<GenerateSecrets>(side, message, content),
            CheckSecrets::NAME => either::<CheckSecrets>(side, message, content),
            Shutdown::NAME => either::<Shutdown>(side, message, content),
            other => panic!("no method `{other}`"),
        },
        _ => panic!("no message `{}`", message.schema),
    }
}

fn either<M: Method>(side: &str, message: &Message, content: &Value) -> Value {
    match side {
        "params" => again::<M::Params>(message, content),
        _ => again::<M::Result>(message, content),
    }
}

fn again<T: DeserializeOwned + Serialize>(message: &Message, content: &Value) -> Value {
    let read: T = serde_json::from_value(content.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", message.place));
    serde_json::to_value(read).unwrap()
}
