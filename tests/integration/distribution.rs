//! Adapters of others: published, installed, verified, removed; and each attack on the way there, refused with its own message.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::distribution_publish::begin_anew;
use crate::environment::{Run, TestEnv};

/// A small adapter, as its author has built it.
pub(crate) fn adapter(name: &str, version: &str) -> String {
    format!(
        r#"#!/usr/bin/env python3
import json, sys
MANIFEST = {{"name": "{name}", "version": "{version}", "description": "says hello", "phase": "network", "selection_group": "{name}",
    "is_default": False, "group_prompt": "", "group_help": "", "provides": [{{"capability": "acme/{name}", "version": "1.0", "schema": {{}}}}], "requires": [],
    "supported_versions": ["v1"], "default_version": "v1", "config_schema": {{"type": "object"}}, "output_schema": {{}},
    "output_dir": "", "environment": [], "secrets": [], "bundles": [], "network": [{{"host": "example.org", "port": 443, "why": "asks"}}], "tools": [], "discovers": False}}
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = {{"protocol": "1.0", "manifest": MANIFEST}} if request["method"] == "initialize" else {{}}
    print(json.dumps({{"jsonrpc": "2.0", "id": request["id"], "result": result}}), flush=True)
"#
    )
}

pub(crate) fn machine() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// A publisher: a directory `tree` with one or more versions of `hello`, and the key `key`, beside the repository.
pub(crate) struct Publisher {
    pub(crate) environment: TestEnv,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let environment = TestEnv::new();
        environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
        fs::create_dir(environment.root().join("tree")).unwrap();
        let publisher = Self { environment };
        publisher.put("hello", "1.0.0", &machine());
        publisher.publish(&[]);
        publisher
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.environment.root().join("tree")
    }

    /// Puts an executable where it will be published from.
    pub(crate) fn put(&self, name: &str, version: &str, platform: &str) {
        let file = format!("ztc-adapter-{name}-{version}-{platform}");
        let path = self.tree().join(file);
        fs::write(&path, adapter(name, version)).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Publishes on a machine that remembers nothing, so that a test may put back what it likes.
    pub(crate) fn publish(&self, options: &[&str]) -> Run {
        self.forget();
        let command = ["plugins", "publish", "../tree", "--key", "../key"];
        self.environment.ztc_ok(&[&command, options].concat())
    }

    /// Another machine, or one that was killed: it does not remember what was signed.
    pub(crate) fn forget(&self) {
        let home = self.environment.root().join("home/.local/share/ztc");
        let _ = fs::remove_dir_all(home.join("signed"));
    }

    /// Changes the index and signs it anew, as a publisher who means ill could.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.tree().join("index.json");
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut index);
        fs::write(&path, serde_json::to_vec_pretty(&index).unwrap()).unwrap();
    }

    pub(crate) fn executable(&self) -> PathBuf {
        let file = format!("hello/1.0.0/ztc-adapter-hello-1.0.0-{}", machine());
        self.tree().join(file)
    }

    pub(crate) fn install(&self, options: &[&str]) -> Run {
        let command = ["plugins", "install", "hello", "--source", "../tree"];
        self.run(&[&command, options].concat())
    }

    /// Runs `ztc`; keys and times are replaced.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let mut run = self.environment.ztc(arguments);
        for stream in [&mut run.stdout, &mut run.stderr] {
            *stream = self.filtered(stream);
        }
        run
    }

    pub(crate) fn filtered(&self, text: &str) -> String {
        let mut words = Vec::new();
        for word in text.split_inclusive([' ', '\n', '"']) {
            let bare = word.trim_end_matches([' ', '\n', '"', ',']);
            let is_key = bare.starts_with("RW") && bare.len() == 56;
            let id = bare.trim_end_matches(')');
            let is_id = id.len() == 16 && id.bytes().all(|it| b"0123456789ABCDEF".contains(&it));
            let is_time = bare.len() >= 20
                && bare.starts_with("20")
                && bare.contains('T')
                && bare.ends_with('Z');
            if is_id {
                words.push(word.replace(id, "[ID]"));
                continue;
            }
            match (is_key, is_time) {
                (true, _) => words.push(word.replace(bare, "[KEY]")),
                (_, true) => words.push(word.replace(bare, "[TIME]")),
                _ => words.push(word.to_owned()),
            }
        }
        let text = words.concat().replace(&machine(), "[MACHINE]");
        // How wide a column with a path is depends on where the test runs.
        let line = |line: &str| match line.split_once("  ") {
            Some(_) if !line.starts_with(' ') => {
                let cells = line
                    .split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty());
                cells.collect::<Vec<_>>().join("  ")
            }
            _ if line.starts_with("NAME") => {
                let cells = line
                    .split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty());
                cells.collect::<Vec<_>>().join("  ")
            }
            _ => line.to_owned(),
        };
        text.lines().map(|text| line(text) + "\n").collect()
    }
}

