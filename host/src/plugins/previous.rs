//! The tree as it was published before: its index, verified with its publisher's key, and the files that it names. Whatever else lies in the
//! tree is never signed for that. Changes nothing but the end of a publication that was interrupted.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::digest::sha256_hex;
use crate::error::{Exit, Failure};
use crate::plugins::index::{self, Index};
use crate::plugins::name::FileName;
use crate::plugins::publish::OtherKey;
use crate::plugins::signature::{Key, Refused};
use crate::regular;

/// The signature of an index that is about to take its place: it is there first, so that an index without its signature can be told from one
/// that somebody has changed.
const NEXT: &str = "index.json.minisig.next";

/// What was published before; an empty index where nothing was.
#[derive(Debug, Default)]
pub(crate) struct Previous {
    pub(crate) index: Index,
    /// SHA-256 of its text, where there is one.
    pub(crate) digest: Option<String>,
    /// The key that had signed it, where that is another one.
    pub(crate) replaced: Option<Key>,
}

/// Reads and verifies what was published before.
pub(crate) fn read(directory: &Path, signer: &Key, other: OtherKey) -> Result<Previous, Failure> {
    let shown = directory.display();
    let Some(text) = file(directory, index::FILE)? else {
        return Ok(Previous::default());
    };
    let signatures = [file(directory, index::SIGNATURE)?, file(directory, NEXT)?];
    let signatures: Vec<String> = signatures
        .into_iter()
        .flatten()
        .map(|signature| String::from_utf8_lossy(&signature).into_owned())
        .collect();
    if signatures.is_empty() {
        return Err(refused(format!(
            "`{}` in `{shown}` has no signature, so nobody knows who has written it",
            index::FILE
        )));
    }
    let index = Index::parse(&text, &shown.to_string())?;
    let fits = |key: &Key| {
        let found = signatures
            .iter()
            .map(|signature| key.verify(&text, signature, index::FILE, &shown.to_string()));
        let found: Vec<_> = found.collect();
        match found.iter().any(Result::is_ok) {
            true => Ok(()),
            false => found.into_iter().next().unwrap_or(Ok(())),
        }
    };
    let replaced = match (fits(signer), other) {
        (Ok(()), _) => None,
        (Err(Refused::OtherKey), OtherKey::Refuse) => {
            return Err(other_key(directory, &index, signer));
        }
        (Err(Refused::OtherKey), OtherKey::Replace) => {
            let old = Key::parse(&index.publisher.key)?;
            fits(&old).map_err(|_| changed(directory))?;
            Some(old)
        }
        (Err(Refused::Wrong(_)), _) => return Err(changed(directory)),
    };
    let key = replaced.as_ref().unwrap_or(signer);
    if index.publisher.key != key.text() {
        return Err(refused(format!(
            "`{}` in `{shown}` names another key than the one that signed it",
            index::FILE
        ))
        .detail(format!("names: {}", index.publisher.key))
        .detail(format!("signed: {}", key.text())));
    }
    Ok(Previous {
        index,
        digest: Some(sha256_hex(&text)),
        replaced,
    })
}

impl Previous {
    /// The serial of the next index.
    pub(crate) fn serial(&self, directory: &Path, wanted: Option<u64>) -> Result<u64, Failure> {
        let old = self.index.serial;
        match wanted {
            // Who trusts the new key by hand has forgotten the serials of the old one.
            Some(wanted) if wanted > old || self.replaced.is_some() => Ok(wanted),
            Some(wanted) => Err(Failure::invalid(format!(
                "`{}` has the serial {old}, and {wanted} is not above it",
                directory.display()
            ))
            .help("give `--serial` a higher number, or leave it out: machines that have seen one take nothing older")),
            None => old.checked_add(1).ok_or_else(|| {
                Failure::new(
                    Exit::Refused,
                    format!("the serial of `{}` is {old} and cannot grow any more", directory.display()),
                )
                .help("begin anew with a new key: `ztc plugins keygen FILE`, publish with `--key FILE --replace-key --serial 1`, and tell everybody the new key (PUBLISHING.md, Keys)")
            }),
        }
    }

    /// Refuses a tree that has less or more in the places of published files than was signed.
    pub(crate) fn compare(
        &self,
        directory: &Path,
        found: &[(FileName, PathBuf)],
        added: &[(FileName, PathBuf)],
    ) -> Result<(), Failure> {
        self.refuse_missing(directory, found)?;
        self.refuse_strange(directory, found, added)
    }

