//! Where trees are: a directory, or static files behind a web server. Reads from there with limits, never writes, and calls no API.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::adapter::text::printable;
use crate::error::{Exit, Failure};
use crate::plugins::redirect;

/// How long the connection may take, and how long a small file.
const CONNECT: Duration = Duration::from_secs(10);
const SMALL: Duration = Duration::from_secs(60);

/// The slowest download that is waited for, in bytes a second.
const SLOWEST: u64 = 16 << 10;

/// How many redirects are followed.
const REDIRECTS: u32 = 5;

/// A place with a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory of this machine.
    Directory(PathBuf),
    /// An address, without a slash at its end.
    Web(String),
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
        let web = || Self::Web(text.trim_end_matches('/').to_owned());
        match text.split_once("://") {
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
            Some(("https", _)) => Ok(web()),
            Some(("http", rest)) if is_loopback(rest) => Ok(web()),
            Some(("http", _)) => invalid(
                "without TLS everybody on the way can answer",
                "use `https://`",
            ),
            Some((scheme, _)) => invalid(
                &format!("it knows no `{scheme}://`"),
                "use a directory, `file://` or `https://`",
            ),
        }
    }

    /// The one name that it has everywhere: in lists, pins and locks.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Directory(path) => format!("file://{}", path.display()),
            Self::Web(address) => address.clone(),
        }
    }

    /// Reads a small file; nothing where there is none.
    pub(crate) fn small(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some(reader) = self.open(path, SMALL)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        reader
            .take(most + 1)
            .read_to_end(&mut content)
            .map_err(|error| self.broken(path, &error))?;
        match content.len() as u64 > most {
            true => Err(Failure::new(
                Exit::Refused,
                format!(
                    "`{path}` of `{}` has no end: it is longer than {most} bytes",
                    self.name()
                ),
            )
            .help("do not use this tree: tell its publisher by another way than this source")),
            false => Ok(Some(content)),
        }
    }

    /// Copies a file of a known size and returns its SHA-256. `progress` hears how many bytes have come.
    pub(crate) fn copy(
        &self,
        path: &str,
        size: u64,
        to: &mut dyn Write,
        mut progress: impl FnMut(u64),
    ) -> Result<String, Failure> {
        let place = self.name();
        let limit = SMALL + Duration::from_secs(size / SLOWEST);
        let reader = self.open(path, limit)?.ok_or_else(|| {
            Failure::failed(format!(
                "`{place}` has no file `{path}`, which its index names"
            ))
            .help("run the same command again later: its publisher may be about to change it")
        })?;
        let mut reader = reader.take(size + 1);
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
                        .map_err(|error| self.unwritable(path, &error))?;
                    progress(come.min(size));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(self
                        .broken(path, &error)
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

    fn open(&self, path: &str, limit: Duration) -> Result<Option<Box<dyn Read>>, Failure> {
        match self {
            Self::Directory(root) => {
                if !root.is_dir() {
                    return Err(Failure::new(
                        Exit::Missing,
                        format!("there is no directory `{}`", root.display()),
                    )
                    .help("name the directory that holds `index.json`"));
                }
                match File::open(root.join(path)) {
                    Ok(file) => Ok(Some(Box::new(file))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Failure::io("read", root.join(path), &error)),
                }
            }
            Self::Web(address) => self.get(&format!("{address}/{path}"), path, limit),
        }
    }

    fn get(
        &self,
        url: &str,
        path: &str,
        limit: Duration,
    ) -> Result<Option<Box<dyn Read>>, Failure> {
        let begun = Instant::now();
        let mut address = url.to_owned();
        let mut response = None;
        for _ in 0..=REDIRECTS {
            let answer = self.ask(&address, limit.saturating_sub(begun.elapsed()))?;
            let to = answer.headers().get("location");
            let is_redirect = answer.status().is_redirection();
            let Some(to) = to.filter(|_| is_redirect) else {
                response = Some(answer);
                break;
            };
            let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
            address = redirect::next(&address, &to).map_err(|why| {
                Failure::new(
                    Exit::Refused,
                    format!("`{}` sends on to `{}`: {why}", self.name(), printable(&to)),
                )
                .help("ask its publisher for the address of the tree itself")
            })?;
        }
        let Some(response) = response else {
            return Err(Failure::failed(format!(
                "`{}` sends on for `{path}` more than {REDIRECTS} times",
                self.name()
            ))
            .help("ask its publisher for the address of the tree itself"));
        };
        match response.status().as_u16() {
            200 => Ok(Some(Box::new(response.into_body().into_reader()))),
            404 | 410 => Ok(None),
            status => Err(Failure::failed(format!(
                "`{}` answers with status {status} for `{path}`",
                self.name()
            ))
            .help("run the same command again later")),
        }
    }

    /// Asks for one address, and follows no redirect: where it may lead is this program's rule.
    fn ask(&self, address: &str, limit: Duration) -> Result<Response<Body>, Failure> {
        let is_web = address.starts_with("https://");
        let mut config = Agent::config_builder()
            .https_only(is_web)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(limit));
        if !is_web {
            // This machine itself is never behind a proxy.
            config = config.proxy(None);
        }
        let agent: Agent = config.build().into();
        agent.get(address).call().map_err(|error| {
            let failure = Failure::failed(format!("`{}` cannot be reached", self.name())).detail(error);
            let failure = match proxy().filter(|_| is_web) {
                Some(variable) => failure.detail(format!("through the proxy that `{variable}` names")),
                None => failure,
            };
            failure.help(
                "check the network and run the same command again; without one, install from a mirror (`--source DIR`), or go on with what is \
                 installed already (`ztc plugins list`)",
            )
        })
    }

    fn unwritable(&self, path: &str, error: &io::Error) -> Failure {
        let failure = Failure::failed(format!("failed to keep `{path}` of `{}`", self.name()));
        failure.detail(error).detail("nothing was installed").help(
            "free some space on the device of the plugins (`ztc doctor` says where it is) and run the same command again",
        )
    }

    fn broken(&self, path: &str, error: &io::Error) -> Failure {
        Failure::failed(format!("`{path}` of `{}` broke off", self.name()))
            .detail(error)
            .help("run the same command again; nothing was installed")
    }
}

/// Returns the variable that names the proxy; its value may hold a password.
fn proxy() -> Option<&'static str> {
    const VARIABLES: [&str; 6] = [
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
    ];
    VARIABLES
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Returns a path without `.`, `..` and links where it exists, so that one directory has one name.
fn directory(path: &Path) -> PathBuf {
    std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}

/// Whether an address without its scheme is on this machine.
pub(super) fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
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
            ("file:///srv/none/", "file:///srv/none"),
            ("https://example.org/tree/", "https://example.org/tree"),
            ("http://127.0.0.1:80/t", "http://127.0.0.1:80/t"),
            ("http://[::1]:80/t", "http://[::1]:80/t"),
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
                "ftp://example.org",
                "`ftp://example.org` cannot be a source of plugins: it knows no `ftp://`",
            ),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
