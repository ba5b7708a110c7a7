//! The conversation: which adapters, which versions, every input that has no answer or a wrong one, until nothing is wrong any more.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use ztc_protocol::Manifest;
use ztc_protocol::message::{
    GetInputsParams, InputPrompt, PlatformContext, Severity, ValidateParams,
};

use crate::platform::check::{named, problems};
use crate::platform::{DEFAULT_ENVIRONMENT, Section};
use crate::wizard::ask::Asking;
use crate::wizard::draft::{Draft, given};
use crate::wizard::groups::Group;
use crate::wizard::pattern;
use crate::wizard::prompter::{Adapters, Prompter, Stop, Trouble, World};
use crate::wizard::value;

/// One conversation.
pub struct Session<'a, P, A, W> {
    /// Who answers.
    pub prompter: P,
    /// Where answers are kept.
    pub world: W,
    /// The adapters.
    pub adapters: &'a A,
    /// What they say about themselves.
    pub manifests: &'a BTreeMap<String, Manifest>,
    /// Those that are not part of ztc: what they see of the operator's environment is the operator's choice.
    pub strangers: &'a BTreeSet<String>,
    /// The groups they make.
    pub groups: &'a [Group],
    /// The answers.
    pub draft: Draft,
    /// Answers that nobody gave, as section and input: what is said about them once is not said again.
    pub unanswered: BTreeSet<(String, String)>,
}

