//! What a repository holds before something is pushed into it: whose it is, and what of it the new tree would take back. What its own publisher
//! has signed is never taken back; what another key or nobody has signed makes room by the publisher's explicit word only. Sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Exit, Failure};
use crate::plugins::index::{self, Index, Release};
use crate::plugins::publish::OtherKey;
use crate::plugins::registry::{INDEX_TAG, Manifest, Repository};
use crate::plugins::seen;
use crate::plugins::signature::{Key, Refused};
use crate::plugins::yank;

/// What is there and may stay, and what makes room.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The artifacts of versions that stay, by their tags.
    pub(super) artifacts: BTreeMap<String, Manifest>,
    /// The key that had signed what makes room, where one had.
    pub(super) replaced_key: Option<String>,
    /// Tags of its versions that the new tree does not have.
    pub(super) left: Vec<String>,
}

/// The index that a repository has.
enum Old {
    Nothing,
    /// Its publisher's key has signed it.
    Signed(Box<(Vec<u8>, Index)>),
    /// No operator takes it, and this is why.
    Unusable(Failure),
}

/// An index and its signature.
type Signed = (Vec<u8>, Vec<u8>);

/// Refuses to put a tree where another one is, or one that takes something back.
pub(crate) fn compare(
    to: &Repository,
    (text, index): (&[u8], &Index),
    other: OtherKey,
) -> Result<Held, Failure> {
    let mut held = Held::default();
    match (old(to)?, other) {
        (Old::Nothing, _) => {}
        (Old::Signed(old), _) if old.1.publisher.key == index.publisher.key => {
            refuse_older(to, (&old.0, &old.1), (text, index))?;
        }
        (Old::Signed(old), OtherKey::Refuse) => return Err(another_key(&to.name(), &old.1, index)),
        (Old::Signed(old), OtherKey::Replace) => {
            let ours: BTreeSet<String> = tags(index).into_iter().map(|tag| tag.name).collect();
            let theirs = tags(&old.1).into_iter().map(|tag| tag.name);
            held.left = theirs.filter(|tag| !ours.contains(tag)).collect();
            held.replaced_key = Some(old.1.publisher.key.clone());
        }
        (Old::Unusable(why), OtherKey::Refuse) => return Err(nobodys(to, why)),
        (Old::Unusable(_), OtherKey::Replace) => {}
    }
    for tag in tags(index) {
        // Whoever takes one version alone needs the signatures of the key that counts.
        if held.replaced_key.is_none()
            && let Some(artifact) = artifact(to, &tag, index, other)?
        {
            held.artifacts.insert(tag.name, artifact);
        }
    }
    Ok(held)
}

/// The tag of a version, with what the index says of it.
pub(super) struct Tag<'a> {
    pub(super) name: String,
    adapter: &'a str,
    version: &'a str,
    release: &'a Release,
}

impl Tag<'_> {
    /// The directory of its files.
    pub(super) fn prefix(&self) -> String {
        format!("{}/{}/", self.adapter, self.version)
    }
}

/// The tags of all versions.
pub(super) fn tags(index: &Index) -> Vec<Tag<'_>> {
    let alone = index.adapters.len() == 1;
    let mut all = Vec::new();
    for (adapter, entry) in &index.adapters {
        for (version, release) in &entry.versions {
            all.push(Tag {
                name: match alone {
                    true => version.clone(),
                    false => format!("{adapter}-{version}"),
                },
                adapter,
                version,
                release,
            });
        }
    }
    all
}

/// Reads the index as something that anybody may have put there.
fn old(to: &Repository) -> Result<Old, Failure> {
    let place = to.name();
    let Some(text) = to.manifest_text(INDEX_TAG)? else {
        return Ok(Old::Nothing);
    };
    let manifest = match to.read_manifest(INDEX_TAG, &text) {
        Ok(manifest) => manifest,
        Err(failure) => return Ok(Old::Unusable(failure)),
    };
    match signed(to, &manifest)? {
        Ok((text, signature)) => Ok(match judged(&place, &text, &signature) {
            Ok(index) => Old::Signed(Box::new((text, index))),
            Err(failure) => Old::Unusable(failure),
        }),
        Err(failure) => Ok(Old::Unusable(failure)),
    }
}

