//! What a source has shown before, below `$XDG_DATA_HOME/ztc/sources`: a copy of its last verified index (`<sha256 of its name>.json`), by which an
//! index that takes something back is recognised, and beside it what that index does not name any more (`<sha256>.gone.json`), so that a version
//! that was taken away cannot come back with other bytes. Both or none can be read: what is broken is said, and never counts as not seen.

use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing};
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure, Location};
use crate::plugins::index::{Entry, Index, MOST_INDEX, Release};
use crate::plugins::powers::{is_described, powers};
use crate::plugins::tables::Table;
use crate::shell::word;

/// What was seen of a source.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The bytes of its last index.
    pub(crate) text: Vec<u8>,
    pub(crate) index: Index,
    /// What earlier indexes with the same key have named, and the last one does not.
    gone: Option<Index>,
}

impl Seen {
    /// Refuses an index that is older, or says something else about what was ever seen.
    pub(crate) fn compare(&self, source: &str, new: (&[u8], &Index)) -> Result<(), Failure> {
        compare(source, (&self.text, &self.index), new)?;
        match &self.gone {
            Some(gone) => compare_content(source, gone, new.1),
            None => Ok(()),
        }
    }
}

/// Where the copy of a source's index lies.
pub(crate) fn path(data: &Path, source: &str) -> PathBuf {
    file(data, source, "json")
}

fn file(data: &Path, source: &str, extension: &str) -> PathBuf {
    let name = sha256_hex(source.as_bytes());
    data.join("sources").join(format!("{name}.{extension}"))
}

fn gone_path(data: &Path, source: &str) -> PathBuf {
    file(data, source, "gone.json")
}

/// Reads what was seen of a source; nothing where nothing was.
pub(crate) fn load(data: &Path, source: &str) -> Result<Option<Seen>, Failure> {
    let Some((text, index)) = read(&path(data, source), source)? else {
        return Ok(None);
    };
    let gone = read(&gone_path(data, source), source)?.map(|(_, gone)| gone);
    Ok(Some(Seen {
        gone: gone.filter(|gone| gone.publisher.key == index.publisher.key),
        text,
        index,
    }))
}

fn read(path: &Path, source: &str) -> Result<Option<(Vec<u8>, Index)>, Failure> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read", path, &error)),
    };
    match Index::parse(&text, source) {
        Ok(index) => Ok(Some((text, index))),
        Err(why) => Err(Failure::new(
            Exit::Refused,
            format!("what this machine has seen of `{source}` cannot be read"),
        )
        .at(Location::file(path.display().to_string()))
        .detail(why.message)
        .detail("without it an older index, or other bytes of a version, would not be recognised")
        .help(format!(
            "put the file back from a copy; or forget what was seen with `ztc plugins trust add {} KEY`, with the key that `ztc plugins trust list` shows",
            word(source)
        ))),
    }
}

/// Remembers an index that was verified. `last` is what was seen before of the same publisher, and was compared with it.
pub(crate) fn save(
    data: &Path,
    source: &str,
    last: Option<&Seen>,
    (text, index): (&[u8], &Index),
) -> Result<(), Failure> {
    // First what is gone: where nothing follows, it says nothing that the old index does not say.
    match last.and_then(|last| gone(last, index)) {
        Some(gone) => {
            let kept = serde_json::to_vec(&gone).map_err(|error| {
                Failure::failed("failed to write what a source has shown")
                    .detail(error)
                    .help("report this to the authors of ztc, with the whole command")
            })?;
            if kept.len() as u64 > MOST_INDEX {
                return Err(too_much(source));
            }
            atomic::private(&gone_path(data, source), &kept, Existing::Replace)?;
        }
        None => remove(&gone_path(data, source))?,
    }
    atomic::private(&path(data, source), text, Existing::Replace)
}

