//! Publishing: executables in a directory become a tree. Files come to their places, sums and the index are written and signed. Starts
//! nothing itself; who describes an executable is the caller's affair. What was published before is in `previous`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use crate::atomic;
use crate::digest;
use crate::error::{Exit, Failure};
use crate::plugins::head::format_problem;
use crate::plugins::index::{self, Asset, Index, Publisher, Release, Touches};
use crate::plugins::inputs::Inputs;
use crate::plugins::name::FileName;
use crate::plugins::previous;
use crate::plugins::signature::Signer;
use crate::plugins::signed::{Memory, Serial};
use crate::plugins::tables;
use crate::plugins::yank::{self, Unyanked, Yanked};
use crate::regular;

/// The sums of one version, as `sha256sum` writes them.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// What a release says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Described {
    pub(crate) description: String,
    pub(crate) protocols: Vec<String>,
    pub(crate) provides: Vec<String>,
    pub(crate) requires: Vec<String>,
    pub(crate) touches: Touches,
    pub(crate) inputs: Option<Inputs>,
}

/// How to publish.
#[derive(Debug)]
pub(crate) struct Terms {
    /// How long the index is valid.
    pub(crate) days: u16,
    /// The publisher's name, for people.
    pub(crate) publisher: Option<String>,
    /// Whether the tree may have been signed with another key before.
    pub(crate) other_key: OtherKey,
    /// What is said about versions that were published before.
    pub(crate) words: yank::Words,
    /// Executables from elsewhere, which are copied into the tree.
    pub(crate) add: Vec<(FileName, PathBuf)>,
    /// The serial, where it is not the one after the last.
    pub(crate) serial: Option<u64>,
    pub(crate) news: News,
    /// What ztc keeps on this machine, what it has signed among it.
    pub(crate) data: PathBuf,
    pub(crate) mode: Mode,
    pub(crate) now: Timestamp,
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Publish,
    /// Everything is found out and nothing written.
    DryRun,
}

/// What is done about executables and tables that were not published before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Publish,
    /// Only the date and the serial are new.
    Refuse,
}

/// What is done about a tree that another key has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherKey {
    Refuse,
    Replace,
}

impl OtherKey {
    /// What `--replace-key` means.
    pub(crate) fn of(replace: bool) -> Self {
        match replace {
            true => Self::Replace,
            false => Self::Refuse,
        }
    }
}

/// What was published.
#[derive(Debug, Serialize)]
pub(crate) struct Published {
    pub(crate) serial: u64,
    pub(crate) expires: String,
    pub(crate) publisher_key: String,
    /// The key that had signed the tree before, where that was another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_key: Option<String>,
    /// Files that are new, by their paths in the tree.
    pub(crate) added: Vec<String>,
    /// Every version, by adapter.
    pub(crate) adapters: BTreeMap<String, Vec<String>>,
    /// Versions that were taken back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) yanked: Vec<Yanked>,
    /// Versions that were taken back before and are offered again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unyanked: Vec<Unyanked>,
    /// The serials of all tables of versions, by adapter.
    pub(crate) tables: BTreeMap<String, Vec<u64>>,
    /// Why this machine does not remember it.
    #[serde(skip)]
    pub(crate) forgotten: Option<Failure>,
}

