//! What the lock goes on naming: the serial and key of a tree that began anew, a version that platform.yaml does not want; and a mirror that is
//! named as if it were a source.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Barrier};

use serde_json::Value;

use crate::distribution_publish::change_and_sign;
use crate::distribution_team::{colleague, lock, release, rendered, steps, team};
use crate::distribution_trust::{begin_anew, said};
use crate::schemas::valid;

#[test]
fn by_name_the_serial_of_a_tree_that_began_anew_is_locked_and_without_a_name_it_is_said() {
    let publisher = team();
    change_and_sign(&publisher, |index| index["serial"] = 7.into());
    rendered(&publisher);
    begin_anew(&publisher, "key");
    assert_eq!(lock(&publisher)["plugins"]["hello"]["index_serial"], 7);
    colleague(&publisher);
    let commands: [&[&str]; 6] = [
        &["plugins", "install"],
        &["plugins", "install", "--moved"],
        &["plugins", "install", "--moved"],
        &["plugins", "install", "hello", "--moved"],
        &["plugins", "install", "hello", "--moved"],
        &["validate"],
    ];
    insta::assert_snapshot!(said(&publisher, &commands), @"
    $ ztc plugins install
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one of the lock: serial 1, locked was 7
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, add `--moved` to `ztc plugins install`
    $ ztc plugins install --moved
    exit: 0
    --- stderr
    warning: the lock goes on naming serial 7 of file://[ROOT]/tree for `hello`, and other machines with it: `ztc plugins install hello@1.0.0 --moved` changes that
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins install --moved
    exit: 0
    --- stderr
    warning: the lock goes on naming serial 7 of file://[ROOT]/tree for `hello`, and other machines with it: `ztc plugins install hello@1.0.0 --moved` changes that
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins install hello --moved
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
      platform/lock.json names hello 1.0.0 as it is now; its tree had the serial 7 before
    $ ztc plugins install hello --moved
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc validate
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
    assert_eq!(lock(&publisher)["plugins"]["hello"]["index_serial"], 1);
    colleague(&publisher);
    insta::assert_snapshot!(said(&publisher, &[&["plugins", "install"]]), @"
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
}

#[test]
fn by_name_a_new_key_is_locked_and_without_a_name_it_is_said() {
    let publisher = team();
    rendered(&publisher);
    begin_anew(&publisher, "second");
    let commands: [&[&str]; 4] = [
        &["plugins", "install", "--key", "../second.pub"],
        &["plugins", "install", "hello", "--key", "../second.pub"],
        &["plugins", "install", "--key", "../second.pub"],
        &["validate"],
    ];
    insta::assert_snapshot!(said(&publisher, &commands), @"
    $ ztc plugins install --key ../second.pub
    exit: 0
    --- stderr
    warning: the lock goes on naming the key [KEY] for `hello`, and other machines with it: `ztc plugins install hello@1.0.0 --key [second]` changes that
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins install hello --key ../second.pub
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
      platform/lock.json names hello 1.0.0 as it is now
      next: ztc render  renders with it
    $ ztc plugins install --key ../second.pub
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc validate
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
    colleague(&publisher);
    insta::assert_snapshot!(said(&publisher, &[&["plugins", "install"]]), @"
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
}

#[test]
fn an_upgrade_names_what_is_newer_still_and_what_platform_yaml_does_not_want() {
    let publisher = team();
    rendered(&publisher);
    release(&publisher, "2.0.0");
    let commands: [&[&str]; 4] = [
        &["plugins", "upgrade"],
        &["plugins", "upgrade", "hello@^2", "--dry-run"],
        &["plugins", "upgrade", "hello@^2", "--yes"],
        &["validate"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins upgrade
    exit: 0
    --- stderr
    hello 1.0.0 is the newest that fits, from file://[ROOT]/tree
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    $ ztc plugins upgrade hello@^2 --dry-run
    exit: 0
    --- stderr
    hello 1.0.0 -> 2.0.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
    warning: `hello` 2.0.0 would be installed and not used here, because it is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37: change that line first
    $ ztc plugins upgrade hello@^2 --yes
    exit: 0
    --- stderr
    hello 1.0.0 -> 2.0.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
    warning: `hello` 2.0.0 would be installed and not used here, because it is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37: change that line first
    warning: the lock goes on with `hello` 1.0.0: `plugins.hello.version` asks for `^1`; change platform.yaml:6:37 and run `ztc plugins install hello@2.0.0` where you want this one
    ✓ hello 2.0.0 installed from file://[ROOT]/tree
    $ ztc validate
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
    let json = publisher
        .environment
        .ztc_ok(&["plugins", "upgrade", "--json"]);
    valid(
        "plugins-upgrade.schema.json",
        &serde_json::from_str(&json.stdout).unwrap(),
    );
    release(&publisher, "1.1.0");
    release(&publisher, "1.2.0");
    let yank = ["--yank", "hello@1.2.0", "--reason", "it loses routes"];
    publisher.publish(&yank);
    let json =
        publisher
            .environment
            .ztc_ok(&["plugins", "upgrade", "hello@^2", "--dry-run", "--json"]);
    valid(
        "plugins-upgrade.schema.json",
        &serde_json::from_str(&json.stdout).unwrap(),
    );
    let commands: [&[&str]; 3] = [
        &["plugins", "upgrade", "--dry-run"],
        &["plugins", "upgrade", "hello@^1.1", "--yes"],
        &["plugins", "upgrade", "hello@~1.1"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins upgrade --dry-run
    exit: 0
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    $ ztc plugins upgrade hello@^1.1 --yes
    exit: 0
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      platform/lock.json names hello 1.1.0 instead of 1.0.0
      next: ztc render  renders with it
    $ ztc plugins upgrade hello@~1.1
    exit: 0
    --- stderr
    hello 1.1.0 is the newest that fits, from file://[ROOT]/tree
      newer     2.0.0 is outside of `^1`, which `plugins.hello.version` asks for at platform.yaml:6:37
    ");
}

#[test]
fn the_directory_of_a_mirror_is_a_source_for_what_is_locked_and_said_to_be_a_mirror_elsewhere() {
    let publisher = team();
    rendered(&publisher);
    publisher
        .environment
        .ztc_ok(&["plugins", "mirror", "../stick"]);
    fs::rename(
        publisher.tree(),
        publisher.environment.root().join("far-away"),
    )
    .unwrap();
    colleague(&publisher);
    let commands: [&[&str]; 4] = [
        &["plugins", "install", "--locked"],
        &["plugins", "install", "--locked", "--source", "../stick"],
        &["validate"],
        &["plugins", "install", "hello@1.0.0", "--source", "../stick"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install --locked
    exit: 4
    --- stderr
    error: there is no directory `[ROOT]/tree`
      help: name the directory that holds `index.json`
    $ ztc plugins install --locked --source ../stick
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc validate
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    $ ztc plugins install hello@1.0.0 --source ../stick
    exit: 4
    --- stderr
    error: `[ROOT]/stick` is a mirror, and no tree
      it has file://[ROOT]/tree
      help: run `ZTC_PLUGINS_MIRROR=[ROOT]/stick ztc plugins install`, for one adapter `ZTC_PLUGINS_MIRROR=[ROOT]/stick ztc plugins install NAME --source file://[ROOT]/tree`
    ");
    fs::remove_file(publisher.environment.repo().join("platform/lock.json")).unwrap();
    let commands: [&[&str]; 2] = [
        &["plugins", "install", "--source", "../stick"],
        &["plugins", "search", "--source", "../stick"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install --source ../stick
    exit: 2
    --- stderr
    error: `--source` without a name gives another place for what is locked, and nothing is locked
      help: this is a mirror: run `ZTC_PLUGINS_MIRROR=../stick ztc plugins install`
    $ ztc plugins search --source ../stick
    exit: 4
    --- stderr
    error: `[ROOT]/stick` is a mirror, and no tree
      it has file://[ROOT]/tree
      help: run `ZTC_PLUGINS_MIRROR=[ROOT]/stick ztc plugins install`, for one adapter `ZTC_PLUGINS_MIRROR=[ROOT]/stick ztc plugins install NAME --source file://[ROOT]/tree`
    ");
}

#[test]
fn several_sources_are_asked_at_the_same_time() {
    let publisher = team();
    // Each answers only when both have been asked.
    let both = Arc::new(Barrier::new(2));
    let addresses = [(); 2].map(|()| {
        let (listener, both) = (TcpListener::bind("127.0.0.1:0").unwrap(), both.clone());
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            both.wait();
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        });
        address
    });
    let [one, two] = &addresses;
    publisher.environment.write(
        "platform.yaml",
        format!("apiVersion: ztc/v1\nenvironment: test\nadapters:\n  talos: {{}}\nplugins:\n  one: {{source: \"{one}\"}}\n  two: {{source: \"{two}\"}}\n"),
    );
    let run = publisher.environment.ztc(&["plugins", "search", "--json"]);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    let why: Vec<&Value> = found["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| &source["why"])
        .collect();
    let mut expected = addresses.map(|address| format!("`{address}` has no `index.json`"));
    expected.sort();
    assert_eq!(why, expected.iter().collect::<Vec<_>>());
}
