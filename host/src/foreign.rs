//! Texts of others (adapters, publishers, keys, file names), made fit to be shown: what could move the cursor, paint the screen, turn the direction
//! of writing or hide something is replaced, and what nobody would read to its end is cut. Pure; it does not know what the texts belong to.

use serde_json::Value;

/// How many characters of a text are kept.
const LONGEST: usize = 4000;

/// What stands for a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// Whether a character does something else than to be seen.
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Returns the first character of a text that acts on whoever shows it; lines and tabs are no such thing.
pub(crate) fn acting(text: &str) -> Option<char> {
    text.chars()
        .find(|c| is_active(*c) && !matches!(c, '\n' | '\t'))
}

/// The same, of all texts of a value and of its keys: where, and the character.
pub(crate) fn acting_in(value: &Value) -> Option<(String, char)> {
    match value {
        Value::String(text) => acting(text).map(|c| (String::new(), c)),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let (below, c) = acting_in(item)?;
            Some((format!("/{index}{below}"), c))
        }),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            if let Some(c) = acting(key) {
                return Some((format!("/{}", printable(key)), c));
            }
            let (below, c) = acting_in(value)?;
            Some((format!("/{key}{below}"), c))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Returns a text of one line. Lines are joined by blanks.
pub(crate) fn printable(text: &str) -> String {
    shown(text, |c| match c {
        '\n' | '\r' => ' ',
        '\t' => '\t',
        c if is_active(c) => REPLACEMENT,
        c => c,
    })
}

/// Returns a text that may have several lines.
pub(crate) fn block(text: &str) -> String {
    shown(text, |c| match c {
        '\n' | '\t' => c,
        c if is_active(c) => REPLACEMENT,
        c => c,
    })
}

fn shown(text: &str, show: impl Fn(char) -> char) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(LONGEST).map(show).collect();
    let rest = characters.count();
    if rest > 0 {
        shown.push_str(&format!("… ({rest} more characters)"));
    }
    shown
}

/// A path: nothing in it may come to mean something else, so everything active is replaced and then refused.
pub(crate) fn path(text: &mut String) {
    if text.chars().any(is_active) {
        *text = text
            .chars()
            .map(|c| if is_active(c) { REPLACEMENT } else { c })
            .collect();
    }
}

/// Cleans a text of one line where it stands.
pub(crate) fn line(text: &mut String) {
    let clean = text.len() <= LONGEST && !text.chars().any(|c| is_active(c) && c != '\t');
    if !clean {
        *text = printable(text);
    }
}

/// Cleans a text that may have several lines where it stands.
pub(crate) fn lines(text: &mut String) {
    *text = block(text);
}

/// Cleans every text of a value, its keys too. None keeps its lines: the next one could pass for one of the host's own.
pub(crate) fn clean_value(value: &mut Value) {
    in_value(value, line);
}

/// Cleans every text of a value with one of these, its keys as lines.
pub(crate) fn in_value(value: &mut Value, clean: fn(&mut String)) {
    match value {
        Value::String(text) => clean(text),
        Value::Array(items) => items.iter_mut().for_each(|item| in_value(item, clean)),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(key, mut value)| {
                    in_value(&mut value, clean);
                    (printable(&key), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_something_is_replaced() {
        for (text, expected) in [
            ("plain, größer, 你好, 👩‍💻", "plain, größer, 你好, 👩‍💻"),
            ("a\u{1b}[2Jb", "a�[2Jb"),
            ("c1\u{9b}2J", "c1�2J"),
            ("one\r\nerror: two", "one  error: two"),
            ("txt\u{202e}exe.", "txt�exe."),
            ("a\u{2066}b\u{200b}c\u{e0041}", "a�b�c�"),
            ("tab\tstays", "tab\tstays"),
        ] {
            assert_eq!(printable(text), expected);
        }
        assert_eq!(block("one\ntwo\u{7}"), "one\ntwo�");
        let long = printable(&"x".repeat(LONGEST + 7));
        assert_eq!(long.len(), LONGEST + "… (7 more characters)".len());
    }
}