/// How a web server lies about the adapter's executable.
#[derive(Clone, Copy)]
pub(crate) enum Lie {
    Nothing,
    Truncated,
    Endless,
    EndlessIndex,
}

/// A static web server on loopback over a directory; it ends with the test.
pub(crate) fn serve(directory: PathBuf, lie: Arc<Mutex<Lie>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (directory, lie) = (directory.clone(), *lie.lock().unwrap());
            std::thread::spawn(move || answer(stream, &directory, lie));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, directory: &std::path::Path, lie: Lie) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let Ok(mut content) = fs::read(directory.join(&path)) else {
        return stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .ok();
    };
    let is_program = path.contains("ztc-adapter-");
    let endless = match lie {
        Lie::Endless => is_program,
        Lie::EndlessIndex => path == "index.json",
        Lie::Nothing | Lie::Truncated => false,
    };
    if matches!(lie, Lie::Truncated) && is_program {
        content.truncate(100);
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        .ok()?;
    stream.write_all(&content).ok()?;
    // It goes on until the other side has enough.
    while endless && stream.write_all(&[b'x'; 65536]).is_ok() {}
    Some(())
}

#[test]
fn a_tree_is_published_checked_installed_used_verified_and_removed() {
    let publisher = Publisher::new();
    let check = publisher.run(&["plugins", "publish-check", "../tree"]);
    insta::assert_snapshot!(check, @"
    exit: 0
    --- stderr
    ✓ 1 file, 1 version, 1 adapter: serial 1, valid until [TIME], key [KEY]
    ");
    insta::assert_snapshot!(publisher.install(&["--dry-run"]), @"
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree would be trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 would be installed from file://[ROOT]/tree
      touches network example.org:443
    ");
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ");
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "trust", "list"]).stdout.lines().count(), @"2");
    insta::assert_snapshot!(publisher.run(&["plugins", "list"]), @"
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  -
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "list", "--no-sandbox"]).stdout, @"
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  -
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "verify"]), @"
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  file://[ROOT]/tree  ok
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "remove", "hello"]), @"
    exit: 0
    --- stderr
    ✓ removed hello 1.0.0
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "remove", "hello"]), @"
    exit: 4
    --- stderr
    error: `hello` is not installed
      help: `ztc plugins list` shows what is installed
    ");
}

