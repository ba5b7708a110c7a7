//! What was said on the wire against the protocol's JSON Schema. Pure.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::Value;

/// How many violations of one message are told.
const TOLD: usize = 3;

/// The schemas of everything that an adapter may say.
pub(super) struct Schemas {
    results: BTreeMap<String, Validator>,
    notifications: BTreeMap<String, Validator>,
    error_data: Option<Validator>,
}

impl Schemas {
    /// Reads the frozen schema document.
    pub(super) fn new() -> Self {
        let document: Value = serde_json::from_str(ztc_protocol::schema::FROZEN_1_0)
            .expect("the frozen schema is JSON, as the protocol's tests make sure");
        Self {
            results: validators(&document["methods"], "result"),
            notifications: validators(&document["notifications"], "params"),
            error_data: jsonschema::validator_for(&document["error_data"]).ok(),
        }
    }

    /// Returns what is wrong with a result.
    pub(super) fn result(&self, method: &str, result: &Value) -> Vec<String> {
        self.results
            .get(method)
            .map(|schema| violations(schema, result))
            .unwrap_or_default()
    }

    /// Returns what is wrong with a notification.
    pub(super) fn notification(&self, method: &str, params: &Value) -> Vec<String> {
        match self.notifications.get(method) {
            Some(schema) => violations(schema, params),
            None => vec!["protocol 1.0 has no such notification".to_owned()],
        }
    }

    /// Returns what is wrong with an error.
    pub(super) fn error(&self, error: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        if !error["code"].is_i64() {
            wrong.push("`/code`: an error has a code, a whole number".to_owned());
        }
        if !error["message"].is_string() {
            wrong.push("`/message`: an error has a message, a text".to_owned());
        }
        let data = error.get("data").filter(|data| !data.is_null());
        if let Some((schema, data)) = self.error_data.as_ref().zip(data) {
            wrong.extend(
                violations(schema, data)
                    .into_iter()
                    .map(|text| format!("in `data`: {text}")),
            );
        }
        wrong
    }
}

fn validators(table: &Value, part: &str) -> BTreeMap<String, Validator> {
    let entries = table.as_object().into_iter().flatten();
    entries
        .filter_map(|(name, entry)| {
            let schema = jsonschema::validator_for(&entry[part]).ok()?;
            Some((name.clone(), schema))
        })
        .collect()
}

/// Returns what is wrong with a value, without quoting it.
pub(super) fn violations(schema: &Validator, value: &Value) -> Vec<String> {
    let told = schema.iter_errors(value).take(TOLD);
    told.map(|error| match error.instance_path().as_str() {
        "" => error.masked().to_string(),
        place => format!("`{place}`: {}", error.masked()),
    })
    .collect()
}

/// Returns what is wrong with a progress beyond its form.
pub(super) fn progress(params: &Value) -> Option<&'static str> {
    let fraction = params["fraction"].as_f64();
    if params["call_id"].as_str().unwrap_or_default().is_empty() {
        Some("`/call_id`: progress belongs to a call")
    } else if fraction.is_some_and(|fraction| !(0.0..=1.0).contains(&fraction)) {
        Some("`/fraction`: is not between 0 and 1")
    } else {
        None
    }
}

/// Returns what is wrong with the envelope of an answer.
pub(super) fn envelope(message: &Value) -> Option<&'static str> {
    let has = |key| message.get(key).is_some();
    if message["jsonrpc"] != "2.0" {
        Some("`jsonrpc` is not \"2.0\"")
    } else if has("result") && has("error") {
        Some("it has both a result and an error")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_a_part_of_one_and_of_a_call() {
        let told = |fraction: Value| progress(&json!({ "call_id": "1", "fraction": fraction }));
        for fine in [json!(null), json!(0), json!(0.5), json!(1)] {
            assert_eq!(told(fine), None);
        }
        for wrong in [json!(100), json!(-0.1)] {
            assert_eq!(told(wrong), Some("`/fraction`: is not between 0 and 1"));
        }
        assert!(progress(&json!({ "fraction": 1 })).is_some());
    }

    #[test]
    fn every_message_has_its_form() {
        let schemas = Schemas::new();
        let fine: [Vec<String>; 3] = [
            schemas.result("validate", &json!({"diagnostics": [], "later": 1})),
            schemas.notification(
                "$/progress",
                &json!({"call_id": "1", "message": "x", "fraction": 0.5}),
            ),
            schemas.error(&json!({"code": 1010, "message": "x", "data": {"help": "y"}})),
        ];
        assert_eq!(fine, [const { Vec::<String>::new() }; 3]);
        let wrong = [
            schemas.result("validate", &json!({"diagnostics": [{"severity": "fatal"}]})),
            schemas.notification("$/shout", &json!({})),
            schemas.error(&json!({"code": "1010", "data": {"retryable": "yes"}})),
        ];
        assert_eq!(
            wrong,
            [
                vec![
                    "`/diagnostics/0/severity`: value is not valid under any of the schemas listed in the 'oneOf' keyword"
                ],
                vec!["protocol 1.0 has no such notification"],
                vec![
                    "`/code`: an error has a code, a whole number",
                    "`/message`: an error has a message, a text",
                    "in `data`: `/retryable`: value is not of type \"boolean\"",
                ],
            ]
        );
    }
}
