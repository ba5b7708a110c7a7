//! Whose key counts: by an operator's word, by the lock, by first use; and how both sides begin anew when a key or a tree is lost.

use std::fs;

use std::process::Stdio;

use crate::distribution::Publisher;
use crate::distribution_publish::change_and_sign;
use crate::distribution_team::{colleague, lock, release, rendered, steps, team};
use crate::schemas::valid;
use crate::terminal::Terminal;

fn public(publisher: &Publisher, name: &str) -> String {
    let path = publisher.environment.root().join(format!("{name}.pub"));
    let text = fs::read_to_string(path).unwrap();
    text.lines().nth(1).unwrap().to_owned()
}

/// Runs commands and returns what they say, with keys under the names of their files.
pub(crate) fn said(publisher: &Publisher, commands: &[&[&str]]) -> String {
    let mut text = steps(publisher, commands);
    for name in ["key", "second", "other"] {
        let path = publisher.environment.root().join(format!("{name}.pub"));
        if path.exists() {
            text = text.replace(&public(publisher, name), &format!("[{name}]"));
        }
    }
    text
}

/// Makes another key and publishes the tree anew with it, from serial 1: what was there is lost.
pub(crate) fn begin_anew(publisher: &Publisher, key: &str) {
    for name in ["index.json", "index.json.minisig"] {
        let _ = fs::remove_file(publisher.tree().join(name));
    }
    let key = format!("../{key}");
    if !publisher.environment.repo().join(&key).exists() {
        let keygen = ["plugins", "keygen", &key, "--no-password"];
        publisher.environment.ztc_ok(&keygen);
    }
    let versions = fs::read_dir(publisher.tree().join("hello")).unwrap();
    for version in versions {
        for file in fs::read_dir(version.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_owned();
            if name.to_string_lossy().starts_with("ztc-adapter-") {
                fs::rename(&path, publisher.tree().join(name)).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
    publisher.forget();
    let publish = ["plugins", "publish", "../tree", "--key", &key];
    publisher.environment.ztc_ok(&publish);
}

/// Publishes with a serial that no honest publisher reaches, as a thief of the key can.
fn fast_forward(publisher: &Publisher) {
    change_and_sign(publisher, |index| index["serial"] = 999_999.into());
    publisher.publish(&[]);
}

#[test]
fn a_new_key_begins_anew_after_a_thief_has_run_ahead() {
    let publisher = team();
    rendered(&publisher);
    fast_forward(&publisher);
    publisher
        .environment
        .ztc_ok(&["plugins", "search", "hello"]);
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello@1.0.0"]);
    begin_anew(&publisher, "second");
    release_with(&publisher, "second", "1.1.0");
    let key = public(&publisher, "second");
    let install = ["plugins", "install", "hello@1.1.0"];
    let with_key = [&install[..], &["--key", &key]].concat();
    let text = said(&publisher, &[&install, &with_key, &["render"], &install]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins install hello@1.1.0
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the lock names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install NAME@RANGE --key KEY`
    $ ztc plugins install hello@1.1.0 --key [second]
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
      platform/lock.json names hello 1.1.0 instead of 1.0.0
      next: ztc render  renders with it
    $ ztc render
    exit: 0
    --- stderr
      changed  platform/generated/services/hello/hello.txt
      changed  platform/lock.json
    ✓ rendered `test`: 1 artifacts, 0 stages (0 added, 2 changed, 0 removed, 1 unchanged)
      next: ztc plan  shows what a bootstrap would do
    $ ztc plugins install hello@1.1.0
    exit: 0
    --- stderr
    ✓ hello 1.1.0 was installed from file://[ROOT]/tree
    ");
    assert_eq!(lock(&publisher)["plugins"]["hello"]["index_serial"], 2);
    // A colleague who has seen what the thief has signed, and trusts the old key, follows the lock.
    publisher.environment.ztc_ok(&["plugins", "install"]);
}

/// Publishes a version with a key of its own.
fn release_with(publisher: &Publisher, key: &str, version: &str) {
    fs::copy(
        publisher.environment.root().join(key),
        publisher.environment.root().join("key"),
    )
    .unwrap();
    release(publisher, version);
}

#[test]
fn trust_add_and_trust_remove_forget_what_was_seen() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    fast_forward(&publisher);
    publisher.install(&[]);
    begin_anew(&publisher, "second");
    let key = public(&publisher, "second");
    let add: &[&str] = &["plugins", "trust", "add", "../tree", &key];
    let install: &[&str] = &["plugins", "install", "hello", "--source", "../tree"];
    let dry = [add, &["--dry-run"]].concat();
    let before = publisher
        .environment
        .ztc(&["plugins", "trust", "list"])
        .stdout;
    let text = said(&publisher, &[install, &dry]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the list of trusted publishers names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add file://[ROOT]/tree KEY`
    $ ztc plugins trust add ../tree [second] --dry-run
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree would be trusted with [KEY]
      instead of [key]: what that one has signed counts no more
    ");
    assert_eq!(
        publisher
            .environment
            .ztc(&["plugins", "trust", "list"])
            .stdout,
        before
    );
    let text = said(&publisher, &[add, install, add]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins trust add ../tree [second]
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [KEY]
      instead of [key]: what that one has signed counts no more
    $ ztc plugins install hello --source ../tree
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    $ ztc plugins trust add ../tree [second]
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [KEY]
    ");
    // The same key with another tree, whose serial is smaller again.
    fs::copy(
        publisher.environment.root().join("second"),
        publisher.environment.root().join("key"),
    )
    .unwrap();
    change_and_sign(&publisher, |index| index["serial"] = 50.into());
    publisher.publish(&[]);
    publisher.install(&[]);
    begin_anew(&publisher, "second");
    let remove: &[&str] = &["plugins", "trust", "remove", "../tree"];
    let dry = [remove, &["--dry-run"]].concat();
    let gone: &[&str] = &["plugins", "remove", "hello"];
    let commands = [
        install, add, install, &dry, remove, gone, install, remove, remove,
    ];
    insta::assert_snapshot!(said(&publisher, &commands), @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one that this machine has seen: serial 1, seen was 51
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove file://[ROOT]/tree`
    $ ztc plugins trust add ../tree [second]
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [KEY]
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one that this machine has seen: serial 1, seen was 51
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove file://[ROOT]/tree`
    $ ztc plugins trust remove ../tree --dry-run
    exit: 0
    --- stderr
    ✓ the key of file://[ROOT]/tree would be forgotten, and what it has shown
      the next key that it shows is pinned on first use
    $ ztc plugins trust remove ../tree
    exit: 0
    --- stderr
    ✓ the key of file://[ROOT]/tree is forgotten, and what it has shown
      the next key that it shows is pinned on first use
    $ ztc plugins remove hello
    exit: 0
    --- stderr
    ✓ removed hello 1.0.0
    $ ztc plugins install hello --source ../tree
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    $ ztc plugins trust remove ../tree
    exit: 0
    --- stderr
    ✓ the key of file://[ROOT]/tree is forgotten, and what it has shown
      the next key that it shows is pinned on first use
    $ ztc plugins trust remove ../tree
    exit: 4
    --- stderr
    error: no key of `file://[ROOT]/tree` is pinned
      help: `ztc plugins trust list` shows what is pinned
    ");
}

#[test]
fn a_tree_that_is_locked_and_begins_anew_with_the_same_key_takes_moved() {
    let publisher = team();
    rendered(&publisher);
    fast_forward(&publisher);
    release(&publisher, "1.1.0");
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello@1.1.0"]);
    begin_anew(&publisher, "key");
    release(&publisher, "1.2.0");
    let install = ["plugins", "install", "hello@1.2.0"];
    let remove = ["plugins", "trust", "remove", "../tree"];
    let moved = [&install[..], &["--moved"]].concat();
    insta::assert_snapshot!(said(&publisher, &[&install, &remove, &install, &moved]), @"
    $ ztc plugins install hello@1.2.0
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one that this machine has seen: serial 2, seen was 1000001
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove file://[ROOT]/tree`
    $ ztc plugins trust remove ../tree
    exit: 0
    --- stderr
    ✓ the key of file://[ROOT]/tree is forgotten, and what it has shown
      the next key that it shows is pinned on first use
    $ ztc plugins install hello@1.2.0
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one of the lock: serial 2, locked was 1000001
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, add `--moved` to `ztc plugins install`
    $ ztc plugins install hello@1.2.0 --moved
    exit: 0
    --- stderr
    ✓ hello 1.2.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
      platform/lock.json names hello 1.2.0 instead of 1.1.0
      next: ztc render  renders with it
    ");
    assert_eq!(lock(&publisher)["plugins"]["hello"]["index_serial"], 2);
}

#[test]
fn dry_runs_of_trust_have_the_schema_and_change_nothing() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    let key = public(&publisher, "key");
    for command in [
        &[
            "plugins",
            "trust",
            "add",
            "https://example.org/t",
            &key,
            "--dry-run",
            "--json",
        ][..],
        &[
            "plugins",
            "trust",
            "remove",
            "../tree",
            "--dry-run",
            "--json",
        ],
        &["plugins", "trust", "list", "--json"],
    ] {
        let said = publisher.environment.ztc_ok(command).json();
        valid("plugins-trust.schema.json", &said);
    }
    let list = publisher.environment.ztc_ok(&["plugins", "trust", "list"]);
    assert_eq!(list.stdout.lines().count(), 2);
}

#[test]
fn a_key_is_never_taken_for_the_name_of_a_file() {
    let publisher = Publisher::new();
    publisher
        .environment
        .ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    let (key, other) = (public(&publisher, "key"), public(&publisher, "other"));
    // Some keys hold a slash, at their end, too.
    let file = publisher.environment.repo().join(key.trim_end_matches('/'));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, &other).unwrap();
    publisher.environment.write("nothing.pub", "nothing\n");
    let add = |key: &str| said(&publisher, &[&["plugins", "trust", "add", "../tree", key]]);
    insta::assert_snapshot!(add(&key), @"
    $ ztc plugins trust add ../tree [key]
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [KEY]
    ");
    let list = publisher
        .environment
        .ztc_ok(&["plugins", "trust", "list"])
        .stdout;
    assert!(list.contains(&key) && !list.contains(&other), "{list}");
    insta::assert_snapshot!(add("nothing.pub"), @"
    $ ztc plugins trust add ../tree nothing.pub
    exit: 2
    --- stderr
    error: `nothing.pub` holds no public key of minisign
      help: give the publisher's `.pub` file, or its line that begins with `RW`
    ");
    insta::assert_snapshot!(add("nowhere.pub"), @"
    $ ztc plugins trust add ../tree nowhere.pub
    exit: 4
    --- stderr
    error: there is no file `nowhere.pub` with a key
      help: give the publisher's `.pub` file, or its line that begins with `RW`
    ");
    assert_eq!(publisher.install(&["--key", "../key.pub"]).code, Some(0));
    assert_eq!(publisher.install(&["--key", "../other.pub"]).code, Some(5));
}

#[test]
fn a_mirror_does_not_decide_whose_a_source_is() {
    let mut publisher = Publisher::new();
    let key = public(&publisher, "key");
    let mirror = [
        "plugins",
        "mirror",
        "../mirror",
        "hello",
        "--source",
        "../tree",
        "--platform",
        "all",
    ];
    publisher.environment.ztc_ok(&mirror);
    colleague(&publisher);
    fs::rename(publisher.tree(), publisher.environment.root().join("gone")).unwrap();
    let place = publisher.environment.root().join("mirror");
    let slug = fs::read_dir(&place)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name()
        .display()
        .to_string();
    publisher
        .environment
        .set("ZTC_PLUGINS_MIRROR", place.display().to_string());
    let install: &[&str] = &["plugins", "install", "hello", "--source", "../tree"];
    let add: &[&str] = &["plugins", "trust", "add", "../tree", &key];
    let text = said(&publisher, &[install, add, install]);
    insta::assert_snapshot!(text.replace(&slug, "[TREE]"), @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: no key of `file://[ROOT]/tree` is trusted here, and a mirror does not decide whose it is
      signed with: [KEY]
      read from the mirror file://[ROOT]/mirror/[TREE]
      help: compare the key with what its publisher shows elsewhere, then run `ztc plugins trust add file://[ROOT]/tree KEY`
    $ ztc plugins trust add ../tree [key]
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [KEY]
    $ ztc plugins install hello --source ../tree
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ");
    colleague(&publisher);
    let with_key = [install, &["--key", &key]].concat();
    assert_eq!(publisher.run(&with_key).code, Some(0));
}

#[test]
fn what_the_lock_and_this_machine_say_of_a_key_is_compared() {
    let publisher = team();
    rendered(&publisher);
    publisher
        .environment
        .ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    let (key, other) = (public(&publisher, "key"), public(&publisher, "other"));
    colleague(&publisher);
    publisher
        .environment
        .ztc_ok(&["plugins", "trust", "add", "../tree", &other]);
    let commands: [&[&str]; 4] = [
        &["plugins", "install"],
        &["plugins", "install", "hello@1.0.0"],
        &["plugins", "upgrade"],
        &["plugins", "install", "hello@1.0.0", "--key", &key],
    ];
    let text = said(&publisher, &commands);
    insta::assert_snapshot!(text, @"
    $ ztc plugins install
    exit: 0
    --- stderr
    warning: the lock names another key of file://[ROOT]/tree than this machine trusts ([other]): find out which one is right, then `ztc plugins trust add file://[ROOT]/tree KEY`
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins install hello@1.0.0
    exit: 5
    --- stderr
    error: the lock names another key of `file://[ROOT]/tree` than this machine trusts
      locked: [KEY]
      trusted: [KEY]
      help: ask its publisher by another way which one is right, then run `ztc plugins install NAME@RANGE --key KEY`
    $ ztc plugins upgrade
    exit: 5
    --- stderr
    error: the lock names another key of `file://[ROOT]/tree` than this machine trusts
      locked: [KEY]
      trusted: [KEY]
      help: ask its publisher by another way which one is right, then run `ztc plugins install NAME@RANGE --key KEY`
    $ ztc plugins install hello@1.0.0 --key [key]
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    ");
}

#[test]
fn the_key_that_an_offer_has_shown_is_the_one_that_is_pinned() {
    let publisher = team();
    let shown = public(&publisher, "key");
    let mut terminal = Terminal::ztc(&publisher.environment, &["init"]);
    terminal.wait_for(&shown);
    // While the person compares it, the server shows another one.
    begin_anew(&publisher, "second");
    terminal.answer("Install hello 1.0.0?", "y\r");
    terminal.wait_for("installed from");
    let list = publisher
        .environment
        .ztc_ok(&["plugins", "trust", "list"])
        .stdout;
    assert!(list.contains(&shown), "{list}");
}

#[test]
fn what_was_pinned_and_seen_meanwhile_is_compared_before_it_is_kept() {
    let publisher = Publisher::new();
    publisher
        .environment
        .ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    let other = public(&publisher, "other");
    let data = publisher.environment.root().join("home/.local/share/ztc");
    fs::create_dir_all(&data).unwrap();
    let config = publisher.environment.root().join("home/.config/ztc");
    fs::create_dir_all(&config).unwrap();
    let held = fs::File::create(data.join("plugins.lock")).unwrap();
    held.lock().unwrap();
    let mut install = publisher
        .environment
        .command(&["plugins", "install", "hello", "--source", "../tree"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(install.stderr.take().unwrap());
    let mut said = String::new();
    std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
    assert!(said.starts_with("another ztc"), "{said}");
    // It has read the source and trusted nobody yet; somebody else does.
    let source = format!(
        "file://{}",
        fs::canonicalize(publisher.tree()).unwrap().display()
    );
    let trust = serde_json::json!({"format": 1, "sources": {source: {"key": other, "since": "2026-01-01T00:00:00Z"}}});
    fs::write(config.join("trust.json"), trust.to_string()).unwrap();
    drop(held);
    std::io::Read::read_to_string(&mut lines, &mut said).unwrap();
    assert_eq!(install.wait().unwrap().code(), Some(5));
    let said = publisher.filtered(&publisher.environment.filtered(&said));
    insta::assert_snapshot!(said, @"
    another ztc installs something; waiting for it
    error: another key of `file://[ROOT]/tree` was pinned while this one was read
      pinned: [KEY]
      read: [KEY]
      help: run the same command again, and `ztc plugins trust list` where it stays so
    ");
    assert!(!data.join("installed").exists());
}
