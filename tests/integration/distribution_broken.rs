//! What an operator meets who finds things half broken: records, trust, locks and trees that somebody has damaged. Nothing is lost by it, and each
//! command says what to do.

use std::fs;
use std::path::PathBuf;

use crate::distribution::Publisher;
use crate::distribution_team::{edit, locked_digest, release, rendered, steps, stored, team};
use crate::schemas::valid;

fn home(publisher: &Publisher, path: &str) -> PathBuf {
    publisher.environment.root().join("home").join(path)
}

#[test]
fn a_record_that_cannot_be_read_is_said_and_its_bytes_stay() {
    let publisher = team();
    rendered(&publisher);
    let record = home(&publisher, ".local/share/ztc/installed/hello/1.0.0.json");
    let text = fs::read_to_string(&record).unwrap();
    let file = stored(&publisher, &locked_digest(&publisher));
    // One of a newer ztc is nobody's to clean up after.
    fs::write(&record, text.replacen("\"format\": 1", "\"format\": 9", 1)).unwrap();
    publisher.environment.ztc_ok(&[
        "plugins",
        "trust",
        "add",
        "https://example.org/t",
        "../key.pub",
    ]);
    assert!(file.is_file());
    let said = publisher.run(&["plugins", "verify", "--json"]);
    assert_eq!(said.code, Some(5));
    valid("plugins-verify.schema.json", &said.json());
    fs::write(&record, &text[..40]).unwrap();
    let commands: [&[&str]; 5] = [
        &["plugins", "verify"],
        &["plugins", "list"],
        &["plugins", "upgrade", "--dry-run"],
        &["plugins", "install"],
        &["plugins", "verify"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins verify
    exit: 5
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  file://[ROOT]/tree  ok, kept for [REPO]
    --- stderr
    error: installed adapters are not what was installed
      `[ROOT]/home/.local/share/ztc/installed/hello/1.0.0.json`, which says what is installed, cannot be read: EOF while parsing a string at line 4 column 4
      help: install that version again, or remove it: `ztc plugins remove hello@1.0.0`
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  ../tree  signed  1.0  ok  [REPO]
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    --- stderr
    warning: `[ROOT]/home/.local/share/ztc/installed/hello/1.0.0.json`, which says what is installed, cannot be read: EOF while parsing a string at line 4 column 4
      help: install that version again, or remove it: `ztc plugins remove hello@1.0.0`
    $ ztc plugins upgrade --dry-run
    exit: 0
    --- stderr
    warning: `[ROOT]/home/.local/share/ztc/installed/hello/1.0.0.json`, which says what is installed, cannot be read: EOF while parsing a string at line 4 column 4
      help: install that version again, or remove it: `ztc plugins remove hello@1.0.0`
    nothing is installed that could be upgraded
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins verify
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  file://[ROOT]/tree  ok
    ");
    assert_eq!(
        fs::read_to_string(&record).unwrap().lines().count(),
        text.lines().count()
    );
}

#[test]
fn what_cannot_be_read_of_what_is_installed_can_be_removed() {
    let publisher = team();
    rendered(&publisher);
    let record = home(&publisher, ".local/share/ztc/installed/hello/1.0.0.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, &text[..40]).unwrap();
    let remove: &[&str] = &["plugins", "remove", "hello"];
    let force = [remove, &["--force"]].concat();
    insta::assert_snapshot!(steps(&publisher, &[remove, &force, remove]), @"
    $ ztc plugins remove hello
    exit: 5
    --- stderr
    error: `hello` is needed by repositories of this machine
      hello 1.0.0 is locked by [REPO]
      help: remove it all the same with `ztc plugins remove hello --force`; there, `ztc plugins install` brings it back
    $ ztc plugins remove hello --force
    exit: 0
    --- stderr
    warning: `[ROOT]/home/.local/share/ztc/installed/hello/1.0.0.json`, which says what is installed, cannot be read: EOF while parsing a string at line 4 column 4
    warning: the lock of [REPO] names `hello` 1.0.0: there `ztc plugins install` brings it back
    ✓ removed hello 1.0.0
    $ ztc plugins remove hello
    exit: 4
    --- stderr
    error: `hello` is not installed
      help: what the lock of [REPO] names stays as long as it does
    ");
    assert!(!record.exists());
}

#[test]
fn a_repository_whose_name_cannot_be_read_may_need_what_is_removed() {
    let publisher = team();
    rendered(&publisher);
    let projects = fs::read_dir(home(&publisher, ".local/share/ztc/projects")).unwrap();
    let file = projects.map(|entry| entry.unwrap().path()).next().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    let remove: &[&str] = &["plugins", "remove", "hello"];
    insta::assert_snapshot!(steps(&publisher, &[remove]), @"
    $ ztc plugins remove hello
    exit: 5
    --- stderr
    error: `hello` may be needed by a repository that is not known any more: what names it cannot be read
      [ROOT]/home/.local/share/ztc/projects/[SHA256].json
      help: run `rm [ROOT]/home/.local/share/ztc/projects/[SHA256].json`, then `ztc validate` in each repository of yours, which names it again; or remove it all the same with `ztc plugins remove hello --force`
    ");
    // As it says.
    fs::remove_file(&file).unwrap();
    insta::assert_snapshot!(steps(&publisher, &[&["validate"], remove]), @"
    $ ztc validate
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    $ ztc plugins remove hello
    exit: 5
    --- stderr
    error: `hello` is needed by repositories of this machine
      hello 1.0.0 is locked by [REPO]
      help: remove it all the same with `ztc plugins remove hello --force`; there, `ztc plugins install` brings it back
    ");
}

#[test]
fn a_directory_in_the_place_of_a_program_is_replaced() {
    let publisher = team();
    rendered(&publisher);
    let file = stored(&publisher, &locked_digest(&publisher));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    publisher.environment.ztc_ok(&["plugins", "install"]);
    publisher.environment.ztc_ok(&["validate", "--locked"]);
}

#[test]
fn a_list_of_keys_that_is_damaged_says_how_it_is_mended() {
    let publisher = team();
    rendered(&publisher);
    let list = home(&publisher, ".config/ztc/trust.json");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replace("\"RW", "\"XX")).unwrap();
    let broken: [&[&str]; 3] = [
        &["plugins", "search"],
        &["plugins", "install", "hello@1.0.0", "--source", "../tree"],
        &["plugins", "trust", "add", "../tree", "../key.pub"],
    ];
    let said = steps(&publisher, &broken);
    let key = text.split('"').find(|word| word.starts_with("RW")).unwrap();
    insta::assert_snapshot!(said.replace(&key[2..], "[REST]"), @"
    $ ztc plugins search
    exit: 2
    --- stderr
    error: the list of trusted publishers has no key for `file://[ROOT]/tree`: `XX[REST]` is none
      help: put the right one in its place with `ztc plugins trust add file://[ROOT]/tree KEY`
    $ ztc plugins install hello@1.0.0 --source ../tree
    exit: 2
    --- stderr
    error: the list of trusted publishers has no key for `file://[ROOT]/tree`: `XX[REST]` is none
      help: put the right one in its place with `ztc plugins trust add file://[ROOT]/tree KEY`
    $ ztc plugins trust add ../tree ../key.pub
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [KEY]
      instead of XX[REST]: what that one has signed counts no more
    ");
    publisher.environment.ztc_ok(&["plugins", "search"]);
    fs::write(&list, "{").unwrap();
    // What is locked and here needs nobody's trust.
    let broken: [&[&str]; 2] = [&["plugins", "install"], &["plugins", "trust", "list"]];
    insta::assert_snapshot!(steps(&publisher, &broken), @"
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins trust list
    exit: 2
    --- stderr
    error: the list of trusted publishers cannot be read
      --> [ROOT]/home/.config/ztc/trust.json
      EOF while parsing an object at line 1 column 1
      without it nobody here knows any more whose a source is, but where something was installed from it or it was seen
      help: put it back from a copy; or move it away with `mv [ROOT]/home/.config/ztc/trust.json [ROOT]/home/.config/ztc/trust.json.old` and pin each key that is in it again, with `ztc plugins trust add SOURCE KEY`
    ");
}

#[test]
fn what_a_repository_may_need_whose_lock_cannot_be_read_is_kept() {
    let publisher = team();
    rendered(&publisher);
    release(&publisher, "1.1.0");
    publisher.environment.write("platform/lock.json", "{\n");
    let remove: [&[&str]; 3] = [
        &["plugins", "remove", "hello"],
        &["plugins", "remove", "hello@9.9.9"],
        &["plugins", "remove", "hello", "--force"],
    ];
    insta::assert_snapshot!(steps(&publisher, &remove), @"
    $ ztc plugins remove hello
    exit: 5
    --- stderr
    error: `hello` may be needed by a repository whose lock cannot be read
      [REPO]
      help: mend that lock (`git checkout -- platform/lock.json`), or remove it all the same with `ztc plugins remove hello --force`
    $ ztc plugins remove hello@9.9.9
    exit: 4
    --- stderr
    error: `hello@9.9.9` is not installed
      help: of `hello` there is 1.0.0
    $ ztc plugins remove hello --force
    exit: 0
    --- stderr
    ✓ removed hello 1.0.0
    ");
}

#[test]
fn a_lock_that_was_edited_is_not_believed() {
    let publisher = team();
    rendered(&publisher);
    let made = publisher.environment.read("platform/lock.json");
    let mut said = String::new();
    for (place, value) in [
        ("publisher_key", "RWx"),
        ("source", "ftp://x"),
        ("version", "one"),
    ] {
        crate::distribution_team::colleague(&publisher);
        publisher.environment.write("platform/lock.json", &made);
        edit(&publisher, |lock| {
            lock["plugins"]["hello"][place] = value.into();
        });
        said += &steps(&publisher, &[&["plugins", "install"]]);
    }
    publisher.environment.write("platform/lock.json", &made);
    edit(&publisher, |lock| {
        lock["plugins"]["hello"]["platforms"] = serde_json::json!({});
    });
    said += &steps(&publisher, &[&["plugins", "install", "--locked"]]);
    insta::assert_snapshot!(said, @"
    $ ztc plugins install
    exit: 2
    --- stderr
    error: the lock was edited: `RWx` is not a publisher's key
      help: put it back with `git checkout -- platform/lock.json`
    $ ztc plugins install
    exit: 5
    --- stderr
    error: the lock has `hello` 1.0.0, and `plugins.hello.source` asks for it from ../tree
      help: the lock has it from ftp://x; where its publisher has moved, run `ztc plugins install hello@1.0.0 --moved`, which changes the lock
    $ ztc plugins install
    exit: 5
    --- stderr
    error: the lock has `hello` one, and `plugins.hello.version` asks for `^1`
      help: run `ztc plugins install 'hello@^1'`, which changes the lock, or change platform.yaml back
    $ ztc plugins install --locked
    exit: 4
    --- stderr
    error: the lock has no executable of `hello` 1.0.0 for [MACHINE], only for nothing
      help: ask its publisher for one; then `ztc plugins install hello@1.0.0` locks it, too
    ");
}
