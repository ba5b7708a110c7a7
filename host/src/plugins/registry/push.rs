//! Publishing into a registry: the files of a checked tree become blobs, then the artifacts of its versions, then the one of the tree. What is
//! there already is not sent again, and nothing that others have locked is changed or taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::digest;
use crate::error::Failure;
use crate::plugins::index::{self, Index};
use crate::plugins::mirror;
use crate::plugins::publish::{OtherKey, SUMS};
use crate::plugins::registry::held;
use crate::plugins::registry::session::Wanted;
use crate::plugins::registry::{CONFIG, INDEX_TAG, MANIFEST, Repository, TITLE};
use crate::plugins::web::{self, Content, Method};

/// The content of every config: an artifact has to have one.
const NOTHING: &[u8] = b"{}";

/// What was pushed.
#[derive(Debug, Serialize)]
pub(crate) struct Pushed {
    pub(crate) source: String,
    pub(crate) serial: u64,
    /// Files that were sent, by their paths in the tree; all others were there.
    pub(crate) sent: Vec<String>,
    /// Tags that are new.
    pub(crate) tags: Vec<String>,
    /// What the tag `index` names now.
    pub(crate) digest: String,
    /// The key that had signed what was there before, where that was another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_key: Option<String>,
    /// Tags that still name versions of that other key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<String>,
}

/// A file of the tree.
struct Piece {
    path: String,
    file: PathBuf,
    media_type: &'static str,
    sha256: String,
    size: u64,
}

/// Whether anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Push,
    /// Everything is compared, and nothing sent.
    DryRun,
}

/// Who hears how many bytes of how many of a file have gone.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// Finds out from an index alone whether its tree would be refused. Sends nothing, so that nothing need be signed for it.
pub(crate) fn would_refuse(
    (text, index): (&[u8], &Index),
    to: &Repository,
    other: OtherKey,
) -> Result<(), Failure> {
    to.for_push();
    held::compare(to, (text, index), other).map(drop)
}

/// Pushes a tree that was checked; `text` and `index` are its index.
pub(crate) fn push(
    directory: &Path,
    (text, index): (&[u8], &Index),
    to: &Repository,
    (mode, other): (Mode, OtherKey),
    progress: Progress<'_>,
) -> Result<Pushed, Failure> {
    to.for_push();
    let held = held::compare(to, (text, index), other)?;
    let pieces = pieces(directory, index)?;
    let mut artifacts = Vec::new();
    for tag in held::tags(index) {
        let prefix = tag.prefix();
        let is_own = |piece: &&Piece| piece.path.starts_with(&prefix) || is_index(&piece.path);
        let own: Vec<&Piece> = pieces.iter().filter(is_own).collect();
        let mut programs = own.iter().filter(|piece| piece.media_type == PROGRAM);
        let is_there = match held.artifacts.get(&tag.name) {
            // A mirror that does not hold it.
            None => programs.next().is_none(),
            Some(old) => programs.all(|piece| old.digest(&piece.path).is_some()),
        };
        if !is_there {
            artifacts.push((tag.name, manifest(&own).to_string()));
        }
    }
    let whole = manifest(&pieces.iter().collect::<Vec<_>>()).to_string();
    let digest = format!("sha256:{}", digest::sha256_hex(whole.as_bytes()));
    let (mut sent, mut known) = (Vec::new(), BTreeSet::new());
    for piece in &pieces {
        // The same bytes go once, under whatever names.
        if known.insert(&piece.sha256) && send(to, piece, mode, progress)? {
            sent.push(piece.path.clone());
        }
    }
    if mode == Mode::Push {
        let sha256 = digest::sha256_hex(NOTHING);
        if !has(to, &sha256)? {
            upload(to, &sha256, NOTHING.len() as u64, &mut { NOTHING })?;
        }
        for (tag, manifest) in &artifacts {
            put(to, tag, manifest)?;
        }
        // Last, so that it never names what is not there.
        put(to, INDEX_TAG, &whole)?;
    }
    let tags = artifacts.into_iter().map(|(tag, _)| tag).collect();
    Ok(Pushed {
        source: to.name(),
        serial: index.serial,
        sent,
        tags,
        digest,
        replaced_key: held.replaced_key,
        left: held.left,
    })
}

fn is_index(path: &str) -> bool {
    path == index::FILE || path == index::SIGNATURE
}

const PROGRAM: &str = "application/vnd.ztc.adapter.v1";