/// Makes the tree. `describe` is asked once for each new version, with its files by platform; `refuse` sees the new index before anything is
/// signed or written.
pub(crate) fn publish(
    directory: &Path,
    signer: &Signer,
    terms: &Terms,
    mut describe: impl FnMut(&FileName, &BTreeMap<String, PathBuf>) -> Result<Described, Failure>,
    refuse: impl FnOnce(&[u8], &Index) -> Result<(), Failure>,
) -> Result<Published, Failure> {
    let previous = previous::read(directory, signer.public(), terms.other_key)?;
    let old = &previous.index;
    let found = with(files(directory)?, &terms.add);
    let mut index = Index {
        format: index::FORMAT,
        serial: previous.serial(directory, terms.serial)?,
        issued: text(terms.now),
        expires: expires(terms)?,
        publisher: Publisher {
            name: terms
                .publisher
                .clone()
                .unwrap_or_else(|| old.publisher.name.clone()),
            key: signer.public().text().to_owned(),
        },
        adapters: old.adapters.clone(),
        versions: old.versions.clone(),
    };
    previous.compare(directory, &found, &terms.add)?;
    let tables = tables::waiting(directory)?;
    if terms.news == News::Refuse {
        let new = tables.iter().filter(|table| !tables::is_known(old, table));
        let new: Vec<PathBuf> = new.map(|table| table.path.clone()).collect();
        previous.refuse_new(directory, &found, &new)?;
    }
    let serial = match terms.serial {
        None => Serial::Next,
        Some(_) => Serial::Said,
    };
    let mut added = Vec::new();
    for ((name, version), platforms) in by_version(&found) {
        let entry = index.adapters.entry(name.clone()).or_default();
        let is_new = !entry.versions.contains_key(&version);
        let release = entry.versions.entry(version.clone()).or_default();
        for (platform, (file, path)) in &platforms {
            if let Some(problem) = format_problem(path, platform)? {
                return Err(Failure::invalid(format!(
                    "`{}` is not for {platform}: {problem}",
                    path.display()
                ))
                .help("build it for that platform, or correct its name"));
            }
            let asset = asset(file, path)?;
            match release.platforms.get(platform) {
                Some(old) if old.sha256 != asset.sha256 => {
                    return Err(Failure::new(
                        Exit::Refused,
                        format!("`{}` has other bytes than were published as `{name}` {version}", path.display()),
                    )
                    .help("give the change a new version: a published version never changes its bytes"));
                }
                Some(_) => {}
                None => {
                    added.push(asset.path.clone());
                    release.platforms.insert(platform.clone(), asset);
                }
            }
        }
        if is_new && let Some((file, _)) = platforms.values().next() {
            let paths = platforms
                .iter()
                .map(|(platform, (_, path))| (platform.clone(), path.clone()));
            let described = describe(file, &paths.collect())?;
            if !described.description.is_empty() {
                entry.description.clone_from(&described.description);
            }
            let release = entry.versions.entry(version).or_default();
            release.released = text(terms.now);
            release.protocols = described.protocols;
            release.provides = described.provides;
            release.requires = described.requires;
            release.touches = described.touches;
            release.inputs = described.inputs;
        }
    }
    for table in &tables {
        added.extend(tables::add(&mut index, table, &text(terms.now))?);
    }
    if index.adapters.is_empty() && index.versions.is_empty() {
        return Err(Failure::invalid(format!(
            "`{}` has no adapters to publish, and no tables of versions",
            directory.display()
        ))
        .help("put files such as `ztc-adapter-NAME-1.0.0-linux-x86_64` or `ztc-versions-NAME-1.yaml` into it"));
    }
    let (yanked, unyanked) = yank::apply(&mut index, &terms.words, serial)?;
    let memory = Memory::read(&terms.data, directory, &previous, (&index, serial))?;
    let content = content(&index)?;
    refuse(content.as_bytes(), &index)?;
    let mut forgotten = None;
    if terms.mode == Mode::Publish {
        let key = previous.replaced.as_ref().unwrap_or(signer.public());
        previous::finish(directory, key)?;
        for (file, path) in &found {
            copy(path, &directory.join(file.path()))?;
        }
        tables::put(directory, &tables)?;
        write(directory, (&content, &index), signer)?;
        // They wait at the top until the index has them, so that whoever is interrupted can do the same again.
        clear(directory, &found)?;
        tables::clear(&tables)?;
        // Last: what was not signed to its end must not count as the last one.
        let signed = (content.as_bytes(), &index);
        forgotten = memory.save(directory, &previous, signed).err();
    }
    Ok(Published {
        serial: index.serial,
        expires: index.expires.clone(),
        publisher_key: index.publisher.key.clone(),
        replaced_key: previous.replaced.map(|key| key.text().to_owned()),
        added,
        yanked,
        unyanked,
        adapters: index
            .adapters
            .iter()
            .map(|(name, entry)| {
                let versions = entry.newest_first().into_iter();
                (
                    name.clone(),
                    versions.map(|(version, _)| version.to_string()).collect(),
                )
            })
            .collect(),
        tables: index
            .versions
            .iter()
            .map(|(name, tables)| {
                let serials = tables.iter().map(|table| table.serial);
                (name.clone(), serials.collect())
            })
            .collect(),
        forgotten,
    })
}

/// Returns the text of the sums of a release.
pub(crate) fn sums(release: &Release) -> String {
    let line = |asset: &Asset| {
        let file = asset.path.rsplit('/').next().unwrap_or(&asset.path);
        format!("{}  {file}\n", asset.sha256)
    };
    release.platforms.values().map(line).collect()
}

