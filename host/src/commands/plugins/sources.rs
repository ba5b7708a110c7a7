//! Which sources a command about plugins asks: those that are named, those of platform.yaml, and those that are trusted.

use std::collections::BTreeMap;

use semver::VersionReq;

use crate::commands::Context;
use crate::commands::plugins::install::requirement;
use crate::commands::plugins::project::range_of;
use crate::error::{Exit, Failure, Location};
use crate::platform::{Platform, Plugin};
use crate::plugins::index::and;
use crate::plugins::install::{self, Terms};
use crate::plugins::source::Source;
use crate::plugins::trust::Trust;

/// The sources that there are for one command.
pub(crate) struct Sources<'a> {
    context: &'a Context,
    terms: &'a Terms,
    trust: Trust,
    plugins: BTreeMap<String, Plugin>,
}

/// An adapter that is wanted, and where it comes from.
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) range: Option<VersionReq>,
    pub(crate) source: Source,
}

impl<'a> Sources<'a> {
    /// Reads what this machine trusts and what platform.yaml asks for.
    pub(crate) fn read(context: &'a Context, terms: &'a Terms) -> Result<Self, Failure> {
        let plugins = match context.repository.platform().exists() {
            true => Platform::load(&context.repository, None)?.plugins,
            false => BTreeMap::new(),
        };
        Ok(Self {
            context,
            terms,
            trust: Trust::load(&context.machine)?,
            plugins,
        })
    }

    /// Reads `NAME[@RANGE]`s; without any, everything that platform.yaml asks for.
    pub(crate) fn wanted(
        &self,
        names: &[String],
        source: Option<&str>,
    ) -> Result<Vec<Wanted>, Failure> {
        if names.is_empty() {
            let asked = self.plugins.iter().filter(|(_, plugin)| {
                plugin.path.is_none() && (plugin.source.is_some() || plugin.version.is_some())
            });
            return asked.map(|(name, _)| self.one(name, None)).collect();
        }
        names.iter().map(|name| self.one(name, source)).collect()
    }

    fn one(&self, text: &str, source: Option<&str>) -> Result<Wanted, Failure> {
        let (name, range) = match text.split_once('@') {
            Some((name, range)) => (name, Some(requirement(range)?)),
            None => (text, None),
        };
        let asked = self.plugins.get(name);
        let named = source.or_else(|| asked?.source.as_deref());
        let source = match named {
            Some(text) => self.parse(text)?,
            None => self.find(name)?,
        };
        Ok(Wanted {
            name: name.to_owned(),
            range: range.or_else(|| asked.and_then(range_of)),
            source,
        })
    }

    /// Every source that is known, by its name: trusted ones and those of platform.yaml.
    pub(crate) fn known(&self) -> Result<BTreeMap<String, Source>, Failure> {
        let named = self.plugins.values();
        let named = named.filter_map(|plugin| plugin.source.as_ref());
        let all = self.trust.sources.keys().chain(named);
        all.map(|text| {
            let source = self.parse(text)?;
            Ok((source.name(), source))
        })
        .collect()
    }

    /// Whether a publisher's key is pinned for a source.
    pub(crate) fn is_trusted(&self, name: &str) -> bool {
        self.trust.sources.contains_key(name)
    }

    pub(crate) fn parse(&self, text: &str) -> Result<Source, Failure> {
        Source::parse(text, self.context.repository.root()).map_err(|failure| {
            let is_asked = |plugin: &Plugin| plugin.source.as_deref() == Some(text);
            match self.plugins.values().any(is_asked) {
                true => failure.at(Location::file("platform.yaml")),
                false => failure,
            }
        })
    }

    /// Finds the one trusted source that has an adapter.
    fn find(&self, name: &str) -> Result<Source, Failure> {
        let mut found = Vec::new();
        for text in self.trust.sources.keys() {
            let source = self.parse(text)?;
            let tree = install::open(&self.context.machine, source.clone(), self.terms)?;
            if tree.index.adapters.contains_key(name) {
                found.push(source);
            }
        }
        let names: Vec<String> = found.iter().map(Source::name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Failure::new(
                Exit::Missing,
                format!("no trusted source has an adapter `{name}`"),
            )
            .help("say where it comes from with `--source SOURCE`")),
            _ => Err(
                Failure::invalid(format!("several trusted sources have an adapter `{name}`"))
                    .detail(format!("they are {}", and(&names)))
                    .help("choose one with `--source SOURCE`"),
            ),
        }
    }
}
