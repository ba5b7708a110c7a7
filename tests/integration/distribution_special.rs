//! What is no file where a file should be: nobody waits for a named pipe, and no device is read.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::distribution::{Publisher, machine};
use crate::environment::{Run, programs};

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Runs `ztc`, which has to end: what waits for a pipe is killed, and has no exit code then.
fn ends(publisher: &Publisher, arguments: &[&str]) -> String {
    let ztc = publisher.environment.command(&[]);
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", "60"])
        .arg(programs().join("ztc"))
        .args(arguments)
        .env_clear()
        .current_dir(publisher.environment.repo());
    for (name, value) in ztc.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let run = Run::new(&publisher.environment, &command.output().unwrap());
    publisher.filtered(&format!("$ ztc {}\n{run}\n", arguments.join(" ")))
}

#[test]
fn a_pipe_in_a_tree_is_refused_wherever_it_is() {
    let install: &[&str] = &["plugins", "install", "hello", "--source", "../tree"];
    let program = format!("hello/1.0.0/ztc-adapter-hello-1.0.0-{}", machine());
    let mut said = String::new();
    for file in ["index.json", "index.json.minisig", &program] {
        let publisher = Publisher::new();
        pipe(&publisher.tree().join(file));
        said += &ends(&publisher, install);
    }
    insta::assert_snapshot!(said, @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `index.json` of `file://[ROOT]/tree` cannot be read: it is a named pipe, and no file
      help: do not use this tree: tell its publisher by another way than this source
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `index.json.minisig` of `file://[ROOT]/tree` cannot be read: it is a named pipe, and no file
      help: do not use this tree: tell its publisher by another way than this source
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `file://[ROOT]/tree` cannot be read: it is a named pipe, and no file
      help: do not use this tree: tell its publisher by another way than this source
    ");
}

#[test]
fn sockets_and_devices_are_no_index() {
    let install: &[&str] = &["plugins", "install", "hello", "--source", "../tree"];
    let publisher = Publisher::new();
    let index = publisher.tree().join("index.json");
    fs::remove_file(&index).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &index).unwrap();
    let mut said = ends(&publisher, install);
    fs::remove_file(&index).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&index).unwrap();
    said += &ends(&publisher, install);
    drop(socket);
    insta::assert_snapshot!(said, @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `index.json` of `file://[ROOT]/tree` cannot be read: it is a device, and no file
      help: do not use this tree: tell its publisher by another way than this source
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `index.json` of `file://[ROOT]/tree` cannot be read: it is a socket, and no file
      help: do not use this tree: tell its publisher by another way than this source
    ");
}

#[test]
fn a_pipe_in_a_mirror_or_among_sums_is_refused() {
    let publisher = Publisher::new();
    let mirror: &[&str] = &[
        "plugins",
        "mirror",
        "../mirror",
        "hello",
        "--source",
        "../tree",
    ];
    publisher.environment.ztc_ok(mirror);
    let place = publisher.environment.root().join("mirror");
    let entry = fs::read_dir(&place).unwrap().next().unwrap().unwrap();
    pipe(&entry.path().join("mirror.json"));
    let name = entry.file_name().display().to_string();
    let text = ends(&publisher, mirror);
    insta::assert_snapshot!(text.replace(&name, "[TREE]"), @"
    $ ztc plugins mirror ../mirror hello --source ../tree
    exit: 1
    --- stderr
    error: failed to read `[ROOT]/mirror/[TREE]/mirror.json`
      it is a named pipe, and no file
      help: look at it with `ls -ld [ROOT]/mirror/[TREE]/mirror.json`, and run the same command again
    ");
    pipe(&publisher.tree().join("hello/1.0.0/SHA256SUMS"));
    let check: &[&str] = &["plugins", "publish-check", "../tree"];
    insta::assert_snapshot!(ends(&publisher, check), @"
    $ ztc plugins publish-check ../tree
    exit: 1
    --- stderr
    error: `../tree` cannot be installed from
      hello/1.0.0/SHA256SUMS: it or its signature cannot be read: it is a named pipe, and no file
      help: correct the files and run `ztc plugins publish` again
    ");
}
