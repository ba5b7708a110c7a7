//! The generated secrets that a platform needs, against the fingerprints that the lock knows. Makes none.

use std::collections::BTreeMap;

use ztc_protocol::Manifest;

use crate::error::{Exit, Failure, Finding, Location};
use crate::mask::Mask;
use crate::paths::Repository;
use crate::secrets::bundle::Bundle;
use crate::secrets::stored;

/// What there is.
#[derive(Default)]
pub(crate) struct Bundles {
    /// Those that exist.
    pub(crate) loaded: BTreeMap<String, Bundle>,
    /// What the next lock says.
    pub(crate) fingerprints: BTreeMap<String, String>,
    /// About those that do not exist.
    pub(crate) warnings: Vec<Finding>,
    /// The names of those that have to be made.
    pub(crate) unmade: Vec<String>,
}

/// What a missing bundle that the lock knows means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing goes on.
    Refused,
    /// A warning: nothing is written or run.
    Warning,
}

impl Bundles {
    /// Reads every bundle that the adapters declare; their values are masked from then on.
    pub(crate) fn load<'a>(
        repository: &Repository,
        environment: &str,
        mask: &Mask,
        manifests: impl IntoIterator<Item = &'a Manifest>,
        locked: &BTreeMap<String, String>,
        missing: Missing,
    ) -> Result<Self, Failure> {
        let mut bundles = Self::default();
        stored::join(repository, mask, &mut bundles.loaded)?;
        for declared in manifests.into_iter().flat_map(|manifest| &manifest.bundles) {
            let name = &declared.name;
            let bundle = Bundle::load(repository, environment, mask, name)?;
            let path = repository.display(&Bundle::path(repository, environment, name));
            // One that is made from others is renewed without asking anybody, so the lock knows nothing of it.
            let derived = !declared.from.is_empty();
            let locked = locked.get(name).filter(|_| !derived);
            match (locked, bundle) {
                (None, None) => {
                    let message = format!(
                        "the secret bundle `{name}` ({}) does not exist yet",
                        declared.description
                    );
                    bundles.warnings.push(
                        Finding::warning(message)
                            .help(format!("`ztc secrets generate {name}` makes it")),
                    );
                    bundles.unmade.push(name.clone());
                }
                (Some(known), None) if missing == Missing::Warning => {
                    bundles.fingerprints.insert(name.clone(), known.clone());
                    bundles.warnings.push(Finding::warning(format!(
                        "`{path}` is not here; the lock knows it as {known}"
                    )));
                }
                (Some(known), None) => return Err(lost(name, &path, known)),
                (Some(known), Some(bundle)) if *known != bundle.fingerprint() => {
                    return Err(exchanged(name, &path, known, &bundle.fingerprint()));
                }
                (_, Some(mut bundle)) if derived => {
                    bundle.derived = true;
                    bundles.loaded.insert(name.clone(), bundle);
                }
                (_, Some(bundle)) => {
                    bundles
                        .fingerprints
                        .insert(name.clone(), bundle.fingerprint());
                    bundles.loaded.insert(name.clone(), bundle);
                }
            }
        }
        Ok(bundles)
    }
}

impl Bundles {
    /// Refuses where bundles have to be made first: nothing could stand for their placeholders.
    pub(crate) fn refuse_unmade(&self) -> Result<(), Failure> {
        if self.unmade.is_empty() {
            return Ok(());
        }
        let names = self.unmade.join("`, `");
        Err(Failure::new(
            Exit::Refused,
            format!("secret bundles that the artifacts refer to do not exist: `{names}`"),
        )
        .help("make them with `ztc secrets generate`, or restore them from their backup"))
    }
}

fn lost(name: &str, path: &str, known: &str) -> Failure {
    Failure::new(Exit::Refused, format!("the secret bundle `{name}` is missing, but the lock knows it"))
        .at(Location::file(path))
        .detail(format!("the lock says: {known}"))
        .detail("a new one would not fit the cluster that was made with the old one, so none is made")
        .help(format!("restore `{path}` from its backup; where the cluster is gone and a new one is meant, `ztc secrets generate {name} --new-cluster`"))
}

pub(crate) fn exchanged(name: &str, path: &str, known: &str, found: &str) -> Failure {
    Failure::new(Exit::Refused, format!("the secret bundle `{name}` is not the one that the lock knows"))
        .at(Location::file(path))
        .detail(format!("the lock says: {known}"))
        .detail(format!("the file has:  {found}"))
        .help(format!(
            "restore `{path}` from its backup; where its cluster is gone and the new one is meant, `ztc secrets import {name} {path} --replace --new-cluster`"
        ))
}

#[cfg(test)]
mod tests {
    use ztc_protocol::manifest::SecretBundle;

    use super::*;

    fn load(
        file: Option<&str>,
        locked: Option<&str>,
        missing: Missing,
    ) -> Result<Bundles, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        if let Some(text) = file {
            std::fs::create_dir_all(repository.secrets_of("lab")).unwrap();
            std::fs::write(Bundle::path(&repository, "lab", "talos"), text).unwrap();
        }
        let bundle = SecretBundle {
            name: "talos".into(),
            description: "keys".into(),
            from: Vec::new(),
        };
        let manifest = Manifest {
            bundles: vec![bundle],
            ..Manifest::default()
        };
        let locked = locked
            .map(|known| ("talos".to_owned(), known.to_owned()))
            .into_iter()
            .collect();
        Bundles::load(
            &repository,
            "lab",
            &Mask::default(),
            [&manifest],
            &locked,
            missing,
        )
    }

    #[track_caller]
    fn refused(result: Result<Bundles, Failure>, message: &str) {
        let failure = result.err().unwrap();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Refused, message)
        );
    }

    #[test]
    fn bundles_are_never_remade() {
        let new = load(Some("a: b\n"), None, Missing::Refused).unwrap();
        let fingerprint = new.fingerprints["talos"].clone();
        assert!(new.loaded.contains_key("talos") && new.warnings.is_empty());
        assert!(
            load(
                Some("# same\na: 'b'\n"),
                Some(&fingerprint),
                Missing::Refused
            )
            .is_ok()
        );
        refused(
            load(Some("a: c\n"), Some(&fingerprint), Missing::Warning),
            "the secret bundle `talos` is not the one that the lock knows",
        );
        refused(
            load(None, Some(&fingerprint), Missing::Refused),
            "the secret bundle `talos` is missing, but the lock knows it",
        );
        let kept = load(None, Some(&fingerprint), Missing::Warning).unwrap();
        assert_eq!(kept.fingerprints["talos"], fingerprint);
        let none = load(None, None, Missing::Refused).unwrap();
        assert_eq!(
            none.warnings[0].message,
            "the secret bundle `talos` (keys) does not exist yet"
        );
        assert!(none.fingerprints.is_empty());
        refused(
            none.refuse_unmade().map(|()| none),
            "secret bundles that the artifacts refer to do not exist: `talos`",
        );
    }
}
