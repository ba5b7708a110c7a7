//! Adapters in memory, somebody who knows every answer, and a place to keep answers in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use ztc_protocol::Manifest;
use ztc_protocol::manifest::{EnvironmentVariable, Provision, Requirement, SecretInput};
use ztc_protocol::message::{
    Diagnostic, GetInputsParams, InputPrompt, InputType, Severity, ValidateParams,
};

use super::super::*;
use crate::error::Failure;
use crate::mask::Mask;
use crate::platform::{Platform, Source};
use crate::ui::{Loudness, Ui};

/// Adapters that live in the test.
pub(super) struct InMemory {
    pub(super) manifests: BTreeMap<String, Manifest>,
}

pub(super) fn input(name: &str, kind: InputType, required: bool, default: Value) -> InputPrompt {
    InputPrompt {
        name: name.into(),
        prompt: name.into(),
        kind,
        required,
        default: (!default.is_null()).then_some(default),
        ..InputPrompt::default()
    }
}

impl Adapters for InMemory {
    async fn inputs(
        &self,
        adapter: &str,
        params: GetInputsParams,
    ) -> Result<Vec<InputPrompt>, Stop> {
        let has = |key: &str| params.answers.get(key) == Some(&json!(true));
        Ok(match adapter {
            "cloud" | "metal" => vec![
                input("api_token", InputType::Password, true, Value::Null),
                InputPrompt {
                    validation: Some(r"[0-9.]+".into()),
                    ..input("server_ips", InputType::List, true, Value::Null)
                },
            ],
            "net" => {
                let mut inputs = vec![input("bgp", InputType::Boolean, false, json!(false))];
                if has("bgp") {
                    inputs.push(input("asn", InputType::Integer, true, json!(64512)));
                }
                let mode = InputPrompt {
                    choices: vec!["tunnel".into(), "native".into()],
                    ..input("mode", InputType::Choice, false, Value::Null)
                };
                inputs.extend([mode, input("extra", InputType::Json, false, Value::Null)]);
                inputs
            }
            _ => {
                let name = InputPrompt {
                    validation: Some("[a-z0-9]+".into()),
                    ..input("name", InputType::String, true, Value::Null)
                };
                let items = vec![name, input("zone", InputType::String, false, Value::Null)];
                vec![
                    InputPrompt {
                        validation: Some("[a-z]+".into()),
                        ..input("cluster_name", InputType::String, true, Value::Null)
                    },
                    InputPrompt {
                        items,
                        ..input("nodes", InputType::List, true, Value::Null)
                    },
                    input("note", InputType::String, false, Value::Null),
                ]
            }
        })
    }

    async fn validate(
        &self,
        _adapter: &str,
        params: ValidateParams,
    ) -> Result<Vec<Diagnostic>, Stop> {
        let names = params
            .config
            .get("nodes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|node| node["name"].clone());
        let mut seen = BTreeSet::new();
        let again = names
            .enumerate()
            .filter(|(_, name)| !seen.insert(name.to_string()))
            .map(|(index, name)| Diagnostic {
                pointer: format!("/nodes/{index}/name"),
                severity: Severity::Error,
                message: format!("{name} is taken"),
                help: None,
            });
        Ok(again.collect())
    }
}

pub(super) fn adapters() -> InMemory {
    let manifest = |name: &str, group: &str, requires: &[&str], versions: &[&str]| Manifest {
        name: name.into(),
        description: format!("about {name}"),
        phase: if name == "net" {
            "networking"
        } else {
            "foundation"
        }
        .into(),
        selection_group: group.into(),
        is_default: name == "cloud",
        group_prompt: format!("Which {group}?"),
        provides: vec![Provision {
            capability: group.into(),
            version: "1.0".into(),
            schema: None,
        }],
        requires: requires
            .iter()
            .map(|c| Requirement {
                capability: (*c).into(),
                version: "^1".into(),
                optional: false,
            })
            .collect(),
        supported_versions: versions
            .iter()
            .map(|version| (*version).to_owned())
            .collect(),
        default_version: versions.last().copied().unwrap_or_default().into(),
        ..Manifest::default()
    };
    let token = || SecretInput {
        input: "api_token".into(),
        variable: "CLOUD_TOKEN".into(),
        why: String::new(),
        discover: true,
    };
    let manifests = [
        Manifest {
            secrets: vec![token()],
            ..manifest("cloud", "provider", &[], &["v1", "v2"])
        },
        Manifest {
            secrets: vec![token()],
            ..manifest("metal", "provider", &[], &[])
        },
        Manifest {
            environment: vec![EnvironmentVariable {
                name: "NET_ZONE".into(),
                why: "where the routers are".into(),
            }],
            config_schema: json!({"properties": {"extra": {"properties": {"password": {"x-ztc-secret": true}}}}}),
            ..manifest("net", "network", &[], &["v1.9", "v1.10"])
        },
        manifest("os", "system", &["provider", "network"], &[]),
    ];
    InMemory {
        manifests: manifests
            .into_iter()
            .map(|manifest| (manifest.name.clone(), manifest))
            .collect(),
    }
}

/// Somebody who knows the document that is wanted and answers every question by it, until patience ends.
pub(super) struct Knowing {
    wanted: Draft,
    patience: usize,
    pub(super) said: Vec<String>,
    nodes: usize,
}

impl Knowing {
    fn value(&self, answer: &str) -> Value {
        let (section, key) = answer.split_once('.').unwrap_or((answer, ""));
        let section = self
            .wanted
            .sections
            .iter()
            .find(|known| known.name == section);
        section
            .and_then(|section| section.config.get(key))
            .cloned()
            .unwrap_or_default()
    }

