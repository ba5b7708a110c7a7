//! Values and types in words for people. Pure.

use serde_json::Value;

/// Longest quotation of a value, in characters.
const LONGEST: usize = 60;

/// Says what a value is without saying it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Says what a value is, and the value itself where it is short. Never for secrets.
pub(crate) fn found(value: &Value) -> String {
    match value {
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) if text.is_empty() => "empty text".to_owned(),
        Value::String(text) => format!("text `{}`", short(text)),
        other => kind(other).to_owned(),
    }
}

/// Cuts a text and shows control characters as what they are.
pub(crate) fn short(text: &str) -> String {
    let mut quoted: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect();
    if text.chars().count() > LONGEST {
        quoted.push('…');
    }
    quoted
}

/// Names a type of JSON Schema.
pub(crate) fn schema_type(word: &str) -> &str {
    match word {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a mapping",
        "null" => "nothing",
        other => other,
    }
}

/// Writes a JSON Pointer the way people write paths: `nodes[0].ip`.
pub(crate) fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path = part,
            Err(_) => path.push_str(&format!(".{part}")),
        }
    }
    path
}

/// Joins alternatives: "a, b or c".
pub(crate) fn any_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_paths_read_like_english() {
        assert_eq!(found(&json!("x\ny")), "text `x\\ny`");
        assert_eq!(
            found(&json!("é".repeat(61))),
            format!("text `{}…`", "é".repeat(60))
        );
        assert_eq!(found(&json!("")), "empty text");
        assert_eq!(found(&json!(1.5)), "the number `1.5`");
        assert_eq!(found(&json!({"a": 1})), "a mapping");
        assert_eq!(path("/nodes/0/ip"), "nodes[0].ip");
        assert_eq!(path("/labels/a~1b"), "labels.a/b");
        assert_eq!(path(""), "");
        assert_eq!(any_of(&["a", "b", "c"]), "a, b or c");
    }
}
