//! The questions that are the host's own: the environment, one adapter of each group, the version.

use serde_json::{Map, Value};
use ztc_protocol::Manifest;

use crate::adapter::grant::is_everybodys;
use crate::platform::{DEFAULT_ENVIRONMENT, Section, environment_problem};
use crate::wizard::groups::Group;
use crate::wizard::prompter::{Adapters, Choice, Kind, Prompter, Reply, Stop, World};
use crate::wizard::session::{Session, skip};

impl<P: Prompter, A: Adapters, W: World> Session<'_, P, A, W> {
    pub(super) fn environment(&mut self) -> Result<(), Stop> {
        if self
            .draft
            .environment
            .as_deref()
            .is_some_and(|name| environment_problem(name).is_none())
        {
            return Ok(());
        }
        let mut asking = self.asking("environment".to_owned(), None);
        let kind = Kind::Text {
            default: Some(DEFAULT_ENVIRONMENT.to_owned()),
            initial: String::new(),
            required: true,
        };
        let question = asking.question(
            "Environment",
            Some("what this cluster is for, such as production or staging"),
            kind,
        );
        let name = asking.until(&question, |line| match environment_problem(line) {
            None => Ok(line.to_owned()),
            Some(problem) => Err(problem),
        });
        if let Some(name) = skip(name)?.flatten() {
            self.draft.environment = Some(name);
            self.keep()?;
        }
        Ok(())
    }

    /// Asks which of the operator's variables an adapter of somebody else may see, of those that it declares. Who cannot be asked grants with the other
    /// answers, and nothing by silence.
    pub(super) fn grants(&mut self, name: &str, manifest: &Manifest) -> Result<(), Stop> {
        let is_asked = self.strangers.contains(&manifest.name)
            && self.prompter.corrects()
            && !self.draft.finished.contains(name);
        if !is_asked {
            return Ok(());
        }
        let adapter = &manifest.name;
        for variable in &manifest.environment {
            if is_everybodys(&variable.name) || self.draft.grants(adapter, &variable.name) {
                continue;
            }
            let kind = Kind::Confirm {
                default: Some(false),
            };
            let prompt = format!("Let `{adapter}` see your variable `{}`?", variable.name);
            let asking = self.asking(format!("plugins.{adapter}.environment"), None);
            let question = asking.question(&prompt, Some(&variable.why), kind);
            if self.prompter.ask(&question)? == Reply::Confirmed(true) {
                self.draft
                    .grant(adapter, std::slice::from_ref(&variable.name));
                self.keep()?;
            }
        }
        Ok(())
    }

    /// Returns the section of the adapter that is chosen from a group.
    pub(super) fn choose(&mut self, group: &Group) -> Result<Option<String>, Stop> {
        let is_member = |section: &&Section| group.options.contains(&section.adapter);
        let chosen: Vec<String> = self
            .draft
            .sections
            .iter()
            .filter(is_member)
            .map(|section| section.name.clone())
            .collect();
        let adapter = match (chosen.as_slice(), group.options.as_slice(), &group.default) {
            ([one], ..) => return Ok(Some(one.clone())),
            // A choice of one is none; the heading of its section says what it is.
            ([], [one], Some(_)) => one.clone(),
            _ => match self.ask_group(group)? {
                Some(adapter) => adapter,
                None => return Ok(None),
            },
        };
        for name in &chosen {
            if self
                .draft
                .sections
                .iter()
                .any(|section| section.name == *name && section.adapter != adapter)
            {
                self.prompter.note(&format!(
                    "the answers for `{name}` go: `{adapter}` takes its place"
                ));
            }
        }
        self.draft.sections.retain(|section| {
            section.adapter == adapter || !group.options.contains(&section.adapter)
        });
        let name = match self
            .draft
            .sections
            .iter()
            .find(|section| section.adapter == adapter)
        {
            Some(section) => section.name.clone(),
            None => {
                self.draft.sections.push(Section {
                    name: adapter.clone(),
                    adapter: adapter.clone(),
                    config: Map::new(),
                });
                adapter
            }
        };
        self.keep()?;
        Ok(Some(name))
    }

    fn ask_group(&mut self, group: &Group) -> Result<Option<String>, Stop> {
        let about = |name: &String| {
            self.manifests
                .get(name)
                .map(|manifest| manifest.description.clone())
                .unwrap_or_default()
        };
        let mut options: Vec<Choice> = group
            .options
            .iter()
            .map(|name| Choice {
                value: name.clone(),
                note: about(name),
            })
            .collect();
        let mut default = group
            .default
            .as_ref()
            .and_then(|name| group.options.iter().position(|option| option == name));
        if group.default.is_none() {
            options.push(Choice {
                value: "none".to_owned(),
                note: "leave it out".to_owned(),
            });
            default = Some(group.options.len());
        }
        let help = (!group.help.is_empty()).then_some(group.help.as_str());
        let index =
            self.asking(group.name.clone(), None)
                .one_of(&group.prompt, help, options, default)?;
        Ok(group.options.get(index).cloned())
    }

    pub(super) fn version(
        &mut self,
        name: &str,
        manifest: &Manifest,
        again: bool,
    ) -> Result<(), Stop> {
        let versions = &manifest.supported_versions;
        let current = self.at(name).config.get("version");
        if versions.is_empty() || (current.is_some_and(|version| !version.is_null()) && !again) {
            return Ok(());
        }
        if let ([only], false) = (versions.as_slice(), again) {
            self.prompter.note(&format!("version {only}, the only one"));
            return self.answer(name, "version", Value::from(only.as_str()));
        }
        let position = |version: &str| versions.iter().position(|known| known == version);
        let default = position(&manifest.default_version).or(Some(0));
        let note = |version: &String| {
            if *version == manifest.default_version {
                "recommended".to_owned()
            } else {
                String::new()
            }
        };
        let options = versions
            .iter()
            .map(|version| Choice {
                value: version.clone(),
                note: note(version),
            })
            .collect();
        let prompt = format!("Version of {}", manifest.name);
        let index = skip(
            self.asking(format!("{name}.version"), None)
                .one_of(&prompt, None, options, default),
        )?;
        if let Some(version) = index.and_then(|index| versions.get(index)) {
            self.answer(name, "version", Value::from(version.as_str()))?;
        }
        Ok(())
    }
}
