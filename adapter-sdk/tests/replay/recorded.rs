//! The recorded conversations of protocol 1.0: what a host of that time says is understood today, and gets what it got then.

use std::fs;

use serde_json::{Value, json};
use ztc_adapter_sdk::protocol::sha256_hex;
use ztc_adapter_sdk::testing::Conversation;

use crate::conversation::{From, Message, replay};
use crate::rack::Rack;
use crate::{form, protocol, updates};

/// The longest text that is recorded as it is; of a longer one, the digest is.
const LONGEST: usize = 400;

#[track_caller]
fn check(name: &str, start: impl Fn() -> Conversation) {
    let path = protocol().join(format!("1.0/transcripts/{name}.ndjson"));
    let recorded = read(&fs::read_to_string(&path).unwrap());
    let today = replay(&recorded, start);
    if updates() {
        fs::write(&path, write(&today)).unwrap();
        return;
    }
    let frozen = fs::read_to_string(protocol().join("1.0/schema.json")).unwrap();
    let frozen: Value = serde_json::from_str(&frozen).unwrap();
    assert_eq!(form::lost(&frozen, &recorded, &today), Vec::<String>::new());
}

fn read(text: &str) -> Vec<Message> {
    let message = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let from = match line["from"].as_str() {
            Some("host") => From::Host,
            Some("adapter") => From::Adapter,
            other => panic!("{other:?} takes no part"),
        };
        let content = line["message"].clone();
        Message { from, content }
    };
    text.lines().map(message).collect()
}

fn write(messages: &[Message]) -> String {
    let line = |message: &Message| {
        let (from, content) = match message.from {
            From::Host => ("host", message.content.clone()),
            From::Adapter => ("adapter", short(&message.content)),
        };
        format!("{}\n", json!({"from": from, "message": content}))
    };
    messages.iter().map(line).collect()
}

/// Replaces long texts by their digests.
fn short(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > LONGEST => {
            Value::from(format!("sha256:{}", sha256_hex(text.as_bytes())))
        }
        Value::Array(items) => items.iter().map(short).collect(),
        Value::Object(object) => {
            let parts = object
                .iter()
                .map(|(key, value)| (key.clone(), short(value)));
            Value::Object(parts.collect())
        }
        other => other.clone(),
    }
}

#[test]
fn hetzner() {
    check("hetzner", || {
        Conversation::start(ztc_adapter_hetzner::Hetzner)
    });
}

#[test]
fn cilium() {
    check("cilium", || Conversation::start(ztc_adapter_cilium::Cilium));
}

#[test]
fn talos() {
    check("talos", || {
        Conversation::start(ztc_adapter_talos::TalosAdapter)
    });
}

#[test]
fn errors() {
    check("errors", || Conversation::start(Rack));
}
