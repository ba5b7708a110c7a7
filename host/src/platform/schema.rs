//! A value against a JSON Schema, with what is wrong in the project's words. Pure, and never on the network.
//!
//! Values at the `hidden` places hold secrets: nothing at or below them is looked at or quoted here.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::error::{did_you_mean, listed};
use crate::platform::document::push;
use crate::platform::words::{any_of, found, path, schema_type, short};

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// Where, as a JSON Pointer; of a key that is missing, where it would be.
    pub(crate) pointer: String,
    /// Whether the key is meant and not its value.
    pub(crate) of_key: bool,
    /// What is wrong, with the place in the words of people.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// Returns what is wrong. `subject` is what people call the value. The error says why the schema itself cannot be used.
pub(crate) fn problems(
    subject: &str,
    schema: &Value,
    value: &Value,
    hidden: &[String],
) -> Result<Vec<Problem>, String> {
    let validator = jsonschema::options()
        .offline()
        .build(schema)
        .map_err(|error| short(&error.to_string()))?;
    let explainer = Explainer { subject, schema };
    let mut problems: Vec<Problem> = validator
        .iter_errors(value)
        .flat_map(|error| explainer.explain(&error))
        .filter(|problem| !is_below(&problem.pointer, hidden))
        .collect();
    problems.sort();
    problems.dedup();
    Ok(problems)
}

