//! Asks for one input, whatever its type, until there is an answer that will do.

use serde_json::{Map, Value};
use ztc_protocol::message::{InputPrompt, InputType};

use crate::wizard::prompter::{Choice, Kind, Prompter, Question, Reply, Stop, World};
use crate::wizard::{secret, value};

/// The choice that stands for no answer.
const NONE: &str = "none";

/// What a question is asked with.
pub(super) struct Asking<'a, P, W> {
    pub(super) prompter: &'a mut P,
    pub(super) world: &'a mut W,
    /// The answer that is asked for, as `--set` names it: `talos.nodes`.
    pub(super) answer: String,
    /// The variable that holds the secret unless the operator says otherwise.
    pub(super) variable: Option<String>,
    /// What the answer is about, while a part of it is asked for.
    pub(super) about: Option<String>,
}

impl<P: Prompter, W: World> Asking<'_, P, W> {
    /// Returns the answer; nothing where the operator wants none. `current` is what stands there and is proposed, right or wrong.
    pub(super) fn ask(
        &mut self,
        prompt: &InputPrompt,
        current: Option<&Value>,
    ) -> Result<Option<Value>, Stop> {
        match prompt.kind {
            InputType::Choice if !prompt.choices.is_empty() => self.choice(prompt, current),
            InputType::Boolean => self.confirm(prompt, current),
            InputType::Password => secret::ask(self, prompt),
            InputType::List if !prompt.items.is_empty() => self.list(prompt, current),
            InputType::List if !prompt.choices.is_empty() => self.several(prompt, current),
            _ => self.line(prompt, current),
        }
    }

    /// Makes a question about the answer.
    pub(super) fn question(
        &self,
        prompt: impl Into<String>,
        help: Option<&str>,
        kind: Kind,
    ) -> Question {
        Question {
            answer: self.answer.clone(),
            about: self.about.clone(),
            prompt: prompt.into(),
            help: help.map(str::to_owned),
            kind,
        }
    }

    /// Asks for one of several and returns which.
    pub(super) fn one_of(
        &mut self,
        prompt: &str,
        help: Option<&str>,
        options: Vec<Choice>,
        default: Option<usize>,
    ) -> Result<usize, Stop> {
        let question = self.question(prompt, help, Kind::Choice { options, default });
        match self.prompter.ask(&question)? {
            Reply::Chosen(index) => Ok(index),
            other => unreachable!("a choice was answered with {other:?}"),
        }
    }

    /// Asks for yes or no.
    pub(super) fn yes(
        &mut self,
        prompt: &str,
        help: Option<&str>,
        default: Option<bool>,
    ) -> Result<bool, Stop> {
        let question = self.question(prompt, help, Kind::Confirm { default });
        match self.prompter.ask(&question)? {
            Reply::Confirmed(yes) => Ok(yes),
            other => unreachable!("yes or no was answered with {other:?}"),
        }
    }

    /// Asks for a line until `read` takes it. An empty line means the default, or nothing where none is required.
    pub(super) fn until<T>(
        &mut self,
        question: &Question,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Stop> {
        loop {
            let Reply::Line(line) = self.prompter.ask(question)? else {
                unreachable!("a line was asked for");
            };
            let line = match (&question.kind, line.trim()) {
                (
                    Kind::Text {
                        default: Some(default),
                        ..
                    },
                    "",
                ) => default.clone(),
                (
                    Kind::Text {
                        required: false, ..
                    },
                    "",
                ) => return Ok(None),
                (_, "") => {
                    self.prompter.refuse(question, "an answer is needed here")?;
                    continue;
                }
                (_, line) => line.to_owned(),
            };
            match read(&line) {
                Ok(value) => return Ok(Some(value)),
                Err(why) => self.prompter.refuse(question, &why)?,
            }
        }
    }

    fn choice(
        &mut self,
        prompt: &InputPrompt,
        current: Option<&Value>,
    ) -> Result<Option<Value>, Stop> {
        let mut options = options(prompt);
        let position = |value: Option<&Value>| {
            prompt
                .choices
                .iter()
                .position(|choice| value.is_some_and(|value| value == choice))
        };
        let mut default = position(current).or_else(|| position(prompt.default.as_ref()));
        if !prompt.required && position(prompt.default.as_ref()).is_none() {
            options.push(Choice {
                value: NONE.to_owned(),
                note: "leave it out".to_owned(),
            });
            default = default.or(Some(prompt.choices.len()));
        }
        let index = self.one_of(
            &prompt.prompt,
            prompt.help_text.as_deref(),
            options,
            default,
        )?;
        Ok(prompt
            .choices
            .get(index)
            .map(|choice| Value::from(choice.as_str())))
    }

    /// Asks for any number of the choices. What stands there and is no choice any more is not proposed again.
    fn several(
        &mut self,
        prompt: &InputPrompt,
        current: Option<&Value>,
    ) -> Result<Option<Value>, Stop> {
        let proposed: Vec<String> = current
            .or(prompt.default.as_ref())
            .and_then(|value| value::check(prompt, value).ok())
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_default();
        let is_proposed = |index: &usize| proposed.contains(&prompt.choices[*index]);
        let kind = Kind::Several {
            options: options(prompt),
            chosen: (0..prompt.choices.len()).filter(is_proposed).collect(),
            required: prompt.required,
        };
        let question = self.question(prompt.prompt.as_str(), prompt.help_text.as_deref(), kind);
        loop {
            let Reply::Several(chosen) = self.prompter.ask(&question)? else {
                unreachable!("several were asked for");
            };
            match chosen.is_empty() {
                true if prompt.required => {
                    let why = "choose at least one: the space bar chooses, Enter ends";
                    self.prompter.refuse(&question, why)?;
                }
                true => return Ok(None),
                false => {
                    let values = chosen.iter().map(|index| prompt.choices[*index].as_str());
                    return Ok(Some(values.collect()));
                }
            }
        }
    }

    fn confirm(
        &mut self,
        prompt: &InputPrompt,
        current: Option<&Value>,
    ) -> Result<Option<Value>, Stop> {
        let default = current
            .and_then(Value::as_bool)
            .or_else(|| prompt.default.as_ref()?.as_bool());
        let yes = self.yes(
            &prompt.prompt,
            prompt.help_text.as_deref(),
            default.or((!prompt.required).then_some(false)),
        )?;
        Ok(Some(Value::Bool(yes)))
    }

    fn line(
        &mut self,
        prompt: &InputPrompt,
        current: Option<&Value>,
    ) -> Result<Option<Value>, Stop> {
        let default = prompt
            .default
            .as_ref()
            .map(|default| value::line(prompt, default))
            .filter(|text| !text.is_empty());
        let initial = current
            .map(|current| value::line(prompt, current))
            .unwrap_or_default();
        let kind = Kind::Text {
            default,
            initial,
            required: prompt.required,
        };
        let question = self.question(prompt.prompt.as_str(), prompt.help_text.as_deref(), kind);
        self.until(&question, |line| value::read(prompt, line))
    }

    /// Asks for a list of mappings, one item after the other. A list that the adapter proposes is shown and taken as a whole, or gone through.
    fn list(
        &mut self,
        prompt: &InputPrompt,
        current: Option<&Value>,
    ) -> Result<Option<Value>, Stop> {
        let mut current: &[Value] = current.and_then(Value::as_array).map_or(&[], Vec::as_slice);
        let proposed = prompt
            .default
            .as_ref()
            .and_then(Value::as_array)
            .filter(|items| !items.is_empty());
        if let (Some(items), []) = (proposed, current) {
            self.prompter.note(&format!("{}:", prompt.prompt));
            for item in items {
                self.prompter.note(&format!("  - {}", summary(item)));
            }
            if self.yes(
                "Take these? No asks for them one by one",
                prompt.help_text.as_deref(),
                Some(true),
            )? {
                return Ok(prompt.default.clone());
            }
            // What was proposed stands on the lines, to be corrected.
            current = items;
        } else if !prompt.required {
            let question = format!("{}: add any?", prompt.prompt);
            if !self.yes(
                &question,
                prompt.help_text.as_deref(),
                Some(!current.is_empty()),
            )? {
                return Ok(None);
            }
        }
        let mut items = Vec::new();
        loop {
            items.push(self.item(prompt, items.len(), current.get(items.len()))?);
            let question = format!("{}: {} so far. Add another?", prompt.prompt, items.len());
            if !self.yes(&question, None, Some(items.len() < current.len()))? {
                return Ok(Some(Value::Array(items)));
            }
        }
    }

    fn item(
        &mut self,
        prompt: &InputPrompt,
        index: usize,
        current: Option<&Value>,
    ) -> Result<Value, Stop> {
        let mut item: Map<String, Value> = current
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for part in &prompt.items {
            self.part(prompt, part, index, &mut item)?;
        }
        Ok(Value::Object(item))
    }

    fn part(
        &mut self,
        prompt: &InputPrompt,
        part: &InputPrompt,
        index: usize,
        item: &mut Map<String, Value>,
    ) -> Result<(), Stop> {
        self.about = Some(prompt.prompt.clone());
        let mut asked = InputPrompt {
            prompt: format!("{} {}: {}", prompt.prompt, index + 1, part.prompt),
            ..part.clone()
        };
        if index > 0 {
            // The same help under every item would hide the questions.
            asked.help_text = None;
        }
        if part.kind == InputType::Choice && part.default.is_none() {
            // Machines are usually named in the order in which they are listed.
            asked.default = part.choices.get(index).map(|choice| choice.as_str().into());
        }
        let answer = self.ask(&asked, item.get(&part.name));
        self.about = None;
        match answer? {
            Some(value) => item.insert(part.name.clone(), value),
            None => item.shift_remove(&part.name),
        };
        Ok(())
    }

    /// Asks again for just the parts of a list's items that the pointers below the input name. Nothing where they name no part.
    pub(super) fn parts(
        &mut self,
        prompt: &InputPrompt,
        current: &Value,
        pointers: &[&str],
    ) -> Result<Option<Value>, Stop> {
        let mut value = current.clone();
        for pointer in pointers {
            let mut words = pointer.split('/').skip(1);
            let (index, key) = (
                words.next().and_then(|word| word.parse::<usize>().ok()),
                words.next(),
            );
            let part = prompt
                .items
                .iter()
                .find(|part| Some(part.name.as_str()) == key);
            let (Some(index), Some(part)) = (index, part) else {
                return Ok(None);
            };
            let Some(item) = value.get_mut(index).and_then(Value::as_object_mut) else {
                return Ok(None);
            };
            self.part(prompt, part, index, item)?;
        }
        Ok((!pointers.is_empty()).then_some(value))
    }
}

/// The choices with what is known of them.
fn options(prompt: &InputPrompt) -> Vec<Choice> {
    let notes = prompt.choice_notes.iter().cloned();
    prompt
        .choices
        .iter()
        .zip(notes.chain(std::iter::repeat(String::new())))
        .map(|(value, note)| Choice {
            value: value.clone(),
            note,
        })
        .collect()
}

/// Writes a mapping on one line for people.
fn summary(item: &Value) -> String {
    match item {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| format!("{key} {}", value::typed(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => value::typed(other),
    }
}
