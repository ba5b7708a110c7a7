//! Answers as values: reading what was typed, checking what was given. Pure.

use serde_json::{Number, Value};
use ztc_protocol::message::{InputPrompt, InputType};

use crate::error::{did_you_mean, listed};
use crate::platform::words;
use crate::secrets::Reference;
use crate::wizard::pattern;
use crate::yaml;

/// Longest pattern that helps to read, in bytes.
const LONGEST_PATTERN: usize = 48;

/// Why a value will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where in the value, as a JSON Pointer.
    pub(super) pointer: String,
    /// A fragment for people.
    pub(super) why: String,
}

impl Wrong {
    fn here(why: impl Into<String>) -> Self {
        Self {
            pointer: String::new(),
            why: why.into(),
        }
    }

    fn inside(self, key: impl std::fmt::Display) -> Self {
        Self {
            pointer: format!("/{key}{}", self.pointer),
            ..self
        }
    }
}

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Self::here(why)
    }
}

/// Reads a typed line as an answer. The error is a fragment for people.
pub(super) fn read(prompt: &InputPrompt, line: &str) -> Result<Value, String> {
    let line = line.trim();
    let value = match prompt.kind {
        InputType::String | InputType::Choice | InputType::Password => Value::from(line),
        InputType::Integer => line
            .parse()
            .map(|number: i64| Value::Number(number.into()))
            .map_err(|_| format!("`{}` is not a whole number", words::short(line)))?,
        InputType::Boolean => match line.to_lowercase().as_str() {
            "y" | "yes" | "true" => Value::Bool(true),
            "n" | "no" | "false" => Value::Bool(false),
            _ => return Err("answer `yes` or `no`".to_owned()),
        },
        InputType::List => split(line),
        InputType::Json => {
            yaml::parse(line).map_err(|error| format!("this is neither JSON nor YAML: {error}"))?
        }
    };
    check(prompt, &value).map_err(|wrong| {
        match wrong
            .pointer
            .strip_prefix('/')
            .and_then(|index| index.parse::<usize>().ok())
        {
            Some(index) => format!("item {}: {}", index + 1, wrong.why),
            None => wrong.why,
        }
    })
}

/// Writes an answer the way it would be typed, so that it is read back as the same.
pub(super) fn line(prompt: &InputPrompt, value: &Value) -> String {
    match (prompt.kind, value) {
        (_, Value::Null) => String::new(),
        (InputType::Json, value) => value.to_string(),
        (_, value) => typed(value),
    }
}

