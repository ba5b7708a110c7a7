//! What differs between what was recorded and what is said now. Pure.

use serde_json::Value;
use similar::TextDiff;
use ztc_protocol::sha256_hex;

use crate::foreign::block;
use crate::mask::MASK;

/// What stands in a transcript in the place of a long text, before its digest.
const DIGEST: &str = "sha256:";

/// Returns the difference as text for people, where there is one. What the recording hides or holds as a digest only is compared as far as that goes.
pub(super) fn between(title: &str, recorded: &Value, now: &Value) -> Option<String> {
    let now = as_recorded(recorded, now);
    if *recorded == now {
        return None;
    }
    let text = |value: &Value| block_lines(&format!("{value:#}\n"));
    let diff = TextDiff::from_lines(text(recorded), text(&now))
        .unified_diff()
        .context_radius(3)
        .header(&format!("{title} (recorded)"), &format!("{title} (now)"))
        .to_string();
    Some(diff)
}

/// Cleans every line by itself, so that long values are cut and not the difference.
fn block_lines(text: &str) -> String {
    text.lines().map(|line| block(line) + "\n").collect()
}

/// Writes what is said now as a recording would hold it.
fn as_recorded(recorded: &Value, now: &Value) -> Value {
    match (recorded, now) {
        (Value::String(recorded), Value::String(now)) => {
            let same = recorded.contains(MASK)
                || recorded.strip_prefix(DIGEST) == Some(sha256_hex(now.as_bytes()).as_str());
            Value::from(if same {
                recorded.as_str()
            } else {
                now.as_str()
            })
        }
        (Value::Array(recorded), Value::Array(now)) => {
            let nothing = Value::Null;
            let pairs = now.iter().enumerate();
            pairs
                .map(|(at, now)| as_recorded(recorded.get(at).unwrap_or(&nothing), now))
                .collect()
        }
        (Value::Object(recorded), Value::Object(now)) => {
            let nothing = Value::Null;
            let pairs = now.iter().map(|(key, now)| {
                let recorded = recorded.get(key).unwrap_or(&nothing);
                (key.clone(), as_recorded(recorded, now))
            });
            Value::Object(pairs.collect())
        }
        (_, now) => now.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_hidden_or_shortened_is_no_difference() {
        let recorded = json!({ "a": format!("{DIGEST}{}", sha256_hex(b"long")), "b": [MASK, 1] });
        assert_eq!(
            between("x", &recorded, &json!({ "a": "long", "b": ["s", 1] })),
            None
        );
        let other = between("x", &recorded, &json!({ "a": "longer", "b": ["s", 2] })).unwrap();
        assert!(
            other.starts_with("--- x (recorded)\n+++ x (now)\n"),
            "{other}"
        );
        assert!(other.contains("-    1\n+    2\n"), "{other}");
        assert!(other.contains("+  \"a\": \"longer\""), "{other}");
    }
}
