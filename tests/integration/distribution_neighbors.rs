//! Two repositories of one machine that lock one version of one adapter by two publishers: whatever happens in one, the other keeps its bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::distribution::{Publisher, machine};
use crate::distribution_team::{
    executable, locked_digest, release, rendered, renderer, steps, team,
};
use crate::schemas::valid;

const OTHER: &str = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\nplugins:\n  hello: {source: ../second, version: ^1}\n";

/// The team's repository, and another one beside it whose `hello` 1.0.0 comes from another publisher, with other bytes. Returns the digest of either.
fn neighbors() -> (Publisher, String, String) {
    let publisher = team();
    rendered(&publisher);
    let first = locked_digest(&publisher);
    let environment = &publisher.environment;
    let root = environment.root();
    environment.ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    let program = renderer("hello", "1.0.0", "another publisher");
    let file = format!("second/ztc-adapter-hello-1.0.0-{}", machine());
    executable(&root.join(file), &program);
    environment.ztc_ok(&["plugins", "publish", "../second", "--key", "../other"]);
    fs::create_dir(root.join("neighbor")).unwrap();
    fs::write(root.join("neighbor/platform.yaml"), OTHER).unwrap();
    environment.ztc_ok(&["-C", "../neighbor", "plugins", "install", "--moved"]);
    environment.ztc_ok(&["-C", "../neighbor", "render"]);
    let stored = |publisher: &Publisher| digests(publisher).into_iter();
    let second = stored(&publisher).find(|digest| *digest != first).unwrap();
    (publisher, first, second)
}

fn data(publisher: &Publisher) -> PathBuf {
    publisher.environment.root().join("home/.local/share/ztc")
}

