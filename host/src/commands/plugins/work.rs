//! Installing one adapter in a repository: its source opened with all that machine and lock know of it, the bytes brought, the lock changed. What
//! is to be installed others have decided.

use std::path::Path;

use crate::commands::Context;
use crate::commands::plugins::project::Project;
use crate::commands::plugins::stop::Stop;
use crate::commands::plugins::trust::show_key;
use crate::error::Failure;
use crate::lock::plugins::LockedPlugin;
use crate::plugins::follow::{Follow, Network};
use crate::plugins::install::{self, Done, State, Terms, Watch, Wish};
use crate::plugins::locked;
use crate::plugins::own;
use crate::plugins::signature::Key;
use crate::plugins::source::Source;
use crate::plugins::tree::{self, LOCK, Signed, Tree};

/// What installing one adapter needs.
pub(crate) struct Work<'a> {
    pub(crate) context: &'a Context,
    pub(crate) project: &'a Project,
    pub(crate) terms: &'a Terms,
    /// Another place for what is locked.
    pub(crate) instead: Option<&'a str>,
    pub(crate) network: Network,
    /// Who hears of wishes to end.
    pub(crate) stop: Stop,
}

impl Work<'_> {
    /// Installs what is wanted from its source.
    pub(crate) fn wish(&self, wish: Wish) -> Result<Done, Failure> {
        let machine = &self.context.machine;
        let source = wish.source.clone();
        let tree = match wish.name.as_deref().and_then(|name| self.project.pin(name)) {
            Some(pin) => locked::open(machine, self.project.root(), source, pin, self.terms)?,
            None => install::open(machine, source, self.terms)?,
        };
        self.tree(&tree, wish)
    }

    /// Installs what is wanted from a tree that is open.
    pub(crate) fn tree(&self, tree: &Tree, wish: Wish) -> Result<Done, Failure> {
        let name = install::name(tree, &wish)?;
        let relock = self.project.relock(self.context, &name, self.terms)?;
        let (place, key) = (tree.source.name(), tree.signer.key());
        self.refuse_new_key(tree)?;
        self.project.refuse_moved(&name, &place, key, self.terms)?;
        let wish = Wish {
            locked: self.project.pin(&name).cloned(),
            ..wish
        };
        let machine = &self.context.machine;
        let done = self.watched(&name, |watch| {
            install::from_tree(machine, tree, &wish, self.terms, watch)
        })?;
        self.settled(relock.take(self.context, done))
    }

    /// What is installed and locked is not changed any more: whoever wishes the end may have it.
    fn settled(&self, done: Result<Done, Failure>) -> Result<Done, Failure> {
        let installed = done
            .as_ref()
            .ok()
            .filter(|done| done.state != State::Planned);
        let installed = installed.map(|done| format!("{} {}", done.name, done.version));
        self.stop.settles(installed.as_deref());
        done
    }

    /// Refuses a key that is new on this machine where the lock of the repository has another one for the same source, by another adapter.
    fn refuse_new_key(&self, tree: &Tree) -> Result<(), Failure> {
        let Signed::New(key) = &tree.signer else {
            return Ok(());
        };
        let place = tree.source.name();
        let root = self.project.root();
        let own = self.project.pins().map(|(_, locked)| locked);
        let mut keys = own
            .filter(|locked| locked::is_from(locked, &place, root))
            .filter_map(|locked| Key::parse(locked.publisher_key.as_deref()?).ok());
        match keys.find(|known| known != key) {
            Some(known) => Err(tree::other_key(&place, LOCK, &known, &key.shown())),
            None => Ok(()),
        }
    }

    /// Installs an executable of the operator's own.
    pub(crate) fn file(&self, path: &Path) -> Result<Done, Failure> {
        let machine = &self.context.machine;
        let own = own::read(machine, path, self.terms)?;
        let name = own.choice.name.clone();
        let place = format!("file://{}", path.display());
        self.project.refuse_moved(&name, &place, None, self.terms)?;
        let relock = self.project.relock(self.context, &name, self.terms)?;
        let pin = self.project.pin(&name);
        self.stop.has_come();
        let done = own::install(machine, own, pin, self.terms, &|| self.waits());
        self.settled(done.and_then(|done| relock.take(self.context, done)))
    }

    /// Installs exactly what the lock names.
    pub(crate) fn follow(&self, name: &str, locked: &LockedPlugin) -> Result<Done, Failure> {
        let root = self.context.repository.root();
        let instead = self.instead.map(|source| Source::parse(source, root));
        let instead = instead.transpose()?;
        let follow = Follow {
            machine: &self.context.machine,
            root,
            terms: self.terms,
            instead: instead.as_ref(),
            network: self.network,
        };
        self.settled(self.watched(name, |watch| follow.install(name, locked, watch)))
    }

    fn watched(
        &self,
        name: &str,
        work: impl FnOnce(&Watch<'_>) -> Result<Done, Failure>,
    ) -> Result<Done, Failure> {
        let bar = self.context.ui.transfer(name);
        self.stop.shows(bar.clearer());
        let done = work(&Watch {
            waiting: &|| self.waits(),
            progress: &|come, of| bar.at(come, of),
            new_key: &|source, key| show_key(&self.context.ui, source, key),
            begins: &|path| self.stop.begins(path),
            has_come: &|| self.stop.has_come(),
        });
        if done.is_err() {
            self.stop.settles(None);
        }
        done
    }

    fn waits(&self) {
        let ui = &self.context.ui;
        ui.say("another ztc installs something; waiting for it");
    }
}
