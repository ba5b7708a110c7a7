//! The publisher's side: what was published before is verified before it is signed again, nothing is signed because it lies there, a serial
//! has a way on, and `--dry-run` writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::distribution::{Publisher, adapter, machine};
use crate::environment::{Run, collect};
use crate::schemas::valid;

const PUBLISH: [&str; 5] = ["plugins", "publish", "../tree", "--key", "../key"];

/// Signs a file of a tree with the key of a file, as whoever has that key could, whatever is in the file.
pub(crate) fn sign(file: &Path, key: &Path) {
    let text = fs::read_to_string(key).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&text).unwrap();
    let secret = secret.into_unencrypted_secret_key().unwrap();
    let content = std::io::Cursor::new(fs::read(file).unwrap());
    let signature = minisign::sign(None, &secret, content, None, None).unwrap();
    let to = format!("{}.minisig", file.display());
    fs::write(to, signature.into_string()).unwrap();
}

/// Changes the index of a publisher's tree, and signs it as they would.
pub(crate) fn change_and_sign(publisher: &Publisher, change: impl FnOnce(&mut Value)) {
    publisher.change(change);
    let key = publisher.environment.root().join("key");
    sign(&publisher.tree().join("index.json"), &key);
}

/// Takes index and sums away and puts all executables to the top, as a publisher who begins anew.
pub(crate) fn begin_anew(tree: &Path) {
    let mut files = BTreeMap::new();
    collect(tree, tree, &mut files);
    for name in files.keys() {
        let path = tree.join(name);
        match name.rsplit('/').next().unwrap() {
            file if file.starts_with("ztc-adapter-") => fs::rename(&path, tree.join(file)).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
    }
}

fn files(tree: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(tree, tree, &mut files);
    files
}

fn publish(publisher: &Publisher, options: &[&str]) -> Run {
    publisher.run(&[&PUBLISH, options].concat())
}

#[test]
fn what_somebody_has_changed_is_not_signed_anew() {
    let publisher = Publisher::new();
    let tree = publisher.tree();
    let signature = tree.join("index.json.minisig");
    publisher.change(|index| {
        let release = &mut index["adapters"]["hello"]["versions"]["1.0.0"];
        release["platforms"][machine()]["sha256"] = "a".repeat(64).into();
    });
    let before = files(&tree);
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `index.json` in `[ROOT]/tree` is not what was signed: the signature does not fit its bytes
      help: bring `index.json` and `index.json.minisig` back from where the tree is served, both from the same publication; nothing is signed that is not yours
    ");
    insta::assert_snapshot!(publish(&publisher, &["--replace-key"]).code.unwrap(), @"5");
    fs::remove_file(&signature).unwrap();
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `index.json` in `[ROOT]/tree` has no signature, so nobody knows who has written it
      help: bring `index.json` and `index.json.minisig` back from where the tree is served, both from the same publication; nothing is signed that is not yours
    ");
    fs::write(&signature, &before["index.json.minisig"]).unwrap();
    assert_eq!(files(&tree), before);
}

#[test]
fn a_tree_of_somebody_else_is_signed_only_by_name_and_both_keys_are_shown() {
    let publisher = Publisher::new();
    let keygen = ["plugins", "keygen", "../other", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    // Somebody has put a tree of theirs in the place of ours, under our key's name.
    let other = publisher.environment.root().join("other");
    sign(&publisher.tree().join("index.json"), &other);
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` was signed with another key
      it was: [KEY]
      this is: [KEY]
      help: take that key; with `--replace-key` everybody who has installed from here has to trust the new one by hand
    ");
    insta::assert_snapshot!(publish(&publisher, &["--replace-key"]), @"
    exit: 5
    --- stderr
    error: `index.json` in `[ROOT]/tree` is not what was signed: the signature does not fit its bytes
      help: bring `index.json` and `index.json.minisig` back from where the tree is served, both from the same publication; nothing is signed that is not yours
    ");
    // A rotation, as it is meant.
    let key = publisher.environment.root().join("key");
    sign(&publisher.tree().join("index.json"), &key);
    let rotate = ["plugins", "publish", "../tree", "--key", "../other"];
    insta::assert_snapshot!(publisher.run(&rotate), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` was signed with another key
      it was: [KEY]
      this is: [KEY]
      help: take that key; with `--replace-key` everybody who has installed from here has to trust the new one by hand
    ");
    let dry = [&rotate[..], &["--replace-key", "--dry-run", "--json"]].concat();
    let json = publisher.environment.ztc(&dry);
    valid("plugins-publish.schema.json", &json.json());
    insta::assert_snapshot!(publisher.run(&[&rotate[..], &["--replace-key"]].concat()), @"
    exit: 0
    --- stderr
      the key until now: [KEY]
      the key from now on: [KEY]
    ✓ signed the index with serial 2, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    publisher
        .environment
        .ztc_ok(&["plugins", "publish-check", "../tree"]);
}

#[test]
fn files_that_were_never_signed_are_not_signed_because_they_lie_there() {
    let publisher = Publisher::new();
    let tree = publisher.tree();
    let strange = tree.join("hello/6.6.6");
    fs::create_dir(&strange).unwrap();
    let file = format!("ztc-adapter-hello-6.6.6-{}", machine());
    fs::write(strange.join(&file), adapter("hello", "6.6.6")).unwrap();
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: files lie in the places of published ones, and were never signed
      hello/6.6.6/ztc-adapter-hello-6.6.6-[MACHINE]
      help: find out where they come from; what is to be published lies at the top of the directory, or is named with `--add`
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "publish-check", "../tree"]), @"
    exit: 1
    --- stderr
    error: `../tree` cannot be installed from
      hello/6.6.6/ztc-adapter-hello-6.6.6-[MACHINE]: it was never signed; find out where it comes from
      help: correct the files and run `ztc plugins publish` again
    ");
    // Without an index nothing is known to have been signed.
    fs::remove_dir_all(&strange).unwrap();
    fs::remove_file(tree.join("index.json")).unwrap();
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` has no `index.json`, and files in the places of published ones
      hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]
      help: bring `index.json` and `index.json.minisig` back from where the tree is served; to begin anew, move the executables to the top of the directory and give `--serial` a number above the last one
    ");
}

#[test]
fn a_publication_that_was_interrupted_is_finished_by_the_next_one() {
    let publisher = Publisher::new();
    let tree = publisher.tree();
    let old = files(&tree);
    publisher.put("hello", "1.1.0", &machine());
    let top = tree.join(format!("ztc-adapter-hello-1.1.0-{}", machine()));
    publisher.publish(&[]);
    let new = files(&tree);
    assert!(!top.exists() && !new.contains_key("index.json.minisig.next"));
    let put = |name: &str, content: &[u8]| fs::write(tree.join(name), content).unwrap();
    // Before the index: the new file is in its place, and still at the top.
    publisher.forget();
    put("index.json", &old["index.json"]);
    put("index.json.minisig", &old["index.json.minisig"]);
    put("index.json.minisig.next", &new["index.json.minisig"]);
    publisher.put("hello", "1.1.0", &machine());
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 0
    --- stderr
      hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ✓ signed the index with serial 2, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    publisher
        .environment
        .ztc_ok(&["plugins", "publish-check", "../tree"]);
    // Between the index and its signature. What this machine has signed last is the one of now, by its time.
    let new = files(&tree);
    put("index.json", &new["index.json"]);
    put("index.json.minisig", &old["index.json.minisig"]);
    put("index.json.minisig.next", &new["index.json.minisig"]);
    publisher.put("hello", "1.1.0", &machine());
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 0
    --- stderr
    ✓ signed the index with serial 3, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    publisher
        .environment
        .ztc_ok(&["plugins", "publish-check", "../tree"]);
    assert_eq!(
        files(&tree).keys().collect::<Vec<_>>(),
        new.keys().collect::<Vec<_>>()
    );
}

#[test]
fn a_lost_tree_begins_anew_above_the_serial_that_machines_have_seen() {
    let publisher = Publisher::new();
    publisher.publish(&[]);
    publisher.publish(&[]);
    assert_eq!(publisher.install(&[]).code, Some(0));
    begin_anew(&publisher.tree());
    publisher.put("hello", "1.1.0", &machine());
    publisher.publish(&[]);
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: the index of `file://[ROOT]/tree` is older than the one that this machine has seen: serial 1, seen was 3
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove file://[ROOT]/tree`
    ");
    insta::assert_snapshot!(publish(&publisher, &["--serial", "1"]), @"
    exit: 2
    --- stderr
    error: `[ROOT]/tree` has the serial 1, and 1 is not above it
      help: give `--serial` a higher number, or leave it out: machines that have seen one take nothing older
    ");
    insta::assert_snapshot!(publish(&publisher, &["--serial", "0"]).code.unwrap(), @"2");
    insta::assert_snapshot!(publish(&publisher, &["--serial", "4"]), @"
    exit: 0
    --- stderr
    ✓ signed the index with serial 4, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ");
}

#[test]
fn a_serial_that_cannot_grow_has_a_way_out() {
    let publisher = Publisher::new();
    change_and_sign(&publisher, |index| index["serial"] = u64::MAX.into());
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: the serial of `[ROOT]/tree` is 18446744073709551615 and cannot grow any more
      help: begin anew with a new key: `ztc plugins keygen FILE`, publish with `--key FILE --replace-key --serial 1`, and tell everybody the new key (PUBLISHING.md, Keys)
    ");
    insta::assert_snapshot!(publish(&publisher, &["--serial", "7"]), @"
    exit: 2
    --- stderr
    error: `[ROOT]/tree` has the serial 18446744073709551615, and 7 is not above it
      help: give `--serial` a higher number, or leave it out: machines that have seen one take nothing older
    ");
    let keygen = ["plugins", "keygen", "../other", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    let rotate = [
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../other",
        "--replace-key",
    ];
    insta::assert_snapshot!(publisher.run(&rotate), @"
    exit: 5
    --- stderr
    error: the serial of `[ROOT]/tree` is 18446744073709551615 and cannot grow any more
      help: begin anew with a new key: `ztc plugins keygen FILE`, publish with `--key FILE --replace-key --serial 1`, and tell everybody the new key (PUBLISHING.md, Keys)
    ");
    insta::assert_snapshot!(publisher.run(&[&rotate[..], &["--serial", "1"]].concat()), @"
    exit: 0
    --- stderr
      the key until now: [KEY]
      the key from now on: [KEY]
    ✓ signed the index with serial 1, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    publisher
        .environment
        .ztc_ok(&["plugins", "publish-check", "../tree"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let publisher = Publisher::new();
    publisher.put("hello", "1.1.0", &machine());
    let root = publisher.environment.root().to_owned();
    let all = || {
        let mut all = files(&root.join("tree"));
        collect(&root, &root.join("repo"), &mut all);
        all
    };
    let before = all();
    insta::assert_snapshot!(publish(&publisher, &["--dry-run"]), @"
    exit: 0
    --- stderr
      hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ✓ would sign the index with serial 2, valid until [TIME]
    ");
    let dry = [&PUBLISH[..], &["--dry-run", "--json"]].concat();
    let json = publisher.environment.ztc(&dry).json();
    valid("plugins-publish.schema.json", &json);
    assert_eq!(
        (&json["serial"], &json["dry_run"]),
        (&2.into(), &true.into())
    );
    let program = format!("../tree/hello/1.0.0/ztc-adapter-hello-1.0.0-{}", machine());
    let elsewhere = [
        "plugins",
        "publish",
        "../nowhere",
        "--key",
        "../key",
        "--add",
        &program,
        "--dry-run",
    ];
    insta::assert_snapshot!(publisher.run(&elsewhere), @"
    exit: 0
    --- stderr
      hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]
    ✓ would sign the index with serial 1, valid until [TIME]
    ");
    assert!(!root.join("nowhere").exists());
    insta::assert_snapshot!(publish(&publisher, &["--dry-run", "--to", "oci://127.0.0.1:1/a"]).code.unwrap(), @"1");
    let keygen = ["plugins", "keygen", "new.key", "--dry-run"];
    insta::assert_snapshot!(publisher.run(&keygen), @"
    exit: 0
    --- stderr
    ✓ would write `new.key` and `new.key.pub`
    ");
    let json = publisher.run(&[&keygen[..], &["--json"]].concat()).json();
    valid("plugins-keygen.schema.json", &json);
    insta::assert_snapshot!(publisher.run(&["plugins", "keygen", "../key", "--dry-run"]), @"
    exit: 5
    --- stderr
    error: `[REPO]/../key` exists and is never written over
      help: name another file
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "keygen", "none/key", "--no-password"]), @"
    exit: 4
    --- stderr
    error: there is no directory `[REPO]/none`
      help: make it, or name a file somewhere else
    ");
    assert_eq!(all(), before);
}
