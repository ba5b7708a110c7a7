//! Mirrors: a directory with a tree for every source, byte for byte as its publisher signed it, for machines without network. A mirror need
//! not hold every file of a tree: `mirror.json` beside the index says which it holds. Copies, and believes nothing that was not signed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use semver::VersionReq;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::digest::{self, sha256_hex};
use crate::error::{Exit, Failure};
use crate::foreign::printable;
use crate::paths::Machine;
use crate::pipeline::journal::now;
use crate::plugins::index::{self, Asset, Choice, Index};
use crate::plugins::install::verified_copy;
use crate::plugins::publish::{SUMS, sums};
use crate::plugins::seen;
use crate::plugins::signature::{Key, Refused};
use crate::plugins::source::Source;
use crate::plugins::tree::Tree;
use crate::regular;
use crate::shell::word;

/// The file that says what a mirror holds.
pub(crate) const FILE: &str = "mirror.json";

/// The largest such file, and the largest file of sums.
const MOST: u64 = 1 << 20;

const FORMAT: u32 = 1;

/// What a mirror holds of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    format: u32,
    /// The name of the source.
    pub(crate) source: String,
    /// When something was copied last, RFC 3339, UTC.
    pub(crate) made: String,
    /// Executables by their paths in the tree.
    pub(crate) files: BTreeSet<String>,
}

/// For which platforms files are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Platforms {
    All,
    These(Vec<String>),
}

/// One adapter that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) range: Option<VersionReq>,
}

/// What was copied of one source.
#[derive(Debug, Serialize)]
pub(crate) struct Mirrored {
    pub(crate) source: String,
    pub(crate) directory: PathBuf,
    pub(crate) publisher_key: String,
    pub(crate) serial: u64,
    pub(crate) expires: String,
    pub(crate) files: Vec<MirroredFile>,
}

/// One executable.
#[derive(Debug, Serialize)]
pub(crate) struct MirroredFile {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) platform: String,
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) state: FileState,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileState {
    Copied,
    /// It was there.
    Present,
    /// It would be copied.
    Planned,
}

/// The directory of a source in a mirror: for people, and with a part that no other source has.
pub(crate) fn directory_name(source: &str) -> String {
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    let words: Vec<String> = rest
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let mut words = words.join("-");
    words.truncate(60);
    let digest = sha256_hex(source.as_bytes());
    format!("{}-{}", words.trim_end_matches('-'), &digest[..8])
        .trim_start_matches('-')
        .to_owned()
}

/// Returns the source as it is read: at the mirror of this machine, where it has one.
pub(crate) fn through(machine: &Machine, source: Source) -> Result<Source, Failure> {
    let Some(place) = &machine.running.mirror else {
        return Ok(source);
    };
    let mirror = Source::parse(place, Path::new("/"))?;
    let name = source.name();
    let at = mirror.below(&directory_name(&name));
    let missing = |why: String| {
        Failure::new(
            Exit::Missing,
            format!("the mirror `{place}` has nothing of `{name}`"),
        )
        .detail(why)
        .help(
            "run `ztc plugins mirror` where there is a network, or leave `ZTC_PLUGINS_MIRROR` out",
        )
    };
    match at.small(FILE, MOST) {
        Ok(Some(_)) => Ok(Source::Mirrored {
            of: Box::new(source),
            at: Box::new(at),
        }),
        // What is a directory here needs no mirror.
        _ if matches!(source, Source::Directory(_)) => Ok(source),
        Ok(None) => Err(missing(format!("there is no `{}/{FILE}`", at.name()))),
        Err(failure) if failure.exit == Exit::Missing => Err(missing(failure.message)),
        Err(failure) => Err(failure),
    }
}

/// Returns the source as the mirror in a directory has it, where the directory is one: it holds trees with `mirror.json`, and is none itself.
pub(crate) fn inside(directory: &Path, source: &Source) -> Option<Source> {
    let at = Source::Directory(directory.join(directory_name(&source.name())));
    let is_there =
        !sources(directory).is_empty() && at.small(FILE, MOST).is_ok_and(|mark| mark.is_some());
    is_there.then(|| Source::Mirrored {
        of: Box::new(source.clone()),
        at: Box::new(at),
    })
}

/// Returns the names of the sources that the mirror in a directory has; none where it is no mirror.
pub(crate) fn sources(directory: &Path) -> Vec<String> {
    if directory.join(index::FILE).exists() {
        return Vec::new();
    }
    let inside = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = inside
        .filter_map(|entry| Some(mark(&entry.path()).ok()??.source))
        .collect();
    names.sort();
    names
}

