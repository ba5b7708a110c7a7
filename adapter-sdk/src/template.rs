//! Templates: handlebars, strict (an unknown name is an error), nothing escaped.

use handlebars::{Handlebars, no_escape};
use serde::Serialize;

use crate::AdapterError;

/// A set of named templates that belong to one adapter.
pub struct Templates {
    engine: Handlebars<'static>,
}

impl Templates {
    /// Compiles templates given as name and text. Panics are left to no one: a template that does not compile is an internal error.
    pub fn new(templates: &[(&str, &str)]) -> Result<Self, AdapterError> {
        let mut engine = Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(no_escape);
        for (name, text) in templates {
            engine
                .register_template_string(name, text)
                .map_err(|error| AdapterError::internal(format!("template `{name}`: {error}")))?;
        }
        Ok(Self { engine })
    }

    /// Renders one of them.
    pub fn render(&self, name: &str, data: &impl Serialize) -> Result<String, AdapterError> {
        self.engine
            .render(name, data)
            .map_err(|error| AdapterError::internal(format!("template `{name}`: {error}")))
    }
}
