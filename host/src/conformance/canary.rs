//! Values that look like secrets and must not be seen again: given to an adapter, and looked for in everything that it says. Pure.

use serde_json::{Map, Value, json};
use ztc_protocol::Manifest;

use crate::conformance::report::Fault;
use crate::platform::secrets;

/// A secret that is none.
pub(super) struct Canary {
    /// The value that `discover` gets.
    pub(super) value: String,
    /// What the references in the configuration name.
    reference: String,
}

impl Canary {
    pub(super) fn new() -> Self {
        let id = ulid::Ulid::generate();
        Self {
            value: format!("canary-value-{id}"),
            reference: format!("ZTC_CANARY_REFERENCE_{id}"),
        }
    }

    /// Returns the configuration with every reference to a secret replaced by one that names the canary, and how many there were.
    pub(super) fn planted(
        &self,
        manifest: &Manifest,
        config: &Map<String, Value>,
    ) -> (Map<String, Value>, usize) {
        let mut planted = Value::Object(config.clone());
        let pointers = secrets(config, manifest);
        for pointer in &pointers {
            if let Some(place) = planted.pointer_mut(pointer) {
                *place = json!({ "from": "env", "name": self.reference });
            }
        }
        match planted {
            Value::Object(config) => (config, pointers.len()),
            _ => (config.clone(), 0),
        }
    }

    /// Looks for the secret's value.
    pub(super) fn value_in(&self, place: &str, text: &[u8]) -> Option<Fault> {
        found(text, &self.value).then(|| Fault {
            place: place.to_owned(),
            why: "holds the value of a secret that `discover` got".to_owned(),
        })
    }

    /// Looks for the name of the reference, too.
    pub(super) fn anything_in(&self, place: &str, text: &[u8]) -> Option<Fault> {
        let reference = || {
            found(text, &self.reference).then(|| Fault {
                place: place.to_owned(),
                why: "repeats a reference to a secret; a script gets the value in a variable that it declares under `secrets`"
                    .to_owned(),
            })
        };
        self.value_in(place, text).or_else(reference)
    }
}

fn found(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_found_again() {
        let manifest = Manifest {
            config_schema: json!({ "properties": { "token": { "type": "object", "x-ztc-secret": true } } }),
            ..Manifest::default()
        };
        let config = json!({ "token": { "from": "env", "name": "TOKEN" }, "size": 3 });
        let canary = Canary::new();
        let (planted, count) = canary.planted(&manifest, config.as_object().unwrap());
        assert_eq!((count, &planted["size"]), (1, &json!(3)));
        let text = serde_json::to_vec(&planted).unwrap();
        assert!(canary.anything_in("render", &text).is_some());
        assert!(canary.value_in("render", &text).is_none());
        assert!(
            canary
                .value_in("render", format!("x{}", canary.value).as_bytes())
                .is_some()
        );
    }
}
