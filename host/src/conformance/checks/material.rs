//! What there is to render with: the operator's configuration or one that the kit makes up, capabilities and facts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use ztc_protocol::Manifest;
use ztc_protocol::message::GetInputsResult;

use crate::conformance::report::Outcome;
use crate::conformance::session::{Reply, Session};
use crate::conformance::{Given, config, sample};

/// The name of a second section.
pub(super) const SECOND: &str = "kit-second";

/// How often the questions are asked anew, since they depend on the answers.
const ROUNDS: usize = 8;

/// What the calls of a render get.
#[derive(Clone, Debug)]
pub(super) struct Material {
    pub(super) config: Map<String, Value>,
    /// Whether the kit has made the configuration up: then the adapter may refuse it.
    pub(super) made_up: bool,
    pub(super) capabilities: BTreeMap<String, Value>,
    pub(super) facts: BTreeMap<String, Value>,
}

impl Material {
    /// The parameters of `render` and `scripts`.
    pub(super) fn render(&self, manifest: &Manifest) -> Value {
        json!({
            "config": self.config, "facts": self.facts, "capabilities": self.capabilities, "platform": platform(manifest),
        })
    }

    /// The same for a second section with the same configuration.
    pub(super) fn second(&self, manifest: &Manifest) -> Value {
        let mut params = self.render(manifest);
        params["platform"]["adapters"][SECOND] = manifest.name.clone().into();
        params["platform"]["section"] = SECOND.into();
        params
    }

    /// The parameters of `discover`, without secrets.
    pub(super) fn discover(&self, manifest: &Manifest) -> Value {
        json!({ "config": self.config, "secrets": {}, "platform": platform(manifest) })
    }

    /// The parameters of `validate`.
    pub(super) fn validate(&self, manifest: &Manifest) -> Value {
        json!({
            "config": self.config, "capabilities": self.capabilities, "platform": platform(manifest),
        })
    }
}

/// The parameters of `get_inputs` before anything is answered.
pub(super) fn questions(manifest: &Manifest) -> Value {
    json!({ "answers": {}, "others": {}, "platform": platform(manifest) })
}

fn platform(manifest: &Manifest) -> Value {
    let name = &manifest.name;
    json!({ "environment": "kit", "adapters": { name: name }, "section": name })
}

/// Collects it. The error is the outcome where there is nothing to render with.
pub(super) async fn collect(
    given: &Given,
    manifest: &Manifest,
    session: &mut Session,
) -> Result<Material, Outcome> {
    let config = match &given.config {
        Some(config) => {
            given_config(manifest, config).map_err(|why| Outcome::failed("`--config`", why))?
        }
        None => made_up(manifest, session).await.map_err(|why| {
            let hint = "give one with `--config FILE`";
            Outcome::skipped(format!("no configuration could be made up ({why}); {hint}"))
        })?,
    };
    let mut capabilities = BTreeMap::new();
    for requirement in &manifest.requires {
        let name = &requirement.capability;
        let data = given.capabilities.get(name).cloned();
        match data.or_else(|| sample::capability(name)) {
            Some(data) => {
                capabilities.insert(name.clone(), data);
            }
            None if requirement.optional => {}
            None => {
                return Err(Outcome::skipped(format!(
                    "the kit has no sample of the capability `{name}`; give one with `--capabilities FILE`"
                )));
            }
        }
    }
    Ok(Material {
        config,
        made_up: given.config.is_none(),
        capabilities,
        facts: given.facts.clone().unwrap_or_default(),
    })
}

fn given_config(
    manifest: &Manifest,
    config: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let wrong = config::wrong(&manifest.config_schema, config)?;
    if wrong.is_empty() {
        Ok(config.clone())
    } else {
        let hint = match config.len() == 1 && config.contains_key(&manifest.name) {
            true => format!("; give what stands below `{}:`", manifest.name),
            false => String::new(),
        };
        let wrong = wrong.join("; ");
        Err(format!("breaks the adapter's schema: {wrong}{hint}"))
    }
}

async fn made_up(manifest: &Manifest, session: &mut Session) -> Result<Map<String, Value>, String> {
    let mut answers = Map::new();
    for _ in 0..ROUNDS {
        let params = json!({ "answers": answers, "others": {}, "platform": platform(manifest) });
        let Ok(Reply::Result(result)) = session.call("get_inputs", params).await else {
            return Err("`get_inputs` was not answered".to_owned());
        };
        let inputs: GetInputsResult =
            serde_json::from_value(result).map_err(|error| error.to_string())?;
        let next = config::proposed(manifest, &inputs.inputs);
        if next == answers {
            break;
        }
        answers = next;
    }
    config::completed(manifest, answers)
}
