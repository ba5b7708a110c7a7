//! YAML in and out: the one module that knows the YAML library.
//!
//! Reading is strict: duplicate keys are errors, only `true` and `false` are booleans, `0755` is text, and aliases cannot blow the document up.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a text is not the YAML that was expected.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// For people; may quote the text.
    pub message: String,
    /// From 1; 0: unknown.
    pub line: usize,
    /// From 1; 0: unknown.
    pub column: usize,
}

/// Reads one document.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let location = error.location();
        YamlError {
            message: error.to_string(),
            line: location.map_or(0, |location| location.line() as usize),
            column: location.map_or(0, |location| location.column() as usize),
        }
    })
}

/// Writes one document.
pub fn write(value: &impl Serialize) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError {
        message: error.to_string(),
        line: 0,
        column: 0,
    })
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    }
}
