//! Writes `platform.yaml`: block style, small mappings and lists in flow style, texts in quotes only where they need them. Pure.
//!
//! The same answers always give the same bytes.

use serde_json::{Map, Value};

use crate::platform::API_VERSION;
use crate::wizard::Draft;
use crate::yaml::{self, YamlError};

/// Longest line on which a mapping or list stands as a whole.
const WIDTH: usize = 120;

/// Writes a platform.
pub fn write(draft: &Draft) -> Result<String, YamlError> {
    let head = "# What this platform is made of. Written by `ztc init`; edit it freely, then run `ztc validate`.\n";
    body(draft).map(|text| format!("{head}{text}"))
}

/// Writes the answers of a conversation that has not ended.
pub fn write_answers(draft: &Draft) -> Result<String, YamlError> {
    let head =
        "# Answers of a `ztc init` that has not ended; `ztc init --resume` goes on with them.\n";
    body(draft).map(|text| format!("{head}{text}"))
}

/// Writes the document alone.
fn body(draft: &Draft) -> Result<String, YamlError> {
    let value = value(draft);
    let mut text = String::new();
    if let Value::Object(object) = &value {
        mapping(object, 0, &mut text)?;
    }
    // Whatever this writer does not write well, the library does.
    match yaml::parse::<Value>(&text) {
        Ok(read) if read == value => Ok(text),
        _ => yaml::write(&value),
    }
}

/// The document as a value.
pub fn value(draft: &Draft) -> Value {
    let mut root = Map::new();
    root.insert("apiVersion".into(), API_VERSION.into());
    root.extend(
        draft
            .environment
            .iter()
            .map(|environment| ("environment".to_owned(), Value::from(environment.as_str()))),
    );
    let sections = draft.sections.iter().map(|section| {
        let mut config = Map::new();
        if section.adapter != section.name {
            config.insert("type".into(), section.adapter.as_str().into());
        }
        config.extend(section.config.clone());
        (section.name.clone(), Value::Object(config))
    });
    root.insert("adapters".into(), Value::Object(sections.collect()));
    if draft
        .plugins
        .as_object()
        .is_some_and(|plugins| !plugins.is_empty())
    {
        root.insert("plugins".into(), draft.plugins.clone());
    }
    Value::Object(root)
}

fn mapping(object: &Map<String, Value>, indent: usize, text: &mut String) -> Result<(), YamlError> {
    for (key, value) in object {
        let lead = format!(
            "{}{}:",
            " ".repeat(indent),
            scalar(&Value::from(key.as_str()))?
        );
        text.push_str(&lead);
        match value {
            Value::Object(inner) if !fits(value, lead.len() + 1, indent)? => {
                text.push('\n');
                mapping(inner, indent + 2, text)?;
            }
            Value::Array(items) if !fits(value, lead.len() + 1, indent)? => {
                text.push('\n');
                list(items, indent + 2, text)?;
            }
            value => text.push_str(&format!(" {}\n", flow(value)?)),
        }
    }
    Ok(())
}

fn list(items: &[Value], indent: usize, text: &mut String) -> Result<(), YamlError> {
    for item in items {
        let lead = " ".repeat(indent) + "- ";
        let mut inner = String::new();
        match item {
            value if fits(value, lead.len(), indent)? => inner = flow(value)? + "\n",
            Value::Object(object) => mapping(object, indent + 2, &mut inner)?,
            Value::Array(items) => list(items, indent + 2, &mut inner)?,
            _ => {}
        }
        // The first line of a block stands after the dash.
        text.push_str(&lead);
        text.push_str(inner.trim_start_matches(' '));
    }
    Ok(())
}

/// Whether a value stands on one line: no collection in a collection, and narrow enough. Sections are always blocks.
fn fits(value: &Value, lead: usize, indent: usize) -> Result<bool, YamlError> {
    let is_flat = |value: &Value| !value.is_object() && !value.is_array();
    let flat = match value {
        Value::Object(object) if object.is_empty() => return Ok(true),
        Value::Object(object) => {
            indent > 2
                && object
                    .values()
                    .all(|value| is_flat(value) || is_short_list(value))
        }
        Value::Array(items) => items.iter().all(is_flat),
        _ => return Ok(true),
    };
    Ok(flat && lead + flow(value)?.chars().count() <= WIDTH)
}

fn is_short_list(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(|item| item.is_string()))
}

