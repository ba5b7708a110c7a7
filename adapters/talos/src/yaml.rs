//! YAML as Talos writes it: four spaces a level, lists indented below their key, plain scalars where they are safe. Knows nothing about
//! machine configurations.

use std::fmt::Write as _;

use serde_json::Value;

const STEP: usize = 4;

/// Reads one document.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// Reads all documents of a text.
pub(crate) fn parse_all(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}

/// Writes one document, with a line feed at its end.
pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0, false),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0, false),
        _ => {
            out.push_str(&inline(value));
            out.push('\n');
        }
    }
    out
}

/// Writes `key: value` at a column, with whatever lines the value needs.
pub(crate) fn entry(out: &mut String, key: &str, value: &Value, column: usize) {
    let _ = write!(out, "{:column$}", "");
    pair(out, key, value, column);
}

/// Writes a text as a scalar on one line.
pub(crate) fn scalar(text: &str) -> String {
    if text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
    {
        return Value::from(text)
            .to_string()
            .replace('\u{7f}', "\\x7f")
            .replace('\u{feff}', "\\ufeff");
    }
    if text.is_empty() || resolves_to_something_else(text) {
        return format!("\"{text}\"");
    }
    if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// The column of what stands below something at `column`: the next multiple of a level's width.
fn below(column: usize) -> usize {
    (column + STEP) / STEP * STEP
}

/// Writes a non-empty map or list; `started` says that the first line's indentation is there already.
fn block(out: &mut String, value: &Value, column: usize, started: bool) {
    let indent = |out: &mut String, first: bool| {
        if !(first && started) {
            let _ = write!(out, "{:column$}", "");
        }
    };
    match value {
        Value::Object(map) => {
            for (index, (key, value)) in map.iter().enumerate() {
                indent(out, index == 0);
                pair(out, key, value, column);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                indent(out, index == 0);
                out.push_str("- ");
                if is_block(item) {
                    block(out, item, column + 2, true);
                } else {
                    text_or_inline(out, item, column + 2);
                }
            }
        }
        _ => {}
    }
}

fn pair(out: &mut String, key: &str, value: &Value, column: usize) {
    out.push_str(&scalar(key));
    out.push(':');
    if is_block(value) {
        out.push('\n');
        block(out, value, below(column), false);
    } else {
        out.push(' ');
        text_or_inline(out, value, below(column));
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn text_or_inline(out: &mut String, value: &Value, column: usize) {
    match value {
        Value::String(text) if is_literal(text) => literal(out, text, column),
        _ => {
            out.push_str(&inline(value));
            out.push('\n');
        }
    }
}

/// Writes a value without lines below it on one line.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        other => other.to_string(),
    }
}

/// Whether a text of several lines can stand as it is. A line that starts with a blank before any other would need an indentation
/// indicator, which is harder to read than quotes.
fn is_literal(text: &str) -> bool {
    let odd = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    text.contains('\n') && !text.starts_with([' ', '\n', '\t']) && !text.chars().any(odd)
}

fn literal(out: &mut String, text: &str, column: usize) {
    let trailing = text.len() - text.trim_end_matches('\n').len();
    out.push_str(match trailing {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    let body = text.strip_suffix('\n').unwrap_or(text);
    out.reserve(body.len() + body.len() / 8);
    for line in body.split('\n') {
        if !line.is_empty() {
            let _ = write!(out, "{:column$}", "");
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Whether a plain scalar with this text would be read as a boolean, null, a number or a date.
fn resolves_to_something_else(text: &str) -> bool {
    const WORDS: [&str; 11] = [
        "true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", "<<",
    ];
    let lower = text.to_ascii_lowercase();
    // Some readers take a sign before any of the special floats, or several signs: quotes harm nobody.
    let digits = lower.trim_start_matches(['-', '+']);
    if WORDS.contains(&lower.as_str()) || [".nan", ".inf"].contains(&digits) {
        return true;
    }
    let starts_like_a_number = digits
        .trim_start_matches('.')
        .starts_with(|c: char| c.is_ascii_digit());
    let made_like_a_number = || {
        digits.chars().all(|c| {
            c.is_ascii_hexdigit()
                || matches!(c, '.' | '_' | '+' | '-' | ':' | 'x' | 'o' | 't' | 'z' | ' ')
        })
    };
    starts_like_a_number && made_like_a_number() && !is_address(text)
}

/// Addresses and networks look like numbers at first sight and are none.
fn is_address(text: &str) -> bool {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    // Eight groups of digits alone would be a number to the base of 60.
    let is_ipv6 = || address.parse::<std::net::Ipv6Addr>().is_ok() && address.contains("::");
    address.parse::<std::net::Ipv4Addr>().is_ok() || is_ipv6()
}

fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let first_is_bad = b"!&*?|>'\"%@`#,[]{}=-:".contains(&bytes[0]);
    let harmless_dash = text.len() > 1
        && matches!(bytes[0], b'-' | b'?' | b':')
        && !matches!(bytes[1], b' ' | b'-' | b',');
    (!first_is_bad || harmless_dash)
        && !text.starts_with(' ')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(['\n', '\t', '[', ']', '{', '}', ','])
        // What takes its place can look like anything; the host refuses values with quotes.
        && !text.starts_with("ztc-secret:store/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_form_is_that_of_talos() {
        let value = json!({
            "machine": {
                "certSANs": [],
                "network": {},
                "install": {"diskSelector": {"size": ">= 100GB"}, "wipe": false},
                "port": 7445,
                "labels": {"empty": "", "ip": "203.0.113.10", "cidr": "fd00:10:96::/112", "yes": "yes", "number": "4711"},
            },
            "plugins": [{"name": "PodSecurity", "configuration": {"exemptions": {"namespaces": ["kube-system"]}}}],
            "contents": "a: 1\n\nb: 2\n",
        });
        let text = "\
machine:
    certSANs: []
    network: {}
    install:
        diskSelector:
            size: '>= 100GB'
        wipe: false
    port: 7445
    labels:
        empty: \"\"
        ip: 203.0.113.10
        cidr: fd00:10:96::/112
        \"yes\": \"yes\"
        number: \"4711\"
plugins:
    - name: PodSecurity
      configuration:
        exemptions:
            namespaces:
                - kube-system
contents: |
    a: 1

    b: 2
";
        assert_eq!(document(&value), text);
        assert_eq!(parse(text).unwrap(), value);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[-0-9a-fxoeEyYnN.:+_~ ]{0,6}".prop_map(Value::from),
            "[0-9a-f]{1,3}(:{1,2}[0-9a-f]{1,3}){1,7}".prop_map(Value::from),
            "[ -~\n\t]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[ -~]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_as_the_same(value in value()) {
            let text = document(&value);
            prop_assert_eq!(parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?, value);
        }
    }
}
