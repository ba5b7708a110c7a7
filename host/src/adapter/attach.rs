//! Attaching to an adapter that already runs, such as under a debugger: `ZTC_ATTACH=name=/path.sock`, several separated by commas. The
//! adapter (see `--ztc-listen` of the SDK) is not this program's: it gets no signals, and calls have no time limits.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::StreamCommon;
use interprocess::local_socket::traits::tokio::Stream as _;
use interprocess::local_socket::{GenericFilePath, ToFsName};
use ztc_protocol::{ATTACH_VARIABLE, MAX_SOCKET_BYTES};

use crate::error::{Exit, Failure, did_you_mean};
use crate::shell::word;

/// The sockets of running adapters by the adapters' names.
pub(crate) type Attached = BTreeMap<String, PathBuf>;

/// Reads the variable.
pub(crate) fn from_environment() -> Result<Attached, Failure> {
    parse(&std::env::var(ATTACH_VARIABLE).unwrap_or_default())
}

fn parse(text: &str) -> Result<Attached, Failure> {
    let mut attached = Attached::new();
    for item in text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let Some((name, path)) = item
            .split_once('=')
            .filter(|(name, path)| !name.is_empty() && path.starts_with('/'))
        else {
            let message =
                format!("`{ATTACH_VARIABLE}` holds `{item}`, which is not `name=/path/of/socket`");
            return Err(Failure::invalid(message).help(
                "paste the line that the adapter prints when it is started with `--ztc-listen`",
            ));
        };
        if path.len() > MAX_SOCKET_BYTES {
            let message = format!(
                "the path of the socket of adapter `{name}` in `{ATTACH_VARIABLE}` is {} bytes long, a socket's may have {MAX_SOCKET_BYTES}",
                path.len()
            );
            return Err(Failure::invalid(message)
                .help("start the adapter with `--ztc-listen PATH` and a shorter path"));
        }
        attached.insert(name.to_owned(), path.into());
    }
    Ok(attached)
}

/// Refuses a name that no section uses: somebody would debug an adapter that is never asked.
pub(crate) fn check_used(attached: &Attached, used: &[String]) -> Result<(), Failure> {
    let Some(name) = attached.keys().find(|name| !used.contains(name)) else {
        return Ok(());
    };
    let message =
        format!("`{ATTACH_VARIABLE}` names adapter `{name}`, which this command does not use");
    let help = did_you_mean(name, used.iter().map(String::as_str));
    Err(
        Failure::invalid(message).help(help.unwrap_or_else(|| match used {
            [] => "unset the variable: this command attaches to none".to_owned(),
            used => format!(
                "used are {}; correct or unset the variable",
                used.join(", ")
            ),
        })),
    )
}

/// Connects to a running adapter, after making sure that it is this user's.
pub(crate) async fn connect(name: &str, path: &Path) -> Result<Stream, Failure> {
    check_directory(path)?;
    let connect = async {
        let socket = path.to_fs_name::<GenericFilePath>()?;
        Stream::connect(socket).await
    };
    let stream = connect.await.map_err(|error| {
        let message = format!(
            "failed to attach to adapter `{name}` at `{}`: {error}",
            path.display()
        );
        Failure::failed(message).help(format!(
            "start it with `--ztc-listen {}`, or unset `{ATTACH_VARIABLE}`",
            path.display()
        ))
    })?;
    let own = rustix::process::geteuid().as_raw();
    let peer = stream.peer_creds().ok().and_then(|peer| peer.euid());
    match peer == Some(own) {
        true => Ok(stream),
        false => {
            let whose = peer.map_or_else(
                || "nobody knows whom".to_owned(),
                |user| format!("user {user}"),
            );
            Err(Failure::new(
                Exit::Refused,
                format!(
                    "the process behind `{}` belongs to {whose}, not to you",
                    path.display()
                ),
            )
            .help("find out whose it is; start the adapter yourself, on another socket, and name that in `ZTC_ATTACH`"))
        }
    }
}

/// Whoever could replace the socket would get the operator's secrets.
fn check_directory(path: &Path) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let metadata = std::fs::symlink_metadata(directory)
        .map_err(|error| Failure::io("look at", directory, &error))?;
    let private = metadata.is_dir()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.mode() & 0o077 == 0;
    match private {
        true => Ok(()),
        false => {
            let message = format!(
                "`{}`, where `{ATTACH_VARIABLE}` looks for a socket, is not private to you",
                directory.display()
            );
            Err(Failure::new(Exit::Refused, message).help(format!(
                "make it a directory of yours with `chmod 700 {}`",
                word(&directory.display().to_string())
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_sockets() {
        let expected = Attached::from([
            ("a".into(), "/x/a.sock".into()),
            ("b-c".into(), "/y=1".into()),
        ]);
        assert_eq!(parse("a=/x/a.sock, b-c=/y=1,").unwrap(), expected);
        assert_eq!(parse("").unwrap(), Attached::new());
        for (text, message) in [
            (
                "a",
                "`ZTC_ATTACH` holds `a`, which is not `name=/path/of/socket`",
            ),
            (
                "a=b.sock",
                "`ZTC_ATTACH` holds `a=b.sock`, which is not `name=/path/of/socket`",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().message, message);
        }
        let long = format!("a=/{}", "x".repeat(100));
        assert_eq!(
            parse(&long).unwrap_err().message,
            "the path of the socket of adapter `a` in `ZTC_ATTACH` is 101 bytes long, a socket's may have 100"
        );
    }

    #[test]
    fn a_name_that_nothing_uses_is_refused() {
        let attached = Attached::from([("talso".into(), "/x".into())]);
        let failure = check_used(&attached, &["talos".to_owned()]).unwrap_err();
        assert_eq!(failure.help.as_deref(), Some("did you mean `talos`?"));
        assert!(check_used(&Attached::new(), &[]).is_ok());
    }
}
