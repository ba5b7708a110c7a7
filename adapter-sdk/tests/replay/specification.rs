//! The examples of `protocol/README.md`: adapters answer as its transcripts say, and every other example has the form of its type.

use std::fs;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ztc_adapter_sdk::protocol::Manifest;
use ztc_adapter_sdk::protocol::capability::{CloudInfrastructure, Cni, GatewayApi, KubernetesApi};
use ztc_adapter_sdk::protocol::message::*;
use ztc_adapter_sdk::protocol::schema::document;
use ztc_adapter_sdk::protocol::stage::{Script, Stage};
use ztc_adapter_sdk::testing::Conversation;

use crate::conversation::{From, Message, replay};
use crate::rack::Rack;
use crate::{protocol, updates};

/// What a block of a transcript begins with; an example of a type begins with "```json " and the type's name.
const TRANSCRIPT: &str = "```text transcript";

/// How wide a line is where it can be.
const WIDTH: usize = 120;

fn text() -> String {
    fs::read_to_string(protocol().join("README.md")).unwrap()
}

/// Returns the blocks with this beginning: the rest of their first line, and their text.
fn blocks<'a>(text: &'a str, beginning: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.split("\n```\n")
        .filter_map(move |part| part.rsplit_once(&format!("\n{beginning}")))
        .filter_map(|(_, block)| block.split_once('\n'))
}

/// Reads a block: a message begins with an arrow, and goes on until the next one.
fn messages(block: &str) -> Vec<Message> {
    let mut parts: Vec<(From, String)> = Vec::new();
    for line in block.lines() {
        let from = match line.chars().next() {
            Some('→') => Some(From::Host),
            Some('←') => Some(From::Adapter),
            _ => None,
        };
        match from {
            Some(from) => parts.push((from, line.trim_start_matches(['→', '←']).to_owned())),
            None => parts.last_mut().unwrap().1.push_str(line),
        }
    }
    parts
        .into_iter()
        .map(|(from, text)| Message {
            from,
            content: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
        })
        .collect()
}

#[test]
fn adapters_answer_as_the_transcripts_say() {
    let text = text();
    let recorded: Vec<Vec<Message>> = blocks(&text, TRANSCRIPT)
        .map(|(_, block)| messages(block))
        .collect();
    let all: Vec<Message> = recorded.iter().flatten().cloned().collect();
    let mut today = replay(&all, || Conversation::start(Rack)).into_iter();
    let mut written = text.clone();
    for ((_, block), recorded) in blocks(&text, TRANSCRIPT).zip(&recorded) {
        let today: Vec<Message> = today.by_ref().take(recorded.len()).collect();
        let block = format!("{TRANSCRIPT}\n{block}");
        written = written.replacen(&block, &format!("{TRANSCRIPT}\n{}", shown(&today)), 1);
        if !updates() {
            for (today, recorded) in today.iter().zip(recorded) {
                assert_eq!(
                    today.content,
                    recorded.content,
                    "{}",
                    shown(std::slice::from_ref(today))
                );
            }
        }
    }
    if updates() {
        fs::write(protocol().join("README.md"), written).unwrap();
    }
}

#[test]
fn the_transcripts_show_every_method_and_notification() {
    let text = text();
    let shown: Vec<Message> = blocks(&text, TRANSCRIPT)
        .flat_map(|(_, block)| messages(block))
        .collect();
    let document = document();
    let names = ["methods", "notifications"].map(|part| document[part].as_object().unwrap());
    let absent: Vec<&String> = names
        .iter()
        .flat_map(|part| part.keys())
        .filter(|name| {
            !shown
                .iter()
                .any(|message| message.content["method"] == **name)
        })
        .collect();
    assert_eq!(absent, Vec::<&String>::new());
}

#[test]
fn every_field_of_the_protocol_is_explained() {
    let text = text();
    let mut fields = Vec::new();
    collect(&document(), &mut fields);
    fields.sort();
    fields.dedup();
    let unexplained: Vec<String> = fields
        .into_iter()
        .filter(|field| !text.contains(&format!("`{field}`")))
        .collect();
    assert_eq!(unexplained, Vec::<String>::new());
}

/// Collects the names of all properties.
fn collect(schema: &Value, fields: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                if key == "properties" {
                    fields.extend(
                        value
                            .as_object()
                            .into_iter()
                            .flat_map(|map| map.keys().cloned()),
                    );
                }
                collect(value, fields);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, fields)),
        _ => {}
    }
}

#[test]
fn every_example_has_the_form_of_its_type() {
    let text = text();
    let mut count = 0;
    for (name, block) in blocks(&text, "```json ") {
        match name {
            "Manifest" => check::<Manifest>(block),
            "Artifact" => check::<Artifact>(block),
            "Stage" => check::<Stage>(block),
            "Script" => check::<Script>(block),
            "InputPrompt" => check::<InputPrompt>(block),
            "RenderResult" => check::<RenderResult>(block),
            "cloud-infrastructure" => check::<CloudInfrastructure>(block),
            "cni" => check::<Cni>(block),
            "gateway-api" => check::<GatewayApi>(block),
            "kubernetes-api" => check::<KubernetesApi>(block),
            other => panic!("no type `{other}`"),
        }
        count += 1;
    }
    assert!(count > 4, "only {count} examples were found");
}

/// Reads an example and looks whether all of it was understood.
#[track_caller]
fn check<T: DeserializeOwned + Serialize>(block: &str) {
    let said: Value =
        serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
    let read: T = serde_json::from_value(said.clone()).unwrap();
    let read = serde_json::to_value(read).unwrap();
    for (key, value) in said.as_object().unwrap() {
        if !value.is_object() && !value.is_array() {
            assert_eq!(read.get(key), Some(value), "{key}");
        }
        assert!(read.get(key).is_some(), "there is no field `{key}`");
    }
}

fn shown(messages: &[Message]) -> String {
    let shown = messages.iter().map(|message| {
        let arrow = match message.from {
            From::Host => '→',
            From::Adapter => '←',
        };
        format!("{arrow} {}", pretty(&message.content, 2))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Writes a value in one line where it fits, else one part a line.
fn pretty(value: &Value, indent: usize) -> String {
    let line = one_line(value);
    if line.chars().count() + indent <= WIDTH {
        return line;
    }
    let inner = " ".repeat(indent + 2);
    let (open, close, parts) = match value {
        Value::Object(object) => {
            let part = |(key, value): (&String, &Value)| {
                format!(
                    "{inner}{}: {}",
                    Value::from(key.as_str()),
                    pretty(value, indent + 2)
                )
            };
            ('{', '}', object.iter().map(part).collect::<Vec<_>>())
        }
        Value::Array(items) => {
            let part = |item: &Value| format!("{inner}{}", pretty(item, indent + 2));
            ('[', ']', items.iter().map(part).collect())
        }
        _ => return line,
    };
    format!(
        "{open}\n{}\n{}{close}",
        parts.join(",\n"),
        " ".repeat(indent)
    )
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let parts = object
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), one_line(value)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(one_line).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}