/// What the store has.
fn digests(publisher: &Publisher) -> Vec<String> {
    let entries = fs::read_dir(data(publisher).join("store")).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Both repositories have what their locks name.
fn both_are_whole(publisher: &Publisher) {
    publisher.environment.ztc_ok(&["validate"]);
    publisher
        .environment
        .ztc_ok(&["-C", "../neighbor", "validate"]);
}

fn unlike() -> String {
    format!("ztc-adapter-unlike-1.0.0-{}", machine())
}

/// Installs another adapter and removes it again.
fn something_else(publisher: &Publisher) {
    let environment = &publisher.environment;
    let program = environment.root().join(unlike());
    executable(&program, &renderer("unlike", "1.0.0", ""));
    let path = format!("../{}", unlike());
    environment.ztc_ok(&["plugins", "install", &path, "--allow-unsigned"]);
    environment.ztc_ok(&["plugins", "remove", "unlike"]);
}

#[test]
fn what_another_repository_locks_is_never_taken_away() {
    let (publisher, first, second) = neighbors();
    let mut all = vec![first.clone(), second.clone()];
    all.sort();
    both_are_whole(&publisher);
    let remove: &[&str] = &["plugins", "remove", "hello"];
    let dry_run: &[&str] = &["plugins", "remove", "hello", "--dry-run"];
    let text = steps(&publisher, &[dry_run, remove]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins remove hello --dry-run
    exit: 5
    --- stderr
    error: `hello` is needed by repositories of this machine
      hello 1.0.0 is locked by [ROOT]/neighbor
      help: remove it all the same with `ztc plugins remove hello --force`; there, `ztc plugins install` brings it back
    $ ztc plugins remove hello
    exit: 5
    --- stderr
    error: `hello` is needed by repositories of this machine
      hello 1.0.0 is locked by [ROOT]/neighbor
      help: remove it all the same with `ztc plugins remove hello --force`; there, `ztc plugins install` brings it back
    ");
    assert_eq!(digests(&publisher), all);
    something_else(&publisher);
    assert_eq!(digests(&publisher), all);
    both_are_whole(&publisher);
    // Where a lock cannot be read nobody knows what it needs.
    let lock = publisher.environment.repo().join("platform/lock.json");
    let kept = fs::read(&lock).unwrap();
    fs::write(&lock, "{").unwrap();
    let away = publisher.environment.root().join("home");
    let there = ["-C", away.to_str().unwrap()];
    let program = publisher.environment.root().join(unlike());
    let program = program.to_str().unwrap();
    let install = ["plugins", "install", program, "--allow-unsigned"];
    publisher
        .environment
        .ztc_ok(&[&there[..], &install].concat());
    fs::write(&lock, kept).unwrap();
    let unlike = ["plugins", "remove", "unlike"];
    publisher.environment.ztc_ok(&unlike);
    assert_eq!(digests(&publisher), all);
    // Nor where what names the repositories cannot be listed, or one of them is cut short.
    let projects = data(&publisher).join("projects");
    let files = fs::read_dir(&projects).unwrap();
    let file = files.map(|file| file.unwrap().path()).min().unwrap();
    let kept = fs::read(&file).unwrap();
    fs::write(&file, "").unwrap();
    publisher
        .environment
        .ztc_ok(&[&there[..], &install].concat());
    fs::write(&file, kept).unwrap();
    publisher.environment.ztc_ok(&unlike);
    assert_eq!(digests(&publisher), all);
    both_are_whole(&publisher);
    // A repository that is gone needs nothing any more.
    fs::remove_dir_all(publisher.environment.repo().join("platform")).unwrap();
    something_else(&publisher);
    assert_eq!(digests(&publisher), [second]);
}

#[test]
fn what_only_a_lock_names_is_read_and_shown_as_that_repository_s() {
    let (publisher, first, _) = neighbors();
    let verify: &[&str] = &["plugins", "verify"];
    let list: &[&str] = &["plugins", "list"];
    let there: &[&str] = &["-C", "../neighbor", "plugins", "list"];
    let hellos = |text: String| -> String {
        let is_meant = |line: &&str| line.contains("hello") || line.starts_with('$');
        text.lines()
            .filter(is_meant)
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let text = steps(&publisher, &[verify, list, there]);
    insta::assert_snapshot!(hellos(text), @"
    $ ztc plugins verify
    hello  1.0.0  signed  file://[ROOT]/second  ok
    hello  1.0.0  signed  file://[ROOT]/tree  ok, kept for [REPO]
    $ ztc plugins list
    hello  1.0.0  ../tree  signed  1.0  ok  [REPO]
    hello  1.0.0  file://[ROOT]/second  signed  1.0  not used here  [ROOT]/neighbor
    $ ztc -C ../neighbor plugins list
    hello  1.0.0  file://[ROOT]/second  signed  1.0  ok  [ROOT]/neighbor
    ");
    let json = publisher
        .environment
        .ztc_ok(&["plugins", "verify", "--json"]);
    valid("plugins-verify.schema.json", &json.json());
    let file = fs::read_dir(data(&publisher).join("store").join(&first)).unwrap();
    let file = file.map(|file| file.unwrap().path()).min().unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&file, "#!/bin/sh\n").unwrap();
    insta::assert_snapshot!(steps(&publisher, &[verify]), @"
    $ ztc plugins verify
    exit: 5
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  file://[ROOT]/second  ok
    hello  1.0.0  signed  file://[ROOT]/tree  has other bytes: [SHA256], kept for [REPO]
    --- stderr
    error: installed adapters are not what was installed
      hello 1.0.0: has other bytes: [SHA256]
      help: run `ztc -C [REPO] plugins install`, and `ztc plugins verify` again
    ");
    let install: &[&str] = &["plugins", "install"];
    publisher.environment.ztc_ok(install);
    both_are_whole(&publisher);
    publisher.environment.ztc_ok(verify);
}

#[test]
fn a_version_with_a_new_key_and_other_bytes_leaves_the_old_to_whoever_locks_it() {
    let publisher = team();
    rendered(&publisher);
    let first = locked_digest(&publisher);
    let environment = &publisher.environment;
    let root = environment.root();
    // The same publisher has lost the key and the tree, and begins anew.
    fs::remove_dir_all(publisher.tree()).unwrap();
    fs::remove_file(root.join("key")).unwrap();
    fs::remove_file(root.join("key.pub")).unwrap();
    environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
    let file = format!("ztc-adapter-hello-1.0.0-{}", machine());
    executable(
        &publisher.tree().join(file),
        &renderer("hello", "1.0.0", "built again"),
    );
    publisher.publish(&[]);
    fs::create_dir(root.join("neighbor")).unwrap();
    let platform = OTHER.replace("../second", "../tree");
    fs::write(root.join("neighbor/platform.yaml"), platform).unwrap();
    let key = root.join("key.pub");
    let key = key.to_str().unwrap();
    environment.ztc_ok(&[
        "-C",
        "../neighbor",
        "plugins",
        "install",
        "--moved",
        "--key",
        key,
    ]);
    environment.ztc_ok(&["-C", "../neighbor", "render"]);
    release(&publisher, "1.1.0");
    something_else(&publisher);
    assert!(digests(&publisher).contains(&first));
    assert_eq!(digests(&publisher).len(), 2);
    both_are_whole(&publisher);
}