/// A publisher who takes away more than anybody can remember could bring all of it back changed.
fn too_much(source: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("`{source}` has taken away more versions than are remembered ({MOST_INDEX} bytes)"),
    )
    .help(format!(
        "ask its publisher; where it has begun anew, and you know it from them, run `ztc plugins trust remove {}`",
        word(source)
    ))
}

/// Forgets what a source has shown: by an operator's word it begins anew.
pub(crate) fn forget(data: &Path, source: &str) -> Result<(), Failure> {
    remove(&path(data, source))?;
    remove(&gone_path(data, source))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Returns all that was ever taken away, with what a new index takes away; nothing where nothing was. What comes back stays in it: an index that is not
/// written after all would have it nowhere.
fn gone(last: &Seen, new: &Index) -> Option<Index> {
    let mut gone = last.gone.clone().unwrap_or_else(|| Index {
        adapters: [].into(),
        versions: [].into(),
        ..last.index.clone()
    });
    for (name, entry) in &last.index.adapters {
        for (version, release) in &entry.versions {
            let now = new.adapters.get(name);
            let now = now.and_then(|entry| entry.versions.get(version));
            keep(&mut gone, (name, version), release, now);
        }
    }
    for (name, tables) in &last.index.versions {
        let now = new.versions.get(name);
        let is_there =
            |table: &Table| now.is_some_and(|now| now.iter().any(|one| one.serial == table.serial));
        for table in tables.iter().filter(|table| !is_there(table)) {
            let kept = gone.versions.entry(name.clone()).or_default();
            kept.retain(|one| one.serial != table.serial);
            kept.push(table.clone());
            kept.sort_by_key(|table| table.serial);
        }
    }
    (!gone.adapters.is_empty() || !gone.versions.is_empty()).then_some(gone)
}

/// Keeps of a release what a new index does not say of it: all, or some platforms.
fn keep(gone: &mut Index, (name, version): (&str, &str), old: &Release, now: Option<&Release>) {
    let is_gone = |platform: &str| now.is_none_or(|now| !now.platforms.contains_key(platform));
    if now.is_some() && !old.platforms.keys().any(|platform| is_gone(platform)) {
        return;
    }
    let entry: &mut Entry = gone.adapters.entry(name.to_owned()).or_default();
    let kept = entry.versions.remove(version).unwrap_or_default();
    let mut release = old.clone();
    // One sum a platform: what is in both was compared.
    release.platforms.extend(kept.platforms);
    entry.versions.insert(version.to_owned(), release);
}

/// Refuses an index that is older than the one that was seen, or says something else about the same release.
pub(crate) fn compare(
    source: &str,
    (old_text, old): (&[u8], &Index),
    (new_text, new): (&[u8], &Index),
) -> Result<(), Failure> {
    let refused = |message: String| Err(Failure::new(Exit::Refused, message));
    if new.serial < old.serial {
        return refused(format!(
            "the index of `{source}` is older than the one that this machine has seen: serial {}, seen was {}",
            new.serial, old.serial
        ))
        .map_err(|failure| {
            failure.help(format!("run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove {}`", word(source)))
        });
    }
    if new.serial == old.serial && new_text != old_text {
        return refused(format!(
            "`{source}` has another index with the serial {} that this machine has seen",
            new.serial
        ))
        .map_err(|failure| failure.help("ask its publisher which one is right"));
    }
    compare_content(source, old, new)
}

/// Refuses other bytes, or more powers, of what was seen.
fn compare_content(source: &str, old: &Index, new: &Index) -> Result<(), Failure> {
    for (name, tables) in &old.versions {
        for old in tables {
            let mut now = new.versions.get(name).into_iter().flatten();
            if let Some(other) =
                now.find(|now| now.serial == old.serial && now.sha256 != old.sha256)
            {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("table {} of the versions of `{name}` of `{source}` has other bytes than before", old.serial),
                )
                .detail(format!("was: {}", old.sha256))
                .detail(format!("now: {}", other.sha256))
                .help("a table never changes its bytes: ask its publisher, who has to give the change a new serial"));
            }
        }
    }
    for (name, entry) in &old.adapters {
        let now = new.adapters.get(name);
        for (version, release) in &entry.versions {
            let Some(now) = now.and_then(|entry| entry.versions.get(version)) else {
                continue;
            };
            if let Some(failure) = other_powers(source, name, version, (release, now)) {
                return Err(failure);
            }
            for (platform, asset) in &release.platforms {
                if let Some(other) = now.platforms.get(platform)
                    && other.sha256 != asset.sha256
                {
                    return Err(other_bytes(source, name, version, platform)
                        .detail(format!("was: {}", asset.sha256))
                        .detail(format!("now: {}", other.sha256)));
                }
            }
        }
    }
    Ok(())
}

