//! Sources that this machine knows: another key than before is refused although the list of trusted publishers is gone, what an index claims is
//! never shown as whose it is, and a version that was taken away does not come back changed.

use std::fs;
use std::path::PathBuf;

use crate::distribution::{Publisher, machine};
use crate::distribution_publish::{change_and_sign, sign};
use crate::distribution_team::{colleague, executable, rendered, renderer, team};

const INSTALL: &[&str] = &["plugins", "install", "hello", "--source", "../tree"];

/// The first and the second line of a public key: its number, and itself.
fn public(publisher: &Publisher, name: &str) -> (String, String) {
    let path = publisher.environment.root().join(format!("{name}.pub"));
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let id = lines.next().unwrap().rsplit(' ').next().unwrap().to_owned();
    (id, lines.next().unwrap().to_owned())
}

/// Runs commands and returns what they say, with keys under the names of their files.
fn said(publisher: &Publisher, commands: &[&[&str]]) -> String {
    let mut text = String::new();
    for command in commands {
        let run = publisher.environment.ztc(command);
        text += &format!("$ ztc {}\n{run}\n", command.join(" "));
    }
    for name in ["key", "second"] {
        if publisher.environment.root().join(name).exists() {
            let (id, key) = public(publisher, name);
            text = text.replace(&key, &format!("[{name}]"));
            text = text.replace(&id, &format!("[id of {name}]"));
        }
    }
    publisher.filtered(&text)
}

fn data(publisher: &Publisher) -> PathBuf {
    publisher.environment.root().join("home/.local/share/ztc")
}

fn trust(publisher: &Publisher) -> PathBuf {
    let home = publisher.environment.root().join("home");
    home.join(".config/ztc/trust.json")
}