fn is_below(pointer: &str, hidden: &[String]) -> bool {
    hidden.iter().any(|top| {
        pointer
            .strip_prefix(top.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

struct Explainer<'a> {
    subject: &'a str,
    schema: &'a Value,
}

impl Explainer<'_> {
    fn explain(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        match error.kind() {
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => unexpected
                .iter()
                .map(|key| self.unknown_key(error, key))
                .collect(),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.alternatives(error, context)
            }
            _ => vec![self.simple(error)],
        }
    }

    /// `talos.nodes[0].ip`
    fn name(&self, pointer: &str) -> String {
        match path(pointer) {
            path if path.is_empty() => self.subject.to_owned(),
            path if path.starts_with('[') => format!("{}{path}", self.subject),
            path => format!("{}.{path}", self.subject),
        }
    }

    fn problem(
        &self,
        error: &ValidationError<'_>,
        message: impl std::fmt::Display,
        help: Option<String>,
    ) -> Problem {
        let pointer = error.instance_path().as_str().to_owned();
        Problem {
            message: format!("`{}`: {message}", self.name(&pointer)),
            pointer,
            of_key: false,
            help,
        }
    }

    fn unknown_key(&self, error: &ValidationError<'_>, key: &str) -> Problem {
        let mut pointer = error.instance_path().as_str().to_owned();
        let place = self.name(&pointer);
        push(&mut pointer, key);
        let properties = self
            .parent(error)
            .and_then(|parent| parent.get("properties")?.as_object());
        let allowed: Vec<&str> = properties
            .into_iter()
            .flat_map(|known| known.keys().map(String::as_str))
            .collect();
        let help = did_you_mean(key, allowed.iter().copied())
            .unwrap_or_else(|| format!("the keys here are {}", listed(allowed)));
        Problem {
            message: format!("unknown key `{key}` in `{place}`"),
            pointer,
            of_key: true,
            help: Some(help),
        }
    }

    fn simple(&self, error: &ValidationError<'_>) -> Problem {
        let value = error.instance();
        let it = found(value);
        let described = || self.description(error);
        let (message, help) = match error.kind() {
            Kind::Required { property } => {
                return self.missing(error, property.as_str().unwrap_or_default());
            }
            Kind::Type { kind } => {
                let words = types(kind);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                (
                    format!("expected {}, found {it}", expected(&words)),
                    type_help(&words, value),
                )
            }
            Kind::Enum { options } => {
                self.choice(options.as_array().map_or(&[], Vec::as_slice), value)
            }
            Kind::Constant { expected_value } => {
                self.choice(std::slice::from_ref(expected_value), value)
            }
            Kind::Pattern { pattern } => (
                format!("{it} does not match the pattern `{pattern}`"),
                described(),
            ),
            Kind::Format { format } => {
                (format!("{it} is not of the format `{format}`"), described())
            }
            Kind::MinLength { limit: 1 }
            | Kind::MinItems { limit: 1 }
            | Kind::MinProperties { limit: 1 } => ("must not be empty".to_owned(), described()),
            Kind::MinLength { limit } => (
                format!("expected at least {limit} characters, found {it}"),
                described(),
            ),
            Kind::MaxLength { limit } => (
                format!("expected at most {limit} characters, found {it}"),
                described(),
            ),
            Kind::MinItems { limit } => (
                format!("expected at least {limit} items, found {}", size(value)),
                described(),
            ),
            Kind::MaxItems { limit } => (
                format!("expected at most {limit} items, found {}", size(value)),
                described(),
            ),
            Kind::MinProperties { limit } => (
                format!("expected at least {limit} keys, found {}", size(value)),
                described(),
            ),
            Kind::MaxProperties { limit } => (
                format!("expected at most {limit} keys, found {}", size(value)),
                described(),
            ),
            Kind::Minimum { limit } => (
                format!("expected at least `{limit}`, found {it}"),
                described(),
            ),
            Kind::Maximum { limit } => (
                format!("expected at most `{limit}`, found {it}"),
                described(),
            ),
            Kind::ExclusiveMinimum { limit } => (
                format!("expected more than `{limit}`, found {it}"),
                described(),
            ),
            Kind::ExclusiveMaximum { limit } => (
                format!("expected less than `{limit}`, found {it}"),
                described(),
            ),
            Kind::MultipleOf { multiple_of } => (
                format!("expected a multiple of `{multiple_of}`, found {it}"),
                described(),
            ),
            Kind::UniqueItems => ("an item stands in the list twice".to_owned(), described()),
            Kind::PropertyNames { error } => (
                format!(
                    "key {} is not allowed: {}",
                    found(error.instance()),
                    names_rule(error)
                ),
                described(),
            ),
            Kind::FalseSchema => ("is not allowed here".to_owned(), described()),
            Kind::OneOfMultipleValid { .. } => (
                format!("{it} fits several of the allowed forms, and one is expected"),
                described(),
            ),
            other => (
                format!(
                    "{it} breaks the rule `{}` of the adapter's schema",
                    other.keyword()
                ),
                described(),
            ),
        };
        self.problem(error, message, help)
    }

    fn missing(&self, error: &ValidationError<'_>, key: &str) -> Problem {
        let property = self
            .parent(error)
            .and_then(|parent| parent.get("properties")?.get(key));
        let description = property.and_then(described);
        let mut pointer = error.instance_path().as_str().to_owned();
        let message = format!("key `{key}` is missing in `{}`", self.name(&pointer));
        push(&mut pointer, key);
        let help = description.map(|text| format!("`{key}`: {text}"));
        Problem {
            pointer,
            of_key: false,
            message,
            help,
        }
    }

    fn choice(&self, options: &[Value], value: &Value) -> (String, Option<String>) {
        let words: Vec<String> = options
            .iter()
            .map(|option| {
                option
                    .as_str()
                    .map_or_else(|| option.to_string(), str::to_owned)
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let hint = value
            .as_str()
            .and_then(|text| did_you_mean(text, words.iter().copied()));
        (
            format!("expected {}, found {}", listed(words), found(value)),
            hint,
        )
    }

    /// Several forms are allowed and the value has none of them: says what is wrong with the form that was meant, where that can be told.
    fn alternatives(
        &self,
        error: &ValidationError<'_>,
        branches: &[Vec<ValidationError<'static>>],
    ) -> Vec<Problem> {
        let here = error.instance_path().as_str();
        let is_at = |inner: &ValidationError<'_>| inner.instance_path().as_str() == here;
        let options: Option<Vec<Value>> = branches
            .iter()
            .map(|branch| branch.iter().filter(|inner| is_at(inner)).find_map(one_of))
            .collect();
        if let Some(options) = options {
            let (message, help) = self.choice(&options, error.instance());
            return vec![self.problem(error, message, help)];
        }
        let other_type = |branch: &&Vec<ValidationError<'static>>| {
            branch
                .iter()
                .any(|inner| is_at(inner) && matches!(inner.kind(), Kind::Type { .. }))
        };
        let meant: Vec<_> = branches
            .iter()
            .filter(|branch| !other_type(branch))
            .collect();
        if let [branch] = meant.as_slice() {
            return branch
                .iter()
                .flat_map(|inner| self.explain(inner))
                .collect();
        }
        let mut words: Vec<String> = branches
            .iter()
            .flatten()
            .filter(|inner| is_at(inner))
            .flat_map(|inner| match inner.kind() {
                Kind::Type { kind } => types(kind),
                _ => Vec::new(),
            })
            .collect();
        words.dedup();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let message = match meant.is_empty() {
            true => format!(
                "expected {}, found {}",
                expected(&words),
                found(error.instance())
            ),
            false => format!("{} has none of the allowed forms", found(error.instance())),
        };
        vec![
            self.problem(
                error,
                message,
                self.description(error)
                    .or_else(|| type_help(&words, error.instance())),
            ),
        ]
    }

    /// The schema that the broken keyword stands in.
    fn parent(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let path = error.schema_path().as_str();
        self.schema.pointer(&path[..path.rfind('/')?])
    }

    /// What the schema says about the value: its own description, or that of the alternatives it is one of.
    fn description(&self, error: &ValidationError<'_>) -> Option<String> {
        let mut path = error.schema_path().as_str();
        loop {
            path = &path[..path.rfind('/')?];
            if let Some(text) = self.schema.pointer(path).and_then(described) {
                return Some(text);
            }
            let is_alternative = path
                .rsplit('/')
                .nth(1)
                .is_some_and(|word| matches!(word, "anyOf" | "oneOf" | "allOf"));
            if !is_alternative {
                return None;
            }
            path = &path[..path.rfind('/')?];
        }
    }
}

fn described(schema: &Value) -> Option<String> {
    let text = schema
        .get("description")
        .or_else(|| schema.get("title"))?
        .as_str()?;
    let line = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .trim_end_matches('.');
    (!line.is_empty()).then(|| line.to_owned())
}

fn one_of(error: &ValidationError<'static>) -> Option<Value> {
    match error.kind() {
        Kind::Constant { expected_value } => Some((**expected_value).clone()),
        Kind::Enum { options } => match options.as_array()?.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn types(kind: &TypeKind) -> Vec<String> {
    match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect(),
    }
}

/// Names the types; that nothing is allowed too says nothing to somebody who wrote something.
fn expected(words: &[&str]) -> String {
    let something: Vec<&str> = words
        .iter()
        .filter(|word| **word != "null")
        .map(|word| schema_type(word))
        .collect();
    any_of(if something.is_empty() {
        &["nothing"]
    } else {
        &something
    })
}

fn type_help(expected: &[&str], value: &Value) -> Option<String> {
    let expects = |word: &str| expected.contains(&word);
    match value {
        Value::String(text)
            if expects("boolean")
                && matches!(text.to_lowercase().as_str(), "yes" | "on" | "true") =>
        {
            Some("write `true`, without quotes".to_owned())
        }
        Value::String(text)
            if expects("boolean")
                && matches!(text.to_lowercase().as_str(), "no" | "off" | "false") =>
        {
            Some("write `false`, without quotes".to_owned())
        }
        Value::String(text)
            if (expects("integer") || expects("number")) && text.parse::<f64>().is_ok() =>
        {
            Some("write it without quotes".to_owned())
        }
        Value::Number(_) | Value::Bool(_) if expects("string") => {
            Some("put it in quotes, as it stands in the file".to_owned())
        }
        Value::String(_) | Value::Object(_) if expects("array") => {
            Some("write a list: `[first, second]`, or one item a line after `- `".to_owned())
        }
        _ => None,
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(object) => object.len(),
        _ => 0,
    }
}

fn names_rule(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Pattern { pattern } => format!("keys here match the pattern `{pattern}`"),
        other => format!("it breaks the rule `{}`", other.keyword()),
    }
}