/// Returns the files of a tree that have the name of a published executable: those that lie in their places, and new ones at the top.
pub(crate) fn files(directory: &Path) -> Result<Vec<(FileName, PathBuf)>, Failure> {
    let mut found = BTreeMap::new();
    let entries = |path: &Path| -> Result<Vec<PathBuf>, Failure> {
        let fail = |error: std::io::Error| Failure::io("read", path, &error);
        let mut paths = Vec::new();
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(paths),
            entries => entries.map_err(fail)?,
        };
        for entry in entries {
            paths.push(entry.map_err(fail)?.path());
        }
        paths.sort();
        Ok(paths)
    };
    let parse = |path: &Path| FileName::parse(path.file_name()?.to_str()?);
    for path in entries(directory)? {
        if path.is_file() {
            if let Some(file) = parse(&path) {
                found.insert(file, path);
            }
            continue;
        }
        if !path.is_dir() {
            continue;
        }
        for version in entries(&path)?.into_iter().filter(|path| path.is_dir()) {
            for path in entries(&version)?.into_iter().filter(|path| path.is_file()) {
                if let Some(file) = parse(&path).filter(|file| directory.join(file.path()) == path)
                {
                    // One at the top that has the same name is what the author wants to publish now.
                    found.entry(file).or_insert(path);
                }
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// What is added counts more than what is there: whether it may take its place is found out from its bytes.
fn with(found: Vec<(FileName, PathBuf)>, add: &[(FileName, PathBuf)]) -> Vec<(FileName, PathBuf)> {
    let mut all: BTreeMap<FileName, PathBuf> = found.into_iter().collect();
    all.extend(add.iter().cloned());
    all.into_iter().collect()
}

type Platforms = BTreeMap<String, (FileName, PathBuf)>;

fn by_version(found: &[(FileName, PathBuf)]) -> BTreeMap<(String, String), Platforms> {
    let mut all: BTreeMap<(String, String), Platforms> = BTreeMap::new();
    for (file, path) in found {
        all.entry((file.name.clone(), file.version.to_string()))
            .or_default()
            .insert(file.platform.clone(), (file.clone(), path.clone()));
    }
    all
}

fn asset(file: &FileName, path: &Path) -> Result<Asset, Failure> {
    let fail = |error: std::io::Error| Failure::io("read", path, &error);
    Ok(Asset {
        path: file.path(),
        size: fs::metadata(path).map_err(fail)?.len(),
        sha256: digest::file(path).map_err(fail)?,
    })
}

/// Removes what was published from the top of the directory.
fn clear(directory: &Path, found: &[(FileName, PathBuf)]) -> Result<(), Failure> {
    for (file, _) in found {
        let path = directory.join(file.file());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies an executable to its place, in one step.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    if from == to {
        return Ok(());
    }
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).map_err(|error| Failure::io("make", parent, &error))?;
    let mut source = regular::open(from).map_err(|error| Failure::io("read", from, &error))?;
    let fail = |error: std::io::Error| Failure::io("write", to, &error);
    let mut file = tempfile::Builder::new()
        .prefix(".ztc-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempfile_in(parent)
        .map_err(fail)?;
    std::io::copy(&mut source, &mut file)
        .and_then(|_| file.as_file().sync_all())
        .map_err(fail)?;
    file.persist(to)
        .map(drop)
        .map_err(|error| fail(error.error))
}

/// Writes sums, index and signatures, each in one step. The index comes last, so that it never names what is not there.
fn write(directory: &Path, (text, index): (&str, &Index), signer: &Signer) -> Result<(), Failure> {
    let signed = |path: &Path, content: &str, what: &str| -> Result<(), Failure> {
        let signature = signer.sign(content.as_bytes(), what)?;
        atomic::public(path, content)?;
        atomic::public(
            &PathBuf::from(format!("{}.minisig", path.display())),
            &signature,
        )
    };
    for (name, entry) in &index.adapters {
        for (version, release) in &entry.versions {
            let path = directory.join(name).join(version).join(SUMS);
            let text = sums(release);
            let is_there = fs::read_to_string(&path).is_ok_and(|old| old == text);
            let is_ours = is_there
                && fs::read_to_string(format!("{}.minisig", path.display())).is_ok_and(
                    |signature| {
                        let verified =
                            signer
                                .public()
                                .verify(text.as_bytes(), &signature, SUMS, "");
                        verified.is_ok()
                    },
                );
            if !is_ours {
                signed(&path, &text, &format!("{name} {version}"))?;
            }
        }
    }
    let signature = signer.sign(text.as_bytes(), &format!("index serial {}", index.serial))?;
    atomic::public(&previous::waiting(directory), &signature)?;
    atomic::public(&directory.join(index::FILE), text)?;
    previous::arrive(directory)
}

/// The text of an index, as it is signed.
fn content(index: &Index) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(index).map_err(|error| {
        Failure::failed("failed to write the index")
            .detail(error)
            .help("report this to the authors of ztc, with the whole command")
    })?;
    text.push('\n');
    Ok(text)
}

fn text(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}

fn expires(terms: &Terms) -> Result<String, Failure> {
    let hours = i64::from(terms.days) * 24;
    let expires = terms.now.checked_add(hours.hours()).map_err(|error| {
        Failure::invalid("the index would be valid for too long")
            .detail(error)
            .help("give fewer days with `--days`")
    })?;
    Ok(text(expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_what_sha256sum_reads() {
        let asset = Asset {
            path: "a/1.0.0/ztc-adapter-a-1.0.0-linux-x86_64".into(),
            size: 1,
            sha256: "ab".repeat(32),
        };
        let release = Release {
            platforms: [("linux-x86_64".to_owned(), asset)].into(),
            ..Release::default()
        };
        let line = format!("{}  ztc-adapter-a-1.0.0-linux-x86_64\n", "ab".repeat(32));
        assert_eq!(sums(&release), line);
    }
}
