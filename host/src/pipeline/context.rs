//! What a script is told: its context data with the item's merged over them and variables filled in, as JSON and as a file to be sourced. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use ztc_protocol::stage::Item;

use crate::shell::quoted;

/// Merges the item's context over the script's and fills `$NAME` and `${NAME}` in. A name that `env` does not know stays as it is.
pub fn merge(
    data: &Map<String, Value>,
    item: Option<&Item>,
    env: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let mut merged = data.clone();
    if let Some(item) = item {
        merged.extend(item.context.clone());
    }
    merged.values_mut().for_each(|value| fill(value, env));
    if let Some(item) = item {
        merged.insert("item".into(), json!({"key": item.key, "name": item.name}));
    }
    merged
}

fn fill(value: &mut Value, env: &BTreeMap<String, String>) {
    match value {
        Value::String(text) if text.contains('$') => *text = filled(text, env),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, env)),
        Value::Object(object) => object.values_mut().for_each(|item| fill(item, env)),
        _ => {}
    }
}

/// Returns the text with the variables that are known.
pub fn filled(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        result.push_str(&rest[..start]);
        let (name, length) = variable(&rest[start + 1..]);
        match env.get(name).filter(|_| length > 0) {
            Some(value) => result.push_str(value),
            None => result.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + 1 + length..];
    }
    result + rest
}

/// Returns the name at the start of a text, which stood behind a `$`, and how many bytes it takes, braces included.
fn variable(text: &str) -> (&str, usize) {
    let braced = text.strip_prefix('{');
    let body = braced.unwrap_or(text);
    let end = body
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(body.len());
    let name = &body[..end];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return ("", 0);
    }
    match braced {
        None => (name, end),
        Some(_) if body[end..].starts_with('}') => (name, end + 2),
        Some(_) => ("", 0),
    }
}

/// Writes a context as assignments for bash. The error says which key cannot be one.
pub fn shell(context: &Map<String, Value>) -> Result<String, String> {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    let mut lines = String::from(
        "# Made for one run of one stage; see ZTC_CONTEXT_FILE for the same as JSON.\n",
    );
    for (key, value) in context {
        let (prefix, fields): (&str, Vec<(&str, &Value)>) = match (key.as_str(), value) {
            ("item", Value::Object(item)) => (
                "item_",
                item.iter()
                    .map(|(key, value)| (key.as_str(), value))
                    .collect(),
            ),
            _ => ("", vec![(key.as_str(), value)]),
        };
        for (field, value) in fields {
            let name = variable_name(&format!("{prefix}{field}"));
            if let Some(other) = names.insert(name.clone(), key) {
                return Err(format!(
                    "the keys `{other}` and `{key}` both become the variable `{name}`"
                ));
            }
            let text = assignment(value).ok_or_else(|| {
                format!("the value of `{key}` holds a NUL character, which bash cannot hold")
            })?;
            lines.push_str(&format!("{name}={text}\n"));
        }
    }
    Ok(lines)
}

/// Returns the variables that [`shell`] writes, as far as they are single texts.
pub fn variables(context: &Map<String, Value>) -> BTreeMap<String, String> {
    let item = context.get("item").and_then(Value::as_object);
    let of_item = item
        .into_iter()
        .flatten()
        .map(|(key, value)| (variable_name(&format!("item_{key}")), value));
    context
        .iter()
        .map(|(key, value)| (variable_name(key), value))
        .chain(of_item)
        .filter(|(_, value)| is_scalar(value))
        .map(|(name, value)| (name, text(value)))
        .collect()
}

fn variable_name(key: &str) -> String {
    let letters = key.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    format!("CTX_{}", letters.collect::<String>())
}

fn assignment(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) if items.iter().all(is_scalar) => {
            let words: Option<Vec<String>> = items.iter().map(|item| quoted(&text(item))).collect();
            Some(format!("({})", words?.join(" ")))
        }
        other => quoted(&text(other)),
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn known_variables_are_filled_in_and_all_else_stays() {
        let env = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("LONG_2".to_owned(), "$A".to_owned()),
        ]);
        for (text, expected) in [
            ("$A", "1"),
            ("${A}b$A-", "1b1-"),
            ("x$LONG_2", "x$A"),
            ("$AB ${AB} $", "$AB ${AB} $"),
            ("${A $1 $$A ${}", "${A $1 $1 ${}"),
            ("é$Aé", "é1é"),
        ] {
            assert_eq!(filled(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn the_item_stands_over_the_script() {
        let item = Item {
            key: "192.0.2.1".into(),
            name: "cp01".into(),
            context: object(json!({"disk": "$D"})),
            ..Item::default()
        };
        let env = BTreeMap::from([("D".to_owned(), "/dev/sda".to_owned())]);
        let data =
            object(json!({"disk": "none", "deep": [{"x": "${D}"}], "n": 1, "item": "shadowed"}));
        assert_eq!(
            Value::Object(merge(&data, Some(&item), &env)),
            json!({"disk": "/dev/sda", "deep": [{"x": "/dev/sda"}], "n": 1, "item": {"key": "192.0.2.1", "name": "cp01"}})
        );
    }

    #[test]
    fn values_become_words_arrays_and_json() {
        let context = object(json!({
            "server_ip": "192.0.2.1", "a-b": true, "none": null, "port": 6443, "list": ["x y", 1, null], "empty": [],
            "deep": {"k": ["v"]}, "nested": [[1]], "item": {"key": "k", "name": "n"}
        }));
        assert_eq!(
            shell(&context).unwrap().lines().skip(1).collect::<Vec<_>>(),
            [
                "CTX_SERVER_IP='192.0.2.1'",
                "CTX_A_B='true'",
                "CTX_NONE=''",
                "CTX_PORT='6443'",
                "CTX_LIST=('x y' '1' '')",
                "CTX_EMPTY=()",
                "CTX_DEEP='{\"k\":[\"v\"]}'",
                "CTX_NESTED='[[1]]'",
                "CTX_ITEM_KEY='k'",
                "CTX_ITEM_NAME='n'",
            ]
        );
    }

    #[test]
    fn what_bash_cannot_hold_is_refused() {
        assert_eq!(
            shell(&object(json!({"a-b": 1, "a_b": 2}))).unwrap_err(),
            "the keys `a-b` and `a_b` both become the variable `CTX_A_B`"
        );
        assert_eq!(
            shell(&object(json!({"a": "\0"}))).unwrap_err(),
            "the value of `a` holds a NUL character, which bash cannot hold"
        );
    }
}
