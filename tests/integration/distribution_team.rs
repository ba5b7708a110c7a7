//! What the tests of adapters of others and the lock share: a publisher, a team's repository, and what a colleague has of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::distribution::{Publisher, machine};
use crate::environment::TestEnv;

/// A platform on which no test runs.
pub(crate) const ELSEWHERE: &str = "macos-riscv64";

/// An adapter that renders a file with its version in it. `note` makes other bytes of it.
pub(crate) fn renderer(name: &str, version: &str, note: &str) -> String {
    format!(
        r#"#!/usr/bin/env python3
# {note}
import json, sys
MANIFEST = {{"name": "{name}", "version": "{version}", "description": "says hello", "phase": "services", "selection_group": "{name}",
    "supported_versions": ["v1"], "default_version": "v1", "config_schema": {{"type": "object"}}}}
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = {{
        "initialize": {{"protocol": "1.0", "manifest": MANIFEST}},
        "render": {{"artifacts": [{{"path": "hello.txt", "content": "hello from {version}\n"}}]}},
    }}.get(request["method"], {{}})
    print(json.dumps({{"jsonrpc": "2.0", "id": request["id"], "result": result}}), flush=True)
"#
    )
}

/// Writes an executable file.
pub(crate) fn executable(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A repository whose platform uses `hello` 1.x of a publisher, of which there is 1.0.0 for this machine and another.
pub(crate) fn team() -> Publisher {
    let publisher = Publisher {
        environment: TestEnv::new(),
    };
    let keygen = ["plugins", "keygen", "../key", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    release(&publisher, "1.0.0");
    publisher.environment.write("platform.yaml", PLATFORM);
    publisher
}

pub(crate) const PLATFORM: &str = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\nplugins:\n  hello: {source: ../tree, version: ^1}\n";

/// Publishes a version for this machine and another.
pub(crate) fn release(publisher: &Publisher, version: &str) {
    for platform in [&machine(), ELSEWHERE] {
        let file = format!("ztc-adapter-hello-{version}-{platform}");
        executable(
            &publisher.tree().join(file),
            &renderer("hello", version, platform),
        );
    }
    publisher.publish(&[]);
}

/// Installs what platform.yaml asks for, and renders.
pub(crate) fn rendered(publisher: &Publisher) {
    publisher.environment.ztc_ok(&["plugins", "install"]);
    publisher.environment.ztc_ok(&["render"]);
}

/// Takes everything away that is not in the repository: what is left is what a colleague has.
pub(crate) fn colleague(publisher: &Publisher) {
    for directory in [".local", ".config", ".cache"] {
        let _ = fs::remove_dir_all(publisher.environment.root().join("home").join(directory));
    }
    let _ = fs::remove_dir_all(publisher.environment.repo().join(".zerotouch-cache"));
}

pub(crate) fn lock(publisher: &Publisher) -> Value {
    serde_json::from_str(&publisher.environment.read("platform/lock.json")).unwrap()
}

/// Changes the lock by hand.
pub(crate) fn edit(publisher: &Publisher, change: impl FnOnce(&mut Value)) {
    let mut lock = lock(publisher);
    change(&mut lock);
    let text = serde_json::to_string_pretty(&lock).unwrap() + "\n";
    publisher.environment.write("platform/lock.json", text);
}

pub(crate) fn greeting(publisher: &Publisher) -> String {
    publisher
        .environment
        .read("platform/generated/services/hello/hello.txt")
}

/// The file of `hello` in the store.
pub(crate) fn stored(publisher: &Publisher, sha256: &str) -> PathBuf {
    let store = publisher
        .environment
        .root()
        .join("home/.local/share/ztc/store");
    let mut files = fs::read_dir(store.join(sha256)).unwrap();
    files.next().unwrap().unwrap().path()
}

pub(crate) fn locked_digest(publisher: &Publisher) -> String {
    let lock = lock(publisher);
    let digest = &lock["plugins"]["hello"]["platforms"][machine()]["sha256"];
    digest.as_str().unwrap().to_owned()
}

/// Runs commands one after the other and returns everything that they say, without times.
pub(crate) fn steps(publisher: &Publisher, commands: &[&[&str]]) -> String {
    let mut text = String::new();
    for command in commands {
        let run = publisher.run(command);
        text += &format!("$ ztc {}\n{run}\n", command.join(" "));
    }
    let line = |line: &str| match line.split_once(" rendered at ") {
        Some((before, after)) => {
            let after = after.split_once(": ").map_or("", |(_, after)| after);
            format!("{before} rendered at [TIME]: {after}\n")
        }
        None => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    text.replace(&machine(), "[MACHINE]")
}
