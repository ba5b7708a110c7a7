//! Adapters of others and the lock: what is locked is what is installed and what runs, on every machine.

use std::fs;

use serde_json::json;

use crate::distribution::machine;
use crate::distribution_team::{
    ELSEWHERE, PLATFORM, colleague, edit, greeting, lock, locked_digest, release, rendered,
    renderer, steps, team,
};

#[test]
fn the_lock_names_every_adapter_and_all_its_platforms() {
    let publisher = team();
    rendered(&publisher);
    let lock = lock(&publisher);
    let text = serde_json::to_string_pretty(&lock["plugins"]).unwrap();
    let size = fs::metadata(publisher.executable()).unwrap().len();
    let text = text.replace(&size.to_string(), "[SIZE]");
    insta::assert_snapshot!(publisher.filtered(&publisher.environment.filtered(&text)), @r#"
    {
      "hello": {
        "version": "1.0.0",
        "source": "../tree",
        "protocol": "1.0",
        "publisher_key": "[KEY]",
        "index_serial": 1,
        "platforms": {
          "[MACHINE]": {
            "path": "hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]",
            "size": [SIZE],
            "sha256": "[SHA256]"
          },
          "macos-riscv64": {
            "path": "hello/1.0.0/ztc-adapter-hello-1.0.0-macos-riscv64",
            "size": 675,
            "sha256": "[SHA256]"
          }
        }
      }
    }
    "#);
    assert_eq!(lock["format"], 2);
    assert_eq!(lock["adapters"]["hello"]["source"], "installed");
}

#[test]
fn a_lock_made_elsewhere_installs_here_and_stays_as_it_is() {
    let publisher = team();
    rendered(&publisher);
    // What the colleague has rendered on another kind of machine, before a newer version came out.
    let made = publisher.environment.read("platform/lock.json");
    release(&publisher, "1.1.0");
    colleague(&publisher);
    let commands: [&[&str]; 6] = [
        &["validate"],
        &["plugins", "install"],
        &["plugins", "install"],
        &["render", "--locked"],
        &["validate", "--locked"],
        &["plugins", "trust", "list"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc validate
    exit: 4
    --- stderr
    error: adapter `hello` 1.0.0, which the lock names, is not installed
      --> platform.yaml:4:3
      asked for: ^1 from ../tree
      help: run `ztc plugins install`
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc render --locked
    exit: 0
    --- stderr
    ✓ nothing changed for `test`: 1 artifacts, 0 stages
    $ ztc validate --locked
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    $ ztc plugins trust list
    exit: 0
    --- stdout
    SOURCE  KEY  SINCE
    ");
    assert_eq!(publisher.environment.read("platform/lock.json"), made);
    assert_eq!(greeting(&publisher), "hello from 1.0.0\n");
}

#[test]
fn a_tree_inside_the_repository_is_locked_by_its_place_in_it() {
    let publisher = team();
    let vendor = publisher.environment.repo().join("vendor");
    fs::rename(publisher.tree(), &vendor).unwrap();
    let platform = PLATFORM.replace("../tree", "vendor");
    publisher.environment.write("platform.yaml", platform);
    rendered(&publisher);
    assert_eq!(lock(&publisher)["plugins"]["hello"]["source"], "./vendor");
    colleague(&publisher);
    publisher.environment.ztc_ok(&["plugins", "install"]);
    publisher.environment.ztc_ok(&["validate", "--locked"]);
}

#[test]
fn what_contradicts_the_lock_is_not_installed() {
    let publisher = team();
    rendered(&publisher);
    let made = publisher.environment.read("platform/lock.json");
    colleague(&publisher);
    let digest = locked_digest(&publisher);
    let restore = || publisher.environment.write("platform/lock.json", &made);
    // Other bytes of the same version, for this machine and for another.
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["platforms"][machine()]["sha256"] = json!("a".repeat(64));
    });
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `file://[ROOT]/tree` has other bytes for [MACHINE] than the lock names
      locked: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    ");
    restore();
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["platforms"][ELSEWHERE]["sha256"] = json!(digest);
    });
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `file://[ROOT]/tree` has other bytes for macos-riscv64 than the lock names
      locked: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    ");
    restore();
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["index_serial"] = json!(7);
    });
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one of the lock: serial 1, locked was 7
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, add `--moved` to `ztc plugins install`
    ");
    restore();
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["platforms"]
            .as_object_mut()
            .unwrap()
            .remove(&machine());
    });
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 4
    --- stderr
    error: the lock has no executable of `hello` 1.0.0 for [MACHINE], only for macos-riscv64
      help: ask its publisher for one; then `ztc plugins install hello@1.0.0` locks it, too
    ");
    restore();
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["platforms"][machine()]["sha256"] = json!("../../../../bin");
    });
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 2
    --- stderr
    error: the lock was edited: `../../../../bin` is not a SHA-256
      help: put it back with `git checkout -- platform/lock.json`
    ");
    restore();
    // Somebody else's key.
    let keygen = ["plugins", "keygen", "../other", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    let publish = [
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../other",
        "--replace-key",
    ];
    publisher.environment.ztc_ok(&publish);
    insta::assert_snapshot!(publisher.run(&["plugins", "install"]), @"
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the lock names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install NAME@RANGE --key KEY`
    ");
    let named = ["plugins", "install", "hello@^1"];
    insta::assert_snapshot!(publisher.run(&named), @"
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the lock names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install NAME@RANGE --key KEY`
    ");
    // The operator's own word is stronger: the key is changed in the lock, for everybody to see.
    let key = fs::read_to_string(publisher.environment.root().join("other.pub")).unwrap();
    let key = key.lines().last().unwrap();
    let named = ["plugins", "install", "hello@^1", "--key", key];
    insta::assert_snapshot!(publisher.run(&named), @"
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
      platform/lock.json names hello 1.0.0 as it is now
      next: ztc render  renders with it
    ");
    assert_eq!(lock(&publisher)["plugins"]["hello"]["publisher_key"], key);
}

#[test]
fn a_lock_is_followed_from_a_copy_and_without_the_network() {
    let publisher = team();
    let platform = PLATFORM.replace("../tree", "http://127.0.0.1:1");
    rendered(&publisher);
    // The place that the lock names is gone; a copy of it is signed by the same key.
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["source"] = json!("http://127.0.0.1:1");
    });
    publisher.environment.write("platform.yaml", platform);
    colleague(&publisher);
    let commands: [&[&str]; 5] = [
        &["plugins", "install", "--locked"],
        &["plugins", "install", "--locked", "--source", "../tree"],
        &["plugins", "install", "--locked"],
        &["plugins", "verify"],
        &["plugins", "install", "--locked", "hello@1.0.0"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install --locked
    exit: 5
    --- stderr
    error: `hello` 1.0.0 is locked and not installed, and `--locked` uses no network
      help: run `ztc plugins install` without `--locked` first, or give a copy: `ztc plugins install --locked --source DIR`
    $ ztc plugins install --locked --source ../tree
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins install --locked
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from http://127.0.0.1:1
    $ ztc plugins verify
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  http://127.0.0.1:1  ok
    $ ztc plugins install --locked hello@1.0.0
    exit: 2
    --- stderr
    error: `--locked` takes what the lock names, and `hello@1.0.0` may be something else
      help: name the adapter alone, or leave `--locked` out
    ");
}

#[test]
fn nothing_newer_and_nothing_else_runs_than_what_is_locked() {
    let publisher = team();
    rendered(&publisher);
    let made = publisher.environment.files();
    // Another repository of the same machine uses a newer one, and PATH has one, too.
    release(&publisher, "1.1.0");
    fs::create_dir(publisher.environment.root().join("other")).unwrap();
    let install = [
        "-C",
        "../other",
        "plugins",
        "install",
        "hello@1.1.0",
        "--source",
        "../tree",
    ];
    publisher.environment.ztc_ok(&install);
    publisher
        .environment
        .tool("ztc-adapter-hello", &renderer("hello", "6.6.6", ""));
    let commands: [&[&str]; 3] = [&["render"], &["validate"], &["plugins", "list"]];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc render
    exit: 0
    --- stderr
    warning: adapter `hello` is `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]` (installed); `[ROOT]/bin/ztc-adapter-hello` (PATH) is not used
      help: `ztc plugins list --explain` shows why
    ✓ nothing changed for `test`: 1 artifacts, 0 stages
    $ ztc validate
    exit: 0
    --- stderr
    warning: adapter `hello` is `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]` (installed); `[ROOT]/bin/ztc-adapter-hello` (PATH) is not used
      help: `ztc plugins list --explain` shows why
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  [REPO]
    hello  1.1.0  file://[ROOT]/tree  signed  1.0  not used here  -
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    ");
    let mut now = publisher.environment.files();
    now.retain(|path, _| !path.starts_with(".zerotouch-cache"));
    let mut before = made;
    before.retain(|path, _| !path.starts_with(".zerotouch-cache"));
    assert_eq!(now, before);
    // What is locked is gone: nothing takes its place.
    let commands: [&[&str]; 5] = [
        &["plugins", "remove", "hello@1.0.0"],
        &["plugins", "remove", "hello@1.0.0", "--force"],
        &["render"],
        &["plugins", "list"],
        &["plugins", "install"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins remove hello@1.0.0
    exit: 5
    --- stderr
    error: `hello@1.0.0` is needed by repositories of this machine
      hello 1.0.0 is locked by [REPO]
      help: remove it all the same with `ztc plugins remove hello@1.0.0 --force`; there, `ztc plugins install` brings it back
    $ ztc plugins remove hello@1.0.0 --force
    exit: 0
    --- stderr
    warning: the lock of [REPO] names `hello` 1.0.0: there `ztc plugins install` brings it back
    ✓ removed hello 1.0.0
    $ ztc render
    exit: 4
    --- stderr
    error: adapter `hello` 1.0.0, which the lock names, is not installed
      --> platform.yaml:4:3
      asked for: ^1 from ../tree
      help: run `ztc plugins install`
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  ../tree  -  -  adapter `hello` 1.0.0, which the lock names, is not installed  [REPO]
    hello  1.1.0  file://[ROOT]/tree  signed  1.0  not used here  -
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
    assert_eq!(greeting(&publisher), "hello from 1.0.0\n");
    publisher.environment.ztc_ok(&["validate", "--locked"]);
}

#[test]
fn what_a_colleague_has_committed_on_another_system_works_here_unchanged() {
    let environment = crate::environment::TestEnv::new();
    let committed = crate::tidy::root().join("tests/integration/elsewhere");
    let mut files = std::collections::BTreeMap::new();
    crate::environment::collect(&committed, &committed, &mut files);
    for (path, content) in files {
        environment.write(&path, content);
    }
    // That ztc has a newer version by now is a difference of its own.
    let lock = environment.read("platform/lock.json");
    let lock = lock.replace(
        r#""ztc_version": "0.1.0""#,
        &format!(r#""ztc_version": "{}""#, env!("CARGO_PKG_VERSION")),
    );
    environment.write("platform/lock.json", &lock);
    for platform in ["linux-x86_64", "linux-aarch64", "macos-aarch64"] {
        assert!(lock.contains(&format!("-{platform}\"")), "{platform}");
    }
    let refused = environment.ztc(&["validate", "--locked"]);
    assert_eq!(refused.code, Some(4), "{refused}");
    let before = environment.files();
    environment.ztc_ok(&["plugins", "install", "--locked"]);
    environment.ztc_ok(&["validate", "--locked"]);
    environment.ztc_ok(&["render", "--locked"]);
    environment.ztc_ok(&["render"]);
    let mut after = environment.files();
    after.retain(|path, _| !path.starts_with(".zerotouch-cache"));
    assert!(after == before, "{:?}", after.keys());
    // Without a word on the command line, too.
    environment.ztc_ok(&["plugins", "remove", "greeter", "--force"]);
    environment.ztc_ok(&["plugins", "install"]);
    let info = environment.ztc_ok(&["plugins", "info", "greeter", "--json"]);
    assert_eq!(info.json()["sha256"], "[SHA256]");
}
