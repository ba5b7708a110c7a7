//! `--locked` writes no lock and believes none that cannot be right; and what may differ although nobody is wrong.

use std::fs;

use serde_json::json;

use crate::distribution_team::{colleague, edit, rendered, steps, team};

#[test]
fn a_locked_render_writes_no_other_lock() {
    let publisher = team();
    rendered(&publisher);
    edit(&publisher, |lock| {
        lock["adapters"]["hello"]["source"] = json!("built-in");
    });
    let edited = publisher.environment.read("platform/lock.json");
    insta::assert_snapshot!(steps(&publisher, &[&["render", "--locked"]]), @"
    $ ztc render --locked
    exit: 5
    --- stderr
    error: the lock does not cover this, and `--locked` changes nothing in it
      changed: platform/lock.json
      help: run the same command without `--locked`, and read what changes with `git diff platform/lock.json`
    ");
    assert_eq!(publisher.environment.read("platform/lock.json"), edited);
    publisher.environment.ztc_ok(&["render"]);
    publisher.environment.ztc_ok(&["render", "--locked"]);
}

#[test]
fn a_lock_that_gives_one_adapter_the_bytes_of_another_is_refused() {
    let publisher = team();
    rendered(&publisher);
    edit(&publisher, |lock| {
        let hello = lock["plugins"]["hello"].clone();
        lock["plugins"]["other"] = hello;
    });
    let install = ["plugins", "install", "--locked"];
    insta::assert_snapshot!(steps(&publisher, &[&install]), @"
    $ ztc plugins install --locked
    exit: 5
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    error: the lock gives `other` 1.0.0 the bytes of `hello` 1.0.0
      help: put the lock back with `git checkout -- platform/lock.json`
    error: 1 of 2 adapters were not installed: `other`
      help: correct what is said above and run the same command again
    ");
}

#[test]
fn copies_of_a_repository_on_one_machine_agree_about_a_source_inside() {
    let publisher = team();
    let environment = &publisher.environment;
    fs::rename(publisher.tree(), environment.repo().join("tree")).unwrap();
    let platform = environment.read("platform.yaml");
    environment.write("platform.yaml", platform.replace("../tree", "./tree"));
    rendered(&publisher);
    environment.shell(".", "cp -r repo other");
    let other = |arguments: &[&str]| {
        environment.ztc_ok(&[&["-C", "../other"][..], arguments].concat());
    };
    for _ in 0..2 {
        other(&["plugins", "install"]);
        other(&["validate", "--locked"]);
        environment.ztc_ok(&["validate", "--locked"]);
        environment.ztc_ok(&["plugins", "install", "--locked"]);
        environment.ztc_ok(&["render", "--locked"]);
        other(&["plan", "--locked"]);
    }
}

#[test]
fn a_lock_says_whose_a_source_is_to_whoever_searches_it_and_takes_its_tables() {
    let publisher = team();
    rendered(&publisher);
    colleague(&publisher);
    let environment = &publisher.environment;
    environment.ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    let publish = ["plugins", "publish", "../tree", "--key", "../other"];
    environment.ztc_ok(&[&publish[..], &["--replace-key"]].concat());
    let commands: [&[&str]; 3] = [
        &["plugins", "search"],
        &["update-versions", "--source", "../tree"],
        &["plugins", "trust", "list"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins search
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the lock names
      known: [KEY] (id [ID])
      signed with: [KEY] (id [ID])
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install NAME@RANGE --key KEY`
    $ ztc update-versions --source ../tree
    exit: 5
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  1  embedded  -  no channel is configured
    hetzner  1  embedded  -  no channel is configured
    talos  1  embedded  -  no channel is configured
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the lock names
      known: [KEY] (id [ID])
      signed with: [KEY] (id [ID])
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install NAME@RANGE --key KEY`
    $ ztc plugins trust list
    exit: 0
    --- stdout
    SOURCE  KEY  SINCE
    ");
}
