//! Queries and pages of the cloud API. Pure.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::error;

/// The parameters of a query, in order; a name may occur several times.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = text
            .unwrap_or_default()
            .split('&')
            .filter(|part| !part.is_empty());
        Self(
            pairs
                .map(|part| part.split_once('=').unwrap_or((part, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The last value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rfind(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
            .collect()
    }

    /// Whether an object has the labels that `label_selector` asks for: `a`, `a=b` and `a==b`, with commas between them.
    pub(super) fn selects(&self, labels: &Value) -> bool {
        let Some(selector) = self.get("label_selector") else {
            return true;
        };
        selector
            .split(',')
            .filter(|part| !part.is_empty())
            .all(|part| {
                let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| {
                    (key, Some(value.trim_start_matches('=')))
                });
                let label = labels.get(key).and_then(Value::as_str);
                value.map_or(label.is_some(), |value| label == Some(value))
            })
    }

    fn number(&self, name: &str, default: usize, largest: usize) -> Result<usize, Box<Response>> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=largest).contains(number));
        let message = format!("{name} must be a number from 1 to {largest}");
        number.ok_or_else(|| Box::new(error(StatusCode::BAD_REQUEST, "invalid_input", &message)))
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let code = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.extend(code);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Cuts the asked page out of a list and wraps it.
pub(super) fn page(query: &Query, key: &str, items: Vec<Value>) -> Result<Value, Box<Response>> {
    let per_page = query.number("per_page", 25, 50)?;
    let page = query.number("page", 1, usize::MAX)?;
    let total = items.len();
    let last = total.div_ceil(per_page).max(1);
    let shown: Vec<Value> = items
        .into_iter()
        .skip((page - 1).saturating_mul(per_page))
        .take(per_page)
        .collect();
    Ok(json!({
        key: shown,
        "meta": {"pagination": {
            "page": page,
            "per_page": per_page,
            "previous_page": (page > 1).then(|| page - 1),
            "next_page": (page < last).then(|| page + 1),
            "last_page": last,
            "total_entries": total,
        }},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_may_repeat_and_escape() {
        let query = Query::parse(Some("id=1&id=2&name=a%20b+c&flag"));
        assert_eq!(
            (query.all("id"), query.get("name"), query.get("flag")),
            (vec!["1", "2"], Some("a b c"), Some(""))
        );
        assert_eq!(Query::parse(None), Query::default());
    }

    #[test]
    fn labels_are_selected() {
        let labels = json!({"ztc-rescue": "7", "a": "b"});
        let selects = |text: &str| Query::parse(Some(text)).selects(&labels);
        assert!(
            selects("")
                && selects("label_selector=ztc-rescue%3D%3D7")
                && selects("label_selector=a,ztc-rescue=7")
        );
        assert!(!selects("label_selector=ztc-rescue==8") && !selects("label_selector=b"));
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let items: Vec<Value> = (0..7).map(Value::from).collect();
        let last = page(
            &Query::parse(Some("page=3&per_page=3")),
            "things",
            items.clone(),
        )
        .unwrap();
        assert_eq!(
            last,
            json!({"things": [6], "meta": {"pagination": {"page": 3, "per_page": 3, "previous_page": 2, "next_page": null, "last_page": 3, "total_entries": 7}}})
        );
        let first = page(&Query::default(), "things", items.clone()).unwrap();
        assert_eq!(first.pointer("/meta/pagination/per_page"), Some(&json!(25)));
        assert_eq!(
            page(&Query::parse(Some("per_page=51")), "things", items)
                .unwrap_err()
                .status(),
            StatusCode::BAD_REQUEST
        );
    }
}
