//! Where trees are: a directory, static files behind a web server, a repository of an OCI registry, or a mirror of one of these. Reads from
//! there with limits and never writes.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::VersionReq;
use sha2::{Digest, Sha256};

use crate::error::{Exit, Failure};
use crate::foreign::printable;
use crate::plugins::index::{self, Asset};
use crate::plugins::registry::{Repository, Texts};
use crate::plugins::web::{self, Content, Method, Question};
use crate::regular;
use crate::shell::word;

/// A place with a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory of this machine.
    Directory(PathBuf),
    /// An address, without a slash at its end.
    Web(String),
    /// A repository of a registry.
    Registry(Repository),
    /// A source whose files are read at another place, where a mirror keeps them. It keeps its name, and so its key.
    Mirrored { of: Box<Self>, at: Box<Self> },
}

impl Source {
    /// Reads a source as people write it; paths are relative to `base`.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, Failure> {
        let invalid = |why: &str, help: &str| {
            Err(
                Failure::invalid(format!("`{text}` cannot be a source of plugins: {why}"))
                    .help(help),
            )
        };
        if printable(text) != text {
            return Err(Failure::invalid(format!(
                "`{}` cannot be a source of plugins: it has characters that are not for people",
                printable(text)
            ))
            .help("name a directory, or an address in plain letters"));
        }
        if text.trim().is_empty() {
            return Err(Failure::invalid("the name of a source of plugins is empty")
                .help("name a directory, `.` for this one, or an address"));
        }
        // One place has one name, however it is spelled: keys are pinned to names.
        let lower = text
            .split_once("://")
            .map(|(scheme, rest)| (scheme.to_lowercase(), rest));
        let lower = lower
            .as_ref()
            .map(|(scheme, rest)| (scheme.as_str(), *rest));
        let web = || plain_address(text).map(Self::Web);
        match lower {
            None => Ok(Self::Directory(directory(&base.join(text)))),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Directory(directory(
                Path::new(path.trim_end_matches('/')),
            ))),
            Some(("file", _)) => invalid(
                "a file address has an absolute path",
                "write `file:///path/of/the/tree`",
            ),
            Some((_, rest)) if rest.contains(['@', '?', '#']) => invalid(
                "it holds a user, a query or a fragment",
                "name the address of the directory that holds `index.json`",
            ),
            Some(("oci", rest)) => match Repository::parse(rest) {
                Ok(repository) => Ok(Self::Registry(repository)),
                Err(why) => invalid(why, "write `oci://HOST/PATH` or `oci://HOST/PATH:VERSION`"),
            },
            Some(("https", _)) => web(),
            Some(("http", rest)) if is_loopback(rest) => web(),
            Some(("http", _)) => invalid(
                "without TLS everybody on the way can answer",
                "use `https://`",
            ),
            Some((scheme, _)) => invalid(
                &format!("it knows no `{scheme}://`"),
                "use a directory, `file://`, `https://` or `oci://`",
            ),
        }
    }

    /// The one name that it has everywhere: in lists, pins and locks.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Directory(path) => format!("file://{}", path.display()),
            Self::Web(address) => address.clone(),
            Self::Registry(repository) => repository.name(),
            Self::Mirrored { of, .. } => of.name(),
        }
    }

    /// The range of versions that its address itself asks for.
    pub(crate) fn range(&self) -> Option<VersionReq> {
        match self {
            Self::Directory(_) | Self::Web(_) => None,
            Self::Registry(repository) => repository.range(),
            Self::Mirrored { of, .. } => of.range(),
        }
    }

    /// The adapter that its address itself names.
    pub(crate) fn adapter(&self) -> Option<&str> {
        match self {
            Self::Directory(_) | Self::Web(_) => None,
            Self::Registry(repository) => repository.adapter(),
            Self::Mirrored { of, .. } => of.adapter(),
        }
    }

    /// Says of something that is wrong where it was read, where that is another place than the one that people name.
    pub(crate) fn read_at(&self, failure: Failure) -> Failure {
        match self {
            Self::Mirrored { .. } => {
                failure.detail(format!("read from the mirror {}", self.place()))
            }
            _ => failure,
        }
    }

    /// Whether it is read without the network.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.reading(), Self::Directory(_))
    }

    /// The place one step further.
    pub(crate) fn below(&self, part: &str) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(path.join(part)),
            Self::Web(address) => Self::Web(format!("{address}/{part}")),
            Self::Registry(repository) => Self::Registry(repository.below(part)),
            Self::Mirrored { at, .. } => at.below(part),
        }
    }

    /// Reads the index and its signature; nothing where there is no index.
    pub(crate) fn index(&self) -> Result<Option<Texts>, Failure> {
        match self {
            // Both have to come from one artifact.
            Self::Registry(repository) => repository.index(),
            Self::Mirrored { at, .. } => at.index(),
            Self::Directory(_) | Self::Web(_) => {
                let Some(text) = self.small(index::FILE, index::MOST_INDEX)? else {
                    return Ok(None);
                };
                let signature = self.small(index::SIGNATURE, index::MOST_SIGNATURE)?;
                Ok(Some((text, signature)))
            }
        }
    }

    /// Reads a small file; nothing where there is none.
    pub(crate) fn small(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Registry(repository) => repository.small(path, most),
            Self::Mirrored { at, .. } => at.small(path, most),
            Self::Directory(_) | Self::Web(_) => self
                .open(path, web::SMALL)?
                .map(|reader| web::read_small(reader, &self.name(), path, most))
                .transpose(),
        }
    }

    /// Copies an executable and returns its SHA-256. `progress` hears how many bytes have come.
    pub(crate) fn copy(
        &self,
        asset: &Asset,
        to: &mut dyn Write,
        mut progress: impl FnMut(u64),
    ) -> Result<String, Failure> {
        let place = self.place();
        let Asset { path, size, sha256 } = asset;
        let size = *size;
        let reader = match self.reading() {
            Self::Registry(repository) => repository.blob(sha256, size)?,
            other => other.open(path, web::patience(size))?,
        };
        let reader = reader.ok_or_else(|| {
            let message = format!("`{place}` has no file `{path}`, which its index names");
            Failure::failed(message).help(match self {
                Self::Mirrored { .. } => "a mirror has what was asked for when it was made: run `ztc plugins mirror` again where there is a network",
                _ => "run the same command again later: its publisher may be about to change it",
            })
        })?;
        let mut reader = reader.take(size.saturating_add(1));
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; 128 << 10];
        let mut come = 0;
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    come += count as u64;
                    hasher.update(&chunk[..count]);
                    to.write_all(&chunk[..count])
                        .map_err(|error| unwritable(&place, path, &error))?;
                    progress(come.min(size));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(web::broken(&place, path, &error)
                        .detail(format!("{come} of {size} bytes had come")));
                }
            }
        }
        match come.cmp(&size) {
            std::cmp::Ordering::Less => Err(Failure::failed(format!(
                "`{path}` of `{place}` ended too early: {come} of {size} bytes"
            ))
            .help("run the same command again; nothing was installed")),
            std::cmp::Ordering::Greater => Err(Failure::new(
                Exit::Refused,
                format!("`{path}` of `{place}` is longer than the {size} bytes that were signed"),
            )
            .help("do not use this tree: tell its publisher by another way than this source")),
            std::cmp::Ordering::Equal => Ok(hasher
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()),
        }
    }

    /// What is read.
    fn reading(&self) -> &Self {
        match self {
            Self::Mirrored { at, .. } => at.reading(),
            other => other,
        }
    }

    /// What people should look at when reading fails.
    fn place(&self) -> String {
        self.reading().name()
    }

    fn open(&self, path: &str, limit: Duration) -> Result<Option<Box<dyn Read>>, Failure> {
        match self {
            Self::Directory(root) => {
                if root.is_file() {
                    let shown = root.display();
                    return Err(Failure::invalid(format!(
                        "`{shown}` is a file, and a tree is a directory"
                    ))
                    .help(match root.parent().filter(|_| root.ends_with(index::FILE)) {
                        Some(tree) => format!(
                            "name the directory that it lies in: `{}`",
                            tree.display()
                        ),
                        None => format!(
                            "a single executable is installed by its path: `ztc plugins install {}`",
                            word(&shown.to_string())
                        ),
                    }));
                }
                if !root.is_dir() {
                    return Err(Failure::new(
                        Exit::Missing,
                        format!("there is no directory `{}`", root.display()),
                    )
                    .help("name the directory that holds `index.json`"));
                }
                match regular::open(&root.join(path)) {
                    Ok(file) => Ok(Some(Box::new(file))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) if regular::is_special(&error) => {
                        let message =
                            format!("`{path}` of `{}` cannot be read: {error}", self.name());
                        Err(Failure::new(Exit::Refused, message)
                            .help("do not use this tree: tell its publisher by another way than this source"))
                    }
                    Err(error) => Err(Failure::io("read", root.join(path), &error)),
                }
            }
            Self::Web(address) => self.get(&format!("{address}/{path}"), path, limit),
            Self::Registry(repository) => Ok(repository
                .small(path, index::MOST_INDEX)?
                .map(|content| Box::new(io::Cursor::new(content)) as Box<dyn Read>)),
            Self::Mirrored { at, .. } => at.open(path, limit),
        }
    }

    fn get(
        &self,
        url: &str,
        path: &str,
        limit: Duration,
    ) -> Result<Option<Box<dyn Read>>, Failure> {
        let place = self.name();
        let answer = web::ask(
            &place,
            Question {
                method: Method::Get,
                url: &web::address(&place, url)?,
                headers: Vec::new(),
                authorization: None,
                content: Content::Nothing,
                limit,
            },
        )?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 | 410 => Ok(None),
            status => Err(Failure::failed(format!(
                "`{place}` answers with status {status} for `{path}`"
            ))
            .help("run the same command again later")),
        }
    }
}

