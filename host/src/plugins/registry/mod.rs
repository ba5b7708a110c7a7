//! Trees in OCI registries: one repository is one tree. The files of the tree are the layers of an artifact, each named by its path, so that
//! a copy of the artifact is a copy of the tree. What is believed is the signed index, not the registry: an executable is asked for by the
//! digest that was signed. Calls only the OCI distribution API, and only the host that was named.
//!
//! ```text
//! tag `index`      every file of the tree; moves with every publication
//! tag `1.2.0`      the files of that version, with the index of its time; moves with a new key only. Where a tree has several adapters: `bgp-1.2.0`
//! ```

mod credentials;
mod held;
pub(crate) mod push;
mod session;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::error::{Exit, Failure};
use crate::platform::structure::is_name;
use crate::plugins::index;
use crate::plugins::name::split_version;
use crate::plugins::registry::session::{Session, Wanted};
use crate::plugins::source::is_loopback;
use crate::plugins::web;

/// The tag that says what the tree holds now.
pub(crate) const INDEX_TAG: &str = "index";

/// The largest manifest.
const MOST_MANIFEST: u64 = 4 << 20;

/// The media types. `CONFIG` says that an artifact is a tree of adapters.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// All that a tag can name: a registry that is asked for one type alone refuses to say what else is there.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, application/vnd.docker.distribution.manifest.v1+json, */*";
const CONFIG: &str = "application/vnd.ztc.tree.config.v1+json";

/// The annotation with a layer's path, as every tool for artifacts reads it.
const TITLE: &str = "org.opencontainers.image.title";

/// A repository of a registry.
#[derive(Clone)]
pub(crate) struct Repository {
    /// With its port.
    host: String,
    path: String,
    /// What the address names of it.
    tag: Option<Tag>,
    /// Shared by all copies, so that nobody asks for a pass twice and all files come from one artifact.
    session: Arc<Mutex<Session>>,
}

/// What a manifest says, as far as it matters.
#[derive(Clone, Debug, Default, Deserialize)]
struct Manifest {
    /// Not every artifact says it.
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    #[serde(default)]
    layers: Vec<Layer>,
}

/// One file of an artifact.
#[derive(Clone, Debug, Deserialize)]
struct Layer {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// The digest of a file.
    fn digest(&self, path: &str) -> Option<&str> {
        let named = |layer: &&Layer| {
            layer
                .annotations
                .get(TITLE)
                .is_some_and(|title| title == path)
        };
        self.layers
            .iter()
            .find(named)
            .map(|layer| layer.digest.as_str())
    }
}

/// The version that an address names: `1.2.0`, or `bgp-1.2.0` where a tree has several adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    adapter: Option<String>,
    version: Version,
}

impl Tag {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(version) = Version::parse(text) {
            return Some(Self {
                adapter: None,
                version,
            });
        }
        let (name, version) = split_version(text);
        Some(Self {
            adapter: Some(name.to_owned()).filter(|name| is_name(name)),
            version: version.filter(|_| is_name(name))?,
        })
    }

    fn text(&self) -> String {
        match &self.adapter {
            None => self.version.to_string(),
            Some(name) => format!("{name}-{}", self.version),
        }
    }
}

impl PartialEq for Repository {
    fn eq(&self, other: &Self) -> bool {
        (&self.host, &self.path, &self.tag) == (&other.host, &other.path, &other.tag)
    }
}

impl Eq for Repository {}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({} {:?})", self.name(), self.tag)
    }
}