#[test]
fn what_platform_yaml_asks_for_is_installed_over_http() {
    let publisher = Publisher::new();
    let lie = Arc::new(Mutex::new(Lie::Nothing));
    let address = serve(publisher.tree(), Arc::clone(&lie));
    publisher.put("hello", "1.1.0", &machine());
    publisher.put("hello", "2.0.0", &machine());
    publisher.publish(&[]);
    let platform = format!(
        "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {{}}\nplugins:\n  hello: {{source: '{address}', version: '^1'}}\n"
    );
    publisher.environment.write("platform.yaml", platform);
    let run = |arguments: &[&str]| {
        publisher
            .run(arguments)
            .to_string()
            .replace(&address, "[WEB]")
    };
    insta::assert_snapshot!(run(&["validate"]), @"
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.yaml:4:3
      asked for: ^1 from [WEB]
      help: run `ztc plugins install`
    ");
    *lie.lock().unwrap() = Lie::Truncated;
    insta::assert_snapshot!(run(&["plugins", "install"]), @"
    exit: 1
    --- stderr
    error: `hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]` of `[WEB]` ended too early: 100 of 900 bytes
      help: run the same command again; nothing was installed
    ");
    *lie.lock().unwrap() = Lie::Endless;
    insta::assert_snapshot!(run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: `hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]` of `[WEB]` is longer than the 900 bytes that were signed
      help: do not use this tree: tell its publisher by another way than this source
    ");
    *lie.lock().unwrap() = Lie::EndlessIndex;
    insta::assert_snapshot!(run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: `index.json` of `[WEB]` has no end: it is longer than 8388608 bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
    *lie.lock().unwrap() = Lie::Nothing;
    insta::assert_snapshot!(run(&["plugins", "install"]), @"
    exit: 0
    --- stderr
    the publisher's key of [WEB] is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.1.0 installed from [WEB]
      touches network example.org:443
    ");
    let left: Vec<_> = fs::read_dir(
        publisher
            .environment
            .root()
            .join("home/.local/share/ztc/store"),
    )
    .unwrap()
    .map(|entry| entry.unwrap().file_name().to_string_lossy().len())
    .collect();
    assert_eq!(left, [64]);
}

#[test]
fn another_key_a_missing_signature_and_a_wrong_one_are_refused() {
    let publisher = Publisher::new();
    let signature = publisher.tree().join("index.json.minisig");
    let good = fs::read(&signature).unwrap();
    fs::remove_file(&signature).unwrap();
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has no signature: there is no `index.json.minisig`
      help: add `--allow-unsigned` where you know these bytes by another way
    ");
    insta::assert_snapshot!(publisher.install(&["--allow-unsigned"]), @"
    exit: 0
    --- stderr
    warning: nobody has signed `hello` 1.0.0: whoever can change file://[ROOT]/tree decides what it does
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ");
    publisher
        .environment
        .ztc_ok(&["plugins", "remove", "hello"]);
    fs::write(&signature, &good).unwrap();
    publisher.install(&[]);
    fs::remove_file(&signature).unwrap();
    insta::assert_snapshot!(publisher.install(&["--allow-unsigned"]), @"
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has no signature any more, and it had one
      trusted: [KEY]
      help: ask its publisher; `ztc plugins trust remove file://[ROOT]/tree` forgets that it was signed
    ");
    fs::write(&signature, &good).unwrap();
    let index = fs::read(publisher.tree().join("index.json")).unwrap();
    publisher.change(|index| index["expires"] = "2099-01-01T00:00:00Z".into());
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `index.json` of `file://[ROOT]/tree` is not what its publisher signed: the signature does not fit its bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
    fs::write(publisher.tree().join("index.json"), index).unwrap();
    publisher
        .environment
        .ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    let replace = ["plugins", "publish", "../tree", "--key", "../other"];
    insta::assert_snapshot!(publisher.run(&replace), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` was signed with another key
      it was: [KEY]
      this is: [KEY]
      help: take that key; with `--replace-key` everybody who has installed from here has to trust the new one by hand
    ");
    publisher
        .environment
        .ztc_ok(&[&replace[..], &["--replace-key"]].concat());
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the list of trusted publishers names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add file://[ROOT]/tree KEY`
    ");
    let add = ["plugins", "trust", "add", "../tree", "../other.pub"];
    publisher.environment.ztc_ok(&add);
    assert_eq!(publisher.install(&[]).code, Some(0));
}

#[test]
fn an_older_and_a_contradicting_index_are_refused() {
    let publisher = Publisher::new();
    let save = |name: &str| fs::read(publisher.tree().join(name)).unwrap();
    let old = [save("index.json"), save("index.json.minisig")];
    publisher.publish(&[]);
    publisher.install(&[]);
    let new = [save("index.json"), save("index.json.minisig")];
    let put = |files: &[Vec<u8>; 2]| {
        fs::write(publisher.tree().join("index.json"), &files[0]).unwrap();
        fs::write(publisher.tree().join("index.json.minisig"), &files[1]).unwrap();
    };
    put(&old);
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one that this machine has seen: serial 1, seen was 2
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove file://[ROOT]/tree`
    ");
    // The next one has the serial that was seen, and says something else.
    publisher.publish(&["--publisher", "Somebody"]);
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has another index with the serial 2 that this machine has seen
      help: ask its publisher which one is right
    ");
    put(&new);
    assert_eq!(publisher.install(&[]).code, Some(0));
}

#[test]
fn other_bytes_of_a_version_are_refused_wherever_they_come_up() {
    let publisher = Publisher::new();
    let good = fs::read(publisher.executable()).unwrap();
    let bad = String::from_utf8_lossy(&good).replace("says hello", "says jello");
    fs::write(publisher.executable(), &bad).unwrap();
    // The server's bytes are not those of the index.
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `file://[ROOT]/tree` does not have the bytes that were signed
      signed: [SHA256]
      found: [SHA256]
      help: do not use this tree: tell its publisher by another way than this source
    ");
    // The publisher cannot sign them as the same version.
    let publish = ["plugins", "publish", "../tree", "--key", "../key"];
    insta::assert_snapshot!(publisher.run(&publish), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree/hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` has other bytes than were published as `hello` 1.0.0
      help: give the change a new version: a published version never changes its bytes
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "publish-check", "../tree"]), @"
    exit: 1
    --- stderr
    error: `../tree` cannot be installed from
      hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]: it does not have the bytes that were signed
      help: correct the files and run `ztc plugins publish` again
    ");
    // One who does it nevertheless is found out by whoever has installed it before.
    fs::write(publisher.executable(), &good).unwrap();
    publisher.install(&[]);
    fs::write(publisher.executable(), &bad).unwrap();
    begin_anew(&publisher.tree());
    publisher.publish(&[]);
    publisher.publish(&[]);
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `file://[ROOT]/tree` has other bytes than before for [MACHINE]
      was: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    ");
}

#[test]
fn a_moved_source_and_a_missing_platform_are_refused() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    let moved = publisher.environment.root().join("moved");
    fs::rename(publisher.tree(), &moved).unwrap();
    let install = ["plugins", "install", "hello", "--source", "../moved"];
    insta::assert_snapshot!(publisher.run(&install), @"
    exit: 5
    --- stderr
    error: `hello` was installed from another source
      installed: 1.0.0 from file://[ROOT]/tree
      now: 1.0.0 from file://[ROOT]/moved
      help: add `--moved` to `ztc plugins install` where its publisher has moved, and you know it from them
    ");
    assert_eq!(
        publisher.run(&[&install[..], &["--moved"]].concat()).code,
        Some(0)
    );
    fs::rename(&moved, publisher.tree()).unwrap();
    publisher.put("strange", "1.0.0", "linux-riscv64");
    publisher.publish(&["--protocol", "1.0"]);
    let install = ["plugins", "install", "strange", "--source", "../tree"];
    insta::assert_snapshot!(publisher.run(&install), @"
    exit: 4
    --- stderr
    error: no version of `strange` of `file://[ROOT]/tree` can be used here
      1.0.0 is not published for [MACHINE], only for linux-riscv64
      help: ask the publisher for a build for this machine
    ");
}

#[test]
fn what_was_changed_after_it_was_installed_does_not_run() {
    let publisher = Publisher::new();
    let done = publisher
        .environment
        .ztc_ok(&[
            "plugins", "install", "--json", "hello", "--source", "../tree",
        ])
        .json();
    let program = done["plugins"][0]["program"].as_str().unwrap().replace(
        "[ROOT]",
        &publisher.environment.root().display().to_string(),
    );
    let directory = PathBuf::from(program).parent().unwrap().to_owned();
    let sums = fs::read_dir(directory.parent().unwrap())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let program = fs::read_dir(&sums).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&program).unwrap();
    fs::write(&program, adapter("hello", "6.6.6")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    insta::assert_snapshot!(publisher.run(&["plugins", "info", "hello"]), @"
    exit: 5
    --- stderr
    error: adapter `hello` was not started: its file does not have the bytes that were installed
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]`
      help: install it again with `ztc plugins install hello`, and find out who has changed it
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "info", "hello", "--no-sandbox"]).code.unwrap(), @"5");
    insta::assert_snapshot!(publisher.run(&["plugins", "verify"]), @"
    exit: 5
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  file://[ROOT]/tree  has other bytes: [SHA256]
    --- stderr
    error: installed adapters are not what was installed
      hello 1.0.0: has other bytes: [SHA256]
      help: run `ztc plugins install hello@1.0.0 --source file://[ROOT]/tree`, and `ztc plugins verify` again
    ");
    assert_eq!(publisher.install(&[]).code, Some(0));
    assert_eq!(publisher.run(&["plugins", "verify"]).code, Some(0));
}

#[test]
fn twenty_installs_at_the_same_time_leave_one_good_copy() {
    let publisher = Publisher::new();
    let install = ["plugins", "install", "hello", "--source", "../tree"];
    let all: Vec<_> = (0..20)
        .map(|_| {
            publisher
                .environment
                .command(&install)
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    assert_eq!(publisher.run(&["plugins", "verify"]).code, Some(0));
    let store = publisher
        .environment
        .root()
        .join("home/.local/share/ztc/store");
    assert_eq!(fs::read_dir(store).unwrap().count(), 1);
}
