//! What operators meet at the edges: a mirror of nothing, a source without a name, a key that is no file, a server that breaks off or has no
//! answer; and a slow source, for which nobody else waits.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::distribution::Publisher;
use crate::environment::Run;
use crate::web::{Web, status, whole};

/// Runs `ztc`; the address of a server is replaced.
fn run(publisher: &Publisher, web: &Web, arguments: &[&str]) -> Run {
    let mut run = publisher.run(arguments);
    for stream in [&mut run.stdout, &mut run.stderr] {
        *stream = stream.replace(&web.url(), "[WEB]");
    }
    run
}

#[test]
fn a_mirror_of_nothing_says_what_to_name() {
    let publisher = Publisher::new();
    let web = Web::directory(publisher.tree());
    let run = |arguments: &[&str]| run(&publisher, &web, arguments);
    let mirror = ["plugins", "mirror", "../mirror"];
    insta::assert_snapshot!(run(&mirror), @"
    exit: 4
    --- stderr
    error: there is no `platform.yaml` that asks for plugins
      help: name what to copy: `ztc plugins mirror DIR NAME --source SOURCE`
    ");
    assert!(!publisher.environment.root().join("mirror").exists());
    let nothing = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n";
    publisher.environment.write("platform.yaml", nothing);
    insta::assert_snapshot!(run(&mirror), @"
    exit: 0
    --- stderr
    platform.yaml asks for no plugins
    ");
}

#[test]
fn a_source_without_a_name_and_a_key_that_is_no_file_are_said() {
    let publisher = Publisher::new();
    let web = Web::directory(publisher.tree());
    let run = |arguments: &[&str]| run(&publisher, &web, arguments);
    for command in ["install", "mirror"] {
        let named: &[&str] = match command {
            "mirror" => &["plugins", "mirror", "../mirror", "hello"],
            _ => &["plugins", "install", "hello"],
        };
        let with = |options: &[&str]| run(&[named, options].concat());
        insta::allow_duplicates! {
            insta::assert_snapshot!(with(&["--source", ""]), @"
            exit: 2
            --- stderr
            error: the name of a source of plugins is empty
              help: name a directory, `.` for this one, or an address
            ");
            let url = web.url();
            insta::assert_snapshot!(with(&["--source", &url, "--key", "nope.pub"]), @"
            exit: 4
            --- stderr
            error: there is no file `nope.pub` with a key
              help: give the publisher's `.pub` file, or its line that begins with `RW`
            ");
            insta::assert_snapshot!(with(&["--source", &url, "--key", "RWnope"]), @"
            exit: 2
            --- stderr
            error: `RWnope` is not a public key of minisign
              help: give the line that begins with `RW`, as it stands in the publisher's `.pub` file
            ");
        }
        let url = web.url();
        let good = with(&["--source", &url, "--key", "../key.pub"]);
        assert_eq!(good.code, Some(0), "{good}");
    }
    let channel = [
        "update-versions",
        "--source",
        "../tree",
        "--key",
        "nope.pub",
    ];
    insta::assert_snapshot!(run(&channel), @"
    exit: 4
    --- stderr
    error: there is no file `nope.pub` with a key
      help: give the publisher's `.pub` file, or its line that begins with `RW`
    ");
}

#[test]
fn a_mirror_keeps_nobody_waiting_while_its_source_takes_its_time() {
    let publisher = Publisher::new();
    let tree = publisher.tree();
    let (go, gate) = mpsc::channel::<()>();
    let (begun, wait) = mpsc::channel();
    let (gate, begun) = (Mutex::new(gate), Mutex::new(begun));
    let slow = Web::start(move |path, stream| {
        if path.contains("/ztc-adapter-") {
            begun.lock().unwrap().send(()).unwrap();
            // Where the other one has to wait, it says so when this is over.
            let _ = gate.lock().unwrap().recv_timeout(Duration::from_secs(20));
        }
        whole(stream, &fs::read(tree.join(path)).unwrap())
    });
    let url = slow.url();
    let mirror = ["plugins", "mirror", "../mirror", "hello", "--source", &url];
    let mut command = publisher.environment.command(&mirror);
    let running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut running = running.unwrap();
    wait.recv().unwrap();
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ");
    go.send(()).unwrap();
    assert!(running.wait().unwrap().success());
}

#[test]
fn a_server_that_breaks_off_or_has_no_answer_is_said() {
    let publisher = Publisher::new();
    let tree = publisher.tree();
    let web = Web::start(move |path, stream| match path.contains("/ztc-adapter-") {
        true => {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 900\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            stream.write_all(b"#!/bin/sh")
        }
        false => whole(stream, &fs::read(tree.join(path)).unwrap()),
    });
    let url = web.url();
    let install = ["plugins", "install", "hello", "--source", &url];
    insta::assert_snapshot!(run(&publisher, &web, &install), @"
    exit: 1
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `[WEB]` broke off
      Peer disconnected
      9 of 900 bytes had come
      help: run the same command again; nothing was installed
    ");
    let busy = Web::start(|_, stream| status(stream, "503 Service Unavailable", ""));
    let url = busy.url();
    let install = ["plugins", "install", "hello", "--source", &url];
    insta::assert_snapshot!(run(&publisher, &busy, &install), @"
    exit: 1
    --- stderr
    error: `[WEB]` answers with status 503 for `index.json`
      help: run the same command again later
    ");
}

#[test]
fn a_channel_of_versions_that_is_away_says_what_serves_meanwhile() {
    let publisher = Publisher::new();
    let run = publisher.run(&["update-versions", "--source", "http://127.0.0.1:1"]);
    let help = run.stderr.lines().find(|line| line.contains("help:"));
    insta::assert_snapshot!(help.unwrap(), @"  help: check the network and run the same command again; until then adapters work with the tables that they have, `ztc update-versions --offline` shows which");
}