impl Repository {
    /// Reads `host/path` or `host/path:version`; the error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, rest) = text
            .trim_end_matches('/')
            .split_once('/')
            .ok_or("it names a registry, and no repository in it")?;
        let (path, tag) = match rest.split_once(':') {
            None => (rest, None),
            Some((path, tag)) => (
                path,
                Some(Tag::parse(tag).ok_or("what follows its `:` is not a version")?),
            ),
        };
        let in_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if host.is_empty() || !host.chars().all(in_host) {
            return Err("its host has characters that no host has");
        }
        match path.split('/').all(is_component) {
            true => Ok(Self {
                host: plain_host(host),
                path: path.to_owned(),
                tag,
                session: Arc::default(),
            }),
            false => Err(
                "a repository has lower-case letters, digits and single `.`, `_`, `-` and `/` between them",
            ),
        }
    }

    /// The one name that it has everywhere, without a version.
    pub(crate) fn name(&self) -> String {
        format!("oci://{}/{}", self.host, self.path)
    }

    /// The range that its address asks for.
    pub(crate) fn range(&self) -> Option<VersionReq> {
        VersionReq::parse(&format!("={}", self.tag.as_ref()?.version)).ok()
    }

    /// The adapter that its address names.
    pub(crate) fn adapter(&self) -> Option<&str> {
        self.tag.as_ref()?.adapter.as_deref()
    }

    /// The same registry, one path further.
    pub(crate) fn below(&self, part: &str) -> Self {
        Self {
            host: self.host.clone(),
            path: format!("{}/{part}", self.path),
            tag: None,
            session: Arc::default(),
        }
    }

    /// The index and its signature, both from one artifact; nothing where there is none.
    pub(crate) fn index(&self) -> Result<Option<Texts>, Failure> {
        let mut manifest = self.manifest(INDEX_TAG)?;
        // A copy may have taken one version only.
        if manifest.is_none()
            && let Some(tag) = &self.tag
        {
            manifest = self.manifest(&tag.text())?;
        }
        let Some(manifest) = manifest else {
            return Ok(None);
        };
        let read = |path: &str, most: u64| self.of_manifest(&manifest, path, most);
        let texts = match read(index::FILE, index::MOST_INDEX)? {
            None => None,
            Some(text) => Some((text, read(index::SIGNATURE, index::MOST_SIGNATURE)?)),
        };
        self.lock().manifest = Some(manifest);
        Ok(texts)
    }

    /// A small file; nothing where the artifact has none.
    pub(crate) fn small(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let known = self.lock().manifest.clone();
        let manifest = match known {
            Some(manifest) => manifest,
            None => match self.manifest(INDEX_TAG)? {
                Some(manifest) => manifest,
                None => return Ok(None),
            },
        };
        self.of_manifest(&manifest, path, most)
    }

    /// The bytes with a digest, which the caller compares with what was signed; nothing where there are none.
    pub(crate) fn blob(&self, sha256: &str, size: u64) -> Result<Option<Box<dyn Read>>, Failure> {
        let path = format!("blobs/sha256:{sha256}");
        let answer = self.get(&path, "*/*", web::patience(size))?;
        Ok(answer.map(|answer| answer.body))
    }

    /// The manifest that a tag names; nothing where there is no such tag.
    fn manifest(&self, tag: &str) -> Result<Option<Manifest>, Failure> {
        let text = self.manifest_text(tag)?;
        text.map(|text| self.read_manifest(tag, &text)).transpose()
    }

    fn manifest_text(&self, tag: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = format!("manifests/{tag}");
        let answer = self.get(&path, MANIFESTS, web::SMALL)?;
        let text = answer.map(|answer| answer.small(&self.name(), &path, MOST_MANIFEST));
        text.transpose()
    }

    fn read_manifest(&self, tag: &str, text: &[u8]) -> Result<Manifest, Failure> {
        let manifest: Manifest = serde_json::from_slice(text).map_err(|error| {
            self.nonsense(&format!("its artifact `{tag}` cannot be read: {error}"))
        })?;
        // An image, or a list of images.
        let is_other = |kind: &str| kind != MANIFEST;
        match manifest.digest(index::FILE) {
            Some(_) if !manifest.media_type.as_deref().is_some_and(is_other) => Ok(manifest),
            _ => Err(self.nonsense(&format!("its artifact `{tag}` is no tree of adapters"))),
        }
    }

    fn of_manifest(
        &self,
        manifest: &Manifest,
        path: &str,
        most: u64,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some(digest) = manifest.digest(path) else {
            return Ok(None);
        };
        let sha256 = digest
            .strip_prefix("sha256:")
            .filter(|sha256| sha256.len() == 64 && sha256.chars().all(|c| c.is_ascii_hexdigit()))
            .ok_or_else(|| self.nonsense(&format!("`{path}` has no SHA-256 in its artifact")))?;
        let Some(reader) = self.blob(sha256, most)? else {
            return Ok(None);
        };
        let content = web::read_small(reader, &self.name(), path, most)?;
        let found = crate::digest::sha256_hex(&content);
        match found == sha256 {
            true => Ok(Some(content)),
            false => Err(Failure::new(
                Exit::Refused,
                format!(
                    "`{path}` of `{}` does not have the bytes that its artifact names",
                    self.name()
                ),
            )
            .detail(format!("named: {sha256}"))
            .detail(format!("found: {found}"))
            .help("do not use this registry: tell its publisher by another way")),
        }
    }

    /// Reads something of the repository; nothing where it is not there.
    fn get(
        &self,
        path: &str,
        accept: &str,
        limit: std::time::Duration,
    ) -> Result<Option<web::Answer>, Failure> {
        let url = self.url(path)?;
        let wanted = Wanted {
            accept: Some(accept),
            limit,
            ..Wanted::new(web::Method::Get, &url)
        };
        let answer = self.ask(wanted)?;
        match answer.status {
            200 => Ok(Some(answer)),
            404 | 410 => Ok(None),
            _ => Err(self.unexpected(path, answer)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nonsense(&self, why: &str) -> Failure {
        Failure::failed(format!("`{}` cannot be used: {why}", self.name()))
            .help("name a repository that `ztc plugins push` has filled")
    }
}

/// A host in small letters, without the port that goes without saying.
fn plain_host(host: &str) -> String {
    let host = host.to_lowercase();
    let port = match is_loopback(&host) {
        true => ":80",
        false => ":443",
    };
    host.strip_suffix(port).unwrap_or(&host).to_owned()
}

/// An index and its signature.
pub(crate) type Texts = (Vec<u8>, Option<Vec<u8>>);

/// Whether a text can stand between two slashes of a repository's path.
fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.starts_with(word) && text.ends_with(word);
    let separators = text
        .split(word)
        .all(|part| matches!(part, "" | "." | "_" | "__") || part.chars().all(|c| c == '-'));
    ends && separators
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parse = |text: &str| match Repository::parse(text) {
            Ok(found) => format!(
                "{} {}",
                found.name(),
                found.tag.map_or("any".into(), |tag| match tag.adapter {
                    None => tag.version.to_string(),
                    Some(name) => format!("{} of {name}", tag.version),
                })
            ),
            Err(why) => why.to_owned(),
        };
        let components = "a repository has lower-case letters, digits and single `.`, `_`, `-` and `/` between them";
        for (text, expected) in [
            ("example.org/acme/bgp", "oci://example.org/acme/bgp any"),
            ("localhost:5000/bgp:1.2.0", "oci://localhost:5000/bgp 1.2.0"),
            (
                "[::1]:5000/a__b-c--d.e:1.0.0-rc.1",
                "oci://[::1]:5000/a__b-c--d.e 1.0.0-rc.1",
            ),
            (
                "example.org/acme/all:bgp-check-1.0.0-rc.1",
                "oci://example.org/acme/all 1.0.0-rc.1 of bgp-check",
            ),
            (
                "example.org",
                "it names a registry, and no repository in it",
            ),
            (
                "example.org/a:latest",
                "what follows its `:` is not a version",
            ),
            ("exam ple.org/a", "its host has characters that no host has"),
            ("example.org/A", components),
            ("example.org/a//b", components),
            ("example.org/../b", components),
            ("example.org/a..b", components),
            ("example.org/-a", components),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
