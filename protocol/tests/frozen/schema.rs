//! The schema that the types make is the frozen one.
//!
//! Until 1.0 is released, a change of the types is written into the file with `ZTC_UPDATE_PROTOCOL=1 cargo test -p ztc-protocol --test frozen`.
//! From then on the file stays as it is: a minor version adds a directory of its own, and what is frozen must still be in it.

use std::fs;

use serde_json::{Value, json};
use ztc_protocol::schema::document;

use crate::frozen;

fn file() -> Value {
    serde_json::from_str(&fs::read_to_string(frozen().join("schema.json")).unwrap()).unwrap()
}

#[test]
fn the_types_make_the_frozen_schema() {
    let made = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    let path = frozen().join("schema.json");
    if std::env::var_os("ZTC_UPDATE_PROTOCOL").is_some() {
        fs::write(&path, &made).unwrap();
    }
    // Line by line, so that a failure names the line.
    let kept = fs::read_to_string(&path).unwrap();
    for (number, (made, kept)) in made.lines().zip(kept.lines()).enumerate() {
        assert_eq!(made, kept, "line {} of {}", number + 1, path.display());
    }
    assert_eq!(made.len(), kept.len(), "{}", path.display());
}

#[test]
fn everything_that_is_frozen_still_exists() {
    assert_eq!(missing("", &file(), &document()), Vec::<String>::new());
}

#[test]
fn what_would_break_adapters_is_found() {
    #[track_caller]
    fn check(change: impl Fn(&mut Value), expected: &[&str]) {
        let mut changed = file();
        change(&mut changed);
        assert_eq!(missing("", &file(), &changed), expected);
    }
    let artifact = "/methods/render/result/$defs/Artifact";
    check(
        |schema| {
            let artifact = schema.pointer_mut("/methods/render/result/$defs/Artifact/properties");
            artifact
                .unwrap()
                .as_object_mut()
                .unwrap()
                .shift_remove("sha256");
        },
        &[&format!("{artifact}/properties/sha256 is gone")],
    );
    check(
        |schema| {
            schema["methods"]["render"]["result"]["$defs"]["Artifact"]["properties"]["path"]["type"] =
                json!("integer");
        },
        &[&format!("{artifact}/properties/path/type is another")],
    );
    check(
        |schema| schema["methods"]["render"]["result"]["required"] = json!(["artifacts"]),
        &["/methods/render/result/required demands `artifacts`"],
    );
    check(
        |schema| {
            schema["methods"]["render"]["result"]["properties"]["more"] = json!({"type": "string"});
        },
        &[],
    );
}

/// Returns what the new schema lacks, demands beyond the old one, or means differently. What it adds is fine.
fn missing(place: &str, old: &Value, new: &Value) -> Vec<String> {
    match (old, new) {
        _ if place.ends_with("/description") || place == "/protocol" => Vec::new(),
        (Value::Object(old), Value::Object(new)) => {
            let mut found: Vec<String> = old
                .iter()
                .flat_map(|(key, old)| {
                    let place = format!("{place}/{key}");
                    match new.get(key) {
                        Some(new) => missing(&place, old, new),
                        None => vec![format!("{place} is gone")],
                    }
                })
                .collect();
            if new.contains_key("required") && !old.contains_key("required") {
                found.extend(demands(place, &json!([]), &new["required"]));
            }
            found
        }
        (Value::Array(_), Value::Array(_)) if place.ends_with("/required") => {
            let mut found = demands(place.trim_end_matches("/required"), old, new);
            found.extend(lacks(place, old, new));
            found
        }
        // Alternatives and enumerations may grow.
        (Value::Array(_), Value::Array(_)) => lacks(place, old, new),
        _ if old == new => Vec::new(),
        _ => vec![format!("{place} is another")],
    }
}

fn demands(place: &str, old: &Value, new: &Value) -> Vec<String> {
    let added = items(new).filter(|item| !items(old).any(|old| old == *item));
    added
        .map(|item| format!("{place}/required demands `{}`", item.as_str().unwrap()))
        .collect()
}

fn lacks(place: &str, old: &Value, new: &Value) -> Vec<String> {
    let without_text = |value: &Value| {
        let mut value = value.clone();
        if let Some(object) = value.as_object_mut() {
            object.shift_remove("description");
        }
        value
    };
    let gone =
        items(old).filter(|item| !items(new).any(|new| without_text(new) == without_text(item)));
    gone.map(|item| format!("{place} lacks {item}")).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