/// Says what to type where a mirror was named as if it were a tree; nothing where the directory is no mirror.
pub(crate) fn misnamed(directory: &Path) -> Option<Failure> {
    let sources = sources(directory);
    let first = sources.first()?;
    let place = word(&directory.display().to_string());
    let failure = Failure::new(
        Exit::Missing,
        format!("`{}` is a mirror, and no tree", directory.display()),
    )
    .help(format!(
        "run `ZTC_PLUGINS_MIRROR={place} ztc plugins install`, for one adapter `ZTC_PLUGINS_MIRROR={place} ztc plugins install NAME --source {}`",
        word(first)
    ));
    Some(sources.iter().fold(failure, |failure, source| {
        failure.detail(format!("it has {source}"))
    }))
}

/// Reads what the mirror in a directory holds; nothing where it is none.
pub(crate) fn mark(directory: &Path) -> Result<Option<Mark>, Failure> {
    let path = directory.join(FILE);
    let text = match regular::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read", &path, &error)),
    };
    let mark: Mark = serde_json::from_slice(&text).map_err(|error| {
        Failure::invalid(format!("`{}` cannot be read", path.display()))
            .detail(error)
            .help("remove it and run `ztc plugins mirror` again")
    })?;
    // Nobody has signed it, and it is shown.
    let mark = Mark {
        source: printable(&mark.source),
        ..mark
    };
    match mark.format {
        ..=FORMAT => Ok(Some(mark)),
        newer => Err(Failure::failed(format!(
            "`{}` has format {newer}, and this program reads {FORMAT}",
            path.display()
        ))
        .help("upgrade ztc")),
    }
}

/// Chooses what is copied.
pub(crate) fn choose(
    tree: &Tree,
    asked: &[Asked],
    platforms: &Platforms,
) -> Result<Vec<(String, Choice)>, Failure> {
    let place = tree.source.name();
    let mut all = Vec::new();
    for Asked { name, range } in asked {
        let entry = tree.index.adapters.get(name);
        let published: BTreeSet<&String> = entry
            .into_iter()
            .flat_map(|entry| entry.versions.values())
            .flat_map(|release| release.platforms.keys())
            .collect();
        let wanted: Vec<&String> = match platforms {
            Platforms::These(these) => these.iter().collect(),
            Platforms::All => published.into_iter().collect(),
        };
        let found: Vec<_> = wanted
            .iter()
            .map(|platform| {
                let choice = tree.index.choose(&place, name, range.as_ref(), platform);
                choice.map(|choice| ((*platform).clone(), choice))
            })
            .collect();
        // Of all platforms those are left out that no fitting version has; but something there has to be.
        let several = *platforms == Platforms::All && found.iter().any(Result::is_ok);
        if found.is_empty() {
            tree.index.choose(&place, name, range.as_ref(), "")?;
        }
        for one in found {
            match one {
                Err(_) if several => {}
                one => all.push(one?),
            }
        }
    }
    Ok(all)
}

/// Says what a copy would do.
pub(crate) fn planned(tree: &Tree, chosen: &[(String, Choice)], directory: &Path) -> Mirrored {
    result(tree, directory, chosen, |asset| {
        match is_there(directory, asset) {
            true => FileState::Present,
            false => FileState::Planned,
        }
    })
}

/// Copies what was chosen, with the index, the sums and all signatures. What is there and right is not read again. `progress` hears which
/// file has come how far.
pub(crate) fn copy(
    tree: &Tree,
    chosen: &[(String, Choice)],
    directory: &Path,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Mirrored, Failure> {
    let place = tree.source.name();
    let (Some(signature), Some(key)) = (&tree.signature, tree.signer.key()) else {
        return Err(
            Failure::new(Exit::Refused, format!("`{place}` has no signature"))
                .help("a mirror holds only what its publisher has signed"),
        );
    };
    let old = mark(directory)?;
    if let Some(old) = old.as_ref().filter(|old| old.source != place) {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "`{}` is the mirror of `{}`",
                directory.display(),
                old.source
            ),
        )
        .help("name another directory"));
    }
    if let Some((text, index)) = own_index(directory, &place)? {
        seen::compare(&place, (&text, &index), (&tree.text, &tree.index))?;
    }
    let mut copied = BTreeSet::new();
    for (_, choice) in chosen {
        copy_sums(tree, choice, key, directory)?;
        if !is_there(directory, &choice.asset) {
            let asset = &choice.asset;
            bring(tree, asset, directory, |come, of| {
                progress(&asset.path, come, of);
            })?;
            copied.insert(asset.path.clone());
        }
    }
    // Tables of versions are small: a mirror has all of them.
    for table in tree.index.versions.values().flatten() {
        let asset = table.asset();
        if !is_there(directory, &asset) {
            bring(tree, &asset, directory, |_, _| {})?;
        }
    }
    let mut files = old.map(|old| old.files).unwrap_or_default();
    files.retain(|path| directory.join(path).exists());
    files.extend(chosen.iter().map(|(_, choice)| choice.asset.path.clone()));
    let mark = Mark {
        format: FORMAT,
        source: place,
        made: now(),
        files,
    };
    let mut text = serde_json::to_string_pretty(&mark).map_err(|error| {
        Failure::failed("failed to write what the mirror holds")
            .detail(error)
            .help("report this to the authors of ztc, with the whole command")
    })?;
    text.push('\n');
    write(&directory.join(FILE), text.as_bytes())?;
    // The index comes last, so that it never names what is not there.
    write(&directory.join(index::SIGNATURE), signature)?;
    write(&directory.join(index::FILE), &tree.text)?;
    Ok(result(tree, directory, chosen, |asset| {
        match copied.contains(&asset.path) {
            true => FileState::Copied,
            false => FileState::Present,
        }
    }))
}

