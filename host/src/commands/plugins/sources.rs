//! Which sources a command about plugins asks: those that are named, those of platform.yaml, and those that are trusted.

use std::collections::{BTreeMap, BTreeSet};

use semver::VersionReq;

use crate::commands::Context;
use crate::commands::plugins::finding::{Purpose, find};
use crate::commands::plugins::install::requirement;
use crate::commands::plugins::project::{Project, range_of};
use crate::error::Failure;
use crate::lock::plugins::LockedPlugin;
use crate::platform::Plugin;
use crate::plugins::install::{self, Terms};
use crate::plugins::locked;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::store::Store;
use crate::plugins::tree::Tree;
use crate::plugins::trust::Trust;

/// The sources that there are for one command.
pub(crate) struct Sources<'a> {
    context: &'a Context,
    terms: &'a Terms,
    trust: Trust,
    project: Project,
}

/// An adapter that is wanted, and where it comes from.
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) range: Option<VersionReq>,
    pub(crate) source: Source,
}

impl<'a> Sources<'a> {
    /// Reads what this machine trusts, and what platform.yaml asks for and the lock names.
    pub(crate) fn read(context: &'a Context, terms: &'a Terms) -> Result<Self, Failure> {
        Ok(Self {
            context,
            terms,
            trust: Trust::load(&context.machine)?,
            project: Project::read(context)?,
        })
    }

    /// Reads `NAME[@RANGE]`s; without any, everything that platform.yaml and its overlays ask for and the lock names.
    pub(crate) fn wanted(
        &self,
        names: &[String],
        source: Option<&str>,
    ) -> Result<Vec<Wanted>, Failure> {
        if !names.is_empty() {
            return names.iter().map(|name| self.one(name, source)).collect();
        }
        let asked = self.plugins().filter(|(_, plugin)| {
            plugin.path.is_none() && (plugin.source.is_some() || plugin.version.is_some())
        });
        let pinned = self.project.pins().map(|(name, _)| name);
        let names: BTreeSet<&String> = asked.map(|(name, _)| name).chain(pinned).collect();
        names.iter().map(|name| self.one(name, None)).collect()
    }

    /// What is locked is wanted as it is locked, unless something else is said.
    fn one(&self, text: &str, source: Option<&str>) -> Result<Wanted, Failure> {
        let (name, range) = match text.split_once('@') {
            Some((name, range)) => (name, Some(requirement(range)?)),
            None => (text, None),
        };
        self.project.refuse_contradiction(name)?;
        let asked = self.project.asked(name);
        let pin = self.project.pin(name).filter(|_| source.is_none());
        let named = source
            .or_else(|| pin.map(|locked| locked.source.as_str()))
            .or_else(|| asked?.source.as_deref());
        let source = match named {
            Some(text) => self.parse(text)?,
            None => {
                let tree = find(self.context, self.terms, name, Purpose::Look)?;
                self.parse(&tree.source.name())?
            }
        };
        let locked = pin.and_then(|locked| format!("={}", locked.version).parse().ok());
        Ok(Wanted {
            name: name.to_owned(),
            range: range.or(locked).or_else(|| asked.and_then(range_of)),
            source,
        })
    }

    /// Opens a source, with all that this machine and the lock know of it.
    pub(crate) fn open(&self, name: &str, source: Source) -> Result<Tree, Failure> {
        let machine = &self.context.machine;
        match self.project.pin(name) {
            Some(locked) => locked::open(machine, self.project.root(), source, locked, self.terms),
            None => install::open(machine, source, self.terms),
        }
    }

    /// Whether there is a platform.yaml here.
    pub(crate) fn has_platform(&self) -> bool {
        self.project.platform.is_some()
    }

    /// What the lock pins an adapter to.
    pub(crate) fn pin(&self, name: &str) -> Option<&LockedPlugin> {
        self.project.pin(name)
    }

    /// Whether `ztc plugins install` without a name installs an adapter.
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        let asked = self.project.asked(name);
        asked.is_some_and(|asked| asked.source.is_some()) || self.pin(name).is_some()
    }

    fn plugins(&self) -> impl Iterator<Item = (&String, &Plugin)> {
        let platform = self.project.platform.iter();
        platform.flat_map(|platform| &platform.plugins)
    }

    /// Every source that is known, by its name: trusted ones, those of platform.yaml and the lock, and those that something was installed from.
    pub(crate) fn known(&self) -> Result<BTreeMap<String, Source>, Failure> {
        let named = self
            .plugins()
            .filter_map(|(_, plugin)| plugin.source.as_ref());
        let locked = self.project.pins().map(|(_, locked)| &locked.source);
        let installed = Store::new(&self.context.machine).installed();
        let from = installed.iter().filter(|record| !record.is_file());
        let from = from.map(|record| &record.source);
        let trusted = self.trust.sources.keys();
        let all = trusted.chain(named).chain(locked).chain(from);
        all.map(|text| {
            let source = self.parse(text)?;
            Ok((source.name(), source))
        })
        .collect()
    }

    /// Whether the lock names this key for a source.
    pub(crate) fn locks_key(&self, place: &str, key: &Key) -> bool {
        let root = self.project.root();
        let mut own = self
            .project
            .pins()
            .filter(|(_, locked)| locked::is_from(locked, place, root));
        own.any(|(_, locked)| locked.publisher_key.as_deref() == Some(key.text()))
    }

    /// Whether a publisher's key is pinned for a source.
    pub(crate) fn is_trusted(&self, name: &str) -> bool {
        self.trust.sources.contains_key(name)
    }

    pub(crate) fn parse(&self, text: &str) -> Result<Source, Failure> {
        Source::parse(text, self.context.repository.root()).map_err(|failure| {
            let mut plugins = self.plugins();
            match plugins.find(|(_, plugin)| plugin.source.as_deref() == Some(text)) {
                Some((name, _)) => failure.at(self.project.place_of(name, "/source")),
                None => failure,
            }
        })
    }
}