fn second_key(publisher: &Publisher) {
    let keygen = ["plugins", "keygen", "../second", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
}

/// The same tree, signed by somebody else.
fn signed_by_second(publisher: &Publisher) {
    second_key(publisher);
    let publish = ["plugins", "publish", "../tree", "--key", "../second"];
    let command = [&publish[..], &["--replace-key"]].concat();
    publisher.environment.ztc_ok(&command);
}

/// Signs an index as it is with the second key, whatever it says.
fn sign_with_second(publisher: &Publisher) {
    let key = publisher.environment.root().join("second");
    sign(&publisher.tree().join("index.json"), &key);
}

#[test]
fn a_list_of_keys_that_is_gone_makes_no_known_source_a_new_one() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    signed_by_second(&publisher);
    fs::remove_file(trust(&publisher)).unwrap();
    let search: &[&str] = &["plugins", "search", "--source", "../tree"];
    insta::assert_snapshot!(said(&publisher, &[INSTALL, search]), @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the index that was seen last names
      known: [key] (id [id of key])
      signed with: a key with the id [id of second]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add file://[ROOT]/tree KEY`
    $ ztc plugins search --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the index that was seen last names
      known: [key] (id [id of key])
      signed with: a key with the id [id of second]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add file://[ROOT]/tree KEY`
    ");
    assert!(!trust(&publisher).exists());
    // Nor when only what is installed remembers it.
    fs::remove_dir_all(data(&publisher).join("sources")).unwrap();
    insta::assert_snapshot!(said(&publisher, &[INSTALL]), @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the record of what was installed from it names
      known: [key] (id [id of key])
      signed with: a key with the id [id of second]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add file://[ROOT]/tree KEY`
    ");
    // A signature that is gone is no way around it.
    let signature = publisher.tree().join("index.json.minisig");
    let kept = fs::read(&signature).unwrap();
    fs::remove_file(&signature).unwrap();
    let unsigned = [INSTALL, &["--allow-unsigned"]].concat();
    insta::assert_snapshot!(said(&publisher, &[&unsigned]), @"
    $ ztc plugins install hello --source ../tree --allow-unsigned
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has no signature any more, and it had one
      trusted: [key]
      help: ask its publisher; `ztc plugins trust remove file://[ROOT]/tree` forgets that it was signed
    ");
    fs::write(signature, kept).unwrap();
    let key = public(&publisher, "second").1;
    let add: &[&str] = &["plugins", "trust", "add", "../tree", &key];
    insta::assert_snapshot!(said(&publisher, &[add, INSTALL]), @"
    $ ztc plugins trust add ../tree [second]
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [second]
    $ ztc plugins install hello --source ../tree
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ");
}

#[test]
fn a_known_key_is_shown_and_pinned_again_where_the_list_has_lost_it() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    let list = fs::read_to_string(trust(&publisher)).unwrap();
    fs::remove_file(trust(&publisher)).unwrap();
    insta::assert_snapshot!(said(&publisher, &[INSTALL]), @"
    $ ztc plugins install hello --source ../tree
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [key]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    ");
    let key = public(&publisher, "key").1;
    assert!(
        list.contains(&key)
            && fs::read_to_string(trust(&publisher))
                .unwrap()
                .contains(&key)
    );
    // A list that cannot be read is not a list that is empty.
    fs::write(trust(&publisher), &list[..list.len() / 2]).unwrap();
    insta::assert_snapshot!(said(&publisher, &[INSTALL]), @"
    $ ztc plugins install hello --source ../tree
    exit: 2
    --- stderr
    error: the list of trusted publishers cannot be read
      --> [ROOT]/home/.config/ztc/trust.json
      EOF while parsing a string at line 5 column 26
      without it nobody here knows any more whose a source is, but where something was installed from it or it was seen
      help: put it back from a copy; or move it away with `mv [ROOT]/home/.config/ztc/trust.json [ROOT]/home/.config/ztc/trust.json.old` and pin each key that is in it again, with `ztc plugins trust add SOURCE KEY`
    ");
}

#[test]
fn who_forgets_a_key_takes_the_next_one_whatever_is_installed() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    signed_by_second(&publisher);
    let remove: &[&str] = &["plugins", "trust", "remove", "../tree"];
    insta::assert_snapshot!(said(&publisher, &[remove, INSTALL, remove, remove]), @"
    $ ztc plugins trust remove ../tree
    exit: 0
    --- stderr
    ✓ the key of file://[ROOT]/tree is forgotten, and what it has shown
      the next key that it shows is pinned on first use
    $ ztc plugins install hello --source ../tree
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [second]
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
    // Without a list there is still something to forget.
    publisher.install(&[]);
    fs::remove_file(trust(&publisher)).unwrap();
    insta::assert_snapshot!(said(&publisher, &[remove, remove]), @"
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
fn the_lock_knows_whose_a_source_is_for_other_adapters_of_it() {
    let publisher = team();
    rendered(&publisher);
    colleague(&publisher);
    let file = format!("ztc-adapter-world-1.0.0-{}", machine());
    executable(
        &publisher.tree().join(file),
        &renderer("world", "1.0.0", ""),
    );
    signed_by_second(&publisher);
    let install: &[&str] = &["plugins", "install", "world", "--source", "../tree"];
    insta::assert_snapshot!(said(&publisher, &[install]), @"
    $ ztc plugins install world --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the lock names
      known: [key] (id [id of key])
      signed with: [second] (id [id of second])
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install NAME@RANGE --key KEY`
    ");
    assert!(!trust(&publisher).exists());
}

#[test]
fn an_index_of_two_publishers_is_refused_as_that() {
    let publisher = Publisher::new();
    second_key(&publisher);
    // It names the first, and the second has signed it.
    sign_with_second(&publisher);
    insta::assert_snapshot!(said(&publisher, &[INSTALL]), @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` names another key than the one that signed it
      names: [key]
      signed with: a key with the id [id of second]
      help: ask its publisher
    ");
    // The other way round, where the second one is known.
    let key = public(&publisher, "second").1;
    let with_key = [INSTALL, &["--key", &key]].concat();
    insta::assert_snapshot!(said(&publisher, &[&with_key]), @"
    $ ztc plugins install hello --source ../tree --key [second]
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` names another key than the one that signed it
      names: [key]
      signed with: [second] (id [id of second])
      help: ask its publisher
    ");
}

#[test]
fn what_an_index_claims_is_not_shown_as_whose_it_is() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    second_key(&publisher);
    // Somebody writes the key that is pinned into an index of their own.
    publisher.change(|index| index["serial"] = 7.into());
    sign_with_second(&publisher);
    insta::assert_snapshot!(said(&publisher, &[INSTALL]), @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that the list of trusted publishers names
      known: [key] (id [id of key])
      signed with: a key with the id [id of second]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add file://[ROOT]/tree KEY`
    ");
}

#[test]
fn a_version_that_was_taken_away_does_not_come_back_with_other_bytes() {
    let publisher = Publisher::new();
    publisher.put("hello", "1.1.0", &machine());
    publisher.publish(&[]);
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello@1.0.0", "--source", "../tree"]);
    let index = || -> serde_json::Value {
        let text = fs::read(publisher.tree().join("index.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let old = index()["adapters"]["hello"]["versions"]["1.1.0"].clone();
    let shows = |serial: u64, version: Option<serde_json::Value>| {
        change_and_sign(&publisher, |index| {
            index["serial"] = serial.into();
            let versions = index["adapters"]["hello"]["versions"].as_object_mut();
            match version {
                Some(version) => versions.unwrap().insert("1.1.0".to_owned(), version),
                None => versions.unwrap().remove("1.1.0"),
            };
        });
    };
    let search: &[&str] = &["plugins", "search", "hello"];
    let wanted: &[&str] = &["plugins", "install", "hello@1.1.0", "--source", "../tree"];
    publisher.environment.ztc_ok(search);
    for serial in [3, 4] {
        shows(serial, None);
        publisher.environment.ztc_ok(search);
    }
    let mut other = old.clone();
    let sum = serde_json::Value::from("b".repeat(64));
    other["platforms"][machine()]["sha256"] = sum;
    shows(5, Some(other));
    let text = said(&publisher, &[wanted]);
    let sum = old["platforms"][machine()]["sha256"].as_str().unwrap();
    let text = text.replace(sum, "[SUM]");
    insta::assert_snapshot!(text.replace(&"b".repeat(64), "[OTHER]"), @"
    $ ztc plugins install hello@1.1.0 --source ../tree
    exit: 5
    --- stderr
    error: `hello` 1.1.0 of `file://[ROOT]/tree` has other bytes than before for [MACHINE]
      was: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    ");
    // As it was, it may come back.
    shows(6, Some(old));
    publisher.environment.ztc_ok(wanted);
}

#[test]
fn what_was_seen_and_cannot_be_read_does_not_count_as_not_seen() {
    let publisher = Publisher::new();
    publisher.publish(&[]);
    publisher.install(&[]);
    let sources = fs::read_dir(data(&publisher).join("sources")).unwrap();
    let file = sources.map(|entry| entry.unwrap().path()).next().unwrap();
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    // The server shows an older index again.
    change_and_sign(&publisher, |index| index["serial"] = 1.into());
    let key = public(&publisher, "key").1;
    let search: &[&str] = &["plugins", "search", "hello", "--offline"];
    let add: &[&str] = &["plugins", "trust", "add", "../tree", &key];
    let dry = [add, &["--dry-run"]].concat();
    let verify: &[&str] = &["plugins", "verify"];
    let text = said(&publisher, &[INSTALL, search, verify, &dry, add, INSTALL]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins install hello --source ../tree
    exit: 5
    --- stderr
    error: what this machine has seen of `file://[ROOT]/tree` cannot be read
      --> [ROOT]/home/.local/share/ztc/sources/[SHA256].json
      the index of `file://[ROOT]/tree` cannot be used: it is not JSON: EOF while parsing a value at line 22 column 10
      without it an older index, or other bytes of a version, would not be recognised
      help: put the file back from a copy; or forget what was seen with `ztc plugins trust add file://[ROOT]/tree KEY`, with the key that `ztc plugins trust list` shows
    $ ztc plugins search hello --offline
    exit: 5
    --- stderr
    error: what this machine has seen of `file://[ROOT]/tree` cannot be read
      --> [ROOT]/home/.local/share/ztc/sources/[SHA256].json
      the index of `file://[ROOT]/tree` cannot be used: it is not JSON: EOF while parsing a value at line 22 column 10
      without it an older index, or other bytes of a version, would not be recognised
      help: put the file back from a copy; or forget what was seen with `ztc plugins trust add file://[ROOT]/tree KEY`, with the key that `ztc plugins trust list` shows
    $ ztc plugins verify
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  file://[ROOT]/tree  ok
    --- stderr
    warning: what this machine has seen of `file://[ROOT]/tree` cannot be read
      help: put the file back from a copy; or forget what was seen with `ztc plugins trust add file://[ROOT]/tree KEY`, with the key that `ztc plugins trust list` shows
    $ ztc plugins trust add ../tree [key] --dry-run
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree would be trusted with [key]
      what was seen of it cannot be read, and would be forgotten
    $ ztc plugins trust add ../tree [key]
    exit: 0
    --- stderr
    ✓ file://[ROOT]/tree is trusted with [key]
      what was seen of it could not be read, and is forgotten
    $ ztc plugins install hello --source ../tree
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    ");
}

#[test]
fn a_new_key_is_shown_to_whoever_reads_json_and_whoever_wants_no_words() {
    let mirror: &[&str] = &["plugins", "mirror", "../m", "hello", "--source", "../tree"];
    let tables: &[&str] = &["update-versions", "--source", "../tree"];
    for (command, option) in [
        (INSTALL, "--json"),
        (INSTALL, "--quiet"),
        (mirror, "--quiet"),
        (tables, "--quiet"),
    ] {
        let publisher = Publisher::new();
        let command = [command, &[option]].concat();
        let run = publisher.environment.ztc_ok(&command);
        let key = public(&publisher, "key").1;
        let said = publisher.environment.filtered(&run.stderr);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said.replace(&key, "[key]"), @"
            the publisher's key of file://[ROOT]/tree is trusted from now on: [key]
              compare it with what the publisher shows elsewhere
            ");
        }
    }
}

#[test]
fn an_index_that_an_upgrade_has_read_is_not_forgotten() {
    let publisher = Publisher::new();
    publisher.environment.ztc_ok(INSTALL);
    let tree = publisher.tree();
    let names = ["index.json", "index.json.minisig"];
    let old = names.map(|name| fs::read(tree.join(name)).unwrap());
    publisher.publish(&["--yank", "hello@1.0.0", "--reason", "it loses data"]);
    let upgrade: &[&str] = &["plugins", "upgrade"];
    let read = said(&publisher, &[upgrade, &["plugins", "list"]]);
    // Somebody puts the index back that does not take it back yet.
    for (name, content) in names.iter().zip(old) {
        fs::write(tree.join(name), content).unwrap();
    }
    insta::assert_snapshot!(read + &said(&publisher, &[upgrade]), @"
    $ ztc plugins upgrade
    exit: 4
    --- stderr
    error: no version of `hello` of `file://[ROOT]/tree` can be used here
      1.0.0 was taken back by its publisher: it loses data
      help: ask the publisher what to use instead; `hello@1.0.0` takes what was taken back all the same
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  -
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    --- stderr
    warning: `hello` 1.0.0 was taken back by its publisher: it loses data
      help: ask its publisher for another version: there is none for this machine
    $ ztc plugins upgrade
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one that this machine has seen: serial 1, seen was 2
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove file://[ROOT]/tree`
    ");
}
