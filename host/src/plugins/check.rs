//! `ztc plugins publish-check`: a tree as an operator of any platform will meet it, before it is served. Reads everything, changes nothing.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::digest;
use crate::error::{Failure, counted};
use crate::plugins::head::format_problem;
use crate::plugins::index::{Asset, Release};
use crate::plugins::mirror;
use crate::plugins::publish::{SUMS, files, sums};
use crate::plugins::signature::{Key, Refused};
use crate::plugins::source::Source;
use crate::plugins::tables;
use crate::plugins::tree::{Known, Tree, Unsigned};
use crate::regular;

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) serial: u64,
    pub(crate) expires: String,
    pub(crate) publisher_key: String,
    pub(crate) adapters: usize,
    pub(crate) versions: usize,
    pub(crate) files: usize,
    /// Tables of versions.
    pub(crate) tables: usize,
    /// The source that this is a mirror of; a mirror need not hold every file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mirror_of: Option<String>,
    /// What an operator could not install.
    pub(crate) problems: Vec<String>,
}

/// Checks a tree.
pub(crate) fn check(directory: &Path) -> Result<Checked, Failure> {
    let source = Source::Directory(directory.to_owned());
    let known = Known {
        key: None,
        seen: None,
        serial: 0,
        unsigned: Unsigned::Never(
            "sign it with `ztc plugins publish DIR --key FILE`; where it was signed, bring `index.json.minisig` back from where the tree is served",
        ),
    };
    let tree = Tree::open(source, known, Timestamp::now())?;
    let key = Key::parse(&tree.index.publisher.key)?;
    let mut problems = Vec::new();
    let (mut versions, mut count) = (0, 0);
    let mut known = Vec::new();
    let mark = mirror::mark(directory)?;
    let expected = |asset: &Asset| {
        mark.as_ref()
            .is_none_or(|mark| mark.files.contains(&asset.path))
    };
    for (name, entry) in &tree.index.adapters {
        for (version, release) in &entry.versions {
            if !release.platforms.values().any(expected) {
                continue;
            }
            versions += 1;
            problems.extend(signed_sums(directory, name, version, release, &key));
            for (platform, asset) in release.platforms.iter().filter(|(_, it)| expected(it)) {
                count += 1;
                known.push(directory.join(&asset.path));
                if let Some(problem) = executable(directory, platform, asset) {
                    problems.push(format!("{}: {problem}", asset.path));
                }
            }
        }
    }
    problems.extend(tables::unreadable(directory, &tree.index));
    problems.extend(tables::waiting(directory)?.into_iter().map(|table| {
        format!("table {} of the versions of `{}`: the index does not know it; `ztc plugins publish` adds it", table.head.serial, table.adapter)
    }));
    let strays = files(directory)?
        .into_iter()
        .filter(|(_, path)| !known.contains(path));
    problems.extend(strays.map(|(_, path)| {
        let shown = path.strip_prefix(directory).unwrap_or(&path).display();
        match path.parent() == Some(directory) {
            true => format!("{shown}: the index does not know it; `ztc plugins publish` adds it"),
            false => format!("{shown}: it was never signed; find out where it comes from"),
        }
    }));
    Ok(Checked {
        serial: tree.index.serial,
        expires: tree.index.expires.clone(),
        publisher_key: tree.index.publisher.key.clone(),
        adapters: tree.index.adapters.len(),
        versions,
        files: count,
        tables: tree.index.versions.values().map(Vec::len).sum(),
        mirror_of: mark.map(|mark| mark.source),
        problems,
    })
}

fn executable(directory: &Path, platform: &str, asset: &Asset) -> Option<String> {
    let path = directory.join(&asset.path);
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    if size != asset.size {
        return Some(format!(
            "it has {}, and {} were signed",
            counted(size, "byte", "bytes"),
            asset.size
        ));
    }
    match digest::file(&path) {
        Ok(sha256) if sha256 != asset.sha256 => {
            return Some("it does not have the bytes that were signed".to_owned());
        }
        Ok(_) => {}
        Err(error) => return Some(format!("it cannot be read: {error}")),
    }
    match format_problem(&path, platform) {
        Ok(problem) => problem.map(|problem| format!("it is not for {platform}: {problem}")),
        Err(failure) => Some(failure.message),
    }
}

fn signed_sums(
    directory: &Path,
    name: &str,
    version: &str,
    release: &Release,
    key: &Key,
) -> Option<String> {
    let place = format!("{name}/{version}/{SUMS}");
    let read = |file: &str| regular::read_to_string(&directory.join(file));
    let (text, signature) = match (read(&place), read(&format!("{place}.minisig"))) {
        (Ok(text), Ok(signature)) => (text, signature),
        (Err(error), _) | (_, Err(error)) => {
            return Some(format!(
                "{place}: it or its signature cannot be read: {error}"
            ));
        }
    };
    if text != sums(release) {
        return Some(format!("{place}: it says something else than the index"));
    }
    match key.verify(text.as_bytes(), &signature, SUMS, name) {
        Ok(()) => None,
        Err(Refused::OtherKey) => Some(format!("{place}: another key has signed it")),
        Err(Refused::Wrong(_)) => Some(format!("{place}: the signature does not fit its bytes")),
    }
}
