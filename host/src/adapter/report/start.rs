//! Why a program cannot be started: the system's error number, looked at together with the file.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::io::Errno;

use crate::adapter::Candidate;
use crate::adapter::report::place;
use crate::error::{Exit, Failure};
use crate::intact::{Flaw, others_may_write};
use crate::shell::word;

/// The program could not be started at all.
pub(crate) fn cannot_start(candidate: &Candidate, error: &io::Error) -> Failure {
    let path = &candidate.program;
    if error.raw_os_error().map(Errno::from_raw_os_error) == Some(Errno::BADMSG) {
        let message = format!(
            "adapter `{}` was not started: its file does not have the bytes that were installed",
            candidate.name
        );
        let failure = Failure::new(Exit::Refused, message).detail(place(candidate));
        if std::fs::metadata(path).is_ok_and(|metadata| others_may_write(&metadata)) {
            let message = format!(
                "adapter `{}` was not started: other users may write to its file",
                candidate.name
            );
            let mend = Flaw::OthersMayWrite.remedy(path).unwrap_or_default();
            return Failure { message, ..failure }
                .help(format!("run `{mend}`, and `ztc plugins verify`"));
        }
        return failure.help(format!(
            "install it again with `ztc plugins install {}`, and find out who has changed it",
            word(&candidate.name)
        ));
    }
    let (why, help) = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOEXEC) => not_for_this_machine(path),
        Some(Errno::NOENT) => nothing_there(path),
        Some(Errno::ACCESS | Errno::PERM) => not_permitted(path),
        _ => (error.to_string(), None),
    };
    let failure = Failure::new(
        Exit::Missing,
        format!("adapter `{}` cannot be started: {why}", candidate.name),
    );
    let failure = failure.detail(place(candidate));
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

type Why = (String, Option<String>);

fn not_permitted(path: &Path) -> Why {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => (
            "it is a directory".into(),
            Some("name the file in it".into()),
        ),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => (
            "the file is not executable".into(),
            Some(format!(
                "run `chmod +x {}`",
                word(&path.display().to_string())
            )),
        ),
        _ => {
            let why = "the system does not permit this user to run it".to_owned();
            (why, Some("look at the permissions of its directories and whether its file system is mounted `noexec`".into()))
        }
    }
}

/// The file or, where it exists, what runs it.
fn nothing_there(path: &Path) -> Why {
    if !path.exists() {
        return ("there is no such file".into(), None);
    }
    let start = beginning(path);
    let interpreter = start
        .strip_prefix(b"#!")
        .and_then(|rest| rest.split(|byte| *byte == b'\n').next());
    match interpreter {
        Some(line) => {
            let line = String::from_utf8_lossy(line);
            let why = format!(
                "its first line asks for the interpreter `{}`, which is not there",
                line.trim()
            );
            let help = match line.ends_with('\r') {
                true => "the file has Windows line ends; remove them with `sed -i 's/\\r$//'`"
                    .to_owned(),
                false => "install the interpreter, or correct the first line".to_owned(),
            };
            (why, Some(help))
        }
        None => {
            let why = "its dynamic loader is not on this machine".to_owned();
            (
                why,
                Some(
                    "it was built for another system or C library; get the build for this one"
                        .into(),
                ),
            )
        }
    }
}

fn not_for_this_machine(path: &Path) -> Why {
    let start = beginning(path);
    let here = std::env::consts::ARCH;
    match start.get(..20) {
        Some([0x7f, b'E', b'L', b'F', .., low, high]) => {
            let built = machine(u16::from_le_bytes([*low, *high]));
            (
                format!("it is built for {built}, this machine is {here}"),
                Some(format!("get the build for {here}")),
            )
        }
        _ => {
            let why = "it is neither a program of this system nor a script".to_owned();
            (
                why,
                Some("a script needs a first line such as `#!/usr/bin/env python3`".into()),
            )
        }
    }
}

fn machine(number: u16) -> String {
    match number {
        0x03 => "x86".to_owned(),
        0x28 => "arm".to_owned(),
        0x3e => "x86_64".to_owned(),
        0xb7 => "aarch64".to_owned(),
        0xf3 => "riscv64".to_owned(),
        other => format!("another architecture (ELF machine {other})"),
    }
}

fn beginning(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(256).read_to_end(&mut start);
    }
    start
}