fn unwritable(place: &str, path: &str, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("failed to keep `{path}` of `{place}`"));
    failure.detail(error).detail("nothing was installed").help(
        "free some space on the device of the plugins (`ztc doctor` says where it is) and run the same command again",
    )
}

/// Writes an address in one way: small letters in scheme and host, no port that goes without saying, no `.` and `..`, no slash at its end.
fn plain_address(text: &str) -> Result<String, Failure> {
    let url = web::address(text, text)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Returns a path without `.`, `..` and links, so that one directory has one name; also where it is not there at the moment.
fn directory(path: &Path) -> PathBuf {
    if let Ok(path) = std::fs::canonicalize(path) {
        return path;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => directory(parent).join(name),
        _ => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// Whether an address without its scheme is on this machine.
pub(crate) fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_people_write_them() {
        let parse = |text: &str| match Source::parse(text, Path::new("/repo")) {
            Ok(source) => source.name(),
            Err(failure) => failure.message,
        };
        for (text, expected) in [
            ("tree", "file:///repo/tree"),
            ("/srv/none", "file:///srv/none"),
            ("/usr/../srv/none/", "file:///srv/none"),
            ("file:///srv/none/", "file:///srv/none"),
            ("https://example.org/tree/", "https://example.org/tree"),
            ("https://example.org//", "https://example.org"),
            (
                "HTTPS://Example.ORG:443/Tree/./a/../b//",
                "https://example.org/Tree/b",
            ),
            ("https://example.org:8443/t", "https://example.org:8443/t"),
            ("https://example.org/../../t", "https://example.org/t"),
            (
                "https://",
                "`https://` has no address that can be asked: empty host",
            ),
            ("http://127.0.0.1:80/t", "http://127.0.0.1/t"),
            ("http://LocalHost:8080/t", "http://localhost:8080/t"),
            ("http://[::1]:80/t", "http://[::1]/t"),
            ("FILE:///srv/none", "file:///srv/none"),
            (
                "https://example.org/\u{1b}[2Jt",
                "`https://example.org/\u{fffd}[2Jt` cannot be a source of plugins: it has characters that are not for people",
            ),
            (
                "OCI://Example.org:443/acme/bgp/",
                "oci://example.org/acme/bgp",
            ),
            ("oci://LOCALHOST:80/bgp", "oci://localhost/bgp"),
            ("oci://example.org:80/bgp", "oci://example.org:80/bgp"),
            (
                "file://srv",
                "`file://srv` cannot be a source of plugins: a file address has an absolute path",
            ),
            (
                "http://127.0.0.1.example.org/t",
                "`http://127.0.0.1.example.org/t` cannot be a source of plugins: without TLS everybody on the way can answer",
            ),
            (
                "https://me:secret@example.org",
                "`https://me:secret@example.org` cannot be a source of plugins: it holds a user, a query or a fragment",
            ),
            (
                "oci://127.0.0.1:5000/acme/bgp:1.2.0",
                "oci://127.0.0.1:5000/acme/bgp",
            ),
            (
                "oci://example.org",
                "`oci://example.org` cannot be a source of plugins: it names a registry, and no repository in it",
            ),
            (
                "oci://me:secret@example.org/bgp",
                "`oci://me:secret@example.org/bgp` cannot be a source of plugins: it holds a user, a query or a fragment",
            ),
            (
                "ftp://example.org",
                "`ftp://example.org` cannot be a source of plugins: it knows no `ftp://`",
            ),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