/// The index of an artifact and its signature; the inner error is one of what lies there, the outer one of the way to it.
fn signed(to: &Repository, manifest: &Manifest) -> Result<Result<Signed, Failure>, Failure> {
    let mut texts = Vec::new();
    for (path, most) in [
        (index::FILE, index::MOST_INDEX),
        (index::SIGNATURE, index::MOST_SIGNATURE),
    ] {
        match to.of_manifest(manifest, path, most) {
            Ok(Some(text)) => texts.push(text),
            Ok(None) => return Ok(Err(to.nonsense(&format!("it has no `{path}`")))),
            // Other bytes than its artifact names, or no end: registry and network work.
            Err(failure) if failure.exit == Exit::Refused => return Ok(Err(failure)),
            Err(failure) => return Err(failure),
        }
    }
    let signature = texts.pop().unwrap_or_default();
    Ok(Ok((texts.pop().unwrap_or_default(), signature)))
}

/// Returns an index that the key in it has signed.
fn judged(place: &str, text: &[u8], signature: &[u8]) -> Result<Index, Failure> {
    let index = Index::parse(text, place)?;
    let key = Key::parse(&index.publisher.key)?;
    let signature = String::from_utf8_lossy(signature);
    match key.verify(text, &signature, index::FILE, place) {
        Ok(()) => Ok(index),
        Err(Refused::Wrong(failure)) => Err(*failure),
        Err(Refused::OtherKey) => Err(Failure::new(
            Exit::Refused,
            format!("the index of `{place}` names another key than the one that signed it"),
        )
        .help("ask its publisher")),
    }
}

/// The artifact of a version that stays. Other bytes under the same name are refused.
fn artifact(
    to: &Repository,
    tag: &Tag<'_>,
    index: &Index,
    other: OtherKey,
) -> Result<Option<Manifest>, Failure> {
    let Some(text) = to.manifest_text(&tag.name)? else {
        return Ok(None);
    };
    let manifest = match (to.read_manifest(&tag.name, &text), other) {
        (Ok(manifest), _) => manifest,
        (Err(_), OtherKey::Replace) => return Ok(None),
        (Err(failure), OtherKey::Refuse) => {
            return Err(nobodys(to, failure));
        }
    };
    let Some(failure) = other_bytes(to, tag, &manifest) else {
        return match (incomplete(to, tag, &manifest, index)?, other) {
            (Some(failure), OtherKey::Refuse) => Err(failure),
            (Some(_), OtherKey::Replace) => Ok(None),
            (None, _) => Ok(Some(manifest)),
        };
    };
    match other {
        OtherKey::Replace if !is_signed(to, tag, &manifest, index)? => Ok(None),
        _ => Err(failure),
    }
}

fn other_bytes(to: &Repository, tag: &Tag<'_>, manifest: &Manifest) -> Option<Failure> {
    tag.release.platforms.values().find_map(|asset| {
        let there = manifest.digest(&asset.path)?;
        let here = format!("sha256:{}", asset.sha256);
        (there != here).then(|| {
            Failure::new(
                Exit::Refused,
                format!("`{}:{}` has other bytes for `{}`", to.name(), tag.name, asset.path),
            )
            .detail(format!("there: {there}"))
            .detail(format!("here: {here}"))
            .help("give the change a new version: a published version never changes its bytes; where nobody has signed these, `--replace-key` puts yours in their place")
        })
    })
}

/// Why an artifact that lacks files of its version, and so makes room, is not the publisher's.
fn incomplete(
    to: &Repository,
    tag: &Tag<'_>,
    manifest: &Manifest,
    new: &Index,
) -> Result<Option<Failure>, Failure> {
    let mut assets = tag.release.platforms.values();
    if assets.all(|asset| manifest.digest(&asset.path).is_some()) {
        return Ok(None);
    }
    let place = format!("{}:{}", to.name(), tag.name);
    let judged =
        signed(to, manifest)?.and_then(|(text, signature)| judged(&place, &text, &signature));
    Ok(match judged {
        Ok(index) if index.publisher.key == new.publisher.key => None,
        Ok(index) => Some(another_key(&place, &index, new)),
        Err(failure) => Some(nobodys(to, failure)),
    })
}