    fn choose(&self, answer: &str, options: &[Choice]) -> usize {
        let chosen = match self.value(answer) {
            Value::String(text) => text,
            Value::Object(reference) => match reference["from"].as_str() {
                Some("env") => "environment variable".to_owned(),
                Some("store") => "type it now".to_owned(),
                Some(other) => other.to_owned(),
                None => unreachable!(),
            },
            _ if answer == "provider" => self.wanted.sections[0].name.clone(),
            _ => "none".to_owned(),
        };
        options
            .iter()
            .position(|option| option.value == chosen)
            .unwrap_or_else(|| panic!("{chosen} is no choice of {answer}"))
    }

    fn line(&mut self, question: &Question) -> String {
        let value = self.value(&question.answer);
        match &value {
            Value::Null if question.answer == "environment" => {
                self.wanted.environment.clone().unwrap()
            }
            Value::Null => String::new(),
            Value::Object(reference) if question.answer.ends_with("api_token") => {
                match reference["from"].as_str() {
                    Some("env") => reference["name"].as_str().unwrap().to_owned(),
                    Some("file") => reference["path"].as_str().unwrap().to_owned(),
                    Some("command") => "pass 'a b'".to_owned(),
                    _ => "typed-s3cret".to_owned(),
                }
            }
            Value::Array(items) if question.answer == "os.nodes" => {
                let part = question.prompt.rsplit(' ').next().unwrap();
                let index: usize = question
                    .prompt
                    .split([' ', ':'])
                    .nth(1)
                    .unwrap()
                    .parse()
                    .unwrap();
                self.nodes = index;
                items[index - 1]
                    .get(part)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            }
            other if question.answer == "net.extra" => other.to_string(),
            other => value::typed(other),
        }
    }
}

impl Prompter for Knowing {
    fn ask(&mut self, question: &Question) -> Result<Reply, Stop> {
        self.patience = self.patience.checked_sub(1).ok_or(Stop::Interrupted)?;
        self.said
            .push(format!("{}: {}", question.answer, question.prompt));
        Ok(match &question.kind {
            Kind::Choice { options, .. } => Reply::Chosen(self.choose(&question.answer, options)),
            Kind::Confirm { .. } if question.answer == "os.nodes" => {
                Reply::Confirmed(self.nodes < self.value("os.nodes").as_array().unwrap().len())
            }
            Kind::Confirm { .. } if question.answer == "plugins.net.environment" => {
                Reply::Confirmed(self.wanted.grants("net", "NET_ZONE"))
            }
            Kind::Confirm { .. } => Reply::Confirmed(self.value(&question.answer) == json!(true)),
            Kind::Text { .. } | Kind::Hidden => Reply::Line(self.line(question)),
        })
    }

    fn refuse(&mut self, question: &Question, why: &str) -> Result<(), Stop> {
        panic!("{question:?} was refused: {why}")
    }

    fn trouble(&mut self, trouble: &Trouble) {
        self.said.push(format!("! {}", trouble.message));
    }

    fn corrects(&self) -> bool {
        true
    }

    fn heading(&mut self, title: &str, _about: &str) {
        self.said.push(format!("# {title}"));
    }

    fn note(&mut self, text: &str) {
        self.said.push(format!("- {text}"));
    }
}

/// Keeps what was answered as the text that a file would hold.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) text: Option<String>,
    pub(super) stored: BTreeMap<String, String>,
}

impl World for Kept {
    fn keep(&mut self, draft: &Draft) -> Result<(), Failure> {
        self.text = Some(document::write_answers(draft).unwrap());
        Ok(())
    }

    fn store(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        self.stored.insert(name.into(), value.into());
        Ok(())
    }

    fn has_variable(&self, _name: &str) -> bool {
        true
    }

    fn has_file(&self, _path: &str) -> bool {
        true
    }
}

pub(super) fn read(text: &str, finished: bool) -> Draft {
    Draft::of(
        &Platform::parse_partial(&Source::new("answers.yaml", text)).unwrap(),
        finished,
    )
}

/// Holds a conversation and returns how it ended, the prompter, what was kept, and the draft.
pub(super) fn converse<P: Prompter>(
    prompter: P,
    draft: Draft,
) -> (Result<(), Stop>, P, Kept, Draft) {
    let adapters = adapters();
    let groups = groups(&adapters.manifests, |_| true);
    let mut session = Session {
        prompter,
        world: Kept::default(),
        adapters: &adapters,
        manifests: &adapters.manifests,
        strangers: &BTreeSet::from(["net".to_owned()]),
        groups: &groups,
        draft,
        unanswered: BTreeSet::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let ended = runtime.block_on(session.run());
    (ended, session.prompter, session.world, session.draft)
}

pub(super) fn knowing(wanted: &Draft, patience: usize) -> Knowing {
    Knowing {
        wanted: wanted.clone(),
        patience,
        said: Vec::new(),
        nodes: 0,
    }
}

pub(super) fn twin(draft: Draft) -> Result<Draft, Failure> {
    let ui = Ui::new(Loudness::Quiet, false, false, Mask::default());
    let (ended, twin, _, draft) = converse(twin::Twin::new(ui, None, BTreeSet::new()), draft);
    assert!(ended.is_ok());
    twin.verdict().map(|()| draft)
}
