//! Serving hosts on a local socket instead of stdin and stdout: for an adapter that runs under a debugger. Owns the socket's file, which
//! lies in a directory that is its user's alone; never speaks with another user.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::StreamCommon;
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName};
use ztc_protocol::{ATTACH_VARIABLE, MAX_SOCKET_BYTES};

use crate::{Adapter, say, session};

/// Serves one host after another, until the process is ended.
pub(crate) fn run(adapter: impl Adapter, path: Option<&str>) -> io::Result<()> {
    let name = adapter.manifest().name;
    let path = match path {
        Some(path) => std::path::absolute(path)?,
        None => default_path(&name)?,
    };
    check_length(&path)?;
    check_directory(&path)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        remove_stale(&path).await?;
        let listener = ListenerOptions::new()
            .name(path.as_path().to_fs_name::<GenericFilePath>()?)
            .create_tokio()?;
        say::out(&format!(
            "{ATTACH_VARIABLE}={name}={} ztc render",
            path.display()
        ));
        serve(Arc::new(adapter), listener).await
    })
}

async fn serve<A: Adapter>(adapter: Arc<A>, listener: Listener) -> io::Result<()> {
    loop {
        let stream = listener.accept().await?;
        match foreign(&stream) {
            Some(why) => say::err(&format!("warning: refused a connection: {why}")),
            None => converse(Arc::clone(&adapter), stream).await,
        }
    }
}

/// Speaks with one host; what goes wrong with it is no reason to end.
async fn converse<A: Adapter>(adapter: Arc<A>, stream: Stream) {
    say::err("a host has attached");
    let (input, output) = tokio::io::split(stream);
    match session::converse(adapter, input, output).await {
        Ok(_) => say::err("the host has gone; waiting for the next one"),
        Err(error) => say::err(&format!("warning: the connection broke: {error}")),
    }
}

/// Says why a peer is not this user.
fn foreign(stream: &Stream) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_creds().map(|peer| peer.euid()) {
        Ok(Some(user)) if user == own => None,
        Ok(Some(user)) => Some(format!(
            "it comes from user {user}, this adapter runs as {own}"
        )),
        Ok(None) => Some("the system does not say whose it is".to_owned()),
        Err(error) => Some(format!("the system does not say whose it is: {error}")),
    }
}

/// A directory of the user's own: in that for running programs where there is one, else in the temporary directory.
fn default_path(name: &str) -> io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let directory = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_dir() => runtime.join("ztc"),
        _ => std::env::temp_dir().join(format!("ztc-{user}")),
    };
    match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(directory.join(format!("{name}.sock"))),
    }
}

fn check_length(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().len();
    match length > MAX_SOCKET_BYTES {
        true => Err(io::Error::other(format!(
            "the path of the socket is {length} bytes long, a socket's may have {MAX_SOCKET_BYTES}: name a shorter one with `--ztc-listen PATH`"
        ))),
        false => Ok(()),
    }
}

/// Whoever can reach the socket speaks with the adapter, so nobody else may.
fn check_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let metadata = std::fs::symlink_metadata(directory).map_err(|error| {
        io::Error::other(format!(
            "failed to look at `{}`: {error}",
            directory.display()
        ))
    })?;
    let private = metadata.is_dir()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.mode() & 0o077 == 0;
    match private {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "`{0}` is not private: make it a directory of yours with `chmod 700 {0}`",
            directory.display()
        ))),
    }
}

/// Removes a socket that nobody listens on any more; one that somebody listens on stays.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other(format!(
            "`{}` exists and is no socket",
            path.display()
        )));
    }
    match Stream::connect(path.to_fs_name::<GenericFilePath>()?).await {
        Ok(_) => Err(io::Error::other(format!(
            "another process listens on `{}`: end it, or name another socket with `--ztc-listen PATH`",
            path.display()
        ))),
        Err(_) => std::fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_private_directory_holds_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("a.sock");
        for (mode, private) in [(0o755, false), (0o710, false), (0o700, true)] {
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(mode))
                .unwrap();
            assert_eq!(check_directory(&socket).is_ok(), private, "{mode:o}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_said() {
        let path = |length: usize| PathBuf::from(format!("/{}", "x".repeat(length - 1)));
        assert!(check_length(&path(100)).is_ok());
        assert_eq!(
            check_length(&path(101)).unwrap_err().to_string(),
            "the path of the socket is 101 bytes long, a socket's may have 100: name a shorter one with `--ztc-listen PATH`"
        );
    }
}
