//! `ztc secrets import`: a bundle from a file. What it replaces is kept beside it, and a bundle that the lock knows is given up only where the
//! operator says that its cluster is gone.

use std::path::Path;

use super::kubeconfig::keep_copy;
use super::{Keeper, refuse_errors};
use crate::atomic::{self, Existing};
use crate::error::{Exit, Failure, Location};
use crate::secrets::bundle::fingerprint_of;
use crate::secrets::git;

/// How the operator wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Whether an existing bundle is written over.
    pub(super) existing: Existing,
    /// Whether the cluster that the lock knows is gone.
    pub(super) cluster: Cluster,
}

/// The cluster that the lock knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cluster {
    /// It stays, and so does its bundle.
    Kept,
    /// It is gone: a new one gets other secrets.
    New,
}

impl Cluster {
    pub(super) fn of(new: bool) -> Self {
        if new { Self::New } else { Self::Kept }
    }
}

impl Keeper<'_> {
    pub(super) async fn import(
        &self,
        name: &str,
        file: &Path,
        wish: Wish,
    ) -> Result<Exit, Failure> {
        git::ensure_ignored(self.repository())?;
        git::refuse_tracked(self.repository()).await?;
        let names = [name.to_owned()];
        let selected = self.select(&names)?;
        let Some(declared) = selected
            .iter()
            .find(|declared| declared.bundle.name == name)
        else {
            return Err(self.unknown(name));
        };
        let content = std::fs::read_to_string(file).map_err(|error| {
            Failure::io("read", file, &error).help(format!(
                "name the file that holds the bundle: `ztc secrets import {name} FILE`"
            ))
        })?;
        let result = self.examine(declared, &content).await?;
        refuse_errors(name, &file.display().to_string(), &result)?;
        let forgets = self.gives_up(name, file, &content, wish.cluster)?;
        let path = self.path(name);
        let old = std::fs::read(&path).ok();
        let is_other = old.as_ref().is_some_and(|old| *old != content.as_bytes());
        if is_other && wish.existing == Existing::Replace {
            let copy = keep_copy(&path)?;
            self.context.ui.say(format!(
                "  the bundle that it was before is in {}",
                self.repository().display(&copy)
            ));
        }
        atomic::private(&path, content.as_bytes(), wish.existing).map_err(
            |failure| match failure.exit {
                Exit::Refused => {
                    failure.help("give `--replace` where the cluster was made with the new file")
                }
                _ => failure,
            },
        )?;
        self.context
            .ui
            .done(format!("wrote {}", self.repository().display(&path)));
        if forgets {
            self.forget(name)?;
        }
        for derived in &self.declared {
            if derived.bundle.from.iter().any(|source| source == name)
                && self.path(&derived.bundle.name).exists()
            {
                self.make(derived, Existing::Replace, None).await?;
            }
        }
        Ok(Exit::Done)
    }

    /// Whether the lock knows another bundle, which the operator gives up; without his word it is refused.
    fn gives_up(
        &self,
        name: &str,
        file: &Path,
        content: &str,
        cluster: Cluster,
    ) -> Result<bool, Failure> {
        let found = fingerprint_of(content).unwrap_or_default();
        let Some(locked) = self.locked(name).filter(|locked| *locked != found) else {
            return Ok(false);
        };
        if cluster == Cluster::New {
            return Ok(true);
        }
        let file = file.display().to_string();
        Err(Failure::new(
            Exit::Refused,
            format!("the file is not the secret bundle `{name}` that the lock knows"),
        )
        .at(Location::file(&file))
        .detail(format!("the lock says: {locked}"))
        .detail(format!("the file has:  {found}"))
        .detail("the cluster that was made with the old one cannot be reached with another one")
        .help(format!(
            "where that cluster is gone and a new one is meant: `ztc secrets import {name} {} --replace --new-cluster`",
            crate::shell::word(&file)
        )))
    }

    /// Takes a bundle out of the lock; the next render records the new one.
    pub(super) fn forget(&self, name: &str) -> Result<(), Failure> {
        let Some(mut lock) = self.lock.clone() else {
            return Ok(());
        };
        lock.secrets.remove(name);
        atomic::public(&self.repository().lock(), &lock.text())?;
        let ui = &self.context.ui;
        ui.say(format!(
            "  the lock no longer knows a secret bundle `{name}`; the next render records this one"
        ));
        ui.next("ztc render", "records the new bundle");
        Ok(())
    }
}