/// All files of the tree that are there, the index first.
fn pieces(directory: &Path, index: &Index) -> Result<Vec<Piece>, Failure> {
    let mut all = BTreeMap::new();
    for (name, entry) in &index.adapters {
        for (version, release) in &entry.versions {
            let sums = format!("{name}/{version}/{SUMS}");
            all.insert(
                format!("{sums}.minisig"),
                "application/vnd.ztc.tree.signature.v1",
            );
            all.insert(sums, "application/vnd.ztc.tree.sums.v1");
            for asset in release.platforms.values() {
                all.insert(asset.path.clone(), PROGRAM);
            }
        }
    }
    for table in index.versions.values().flatten() {
        all.insert(
            table.path.clone(),
            "application/vnd.ztc.tree.versions.v1+yaml",
        );
    }
    all.insert(
        mirror::FILE.to_owned(),
        "application/vnd.ztc.tree.mirror.v1+json",
    );
    let head = [
        (
            index::FILE.to_owned(),
            "application/vnd.ztc.tree.index.v1+json",
        ),
        (
            index::SIGNATURE.to_owned(),
            "application/vnd.ztc.tree.signature.v1",
        ),
    ];
    let mut pieces = Vec::new();
    for (path, media_type) in head.into_iter().chain(all) {
        let file = directory.join(&path);
        // A mirror need not have everything.
        if !file.exists() {
            continue;
        }
        let fail = |error: std::io::Error| Failure::io("read", &file, &error);
        pieces.push(Piece {
            sha256: digest::file(&file).map_err(fail)?,
            size: std::fs::metadata(&file).map_err(fail)?.len(),
            path,
            media_type,
            file,
        });
    }
    Ok(pieces)
}

/// Sends a file where the registry does not have its bytes.
fn send(
    to: &Repository,
    piece: &Piece,
    mode: Mode,
    progress: Progress<'_>,
) -> Result<bool, Failure> {
    struct Watched<'a> {
        file: File,
        piece: &'a Piece,
        went: u64,
        progress: Progress<'a>,
    }
    impl Read for Watched<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.file.read(buffer)?;
            self.went += count as u64;
            (self.progress)(&self.piece.path, self.went, self.piece.size);
            Ok(count)
        }
    }
    if has(to, &piece.sha256)? {
        return Ok(false);
    }
    if mode == Mode::DryRun {
        return Ok(true);
    }
    let file = File::open(&piece.file).map_err(|error| Failure::io("read", &piece.file, &error))?;
    let mut watched = Watched {
        file,
        piece,
        went: 0,
        progress,
    };
    upload(to, &piece.sha256, piece.size, &mut watched)?;
    Ok(true)
}

fn has(to: &Repository, sha256: &str) -> Result<bool, Failure> {
    let url = to.url(&format!("blobs/sha256:{sha256}"))?;
    Ok(to.ask(Wanted::new(Method::Head, &url))?.status == 200)
}

fn upload(to: &Repository, sha256: &str, size: u64, content: &mut dyn Read) -> Result<(), Failure> {
    let place = format!("blobs/sha256:{sha256}");
    let begin = to.url("blobs/uploads/")?;
    let answer = to.ask(Wanted::new(Method::Post, &begin))?;
    let location = match answer.status {
        202 => answer
            .header("location")
            .and_then(|text| begin.join(text).ok()),
        _ => return Err(to.unexpected("blobs/uploads/", answer)),
    };
    let mut url = location.ok_or_else(|| to.nonsense("it does not say where to send a file"))?;
    web::check(&to.name(), &begin, &url)?;
    url.query_pairs_mut()
        .append_pair("digest", &format!("sha256:{sha256}"));
    let answer = to.ask(Wanted {
        content: Content::Stream(content, size),
        content_type: Some("application/octet-stream"),
        limit: web::patience(size),
        ..Wanted::new(Method::Put, &url)
    })?;
    match answer.status {
        201 => Ok(()),
        _ => Err(to.unexpected(&place, answer)),
    }
}

/// Writes the artifact of a tag.
fn put(to: &Repository, tag: &str, manifest: &str) -> Result<(), Failure> {
    let path = format!("manifests/{tag}");
    let url = to.url(&path)?;
    let answer = to.ask(Wanted {
        content: Content::Bytes(manifest.as_bytes()),
        content_type: Some(MANIFEST),
        ..Wanted::new(Method::Put, &url)
    })?;
    match answer.status {
        201 => Ok(()),
        _ => Err(to.unexpected(&path, answer)),
    }
}

fn manifest(pieces: &[&Piece]) -> Value {
    let layers: Vec<Value> = pieces
        .iter()
        .map(|piece| {
            json!({
                "mediaType": piece.media_type,
                "digest": format!("sha256:{}", piece.sha256),
                "size": piece.size,
                "annotations": {TITLE: piece.path},
            })
        })
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG,
            "digest": format!("sha256:{}", digest::sha256_hex(NOTHING)),
            "size": NOTHING.len(),
        },
        "layers": layers,
    })
}