/// A version that may touch more than it could, or does not say it any more. To take something back is harmless: it is held to it.
fn other_powers(
    source: &str,
    name: &str,
    version: &str,
    (old, new): (&Release, &Release),
) -> Option<Failure> {
    let is_silent = is_described(old) && !is_described(new);
    let more = powers(&new.touches, &old.touches);
    if !is_silent && (more.is_empty() || !is_described(old)) {
        return None;
    }
    let mut failure = Failure::new(
        Exit::Refused,
        format!("`{name}` {version} of `{source}` does not say what it said before of what it touches"),
    )
    .help("a version never changes what it touches: ask its publisher, who has to give the change a new version");
    failure.details = more.iter().map(|power| format!("new: {power}")).collect();
    if is_silent {
        failure.details.push("it says nothing any more".to_owned());
    }
    Some(failure)
}

/// A version that was known with other bytes.
pub(crate) fn other_bytes(source: &str, name: &str, version: &str, platform: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("`{name}` {version} of `{source}` has other bytes than before for {platform}"),
    )
    .help("a version never changes its bytes: ask its publisher, who has to give the change a new version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::index::Asset;

    const HERE: &str = "https://example.org";

    /// An index with versions of `bgp`: each `version platform=first letters of the sum ...`.
    fn index(serial: u64, versions: &[&str]) -> Index {
        let release = |platforms: &mut dyn Iterator<Item = &str>| Release {
            provides: vec!["acme/bgp 1.0".into()],
            protocols: vec!["1.0".into()],
            platforms: platforms
                .map(|text| {
                    let (platform, sum) = text.split_once('=').unwrap();
                    let asset = Asset {
                        path: format!("bgp-{platform}"),
                        size: 1,
                        sha256: sum.repeat(64),
                    };
                    (format!("{platform}-x86_64"), asset)
                })
                .collect(),
            ..Release::default()
        };
        let versions = versions.iter().map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap().to_owned(), release(&mut words))
        });
        let entry = Entry {
            versions: versions.collect(),
            ..Entry::default()
        };
        Index {
            format: 1,
            serial,
            issued: "2026-01-01T00:00:00Z".into(),
            expires: "2026-02-01T00:00:00Z".into(),
            adapters: [("bgp".to_owned(), entry)].into(),
            ..Index::default()
        }
    }

    /// Shows a machine one index after the other, and returns what it says of the last.
    fn shown(data: &Path, indexes: &[&[&str]]) -> Result<(), String> {
        let first = load(data, HERE)
            .unwrap()
            .map_or(0, |seen| seen.index.serial)
            + 1;
        for (serial, versions) in (first..).zip(indexes) {
            let index = index(serial, versions);
            let text = serde_json::to_vec(&index).unwrap();
            let last = load(data, HERE).unwrap();
            if let Some(last) = &last {
                last.compare(HERE, (&text, &index))
                    .map_err(|failure| failure.message)?;
            }
            save(data, HERE, last.as_ref(), (&text, &index)).unwrap();
        }
        Ok(())
    }

    #[track_caller]
    fn check(indexes: &[&[&str]], expected: Result<(), &str>) {
        let data = tempfile::tempdir().unwrap();
        let said = shown(data.path(), indexes);
        assert_eq!(said, expected.map_err(str::to_owned), "{indexes:?}");
    }

    #[test]
    fn what_was_ever_seen_never_comes_back_with_other_bytes() {
        let other = |platform: &str| {
            format!("`bgp` 0.1.0 of `{HERE}` has other bytes than before for {platform}-x86_64")
        };
        let one: &[&str] = &["0.1.0 linux=a macos=b"];
        let both: &[&str] = &["0.1.0 linux=a macos=b", "0.2.0 linux=d"];
        check(&[both, &["0.2.0 linux=d"], &[], one], Ok(()));
        let changed: &[&str] = &["0.1.0 linux=c macos=b"];
        check(&[both, &["0.2.0 linux=d"], changed], Err(&other("linux")));
        check(
            &[one, &[], &[], &["0.2.0 linux=d"], changed],
            Err(&other("linux")),
        );
        // A platform is taken away, then its version, and another comes meanwhile.
        let linux: &[&str] = &["0.1.0 linux=a"];
        let changed: &[&str] = &["0.1.0 linux=a macos=c"];
        check(&[one, linux, changed], Err(&other("macos")));
        check(&[one, linux, &[], changed], Err(&other("macos")));
        check(
            &[linux, &["0.1.0 macos=b"], &["0.1.0 linux=c"]],
            Err(&other("linux")),
        );
    }

    #[test]
    fn nothing_is_kept_of_a_source_that_takes_nothing_away() {
        let data = tempfile::tempdir().unwrap();
        let gone = gone_path(data.path(), HERE);
        let one: &[&str] = &["0.1.0 linux=a"];
        shown(data.path(), &[one, one]).unwrap();
        assert!(!gone.exists());
        shown(data.path(), &[&[], one]).unwrap();
        assert!(gone.exists());
        forget(data.path(), HERE).unwrap();
        assert!(!gone.exists() && load(data.path(), HERE).unwrap().is_none());
    }

    #[test]
    fn what_comes_back_is_remembered_also_where_its_index_was_not_written() {
        let data = tempfile::tempdir().unwrap();
        let one: &[&str] = &["0.1.0 linux=a"];
        shown(data.path(), &[one, &[]]).unwrap();
        let before = std::fs::read(path(data.path(), HERE)).unwrap();
        shown(data.path(), &[one]).unwrap();
        // As a kill between the two files leaves them.
        std::fs::write(path(data.path(), HERE), before).unwrap();
        let said = shown(data.path(), &[&["0.1.0 linux=b"]]);
        let other =
            "`bgp` 0.1.0 of `https://example.org` has other bytes than before for linux-x86_64";
        assert_eq!(said, Err(other.to_owned()));
    }

    #[test]
    fn who_takes_away_more_than_can_be_remembered_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let lines: Vec<String> = (0..40_000)
            .map(|minor| format!("0.{minor}.0 linux=a"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let seen = Seen {
            text: Vec::new(),
            index: index(1, &lines),
            gone: None,
        };
        let failure = save(data.path(), HERE, Some(&seen), (b"{}", &index(2, &[]))).unwrap_err();
        assert_eq!(
            failure.message,
            format!("`{HERE}` has taken away more versions than are remembered (8388608 bytes)")
        );
        assert!(!path(data.path(), HERE).exists());
    }

    #[test]
    fn what_is_broken_never_counts_as_not_seen() {
        for path in [path, gone_path] {
            let data = tempfile::tempdir().unwrap();
            shown(data.path(), &[&["0.1.0 linux=a"], &[]]).unwrap();
            let path = path(data.path(), HERE);
            let text = std::fs::read(&path).unwrap();
            std::fs::write(&path, &text[..text.len() / 2]).unwrap();
            let failure = load(data.path(), HERE).unwrap_err();
            assert_eq!(failure.exit, Exit::Refused);
        }
    }
}