fn result(
    tree: &Tree,
    directory: &Path,
    chosen: &[(String, Choice)],
    state: impl Fn(&Asset) -> FileState,
) -> Mirrored {
    let file = |(platform, choice): &(String, Choice)| MirroredFile {
        name: choice.name.clone(),
        version: choice.version.to_string(),
        platform: platform.clone(),
        path: choice.asset.path.clone(),
        size: choice.asset.size,
        sha256: choice.asset.sha256.clone(),
        state: state(&choice.asset),
    };
    Mirrored {
        source: tree.source.name(),
        directory: directory.to_owned(),
        publisher_key: tree.index.publisher.key.clone(),
        serial: tree.index.serial,
        expires: tree.index.expires.clone(),
        files: chosen.iter().map(file).collect(),
    }
}

/// The index that the mirror has now.
fn own_index(directory: &Path, place: &str) -> Result<Option<(Vec<u8>, Index)>, Failure> {
    let path = directory.join(index::FILE);
    match regular::read(&path) {
        Ok(text) => Ok(Index::parse(&text, place).ok().map(|index| (text, index))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("read", &path, &error)),
    }
}

fn is_there(directory: &Path, asset: &Asset) -> bool {
    digest::file(&directory.join(&asset.path)).is_ok_and(|sha256| sha256 == asset.sha256)
}

fn copy_sums(tree: &Tree, choice: &Choice, key: &Key, directory: &Path) -> Result<(), Failure> {
    let place = tree.source.name();
    let path = format!("{}/{}/{SUMS}", choice.name, choice.version);
    let read = |path: &str| {
        tree.source.small(path, MOST)?.ok_or_else(|| {
            Failure::failed(format!("`{place}` has no file `{path}`"))
                .help("tell its publisher: `ztc plugins publish` makes it")
        })
    };
    let signed_path = format!("{path}.minisig");
    let (text, signature) = (read(&path)?, read(&signed_path)?);
    if text != sums(&choice.release).as_bytes() {
        return Err(Failure::new(
            Exit::Refused,
            format!("`{path}` of `{place}` says something else than the index"),
        )
        .help("run the same command again later: its publisher may be about to change it"));
    }
    let shown = String::from_utf8_lossy(&signature);
    match key.verify(&text, &shown, &path, &place) {
        Ok(()) => {}
        Err(Refused::Wrong(failure)) => return Err(*failure),
        Err(Refused::OtherKey) => {
            return Err(Failure::new(
                Exit::Refused,
                format!("`{path}` of `{place}` is signed with another key than the index"),
            )
            .help("tell its publisher by another way than this source"));
        }
    }
    write(&directory.join(&signed_path), &signature)?;
    write(&directory.join(&path), &text)
}

fn bring(
    tree: &Tree,
    asset: &Asset,
    directory: &Path,
    progress: impl FnMut(u64, u64),
) -> Result<(), Failure> {
    let path = directory.join(&asset.path);
    let parent = make_parent(&path)?;
    let fail = |error: std::io::Error| Failure::io("write", &path, &error);
    let mut file = tempfile::Builder::new()
        .prefix(".incoming-")
        .tempfile_in(parent)
        .map_err(fail)?;
    verified_copy(&tree.source, asset, &mut file, progress)?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o755))
        .and_then(|()| file.as_file().sync_all())
        .map_err(fail)?;
    file.persist(&path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// Writes a file in one step, where it is not there already.
fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    make_parent(path)?;
    if regular::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let text = std::str::from_utf8(content).map_err(|_| {
        Failure::new(
            Exit::Refused,
            format!("`{}` would not be text", path.display()),
        )
        .help("tell the publisher of the tree")
    })?;
    atomic::public(path, text)
}

fn make_parent(path: &Path) -> Result<&Path, Failure> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| Failure::io("make", parent, &error))?;
    Ok(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_directory_of_its_own() {
        for (source, expected) in [
            ("https://example.org/Adapters", "example-org-adapters-"),
            ("oci://localhost:5000/a__b", "localhost-5000-a-b-"),
            ("file:///srv/tree", "srv-tree-"),
        ] {
            let name = directory_name(source);
            let (words, digest) = name.split_at(name.len() - 8);
            assert_eq!(words, expected);
            assert!(digest.chars().all(|c| c.is_ascii_hexdigit()), "{name}");
        }
        assert_ne!(directory_name("https://a.b"), directory_name("https://a/b"));
    }
}