fn flow(value: &Value) -> Result<String, YamlError> {
    Ok(match value {
        Value::Object(object) => {
            let entries = object
                .iter()
                .map(|(key, value)| Ok(format!("{}: {}", flow_text(key)?, inner(value)?)));
            format!(
                "{{{}}}",
                entries.collect::<Result<Vec<_>, YamlError>>()?.join(", ")
            )
        }
        Value::Array(items) => format!(
            "[{}]",
            items
                .iter()
                .map(inner)
                .collect::<Result<Vec<_>, _>>()?
                .join(", ")
        ),
        other => scalar(other)?,
    })
}

/// A value inside a flow collection.
fn inner(value: &Value) -> Result<String, YamlError> {
    match value {
        Value::String(text) => flow_text(text),
        other => flow(other),
    }
}

fn flow_text(text: &str) -> Result<String, YamlError> {
    let plain = |c: char| c.is_alphanumeric() || " ._/@+=~^%-".contains(c) || c == ':';
    match text.chars().all(plain) && !text.ends_with(':') && !text.contains(": ") {
        true => scalar(&Value::from(text)),
        false => Ok(quoted(text)),
    }
}

fn scalar(value: &Value) -> Result<String, YamlError> {
    if let Value::String(address) = value
        && address.parse::<std::net::Ipv4Addr>().is_ok()
    {
        // The library is more careful than any reader needs: three dots make no number.
        return Ok(address.clone());
    }
    let text = yaml::write(value)?;
    let text = text.trim_end_matches('\n');
    match value {
        Value::String(original) if text.contains('\n') || original.ends_with('\n') => {
            Ok(quoted(original))
        }
        _ => Ok(text.to_owned()),
    }
}

/// Writes a text in double quotes, everything that cannot be seen escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::platform::Section;

    fn draft(config: Value) -> Draft {
        let section = Section {
            name: "talos".into(),
            adapter: "talos".into(),
            config: config.as_object().unwrap().clone(),
        };
        Draft {
            environment: Some("production".into()),
            sections: vec![section],
            ..Draft::default()
        }
    }

    #[test]
    fn a_platform_reads_like_one_written_by_hand() {
        let mut draft = draft(json!({
            "version": "v1.11.5",
            "api_token": {"from": "env", "name": "HCLOUD_TOKEN"},
            "tool": {"from": "command", "command": ["pass", "show", "a b", "x,y"]},
            "nodes": [
                {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"},
                {"name": "w", "labels": {"zone": "a"}, "yes": true},
            ],
            "ips": ["203.0.113.10", "203.0.113.11"],
            "endpoint": "https://203.0.113.10:6443",
            "odd": ["yes", "a: b", "x\ny", "1.10", ""],
            "text": "one\ntwo\n",
            "none": [],
            "empty": {},
            "deep": {"a": {"b": [1, null, 2.5]}},
        }));
        draft.sections[0].name = "os".into();
        draft.plugins = json!({"backup": {"version": "^1.2"}});
        assert_eq!(
            write(&draft).unwrap(),
            r#"# What this platform is made of. Written by `ztc init`; edit it freely, then run `ztc validate`.
apiVersion: ztc/v1
environment: production
adapters:
  os:
    type: talos
    version: v1.11.5
    api_token: {from: env, name: HCLOUD_TOKEN}
    tool: {from: command, command: [pass, show, a b, "x,y"]}
    nodes:
      - {name: cp01, ip: 203.0.113.10, role: controlplane}
      - name: w
        labels: {zone: a}
        "yes": true
    ips: [203.0.113.10, 203.0.113.11]
    endpoint: https://203.0.113.10:6443
    odd: ["yes", "a: b", "x\ny", "1.10", ""]
    text: "one\ntwo\n"
    none: []
    empty: {}
    deep:
      a:
        b: [1, null, 2.5]
plugins:
  backup:
    version: ^1.2
"#
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[ -~]{0,140}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes",
                "~",
                "null",
                "0755",
                "1e3",
                "- a",
                "a: b",
                "a #b",
                "<<",
                "\u{7f}\u{2028}",
                " x ",
                "a\nb\n"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z:, ]{1,8}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back_as_the_same(value in any_value()) {
            let draft = draft(json!({ "value": value }));
            let text = write(&draft).unwrap();
            prop_assert_eq!(yaml::parse::<Value>(&text).unwrap(), super::value(&draft), "{}", text);
        }
    }
}
