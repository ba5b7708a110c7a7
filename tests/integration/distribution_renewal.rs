//! A publisher's machine remembers what it has signed, so that an older index that somebody has put back is not gone on from; and a renewal signs
//! nothing but a later end.

use std::fs;

use crate::distribution::{Publisher, machine};
use crate::environment::Run;
use crate::schemas::valid;

const INDEX: [&str; 2] = ["index.json", "index.json.minisig"];

/// The index of a tree and its signature.
type Texts = [Vec<u8>; 2];

fn read(publisher: &Publisher) -> Texts {
    INDEX.map(|file| fs::read(publisher.tree().join(file)).unwrap())
}

/// Puts an index back, as whoever may write to the server can.
fn put_back(publisher: &Publisher, texts: &Texts) {
    for (file, text) in INDEX.iter().zip(texts) {
        fs::write(publisher.tree().join(file), text).unwrap();
    }
}

fn publish(publisher: &Publisher, options: &[&str]) -> Run {
    let command = ["plugins", "publish", "../tree", "--key", "../key"];
    publisher.run(&[&command, options].concat())
}

#[track_caller]
fn ok(run: &Run) {
    assert_eq!(run.code, Some(0), "{run}");
}

#[test]
fn an_older_index_that_was_put_back_is_not_signed_on_from() {
    let publisher = Publisher::new();
    let first = read(&publisher);
    let yank = ["--yank", "hello@1.0.0", "--reason", "loses routes"];
    ok(&publish(&publisher, &yank));
    ok(&publish(&publisher, &["--renew"]));
    let last = read(&publisher);
    put_back(&publisher, &first);
    insta::assert_snapshot!(publish(&publisher, &["--renew"]), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` has serial 1, and this machine has signed serial 3 of it
      last signed: [TIME] in `[ROOT]/tree`
      help: bring `index.json` and `index.json.minisig` back from where the tree is served, both from the same publication; somebody may have put older ones there; where the last one is lost, `--serial 4` goes on from what is here
    ");
    for options in [&[][..], &["--dry-run"], &["--serial", "3"]] {
        let run = publish(&publisher, options);
        assert_eq!(run.code, Some(5), "{run}");
    }
    assert_eq!(read(&publisher), first);
    // The one that is served is.
    put_back(&publisher, &last);
    ok(&publish(&publisher, &[]));
    // Or none is left, and the publisher says so.
    put_back(&publisher, &first);
    ok(&publish(
        &publisher,
        &[&yank[..], &["--serial", "5"]].concat(),
    ));
    ok(&publish(&publisher, &[]));
    put_back(&publisher, &last);
    insta::assert_snapshot!(publish(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` has serial 3, and this machine has signed serial 6 of it
      last signed: [TIME] in `[ROOT]/tree`
      help: bring `index.json` and `index.json.minisig` back from where the tree is served, both from the same publication; somebody may have put older ones there; where the last one is lost, `--serial 7` goes on from what is here
    ");
}

#[test]
fn a_new_key_does_not_make_an_older_index_the_last_one() {
    let publisher = Publisher::new();
    let keygen = ["plugins", "keygen", "../new", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    let first = read(&publisher);
    ok(&publish(&publisher, &["--renew"]));
    put_back(&publisher, &first);
    let rotate = [
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../new",
        "--replace-key",
    ];
    assert_eq!(publisher.run(&rotate).code, Some(5));
    ok(&publisher.run(&[&rotate[..], &["--serial", "1"]].concat()));
    put_back(&publisher, &first);
    assert_eq!(publish(&publisher, &[]).code, Some(5));
}

#[test]
fn a_tree_is_the_same_one_wherever_it_lies_and_a_key_may_have_several() {
    let publisher = Publisher::new();
    let shell = |script: &str| ok(&publisher.environment.shell(".", script));
    shell("cp -r tree copy && mkdir other && cp copy/hello/1.0.0/ztc-adapter-* .");
    let renew =
        |tree: &str| publisher.run(&["plugins", "publish", tree, "--key", "../key", "--renew"]);
    // Another tree of the same key, with serials of its own.
    publisher.put("second", "1.0.0", &machine());
    shell("mv tree/ztc-adapter-second-* other");
    ok(&publisher.run(&["plugins", "publish", "../other", "--key", "../key"]));
    ok(&renew("../copy"));
    ok(&renew("../copy"));
    ok(&renew("../other"));
    insta::assert_snapshot!(renew("../tree"), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` has serial 1, and this machine has signed serial 3 of it
      last signed: [TIME] in `[ROOT]/copy`
      help: bring `index.json` and `index.json.minisig` back from where the tree is served, both from the same publication; somebody may have put older ones there; where the last one is lost, `--serial 4` goes on from what is here
    ");
    ok(&renew("../copy"));
    // And another one in the same place.
    shell("mv tree old && mv other tree");
    ok(&renew("../tree"));
    // One that begins anew where a tree was is told, before operators are.
    shell("rm -r copy && mkdir copy && mv ztc-adapter-hello-* copy");
    let anew = ["plugins", "publish", "../copy", "--key", "../key"];
    insta::assert_snapshot!(publisher.run(&anew), @"
    exit: 5
    --- stderr
    error: `[ROOT]/copy` has no `index.json`, and this machine has signed serial 4 of it
      last signed: [TIME] in `[ROOT]/copy`
      help: bring `index.json` and `index.json.minisig` back from where the tree is served, both from the same publication; somebody may have put older ones there; where the last one is lost, `--serial 5` goes on from what is here
    ");
    ok(&publisher.run(&[&anew[..], &["--serial", "5"]].concat()));
}

#[test]
fn a_machine_without_a_memory_goes_on_from_what_is_there() {
    let publisher = Publisher::new();
    let first = read(&publisher);
    let home = publisher.environment.root().join("home/.local/share/ztc");
    let (memory, away) = (home.join("signed"), home.join("away"));
    // A CI begins on a fresh machine each time.
    fs::rename(&memory, &away).unwrap();
    ok(&publish(&publisher, &["--renew"]));
    ok(&publish(&publisher, &["--renew"]));
    let theirs = read(&publisher);
    fs::remove_dir_all(&memory).unwrap();
    fs::rename(&away, &memory).unwrap();
    // The machine that remembers less takes that.
    ok(&publish(&publisher, &["--renew"]));
    for older in [first, theirs] {
        put_back(&publisher, &older);
        assert_eq!(publish(&publisher, &["--renew"]).code, Some(5));
    }
}

#[test]
fn a_memory_that_cannot_be_kept_or_read_is_said() {
    let publisher = Publisher::new();
    let command = "XDG_DATA_HOME=/proc/none ztc plugins publish ../tree --key ../key --renew";
    let run = publisher.environment.shell("repo", command);
    ok(&run);
    insta::assert_snapshot!(publisher.filtered(&run.stderr), @"
    warning: it is signed, and this machine cannot remember that: failed to make `/proc/none/ztc/signed`
    ✓ signed the index with serial 2, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    let home = publisher.environment.root().join("home/.local/share/ztc");
    let mut records = fs::read_dir(home.join("signed")).unwrap();
    let record = records.next().unwrap().unwrap().path();
    fs::write(&record, "{").unwrap();
    let shown = record.file_name().unwrap().to_str().unwrap();
    let run = publish(&publisher, &[]).to_string();
    insta::assert_snapshot!(run.replace(shown, "[RECORD]"), @"
    exit: 1
    --- stderr
    error: `[ROOT]/home/.local/share/ztc/signed/[SHA256].json` cannot be read
      EOF while parsing an object at line 1 column 1
      help: it says what was signed last on this machine: restore it, or remove it when the tree is the one that is served
    ");
}

#[test]
fn a_renewal_signs_nothing_new() {
    let publisher = Publisher::new();
    publisher.put("hello", "6.6.6", &machine());
    let table = publisher.tree().join("ztc-versions-hello-1.yaml");
    fs::write(&table, "serial: 1\nadapter: '*'\n").unwrap();
    let before = read(&publisher);
    insta::assert_snapshot!(publish(&publisher, &["--renew"]), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` has files that were never signed, and a renewal signs nothing new
      ztc-adapter-hello-6.6.6-[MACHINE]
      ztc-versions-hello-1.yaml
      help: find out where they come from, and take them away; where they are yours, publish them without `--renew`
    ");
    assert_eq!(read(&publisher), before);
    fs::remove_file(&table).unwrap();
    let strange = format!("ztc-adapter-hello-6.6.6-{}", machine());
    fs::remove_file(publisher.tree().join(strange)).unwrap();
    insta::assert_snapshot!(publish(&publisher, &["--renew"]), @"
    exit: 0
    --- stderr
    ✓ signed the index with serial 2, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
    let json = publisher.environment.ztc_ok(&[
        "plugins", "publish", "../tree", "--key", "../key", "--renew", "--json",
    ]);
    valid("plugins-publish.schema.json", &json.json());
    for options in [
        ["--add", "x"],
        ["--yank", "hello@1.0.0"],
        ["--protocol", "1.0"],
    ] {
        let run = publish(&publisher, &[&["--renew"], &options[..]].concat());
        assert_eq!(run.code, Some(2), "{run}");
    }
    ok(&publisher.environment.shell(".", "mkdir empty"));
    let empty = [
        "plugins", "publish", "../empty", "--key", "../key", "--renew",
    ];
    insta::assert_snapshot!(publisher.run(&empty), @"
    exit: 4
    --- stderr
    error: `[ROOT]/empty` has no `index.json` that could be renewed
      help: publish without `--renew`, or name the tree that was published before
    ");
}
