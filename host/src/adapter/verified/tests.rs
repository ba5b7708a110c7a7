//! What happens between the moment in which a program is verified and the one in which it runs, with real starts of both kinds.

use std::os::unix::fs::FileExt;
use std::process::Output;

use super::*;

/// An adapter's file and its private directory.
struct World {
    root: tempfile::TempDir,
    path: PathBuf,
    sha256: String,
}

impl World {
    fn new(content: &[u8]) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("scratch")).unwrap();
        fs::write(root.path().join("content"), content).unwrap();
        let path = root.path().join("adapter");
        // This process never has it open for writing: a child of another test could hold that for a moment, and the file would be busy.
        let content = root.path().join("content");
        assert!(
            output("cp", &[content.as_os_str(), path.as_os_str()])
                .status
                .success()
        );
        mode(&path, 0o755);
        let sha256 = crate::digest::file(&path).unwrap();
        Self { root, path, sha256 }
    }

    fn open(&self) -> io::Result<Verified> {
        Verified::open(&self.path, &self.sha256, &self.root.path().join("scratch"))
    }

    /// Puts another file in its place.
    fn swap(&self, content: &[u8]) {
        let other = self.root.path().join("other");
        fs::write(&other, content).unwrap();
        mode(&other, 0o755);
        fs::rename(other, &self.path).unwrap();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a program to its end.
fn output(program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let output = async {
        let mut command = crate::process::program(program);
        command.args(arguments).output().await
    };
    runtime.block_on(output).unwrap()
}

/// Starts it as this process would become it; returns what it says.
fn said(verified: &Verified) -> io::Result<String> {
    let (program, first) = verified.command()?;
    let arguments: Vec<&OsStr> = first.iter().map(OsString::as_os_str).collect();
    let output = output(program, &[&arguments[..], &["verified".as_ref()]].concat());
    Ok(String::from_utf8(output.stdout).unwrap())
}

/// Two programs of the system: one says its arguments, one says nothing.
fn compiled() -> (Vec<u8>, Vec<u8>) {
    let read = |path: &str| fs::read(path).unwrap();
    (read("/bin/echo"), read("/bin/false"))
}

const GOOD: &[u8] = b"#!/bin/sh\necho $1 by ${0##*/}\n";
const EVIL: &[u8] = b"#!/bin/sh\necho evil\n";

fn is_refused<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(Errno::BADMSG.raw_os_error()))
}

#[test]
fn what_takes_the_place_of_a_verified_program_does_not_run() {
    let (echo, other) = compiled();
    let world = World::new(&echo);
    let verified = world.open().unwrap();
    world.swap(&other);
    assert_eq!(said(&verified).unwrap(), "verified\n");
    assert!(is_refused(world.open()));
}

#[test]
fn what_takes_the_place_of_a_verified_script_does_not_run() {
    let world = World::new(GOOD);
    let verified = world.open().unwrap();
    world.swap(EVIL);
    assert_eq!(said(&verified).unwrap(), "verified by adapter\n");
    assert!(is_refused(world.open()));
}

#[test]
fn a_program_that_is_written_to_after_it_was_verified_does_not_start() {
    let (echo, other) = compiled();
    let world = World::new(&echo);
    let verified = world.open().unwrap();
    fs::write(&world.path, other).unwrap();
    assert!(is_refused(said(&verified)));
    // Nor where the times say that nothing was written.
    let world = World::new(&echo);
    let verified = world.open().unwrap();
    let time = fs::metadata(&world.path).unwrap().modified().unwrap();
    let file = File::options().write(true).open(&world.path).unwrap();
    file.write_all_at(b"evil", 4096).unwrap();
    file.set_modified(time).unwrap();
    drop(file);
    assert!(is_refused(said(&verified)));
    // What was only touched is what it was.
    let world = World::new(&echo);
    let verified = world.open().unwrap();
    mode(&world.path, 0o555);
    assert_eq!(said(&verified).unwrap(), "verified\n");
}

#[test]
fn a_script_that_is_written_to_after_it_was_verified_runs_as_it_was() {
    let world = World::new(GOOD);
    let verified = world.open().unwrap();
    fs::write(&world.path, EVIL).unwrap();
    assert_eq!(said(&verified).unwrap(), "verified by adapter\n");
}

#[test]
fn a_file_to_which_others_may_write_is_refused() {
    for content in [GOOD, compiled().0.as_slice()] {
        let world = World::new(content);
        mode(&world.path, 0o775);
        assert!(is_refused(world.open()));
        assert!(is_refused(check(&world.path, &world.sha256)));
        mode(&world.path, 0o755);
        assert!(world.open().is_ok());
        assert!(check(&world.path, &world.sha256).is_ok());
    }
}

#[test]
fn an_interpreter_and_its_argument_are_read_as_the_system_reads_them() {
    let check = |head: &str, expected: Option<(&str, Option<&str>)>| {
        let expected =
            expected.map(|(program, argument)| (program.into(), argument.map(OsString::from)));
        assert_eq!(interpreter(head.as_bytes()), expected, "{head:?}");
    };
    check("#!/bin/sh\necho", Some(("/bin/sh", None)));
    check("#! /bin/sh \t\nx", Some(("/bin/sh", None)));
    check("#!/bin/sh -e -u \n", Some(("/bin/sh", Some("-e -u"))));
    check(
        "#!/usr/bin/env -S node --x",
        Some(("/usr/bin/env", Some("-S node --x"))),
    );
    check("#!\n", None);
    check("\u{7f}ELF", None);
}
