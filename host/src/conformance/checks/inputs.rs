//! The questions that the adapter has for the wizard. Pure.

use std::collections::BTreeSet;

use serde_json::Value;
use ztc_protocol::Manifest;
use ztc_protocol::message::{InputPrompt, InputType};

use crate::conformance::checks::fault;
use crate::conformance::report::Fault;
use crate::wizard::pattern;

/// Returns what is wrong with the questions, those for items included.
pub(super) fn faults(inputs: &[InputPrompt], manifest: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    all(inputs, "", &mut faults);
    let schema = &manifest.config_schema;
    let known = &schema["properties"];
    if schema["additionalProperties"] == false && known.is_object() {
        let strange = inputs
            .iter()
            .filter(|input| known.get(&input.name).is_none());
        faults.extend(strange.map(|input| {
            let why = "asks for a key that `config_schema` does not know and refuses";
            fault(format!("the input `{}`", input.name), why)
        }));
    }
    faults
}

fn all(inputs: &[InputPrompt], above: &str, faults: &mut Vec<Fault>) {
    let mut names = BTreeSet::new();
    for input in inputs {
        let name = format!("{above}{}", input.name);
        let whys = one(input).into_iter().map(str::to_owned);
        let twice = (!names.insert(&input.name)).then(|| "is there twice".to_owned());
        let unreadable = input.validation.as_deref().and_then(|text| {
            let error = pattern::read(text).err()?;
            Some(format!("its `validation` cannot be used: {error}"))
        });
        let place = format!("the input `{name}`");
        let found = whys.chain(twice).chain(unreadable);
        faults.extend(found.map(|why| fault(&place, why)));
        all(&input.items, &format!("{name}/items/"), faults);
    }
}

fn one(input: &InputPrompt) -> Vec<&'static str> {
    let mut whys = Vec::new();
    if input.name.is_empty() || input.prompt.is_empty() {
        whys.push("has no name or no question");
    }
    if input.kind == InputType::Choice && input.choices.is_empty() {
        whys.push("has no choices");
    }
    match &input.default {
        Some(_) if input.kind == InputType::Password => whys.push("a secret has no default"),
        Some(value) => whys.extend(wrong_default(input, value)),
        None => {}
    }
    whys
}

fn wrong_default(input: &InputPrompt, value: &Value) -> Option<&'static str> {
    let is_choice = || {
        let text = value.as_str();
        text.is_some_and(|text| input.choices.iter().any(|choice| choice == text))
    };
    match input.kind {
        InputType::Choice if !is_choice() => Some("its default is not one of its choices"),
        InputType::String if !value.is_string() => Some("its default is no text"),
        InputType::Integer if !(value.is_i64() || value.is_u64()) => {
            Some("its default is no whole number")
        }
        InputType::Boolean if !value.is_boolean() => Some("its default is neither true nor false"),
        InputType::List if !value.is_array() => Some("its default is no list"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn questions_for_items_are_checked_like_all_others() {
        let inputs: Vec<InputPrompt> = serde_json::from_value(json!([
            { "name": "machines", "prompt": "Machines", "type": "list", "items": [
                { "name": "ip", "prompt": "Address", "validation": "(?=x)" },
                { "name": "port", "prompt": "Port", "type": "integer", "default": "22" },
                { "name": "port", "prompt": "Port", "type": "choice", "choices": ["a"], "default": "b" },
            ] },
            { "name": "jumper", "prompt": "" },
        ]))
        .unwrap();
        let manifest = Manifest {
            config_schema: json!({ "properties": { "machines": true }, "additionalProperties": false }),
            ..Manifest::default()
        };
        let told: Vec<String> = faults(&inputs, &manifest)
            .into_iter()
            .map(|fault| format!("{}: {}", fault.place, fault.why))
            .collect();
        assert_eq!(
            told,
            [
                "the input `machines/items/ip`: its `validation` cannot be used: look-around is not supported",
                "the input `machines/items/port`: its default is no whole number",
                "the input `machines/items/port`: its default is not one of its choices",
                "the input `machines/items/port`: is there twice",
                "the input `jumper`: has no name or no question",
                "the input `jumper`: asks for a key that `config_schema` does not know and refuses",
            ]
        );
    }
}