/// Writes a value for people.
pub(super) fn typed(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items)
            if items
                .iter()
                .all(|item| item.is_string() || item.is_number()) =>
        {
            items.iter().map(typed).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Checks an answer and returns it in its one form: a text with commas, where a list is asked for, becomes the list.
pub(super) fn check(prompt: &InputPrompt, value: &Value) -> Result<Value, Wrong> {
    let expected = |what: &str| {
        Err(Wrong::here(format!(
            "expected {what}, found {}",
            words::found(value)
        )))
    };
    match (prompt.kind, value) {
        (InputType::Choice, Value::String(text))
            if prompt.choices.is_empty() || prompt.choices.contains(text) =>
        {
            Ok(value.clone())
        }
        (InputType::Choice, _) => Err(Wrong::here(not_a_choice(prompt, value))),
        (InputType::Boolean, Value::Bool(_)) => Ok(value.clone()),
        (InputType::Boolean, _) => expected("`true` or `false`"),
        (InputType::String, Value::String(text)) => {
            Ok(matches(prompt, text).map(|()| value.clone())?)
        }
        (InputType::String, _) => expected("text"),
        (InputType::Integer, Value::Number(number)) if is_whole(number) => {
            Ok(matches(prompt, &number.to_string()).map(|()| value.clone())?)
        }
        (InputType::Integer, _) => expected("a whole number"),
        (InputType::List, Value::String(text)) if prompt.items.is_empty() => {
            list(prompt, &split(text))
        }
        (InputType::List, Value::Array(_)) => list(prompt, value),
        (InputType::List, _) => expected("a list"),
        (InputType::Password, _) => Ok(Reference::parse(value).map(|_| value.clone())?),
        (InputType::Json, _) => Ok(value.clone()),
    }
}

fn not_a_choice(prompt: &InputPrompt, value: &Value) -> String {
    let choices = || prompt.choices.iter().map(String::as_str);
    let hint = value
        .as_str()
        .and_then(|text| did_you_mean(text, choices()))
        .map(|hint| format!("; {hint}"));
    format!(
        "expected {}, found {}{}",
        listed(choices()),
        words::found(value),
        hint.unwrap_or_default()
    )
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64()
}

fn split(text: &str) -> Value {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

fn list(prompt: &InputPrompt, value: &Value) -> Result<Value, Wrong> {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() && prompt.required {
        return Err(Wrong::here("must not be empty"));
    }
    for (index, item) in items.iter().enumerate() {
        self::item(prompt, item).map_err(|wrong| wrong.inside(index))?;
    }
    Ok(value.clone())
}

fn item(prompt: &InputPrompt, item: &Value) -> Result<(), Wrong> {
    if prompt.items.is_empty() {
        let text = item
            .as_str()
            .ok_or_else(|| format!("expected text, found {}", words::found(item)))?;
        return Ok(matches(prompt, text)?);
    }
    let object = item
        .as_object()
        .ok_or_else(|| format!("expected a mapping, found {}", words::found(item)))?;
    for part in &prompt.items {
        match object.get(&part.name) {
            Some(value) => drop(check(part, value).map_err(|wrong| wrong.inside(&part.name))?),
            None if part.required => return Err(Wrong::here("is missing").inside(&part.name)),
            None => {}
        }
    }
    Ok(())
}

fn matches(prompt: &InputPrompt, text: &str) -> Result<(), String> {
    if text.is_empty() && prompt.required {
        return Err("must not be empty".to_owned());
    }
    let Some(pattern) = &prompt.validation else {
        return Ok(());
    };
    let whole = pattern::read(pattern).map_err(|_| {
        format!("the adapter's pattern `{pattern}` cannot be read; report this to its author")
    })?;
    match whole.is_match(text) {
        true => Ok(()),
        false if pattern.len() > LONGEST_PATTERN => Err(format!(
            "`{}` does not have the expected form",
            words::short(text)
        )),
        false => Err(format!(
            "`{}` does not match the pattern `{pattern}`",
            words::short(text)
        )),
    }
}

/// Splits a command line into words: spaces part, quotes and backslashes keep together. No shell is involved.
pub(super) fn command(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars
                    .next()
                    .ok_or("the last backslash has nothing after it")?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    match words.is_empty() {
        true => Err("a command has at least a program".to_owned()),
        false => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prompt(kind: InputType, validation: Option<&str>) -> InputPrompt {
        InputPrompt {
            kind,
            validation: validation.map(str::to_owned),
            required: true,
            ..InputPrompt::default()
        }
    }

    #[track_caller]
    fn reads(prompt: &InputPrompt, line: &str, value: Value) {
        assert_eq!(read(prompt, line).as_ref(), Ok(&value));
        assert_eq!(
            read(prompt, &super::line(prompt, &value)),
            Ok(value),
            "what is shown as a default can be typed"
        );
    }

    #[track_caller]
    fn refuses(prompt: &InputPrompt, line: &str, why: &str) {
        assert_eq!(read(prompt, line), Err(why.to_owned()));
    }

    #[test]
    fn every_type_is_read_and_refused_in_words() {
        reads(
            &prompt(InputType::String, Some("[a-z]+")),
            " prod ",
            json!("prod"),
        );
        refuses(
            &prompt(InputType::String, Some("[a-z]+")),
            "prod1",
            "`prod1` does not match the pattern `[a-z]+`",
        );
        refuses(&prompt(InputType::String, None), "", "must not be empty");
        reads(&prompt(InputType::Integer, Some("[1-5]")), "3", json!(3));
        refuses(
            &prompt(InputType::Integer, Some("[1-5]")),
            "7",
            "`7` does not match the pattern `[1-5]`",
        );
        refuses(
            &prompt(InputType::Integer, None),
            "1.5",
            "`1.5` is not a whole number",
        );
        reads(
            &prompt(InputType::List, Some(r"\d+")),
            "1, 2,,3 ",
            json!(["1", "2", "3"]),
        );
        refuses(
            &prompt(InputType::List, Some(r"\d+")),
            "1, x",
            r"item 2: `x` does not match the pattern `\d+`",
        );
        refuses(&prompt(InputType::List, None), " , ", "must not be empty");
        reads(
            &prompt(InputType::Json, None),
            "{a: [1, x]}",
            json!({"a": [1, "x"]}),
        );
        reads(&prompt(InputType::Json, None), "'- text'", json!("- text"));
        let choice = InputPrompt {
            choices: vec!["tunnel".into(), "native".into()],
            ..prompt(InputType::Choice, None)
        };
        reads(&choice, "native", json!("native"));
        refuses(
            &choice,
            "tunel",
            "expected `tunnel` or `native`, found text `tunel`; did you mean `tunnel`?",
        );
        refuses(
            &prompt(InputType::String, Some("(")),
            "x",
            "the adapter's pattern `(` cannot be read; report this to its author",
        );
    }

    #[test]
    fn a_secret_is_a_reference_and_is_never_quoted() {
        let token = prompt(InputType::Password, None);
        let reference = json!({"from": "env", "name": "TOKEN"});
        assert_eq!(check(&token, &reference), Ok(reference));
        let wrong = check(&token, &json!("plain-s3cret")).unwrap_err();
        assert!(
            wrong
                .why
                .starts_with("a secret never stands in platform.yaml itself"),
            "{}",
            wrong.why
        );
    }

    #[test]
    fn items_of_a_list_are_checked_one_by_one() {
        let ip = InputPrompt {
            name: "ip".into(),
            ..prompt(InputType::String, Some("[0-9.]+"))
        };
        let nodes = InputPrompt {
            items: vec![ip],
            ..prompt(InputType::List, None)
        };
        assert_eq!(
            check(&nodes, &json!([{"ip": "1.2", "zone": "a"}])),
            Ok(json!([{"ip": "1.2", "zone": "a"}]))
        );
        let refused = |value| {
            check(&nodes, &value)
                .map_err(|wrong| format!("{}: {}", wrong.pointer, wrong.why))
                .unwrap_err()
        };
        assert_eq!(
            refused(json!([{"ip": "1.2"}, {"ip": "x"}])),
            "/1/ip: `x` does not match the pattern `[0-9.]+`"
        );
        assert_eq!(refused(json!([{"zone": "a"}])), "/0/ip: is missing");
        assert_eq!(
            refused(json!(["a"])),
            "/0: expected a mapping, found text `a`"
        );
        assert_eq!(
            refused(json!("a, b")),
            ": expected a list, found text `a, b`"
        );
    }

    #[test]
    fn commands_are_split_like_a_shell_would_and_never_run_by_one() {
        assert_eq!(
            command(r#"pass show "my cloud"/tok\ en 'a "b" \c' """#).unwrap(),
            ["pass", "show", "my cloud/tok en", r#"a "b" \c"#, ""]
        );
        assert_eq!(
            command("  ").unwrap_err(),
            "a command has at least a program"
        );
        assert_eq!(command("a 'b").unwrap_err(), "a quote is not closed");
    }
}