/// Whether the publisher has signed the bytes that an artifact has for a version.
fn is_signed(
    to: &Repository,
    tag: &Tag<'_>,
    manifest: &Manifest,
    new: &Index,
) -> Result<bool, Failure> {
    let Ok((text, signature)) = signed(to, manifest)? else {
        return Ok(false);
    };
    let Ok(index) = judged(&to.name(), &text, &signature) else {
        return Ok(false);
    };
    let entry = index.adapters.get(tag.adapter);
    let release = entry.and_then(|entry| entry.versions.get(tag.version));
    let assets = release.into_iter().flat_map(|it| it.platforms.values());
    let differs = |path: &str, sha256: &str| {
        let signed = format!("sha256:{sha256}");
        manifest.digest(path) != Some(&signed)
    };
    let is_theirs = assets
        .clone()
        .all(|asset| !differs(&asset.path, &asset.sha256));
    Ok(index.publisher.key == new.publisher.key && is_theirs && assets.count() > 0)
}

/// Refuses what its own publisher would take back by it.
fn refuse_older(
    to: &Repository,
    (old_text, old): (&[u8], &Index),
    (text, index): (&[u8], &Index),
) -> Result<(), Failure> {
    let place = to.name();
    if index.serial < old.serial || (index.serial == old.serial && old_text != text) {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "`{place}` has a tree with serial {}, and this one has {}",
                old.serial, index.serial
            ),
        )
        .help(match old.serial.checked_add(1) {
            Some(next) => format!(
                "publish from the tree that was pushed before, and push again; where that one is lost, sign with `ztc plugins publish` and `--serial {next}`; where somebody else has your key, take a new one (PUBLISHING.md, Keys)"
            ),
            None => "nothing is newer than that: take a new key, sign with `ztc plugins publish` and `--replace-key --serial 1`, and push with `--replace-key` (PUBLISHING.md, Keys)".to_owned(),
        }));
    }
    seen::compare(&place, (old_text, old), (text, index))?;
    let gone: Vec<String> = paths(old).difference(&paths(index)).cloned().collect();
    if !gone.is_empty() {
        let mut failure = Failure::new(
            Exit::Refused,
            format!("`{place}` has files that this tree does not name"),
        )
        .help("publish from the tree that was pushed before: others have locked these files");
        failure.details = gone;
        return Err(failure);
    }
    let back = offered_again(old, index);
    if !back.is_empty() {
        let mut failure = Failure::new(
            Exit::Refused,
            format!("`{place}` has taken versions back that this tree offers again"),
        )
        .help("publish from the tree that was pushed before; or sign this one with `ztc plugins publish` and `--yank NAME@VERSION` for each of them, or `--unyank NAME@VERSION` where it is meant");
        failure.details = back;
        return Err(failure);
    }
    Ok(())
}

fn paths(index: &Index) -> BTreeSet<String> {
    let tables = index.versions.values().flatten();
    let tables = tables.map(|table| table.path.clone());
    index
        .executables()
        .map(str::to_owned)
        .chain(tables)
        .collect()
}

/// What an index has taken back, and another one offers again without its publisher's word.
fn offered_again(old: &Index, index: &Index) -> Vec<String> {
    let mut all = Vec::new();
    for (name, entry) in &old.adapters {
        for (version, _) in entry.versions.iter().filter(|(_, it)| it.yanked.is_some()) {
            let now = index.adapters.get(name);
            let now = now.and_then(|entry| entry.versions.get(version));
            let is_meant =
                |now: &Release| now.yanked.is_some() || yank::is_offered_again(now, old.serial);
            if !now.is_some_and(is_meant) {
                all.push(format!("{name}@{version}"));
            }
        }
    }
    all
}

fn another_key(place: &str, old: &Index, index: &Index) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("`{place}` has a tree that was signed with another key"),
    )
    .detail(format!("there: {}", old.publisher.key))
    .detail(format!("here: {}", index.publisher.key))
    .help("push what that key has signed, or to another repository; with `--replace-key` yours takes its place, and everybody who has installed from there has to trust your key by hand")
}

fn nobodys(to: &Repository, why: Failure) -> Failure {
    let mut failure = Failure::new(
        Exit::Refused,
        format!("`{}` has something that no publisher has signed", to.name()),
    )
    .detail(why.message)
    .help("find out who has written it; with `--replace-key` your tree takes its place");
    failure.details.extend(why.details);
    failure
}
