//! What an adapter needs to read in order to run: the system's programs and libraries, its own program and what interprets it, the files for
//! names and certificates. Never the repository, the home directory or the temporary directory as a whole.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Programs, libraries, and what belongs to them.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
];

/// Settings of the C library and of TLS libraries: names, users, certificates, time. Nothing in them is secret.
const SETTINGS: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/static/ssl/certs",
    "/etc/timezone",
    "/run/NetworkManager/resolv.conf",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/var/lib/ca-certificates",
    // Of the processes only the adapter itself: root could read the environment of others, and with it secrets.
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Variables that name certificates.
const CERTIFICATES: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"];

/// What lies beside the `bin` of an interpreter and belongs to it.
const BESIDE_BIN: [&str; 5] = ["lib", "lib64", "libexec", "versions", "pyvenv.cfg"];

/// Returns what one of this program's own adapters reads.
pub(super) fn of_this_program(own: PathBuf) -> Vec<PathBuf> {
    let mut paths = everybody();
    paths.push(own);
    paths
}

/// Returns what an adapter's program reads. A directory that holds one of `closed` is left out.
pub(super) fn of_program(program: &Path, closed: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths = everybody();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|path| path.is_absolute())
        .collect();
    let interpreter = beginning(program).and_then(|start| interpreter(&start, &directories));
    let mut around: Vec<PathBuf> = directories;
    for file in [Some(program.to_owned()), interpreter]
        .into_iter()
        .flatten()
    {
        for file in [std::fs::canonicalize(&file).ok(), Some(file)]
            .into_iter()
            .flatten()
        {
            around.extend(installation(&file));
            paths.push(file);
        }
    }
    paths.extend(around.into_iter().filter(|path| is_open(path, closed)));
    paths
}

fn everybody() -> Vec<PathBuf> {
    let certificates = CERTIFICATES
        .iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from);
    let fixed = SYSTEM.iter().chain(SETTINGS).map(PathBuf::from);
    fixed
        .chain(certificates.filter(|path| path.is_absolute()))
        .collect()
}

/// Returns the directory of a program and what usually lies beside it.
fn installation(file: &Path) -> Vec<PathBuf> {
    let Some(directory) = file.parent() else {
        return Vec::new();
    };
    let mut paths = vec![directory.to_owned()];
    let is_bin = matches!(
        directory.file_name().and_then(OsStr::to_str),
        Some("bin" | "shims")
    );
    if let Some(prefix) = directory.parent().filter(|_| is_bin) {
        paths.extend(BESIDE_BIN.map(|name| prefix.join(name)));
    }
    paths
}

/// Whether nothing that must stay closed lies in the directory.
fn is_open(directory: &Path, closed: &[PathBuf]) -> bool {
    let real = std::fs::canonicalize(directory);
    let real = real.as_deref().unwrap_or(directory);
    !closed.iter().any(|closed| {
        closed.starts_with(directory)
            || std::fs::canonicalize(closed).is_ok_and(|closed| closed.starts_with(real))
    })
}

/// Returns the program that the first line of a script names, as the system and `env` find it.
fn interpreter(start: &str, path: &[PathBuf]) -> Option<PathBuf> {
    let mut words = start
        .strip_prefix("#!")?
        .lines()
        .next()?
        .split_ascii_whitespace();
    let first = PathBuf::from(words.next()?);
    if first.file_name() != Some(OsStr::new("env")) {
        return Some(first);
    }
    let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    path.iter()
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

fn beginning(program: &Path) -> Option<String> {
    let mut start = Vec::new();
    std::fs::File::open(program)
        .ok()?
        .take(256)
        .read_to_end(&mut start)
        .ok()?;
    Some(String::from_utf8_lossy(&start).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_s_interpreter_is_found_as_the_system_finds_it() {
        let directory = tempfile::tempdir().unwrap();
        let python = directory.path().join("python3");
        std::fs::write(&python, "").unwrap();
        let path = [PathBuf::from("/nowhere"), directory.path().to_owned()];
        for (start, expected) in [
            ("#!/bin/sh\nexit", Some(Path::new("/bin/sh"))),
            ("#! /usr/bin/env -S python3 -u\n", Some(python.as_path())),
            ("#!/usr/bin/env A=b python3", Some(python.as_path())),
            ("#!/usr/bin/env ruby", None),
            ("\u{7f}ELF", None),
        ] {
            assert_eq!(interpreter(start, &path).as_deref(), expected, "{start:?}");
        }
    }

    #[test]
    fn home_and_repository_stay_closed() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let (home, repository) = (at("home"), at("home/work/repo"));
        at("home/bin");
        at("home/work/repo/tools");
        let closed = [home.clone(), repository.clone()];
        for (directory, open) in [
            (home.clone(), false),
            (home.join("work"), false),
            (repository.clone(), false),
            (root.path().to_owned(), false),
            (home.join("bin/.."), false),
            (home.join("bin"), true),
            (repository.join("tools"), true),
        ] {
            assert_eq!(
                is_open(&directory, &closed),
                open,
                "{}",
                directory.display()
            );
        }
    }

    #[test]
    fn what_belongs_to_an_interpreter_lies_beside_its_bin() {
        let paths = |file: &str| installation(Path::new(file));
        assert_eq!(paths("/opt/tools/adapter"), [PathBuf::from("/opt/tools")]);
        let expected = [
            "/v/bin",
            "/v/lib",
            "/v/lib64",
            "/v/libexec",
            "/v/versions",
            "/v/pyvenv.cfg",
        ];
        assert_eq!(paths("/v/bin/python3"), expected.map(PathBuf::from));
    }
}