    /// A renewal signs nothing that was not signed before. `found` are all executables, `tables` the new tables of versions.
    pub(crate) fn refuse_new(
        &self,
        directory: &Path,
        found: &[(FileName, PathBuf)],
        tables: &[PathBuf],
    ) -> Result<(), Failure> {
        let shown = directory.display();
        if self.digest.is_none() {
            return Err(Failure::new(
                Exit::Missing,
                format!("`{shown}` has no `{}` that could be renewed", index::FILE),
            )
            .help("publish without `--renew`, or name the tree that was published before"));
        }
        let known: BTreeSet<&str> = self.index.executables().collect();
        let new = found.iter();
        let new = new.filter(|(file, _)| !known.contains(file.path().as_str()));
        let new = new.map(|(_, path)| path).chain(tables);
        let new: Vec<String> = new
            .map(|path| path.strip_prefix(directory).unwrap_or(path))
            .map(|path| path.display().to_string())
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(
            Exit::Refused,
            format!("`{shown}` has files that were never signed, and a renewal signs nothing new"),
        )
        .help("find out where they come from, and take them away; where they are yours, publish them without `--renew`");
        failure.details = new;
        Err(failure)
    }

    /// A release that was published stays: others have locked it.
    fn refuse_missing(
        &self,
        directory: &Path,
        found: &[(FileName, PathBuf)],
    ) -> Result<(), Failure> {
        let there: BTreeSet<String> = found.iter().map(|(file, _)| file.path()).collect();
        let paths = self.index.executables();
        let mut gone: Vec<&str> = paths.filter(|path| !there.contains(*path)).collect();
        let tables = self.index.versions.values().flatten();
        let tables = tables.map(|table| table.path.as_str());
        gone.extend(tables.filter(|path| !directory.join(path).is_file()));
        if gone.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(Exit::Refused, "files that were published are not there any more")
            .help("put them back: others have locked them; `--yank NAME@VERSION` tells people not to install a version");
        failure.details = gone.into_iter().map(str::to_owned).collect();
        Err(failure)
    }

    /// Whoever can write to the tree could otherwise have a program of theirs signed by the next renewal.
    fn refuse_strange(
        &self,
        directory: &Path,
        found: &[(FileName, PathBuf)],
        added: &[(FileName, PathBuf)],
    ) -> Result<(), Failure> {
        let known: BTreeSet<&str> = self.index.executables().collect();
        let strange: Vec<String> = found
            .iter()
            .filter(|one| !added.contains(one))
            .map(|(file, path)| (file.path(), path))
            .filter(|(place, path)| directory.join(place) == **path)
            .map(|(place, _)| place)
            .filter(|place| !known.contains(place.as_str()))
            .collect();
        if strange.is_empty() {
            return Ok(());
        }
        let shown = directory.display();
        let failure = match self.index.serial {
            0 => Failure::new(
                Exit::Refused,
                format!("`{shown}` has no `{}`, and files in the places of published ones", index::FILE),
            )
            .help(format!(
                "bring `{}` and `{}` back from where the tree is served; to begin anew, move the executables to the top of the directory and give `--serial` a number above the last one",
                index::FILE,
                index::SIGNATURE
            )),
            _ => Failure::new(
                Exit::Refused,
                "files lie in the places of published ones, and were never signed".to_owned(),
            )
            .help("find out where they come from; what is to be published lies at the top of the directory, or is named with `--add`"),
        };
        Err(Failure {
            details: strange,
            ..failure
        })
    }
}

/// Gives an index whose publication was interrupted the signature that waits for it.
pub(crate) fn finish(directory: &Path, key: &Key) -> Result<(), Failure> {
    let (Some(text), Some(signature)) = (file(directory, index::FILE)?, file(directory, NEXT)?)
    else {
        return Ok(());
    };
    let signature = String::from_utf8_lossy(&signature);
    match key.verify(&text, &signature, index::FILE, "") {
        Ok(()) => arrive(directory),
        Err(_) => Ok(()),
    }
}

/// Where the signature of the next index waits.
pub(crate) fn waiting(directory: &Path) -> PathBuf {
    directory.join(NEXT)
}

/// Puts the signature that waits into its place.
pub(crate) fn arrive(directory: &Path) -> Result<(), Failure> {
    let to = directory.join(index::SIGNATURE);
    fs::rename(waiting(directory), &to).map_err(|error| Failure::io("write", &to, &error))
}

fn file(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let path = directory.join(name);
    match regular::read(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("read", &path, &error)),
    }
}

fn refused(message: String) -> Failure {
    Failure::new(Exit::Refused, message).help(format!(
        "bring `{}` and `{}` back from where the tree is served, both from the same publication; nothing is signed that is not yours",
        index::FILE,
        index::SIGNATURE
    ))
}

fn changed(directory: &Path) -> Failure {
    refused(format!(
        "`{}` in `{}` is not what was signed: the signature does not fit its bytes",
        index::FILE,
        directory.display()
    ))
}

fn other_key(directory: &Path, index: &Index, signer: &Key) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("`{}` was signed with another key", directory.display()),
    )
    .detail(format!("it was: {}", index.publisher.key))
    .detail(format!("this is: {}", signer.text()))
    .help("take that key; with `--replace-key` everybody who has installed from here has to trust the new one by hand")
}