impl<P: Prompter, A: Adapters, W: World> Session<'_, P, A, W> {
    /// Asks until the draft is complete. With a prompter that corrects nothing, it goes through to the end and leaves it to say what is missing.
    pub async fn run(&mut self) -> Result<(), Stop> {
        self.environment()?;
        let mut chosen = Vec::new();
        for group in self.groups {
            chosen.extend(self.choose(group)?);
        }
        let mut order = BTreeMap::new();
        for name in chosen {
            let inputs = self.section(&name).await?;
            order.insert(name, inputs);
        }
        self.draft.sort(self.groups, &order);
        self.draft = self.draft.settled();
        for (section, pointer, why) in self.draft.take_plain_secrets(self.manifests) {
            let message = format!("`{}` is left out: {why}", named(&section, &pointer));
            self.prompter.trouble(&Trouble {
                section,
                pointer,
                of_key: false,
                severity: Severity::Error,
                message,
                help: None,
            });
        }
        Ok(())
    }

    /// Asks for all of a section and returns the names of its inputs, in order.
    async fn section(&mut self, name: &str) -> Result<Vec<String>, Stop> {
        let Some(manifest) = self.manifests.get(&self.at(name).adapter) else {
            return Ok(Vec::new());
        };
        self.prompter.heading(name, &manifest.description);
        self.version(name, manifest, false)?;
        self.grants(name, manifest)?;
        let mut asked = BTreeSet::new();
        let mut seen = BTreeSet::new();
        loop {
            let inputs = self.missing(name, manifest, &mut asked).await?;
            let troubles = self.troubles(name, manifest).await?;
            for trouble in troubles.iter().filter(|trouble| {
                trouble.severity == Severity::Error || seen.insert(trouble.message.clone())
            }) {
                self.prompter.trouble(trouble);
            }
            if !self.prompter.corrects() || !self.correct(name, manifest, &inputs, &troubles)? {
                return Ok(inputs.into_iter().map(|input| input.name).collect());
            }
        }
    }

    /// Asks for every input that has no answer or one of the wrong form. Which inputs there are may change with each answer.
    async fn missing(
        &mut self,
        name: &str,
        manifest: &Manifest,
        asked: &mut BTreeSet<String>,
    ) -> Result<Vec<InputPrompt>, Stop> {
        loop {
            let inputs = self
                .adapters
                .inputs(&manifest.name, self.inputs_of(name))
                .await?;
            pattern::refuse(&manifest.name, name, &inputs)?;
            let Some(input) = inputs
                .iter()
                .find(|input| !asked.contains(&input.name) && self.is_open(name, input))
            else {
                return Ok(inputs);
            };
            asked.insert(input.name.clone());
            let current = self
                .at(name)
                .config
                .get(&input.name)
                .filter(|value| !value.is_null())
                .cloned();
            match current.map(|value| value::check(input, &value)) {
                None => self.ask(name, manifest, input, None)?,
                Some(Ok(value)) => self.answer(name, &input.name, value)?,
                Some(Err(wrong)) => self.wrong(name, manifest, input, &wrong)?,
            }
        }
    }

    /// Says what is wrong with an answer that stands, and asks again for that.
    fn wrong(
        &mut self,
        name: &str,
        manifest: &Manifest,
        input: &InputPrompt,
        wrong: &value::Wrong,
    ) -> Result<(), Stop> {
        let pointer = format!("/{}{}", input.name, wrong.pointer);
        let message = format!("`{}`: {}", named(name, &pointer), wrong.why);
        let part = input
            .items
            .iter()
            .find(|part| wrong.pointer.ends_with(&format!("/{}", part.name)));
        let help = part.unwrap_or(input).help_text.clone();
        self.prompter.trouble(&Trouble {
            section: name.to_owned(),
            pointer,
            of_key: false,
            severity: Severity::Error,
            message,
            help,
        });
        match self.prompter.corrects() {
            true => self.again(name, manifest, input, &[&wrong.pointer]),
            false => {
                self.unanswered
                    .insert((name.to_owned(), input.name.clone()));
                Ok(())
            }
        }
    }

    /// Asks again for an input: for the parts of it that the pointers name, or else for all of it with what stands there proposed.
    fn again(
        &mut self,
        name: &str,
        manifest: &Manifest,
        input: &InputPrompt,
        pointers: &[&str],
    ) -> Result<(), Stop> {
        let current = self
            .at(name)
            .config
            .get(&input.name)
            .filter(|value| !value.is_null())
            .cloned();
        let parts = match &current {
            Some(current) => self
                .asking(format!("{name}.{}", input.name), None)
                .parts(input, current, pointers)?,
            None => None,
        };
        match parts {
            Some(value) => self.answer(name, &input.name, value),
            None => self.ask(name, manifest, input, current.as_ref()),
        }
    }

    /// Whether an input still has to be looked at: it has no answer, or one of another form.
    fn is_open(&self, name: &str, input: &InputPrompt) -> bool {
        match self.at(name).config.get(&input.name) {
            None => input.required || !self.draft.finished.contains(name),
            Some(Value::Null) => input.required,
            Some(value) => {
                value::check(input, value).as_ref() != Ok(value)
                    && !self.is_finished_form(name, input, value)
            }
        }
    }

    /// Whether a finished platform.yaml writes a value in another allowed form, which is left as it is.
    fn is_finished_form(&self, name: &str, input: &InputPrompt, value: &Value) -> bool {
        self.draft.finished.contains(name) && value::check(input, value).is_ok()
    }

    fn ask(
        &mut self,
        name: &str,
        manifest: &Manifest,
        input: &InputPrompt,
        current: Option<&Value>,
    ) -> Result<(), Stop> {
        let variable = manifest
            .secrets
            .iter()
            .find(|secret| secret.input == input.name)
            .map(|secret| secret.variable.clone());
        let answer = self
            .asking(format!("{name}.{}", input.name), variable)
            .ask(input, current);
        match skip(answer)? {
            Some(answer) => self.answer(name, &input.name, answer.unwrap_or(Value::Null)),
            None => {
                self.unanswered
                    .insert((name.to_owned(), input.name.clone()));
                Ok(())
            }
        }
    }

    /// Returns what is wrong with a section: what its manifest says, and where that is nothing, what the adapter says.
    async fn troubles(&self, name: &str, manifest: &Manifest) -> Result<Vec<Trouble>, Stop> {
        let config = given(&self.at(name).config);
        let trouble = |pointer, of_key, severity, message, help| Trouble {
            section: name.to_owned(),
            pointer,
            of_key,
            severity,
            message,
            help,
        };
        let found = problems(name, &config, manifest);
        if !found.is_empty() {
            let is_known = |pointer: &str| {
                pointer
                    .split('/')
                    .nth(1)
                    .is_some_and(|key| self.unanswered.contains(&(name.to_owned(), key.to_owned())))
            };
            let found = found
                .into_iter()
                .filter(|problem| !is_known(&problem.pointer));
            return Ok(found
                .map(|p| trouble(p.pointer, p.of_key, Severity::Error, p.message, p.help))
                .collect());
        }
        let params = ValidateParams {
            config,
            platform: self.context(name),
            ..ValidateParams::default()
        };
        let diagnostics = self.adapters.validate(&manifest.name, params).await?;
        let said = diagnostics.into_iter().map(|d| {
            let message = format!("`{}`: {}", named(name, &d.pointer), d.message);
            trouble(d.pointer, false, d.severity, message, d.help)
        });
        Ok(said.collect())
    }

    /// Asks again for what is wrong and can be asked. Returns whether anything was.
    fn correct(
        &mut self,
        name: &str,
        manifest: &Manifest,
        inputs: &[InputPrompt],
        troubles: &[Trouble],
    ) -> Result<bool, Stop> {
        let mut wrong: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for trouble in troubles
            .iter()
            .filter(|trouble| trouble.severity == Severity::Error && !trouble.of_key)
        {
            let (key, rest) = match trouble.pointer.strip_prefix('/') {
                Some(path) => path.split_at(path.find('/').unwrap_or(path.len())),
                None => ("", ""),
            };
            wrong.entry(key).or_default().push(rest);
        }
        let mut asked = false;
        if wrong.contains_key("version") && !manifest.supported_versions.is_empty() {
            self.version(name, manifest, true)?;
            asked = true;
        }
        for input in inputs {
            let Some(pointers) = wrong.get(input.name.as_str()) else {
                continue;
            };
            asked = true;
            self.again(name, manifest, input, pointers)?;
        }
        Ok(asked)
    }

    pub(super) fn answer(&mut self, name: &str, key: &str, value: Value) -> Result<(), Stop> {
        if let Some(section) = self
            .draft
            .sections
            .iter_mut()
            .find(|section| section.name == name)
        {
            section.config.insert(key.to_owned(), value);
        }
        self.keep()
    }

    /// Keeps what was answered, without anything that looks like a secret and should be a reference.
    pub(super) fn keep(&mut self) -> Result<(), Stop> {
        let mut draft = self.draft.clone();
        draft.take_plain_secrets(self.manifests);
        Ok(self.world.keep(&draft)?)
    }

    pub(super) fn at(&self, name: &str) -> &Section {
        self.draft
            .sections
            .iter()
            .find(|section| section.name == name)
            .expect("a chosen section is in the draft")
    }

    pub(super) fn asking(&mut self, answer: String, variable: Option<String>) -> Asking<'_, P, W> {
        Asking {
            prompter: &mut self.prompter,
            world: &mut self.world,
            answer,
            variable,
            about: None,
        }
    }

    fn inputs_of(&self, name: &str) -> GetInputsParams {
        let others = self
            .draft
            .sections
            .iter()
            .filter(|section| section.name != name);
        GetInputsParams {
            answers: given(&self.at(name).config),
            others: others
                .map(|section| (section.name.clone(), Value::Object(given(&section.config))))
                .collect(),
            platform: self.context(name),
            ..GetInputsParams::default()
        }
    }

    fn context(&self, section: &str) -> PlatformContext {
        PlatformContext {
            environment: self
                .draft
                .environment
                .clone()
                .unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
            adapters: self
                .draft
                .sections
                .iter()
                .map(|section| (section.name.clone(), section.adapter.clone()))
                .collect(),
            section: section.to_owned(),
            ..PlatformContext::default()
        }
    }
}

/// Lets the conversation go on past a question that has no answer.
pub(super) fn skip<T>(result: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Stop::Unanswered) => Ok(None),
        Err(stop) => Err(stop),
    }
}
