//! One line of the stream: what kind of message it is, without trusting it.
//!
//! Framing: one JSON object per line, UTF-8, `\n` at the end; a byte order mark, a `\r` before the `\n` and blank lines are forgiven.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// What a line turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Has `method` and `id`.
    Request {
        /// The id to answer with.
        id: Value,
        /// The method's name.
        method: String,
    },
    /// Has `method` and no `id`.
    Notification {
        /// The method's name.
        method: String,
        /// The parameters, or `null`.
        params: Value,
    },
    /// Has `id` and `result` or `error`.
    Response {
        /// The id of the request; `null` where the peer could not read it.
        id: Value,
    },
    /// Nothing but white space.
    Blank,
    /// Not a message: why.
    Stray(&'static str),
}

/// Returns the line without byte order mark and line end.
pub fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(line)
        .trim_ascii()
}

/// Says what a line is.
pub fn classify(line: &[u8]) -> Frame {
    let line = trim(line);
    if line.is_empty() {
        return Frame::Blank;
    }
    if std::str::from_utf8(line).is_err() {
        return Frame::Stray("not UTF-8");
    }
    let Some(Envelope {
        id,
        method,
        params,
        result,
        error,
    }) = envelope(line)
    else {
        return Frame::Stray("not a JSON object");
    };
    let is_answer = result.is_some() || error.is_some();
    match (method.map(value), id.map(value)) {
        (Some(Value::String(method)), Some(id)) => Frame::Request { id, method },
        (Some(Value::String(method)), None) => Frame::Notification {
            method,
            params: params.map_or(Value::Null, value),
        },
        (None, Some(id)) if is_answer => Frame::Response { id },
        _ => Frame::Stray("neither a request, a notification nor a response"),
    }
}

/// The parts of a message as they stand in the line: a result of many megabytes is passed over, not read.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Reads a value that is there, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn envelope(line: &[u8]) -> Option<Envelope<'_>> {
    // An array would do for a struct, too.
    if !line.starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(line).ok()
}

fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(line: &[u8], frame: &Frame) {
        assert_eq!(&classify(line), frame);
    }

    #[test]
    fn every_line_is_something() {
        check(
            br#"{"id":1,"method":"render"}"#,
            &Frame::Request {
                id: json!(1),
                method: "render".into(),
            },
        );
        check(
            b"\xEF\xBB\xBF{\"method\":\"$/log\",\"params\":{\"level\":\"info\"}}\r\n",
            &Frame::Notification {
                method: "$/log".into(),
                params: json!({"level": "info"}),
            },
        );
        check(
            br#"{"id":null,"error":{"code":-32700,"message":"x"}}"#,
            &Frame::Response { id: Value::Null },
        );
        check(
            br#"{"id":3,"result":null}"#,
            &Frame::Response { id: json!(3) },
        );
        check(
            br#"{"id":3,"method":7}"#,
            &Frame::Stray("neither a request, a notification nor a response"),
        );
        check(
            br#"{"id":"a","result":{}}"#,
            &Frame::Response { id: json!("a") },
        );
        check(b"  \r\n", &Frame::Blank);
        check(b"Compiling foo", &Frame::Stray("not a JSON object"));
        check(b"[1,2]", &Frame::Stray("not a JSON object"));
        check(
            b"{\"id\":7}",
            &Frame::Stray("neither a request, a notification nor a response"),
        );
        check(b"\xff\xfe", &Frame::Stray("not UTF-8"));
    }
}
