//! The operator's credentials of registries, where `docker login`, `podman login` and their helpers have put them. Reads those files, writes
//! none, and shows no value.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio::io::AsyncWriteExt;

use crate::error::{Failure, Location};
use crate::process;

/// How long a helper may take: it may ask the operator to unlock something.
const HELPER: Duration = Duration::from_secs(60);

/// What opens a registry.
#[derive(Clone, PartialEq)]
pub(crate) enum Credential {
    /// A name and a password, or a token in its place.
    Password(String, String),
    /// A token that is exchanged for others.
    Refresh(String),
}

/// One file of credentials.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry")
    }
}

/// Where credentials are looked for, in this order.
pub(crate) fn files() -> Vec<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let docker = set("DOCKER_CONFIG").or_else(|| Some(dirs::home_dir()?.join(".docker")));
    [
        set("REGISTRY_AUTH_FILE"),
        docker.map(|directory| directory.join("config.json")),
        set("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Looks for the credentials of a repository; nothing where there are none.
pub(crate) fn find(host: &str, path: &str) -> Result<Option<Credential>, Failure> {
    for file in files() {
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::io("read", &file, &error)),
        };
        // What serde says would quote the file.
        let config: Config = serde_json::from_slice(&text).map_err(|error| {
            Failure::invalid("the credentials of registries cannot be read")
                .at(Location {
                    file: file.display().to_string(),
                    line: error.line(),
                    column: error.column(),
                })
                .help("correct the file, or write it anew with `docker login`")
        })?;
        if let Some(found) = in_config(&file, &config, host, path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn in_config(
    file: &Path,
    config: &Config,
    host: &str,
    path: &str,
) -> Result<Option<Credential>, Failure> {
    let helper = config.cred_helpers.get(host);
    if let Some(helper) = helper {
        return from_helper(helper, host);
    }
    let whole = format!("{host}/{path}");
    let fits = |key: &str| {
        let rest = whole.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // Podman keeps entries for parts of a registry: the longest one wins.
    let entry = config
        .auths
        .iter()
        .map(|(key, entry)| (bare(key), entry))
        .filter(|(key, _)| fits(key))
        .max_by_key(|(key, _)| key.len());
    let own = match entry {
        Some((_, entry)) => entry.credential().map_err(|()| {
            Failure::invalid(format!("the credentials of `{host}` cannot be read"))
                .at(Location::file(file.display().to_string()))
                .help(format!("write them anew with `docker login {host}`"))
        })?,
        None => None,
    };
    match own {
        Some(own) => Ok(Some(own)),
        None if config.creds_store.is_empty() => Ok(None),
        None => from_helper(&config.creds_store, host),
    }
}

/// A key without the forms that it had in older files.
fn bare(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key
        .strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key);
    match key {
        "index.docker.io" => "docker.io",
        key => key,
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, ()> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::Refresh(self.identitytoken.clone())));
        }
        if !self.auth.is_empty() {
            let bytes = BASE64_STANDARD.decode(self.auth.trim()).map_err(drop)?;
            let text = String::from_utf8(bytes).map_err(drop)?;
            let (name, password) = text.trim_end_matches('\0').split_once(':').ok_or(())?;
            return Ok(Some(Credential::Password(name.into(), password.into())));
        }
        let own = (!self.username.is_empty())
            .then(|| Credential::Password(self.username.clone(), self.password.clone()));
        Ok(own)
    }
}

/// Asks the helper that keeps them; nothing where it has none.
fn from_helper(helper: &str, host: &str) -> Result<Option<Credential>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Said {
        username: String,
        secret: String,
    }
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| {
        Failure::failed(format!(
            "`{program}`, which keeps the credentials of `{host}`, {why}"
        ))
        .help(format!(
            "try `docker login {host}`, and run the same command again"
        ))
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !helper.chars().all(plain) {
        return Err(failed("has a name that no program has".to_owned()));
    }
    // The entry of Docker Hub has kept its oldest name.
    let key = match host {
        "docker.io" => "https://index.docker.io/v1/",
        host => host,
    };
    let output = ask(&program, key).map_err(|error| failed(format!("cannot be asked: {error}")))?;
    if !output.status.success() {
        // It says so on stdout, and exits as if it had failed.
        let said = String::from_utf8_lossy(&output.stdout);
        return match said.contains("credentials not found") {
            true => Ok(None),
            false => Err(failed(format!("ended with {}", output.status))),
        };
    }
    let said: Said = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("answers in another form than helpers do".to_owned()))?;
    Ok(Some(match said.username.as_str() {
        "<token>" => Credential::Refresh(said.secret),
        _ => Credential::Password(said.username, said.secret),
    }))
}

fn ask(program: &str, key: &str) -> std::io::Result<std::process::Output> {
    let mut command = process::program(program);
    command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let asked = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends before it has read says why by its end.
            let _ = stdin.write_all(key.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { tokio::time::timeout(HELPER, asked).await })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &str, host: &str, expected: Option<(&str, &str)>) {
        let config: Config = serde_json::from_str(config).unwrap();
        let found = in_config(Path::new("config.json"), &config, host, "acme/bgp").unwrap();
        let found = found.map(|found| match found {
            Credential::Password(name, password) => (name, password),
            Credential::Refresh(token) => ("token".to_owned(), token),
        });
        let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn entries_are_found_in_all_their_forms() {
        // "me:se:cret"
        let auth = r#"{"auths": {"KEY": {"auth": "bWU6c2U6Y3JldA=="}}}"#;
        let me = Some(("me", "se:cret"));
        for (key, host, expected) in [
            ("example.org:5000", "example.org:5000", me),
            ("https://example.org/v1/", "example.org", me),
            ("https://example.org", "example.org", me),
            ("https://index.docker.io/v1/", "docker.io", me),
            ("example.org/acme", "example.org", me),
            ("example.org/ac", "example.org", None),
            ("example.org", "example.org:5000", None),
            ("xample.org", "example.org", None),
        ] {
            check(&auth.replace("KEY", key), host, expected);
        }
        check(
            r#"{"auths": {"a": {"username": "me", "password": "p"}}}"#,
            "a",
            Some(("me", "p")),
        );
        check(
            r#"{"auths": {"a": {"auth": "bWU6eA==", "identitytoken": "t"}}}"#,
            "a",
            Some(("token", "t")),
        );
        check(r#"{"auths": {"a": {}}}"#, "a", None);
    }
}
